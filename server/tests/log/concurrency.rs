//! Readers beside the writer, and callers that go away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use candor_core::answer::Query;
use candor_proto::v1::submit_update_response::Outcome;
use candor_server::head::Published;
use candor_server::sequencer::Pace;
use candor_server::sequencer::admission::{Refusal, SubmitError};
use candor_server::storage::{CommitFault, Engine, StoreOptions};

use super::desk::Found;
use super::harness::{EAGER, LONG, Process, World, check_rows, value};
use super::site::{ALICE, Site, update, visible};

const LABELS: [&str; 3] = ["acct:alice", "acct:bob", "acct:carol"];

/// Epochs that are published while lookups are made, and bytes of what is kept in memory: for all
/// that is used, for some of it, for one account or bucket or none, and for nothing.
const RUNS: [(u64, u64); 4] = [(2000, 1 << 20), (150, 24 << 10), (75, 4 << 10), (75, 0)];

/// Lookups between two looks back at an older head.
const LOOK_BACK: u64 = 16;

/// Looks labels up at whatever is published, until told to stop; verifies every answer, that
/// neither heads nor versions go back, and that an older head goes on showing what it showed.
fn read(process: &Process, done: Arc<AtomicBool>) -> Reader {
    let (desk, published) = (process.desk.clone(), Arc::clone(&process.published));
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let thread = std::thread::spawn(move || {
        let (mut size, mut greatest) = (0, [None; LABELS.len()]);
        let mut older: Option<(Arc<Published>, [Found; LABELS.len()])> = None;
        let mut rounds = 0;
        while !done.load(Ordering::Relaxed) {
            let Some(head) = published.current() else {
                continue;
            };
            assert!(head.signed.size >= size, "the head went back");
            size = head.signed.size;
            let found = LABELS.map(|label| desk.look_up(&head.signed, label).unwrap());
            for ((label, greatest), (found, content)) in
                LABELS.iter().zip(&mut greatest).zip(&found)
            {
                assert!(*found >= *greatest, "{label} went back");
                *greatest = *found;
                let expected = found.map_or_else(Vec::new, |version| value(label, version));
                assert_eq!(*content, expected);
                counted.fetch_add(1, Ordering::Relaxed);
            }
            rounds += 1;
            if rounds % LOOK_BACK == 0 {
                if let Some((head, before)) = &older {
                    let again = LABELS.map(|label| desk.look_up(&head.signed, label).unwrap());
                    assert_eq!(again, *before, "the head of {} records", head.signed.size);
                }
                older = Some((head, found));
            }
            // Leaves some of the cores to the writer.
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    Reader { thread, count }
}

struct Reader {
    thread: std::thread::JoinHandle<()>,
    count: Arc<AtomicU64>,
}

impl Reader {
    /// Waits until so many more lookups were verified.
    async fn verified(&self, more: u64) {
        let until = self.count.load(Ordering::Relaxed) + more;
        let reading = async {
            while self.count.load(Ordering::Relaxed) < until {
                assert!(!self.thread.is_finished(), "the reader failed");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG, reading)
            .await
            .expect("lookups go on");
    }
}

#[tokio::test]
async fn lookups_verify_and_never_go_back_while_thousands_of_epochs_are_published() {
    for (epochs, cache_bytes) in RUNS {
        let mut world = World::new();
        world.cache_bytes = cache_bytes;
        publish_and_read(&world, epochs).await;
    }
}

/// Publishes epochs while others look labels up. Every epoch has a new version of one of the
/// labels, so each lookup may meet rows, accounts and buckets that are newer than its head.
async fn publish_and_read(world: &World, epochs: u64) {
    let mut process = world.start(EAGER);
    process.begun().await;
    let done = Arc::new(AtomicBool::new(false));
    let readers = [(); 2].map(|()| read(&process, Arc::clone(&done)));
    let mut epoch = 0;
    for version in 0.. {
        for label in LABELS {
            let content = value(label, version);
            epoch = process.submit(label, version, &content).await.unwrap();
        }
        if epoch >= epochs {
            break;
        }
    }
    for reader in &readers {
        reader.verified(1).await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.thread.join().unwrap();
    }
    process.stop().await.unwrap();
    assert_eq!(world.audit().leaves, epoch - 1);
    world.check_store();
}

#[tokio::test]
async fn lookups_do_not_wait_for_a_commit_that_hangs() {
    let world = World::new();
    let process = world.start(EAGER);
    for label in LABELS {
        process.submit(label, 0, &value(label, 0)).await.unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let reader = read(&process, Arc::clone(&done));
    world.gate.shut(true);
    let admission = process.admission.clone();
    let label = LABELS[0];
    let waiting = tokio::spawn(async move { admission.submit(label, 1, &value(label, 1)).await });
    reader.verified(100).await;
    assert!(!waiting.is_finished());
    world.gate.shut(false);
    tokio::time::timeout(LONG, waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    reader.verified(1).await;
    done.store(true, Ordering::Relaxed);
    reader.thread.join().unwrap();
    process.stop().await.unwrap();
    world.check_store();
}

#[tokio::test]
async fn an_epoch_that_was_not_saved_is_served_by_nobody() {
    for fault in [
        CommitFault::NotCommitted,
        CommitFault::DiskFull,
        CommitFault::OutcomeUnknown { written: false },
        CommitFault::OutcomeUnknown { written: true },
    ] {
        let mut world = World::new();
        let mut process = world.start(EAGER);
        process.begun().await;
        let label = LABELS[0];
        process.submit(label, 0, &value(label, 0)).await.unwrap();
        let mut progress = process.published.progress();
        progress.wait_for(|size| *size == 3).await.unwrap();
        world.store.fail_commit(0, fault);
        process
            .submit(label, 1, &value(label, 1))
            .await
            .unwrap_err();
        let head = process.published.current().unwrap();
        assert_eq!(head.signed.size, 3, "{fault:?}");
        assert_eq!(process.size(), 3, "{fault:?}: nothing was signed");
        assert_eq!(world.anchor_size(), 3);
        // What was published before is still answered, unless the store has stopped.
        if let Ok(found) = process.desk.look_up(&head.signed, label) {
            assert_eq!(found, (Some(0), value(label, 0)));
        }
        // After a clean failure the same update succeeds; after any other, a new process goes on.
        if process.sequencing.is_finished() || matches!(fault, CommitFault::OutcomeUnknown { .. }) {
            process.ended().await.unwrap_err();
        } else {
            process.submit(label, 1, &value(label, 1)).await.unwrap();
            process.stop().await.unwrap();
        }
        world.crash();
        world.start(EAGER).stop().await.unwrap();
        world.audit();
        world.check_store();
    }
}

/// Waits until all room is free again.
async fn room_is_free(process: &Process) {
    let freed = async {
        while process.admission.room_taken_kib() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, freed)
        .await
        .expect("room is given back");
}

#[tokio::test]
async fn callers_that_go_away_at_any_time_leave_nothing_half_done() {
    let world = World::new();
    let pace = Pace {
        epoch_interval: Duration::from_millis(2),
        ..EAGER
    };
    let process = world.start(pace);
    let mut rng = fastrand::Rng::with_seed(5);
    let mut kept = [None; LABELS.len()];
    for _ in 0..300 {
        let which = rng.usize(0..LABELS.len());
        let (label, greatest): (_, &mut Option<u32>) = (LABELS[which], &mut kept[which]);
        let version = greatest.map_or(0, |greatest| greatest + 1);
        let content = value(label, version);
        let submitted = process.admission.submit(label, version, &content);
        // From before it was admitted to after it was answered.
        let patience = Duration::from_micros(rng.u64(0..8000));
        match tokio::time::timeout(patience, submitted).await {
            Ok(Ok(_)) => *greatest = Some(version),
            // An update whose caller went away became the version, and nothing else of it is left.
            Ok(Err(SubmitError::Refused(Refusal::VersionConflict { greatest: found }))) => {
                assert_eq!(found, Some(version));
                *greatest = Some(version);
            }
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => {}
        }
    }
    room_is_free(&process).await;
    // The queue is empty and works.
    process
        .submit("acct:dave", 0, &value("acct:dave", 0))
        .await
        .unwrap();
    process.stop().await.unwrap();
    for (label, greatest) in LABELS.into_iter().zip(kept) {
        let (found, content) = world.look_up(label);
        assert!(found >= greatest, "{label}");
        assert_eq!(
            content,
            found.map_or_else(Vec::new, |found| value(label, found))
        );
    }
    world.audit();
    world.check_store();
}

#[tokio::test]
async fn without_publication_room_is_given_back_all_the_same() {
    let world = World::new();
    let mut process = world.start(Pace {
        publication_patience: Duration::from_millis(20),
        ..EAGER
    });
    process.begun().await;
    process.publishing.send_replace(false);
    let mut version = 0;
    loop {
        let content = value(LABELS[0], version);
        match process.submit(LABELS[0], version, &content).await {
            Ok(_) => version += 1,
            Err(error) => break assert_eq!(error, SubmitError::Refused(Refusal::Unpublished)),
        }
    }
    room_is_free(&process).await;
    let head: Option<Arc<Published>> = process.published.current();
    assert!(head.is_none_or(|head| head.signed.size <= 2));
    process.publishing.send_replace(true);
    process.stop().await.unwrap();
    world.check_store();
}

#[tokio::test]
async fn calls_that_are_cancelled_leave_nothing_half_done() {
    let site = Site::new();
    let server = site.start().await;
    let mut rng = fastrand::Rng::with_seed(6);
    let mut next = 0;
    let mut streamed = Vec::new();
    for round in 0..60 {
        let labels: Vec<_> = (0..4).map(|at| format!("acct:s{round}-{at}")).collect();
        let updates: Vec<_> = labels.iter().map(|label| update(label, 0)).collect();
        let request = server.authorized(tokio_stream::iter(updates));
        let mut registrar = server.registrar();
        let stream = tokio::spawn(async move {
            let mut answers = registrar.submit_updates(request).await?.into_inner();
            while answers.message().await?.is_some() {}
            Ok::<_, tonic::Status>(())
        });
        streamed.extend(labels);
        let request = server.authorized(update(ALICE, next));
        let mut registrar = server.registrar();
        let submitted = registrar.submit_update(request);
        // From before it was sent to after it was answered.
        let patience = Duration::from_micros(rng.u64(0..30_000));
        if let Ok(answer) = tokio::time::timeout(patience, submitted).await {
            if let Outcome::Refused(refused) = answer.unwrap().into_inner().outcome.unwrap() {
                // A cancelled call had its update accepted.
                assert_eq!(refused.greatest_version, Some(next), "{refused:?}");
            }
            next += 1;
        }
        stream.abort();
    }
    // The last call may have had its update accepted too.
    let greatest = match server.submit(ALICE, next).await {
        Outcome::Refused(refused) => {
            assert_eq!(refused.greatest_version, Some(next), "{refused:?}");
            visible(&server.submit(ALICE, next + 1).await);
            next + 1
        }
        outcome => {
            visible(&outcome);
            next
        }
    };
    let found = server.look_up(ALICE, Query::GREATEST).await;
    assert_eq!(found.greatest(), Some(greatest));
    let newest = found.newest().unwrap();
    assert_eq!(newest.value(), Some(&value(ALICE, newest.version())[..]));
    for label in &streamed {
        if let Some(newest) = server.look_up(label, Query::GREATEST).await.newest() {
            assert_eq!(newest.value(), Some(&value(label, 0)[..]));
        }
    }
    server.stop().await;
    let store = StoreOptions::new(site.config().store);
    check_rows(Engine::Fjall.open(&store).unwrap());
}
