//! Epochs of a map, checked on one thread as they come from the log's feed.

use candor_benches::process::timed;
use candor_benches::report::{Report, Samples};
use candor_benches::{Tree, leaves};
use candor_core::epoch::{EpochRecord, LogConfig};
use candor_core::limits::EPOCH_INSERTS_MAX;
use candor_core::map::AuditDelta;
use candor_witness::map::MapProgress;

const ORIGIN: &str = "log.example";

/// Versions that a measured epoch inserts.
const BATCHES: [u64; 2] = [1_000, 10_000];

/// Measures a witness of a map that has so many leaves at first.
pub fn measure(size: u64, runs: usize, report: &mut Report) {
    let mut map = Map::new();
    while map.size < size {
        map.check_epoch((size - map.size).min(EPOCH_INSERTS_MAX as u64));
    }
    for batch in BATCHES {
        let mut rates = Samples::default();
        let mut bytes = Samples::default();
        for _ in 0..runs {
            let (seconds, length) = map.check_epoch(batch);
            rates.0.push(batch as f64 / seconds);
            bytes.0.push(length as f64 / batch as f64);
        }
        let mut note = |figure: &str, unit: &str, samples: &Samples| {
            report.note(&format!("epoch of {batch}: {figure}"), size, unit, samples);
        };
        note("versions checked", "1/s", &rates);
        note("delta, a version", "B", &bytes);
    }
}

/// A map, as its log and its witness have it.
struct Map {
    tree: Tree,
    size: u64,
    progress: MapProgress,
}

impl Map {
    fn new() -> Self {
        let config = LogConfig {
            origin: ORIGIN.to_owned(),
            vrf_public_key: [1; 32],
            created_ms: 0,
        };
        Self {
            tree: Tree::over(&[]),
            size: 0,
            progress: MapProgress::start(ORIGIN, &config.encode()).unwrap(),
        }
    }

    /// An epoch that inserts so many leaves: the seconds of its check, and the delta's length.
    fn check_epoch(&mut self, inserts: u64) -> (f64, usize) {
        let size = self.size + inserts;
        let Ok(delta) = AuditDelta::build(&&self.tree, &leaves(self.size..size));
        self.tree = Tree::over(&leaves(0..size));
        self.size = size;
        let record = EpochRecord {
            timestamp_ms: size,
            prefix_tree: self.tree.root(),
            leaves: size,
            audit_digest: delta.digest(),
        };
        let record = record.encode();
        let (checked, [seconds, _]) =
            timed(|| self.progress.after(ORIGIN, &record, &delta).unwrap());
        self.progress = checked;
        (seconds, delta.as_bytes().len())
    }
}
