//! Three attacks by the operator, and who notices.

use std::path::PathBuf;
use std::sync::Arc;

use candor_core::Hash;
use candor_core::account::Label;
use candor_core::answer::{AccountProof, Disclosure, HeadProof};
use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{
    AddCheckpoint, Checkpoint, KeyName, NoteSigner as _, SignedNote, SoftwareSigner,
};
use candor_host::key_file::{self, KeyKind};
use candor_proto::v1::LookupResponse;
use candor_proto::{head_from_wire, head_to_wire};
use candor_sdk::{Client, Error, Evidence, Fault, FileStore, MemoryStore};
use candor_system::Result;
use candor_system::process::{Process, http};
use candor_system::system::{ORIGIN, System, copy};
use candor_tests::relay::{self, Lie};

use crate::stage::Stage;

/// What an operator might keep, to go back to it later.
pub struct OldCopy {
    folder: PathBuf,
    head: HeadProof,
}

/// Copies the server's files, and the head of that moment.
pub async fn keep_an_old_copy(system: &mut System) -> Result<OldCopy> {
    let head = published_head(system).await?;
    system.server.process()?.terminate()?;
    let folder = system.folder().join("old-copy");
    copy(system.server.folder(), &folder)?;
    system.server.start().await?;
    system.wait_published().await?;
    Ok(OldCopy { folder, head })
}

/// The server answers a lookup with another device key.
pub async fn forge_a_value(stage: &mut Stage, system: &System, label: &Label) -> Result<()> {
    stage.begin("Attack: the server answers with a forged key");
    let lie: Lie = Arc::new(|answer| {
        let forged = AccountProof::decode(&answer.account).map(|mut proof| {
            for lookup in &mut proof.lookups {
                if let Disclosure::Opened { value, .. } = &mut lookup.disclosure {
                    replace(value, &[2; 32], &[0xee; 32]);
                }
            }
            proof.encode()
        });
        if let Ok(forged) = forged {
            answer.account = forged.into();
        }
    });
    let device = lied_to(system, lie).await?;
    let refusal = refusal(device.lookup(label).await)?;
    stage.show(&refusal);
    stage.done("the device refuses: the key is not the one in the log");
    Ok(())
}

/// The operator signs a second history for one victim, and asks the witnesses for it too.
pub async fn split_the_view(stage: &mut Stage, system: &System, label: &Label) -> Result<()> {
    stage.begin("Attack: the log signs another history for one victim");
    let honest = published_head(system).await?;
    let honest_note = SignedNote::parse(&honest.checkpoint)?;
    let forged = forge(system, &honest_note)?;
    let size = Checkpoint::parse(honest_note.text())?.size();
    for witness in &system.witnesses {
        let body = AddCheckpoint {
            old_size: size,
            proof: Vec::new(),
            note: forged.clone(),
        };
        let url = format!("http://{}/add-checkpoint", witness.http);
        let answer = http()?.post(url).body(body.to_bytes()).send().await?;
        if answer.status().is_success() {
            return Err("a witness cosigned a second history".into());
        }
        stage.show(&format!("witness answers {}", answer.status()));
    }
    let note = forged.to_bytes();
    let device = lied_to(
        system,
        with_head(move |head| head.checkpoint = note.clone()),
    )
    .await?;
    let refusal = refusal(device.lookup(label).await)?;
    stage.show(&refusal);
    let evidence = Evidence::new(&system.log_verifier()?, &honest_note, &forged)?.to_bytes();
    Evidence::verify(&evidence, &system.log_verifier()?)?;
    let file = system.folder().join("fork.evidence");
    std::fs::write(&file, &evidence)?;
    stage.show(&format!(
        "{} bytes of evidence, verifiable with the log's key",
        evidence.len()
    ));
    stage.done("no witness cosigns it, the device refuses it, and the signatures are evidence");
    Ok(())
}

/// The operator goes back to an old copy of the log, with and without its anchor.
pub async fn roll_back(
    stage: &mut Stage,
    system: &mut System,
    old: &OldCopy,
    label: &Label,
) -> Result<()> {
    stage.begin("Attack: the log is rolled back to an old copy");
    let store = system.folder().join("device");
    let device = system.device_with(&system.endpoint(), FileStore::create(&store)?)?;
    device.lookup(label).await?;
    drop(device);
    let head = old.head.clone();
    let lie: Lie = Arc::new(move |answer| answer.head = Some(head_to_wire(&head)));
    let relay = relay::start(&system.endpoint(), lie).await?;
    let device = system.device_with(&format!("http://{relay}"), FileStore::open(&store)?)?;
    stage.show(&format!("device: {}", refusal(device.lookup(label).await)?));

    system.server.process()?.terminate()?;
    let (current, aside) = (
        system.server.folder().to_owned(),
        system.folder().join("aside"),
    );
    std::fs::rename(&current, &aside)?;
    copy(&old.folder, &current)?;
    std::fs::copy(aside.join("anchor"), current.join("anchor"))?;
    stage.show(&format!("anchor kept: {}", refused_start(system)?));
    std::fs::copy(old.folder.join("anchor"), current.join("anchor"))?;
    stage.show(&format!(
        "anchor rolled back too: {}",
        refused_start(system)?
    ));

    std::fs::remove_dir_all(&current)?;
    std::fs::rename(&aside, &current)?;
    system.server.start().await?;
    system.wait_published().await?;
    stage.done("the device, the anchor and the witnesses each notice; the log refuses to sign");
    Ok(())
}

/// Starts the server, which must refuse; what it says last.
fn refused_start(system: &mut System) -> Result<String> {
    let log = system.server.log();
    let before = std::fs::metadata(&log).map_or(0, |file| file.len());
    system.server.spawn()?;
    let process: &mut Process = system.server.process()?;
    if process.wait()?.success() {
        return Err("a rolled back log ended without an error".into());
    }
    let output = process.output()?;
    let said = output.get(usize::try_from(before)?..).unwrap_or_default();
    let reason = said.lines().rfind(|line| line.contains("refusing to sign"));
    Ok(reason
        .ok_or_else(|| format!("the rolled back log says:\n{said}"))?
        .to_owned())
}

/// A note of the honest one's size and another root, signed with the log's stolen key.
fn forge(system: &System, honest: &SignedNote) -> Result<SignedNote> {
    let file = system.server.folder().join("keys/log-ed25519");
    let seed = key_file::read(&file, KeyKind::Ed25519)?;
    let key = Ed25519SecretKey::from_seed(seed.expose());
    let signer = SoftwareSigner::ed25519(KeyName::new(ORIGIN)?, key);
    let size = Checkpoint::parse(honest.text())?.size();
    let other = Checkpoint::new(ORIGIN, size, Hash([0xee; 32]))?;
    Ok(SignedNote::new(
        other.to_text(),
        vec![signer.sign(&other, 0)?],
    )?)
}

async fn published_head(system: &System) -> Result<HeadProof> {
    use candor_proto::v1::GetHeadRequest;
    use candor_proto::v1::log_client::LogClient;
    let mut log = LogClient::connect(system.endpoint()).await?;
    let answer = log.get_head(GetHeadRequest::default()).await?.into_inner();
    Ok(head_from_wire(
        answer.head.ok_or("the server has no head")?,
    )?)
}

/// A lie about the head of an answer.
fn with_head(change: impl Fn(&mut HeadProof) + Send + Sync + 'static) -> Lie {
    Arc::new(move |answer: &mut LookupResponse| {
        let head = answer
            .head
            .take()
            .and_then(|head| head_from_wire(head).ok());
        if let Some(mut head) = head {
            change(&mut head);
            answer.head = Some(head_to_wire(&head));
        }
    })
}

/// A fresh device whose server tells `lie`.
async fn lied_to(system: &System, lie: Lie) -> Result<Client<MemoryStore>> {
    let relay = relay::start(&system.endpoint(), lie).await?;
    system.device_at(&format!("http://{relay}"))
}

/// What the device said; that it accepted is an error.
fn refusal<T>(answer: std::result::Result<T, Error>) -> Result<String> {
    let Err(error) = answer else {
        return Err("the device accepted a lie".into());
    };
    let blamed = match error.fault() {
        Fault::ServerLied { .. } => "the server lied",
        _ => "not accepted",
    };
    Ok(format!("{blamed} [{}]: {error}", error.code()))
}

/// Replaces every occurrence of a key in some bytes.
fn replace(bytes: &mut [u8], from: &[u8; 32], to: &[u8; 32]) {
    for start in 0..bytes.len().saturating_sub(31) {
        if bytes[start..start + 32] == *from {
            bytes[start..start + 32].copy_from_slice(to);
        }
    }
}
