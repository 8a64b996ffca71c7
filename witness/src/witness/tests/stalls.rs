//! One request is stalled at a named point while others come, or while everything ends. Nothing
//! sleeps: what is waited for is said.

use std::sync::Mutex;
use std::sync::mpsc as blocking;

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::store::{Change, Doubt};
use crate::trees::Head;

const ALL: [Point; 5] = [
    Point::Admitted,
    Point::Decided,
    Point::Signed,
    Point::Committed,
    Point::Anchored,
];

/// Of these the store's thread knows nothing yet.
const BEFORE_STORE: [Point; 3] = [Point::Admitted, Point::Decided, Point::Signed];

type Answer = Result<Vec<SignatureLine>, AddError>;

/// The first request of the log that comes to a point waits there.
struct Stall {
    reached: Option<oneshot::Receiver<()>>,
    /// Whether it goes on.
    verdict: blocking::Sender<bool>,
    /// Each other point that requests of the log come to.
    others: mpsc::UnboundedReceiver<Point>,
}

impl Stall {
    fn at(point: Point) -> (Self, Hook) {
        let (reach, reached) = oneshot::channel();
        let (verdict, wait) = blocking::channel();
        let (other, others) = mpsc::unbounded_channel();
        let first = Mutex::new(Some((reach, wait)));
        let hook = Hook::new(move |at, origin| {
            if origin != ORIGIN {
                return true;
            }
            let stalls = (at == point)
                .then(|| first.lock().unwrap().take())
                .flatten();
            match stalls {
                Some((reach, wait)) => {
                    reach.send(()).unwrap();
                    wait.recv().unwrap()
                }
                None => {
                    // The test may be over.
                    let _ = other.send(at);
                    true
                }
            }
        });
        let stall = Self {
            reached: Some(reached),
            verdict,
            others,
        };
        (stall, hook)
    }

    async fn reached(&mut self) {
        self.reached.take().unwrap().await.unwrap();
        while self.others.try_recv().is_ok() {}
    }

    /// Another request of the log has come as far as this.
    async fn other(&mut self, point: Point) {
        while self.others.recv().await.unwrap() != point {}
    }

    fn end(&self, goes_on: bool) {
        self.verdict.send(goes_on).unwrap();
    }
}

fn spawn(witness: &Arc<Witness>, request: AddCheckpoint) -> JoinHandle<Answer> {
    let witness = Arc::clone(witness);
    tokio::spawn(async move { witness.add_checkpoint(request).await })
}

fn next(old: u8, head: Head) -> AddCheckpoint {
    head.submission(old).to_request()
}

/// The state of a witness that has cosigned the log at `size`.
async fn home(size: u8) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    create(directory.path());
    let (witness, thread) = witness(directory.path(), Hook::default());
    let head = Head::new(false, size);
    witness.add_checkpoint(next(0, head)).await.unwrap();
    close(witness, thread);
    directory
}

fn close(witness: Arc<Witness>, thread: WriterThread) {
    assert_eq!(Arc::strong_count(&witness), 1, "a request goes on");
    drop(witness);
    thread.join().unwrap().unwrap();
}

/// A witness at `size`, and a request to go on by one, which is stalled.
async fn stalled(point: Point, size: u8) -> (TempDir, Stalled) {
    let directory = home(size).await;
    let (mut stall, hook) = Stall::at(point);
    let (witness, thread) = witness(directory.path(), hook);
    let first = spawn(&witness, next(size, Head::new(false, size + 1)));
    stall.reached().await;
    let stalled = Stalled {
        stall,
        witness,
        thread,
        first,
    };
    (directory, stalled)
}

struct Stalled {
    stall: Stall,
    witness: Arc<Witness>,
    thread: WriterThread,
    first: JoinHandle<Answer>,
}

fn size(witness: &Witness) -> u64 {
    witness.entry(ORIGIN).recorded().size
}

fn conflict(answer: &Answer) -> Option<u64> {
    match answer {
        Err(AddError::Refused(Refusal::Conflict { size })) => Some(*size),
        _ => None,
    }
}

/// Both follow the record; only one of them can be cosigned.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_histories_that_race_one_is_cosigned_and_the_log_is_suspended() {
    for point in ALL {
        let (_directory, mut stalled) = stalled(point, 1).await;
        let witness = &stalled.witness;
        let second = spawn(witness, next(1, Head::new(true, 2)));
        stalled.stall.other(Point::Admitted).await;
        let (winner, loser) = if point == Point::Admitted {
            let winner = second.await.unwrap();
            stalled.stall.end(true);
            (winner, stalled.first.await.unwrap())
        } else {
            stalled.stall.end(true);
            (stalled.first.await.unwrap(), second.await.unwrap())
        };
        assert!(winner.is_ok(), "{point:?}: {winner:?}");
        assert_eq!(conflict(&loser), Some(2), "{point:?}: {loser:?}");
        for is_fork in [false, true] {
            let further = next(2, Head::new(is_fork, 3));
            let refused = witness.add_checkpoint(further).await;
            assert!(matches!(refused, Err(AddError::Forked)), "{refused:?}");
        }
        close(stalled.witness, stalled.thread);
    }
}

/// The log grows on before the answer is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_request_of_the_log_takes_its_turn() {
    for point in ALL {
        let (_directory, mut stalled) = stalled(point, 1).await;
        let second = spawn(&stalled.witness, next(1, Head::new(false, 3)));
        stalled.stall.other(Point::Admitted).await;
        let (won, lost) = if point == Point::Admitted {
            assert_eq!(second.await.unwrap().unwrap().len(), 2);
            stalled.stall.end(true);
            (3, stalled.first.await.unwrap())
        } else {
            stalled.stall.end(true);
            assert_eq!(stalled.first.await.unwrap().unwrap().len(), 2);
            (2, second.await.unwrap())
        };
        assert_eq!(conflict(&lost), Some(won), "{point:?}: {lost:?}");
        assert_eq!(size(&stalled.witness), won);
        assert_eq!(stalled.witness.entry(ORIGIN).fork, None);
        close(stalled.witness, stalled.thread);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn other_logs_go_on_meanwhile() {
    for point in ALL {
        let (_directory, stalled) = stalled(point, 1).await;
        let other = spawn(&stalled.witness, request_of(OTHER, 0));
        if BEFORE_STORE.contains(&point) {
            assert_eq!(other.await.unwrap().unwrap().len(), 2);
            stalled.stall.end(true);
        } else {
            // One thread writes for all: they wait for it, and no longer.
            stalled.stall.end(true);
            assert_eq!(other.await.unwrap().unwrap().len(), 2);
        }
        assert_eq!(stalled.first.await.unwrap().unwrap().len(), 2);
        close(stalled.witness, stalled.thread);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_whose_client_went_away_is_finished() {
    for point in ALL {
        let (directory, stalled) = stalled(point, 1).await;
        stalled.first.abort();
        assert!(stalled.first.await.unwrap_err().is_cancelled());
        stalled.stall.end(true);
        let all = u32::try_from(REQUESTS_MAX).unwrap();
        let witness = stalled.witness;
        drop(witness.requests.acquire_many(all).await.unwrap());
        assert_eq!(size(&witness), 2, "{point:?}");
        let further = witness.add_checkpoint(next(2, Head::new(false, 3))).await;
        assert_eq!(further.unwrap().len(), 2);
        drop(witness);
        stalled.thread.join().unwrap().unwrap();
        let (witness, thread) = super::witness(directory.path(), Hook::default());
        assert_eq!(size(&witness), 3);
        close(witness, thread);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_crash_at_any_point_what_was_not_recorded_was_not_cosigned() {
    for point in ALL {
        let (directory, stalled) = stalled(point, 1).await;
        stalled.stall.end(false);
        assert!(stalled.first.await.unwrap().is_err(), "{point:?}");
        drop(stalled.witness);
        stalled.thread.join().unwrap().unwrap();

        let (witness, thread) = super::witness(directory.path(), Hook::default());
        let recorded = if BEFORE_STORE.contains(&point) { 1 } else { 2 };
        let entry = witness.entry(ORIGIN);
        assert_eq!(entry.recorded().size, recorded, "{point:?}");
        assert_eq!((entry.quarantine, entry.fork), (None, None));
        // The log asks again, from where it is told to.
        let lost = witness.add_checkpoint(next(0, Head::new(false, 3))).await;
        assert_eq!(conflict(&lost), Some(recorded));
        let old = u8::try_from(recorded).unwrap();
        let further = witness.add_checkpoint(next(old, Head::new(false, 3))).await;
        assert_eq!(further.unwrap().len(), 2);
        close(witness, thread);
    }
}

/// It was decided before there was any doubt; it is not recorded after.
async fn nothing_is_cosigned_after(doubt: impl AsyncFn(&Arc<Witness>)) {
    for point in BEFORE_STORE {
        let (directory, stalled) = stalled(point, 2).await;
        doubt(&stalled.witness).await;
        stalled.stall.end(true);
        let is_suspended = |error| matches!(error, AddError::Forked | AddError::Quarantined(_));
        let answer = stalled.first.await.unwrap();
        assert!(is_suspended(answer.unwrap_err()), "{point:?}");
        assert_eq!(size(&stalled.witness), 2);
        let further = next(2, Head::new(false, 3));
        let refused = stalled.witness.add_checkpoint(further.clone()).await;
        assert!(is_suspended(refused.unwrap_err()), "{point:?}");
        close(stalled.witness, stalled.thread);
        let (witness, thread) = witness(directory.path(), Hook::default());
        assert_eq!(size(&witness), 2);
        let refused = witness.add_checkpoint(further).await;
        assert!(is_suspended(refused.unwrap_err()), "{point:?}");
        close(witness, thread);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_cosigned_after_a_fork() {
    nothing_is_cosigned_after(async |witness| {
        let contradiction = next(2, Head::new(true, 2));
        assert!(witness.add_checkpoint(contradiction).await.is_err());
        assert!(witness.entry(ORIGIN).fork.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_cosigned_after_a_quarantine() {
    nothing_is_cosigned_after(async |witness| {
        let quarantine = Quarantine {
            doubt: Doubt::Forgotten,
            floor: None,
        };
        let change = Change::Quarantine(quarantine);
        witness.store.apply(ORIGIN, change).await.unwrap();
    })
    .await;
}
