//! What the server counts. Names and units are constants; labels have few, known values, and
//! nothing of a person. What is counted by stage is in the files below.

pub mod epochs;
pub mod history;
pub mod parts;
pub mod reads;
pub mod tally;

use std::sync::OnceLock;
use std::time::Duration;

use candor_host::metrics::Registry;
use candor_host::request::Requests;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use self::epochs::Epochs;
use self::history::{Counts, History};
use self::parts::{Parts, Sources};
use self::reads::Reads;
use crate::head::{PublishedSecond, SignedHead};
use crate::publisher::Status;
use crate::sequencer::epoch::Tip;

/// Size of the newest signed head, in records.
pub const SIGNED_SIZE: &str = "candor_log_signed_size_records";
/// Size of the published head, in records.
pub const PUBLISHED_SIZE: &str = "candor_log_published_size_records";
/// Time of the published head's newest record, in seconds since the Unix epoch.
pub const PUBLISHED_TIMESTAMP: &str = "candor_log_published_timestamp_seconds";
/// Size of the second head, in records.
pub const SECOND_SIZE: &str = "candor_log_second_size_records";
/// When the second policy's quorum was met for it, in seconds since the Unix epoch.
pub const SECOND_TIMESTAMP: &str = "candor_log_second_timestamp_seconds";
/// Label-versions in the map.
pub const MAP_LEAVES: &str = "candor_map_leaves";
/// Updates that became part of an epoch.
pub const UPDATES_COMMITTED: &str = "candor_updates_committed_total";
/// Updates that were refused, by code.
pub const UPDATES_REFUSED: &str = "candor_updates_refused_total";
/// Epochs that could not be stored.
pub const COMMIT_FAILURES: &str = "candor_commit_failures_total";
/// Time to build, store and sign an epoch, in seconds.
pub const EPOCH_SECONDS: &str = "candor_epoch_close_seconds";
/// Time from an epoch's record to its publication, in seconds.
pub const PUBLISH_SECONDS: &str = "candor_publish_delay_seconds";
/// Time until a witness cosigned, in seconds, by witness.
pub const COSIGN_SECONDS: &str = "candor_witness_cosign_seconds";
/// Cosignatures obtained, by witness.
pub const COSIGNED: &str = "candor_witness_cosigned_total";
/// Failed requests to witnesses, by witness and kind.
pub const WITNESS_FAILURES: &str = "candor_witness_failures_total";
/// Whether an alarm about the witness stands, by witness.
pub const WITNESS_ALARM: &str = "candor_witness_alarm";
/// Records of the newest signed head that the witness has not cosigned, by witness.
pub const WITNESS_LAG_RECORDS: &str = "candor_witness_lag_records";
/// Time since the witness cosigned, in seconds, by witness.
pub const WITNESS_LAG_SECONDS: &str = "candor_witness_lag_seconds";
/// Whether the quorum of witnesses is lost.
pub const QUORUM_LOST: &str = "candor_quorum_lost";
/// Versions whose opening and value were erased.
pub const VERSIONS_ERASED: &str = "candor_versions_erased_total";
/// Lookups answered, by result: present, absent, failed.
pub const LOOKUPS: &str = "candor_lookups_total";
/// Calls that were refused, by limit: lookups, absent, repeats, updates, account-updates, streams,
/// reads.
pub const LIMITED: &str = "candor_limited_total";
/// Clients, registrars or labels whose bucket is not full, by limit.
pub const LIMITS_TRACKED: &str = "candor_limits_tracked";
/// Of those, how many were forgotten for want of room since the start, by limit.
pub const LIMITS_FORGOTTEN: &str = "candor_limits_forgotten";
/// Calls that wait for their turn to read the store, by class: plain, costly, feed.
pub const READS_WAITING: &str = "candor_reads_waiting";

const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// The server's counters.
pub struct Metrics {
    /// Where they are registered.
    pub registry: Registry,
    /// [`SIGNED_SIZE`].
    pub signed_size: IntGauge,
    /// [`COMMIT_FAILURES`].
    pub commit_failures: IntCounter,
    /// Updates on their way through an epoch.
    pub epochs: Epochs,
    /// Those who read.
    pub reads: Reads,
    /// Requests of both ports.
    pub requests: Requests,
    /// How the log did lately.
    pub history: History,
    parts: Parts,
    sources: OnceLock<Sources>,
    published_size: IntGauge,
    published_timestamp: IntGauge,
    second_size: IntGauge,
    second_timestamp: IntGauge,
    map_leaves: IntGauge,
    updates_committed: IntCounter,
    updates_refused: IntCounterVec,
    epoch_seconds: Histogram,
    publish_seconds: Histogram,
    cosign_seconds: HistogramVec,
    cosigned: IntCounterVec,
    witness_failures: IntCounterVec,
    witness_alarm: IntGaugeVec,
    witness_lag_records: IntGaugeVec,
    witness_lag_seconds: IntGaugeVec,
    quorum_lost: IntGauge,
    versions_erased: IntCounter,
    lookups: IntCounterVec,
    limited: IntCounterVec,
    limits_tracked: IntGaugeVec,
    limits_forgotten: IntGaugeVec,
    reads_waiting: IntGaugeVec,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers all counters in a registry of their own.
    pub fn new() -> Self {
        let registry = Registry::new();
        registry.process("candor-server", env!("CARGO_PKG_VERSION"));
        Self {
            epochs: Epochs::new(&registry),
            reads: Reads::new(&registry),
            requests: Requests::new(&registry),
            history: History::default(),
            parts: Parts::new(&registry),
            sources: OnceLock::new(),
            signed_size: registry.gauge(SIGNED_SIZE, "Size of the newest signed head, in records."),
            published_size: registry
                .gauge(PUBLISHED_SIZE, "Size of the published head, in records."),
            published_timestamp: registry.gauge(
                PUBLISHED_TIMESTAMP,
                "Time of the published head's newest record.",
            ),
            second_size: registry.gauge(SECOND_SIZE, "Size of the second head, in records."),
            second_timestamp: registry.gauge(
                SECOND_TIMESTAMP,
                "When the second policy's quorum was met for the second head.",
            ),
            map_leaves: registry.gauge(MAP_LEAVES, "Label-versions in the map."),
            updates_committed: registry
                .counter(UPDATES_COMMITTED, "Updates that became part of an epoch."),
            updates_refused: registry.counters(
                UPDATES_REFUSED,
                "Updates that were refused, by code.",
                &["code"],
            ),
            commit_failures: registry.counter(COMMIT_FAILURES, "Epochs that could not be stored."),
            epoch_seconds: registry.histogram(
                EPOCH_SECONDS,
                "Time to build, store and sign an epoch.",
                SECONDS,
            ),
            publish_seconds: registry.histogram(
                PUBLISH_SECONDS,
                "Time from an epoch's record to its publication.",
                SECONDS,
            ),
            cosign_seconds: registry.histograms(
                COSIGN_SECONDS,
                "Time until a witness cosigned, by witness.",
                &["witness"],
                SECONDS,
            ),
            cosigned: registry.counters(
                COSIGNED,
                "Cosignatures obtained, by witness.",
                &["witness"],
            ),
            witness_failures: registry.counters(
                WITNESS_FAILURES,
                "Failed requests to witnesses, by witness and kind.",
                &["witness", "kind"],
            ),
            witness_alarm: registry.gauges(
                WITNESS_ALARM,
                "Whether an alarm about the witness stands.",
                &["witness"],
            ),
            witness_lag_records: registry.gauges(
                WITNESS_LAG_RECORDS,
                "Records of the newest signed head that the witness has not cosigned.",
                &["witness"],
            ),
            witness_lag_seconds: registry.gauges(
                WITNESS_LAG_SECONDS,
                "Time since the witness cosigned, or since the start.",
                &["witness"],
            ),
            quorum_lost: registry.gauge(QUORUM_LOST, "Whether the quorum of witnesses is lost."),
            versions_erased: registry.counter(
                VERSIONS_ERASED,
                "Versions whose opening and value were erased.",
            ),
            lookups: registry.counters(
                LOOKUPS,
                "Lookups answered, by result: present, absent, failed.",
                &["result"],
            ),
            limited: registry.counters(LIMITED, "Calls that were refused, by limit.", &["limit"]),
            limits_tracked: registry.gauges(
                LIMITS_TRACKED,
                "Clients, registrars or labels whose bucket is not full, by limit.",
                &["limit"],
            ),
            limits_forgotten: registry.gauges(
                LIMITS_FORGOTTEN,
                "Buckets that were forgotten in debt since the start, by limit.",
                &["limit"],
            ),
            reads_waiting: registry.gauges(
                READS_WAITING,
                "Calls that wait for their turn to read the store, by class.",
                &["class"],
            ),
            registry,
        }
    }

    /// Has the parts of the running server asked whenever the metrics are read.
    pub fn attach(&self, sources: Sources) {
        // There is one server in a process: a second one is not asked.
        let _attached = self.sources.set(sources);
    }

    /// All metrics, as a scraper reads them. Blocks: some are asked of the disk.
    pub fn text(&self) -> String {
        if let Some(sources) = self.sources.get() {
            self.parts.ask(sources);
        }
        self.registry.text()
    }

    /// What was counted so far, for the status page.
    pub fn counts(&self, now_s: u64) -> Counts {
        let lookups = ["present", "absent", "failed"].map(|result| {
            let counted = self.lookups.with_label_values(&[result]);
            counted.get()
        });
        Counts {
            at_s: now_s,
            updates: self.updates_committed.get(),
            lookups: lookups.iter().sum(),
            size: u64::try_from(self.published_size.get()).unwrap_or_default(),
            publications: self.publish_seconds.get_sample_count(),
            publication_seconds: self.publish_seconds.get_sample_sum(),
        }
    }

    /// [`MAP_LEAVES`].
    pub fn leaves(&self) -> u64 {
        u64::try_from(self.map_leaves.get()).unwrap_or_default()
    }

    /// The log was found to stand here.
    pub fn recovered(&self, tip: &Tip) {
        self.map_leaves
            .set(i64::try_from(tip.map.leaves).unwrap_or(i64::MAX));
    }

    /// An epoch was closed with this many updates.
    pub fn epoch_closed(&self, tip: &Tip, updates: usize, took: Duration) {
        self.epoch_seconds.observe(took.as_secs_f64());
        self.epochs.closed(updates);
        self.updates_committed.inc_by(updates as u64);
        self.map_leaves
            .set(i64::try_from(tip.map.leaves).unwrap_or(i64::MAX));
    }

    /// An update was refused.
    pub fn refused(&self, code: &'static str) {
        self.updates_refused.with_label_values(&[code]).inc();
    }

    /// A head was published, for the first time if `newer`.
    pub fn published(&self, head: &SignedHead, newer: bool, now_ms: u64) {
        self.published_size
            .set(i64::try_from(head.size).unwrap_or(i64::MAX));
        self.published_timestamp
            .set(i64::try_from(head.timestamp_ms / 1000).unwrap_or(i64::MAX));
        if newer {
            let delay = Duration::from_millis(now_ms.saturating_sub(head.timestamp_ms));
            self.publish_seconds.observe(delay.as_secs_f64());
        }
    }

    /// A second head is kept.
    pub fn second_published(&self, second: &PublishedSecond) {
        let size = i64::try_from(second.size).unwrap_or(i64::MAX);
        self.second_size.set(size);
        let at_s = i64::try_from(second.published_s).unwrap_or(i64::MAX);
        self.second_timestamp.set(at_s);
    }

    /// A witness cosigned.
    pub fn cosigned(&self, url: &str, took: Duration) {
        self.cosigned.with_label_values(&[url]).inc();
        let seconds = self.cosign_seconds.with_label_values(&[url]);
        seconds.observe(took.as_secs_f64());
    }

    /// A witness did not cosign.
    pub fn witness_failed(&self, url: &str, kind: &'static str) {
        self.witness_failures.with_label_values(&[url, kind]).inc();
    }

    /// How publication is doing at this moment, which nothing that happens could tell: a witness
    /// that is silent falls behind.
    pub fn publication(&self, status: &Status, now_s: u64) {
        self.quorum_lost.set(status.quorum_lost_s.is_some().into());
        for witness in &status.witnesses {
            let labels = [witness.url.as_str()];
            let alarm = self.witness_alarm.with_label_values(&labels);
            alarm.set(witness.alarm.is_some().into());
            let cosigned = i64::try_from(witness.size).unwrap_or(i64::MAX);
            let lag_records = self.signed_size.get().saturating_sub(cosigned).max(0);
            let records = self.witness_lag_records.with_label_values(&labels);
            records.set(lag_records);
            let lag_s = now_s.saturating_sub(witness.cosigned_s);
            let seconds = self.witness_lag_seconds.with_label_values(&labels);
            seconds.set(i64::try_from(lag_s).unwrap_or(i64::MAX));
        }
    }

    /// Opening and value of so many versions were erased.
    pub fn erased(&self, versions: u32) {
        self.versions_erased.inc_by(versions.into());
    }

    /// A lookup was answered.
    pub fn looked_up(&self, result: &'static str) {
        self.lookups.with_label_values(&[result]).inc();
    }

    /// A call was refused.
    pub fn limited(&self, limit: &'static str) {
        self.limited.with_label_values(&[limit]).inc();
    }

    /// How full a table of buckets is.
    pub fn limits_tracked(&self, limit: &'static str, tracked: usize, forgotten: u64) {
        let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let labels = [limit];
        let gauge = self.limits_tracked.with_label_values(&labels);
        gauge.set(number(tracked as u64));
        let gauge = self.limits_forgotten.with_label_values(&labels);
        gauge.set(number(forgotten));
    }

    /// Counts those who wait for a turn of one class.
    pub fn reads_waiting(&self, class: &'static str) -> IntGauge {
        self.reads_waiting.with_label_values(&[class])
    }
}
