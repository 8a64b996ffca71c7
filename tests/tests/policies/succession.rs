//! A log ends in favour of another one: devices are told so, and by whom it goes on.

use std::num::NonZeroU64;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use candor_core::account::{AccountLine, AccountState, Label, VerifiedValue};
use candor_core::answer::HeadError;
use candor_core::epoch::LogConfig;
use candor_core::note::Policy;
use candor_sdk::{Client, ClientConfig, Error, Fault, MemoryStore, Published};
use candor_server::fsck;
use candor_server::ledger::Ledger;
use candor_server::storage::{Engine, StoreOptions};
use candor_system::process::run;
use candor_system::system::System;

const NEXT: &str = "candor.example/next";

fn open(home: &Path) -> Ledger {
    let store = Engine::Fjall.open(&StoreOptions::new(home.join("store")));
    Ledger::new(store.unwrap(), 0)
}

/// A device whose clock is this far ahead.
fn device(system: &System, ahead_s: u64) -> Client<MemoryStore> {
    let now_s = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let config = ClientConfig::new(&system.endpoint(), system.trust().unwrap());
    let config = config.with_clock(move || now_s() + ahead_s);
    Client::new(config, MemoryStore::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_ended_says_so_and_names_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(&folder.path().join("system"), 2).unwrap();
    system.start().await.unwrap();
    let label = Label::parse("acct:succession").unwrap();
    let state = AccountState::first().without_signature(&label).unwrap();
    let value = VerifiedValue::State(state);
    let known = system.device().unwrap();
    let outcome = known.publish(0, &value).await.unwrap();
    assert!(matches!(outcome, Published::Visible(_)), "{outcome:?}");

    let next = folder.path().join("next");
    let path = next.to_string_lossy().into_owned();
    run("candor-server", &["init", &path, "--origin", NEXT]).unwrap();
    let home = system.server.folder().to_owned();
    let config = home.join("server.toml").to_string_lossy().into_owned();
    let to = next.join("server.toml").to_string_lossy().into_owned();
    let succeed = |to: &str| {
        run(
            "candor-server",
            &["succeed", "--config", &config, "--to", to],
        )
    };
    succeed(&to).expect_err("the server runs");
    system.server.process().unwrap().terminate().unwrap();
    let size = open(&home).head().unwrap().size;
    let same = succeed(&config).unwrap_err().to_string();
    assert!(same.contains("same origin"), "{same}");
    assert_eq!(open(&home).head().unwrap().size, size);
    assert!(succeed(&to).unwrap().contains(NEXT));
    let again = succeed(&to).unwrap_err().to_string();
    assert!(again.contains("ended already"), "{again}");

    // The witnesses of the map accept the last record, or no quorum would be met.
    system.server.start().await.unwrap();
    system.wait_published().await.unwrap();
    let named = Ledger::record(&open(&next), 0).unwrap();
    let named = LogConfig::decode(&named).unwrap();
    let policy = Policy::parse(&std::fs::read(next.join("policy.txt")).unwrap()).unwrap();
    let own = system.log_verifier().unwrap();
    let ended = async |device: &Client<MemoryStore>| {
        let error = loop {
            match device.lookup(&label).await {
                // The head before is served until witnesses have cosigned the last one.
                Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), "log-ended", "{error}");
        assert!(matches!(error.fault(), Fault::ServerIncompatible));
        assert!(!error.is_retryable());
        let Error::Head(HeadError::Ended(successor)) = error else {
            panic!("{error}");
        };
        assert_eq!(successor.origin(), NEXT);
        successor.check_config(&named).unwrap();
        for log in policy.logs() {
            successor.check_key(log.key()).unwrap();
        }
        successor.check_key(&own.keys()[0]).unwrap_err();
    };
    ended(&known).await;
    ended(&device(&system, 0)).await;
    // The head of a log that has ended stays its newest one, however old it is.
    ended(&device(&system, 30 * 86_400)).await;

    // What it did can still be looked at.
    assert_eq!(known.history(&label, 0).await.unwrap().len(), 1);
    let report = known.monitor_own(&label, &[]).await.unwrap();
    assert_eq!((report.alerts().count(), report.is_present()), (0, true));
    let (audited, _) = known.audit(None, |_, _| ()).await.unwrap();
    assert_eq!(audited.size, size + 1);
    assert_eq!(known.successor().await.unwrap().unwrap().origin(), NEXT);

    // Nothing follows it, whatever is asked of the server.
    let label = Label::parse("acct:succession-late").unwrap();
    let state = AccountState::first().without_signature(&label).unwrap();
    let late = VerifiedValue::State(state);
    let known_to_end = known.publish(0, &late).await.unwrap_err();
    assert_eq!(known_to_end.code(), "log-ended");
    let late = system.device().unwrap().publish(0, &late).await;
    let Err(Error::Refused { code, .. }) = late else {
        panic!("{late:?}");
    };
    assert_eq!(code, "log-ended");
    system.server.process().unwrap().kill().unwrap();
    system.server.start().await.unwrap();
    system.wait_published().await.unwrap();
    ended(&known).await;
    system.server.process().unwrap().terminate().unwrap();
    let ledger = open(&home);
    assert_eq!(ledger.head().unwrap().size, size + 1);
    let report = fsck::check(&ledger, NonZeroU64::MIN, &mut |_| {}).unwrap();
    assert_eq!(report.count, 0);
    drop((report, ledger));

    // Its final backup has what the next log takes.
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (backup, accounts) = (path("backup"), path("accounts"));
    let make = ["backup", "--config", &config, "--to", &backup];
    run("candor-server", &make).unwrap();
    let told = run(
        "candor-server",
        &["export", "--from", &backup, "--to", &accounts],
    )
    .unwrap();
    assert!(told.contains("1 labels, 1 versions"), "{told}");
    let lines = std::fs::read_to_string(&accounts).unwrap();
    let line = AccountLine::parse(lines.lines().nth(1).unwrap()).unwrap();
    assert_eq!((line.version, line.value), (0, Some(value)));
}
