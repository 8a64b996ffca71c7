//! What is counted of updates on their way through an epoch.

use std::time::Duration;

use candor_host::metrics::Registry;
use prometheus::{Histogram, HistogramVec, IntCounter};

/// Time that an update waited, checked, until an epoch was built of it, in seconds.
pub const QUEUE_SECONDS: &str = "candor_queue_wait_seconds";
/// Time of each stage of an epoch, in seconds, by `stage`: the value of [`Stage`].
pub const STAGE_SECONDS: &str = "candor_epoch_stage_seconds";
/// Updates of an epoch.
pub const EPOCH_UPDATES: &str = "candor_epoch_updates";
/// Rows that were committed to the store.
pub const COMMIT_ROWS: &str = "candor_commit_rows_total";
/// Keys and values that were committed to the store, in bytes.
pub const COMMIT_BYTES: &str = "candor_commit_bytes_total";

/// From an empty epoch to a store that is out of breath.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
];

/// Up to the most that an epoch may be configured to hold.
const UPDATES: &[f64] = &[
    0.0, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0,
];

/// What is done for an epoch, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Leaves, records and proofs, in memory.
    Build,
    /// The durable batch.
    Commit,
    /// Reading the epoch back, and both signatures.
    Sign,
    /// Moving the anchor.
    Anchor,
}

impl Stage {
    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Commit => "commit",
            Self::Sign => "sign",
            Self::Anchor => "anchor",
        }
    }
}

/// The metrics of epochs.
pub struct Epochs {
    queue_seconds: Histogram,
    stage_seconds: HistogramVec,
    updates: Histogram,
    rows: IntCounter,
    bytes: IntCounter,
}

impl Epochs {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            queue_seconds: registry.histogram(
                QUEUE_SECONDS,
                "Time that an update waited for an epoch.",
                SECONDS,
            ),
            stage_seconds: registry.histograms(
                STAGE_SECONDS,
                "Time of each stage of an epoch.",
                &["stage"],
                SECONDS,
            ),
            updates: registry.histogram(EPOCH_UPDATES, "Updates of an epoch.", UPDATES),
            rows: registry.counter(COMMIT_ROWS, "Rows that were committed."),
            bytes: registry.counter(COMMIT_BYTES, "Bytes that were committed."),
        }
    }

    /// An update waited so long for its epoch.
    pub fn waited(&self, waited: Duration) {
        self.queue_seconds.observe(waited.as_secs_f64());
    }

    /// A stage took so long.
    pub fn stage(&self, stage: Stage, took: Duration) {
        let seconds = self.stage_seconds.with_label_values(&[stage.name()]);
        seconds.observe(took.as_secs_f64());
    }

    /// A batch was stored.
    pub fn committed(&self, rows: usize, bytes: u64) {
        self.rows.inc_by(rows as u64);
        self.bytes.inc_by(bytes);
    }

    /// An epoch of so many updates is out.
    pub(super) fn closed(&self, updates: usize) {
        self.updates.observe(updates as f64);
    }
}
