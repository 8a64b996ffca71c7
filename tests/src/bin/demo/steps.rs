//! What a service, its people and its auditors do every day.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use candor::openpgp::read_keyring;
use candor_core::account::Label;
use candor_system::Result;
use candor_system::process::{free_address, run};
use candor_system::system::System;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::stage::Stage;

/// Debian's keyring, if its package is installed; the repository has a sample of it.
const KEYRING: &str = "/usr/share/keyrings/debian-keyring.gpg";
const SAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/data/debian-keyring-sample.pgp"
);

/// The day of the keyring, 2022-12-24: keys expire, and the demo should show the same on every day.
const KEYRING_DAY_S: u32 = 1_671_840_000;

/// Devices that look people up at the same time.
const DEVICES_AT_ONCE: usize = 16;

/// The account whose owner the demo plays.
const OWNER: &str = "acct:demo-owner";

/// Runs `candor` with a profile of its own, and returns what it printed.
pub fn candor(system: &System, profile: &str, arguments: &[&str]) -> Result<String> {
    let endpoint = system.endpoint();
    candor_at(system, &endpoint, profile, arguments)
}

fn candor_at(system: &System, endpoint: &str, profile: &str, arguments: &[&str]) -> Result<String> {
    let folder = system.folder().join(profile);
    let folder = folder.to_string_lossy();
    if !Path::new(&*folder).exists() {
        let policy = system.policy_path();
        let token = system.token_path();
        let mut init = vec!["init", &folder, "--server", endpoint];
        let (policy, token) = (policy.to_string_lossy(), token.to_string_lossy());
        init.extend(["--policy", &policy, "--registrar-token", &token]);
        let names = system.map_witnesses();
        for name in &names {
            init.extend(["--map-witness", name]);
        }
        run("candor", &init)?;
    }
    run("candor", &[&["--profile", &folder], arguments].concat())
}

/// Registers the people of Debian's keyring; returns all their addresses.
pub fn import(stage: &mut Stage, system: &System) -> Result<Vec<Label>> {
    let installed = Path::new(KEYRING).exists();
    let keyring = PathBuf::from(if installed { KEYRING } else { SAMPLE });
    stage.begin("Register real people: Debian's developers, from their OpenPGP keyring");
    if !installed {
        stage.show("debian-keyring is not installed: taking the sample of it in tests/data");
    }
    let day = KEYRING_DAY_S.to_string();
    let path = keyring.to_string_lossy();
    let printed = candor(
        system,
        "registrar",
        &["import", "openpgp", &path, "--at", &day],
    )?;
    stage.show(&printed);
    let mut people = 0;
    let mut addresses = Vec::new();
    let file = BufReader::new(std::fs::File::open(&keyring)?);
    read_keyring(file, KEYRING_DAY_S, |person| {
        people += 1;
        addresses.extend_from_slice(person.emails());
    })?;
    stage.done(&format!(
        "{people} people with {} addresses",
        addresses.len()
    ));
    Ok(addresses)
}

/// Looks every address up, each as a device that knows nothing but the policy.
pub async fn look_everyone_up(
    stage: &mut Stage,
    system: &System,
    addresses: Vec<Label>,
) -> Result<()> {
    stage.begin("Look everyone up, each as a fresh device, and verify");
    let count = addresses.len();
    let devices: usize = futures::stream::iter(addresses)
        .map(|label| look_up(system, label))
        .buffer_unordered(DEVICES_AT_ONCE)
        .try_fold(0, |sum, devices| async move { Ok(sum + devices) })
        .await?;
    stage.done(&format!(
        "{count} of {count} addresses verified, leading to {devices} device keys"
    ));
    Ok(())
}

async fn look_up(system: &System, label: Label) -> Result<usize> {
    let found = system.device()?.resolve(&label).await?;
    let state = found.state().ok_or("a registered address has no account")?;
    Ok(state.state().devices.len())
}

/// An owner registers, rotates a device's key, and sees with the self check that nothing else
/// happened.
pub async fn rotate_a_key(stage: &mut Stage, system: &System) -> Result<Label> {
    stage.begin("Rotate a device key, and let the owner's self check judge it");
    let key = |number: u8| {
        let file = system.folder().join(format!("device-key-{number}"));
        std::fs::write(&file, [number; 32]).map(|()| format!("encrypt=@{}", file.display()))
    };
    let (first, second) = (key(1)?, key(2)?);
    let register = [
        "register",
        OWNER,
        "--device-name",
        "phone",
        "--enrol",
        "--key",
        &first,
    ];
    let registered = candor(system, "owner", &[&register[..], &["--json"]].concat())?;
    let registered: serde_json::Value = serde_json::from_str(&registered)?;
    let phone = registered["devices"][0]["id"]
        .as_str()
        .ok_or("the phone has no id")?;
    let rotate = ["update", OWNER, "--rotate-key", phone, &second];
    stage.show(&candor(system, "owner", &rotate)?);
    stage.show(&candor(system, "owner", &["monitor", OWNER])?);
    stage.done("the owner's device finds exactly the versions that it published");
    Ok(Label::parse(OWNER)?)
}

/// Saves a proof, and verifies it with no server in reach.
pub fn prove_offline(stage: &mut Stage, system: &System, label: &Label) -> Result<()> {
    stage.begin("Save a proof, and verify it offline");
    let file = system.folder().join("owner.candor-proof");
    let path = file.to_string_lossy();
    candor(
        system,
        "owner",
        &["proof", "save", label.as_str(), "-o", &path],
    )?;
    let nowhere = format!("http://{}", free_address()?);
    stage.show(&candor_at(
        system,
        &nowhere,
        "offline",
        &["proof", "verify", &path],
    )?);
    let bytes = std::fs::metadata(&file)?.len();
    stage.done(&format!(
        "a file of {bytes} bytes convinces a device that can reach nobody"
    ));
    Ok(())
}

/// Verifies every epoch of the log from the start.
pub fn audit(stage: &mut Stage, system: &System) -> Result<()> {
    stage.begin("Audit the log from epoch 0");
    stage.show(&candor(system, "auditor", &["audit"])?);
    stage.done("every epoch only inserted, and together they are the published head");
    Ok(())
}
