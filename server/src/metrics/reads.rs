//! What is counted of those who read.

use std::time::Duration;

use candor_host::metrics::Registry;
use prometheus::{Histogram, HistogramVec, IntCounter, IntGauge, IntGaugeVec};

/// Time to prove the accounts of a lookup, in seconds, by `result`: `answered`, `failed`.
pub const LOOKUP_SECONDS: &str = "candor_lookup_seconds";
/// Labels of a batch of lookups.
pub const LOOKUP_QUERIES: &str = "candor_lookup_batch_queries";
/// Versions that an account proof opens: one for the newest, more where a history was asked for.
pub const LOOKUP_VERSIONS: &str = "candor_lookup_opened_versions";
/// Reads of the store in work.
pub const READS_RUNNING: &str = "candor_reads_running";
/// Streams that are open, by `kind`: `audit`, `heads`, `updates`.
pub const STREAMS: &str = "candor_streams_open";
/// Epochs that audit feeds sent.
pub const AUDIT_EPOCHS: &str = "candor_audit_epochs_sent_total";
/// Records and deltas that audit feeds sent, in bytes.
pub const AUDIT_BYTES: &str = "candor_audit_sent_bytes_total";

/// From an answer out of memory to the time that a lookup may take.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0,
];

/// Up to the most labels of a batch.
const QUERIES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

const VERSIONS: &[f64] = &[0.0, 1.0, 2.0, 4.0, 16.0, 64.0, 256.0];

/// A kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// The audit feed.
    Audit,
    /// Heads as they are published.
    Heads,
    /// Updates.
    Updates,
}

impl StreamKind {
    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Heads => "heads",
            Self::Updates => "updates",
        }
    }
}

/// The metrics of readers.
pub struct Reads {
    lookup_seconds: HistogramVec,
    queries: Histogram,
    versions: Histogram,
    running: IntGauge,
    streams: IntGaugeVec,
    audit_epochs: IntCounter,
    audit_bytes: IntCounter,
}

impl Reads {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            lookup_seconds: registry.histograms(
                LOOKUP_SECONDS,
                "Time to prove the accounts of a lookup.",
                &["result"],
                SECONDS,
            ),
            queries: registry.histogram(LOOKUP_QUERIES, "Labels of a batch.", QUERIES),
            versions: registry.histogram(
                LOOKUP_VERSIONS,
                "Versions that an account proof opens.",
                VERSIONS,
            ),
            running: registry.gauge(READS_RUNNING, "Reads in work."),
            streams: registry.gauges(STREAMS, "Streams that are open.", &["kind"]),
            audit_epochs: registry.counter(AUDIT_EPOCHS, "Epochs that audit feeds sent."),
            audit_bytes: registry.counter(AUDIT_BYTES, "Bytes that audit feeds sent."),
        }
    }

    /// The accounts of a lookup were proved, or not, in this time.
    pub fn proved(&self, is_answered: bool, took: Duration) {
        let result = if is_answered { "answered" } else { "failed" };
        let seconds = self.lookup_seconds.with_label_values(&[result]);
        seconds.observe(took.as_secs_f64());
    }

    /// A batch of so many labels was asked for.
    pub fn batch(&self, queries: usize) {
        self.queries.observe(queries as f64);
    }

    /// An account proof opens so many versions.
    pub fn opened(&self, versions: usize) {
        self.versions.observe(versions as f64);
    }

    /// A read is in work, until what is returned is dropped.
    pub fn running(&self) -> Present {
        Present::of(&self.running)
    }

    /// A stream is open, until what is returned is dropped.
    pub fn stream(&self, kind: StreamKind) -> Present {
        Present::of(&self.streams.with_label_values(&[kind.name()]))
    }

    /// An audit feed sent an epoch of so many bytes.
    pub fn epoch_sent(&self, bytes: usize) {
        self.audit_epochs.inc();
        self.audit_bytes.inc_by(bytes as u64);
    }
}

/// Something that a gauge counts while it is there, however it goes.
pub struct Present(IntGauge);

impl Present {
    fn of(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}
