//! What the store promises: durable before the answer, never back, never a second process.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};

use candor_core::Hash;
use candor_core::note::{Checkpoint, LogVerifier, NoteSigner as _, SignedNote};
use tempfile::TempDir;

use super::*;
use crate::points::Point;
use crate::trees::{ORIGIN, log_signer};

mod formats;
mod model;
mod recovery;

fn state_of(origin: &str, size: u64) -> Arc<LogState> {
    let log = log_signer(origin);
    let checkpoint = Checkpoint::new(origin, size, Hash([size as u8; 32])).unwrap();
    let line = log.sign(&checkpoint, 0).unwrap();
    let note = SignedNote::new(checkpoint.to_text(), vec![line.clone()]).unwrap();
    let verifier = LogVerifier::new(origin, vec![log.verifier_key().clone()]);
    Arc::new(LogState::new(
        &verifier.verify(&note).unwrap(),
        size,
        vec![line],
    ))
}

fn state(size: u64) -> Arc<LogState> {
    state_of(ORIGIN, size)
}

fn advance(expected: Recorded, size: u64) -> Change {
    Change::Advance {
        expected,
        quarantine: None,
        next: state(size),
    }
}

fn new_state() -> (TempDir, Paths) {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(directory.path(), None);
    create(&paths).unwrap();
    (directory, paths)
}

fn open(paths: &Paths) -> (Store, WriterThread) {
    Store::open(paths, &Metrics::default(), CancellationToken::new()).unwrap()
}

fn close((store, thread): (Store, WriterThread)) {
    drop(store);
    thread.join().unwrap().unwrap();
}

fn open_error(paths: &Paths) -> StoreError {
    Store::open(paths, &Metrics::default(), CancellationToken::new()).unwrap_err()
}

#[tokio::test]
async fn a_change_is_there_after_a_restart() {
    let (_directory, paths) = new_state();
    let (store, thread) = open(&paths);
    assert_eq!(store.entry(ORIGIN).recorded(), Recorded::NOTHING);
    store
        .apply(ORIGIN, advance(Recorded::NOTHING, 5))
        .await
        .unwrap();
    store
        .apply(ORIGIN, Change::MapProgress(vec![1, 2]))
        .await
        .unwrap();
    let alarm = |reason: &str| reason.to_owned();
    store
        .apply(ORIGIN, Change::Fork { reason: alarm("f") })
        .await
        .unwrap();
    store
        .apply(ORIGIN, Change::MapAlarm { reason: alarm("m") })
        .await
        .unwrap();
    // What was decided before the log was stopped is not recorded after it.
    let late = advance(state(5).recorded(), 6);
    assert_eq!(store.apply(ORIGIN, late).await, Err(ApplyError::Stale));
    close((store, thread));

    let (store, thread) = open(&paths);
    let entry = store.entry(ORIGIN);
    assert_eq!(entry.state, Some(state(5)));
    assert_eq!(entry.fork.as_deref(), Some("f"));
    assert_eq!(entry.map_alarm.as_deref(), Some("m"));
    assert_eq!(entry.quarantine, None);
    assert_eq!(store.map_progress(ORIGIN).unwrap(), Some(vec![1, 2]));
    close((store, thread));

    clear_alarms(&paths, ORIGIN).unwrap();
    let (store, thread) = open(&paths);
    let entry = store.entry(ORIGIN);
    assert_eq!((entry.fork, entry.map_alarm), (None, None));
    assert_eq!(store.map_progress(ORIGIN).unwrap(), None);
    assert_eq!(entry.state, Some(state(5)));
    close((store, thread));
}

#[tokio::test]
async fn a_change_on_another_record_is_refused() {
    let (_directory, paths) = new_state();
    let (store, thread) = open(&paths);
    let stale = Err(ApplyError::Stale);
    assert_eq!(
        store.apply(ORIGIN, advance(state(4).recorded(), 5)).await,
        stale
    );
    store
        .apply(ORIGIN, advance(Recorded::NOTHING, 5))
        .await
        .unwrap();
    assert_eq!(
        store.apply(ORIGIN, advance(Recorded::NOTHING, 6)).await,
        stale
    );
    assert_eq!(store.entry(ORIGIN).recorded().size, 5);
    close((store, thread));
}

#[tokio::test]
async fn changes_that_wait_together_are_all_made_and_one_log_still_takes_turns() {
    let (_directory, paths) = new_state();
    let (store, thread) = open(&paths);
    let change = |number: u64| {
        let store = store.clone();
        let origin = format!("log.example/{}", number / 2);
        async move {
            let change = Change::Advance {
                expected: Recorded::NOTHING,
                quarantine: None,
                next: state_of(&origin, 1 + number % 2),
            };
            store.apply(&origin, change).await
        }
    };
    let tasks: Vec<_> = (0..100)
        .map(|number| tokio::spawn(change(number)))
        .collect();
    let mut made = 0;
    for task in tasks {
        made += usize::from(task.await.unwrap().is_ok());
    }
    assert_eq!(made, 50, "of two changes on one record, one is stale");
    close((store, thread));
    let (store, thread) = open(&paths);
    for number in 0..50 {
        assert!(
            store
                .entry(&format!("log.example/{number}"))
                .state
                .is_some()
        );
    }
    close((store, thread));
}

#[tokio::test]
async fn a_crash_between_commit_and_answer_loses_nothing_that_was_answered() {
    let (_directory, paths) = new_state();
    let crash = Arc::new(AtomicBool::new(false));
    let hook = {
        let crash = Arc::clone(&crash);
        Hook::new(move |point, _| point != Point::Anchored || !crash.load(Ordering::SeqCst))
    };
    let stopped = CancellationToken::new();
    let (store, thread) =
        Store::open_with(&paths, &Metrics::default(), stopped.clone(), hook).unwrap();
    store
        .apply(ORIGIN, advance(Recorded::NOTHING, 5))
        .await
        .unwrap();
    crash.store(true, Ordering::SeqCst);
    let unanswered = store.apply(ORIGIN, advance(state(5).recorded(), 6)).await;
    assert_eq!(unanswered, Err(ApplyError::Stopped));
    stopped.cancelled().await;
    assert!(!store.is_running());
    let refused = store.apply(ORIGIN, advance(state(6).recorded(), 7)).await;
    assert_eq!(refused, Err(ApplyError::Stopped));
    close((store, thread));

    // The client asks again from 5, is told 6, and goes on from there.
    let (store, thread) = open(&paths);
    assert_eq!(store.entry(ORIGIN).recorded(), state(6).recorded());
    assert_eq!(store.entry(ORIGIN).quarantine, None);
    store
        .apply(ORIGIN, advance(state(6).recorded(), 7))
        .await
        .unwrap();
    close((store, thread));
}

#[tokio::test]
async fn a_failure_to_write_the_anchor_stops_the_store() {
    let (directory, mut paths) = new_state();
    let elsewhere = directory.path().join("other-disk");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::rename(&paths.anchor, elsewhere.join("anchor")).unwrap();
    paths.anchor = elsewhere.join("anchor");
    let (store, thread) = open(&paths);
    std::fs::remove_dir_all(&elsewhere).unwrap();
    let result = store.apply(ORIGIN, advance(Recorded::NOTHING, 5)).await;
    assert_eq!(result, Err(ApplyError::Stopped));
    assert_eq!(store.entry(ORIGIN).recorded(), Recorded::NOTHING);
    assert!(matches!(
        thread.join().unwrap(),
        Err(StoreError::AnchorWrite(_))
    ));
}

#[test]
fn missing_files_and_second_processes_are_refused() {
    let (_directory, paths) = new_state();
    assert!(matches!(create(&paths), Err(StoreError::Database(_))));
    let running = open(&paths);
    assert!(matches!(
        open_error(&paths),
        StoreError::Lock(LockError::Held { .. })
    ));
    assert!(matches!(
        clear_alarms(&paths, ORIGIN),
        Err(StoreError::Lock(_))
    ));
    close(running);
    std::fs::remove_file(&paths.anchor).unwrap();
    assert!(matches!(open_error(&paths), StoreError::Anchor(_)));
    anchor::write(&paths.anchor, &anchor::Anchor::default()).unwrap();
    std::fs::remove_file(&paths.database).unwrap();
    assert!(matches!(open_error(&paths), StoreError::Database(_)));
}
