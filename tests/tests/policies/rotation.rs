//! The keys of a log are changed while devices look labels up: none is refused that has the policy
//! of its time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use candor_core::account::{AccountState, Label, VerifiedValue};
use candor_core::answer::Trust;
use candor_core::note::Policy;
use candor_sdk::{
    Change, Client, ClientConfig, Error, Key, MemoryStore, Published, Store, StoreError,
};
use candor_system::process::run;
use candor_system::system::{System, copy, edit};
use tokio::task::JoinHandle;

/// A store that outlives its device.
#[derive(Clone, Default)]
struct Shared(Arc<MemoryStore>);

impl Store for Shared {
    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.read(key)
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.0.write(changes)
    }
}

fn label(number: u32) -> Label {
    Label::parse(&format!("acct:rotation-{number}")).unwrap()
}

/// A device whose policy lists these keys of the log.
fn device(system: &System, keys: &[String], store: &Shared) -> Client<Shared> {
    let policy = with_keys(system, keys);
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let names = system.map_witnesses();
    let trust = Trust::new(policy, names.iter().map(String::as_str)).unwrap();
    let token = std::fs::read_to_string(system.token_path()).unwrap();
    let config = ClientConfig::new(&system.endpoint(), trust);
    let config = config.with_bearer_token(token.trim()).unwrap();
    Client::new(config, store.clone()).unwrap()
}

/// The system's policy with these keys of the log instead of its own.
fn with_keys(system: &System, keys: &[String]) -> String {
    let policy = std::fs::read_to_string(system.policy_path()).unwrap();
    let rest = policy.lines().filter(|line| !line.starts_with("log "));
    let rest: String = rest.map(|line| format!("{line}\n")).collect();
    let log: String = keys.iter().map(|key| format!("log {key}\n")).collect();
    log + &rest
}

/// Looks up again and again, and tells how often it was answered, or what was refused. A server
/// that is being started is not there, which refuses nothing.
fn watch(device: Client<Shared>, end: &Arc<AtomicBool>) -> JoinHandle<Result<u32, Error>> {
    let end = Arc::clone(end);
    tokio::spawn(async move {
        let mut answers = 0;
        while !end.load(Ordering::Relaxed) {
            match device.lookup(&label(0)).await {
                Ok(_) => answers += 1,
                Err(Error::Unreachable(_) | Error::Timeout) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(answers)
    })
}

/// Publishes an account, which needs the quorum.
async fn publish(device: &Client<Shared>, number: u32) {
    let label = label(number);
    let state = AccountState::first().without_signature(&label).unwrap();
    let value = VerifiedValue::State(state);
    let outcome = device.publish(0, &value).await.unwrap();
    assert!(matches!(outcome, Published::Visible(_)), "{outcome:?}");
}

fn rotate(system: &System, step: &str) -> candor_system::Result<String> {
    let config = system.server.folder().join("server.toml");
    run(
        "candor-server",
        &["rotate", step, "--config", &config.to_string_lossy()],
    )
}

/// The lines that are nothing but a key.
fn keys(printed: &str) -> Vec<String> {
    let words = printed.lines().map(str::trim);
    words
        .filter(|line| line.starts_with("candor.example/demo+"))
        .map(str::to_owned)
        .collect()
}

async fn restart(system: &mut System) {
    system.server.start().await.unwrap();
    system.wait_published().await.unwrap();
}

/// Changes the keys that a witness has for the log, and starts it again.
async fn tell(system: &mut System, at: usize, keys: &[String]) {
    let node = &mut system.witnesses[at];
    let path = node.folder().join("witness.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("\nvkeys = [\n").unwrap();
    let (_, after) = rest.split_once("\n]\n").unwrap();
    let lines: Vec<String> = keys.iter().map(|key| format!("  \"{key}\",")).collect();
    let text = format!("{before}\nvkeys = [\n{}\n]\n{after}", lines.join("\n"));
    std::fs::write(&path, text).unwrap();
    node.process().unwrap().terminate().unwrap();
    node.start().await.unwrap();
}

/// What witnesses write when they suspect a log.
fn suspicions(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("fork-") || name.starts_with("unresolved-") {
            found.push(name);
        } else if entry.file_type().unwrap().is_dir() {
            found.extend(suspicions(&entry.path()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_device_is_refused_while_the_log_changes_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(&folder.path().join("system"), 3).unwrap();
    let home = system.server.folder().to_owned();
    let faster = [("heartbeat_ms = 60000", "heartbeat_ms = 1000")];
    edit(&home.join("server.toml"), &faster).unwrap();
    system.start().await.unwrap();
    let old = system.log_verifier().unwrap();
    let old: Vec<String> = old.keys().iter().map(ToString::to_string).collect();
    let store = Shared::default();
    let with_old = device(&system, &old, &store);
    publish(&with_old, 0).await;
    rotate(&system, "begin").expect_err("the server runs");

    // The next keys are made on a copy, so that a device can have them before the log uses them.
    system.server.process().unwrap().terminate().unwrap();
    let twin = folder.path().join("twin");
    copy(&home, &twin).unwrap();
    let config = twin.join("server.toml");
    let begin = ["rotate", "begin", "--config", &config.to_string_lossy()];
    let next = keys(&run("candor-server", &begin).unwrap());
    assert_eq!(next.len(), 2);
    for name in ["log-ed25519-next", "log-ml-dsa-44-next"] {
        std::fs::copy(twin.join("keys").join(name), home.join("keys").join(name)).unwrap();
    }
    restart(&mut system).await;
    let both = [&old[..], &next].concat();
    let (end, end_old) = (Arc::default(), Arc::default());
    let watched_old = watch(device(&system, &old, &Shared::default()), &end_old);
    let watched = watch(device(&system, &both, &Shared::default()), &end);
    let with_new = device(&system, &next, &Shared::default());
    let refused = with_new.lookup(&label(0)).await.unwrap_err();
    assert_eq!(refused.code(), "not-signed");

    // The log signs with both, before anybody knows.
    system.server.process().unwrap().terminate().unwrap();
    assert_eq!(keys(&rotate(&system, "begin").unwrap()), next);
    restart(&mut system).await;
    publish(&with_old, 1).await;
    with_new.lookup(&label(0)).await.unwrap();
    let watched_new = watch(with_new, &end);

    // Witnesses are told one after the other, and the end waits for the last one.
    std::fs::write(home.join("policy.txt"), with_keys(&system, &both)).unwrap();
    for at in 0..2 {
        tell(&mut system, at, &both).await;
    }
    publish(&device(&system, &both, &store), 2).await;
    // A device whose policy changes goes on from the head that it remembers, although what it
    // remembers of it is the line of an old key.
    let changed = device(&system, &next, &store);
    changed.lookup(&label(2)).await.unwrap();
    let status = rotate(&system, "status").unwrap();
    let last = format!("http://{}", system.witnesses[2].http);
    assert!(
        status.contains(&format!("missing: witness {last}")),
        "{status}"
    );
    system.server.process().unwrap().terminate().unwrap();
    let early = rotate(&system, "finish").unwrap_err().to_string();
    assert!(early.contains(&last), "{early}");
    restart(&mut system).await;
    tell(&mut system, 2, &both).await;
    let told = async {
        while !rotate(&system, "status")
            .unwrap()
            .contains("Nothing is missing")
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told)
        .await
        .unwrap();

    // The old keys go: from the log, from its files, from policies, from witnesses.
    end_old.store(true, Ordering::Relaxed);
    assert!(watched_old.await.unwrap().unwrap() > 0);
    system.server.process().unwrap().terminate().unwrap();
    assert_eq!(keys(&rotate(&system, "finish").unwrap()), old);
    restart(&mut system).await;
    let with_both = device(&system, &both, &store);
    with_both.lookup(&label(0)).await.unwrap();
    system.server.process().unwrap().terminate().unwrap();
    for name in ["log-ed25519", "log-ml-dsa-44"] {
        let path = home.join("keys").join(name);
        std::fs::rename(path.with_file_name(format!("{name}-next")), path).unwrap();
    }
    std::fs::write(home.join("policy.txt"), with_keys(&system, &next)).unwrap();
    restart(&mut system).await;
    for at in 0..3 {
        tell(&mut system, at, &next).await;
    }
    publish(&with_both, 3).await;
    let refused = with_old.lookup(&label(0)).await.unwrap_err();
    assert_eq!(refused.code(), "not-signed");
    // A device that changes its policy goes on from the head that it remembers.
    device(&system, &next, &store)
        .lookup(&label(0))
        .await
        .unwrap();

    end.store(true, Ordering::Relaxed);
    for watched in [watched, watched_new] {
        assert!(watched.await.unwrap().unwrap() > 0);
    }
    for witness in &system.witnesses {
        assert_eq!(suspicions(witness.folder()), Vec::<String>::new());
        let output = std::fs::read_to_string(witness.log()).unwrap();
        assert!(!output.contains("quarantine"), "{output}");
    }
}
