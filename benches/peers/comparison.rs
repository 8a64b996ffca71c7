//! The order of measurements at one size, and the rows that come of them.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::rpc;
use crate::table::Unit::{Bytes, Micros, Rate};
use crate::table::{Row, Samples, Unit};
use crate::task::{Figures, Keys, Remote, Side, Task, figures};
use crate::workload::scattered;

/// Accounts of an epoch of the bulk load: as many updates as wait for our side's sequencer at most.
const LOAD_BATCH: u64 = 32 * 1024;

/// Accounts that have versions 0 to 2.
const VETERANS: u64 = 1_000;

/// Epochs that follow one another in one measurement of updates.
const EPOCHS: u64 = 3;

/// Updates of an epoch that is audited.
const AUDITED: u64 = 1_000;

/// Lookups of which one run's figures are means.
const LOOKUPS: u64 = 200;

/// Most accounts that the peer is asked to hold: it takes 3.2 KB of memory for each.
const PEER_ACCOUNTS_MAX: u64 = 2_000_000;

/// Both sides at one size.
pub struct Comparison {
    accounts: u64,
    runs: usize,
    ours: Remote,
    peer: Option<Remote>,
    /// Samples of both sides by name.
    measured: BTreeMap<String, [Samples; 2]>,
    /// Epochs so far: values are new in each.
    epoch: u64,
    /// Accounts that were updated so far: the next ones follow in scattered order.
    updated: u64,
    /// Accounts that were added after the load.
    added: u64,
}

impl Comparison {
    pub fn new(accounts: u64, runs: usize) -> Self {
        Self {
            accounts,
            runs,
            ours: Remote::start("ours"),
            peer: (accounts <= PEER_ACCOUNTS_MAX).then(|| Remote::start("peer")),
            measured: BTreeMap::new(),
            epoch: 0,
            updated: 0,
            added: 0,
        }
    }

    /// Measures everything, and ends both sides.
    pub fn run(mut self) -> Vec<Row> {
        self.load();
        self.lookups(0, 0..self.accounts);
        self.calls();
        self.veterans();
        for _ in 0..self.runs {
            for batch in [1_000, 10_000] {
                for keys in [Keys::Proved, Keys::Inside, Keys::Ready] {
                    self.update(batch, keys);
                }
                self.add(batch);
            }
            self.audited_update();
        }
        FIGURES.iter().map(|figure| self.row(figure)).collect()
    }

    /// Makes the same lookups on our side alone, and beside each run empty calls, which stand for
    /// the peer.
    fn calls(&mut self) {
        for run in 0..self.runs as u64 {
            let accounts = scattered(self.accounts, run * LOOKUPS, LOOKUPS);
            let version = 0;
            let lookups = self.ours.run(&Task::Lookup { accounts, version });
            let call = figures([("made", rpc::empty_call())]);
            self.note("call", &[Some(lookups), Some(call)], |it| Some(it["made"]));
        }
    }

    /// Gives both sides a task, and tells what they measured of it.
    fn both(&mut self, task: &Task) -> [Option<Figures>; 2] {
        let peer = self.peer.as_mut().map(|peer| peer.run(task));
        [Some(self.ours.run(task)), peer]
    }

    /// Keeps a number of each side that has it.
    fn note(
        &mut self,
        name: &str,
        answers: &[Option<Figures>; 2],
        number: impl Fn(&Figures) -> Option<f64>,
    ) {
        let samples = self.measured.entry(name.to_owned()).or_default();
        for (samples, answer) in samples.iter_mut().zip(answers) {
            samples.0.extend(answer.as_ref().and_then(&number));
        }
    }

    fn load(&mut self) {
        let task = Task::Load {
            accounts: self.accounts,
            batch: LOAD_BATCH,
        };
        let answers = self.both(&task);
        let accounts = self.accounts as f64;
        self.note("load", &answers, |it| Some(accounts / it["seconds"]));
        for quantity in ["memory", "disk"] {
            self.note(quantity, &answers, |it| Some(it.get(quantity)? / accounts));
        }
    }

    /// Looks up accounts of a range that are at one version.
    fn lookups(&mut self, version: u32, range: Range<u64>) {
        for run in 0..self.runs as u64 {
            let places = scattered(range.end - range.start, run * LOOKUPS, LOOKUPS);
            let accounts = places.iter().map(|place| range.start + place).collect();
            let answers = self.both(&Task::Lookup { accounts, version });
            for quantity in ["made", "bytes", "verified"] {
                let name = format!("lookup {version} {quantity}");
                self.note(&name, &answers, |it| Some(it[quantity]));
            }
        }
    }

    /// Brings some accounts to version 2 and looks them up.
    fn veterans(&mut self) {
        for _ in 1..=2 {
            self.publish("veterans", vec![(0..VETERANS).collect()], Keys::Inside);
        }
        self.lookups(2, 0..VETERANS);
    }

    /// Updates some accounts twice, and measures the second time.
    fn update(&mut self, batch: u64, keys: Keys) {
        let epochs = EPOCHS.min(self.accounts / batch);
        let batches: Vec<Vec<u64>> = (0..epochs)
            .map(|epoch| scattered(self.accounts, self.updated + epoch * batch, batch))
            .collect();
        self.updated += epochs * batch;
        self.publish("to odd versions", batches.clone(), keys);
        self.publish(&format!("update {batch} {keys:?}"), batches, keys);
    }

    /// Updates some accounts in one epoch, and audits it.
    fn audited_update(&mut self) {
        let accounts = scattered(self.accounts, self.updated, AUDITED);
        self.updated += AUDITED;
        self.publish("audited", vec![accounts], Keys::Inside);
        self.audit("update");
    }

    fn add(&mut self, batch: u64) {
        let first = self.accounts + self.added;
        self.added += batch;
        let accounts = (first..first + batch).collect();
        self.publish(&format!("add {batch}"), vec![accounts], Keys::Inside);
        if batch == AUDITED {
            self.audit("add");
        }
    }

    /// Epochs of both sides, noted as updates a second and as processor time of one.
    fn publish(&mut self, name: &str, batches: Vec<Vec<u64>>, keys: Keys) {
        self.epoch += 1;
        let count = batches.iter().map(Vec::len).sum::<usize>() as f64;
        let epoch = self.epoch;
        let answers = self.both(&Task::Publish {
            batches,
            epoch,
            keys,
        });
        self.note(name, &answers, |it| Some(count / it["seconds"]));
        let name = format!("{name} processor");
        self.note(&name, &answers, |it| Some(it["processor"] / count));
    }

    fn audit(&mut self, of: &str) {
        let answers = self.both(&Task::Audit);
        for quantity in ["bytes", "verified"] {
            let name = format!("audit {of} {quantity}");
            self.note(&name, &answers, |it| Some(it[quantity] / AUDITED as f64));
        }
    }

    fn row(&self, (name, figure, unit, target): &Figure) -> Row {
        let scale = if *unit == Micros { 1e6 } else { 1.0 };
        let scaled = |it: &Samples| Samples(it.0.iter().map(|n| n * scale).collect());
        let [ours, peer] = self.measured[*name].each_ref().map(scaled);
        Row {
            target: *target,
            ..Row::new(figure, self.accounts, *unit, &ours, &peer)
        }
    }
}

/// The figures whose growth is looked at.
pub const UPDATE_FIGURE: &str = "updates, batch 10,000, search keys ready";
pub const LOOKUP_FIGURE: &str = "lookup proof at version 0, made";

/// The name of samples, the figure that they are, its unit, and the target.
type Figure = (&'static str, &'static str, Unit, Option<f64>);

#[rustfmt::skip]
const FIGURES: [Figure; 24] = [
    ("load", "bulk load, accounts", Rate, None),
    ("update 1000 Inside", "updates, batch 1,000, VRF included", Rate, None),
    ("update 1000 Ready", "updates, batch 1,000, search keys ready", Rate, None),
    ("update 10000 Proved", "updates, batch 10,000, VRF and proofs included", Rate, None),
    ("update 10000 Inside", "updates, batch 10,000, VRF included", Rate, Some(4.0)),
    ("update 10000 Ready", UPDATE_FIGURE, Rate, Some(20.0)),
    ("update 10000 Inside processor", "one of them, VRF included, processor", Micros, None),
    ("update 10000 Ready processor", "one of them, search keys ready, processor", Micros, None),
    ("add 1000", "new accounts, batch 1,000", Rate, None),
    ("add 10000", "new accounts, batch 10,000", Rate, None),
    ("add 10000 processor", "one of them, processor", Micros, None),
    ("lookup 0 made", LOOKUP_FIGURE, Micros, Some(45.0)),
    ("call", "the same beside an empty tonic call of 2 KiB", Micros, Some(1.0)),
    ("lookup 2 made", "lookup proof at version 2, made", Micros, Some(45.0)),
    ("lookup 0 bytes", "lookup proof at version 0, without value", Bytes, Some(2.0)),
    ("lookup 2 bytes", "lookup proof at version 2, without value", Bytes, Some(1.33)),
    ("lookup 0 verified", "lookup proof at version 0, verified", Micros, Some(3.0)),
    ("lookup 2 verified", "lookup proof at version 2, verified", Micros, Some(1.6)),
    ("audit update bytes", "audit of 1,000 updates, an update", Bytes, Some(2.0)),
    ("audit update verified", "audit of 1,000 updates, verified, an update", Micros, Some(30.0)),
    ("audit add bytes", "audit of 1,000 new accounts, an account", Bytes, None),
    ("audit add verified", "audit of 1,000 new accounts, verified, an account", Micros, None),
    ("memory", "memory an account, ours beyond the cache", Bytes, None),
    ("disk", "disk an account, without values", Bytes, Some(600.0)),
];
