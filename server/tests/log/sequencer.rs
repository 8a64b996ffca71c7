//! What the sequencer promises: versions, rules, bounds, crashes, restored stores.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use candor_server::sequencer::admission::{Refusal, SubmitError};
use candor_server::sequencer::epoch::{Draft, Pending};
use candor_server::sequencer::recovery::RecoveryError;
use candor_server::sequencer::{FatalError, Pace, UNPUBLISHED_EPOCHS_MAX};
use candor_server::storage::{CommitFault, MemoryStorage};
use tokio::sync::mpsc;

use super::harness::{EAGER, LONG, ORIGIN, START_MS, World, binding, signer, value};

const ALICE: &str = "acct:alice";

pub fn refused(answer: Result<u64, SubmitError>) -> Refusal {
    match answer {
        Err(SubmitError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Runs one epoch with these updates, in this order, and tells each answer.
pub async fn one_epoch(
    world: &World,
    updates: &[(&str, u32, Vec<u8>)],
) -> Vec<Result<u64, SubmitError>> {
    let mut inlet = world.inlet();
    let (queue, waiting) = mpsc::channel(updates.len());
    let mut prepared = std::mem::replace(&mut inlet.queue, waiting);
    let mut answers = Vec::new();
    for (label, version, value) in updates.iter().cloned() {
        let (admission, label) = (inlet.admission.clone(), label.to_owned());
        let submitted =
            tokio::spawn(async move { admission.submit(&label, version, &value).await });
        // Each is queued before the next is submitted.
        queue.try_send(prepared.recv().await.unwrap()).ok().unwrap();
        answers.push(submitted);
    }
    let process = world.start_with(EAGER, inlet).unwrap();
    let mut answered = Vec::new();
    for answer in answers {
        answered.push(tokio::time::timeout(LONG, answer).await.unwrap().unwrap());
    }
    process.stop().await.unwrap();
    answered
}

#[tokio::test]
async fn versions_of_one_label_share_an_epoch_and_a_bad_one_fails_alone() {
    let world = World::new();
    world.start(EAGER).stop().await.unwrap();
    let updates = [
        (ALICE, 0, value(ALICE, 0)),
        (ALICE, 0, value("acct:dave", 0)),
        (ALICE, 1, value(ALICE, 1)),
        (ALICE, 2, value(ALICE, 1)),
        (ALICE, 4, value(ALICE, 4)),
        (ALICE, 2, value(ALICE, 2)),
        ("acct:bob", 1, value("acct:bob", 1)),
        ("acct:bob", 0, value("acct:bob", 0)),
    ];
    let mut answers = one_epoch(&world, &updates).await;
    let accepted: Vec<_> = [7, 5, 2, 0].map(|at| answers.remove(at)).into();
    assert!(
        accepted
            .iter()
            .all(|answer| *answer == accepted[0] && answer.is_ok()),
        "{accepted:?}"
    );
    let refusals: Vec<_> = answers.into_iter().map(refused).collect();
    let conflict = |greatest| Refusal::VersionConflict { greatest };
    assert_eq!(refusals[0], conflict(Some(0)));
    assert_eq!(refusals[1].code(), "succession-refused");
    assert_eq!(refusals[2], conflict(Some(1)));
    assert_eq!(refusals[3], conflict(None));
    assert_eq!(world.look_up(ALICE), (Some(2), value(ALICE, 2)));
    assert_eq!(world.look_up("acct:bob").0, Some(0));
    assert_eq!(world.look_up("acct:carol"), (None, Vec::new()));
    assert_eq!(world.audit().leaves, 4);
}

#[tokio::test]
async fn what_is_malformed_is_refused_before_it_waits() {
    let world = World::new();
    let process = world.start(EAGER);
    for (label, value, code) in [
        ("Alice", value(ALICE, 0), "label-invalid"),
        ("", value(ALICE, 0), "label-invalid"),
        (ALICE, Vec::new(), "value-malformed"),
        (ALICE, vec![0xff; 100], "value-malformed"),
        (ALICE, vec![0; 128 << 10], "value-malformed"),
        ("acct:bob", binding(ALICE, "acct:bob"), "value-unverified"),
    ] {
        let refusal = refused(process.submit(label, 0, &value).await);
        assert_eq!(refusal.code(), code, "{refusal}");
        assert!(!refusal.is_retryable());
        assert!(
            !refusal.to_string().contains("lice"),
            "no label in {refusal}"
        );
    }
    assert_eq!(process.admission.room_taken_kib(), 0);
    process.stop().await.unwrap();
    assert_eq!(world.audit().leaves, 0);
}

#[tokio::test]
async fn versions_continue_across_restarts() {
    let mut world = World::new();
    for version in 0..6 {
        let process = world.start(EAGER);
        let stale = refused(process.submit(ALICE, version + 1, &value(ALICE, 99)).await);
        let greatest = version.checked_sub(1);
        assert_eq!(stale, Refusal::VersionConflict { greatest });
        let epoch = process
            .submit(ALICE, version, &value(ALICE, version))
            .await
            .unwrap();
        assert_eq!(epoch, u64::from(version) + 2);
        // A crash right after the answer: nothing is left of the process but the store.
        process.halt.cancel();
        process.stop().await.unwrap();
        world.crash();
        assert_eq!(world.look_up(ALICE), (Some(version), value(ALICE, version)));
    }
    world.audit();
}

#[tokio::test]
async fn a_full_disk_refuses_and_keeps_nothing() {
    let world = World::new();
    let mut process = world.start(EAGER);
    process.signed_size(2).await;
    for fault in [CommitFault::DiskFull, CommitFault::NotCommitted] {
        world.store.fail_commit(0, fault);
        let refusal = refused(process.submit(ALICE, 0, &value(ALICE, 0)).await);
        assert_eq!(refusal, Refusal::StorageUnavailable);
        assert!(refusal.is_retryable());
        assert_eq!(process.size(), 2);
    }
    assert_eq!(process.submit(ALICE, 0, &value(ALICE, 0)).await, Ok(2));
    process.stop().await.unwrap();
    assert_eq!(world.audit().leaves, 1);
}

#[tokio::test]
async fn an_unknown_outcome_stops_the_log_and_recovery_finds_out() {
    for written in [false, true] {
        let mut world = World::new();
        let mut process = world.start(EAGER);
        process.signed_size(2).await;
        world
            .store
            .fail_commit(0, CommitFault::OutcomeUnknown { written });
        let answer = process.submit(ALICE, 0, &value(ALICE, 0)).await;
        assert_eq!(answer, Err(SubmitError::OutcomeUnknown));
        let late = process.submit(ALICE, 0, &value(ALICE, 0)).await;
        assert!(refused(late).is_retryable());
        assert!(matches!(
            process.ended().await,
            Err(FatalError::OutcomeUnknown(_))
        ));
        assert_eq!(world.anchor().newest().unwrap().0, 2, "nothing was signed");
        world.crash();
        let mut process = world.start(EAGER);
        process.signed_size(if written { 3 } else { 2 }).await;
        let again = process.submit(ALICE, 0, &value(ALICE, 0)).await;
        let greatest = Some(0);
        match written {
            true => assert_eq!(refused(again), Refusal::VersionConflict { greatest }),
            false => assert_eq!(again, Ok(2)),
        }
        process.stop().await.unwrap();
        assert_eq!(world.audit().leaves, 1);
    }
}

#[tokio::test]
async fn another_writer_of_the_store_or_the_anchor_stops_the_log() {
    let world = World::new();
    let mut process = world.start(EAGER);
    process.signed_size(2).await;
    let (tip, other) = {
        let mut other = World::empty();
        other.store = Arc::clone(&world.store);
        let tip = other.recover().unwrap().0;
        (tip, other)
    };
    let built = Draft::new(&other.ledger(), &tip, &Pending::default())
        .close(START_MS + 1)
        .unwrap();
    candor_server::storage::Storage::commit(&*other.store, built.batch).unwrap();
    let answer = process.submit(ALICE, 0, &value(ALICE, 0)).await;
    assert_eq!(answer, Err(SubmitError::OutcomeUnknown));
    assert!(matches!(process.ended().await, Err(FatalError::Refused(_))));

    let world = World::new();
    let mut process = world.start(EAGER);
    process.signed_size(2).await;
    std::fs::remove_file(&world.anchor_path).unwrap();
    let answer = process.submit(ALICE, 0, &value(ALICE, 0)).await;
    assert_eq!(answer, Err(SubmitError::OutcomeUnknown));
    assert!(matches!(process.ended().await, Err(FatalError::Anchor(_))));
}

/// A log with one update, and its store and anchor at that time, that went on for another.
async fn with_a_backup() -> (World, MemoryStorage, Vec<u8>) {
    let world = World::new();
    let mut process = world.start(EAGER);
    process.signed_size(2).await;
    process.submit(ALICE, 0, &value(ALICE, 0)).await.unwrap();
    let (store, anchor) = (
        world.store.crash(),
        std::fs::read(&world.anchor_path).unwrap(),
    );
    process.submit(ALICE, 1, &value(ALICE, 1)).await.unwrap();
    process.stop().await.unwrap();
    (world, store, anchor)
}

#[tokio::test]
async fn a_store_that_is_not_what_was_signed_is_refused() {
    let (mut world, backup, anchor) = with_a_backup().await;
    world.store = Arc::new(backup.crash());
    let error = world.recover().err().unwrap();
    assert!(
        matches!(
            error,
            RecoveryError::BehindAnchor {
                size: 3,
                anchored: 4
            }
        ),
        "{error}"
    );

    // The backup goes another way, up to the anchored size and beyond.
    let mut fork = World::empty();
    fork.store = Arc::new(backup);
    std::fs::write(&fork.anchor_path, anchor).unwrap();
    for version in 1..3 {
        let process = fork.start(EAGER);
        process
            .submit(ALICE, version, &value(ALICE, version))
            .await
            .unwrap();
        process.stop().await.unwrap();
        world.store = Arc::clone(&fork.store);
        let error = world.recover().err().unwrap();
        assert!(
            matches!(error, RecoveryError::ContradictsAnchor { anchored: 4 }),
            "{error}"
        );
    }
    std::fs::remove_file(&world.anchor_path).unwrap();
    let error = world.recover().err().unwrap();
    assert!(
        matches!(error, RecoveryError::NoAnchor { size: 5 }),
        "{error}"
    );
}

/// The anchor moves before a head is published: one that is behind what was published was put back,
/// and does not know what was signed.
#[tokio::test]
async fn an_old_anchor_is_refused() {
    let (world, _, old) = with_a_backup().await;
    let newest = std::fs::read(&world.anchor_path).unwrap();
    let published = candor_server::ledger::put_published(&newest);
    candor_server::storage::Storage::commit(&*world.store, published).unwrap();
    world.recover().unwrap();
    std::fs::write(&world.anchor_path, old).unwrap();
    let error = world.recover().err().unwrap();
    assert!(
        matches!(
            error,
            RecoveryError::AnchorBehind {
                anchored: 3,
                published: 4
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn the_first_published_head_needs_an_anchor_too() {
    let world = World::new();
    let mut process = world.start(EAGER);
    process.signed_size(2).await;
    process.stop().await.unwrap();
    let newest = std::fs::read(&world.anchor_path).unwrap();
    std::fs::remove_file(&world.anchor_path).unwrap();
    // It may be that a crash came before the anchor was made.
    world.recover().unwrap();
    let published = candor_server::ledger::put_published(&newest);
    candor_server::storage::Storage::commit(&*world.store, published).unwrap();
    let error = world.recover().err().unwrap();
    assert!(
        matches!(error, RecoveryError::NoAnchor { size: 2 }),
        "{error}"
    );
}

#[tokio::test]
async fn wrong_keys_and_a_wrong_origin_are_refused() {
    let (mut world, ..) = with_a_backup().await;
    let right = Arc::clone(&world.signer);
    for other in [signer(ORIGIN, 9), signer("other.example", 1)] {
        std::fs::rename(&world.anchor_path, world.anchor_path.with_extension("kept")).unwrap();
        world.signer = Arc::new(other);
        assert!(matches!(
            world.recover().err(),
            Some(RecoveryError::OtherLog)
        ));
        std::fs::rename(world.anchor_path.with_extension("kept"), &world.anchor_path).unwrap();
    }
    world.signer = right;
    world.vrf = Arc::new(candor_core::crypto::VrfSecretKey::from_seed(&[77; 32]));
    assert!(matches!(
        world.recover().err(),
        Some(RecoveryError::OtherConfig)
    ));
}

#[tokio::test]
async fn the_clock_may_step_but_records_do_not_go_back() {
    let world = World::new();
    let process = world.start(EAGER);
    world.now_ms.store(START_MS + 60_000, Ordering::Relaxed);
    process.submit(ALICE, 0, &value(ALICE, 0)).await.unwrap();
    world.now_ms.store(START_MS + 55_000, Ordering::Relaxed);
    process.submit(ALICE, 1, &value(ALICE, 1)).await.unwrap();
    process.stop().await.unwrap();
    assert_eq!(world.audit().timestamp_ms, START_MS + 60_000);
    world.now_ms.store(START_MS, Ordering::Relaxed);
    let behind_ms = 60_000;
    let error = world.recover().err().unwrap();
    assert!(matches!(error, RecoveryError::ClockBehind { behind_ms: found } if found == behind_ms));
}

#[tokio::test]
async fn without_publication_the_log_stops_a_few_epochs_ahead_and_goes_on_after() {
    let world = World::new();
    let pace = Pace {
        publication_patience: Duration::from_millis(50),
        ..EAGER
    };
    let mut process = world.start(pace);
    process.signed_size(2).await;
    process
        .published
        .progress()
        .wait_for(|size| *size == 2)
        .await
        .unwrap();
    process.publishing.send_replace(false);
    let mut version = 0;
    let refusal = loop {
        match process.submit(ALICE, version, &value(ALICE, version)).await {
            Ok(_) => version += 1,
            Err(SubmitError::Refused(refusal)) => break refusal,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(refusal, Refusal::Unpublished);
    assert!(refusal.is_retryable());
    assert_eq!(process.size(), 2 + UNPUBLISHED_EPOCHS_MAX);
    assert_eq!(process.published.current().unwrap().signed.size, 2);
    process.publishing.send_replace(true);
    process
        .published
        .progress()
        .wait_for(|size| *size > 2)
        .await
        .unwrap();
    assert!(
        process
            .submit(ALICE, version, &value(ALICE, version))
            .await
            .is_ok()
    );
    process.stop().await.unwrap();
    assert_eq!(world.audit().leaves, u64::from(version) + 1);
}

#[tokio::test]
async fn a_halt_signs_nothing_more() {
    let world = World::new();
    let mut process = world.start(EAGER);
    process.signed_size(2).await;
    process.halt.cancel();
    let refusal = refused(process.submit(ALICE, 0, &value(ALICE, 0)).await);
    assert_eq!(refusal, Refusal::ShuttingDown);
    process.ended().await.unwrap();
    assert_eq!(world.anchor().newest().unwrap().0, 2);
    assert_eq!(world.audit().leaves, 0);
}

#[tokio::test]
async fn heartbeats_come_with_and_without_updates() {
    let world = World::new();
    let pace = Pace {
        heartbeat: Duration::from_millis(20),
        ..EAGER
    };
    let mut process = world.start(pace);
    process.signed_size(4).await;
    // Refused updates do not put them off.
    let size = process.size();
    while process.size() < size + 3 {
        refused(process.submit(ALICE, 7, &value(ALICE, 7)).await);
    }
    process.stop().await.unwrap();
    assert_eq!(world.audit().leaves, 0);
}

#[tokio::test]
async fn a_heartbeat_that_is_overdue_comes_at_the_start() {
    let world = World::new();
    world.start(EAGER).stop().await.unwrap();
    world
        .now_ms
        .fetch_add(EAGER.heartbeat.as_millis() as u64, Ordering::Relaxed);
    let mut process = world.start(EAGER);
    process.signed_size(3).await;
    process.stop().await.unwrap();
    world.audit();
}

#[tokio::test]
async fn shutdown_answers_everything_and_loses_nothing() {
    let mut world = World::new();
    let pace = Pace {
        epoch_updates_max: 7,
        epoch_interval: Duration::from_secs(3600),
        ..EAGER
    };
    let process = world.start(pace);
    let labels: Vec<String> = (0..40).map(|index| format!("acct:user{index}")).collect();
    let submissions: Vec<_> = labels
        .iter()
        .map(|label| {
            let (admission, label) = (process.admission.clone(), label.clone());
            tokio::spawn(async move { admission.submit(&label, 0, &value(&label, 0)).await })
        })
        .collect();
    let mut progress = process.published.progress();
    progress.wait_for(|size| *size > 2).await.unwrap();
    process.stop().await.unwrap();
    world.crash();
    let mut kept = 0;
    for (label, submitted) in labels.iter().zip(submissions) {
        let found = world.look_up(label).0;
        match tokio::time::timeout(LONG, submitted)
            .await
            .unwrap()
            .unwrap()
        {
            Ok(_) => {
                assert_eq!(found, Some(0));
                kept += 1;
            }
            Err(SubmitError::Refused(Refusal::ShuttingDown)) => assert_eq!(found, None),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(world.audit().leaves, kept);
    assert!(kept >= 7);
}
