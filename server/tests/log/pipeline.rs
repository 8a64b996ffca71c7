//! One epoch in commit while the next one is built on it: whatever becomes of the first.

use std::sync::Arc;
use std::time::Duration;

use candor_server::sequencer::FatalError;
use candor_server::sequencer::admission::{Refusal, SubmitError};
use candor_server::storage::CommitFault;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::harness::{EAGER, LONG, Process, World, value};

const ALICE: &str = "acct:alice";
const BOB: &str = "acct:bob";

type Answer = JoinHandle<Result<u64, SubmitError>>;

/// A log with Alice's version 0 whose commits hang: her version 1 is in commit, an epoch with her
/// version 2 is built on it, and Bob's version 0 waits for another.
struct Hanging {
    process: Process,
    /// In this order.
    answers: [Answer; 3],
}

impl Hanging {
    async fn new(world: &World) -> Self {
        let mut inlet = world.inlet();
        // A queue that tells what was taken from it.
        let (queue, waiting) = mpsc::channel(2);
        let mut admitted = std::mem::replace(&mut inlet.queue, waiting);
        let forward = queue.clone();
        tokio::spawn(async move {
            while let Some(update) = admitted.recv().await {
                if forward.send(update).await.is_err() {
                    return;
                }
            }
        });
        let mut process = world.start_with(EAGER, inlet).unwrap();
        process.begun().await;
        process.submit(ALICE, 0, &value(ALICE, 0)).await.unwrap();
        process.published_size(3).await;
        world.gate.shut(true);
        let committing = submit(&process, ALICE, 1);
        world.gate.is_reached().await;
        let built = submit(&process, ALICE, 2);
        let is_taken = || process.admission.room_taken_kib() == 2 && queue.capacity() == 2;
        until(is_taken).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        // It stays where it is while the epoch ahead of it waits for the one in commit.
        let waiting = submit(&process, BOB, 0);
        until(|| queue.capacity() == 1).await;
        Self {
            process,
            answers: [committing, built, waiting],
        }
    }

    /// Nobody was answered, and nothing was signed.
    fn assert_waits(&self, world: &World) {
        assert!(!self.answers.iter().any(JoinHandle::is_finished));
        assert!(!self.process.sequencing.is_finished());
        assert_eq!(self.process.size(), 3);
        assert_eq!(world.anchor_size(), 3);
    }

    /// Lets the commits go on. The answers, in the order of the updates.
    async fn let_go(self, world: &World) -> (Process, [Result<u64, SubmitError>; 3]) {
        world.gate.shut(false);
        let mut answers = Vec::new();
        for answer in self.answers {
            answers.push(tokio::time::timeout(LONG, answer).await.unwrap().unwrap());
        }
        (self.process, answers.try_into().unwrap())
    }
}

/// Waits for something that comes in time.
async fn until(is_so: impl Fn() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, waited)
        .await
        .expect("it comes in time");
}

fn submit(process: &Process, label: &'static str, version: u32) -> Answer {
    let admission = process.admission.clone();
    tokio::spawn(async move {
        let content = value(label, version);
        admission.submit(label, version, &content).await
    })
}

/// The answer to what the store refused.
fn unavailable() -> Result<u64, SubmitError> {
    Err(SubmitError::Refused(Refusal::StorageUnavailable))
}

/// The answer to what no epoch took.
fn down() -> Result<u64, SubmitError> {
    Err(SubmitError::Refused(Refusal::ShuttingDown))
}

/// What is stored in the end, and that nothing is wrong with it.
fn check(world: &mut World, alice: u32, bob: Option<u32>) {
    world.crash();
    world.audit();
    world.check_store();
    assert_eq!(world.look_up(ALICE), (Some(alice), value(ALICE, alice)));
    assert_eq!(world.look_up(BOB).0, bob);
}

#[tokio::test]
async fn two_epochs_under_way_are_stored_and_answered_in_order() {
    let mut world = World::new();
    let hanging = Hanging::new(&world).await;
    hanging.assert_waits(&world);
    let (process, answers) = hanging.let_go(&world).await;
    assert_eq!(answers, [Ok(3), Ok(4), Ok(5)]);
    process.stop().await.unwrap();
    assert_eq!(world.anchor_size(), 6);
    check(&mut world, 2, Some(0));
}

#[tokio::test]
async fn lookups_go_on_while_one_epoch_hangs_and_the_next_is_built() {
    let mut world = World::new();
    let hanging = Hanging::new(&world).await;
    let head = hanging.process.published.current().unwrap();
    let desk = hanging.process.desk.clone();
    let lookups = tokio::task::spawn_blocking(move || {
        for _ in 0..50 {
            let found = [ALICE, BOB].map(|label| desk.look_up(&head.signed, label).unwrap());
            assert_eq!(found, [(Some(0), value(ALICE, 0)), (None, Vec::new())]);
        }
    });
    tokio::time::timeout(LONG, lookups).await.unwrap().unwrap();
    hanging.assert_waits(&world);
    let (process, answers) = hanging.let_go(&world).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    process.stop().await.unwrap();
    check(&mut world, 2, Some(0));
}

#[tokio::test]
async fn if_the_store_refuses_an_epoch_the_one_built_on_it_is_refused_too() {
    for fault in [CommitFault::NotCommitted, CommitFault::DiskFull] {
        let mut world = World::new();
        let hanging = Hanging::new(&world).await;
        world.store.fail_commit(0, fault);
        let (process, answers) = hanging.let_go(&world).await;
        let refused = unavailable();
        // The log goes on from where it stood, with what waits.
        assert_eq!(answers, [refused.clone(), refused, Ok(3)], "{fault:?}");
        assert_eq!(world.anchor_size(), 4);
        // What was refused left nothing behind, in memory neither.
        let head = process.newest().await.unwrap();
        let found = process.desk.look_up(&head.signed, ALICE).unwrap();
        assert_eq!(found, (Some(0), value(ALICE, 0)));
        let ahead = process.submit(ALICE, 2, &value(ALICE, 2)).await;
        let greatest = Some(0);
        let conflict = SubmitError::Refused(Refusal::VersionConflict { greatest });
        assert_eq!(ahead, Err(conflict));
        for version in [1, 2] {
            let content = value(ALICE, version);
            process.submit(ALICE, version, &content).await.unwrap();
        }
        process.stop().await.unwrap();
        check(&mut world, 2, Some(0));
    }
}

#[tokio::test]
async fn a_refusal_does_not_rest_on_an_epoch_that_the_store_refuses() {
    for fault in [CommitFault::NotCommitted, CommitFault::DiskFull] {
        for is_stored in [true, false] {
            let mut world = World::new();
            let mut process = world.start(EAGER);
            process.begun().await;
            process.submit(ALICE, 0, &value(ALICE, 0)).await.unwrap();
            world.gate.shut(true);
            let first = submit(&process, ALICE, 1);
            world.gate.is_reached().await;
            // The same version again: a conflict if the first is stored.
            let second = submit(&process, ALICE, 1);
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(!first.is_finished() && !second.is_finished());
            if !is_stored {
                world.store.fail_commit(0, fault);
            }
            world.gate.shut(false);
            let answers = [first.await.unwrap(), second.await.unwrap()];
            let greatest = Some(1);
            let conflict = SubmitError::Refused(Refusal::VersionConflict { greatest });
            let expected = match is_stored {
                true => [Ok(3), Err(conflict)],
                false => [unavailable(), unavailable()],
            };
            assert_eq!(answers, expected);
            // Whoever was told that nothing was kept can submit again, at once.
            if !is_stored {
                let again = process.submit(ALICE, 1, &value(ALICE, 1)).await;
                assert_eq!(again, Ok(3), "{fault:?}");
            }
            process.stop().await.unwrap();
            check(&mut world, 1, None);
        }
    }
}

#[tokio::test]
async fn if_nobody_knows_what_became_of_an_epoch_both_are_unknown_and_the_log_stops() {
    for written in [false, true] {
        let mut world = World::new();
        let hanging = Hanging::new(&world).await;
        let unknown = CommitFault::OutcomeUnknown { written };
        world.store.fail_commit(0, unknown);
        let (process, answers) = hanging.let_go(&world).await;
        let unknown = Err(SubmitError::OutcomeUnknown);
        assert_eq!(answers, [unknown.clone(), unknown, down()]);
        assert_eq!(process.size(), 3, "nothing was signed");
        let error = process.ended().await.unwrap_err();
        assert!(matches!(error, FatalError::OutcomeUnknown(_)), "{error}");
        assert_eq!(world.anchor_size(), 3);
        // The next process goes on from the first epoch if it is there; the second never is.
        world.crash();
        let mut process = world.start(EAGER);
        let size = 3 + u64::from(written);
        process.signed_size(size).await;
        assert_eq!(process.size(), size);
        process.stop().await.unwrap();
        assert_eq!(world.anchor_size(), size);
        check(&mut world, u32::from(written), None);
    }
}

#[tokio::test]
async fn a_crash_between_the_two_commits_keeps_the_first_epoch() {
    let mut world = World::new();
    let hanging = Hanging::new(&world).await;
    let unknown = CommitFault::OutcomeUnknown { written: false };
    world.store.fail_commit(1, unknown);
    let (process, answers) = hanging.let_go(&world).await;
    let unknown = Err(SubmitError::OutcomeUnknown);
    assert_eq!(answers[..2], [Ok(3), unknown.clone()]);
    // Bob's was still waiting, or built on what failed.
    assert!([unknown, down()].contains(&answers[2]), "{answers:?}");
    process.ended().await.unwrap_err();
    assert_eq!(world.anchor_size(), 4);
    check(&mut world, 1, None);
    let process = world.start(EAGER);
    assert_eq!(process.submit(BOB, 0, &value(BOB, 0)).await, Ok(4));
    process.stop().await.unwrap();
    check(&mut world, 1, Some(0));
}

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way() {
    let mut world = World::new();
    let hanging = Hanging::new(&world).await;
    hanging.process.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    hanging.assert_waits(&world);
    let (process, answers) = hanging.let_go(&world).await;
    assert_eq!(answers, [Ok(3), Ok(4), Ok(5)]);
    process.ended().await.unwrap();
    assert_eq!(world.anchor_size(), 6);
    check(&mut world, 2, Some(0));
}

#[tokio::test]
async fn a_halt_during_a_commit_leaves_it_stored_and_unsigned() {
    let mut world = World::new();
    let mut process = world.start(EAGER);
    process.begun().await;
    process.submit(ALICE, 0, &value(ALICE, 0)).await.unwrap();
    world.gate.shut(true);
    let committing = submit(&process, ALICE, 1);
    world.gate.is_reached().await;
    process.halt.cancel();
    world.gate.shut(false);
    let answer = tokio::time::timeout(LONG, committing).await.unwrap();
    assert_eq!(answer.unwrap(), Err(SubmitError::OutcomeUnknown));
    assert_eq!(process.size(), 3);
    let published: Arc<_> = Arc::clone(&process.published);
    process.stop().await.unwrap();
    assert!(published.current().unwrap().signed.size <= 3);
    assert_eq!(world.anchor_size(), 3);
    check(&mut world, 1, None);
}
