//! Stores that come back other than they were left: a bit flipped, the last batches lost, a batch
//! torn. No engine may do that; disks do. The log is refused then, or goes on in the one history:
//! whatever is signed extends what was signed before, by epochs that only insert, and no answer
//! that verifies is wrong.

use candor_core::Hash;
use candor_core::epoch::{EpochRecord, LogConfig, MapState};
use candor_core::log::{Frontier, leaf_hash};
use candor_core::map::AuditDelta;
use candor_server::ledger::{Ledger, LedgerError};
use candor_server::sequencer::recovery::RecoveryError;
use candor_server::storage::{Batch, CommitFault, MemoryStorage, Storage as _, Table};

use super::desk::Found;
use super::fsck::{rows, some};
use super::harness::{EAGER, World, value};

const LABELS: [&str; 3] = ["acct:alice", "acct:bob", "acct:nobody"];

/// The one history: the log and the map as they were when all was well.
#[derive(Clone)]
struct History {
    log: Frontier,
    map: MapState,
    roots: Vec<Hash>,
}

impl History {
    fn of(ledger: &Ledger) -> Self {
        let record = ledger.record(0).unwrap();
        let mut log = Frontier::new();
        log.append(leaf_hash(&record)).unwrap();
        let mut history = Self {
            roots: vec![Hash::EMPTY_LOG, log.root()],
            log,
            map: LogConfig::decode(&record).unwrap().start(),
        };
        history.extend(ledger);
        history
    }

    /// Goes on by the epochs that `ledger` has more.
    fn extend(&mut self, ledger: &Ledger) {
        let size = ledger.head().map_or(0, |head| head.size);
        for epoch in self.log.size()..size {
            let bytes = ledger.record(epoch).unwrap();
            let record = EpochRecord::decode(&bytes).unwrap();
            let delta = AuditDelta::from_bytes(ledger.delta(epoch).unwrap()).unwrap();
            assert_eq!(delta.digest(), record.audit_digest);
            let verified = delta.verify(&self.map.root, &record.prefix_tree).unwrap();
            let inserted = verified.inserts().len();
            record.check_inserts(&self.map, inserted).unwrap();
            self.map = record.state();
            self.log.append(leaf_hash(&bytes)).unwrap();
            self.roots.push(self.log.root());
        }
    }

    fn check_heads(&self, world: &World) {
        for (size, root) in world.heads.lock().unwrap().iter() {
            let known = self.roots.get(usize::try_from(*size).unwrap());
            assert_eq!(known, Some(root), "the head of {size} records");
        }
    }
}

/// A log with three versions of Alice and one of Bob, and its store after each of them.
async fn log() -> (World, Vec<MemoryStorage>) {
    let world = World::new();
    let mut stores = vec![world.store.crash()];
    let mut process = world.start(EAGER);
    process.begun().await;
    stores.push(world.store.crash());
    for (label, version) in [
        (LABELS[0], 0),
        (LABELS[0], 1),
        (LABELS[1], 0),
        (LABELS[0], 2),
    ] {
        let value = value(label, version);
        process.submit(label, version, &value).await.unwrap();
        stores.push(world.store.crash());
    }
    process.stop().await.unwrap();
    (world, stores)
}

/// How logs with damaged stores fared.
#[derive(Default, Debug)]
struct Outcome {
    /// Those that were not refused at start.
    starts: u32,
    /// Answers that verify.
    answers: u32,
    /// Answers that a device refuses.
    unverified: u32,
    /// Those that ended by a panic.
    panics: u32,
}

/// Starts the log, if it may, and uses it. `expected` is what lookups must find.
async fn go_on(world: &World, history: &History, expected: &[Found; 3], outcome: &mut Outcome) {
    let Ok(mut process) = world.try_start(EAGER) else {
        return;
    };
    outcome.starts += 1;
    process.begun().await;
    let look_up = async |outcome: &mut Outcome, known: [u32; 3]| {
        let Some(head) = process.newest().await else {
            return;
        };
        for ((label, before), known) in LABELS.into_iter().zip(expected).zip(known) {
            match process.desk.ask(&head.signed, label) {
                Err(_) => {}
                Ok(Err(_)) => outcome.unverified += 1,
                Ok(Ok(found)) if found == *before => outcome.answers += 1,
                Ok(Ok((found, content))) => {
                    assert!(found >= before.0 && found < Some(known), "{label}");
                    assert_eq!(content, value(label, found.unwrap()));
                }
            }
        }
    };
    look_up(outcome, [0; 3]).await;
    let mut known = [0; 3];
    for ((label, before), known) in LABELS.into_iter().zip(expected).zip(&mut known) {
        // Also versions that exist: a log that forgot them must not make them again.
        for version in 0..before.0.map_or(0, |greatest| greatest + 1) + 2 {
            let value = value(label, version);
            let answer = process.submit(label, version, &value).await;
            let is_new = before.0.is_none_or(|greatest| version > greatest);
            assert!(is_new || answer.is_err(), "{label} {version} again");
            *known = version + 1;
        }
    }
    look_up(outcome, known).await;
    process.shutdown.cancel();
    // It may have stopped by itself.
    outcome.panics += u32::from(process.sequencing.await.is_err());
    let mut history = history.clone();
    history.extend(&world.ledger());
    history.check_heads(world);
}

fn expected() -> [Found; 3] {
    let newest = |label, version| (Some(version), value(label, version));
    [
        newest(LABELS[0], 2),
        newest(LABELS[1], 0),
        (None, Vec::new()),
    ]
}

#[tokio::test]
async fn a_flipped_bit_at_rest_is_refused_or_harmless() {
    let (world, _) = log().await;
    let history = History::of(&world.ledger());
    let mut outcome = Outcome::default();
    for table in Table::ALL {
        for (key, value) in some(rows(&world.store, table)) {
            for byte in [0, value.len() / 3, value.len() * 2 / 3, value.len() - 1] {
                let mut flipped = value.clone();
                flipped[byte] ^= 1 << (byte % 8);
                let damaged = world.with_store(world.store.crash());
                let mut batch = Batch::new();
                batch.put(table, key.clone(), flipped);
                damaged.store.commit(batch).unwrap();
                let unverified = outcome.unverified;
                go_on(&damaged, &history, &expected(), &mut outcome).await;
                // Proofs of search keys are not verified before each answer.
                let is_proof = match table {
                    Table::Accounts => byte >= 4 + 8 + 16,
                    Table::Versions => (8 + 16 + 33..8 + 16 + 33 + 80).contains(&byte),
                    _ => false,
                };
                assert!(
                    is_proof || outcome.unverified == unverified,
                    "byte {byte} of {}",
                    table.name()
                );
            }
        }
    }
    assert!(outcome.starts > 0 && outcome.answers > 0, "{outcome:?}");
    assert_eq!(outcome.panics, 0);
}

#[tokio::test]
async fn a_lost_row_is_refused_or_harmless() {
    let (world, _) = log().await;
    let history = History::of(&world.ledger());
    let mut outcome = Outcome::default();
    for table in Table::ALL {
        for (key, _) in some(rows(&world.store, table)) {
            let damaged = world.with_store(world.store.crash());
            let mut batch = Batch::new();
            batch.remove(table, key);
            damaged.store.commit(batch).unwrap();
            go_on(&damaged, &history, &expected(), &mut outcome).await;
        }
    }
    assert!(outcome.starts > 0 && outcome.answers > 0, "{outcome:?}");
    assert_eq!(outcome.panics, 0, "a version that exists is made again");
    assert_eq!(outcome.unverified, 0);
}

#[tokio::test]
async fn a_store_that_lost_its_last_batches_is_refused() {
    let (world, stores) = log().await;
    let newest = stores.len() - 1;
    for (lost, store) in stores.into_iter().rev().enumerate() {
        let older = world.with_store(store);
        match older.recover() {
            Ok(_) => assert_eq!(lost, 0),
            Err(RecoveryError::BehindAnchor { size, anchored }) => {
                assert_eq!(
                    (size + lost as u64, anchored),
                    (anchored, newest as u64 + 1)
                );
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_torn_batch_is_refused_unless_nothing_of_it_is_there() {
    let mut outcome = Outcome::default();
    for rows in 0.. {
        let (world, _) = log().await;
        let history = History::of(&world.ledger());
        let process = world.start(EAGER);
        world.store.fail_commit(0, CommitFault::DangerTorn { rows });
        let content = value(LABELS[0], 3);
        process.submit(LABELS[0], 3, &content).await.unwrap_err();
        process.ended().await.unwrap_err();
        let torn = world.with_store(world.store.crash());
        let is_whole = torn.ledger().head().unwrap().size > history.log.size();
        if is_whole {
            break;
        }
        // Leaves are written first, and those of no epoch are in the way of the next one.
        match torn.recover() {
            Ok(_) => assert_eq!(rows, 0),
            Err(RecoveryError::Ledger(LedgerError::Damaged { table })) => {
                assert_eq!((rows > 0, table), (true, "leaves"));
            }
            Err(error) => panic!("{rows} rows: {error}"),
        }
        go_on(&torn, &history, &expected(), &mut outcome).await;
    }
    assert_eq!(
        (outcome.starts, outcome.unverified, outcome.panics),
        (1, 0, 0)
    );
    assert!(outcome.answers > 0);
}
