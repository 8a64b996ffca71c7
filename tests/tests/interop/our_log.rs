//! Our log, with a witness and a checker of others.

use std::time::{Duration, Instant};

use candor_core::account::{AccountState, Label, VerifiedValue};
use candor_system::process::{PATIENCE, free_address};
use candor_system::system::{ORIGIN, System, edit};

use crate::tools::{Agent, cosigners, find, find_of_system, get, output, run, start};

/// The root of an empty tree: SHA-256 of nothing.
const EMPTY_TREE: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

/// The name of the other witness.
const LITE: &str = "litewitness.example";

/// Publishes a value that no label had before, and waits until it is visible.
async fn publish(system: &System, number: u32) {
    let label = Label::parse(&format!("acct:user{number}")).unwrap();
    let state = AccountState::first().without_signature(&label).unwrap();
    let value = VerifiedValue::State(state);
    let device = system.device().unwrap();
    device.publish(0, &value).await.unwrap();
}

/// The verifier key that litewitness tells when it starts.
fn verifier_key(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("vkey=")?;
    let (line, _) = rest.split_once('\n')?;
    Some(line.trim().trim_matches('"').to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn litewitness_cosigns_our_log_beside_our_own_witness() {
    let (Some(litewitness), Some(sqlite)) = (find("litewitness"), find_of_system("sqlite3")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(agent) = Agent::start(folder.path()) else {
        return;
    };
    let mut system = System::create(folder.path(), 1).unwrap();
    let policy = std::fs::read_to_string(system.policy_path()).unwrap();
    let logs = policy.lines().filter_map(|line| line.strip_prefix("log "));

    let database = folder.path().join("lite.db");
    let database = database.to_str().unwrap();
    let listen = free_address().unwrap().to_string();
    let socket = agent.socket.to_str().unwrap();
    let mut arguments = vec!["-name", LITE, "-db", database, "-ssh-agent", socket];
    arguments.extend(["-listen", &listen, "-key", &agent.fingerprint]);
    let process = start(&litewitness, &arguments, folder.path());
    let deadline = Instant::now() + PATIENCE;
    let lite_key = loop {
        let log = process.output().unwrap();
        match verifier_key(&log) {
            Some(key) => break key,
            None => assert!(Instant::now() < deadline, "{log}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };

    // What its own control program does, which needs a module that not every mirror has. It knows
    // Ed25519 only, which is our first key.
    let key = logs.map(str::trim).next().unwrap();
    let add = format!(
        "INSERT INTO log VALUES ('{ORIGIN}', 0, '{EMPTY_TREE}'); INSERT INTO key VALUES \
         ('{ORIGIN}', '{key}')"
    );
    run(&sqlite, &[database, &add]);

    // Both are needed for every head.
    let ours = "group majority 1 w1\nquorum majority\n";
    let both = format!(
        "witness {LITE} {lite_key} http://{listen}\ngroup both all w1 {LITE}\nquorum both\n"
    );
    for path in [
        system.policy_path(),
        system.server.folder().join("policy.txt"),
    ] {
        edit(&path, &[(ours, &both)]).unwrap();
    }
    system.start().await.unwrap();
    let policy = std::fs::read_to_string(system.policy_path()).unwrap();
    let url = format!("http://{}/checkpoint", system.server.http);
    let (mut size, mut published) = (0, 0);
    for _ in 0..3 {
        // The next head follows from a consistency proof, which both check.
        let deadline = Instant::now() + PATIENCE;
        let (grown, names) = loop {
            let (found, names) = cosigners(&policy, &get(&url).await);
            if found > size {
                break (found, names);
            }
            assert!(Instant::now() < deadline, "no head after {size}");
            publish(&system, published).await;
            published += 1;
        };
        assert!(names.iter().any(|name| name == LITE), "{names:?}");
        size = grown;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tessera_checks_our_tiles() {
    let Some(fsck) = find("fsck") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), 1).unwrap();
    system.start().await.unwrap();
    for number in 0..5 {
        publish(&system, number).await;
    }
    let policy = std::fs::read_to_string(system.policy_path()).unwrap();
    let key = policy.lines().find_map(|line| line.strip_prefix("log "));
    let key_path = folder.path().join("log.vkey");
    std::fs::write(&key_path, key.unwrap().trim()).unwrap();
    let url = format!("http://{}/", system.server.http);
    let key_path = key_path.to_str().unwrap();
    let check = |origin: &str| {
        let mut arguments = vec!["--storage_url", &url, "--public_key", key_path];
        arguments.extend(["--origin", origin, "--ui=false", "-v=1", "-logtostderr"]);
        String::from_utf8(output(&fsck, &arguments).stderr).unwrap()
    };
    let checked = check(ORIGIN);
    assert!(checked.contains("Completed ranges"), "{checked}");
    assert!(!checked.contains("fsck failed"), "{checked}");
    // It does complain of a log that is not the one.
    let other = check("other.example");
    assert!(other.contains("fsck failed"), "{other}");
}
