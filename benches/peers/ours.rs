//! Our side: the server without its ports. Updates go in at admission and are answered when their
//! epoch is stored, signed and anchored; lookups are proved from the newest head.

use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_benches::process::{self, thread_time, timed};
use candor_core::Hash;
use candor_core::account::Label;
use candor_core::answer::Query;
use candor_core::crypto::vrf::vrf_input;
use candor_core::map::AuditDelta;
use candor_server::ledger::{Account, Ledger};
use candor_server::lookup::prove_account;
use candor_server::storage::{Engine, StoreOptions, Table};
use fjall::Database;
use futures::stream::{self, StreamExt as _};
use rayon::prelude::*;
use tempfile::TempDir;

use crate::log::Log;
use crate::task::{Figures, Keys, Side, Task, figures};
use crate::workload::{VALUE_BYTES, label, primary_state, value};

/// Cache of the whole server for each account that it is to hold, in bytes: enough for most of them
/// and their part of the tree, and less than the peer takes.
const CACHE_BYTES_EACH: u64 = 2 << 10;

/// The smallest and the largest cache: the epochs under way need some for themselves.
const CACHE_BYTES: RangeInclusive<u64> = 512 << 20..=8 << 30;

/// What the table says of this side.
pub const CONFIGURATION: &str = "\
    Candor: the server's admission, sequencer and default store, with a cache of 2 KiB an \
    account, at least 512 MiB and at most 8 GiB; every epoch is one synced commit of leaf, \
    account and version rows, log tiles and audit delta; its checkpoint is signed with \
    Ed25519 and ML-DSA-44 and the anchor moved before an update counts. Not cosigned here. \
    Accounts are loaded into memory after a start, as the server does. Updates lead from odd \
    to even versions, whose ladders are the same; with the VRF included, each update's \
    search key is computed in the time measured, and with proofs its proof too.";

/// Updates that are on their way at a time: below what admission has room for.
const UPDATES_MAX: usize = 48 * 1024;

/// Cache of the store that is opened to see what is in memory beside it.
const REST_CACHE_BYTES: u64 = 8 << 20;

/// From this size on the rows fill that cache.
const MEMORY_ACCOUNTS_MIN: u64 = 1_000_000;

/// An update as a caller has it.
struct Update {
    label: Label,
    version: u32,
    value: Vec<u8>,
}

/// A log on the disk that holds the build.
pub struct Ours {
    directory: TempDir,
    log: Option<Log>,
    cache_bytes: u64,
    /// Roots of the map at the last two epochs.
    roots: [Hash; 2],
}

impl Ours {
    /// An empty log.
    pub fn new() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Log::create(directory.path());
        Self {
            directory,
            log: None,
            cache_bytes: 0,
            roots: [Hash::ZERO; 2],
        }
    }

    fn log(&self) -> &Log {
        self.log.as_ref().expect("a load opens the log")
    }

    /// Adds a version to each account, an epoch for each batch, and answers the times of it.
    fn publish(&mut self, batches: &[Vec<u64>], epoch: u64, keys: Keys) -> [f64; 2] {
        self.register_primary(epoch);
        let before = self.root();
        let updates: Vec<Update> = batches
            .iter()
            .flatten()
            .map(|account| self.update(*account, epoch))
            .collect();
        let ((), times) = timed(|| {
            for batch in batches {
                self.log().close_after(batch.len());
            }
            self.submit(&updates, keys);
        });
        self.roots = [before, self.root()];
        self.complete(&updates);
        times
    }

    /// Has what the epoch's bindings lead to in the log.
    fn register_primary(&self, epoch: u64) {
        let (log, state) = (self.log(), primary_state(epoch));
        let known = log.ledger.account(state.label()).unwrap();
        if known.greatest().is_none() {
            log.close_after(1);
            let value = state.encode();
            let submitted = log.admission.submit(state.label().as_str(), 0, &value);
            log.runtime.block_on(submitted).unwrap();
        }
    }

    fn root(&self) -> Hash {
        self.log()
            .head()
            .map_or(Hash::ZERO, |head| head.skeleton.hash())
    }

    fn update(&self, account: u64, epoch: u64) -> Update {
        let label = label(account);
        let known = self.log().ledger.account(&label).unwrap();
        Update {
            version: known.greatest().map_or(0, |greatest| greatest + 1),
            value: value(account, epoch).encode(),
            label,
        }
    }

    fn submit(&self, updates: &[Update], keys: Keys) {
        let log = self.log();
        let submissions = updates.iter().map(async |update| {
            let Update {
                label,
                version,
                value,
            } = update;
            // They were computed ahead: as if they had not been.
            let (vrf, input) = (Arc::clone(&log.vrf), vrf_input(label.as_bytes(), *version));
            match keys {
                Keys::Proved if *version > 0 => {
                    let compute = move || std::hint::black_box(vrf.prove(&input));
                    log.on_a_worker(compute).await;
                }
                Keys::Inside if *version > 0 => {
                    let compute = move || std::hint::black_box(vrf.evaluate(&input));
                    log.on_a_worker(compute).await;
                }
                _ => {}
            }
            log.admission.submit(label.as_str(), *version, value).await
        });
        let mut submissions = stream::iter(submissions).buffer_unordered(UPDATES_MAX);
        log.runtime.block_on(async {
            while let Some(answer) = submissions.next().await {
                answer.unwrap();
            }
        });
    }

    /// Waits until the ladders after these updates are computed and stored.
    fn complete(&self, updates: &[Update]) {
        let log = self.log();
        updates.par_iter().for_each(|update| {
            log.ledger
                .account(&update.label)
                .unwrap()
                .complete(&log.vrf);
        });
        log.store_ladders();
    }

    fn lookup(&self, accounts: &[u64], version: u32) -> Figures {
        let log = self.log();
        let head = log.head().unwrap();
        let labels: Vec<Label> = accounts.iter().copied().map(label).collect();
        let prove = |label| {
            prove_account(&log.ledger, &log.ladders, &head, label, &Query::GREATEST).unwrap()
        };
        let started = thread_time();
        let proofs: Vec<_> = labels.iter().map(|label| prove(label).encode()).collect();
        let made = (thread_time() - started).as_secs_f64();
        let bytes: usize = proofs.iter().map(|proof| proof.len() - VALUE_BYTES).sum();
        let proofs: Vec<_> = labels.iter().map(prove).collect();
        let (public, root) = (log.vrf.public_key(), head.skeleton.hash());
        let started = thread_time();
        for (label, proof) in labels.iter().zip(proofs) {
            let account = proof.verify(label.as_bytes(), &Query::GREATEST, public, &root);
            assert_eq!(account.unwrap().greatest(), Some(version));
        }
        let verified = (thread_time() - started).as_secs_f64();
        let count = accounts.len() as f64;
        figures([
            ("made", made / count),
            ("bytes", bytes as f64 / count),
            ("verified", verified / count),
        ])
    }

    fn audit(&self) -> Figures {
        let log = self.log();
        let delta = log.ledger.delta(log.head().unwrap().epoch()).unwrap();
        let bytes = delta.len() as f64;
        let delta = AuditDelta::from_bytes(delta).unwrap();
        let [old, new] = &self.roots;
        let started = Instant::now();
        delta.verify(old, new).unwrap();
        let verified = started.elapsed().as_secs_f64();
        figures([("bytes", bytes), ("verified", verified)])
    }

    fn load(&mut self, accounts: u64, batch: u64) -> Figures {
        let empty = self.rest();
        let (least, most) = CACHE_BYTES.into_inner();
        self.cache_bytes = (accounts * CACHE_BYTES_EACH).clamp(least, most);
        self.open();
        let mut seconds = 0.0;
        for first in (0..accounts).step_by(usize::try_from(batch).unwrap()) {
            let some = (first..(first + batch).min(accounts)).collect();
            seconds += self.publish(&[some], 0, Keys::Inside)[0];
        }
        drop(self.log.take());
        let full = self.rest();
        self.open();
        let values = accounts as f64 * VALUE_BYTES as f64;
        let grown = |quantity| full[quantity] - empty[quantity];
        let mut answer = figures([("seconds", seconds), ("disk", grown("disk") - values)]);
        if accounts >= MEMORY_ACCOUNTS_MIN {
            answer.insert(
                "memory".to_owned(),
                grown("memory") - REST_CACHE_BYTES as f64,
            );
        }
        answer
    }

    fn open(&mut self) {
        let log = Log::open(self.directory.path(), self.cache_bytes);
        let next = &mut |_: &Arc<Account>| ControlFlow::Continue(());
        log.ledger.load_accounts(next).unwrap();
        self.log = Some(log);
    }

    /// Looks at the store, which is closed, from a process that has done nothing else.
    fn rest(&self) -> Figures {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--side", "rest", "--store"])
            .arg(Log::store(self.directory.path()))
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).expect("the process answers")
    }
}

impl Side for Ours {
    fn run(&mut self, task: &Task) -> Figures {
        match task {
            Task::Load { accounts, batch } => self.load(*accounts, *batch),
            Task::Publish {
                batches,
                epoch,
                keys,
            } => {
                let [seconds, processor] = self.publish(batches, *epoch, *keys);
                figures([("seconds", seconds), ("processor", processor)])
            }
            Task::Lookup { accounts, version } => self.lookup(accounts, *version),
            Task::Audit => self.audit(),
        }
    }
}

/// What a store takes on disk once it is compacted, and its map in memory.
pub fn rest(path: &Path) -> Figures {
    compact(path);
    let disk = process::disk_bytes(path);
    let options = StoreOptions {
        cache_bytes: REST_CACHE_BYTES,
        ..StoreOptions::new(path)
    };
    let ledger = Ledger::new(Engine::Fjall.open(&options).unwrap(), 0);
    let skeleton = ledger.load_map(&ledger.leaves(u64::MAX)).unwrap();
    let memory = process::anonymous_bytes();
    drop(skeleton);
    figures([("disk", disk as f64), ("memory", memory as f64)])
}

/// Has the engine do now what it does when files have piled up.
fn compact(path: &Path) {
    let database = Database::builder(path.join("fjall")).open().unwrap();
    for table in Table::ALL {
        let table = database.keyspace(table.name(), Default::default).unwrap();
        table.rotate_memtable_and_wait().unwrap();
        table.major_compact().unwrap();
    }
    // The journal goes once everything in it is in the tables.
    let deadline = Instant::now() + Duration::from_secs(30);
    while database.journal_count() > 1 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
}
