//! Every call of the store failed in turn, in every way. Whatever fails, after the store is opened
//! again the log goes on from a whole epoch, holds every acknowledged update, and has never signed
//! two heads of one size.

use candor_server::sequencer::admission::{Refusal, SubmitError};
use candor_server::storage::{CommitFault, ReadFault};

use super::harness::{EAGER, Process, World, value};

const COMMIT_FAULTS: [CommitFault; 4] = [
    CommitFault::NotCommitted,
    CommitFault::DiskFull,
    CommitFault::OutcomeUnknown { written: false },
    CommitFault::OutcomeUnknown { written: true },
];

const LABELS: [&str; 3] = ["acct:alice", "acct:bob", "acct:alice"];

/// Submits three updates, starting the log again whenever it stopped, and returns those that were
/// acknowledged.
async fn script(world: &mut World) -> Vec<(&'static str, u32)> {
    let mut acknowledged = Vec::new();
    let mut process = None;
    let mut next = std::collections::BTreeMap::new();
    for label in LABELS {
        if process.is_none() {
            process = world.try_start(EAGER).ok();
        }
        let mut running = match process.take() {
            Some(running) => running,
            None => {
                world.crash();
                world.start(EAGER)
            }
        };
        running.begun().await;
        look_everything_up(&running).await;
        let version = *next.entry(label).or_insert(0);
        match running.submit(label, version, &value(label, version)).await {
            Ok(_) => {
                acknowledged.push((label, version));
                next.insert(label, version + 1);
                process = Some(running);
            }
            // Refused: nothing was kept, and the log goes on or says that it does not.
            Err(SubmitError::Refused(refusal)) => {
                assert!(refusal.is_retryable(), "{refusal}");
                if refusal == Refusal::ShuttingDown {
                    running.ended().await.unwrap_err();
                    world.crash();
                } else {
                    process = Some(running);
                }
            }
            Err(SubmitError::OutcomeUnknown) => {
                running.ended().await.unwrap_err();
                world.crash();
                let (greatest, _) = world.look_up(label);
                assert!(greatest == Some(version) || greatest == version.checked_sub(1));
                next.insert(label, greatest.map_or(0, |greatest| greatest + 1));
            }
        }
    }
    if let Some(running) = process {
        look_everything_up(&running).await;
        // A fault of the first epoch may still end it.
        let _ended = running.stop().await;
    }
    acknowledged
}

/// What is answered verifies and is what was submitted, whatever fails beside it.
async fn look_everything_up(process: &Process) {
    let Some(head) = process.newest().await else {
        return;
    };
    for label in ["acct:alice", "acct:bob", "acct:nobody"] {
        let found = process.desk.look_up(&head.signed, label);
        if let Ok((Some(version), content)) = found {
            assert_eq!(content, value(label, version));
        }
    }
}

/// What must hold whatever happened.
fn check(world: &mut World, acknowledged: &[(&str, u32)]) {
    world.crash();
    world.audit();
    world.check_store();
    for (label, version) in acknowledged {
        let (greatest, found) = world.look_up(label);
        assert!(greatest >= Some(*version), "{label} {version} was lost");
        assert_eq!(found, value(label, greatest.unwrap()));
    }
}

#[tokio::test]
async fn every_commit_may_fail_in_every_way() {
    let mut world = World::new();
    let before = world.store.commits();
    assert_eq!(script(&mut world).await.len(), LABELS.len());
    let commits = world.store.commits() - before;
    assert_eq!(commits, 4, "the first epoch and three updates");
    check(&mut world, &[]);
    for nth in 0..commits {
        for fault in COMMIT_FAULTS {
            let mut world = World::new();
            world.store.fail_commit(nth, fault);
            let acknowledged = script(&mut world).await;
            check(&mut world, &acknowledged);
        }
    }
}

#[tokio::test]
async fn every_read_may_fail() {
    // Without caches there is more to read, and to fail.
    let new = || {
        let mut world = World::new();
        world.cache_bytes = 0;
        world
    };
    let mut world = new();
    let before = world.store.reads();
    let acknowledged = script(&mut world).await;
    let reads = world.store.reads() - before;
    assert_eq!(acknowledged.len(), LABELS.len());
    assert!(reads > 20, "{reads} reads");
    for nth in 0..reads {
        let mut world = new();
        world.store.fail_read(nth, ReadFault::Failed);
        let acknowledged = script(&mut world).await;
        check(&mut world, &acknowledged);
    }
}

#[tokio::test]
async fn a_damaged_read_never_makes_a_second_history() {
    let mut world = World::new();
    let before = world.store.reads();
    script(&mut world).await;
    let reads = world.store.reads() - before;
    for nth in 0..reads {
        let mut world = World::new();
        let bit = usize::try_from(nth).unwrap() * 101;
        world.store.fail_read(nth, ReadFault::DangerBitFlip { bit });
        for version in 0..2 {
            if let Ok(mut running) = world.try_start(EAGER) {
                running.begun().await;
                let label = LABELS[0];
                let _any = running.submit(label, version, &value(label, version)).await;
                let _ended = running.stop().await;
            }
            world.crash();
        }
        // What was signed is what the rows say, and nothing was signed that they do not.
        world.audit();
    }
}

#[tokio::test]
async fn creation_happens_once_or_not_at_all() {
    for fault in COMMIT_FAULTS {
        let mut world = World::empty();
        world.store.fail_commit(0, fault);
        world.create().unwrap_err();
        world.crash();
        let written = fault == CommitFault::OutcomeUnknown { written: true };
        assert_eq!(world.recover().is_ok(), written);
        assert_eq!(world.create().is_err(), written);
        world.recover().unwrap();
    }
}
