//! Two policies: two witnesses that cosign every head, and a slow one that cosigns some. A device
//! that asks for both depends on the slow one as far as it said, and publication does not.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candor_core::account::{AccountState, Label, VerifiedValue};
use candor_core::answer::Trust;
use candor_core::note::Policy;
use candor_sdk::{Client, ClientConfig, Error, MemoryStore, Published};
use candor_system::system::{Node, System, create_witness, edit};

const MAX_AGE_S: u64 = 3600;

/// A system whose server also asks a slow witness, for a second policy.
fn create(folder: &Path) -> (System, Node, Policy) {
    let system = System::create(folder, 2).unwrap();
    let policy = std::fs::read_to_string(system.policy_path()).unwrap();
    let log: String = policy
        .lines()
        .filter(|line| line.starts_with("log "))
        .map(|line| format!("{line}\n"))
        .collect();
    let keys: Vec<String> = log
        .lines()
        .map(|line| line.trim_start_matches("log ").to_owned())
        .collect();
    let (slow, lines) = create_witness(&folder.join("slow"), "slow.example", &keys, None).unwrap();
    // It follows no map, and so has nothing to say of it.
    let lines: String = lines
        .lines()
        .filter(|line| !line.contains("/map"))
        .map(|line| format!("{line}\n"))
        .collect();
    let second = format!("{log}{lines}quorum slow.example\n");
    let home = system.server.folder();
    std::fs::write(home.join("second-policy.txt"), &second).unwrap();
    let second = Policy::parse(second.as_bytes()).unwrap();
    let intervals: String = second
        .witnesses()
        .iter()
        .map(|witness| format!("\"{}\" = 1\n", witness.name()))
        .collect();
    let changes = [
        ("# second_policy = ", "second_policy = ".to_owned()),
        (
            "# [witness_interval_s]",
            format!("[witness_interval_s]\n{intervals}"),
        ),
    ];
    for (from, to) in &changes {
        edit(&home.join("server.toml"), &[(from, to)]).unwrap();
    }
    (system, slow, second)
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A device that knows nothing yet, and whose clock is this far ahead.
fn device(system: &System, trust: Trust, ahead_s: &Arc<AtomicU64>) -> Client<MemoryStore> {
    let token = std::fs::read_to_string(system.token_path()).unwrap();
    let ahead_s = Arc::clone(ahead_s);
    let config = ClientConfig::new(&system.endpoint(), trust)
        .with_bearer_token(token.trim())
        .unwrap()
        .with_clock(move || now_s() + ahead_s.load(Ordering::Relaxed));
    Client::new(config, MemoryStore::new()).unwrap()
}

/// Publishes a first version, which makes a new head.
async fn publish(device: &Client<MemoryStore>, number: u32) {
    let label = Label::parse(&format!("acct:second-{number}")).unwrap();
    let state = AccountState::first().without_signature(&label).unwrap();
    let value = VerifiedValue::State(state);
    let outcome = device.publish(0, &value).await.unwrap();
    assert!(matches!(outcome, Published::Visible(_)), "{outcome:?}");
}

async fn page(system: &System, path: &str) -> String {
    let url = format!("http://{}{path}", system.server.http);
    let client = candor_system::process::http().unwrap();
    let answer = client.get(url).send().await.unwrap();
    answer.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_may_ask_for_both_policies() {
    let folder = tempfile::tempdir().unwrap();
    let (mut system, mut slow, second) = create(folder.path());
    slow.start().await.unwrap();
    system.start().await.unwrap();
    let ahead_s = Arc::new(AtomicU64::new(0));
    let trust = system.trust().unwrap();
    let both_trust = trust.clone().and_second(second, MAX_AGE_S).unwrap();
    let one = device(&system, trust, &ahead_s);
    let both = device(&system, both_trust.clone(), &ahead_s);
    let label = Label::parse("acct:second-0").unwrap();
    publish(&one, 0).await;

    // Until the slow witness has cosigned, and only until then, there is no answer.
    let cosigned = async {
        while let Err(error) = both.lookup(&label).await {
            assert_eq!(error.code(), "second-head-missing", "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let long = Duration::from_secs(60);
    tokio::time::timeout(long, cosigned).await.unwrap();
    assert!(page(&system, "/").await.contains("second head"));
    let mut watch = both.watch_heads().await.unwrap();
    assert!(watch.next().await.unwrap().is_some());

    // Without the slow witness publication goes on, and so do devices until its last word is old.
    slow.process().unwrap().kill().unwrap();
    for number in 1..4 {
        publish(&one, number).await;
        both.lookup(&label).await.unwrap();
    }
    let lag = format!(
        "candor_witness_lag_records{{witness=\"http://{}\"}}",
        slow.http
    );
    let metrics = page(&system, "/metrics").await;
    let lag = metrics.lines().find_map(|line| line.strip_prefix(&lag));
    assert!(lag.unwrap().trim().parse::<u64>().unwrap() > 0, "{metrics}");
    ahead_s.store(2 * MAX_AGE_S, Ordering::Relaxed);
    let refused = both.lookup(&label).await.unwrap_err();
    assert!(matches!(refused, Error::Second(_)), "{refused}");
    assert_eq!(refused.code(), "second-head-stale");
    one.lookup(&label).await.unwrap();
    ahead_s.store(0, Ordering::Relaxed);

    // The second head survives the server, and a new device needs nothing else.
    system.server.process().unwrap().kill().unwrap();
    system.server.start().await.unwrap();
    system.wait_published().await.unwrap();
    let newcomer = device(&system, both_trust, &ahead_s);
    let file = newcomer.save_proof(&label).await.unwrap();
    let (_, found) = newcomer.verify_proof(&file).await.unwrap();
    let before = found.second.unwrap().checkpoint().size();

    // It moves on when the slow witness is back.
    slow.start().await.unwrap();
    let moved = async {
        for number in 4.. {
            publish(&one, number).await;
            let file = newcomer.save_proof(&label).await.unwrap();
            let (_, found) = newcomer.verify_proof(&file).await.unwrap();
            if found.second.unwrap().checkpoint().size() > before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(long, moved).await.unwrap();
}
