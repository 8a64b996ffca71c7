//! Rotation of the log's keys: from every state that a crash or a person between two steps leaves,
//! the server starts and signs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use candor_core::note::{LogVerifier, SignedNote, VerifierKey};
use candor_server::config::Config;
use candor_server::fsck;
use candor_server::init::{self, LogKeys};
use candor_server::ledger::{self, Ledger};
use candor_server::rotation::{self, Ending, RotationError};
use candor_server::run::{self, RunError};
use candor_server::sequencer::recovery::RecoveryError;
use candor_server::stopped::StoppedError;
use candor_server::storage::{Engine, Storage, StoreOptions, Table};
use tokio_util::sync::CancellationToken;

const ORIGIN: &str = "log.example/rotating";

/// A new log without witnesses, whose epochs come fast, and its keys.
fn create(directory: &Path) -> (PathBuf, Vec<VerifierKey>) {
    let any = "127.0.0.1:0".parse().unwrap();
    let home = directory.join("log");
    let keys = init::init(&home, ORIGIN, any, any, Engine::Fjall, &Default::default());
    let (path, keys) = keys.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace("heartbeat_ms = 60000", "heartbeat_ms = 1000")
        .replace("disk_reserve_mib = 1024", "disk_reserve_mib = 16");
    std::fs::write(&path, text).unwrap();
    (path, keys)
}

fn read(path: &Path) -> Config {
    Config::read(path).unwrap()
}

/// Starts the server, waits until it has signed something new, and stops it. Which of `keys` the
/// newest head is signed by.
async fn signs(path: &Path, keys: &[VerifierKey]) -> Vec<bool> {
    let config = read(path);
    let anchor = config.anchor.clone();
    let before = std::fs::read(&anchor).ok();
    let shutdown = CancellationToken::new();
    let running = run::start(config, shutdown.clone()).await.unwrap();
    let note = loop {
        match std::fs::read(&anchor).ok() {
            Some(bytes) if Some(&bytes) != before.as_ref() => break bytes,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    shutdown.cancel();
    running.finish().await.unwrap();
    let note = SignedNote::parse(&note).unwrap();
    let signed_by = |key: &VerifierKey| {
        let verifier = LogVerifier::new(ORIGIN, vec![key.clone()]);
        verifier.verify(&note).is_ok()
    };
    keys.iter().map(signed_by).collect()
}

fn open(path: &Path) -> Arc<dyn Storage> {
    let options = StoreOptions::new(&read(path).store);
    Engine::Fjall.open(&options).unwrap()
}

async fn refused(path: &Path) -> RunError {
    let started = run::start(read(path), CancellationToken::new()).await;
    started.map(|_| ()).unwrap_err()
}

fn write_policy(path: &Path, keys: &[VerifierKey]) {
    let lines: String = keys.iter().map(|key| format!("log {key}\n")).collect();
    std::fs::write(read(path).policy, lines + "quorum none\n").unwrap();
}

fn rename(path: &Path, name: &str) {
    let keys = read(path).keys;
    std::fs::rename(keys.join(format!("{name}-next")), keys.join(name)).unwrap();
}

/// Begins after a beginning that crashed behind the first key file.
async fn begin(path: &Path, old: &[VerifierKey]) -> Vec<VerifierKey> {
    let loader = read(path);
    let keyring = loader.keyring();
    keyring.loader().create(&init::NEXT_KEY_SLOTS[0]).unwrap();
    assert_eq!(signs(path, old).await, [true, true]);
    let kept = LogKeys::open(keyring.loader(), ORIGIN).unwrap().next;
    let next = rotation::begin(&read(path)).unwrap();
    assert_eq!(next[0], kept[0]);
    assert_eq!(next.len(), 2);
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_starts_between_all_steps_of_a_rotation() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old) = create(directory.path());
    assert_eq!(signs(&path, &old).await, [true, true]);
    let not_begun = rotation::finish(&read(&path), &Ending::default()).await;
    assert!(matches!(not_begun, Err(RotationError::NotBegun)));
    let next = begin(&path, &old).await;
    let again = rotation::begin(&read(&path));
    assert!(matches!(again, Err(RotationError::Begun)), "{again:?}");

    // Nothing new was signed yet, and no policy lists the keys.
    let early = rotation::finish(&read(&path), &Ending::default()).await;
    let Err(RotationError::NotYet(missing)) = early else {
        panic!("{early:?}");
    };
    assert_eq!(missing.len(), 3, "{missing:?}");
    let both = [&old[..], &next].concat();
    assert_eq!(signs(&path, &both).await, [true; 4]);
    let early = rotation::finish(&read(&path), &Ending::default()).await;
    assert!(matches!(&early, Err(RotationError::NotYet(missing)) if missing.len() == 1));
    write_policy(&path, &both);
    let progress = rotation::progress(&read(&path)).await.unwrap();
    assert_eq!((progress.next, progress.missing.len()), (next.clone(), 0));

    let shutdown = CancellationToken::new();
    let running = run::start(read(&path), shutdown.clone()).await.unwrap();
    let locked = rotation::finish(&read(&path), &Ending::default()).await;
    assert!(
        matches!(locked, Err(RotationError::Stopped(StoppedError::Anchor(_)))),
        "{locked:?}"
    );
    shutdown.cancel();
    running.finish().await.unwrap();

    let retired = rotation::finish(&read(&path), &Ending::default()).await;
    assert_eq!(retired.unwrap(), old);
    for name in ["log-ed25519", "log-ml-dsa-44"] {
        assert_eq!(signs(&path, &both).await, [false, false, true, true]);
        let again = rotation::finish(&read(&path), &Ending::default()).await;
        assert!(matches!(again, Err(RotationError::NotBegun)), "{again:?}");
        let progress = rotation::progress(&read(&path)).await.unwrap();
        assert_eq!(progress.missing.len(), 1, "{progress:?}");
        // A rotation cannot begin before the one before is tidied up.
        let early = rotation::begin(&read(&path));
        assert!(matches!(early, Err(RotationError::Begun)), "{early:?}");
        rename(&path, name);
    }
    assert_eq!(signs(&path, &both).await, [false, false, true, true]);
    write_policy(&path, &old);
    let RunError::Policy { message, .. } = refused(&path).await else {
        panic!("a policy of retired keys alone");
    };
    assert!(message.contains("any more"), "{message}");
    write_policy(&path, &next);
    assert_eq!(signs(&path, &both).await, [false, false, true, true]);

    // A policy may list keys of the rotation before while the next one is under way.
    write_policy(&path, &both);
    let third = rotation::begin(&read(&path)).unwrap();
    let progress = rotation::progress(&read(&path)).await.unwrap();
    assert_eq!((progress.next, progress.missing.len()), (third, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_keys_are_not_the_logs_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old) = create(directory.path());
    assert_eq!(signs(&path, &old).await, [true, true]);
    // The log once had a second policy, and this was its newest head then.
    let second = std::fs::read(read(&path).anchor).unwrap();
    open(&path).commit(ledger::put_second(&second)).unwrap();
    let next = begin(&path, &old).await;
    let both = [&old[..], &next].concat();
    assert_eq!(signs(&path, &both).await, [true; 4]);
    let ending = Ending {
        revoke: true,
        ..Ending::default()
    };
    // With a policy that lists them the server could not start.
    write_policy(&path, &both);
    let refused_policy = rotation::finish(&read(&path), &ending).await;
    assert!(
        matches!(refused_policy, Err(RotationError::Start(_))),
        "{refused_policy:?}"
    );
    assert_eq!(signs(&path, &both).await, [true; 4]);
    write_policy(&path, &next);
    assert!(
        open(&path)
            .get(Table::Checkpoints, b"second")
            .unwrap()
            .is_some()
    );
    rotation::finish(&read(&path), &ending).await.unwrap();
    assert_eq!(
        open(&path).get(Table::Checkpoints, b"second").unwrap(),
        None
    );
    let all = std::num::NonZeroU64::MIN;
    let checked = fsck::check(&Ledger::new(open(&path), 0), all, &mut |_| {});
    assert!(checked.unwrap().is_clean());
    assert_eq!(signs(&path, &both).await, [false, false, true, true]);

    // Keys that the store does not name are no keys of this log.
    let keys = read(&path).keys;
    for name in ["log-ed25519-next", "log-ml-dsa-44-next"] {
        std::fs::rename(keys.join(name), keys.join(format!("{name}-lost"))).unwrap();
    }
    let error = refused(&path).await;
    let is_other = matches!(
        error,
        RunError::Recovery(RecoveryError::OtherLog) | RunError::Anchor(_)
    );
    assert!(is_other, "{error}");
}

fn lose(path: &Path, name: &str) {
    std::fs::remove_file(read(path).keys.join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_given_up_with_or_without_the_next_keys() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old) = create(directory.path());
    assert_eq!(signs(&path, &old).await, [true, true]);
    let identity = || Ledger::new(open(&path), 0).identity().unwrap();
    let before = identity();
    let not_begun = rotation::cancel(&read(&path), &[]).await;
    assert!(matches!(not_begun, Err(RotationError::NotBegun)));

    let next = begin(&path, &old).await;
    let both = [&old[..], &next].concat();
    assert_eq!(signs(&path, &both).await, [true; 4]);
    // Whoever has this policy would refuse what the log signed then.
    write_policy(&path, &next);
    let refused_by_policy = rotation::cancel(&read(&path), &[]).await;
    assert!(
        matches!(&refused_by_policy, Err(RotationError::NotYet(missing)) if missing.len() == 1),
        "{refused_by_policy:?}"
    );
    // And with this one the server would not start.
    write_policy(&path, &both);
    let policy = rotation::cancel(&read(&path), &[]).await;
    assert!(matches!(policy, Err(RotationError::Start(_))), "{policy:?}");
    write_policy(&path, &old);
    assert_eq!(rotation::cancel(&read(&path), &[]).await.unwrap(), next);
    assert_eq!(identity(), before);
    assert_eq!(signs(&path, &both).await, [true, true, false, false]);
    let again = rotation::cancel(&read(&path), &[]).await;
    assert!(matches!(again, Err(RotationError::NotBegun)), "{again:?}");

    // It may begin again with the same keys, and end without one of them.
    assert_eq!(rotation::begin(&read(&path)).unwrap(), next);
    assert_eq!(signs(&path, &both).await, [true; 4]);
    lose(&path, "log-ml-dsa-44-next");
    let without = refused(&path).await;
    assert!(
        matches!(without, RunError::Recovery(RecoveryError::OtherLog)),
        "{without}"
    );
    let finished = rotation::finish(&read(&path), &Ending::default()).await;
    assert!(
        matches!(
            finished,
            Err(RotationError::Stopped(StoppedError::NoKey(_)))
        ),
        "{finished:?}"
    );
    assert_eq!(rotation::cancel(&read(&path), &[]).await.unwrap(), next);
    assert_eq!(identity(), before);
    assert_eq!(signs(&path, &both).await, [true, true, false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_finished_without_the_keys_before() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old) = create(directory.path());
    assert_eq!(signs(&path, &old).await, [true, true]);
    let next = begin(&path, &old).await;
    let both = [&old[..], &next].concat();
    write_policy(&path, &both);
    let keys = read(&path).keys;
    let place = |name: &str| (keys.join(name), directory.path().join(name));
    let names = ["log-ed25519", "log-ml-dsa-44"];
    let hide = || {
        names
            .map(place)
            .map(|(from, to)| std::fs::rename(from, to).unwrap())
    };
    let show = || {
        names
            .map(place)
            .map(|(to, from)| std::fs::rename(from, to).unwrap())
    };

    // No head by the next keys is out: without those before nobody could tell whose log it is.
    hide();
    let early = rotation::finish(&read(&path), &Ending::default()).await;
    assert!(
        matches!(early, Err(RotationError::Stopped(StoppedError::Anchor(_)))),
        "{early:?}"
    );
    show();
    assert_eq!(signs(&path, &both).await, [true; 4]);
    hide();
    refused(&path).await;
    let cancelled = rotation::cancel(&read(&path), &[]).await;
    assert!(
        matches!(
            cancelled,
            Err(RotationError::Stopped(StoppedError::NoKey(_)))
        ),
        "{cancelled:?}"
    );
    let finished = rotation::finish(&read(&path), &Ending::default()).await;
    assert_eq!(finished.unwrap(), old);
    assert_eq!(signs(&path, &both).await, [false, false, true, true]);
}
