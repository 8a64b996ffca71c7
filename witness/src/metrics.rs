//! What the witness counts. The label `origin` holds only origins of witnessed logs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use candor_host::metrics::Registry;
use candor_host::request::Requests;
use candor_host::space::Space;
use prometheus::{Histogram, IntCounterVec, IntGauge, IntGaugeVec};

/// Requests to add a checkpoint, by `outcome`: the value of [`Outcome`].
pub const REQUESTS: &str = "candor_witness_requests_total";
/// Requests to cosign a subtree, by `outcome`.
pub const SUBTREES: &str = "candor_witness_subtree_requests_total";
/// Time until a request to add a checkpoint was answered, in seconds, whatever the answer.
pub const REQUEST_SECONDS: &str = "candor_witness_request_seconds";
/// Disk space that database, anchor and evidence take, in bytes.
pub const STATE_BYTES: &str = "candor_witness_state_disk_bytes";
/// Free space on their disk, in bytes.
pub const STATE_FREE: &str = "candor_witness_state_free_bytes";
/// Logs that are witnessed.
pub const LOGS: &str = "candor_witness_logs";
/// Entries of the newest cosigned checkpoint, by `origin`.
pub const LOG_SIZE: &str = "candor_witness_log_size_entries";
/// Entries of the log up to which the map was checked, by `origin`.
pub const MAP_SIZE: &str = "candor_witness_map_size_entries";
/// Epochs between the map's check and the log's head as of some seconds ago, by `origin`.
pub const MAP_BEHIND: &str = "candor_witness_map_behind_epochs";
/// Epochs checked, by `origin`.
pub const MAP_EPOCHS: &str = "candor_witness_map_epochs_checked_total";
/// Versions in the epochs checked, by `origin`.
pub const MAP_VERSIONS: &str = "candor_witness_map_versions_checked_total";
/// 1 while the log is suspended because it contradicted itself, by `origin`.
pub const LOG_ALARM: &str = "candor_witness_log_alarm";
/// 1 while the log is suspended because this witness may have forgotten what it signed, by
/// `origin`.
pub const QUARANTINE: &str = "candor_witness_quarantine";
/// 1 while a list has another key for the log than this witness, by `origin`.
pub const KEY_ALARM: &str = "candor_witness_key_alarm";
/// Lists that could not be read, or not be taken over whole, by `list` as the configuration names
/// it.
pub const LIST_FAILURES: &str = "candor_witness_list_failures_total";
/// 1 while a bastion passes requests on, by `bastion` as the configuration has its address.
pub const BASTION_CONNECTED: &str = "candor_witness_bastion_connected";
/// Connections to a bastion that failed or ended, by `bastion`.
pub const BASTION_RECONNECTS: &str = "candor_witness_bastion_reconnects_total";
/// 1 while the map is not cosigned because it failed a check, by `origin`.
pub const MAP_ALARM: &str = "candor_witness_map_alarm";
/// Broken connections to a log's audit feed, by `origin`.
pub const MAP_RECONNECTS: &str = "candor_witness_map_reconnects_total";
/// 1 while a log is not shown to be consistent with what a peer has of it, by `origin`.
pub const UNRECONCILED: &str = "candor_witness_unreconciled";
/// When an exchange with a peer succeeded last, in POSIX seconds, by `peer` as the configuration
/// has its address.
pub const PEER_EXCHANGE: &str = "candor_witness_peer_exchange_timestamp_seconds";
/// Exchanges with a peer that failed, by `peer`.
pub const PEER_FAILURES: &str = "candor_witness_peer_failures_total";
/// Messages of peers, and parts of them, that were dropped, by `peer` and `reason`. Who asks is
/// `asker`, since nobody knows who it was.
pub const GOSSIP_DROPPED: &str = "candor_witness_gossip_dropped_total";
/// Contradictions met, by `kind`: `fork`, `unresolved` or `map`.
pub const EVIDENCE: &str = "candor_witness_evidence_total";
/// Seconds until a group of changes was durable.
pub const COMMIT: &str = "candor_witness_commit_seconds";
/// Changes made durable together.
pub const COMMIT_CHANGES: &str = "candor_witness_commit_changes";

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With cosignatures.
    Cosigned,
    /// 400.
    Malformed,
    /// 404.
    UnknownLog,
    /// 403.
    Unsigned,
    /// 409.
    Conflict,
    /// 422.
    Inconsistent,
    /// 503: the log is suspended.
    Suspended,
    /// 429: too many requests at once.
    Busy,
    /// 429: the log asked more often than it may.
    RateLimited,
    /// 503: the witness cannot record or sign.
    Failed,
}

impl Outcome {
    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cosigned => "cosigned",
            Self::Malformed => "malformed",
            Self::UnknownLog => "unknown_log",
            Self::Unsigned => "unsigned",
            Self::Conflict => "conflict",
            Self::Inconsistent => "inconsistent",
            Self::Suspended => "suspended",
            Self::Busy => "busy",
            Self::RateLimited => "rate_limited",
            Self::Failed => "failed",
        }
    }
}

/// The metrics of a witness. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests of both ports.
    pub watched: Requests,
    state: Arc<OnceLock<PathBuf>>,
    requests: IntCounterVec,
    request_seconds: Histogram,
    state_bytes: IntGauge,
    state_free: IntGauge,
    subtrees: IntCounterVec,
    logs: IntGauge,
    evidence: IntCounterVec,
    map_reconnects: IntCounterVec,
    log_size: IntGaugeVec,
    map_size: IntGaugeVec,
    map_behind: IntGaugeVec,
    map_epochs: IntCounterVec,
    map_versions: IntCounterVec,
    log_alarm: IntGaugeVec,
    quarantine: IntGaugeVec,
    key_alarm: IntGaugeVec,
    list_failures: IntCounterVec,
    map_alarm: IntGaugeVec,
    bastion_connected: IntGaugeVec,
    bastion_reconnects: IntCounterVec,
    unreconciled: IntGaugeVec,
    peer_exchange: IntGaugeVec,
    peer_failures: IntCounterVec,
    gossip_dropped: IntCounterVec,
    commit: Histogram,
    commit_changes: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        registry.process("candor-witness", env!("CARGO_PKG_VERSION"));
        let (origin, bastion, peer) = (&["origin"], &["bastion"], &["peer"]);
        Self {
            watched: Requests::new(&registry),
            state: Arc::default(),
            request_seconds: registry.histogram(
                REQUEST_SECONDS,
                "Time until a request was answered.",
                SECONDS,
            ),
            state_bytes: registry.gauge(STATE_BYTES, "Disk space of the state."),
            state_free: registry.gauge(STATE_FREE, "Free space on the state's disk."),
            requests: registry.counters(REQUESTS, "Requests to add a checkpoint.", &["outcome"]),
            subtrees: registry.counters(SUBTREES, "Requests for subtrees.", &["outcome"]),
            logs: registry.gauge(LOGS, "Logs that are witnessed."),
            evidence: registry.counters(EVIDENCE, "Contradictions met.", &["kind"]),
            map_reconnects: registry.counters(MAP_RECONNECTS, "Broken audit feeds.", origin),
            log_size: registry.gauges(LOG_SIZE, "Entries cosigned.", origin),
            map_size: registry.gauges(MAP_SIZE, "Entries whose map was checked.", origin),
            map_behind: registry.gauges(MAP_BEHIND, "Epochs not checked yet.", origin),
            map_epochs: registry.counters(MAP_EPOCHS, "Epochs checked.", origin),
            map_versions: registry.counters(MAP_VERSIONS, "Versions checked.", origin),
            log_alarm: registry.gauges(LOG_ALARM, "Whether the log is suspended.", origin),
            quarantine: registry.gauges(QUARANTINE, "Whether the log is in quarantine.", origin),
            key_alarm: registry.gauges(KEY_ALARM, "Whether a list has another key.", origin),
            list_failures: registry.counters(LIST_FAILURES, "Lists not read.", &["list"]),
            map_alarm: registry.gauges(MAP_ALARM, "Whether the map failed a check.", origin),
            bastion_connected: registry.gauges(BASTION_CONNECTED, "Whether connected.", bastion),
            bastion_reconnects: registry.counters(BASTION_RECONNECTS, "Lost bastions.", bastion),
            unreconciled: registry.gauges(UNRECONCILED, "Whether not shown consistent.", origin),
            peer_exchange: registry.gauges(PEER_EXCHANGE, "Time of the last exchange.", peer),
            peer_failures: registry.counters(PEER_FAILURES, "Failed exchanges.", peer),
            gossip_dropped: registry.counters(
                GOSSIP_DROPPED,
                "What was dropped of peers.",
                &["peer", "reason"],
            ),
            commit: registry.histogram(COMMIT, "Time until changes are durable.", SECONDS),
            commit_changes: registry.histogram(COMMIT_CHANGES, "Changes in a commit.", CHANGES),
            registry,
        }
    }
}

impl Metrics {
    /// Where others count.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All metrics, as a scraper reads them.
    /// Has the disk of the state looked at whenever the metrics are read.
    pub fn attach(&self, state: &Path) {
        // There is one state in a process: a second one is not looked at.
        let _attached = self.state.set(state.to_owned());
    }

    /// All metrics, as a scraper reads them. Blocks: some are asked of the disk.
    pub fn text(&self) -> String {
        // What cannot be found out is shown as it was.
        if let Some(Ok(space)) = self.state.get().map(|state| Space::of(state)) {
            self.state_bytes.set(gauge(space.used_bytes));
            self.state_free.set(gauge(space.free_bytes));
        }
        self.registry.text()
    }

    /// Counts a request.
    pub fn request(&self, outcome: Outcome) {
        self.requests.with_label_values(&[outcome.name()]).inc();
    }

    /// Counts the time of a request.
    pub fn request_took(&self, duration: Duration) {
        self.request_seconds.observe(duration.as_secs_f64());
    }

    /// Counts a request for a subtree.
    pub fn subtree(&self, outcome: Outcome) {
        self.subtrees.with_label_values(&[outcome.name()]).inc();
    }

    /// Shows how many logs are witnessed.
    pub fn logs(&self, count: usize) {
        self.logs.set(gauge(count as u64));
    }

    /// Counts a contradiction.
    pub fn evidence(&self, kind: &str) {
        self.evidence.with_label_values(&[kind]).inc();
    }

    /// Counts a broken connection to an audit feed.
    pub fn map_reconnect(&self, origin: &str) {
        self.map_reconnects.with_label_values(&[origin]).inc();
    }

    /// Shows the size of the newest cosigned checkpoint.
    pub fn log_size(&self, origin: &str, size: u64) {
        self.log_size.with_label_values(&[origin]).set(gauge(size));
    }

    /// Shows how far the map was checked.
    pub fn map_size(&self, origin: &str, size: u64) {
        self.map_size.with_label_values(&[origin]).set(gauge(size));
    }

    /// Shows how many epochs are left to be checked.
    pub fn map_behind(&self, origin: &str, epochs: u64) {
        self.map_behind
            .with_label_values(&[origin])
            .set(gauge(epochs));
    }

    /// Counts epochs that were checked, and the versions in them.
    pub fn map_checked(&self, origin: &str, epochs: u64, versions: u64) {
        let label = &[origin];
        self.map_epochs.with_label_values(label).inc_by(epochs);
        self.map_versions.with_label_values(label).inc_by(versions);
    }

    /// Shows whether a list has another key for the log.
    pub fn key_alarm(&self, origin: &str, is_raised: bool) {
        self.key_alarm
            .with_label_values(&[origin])
            .set(is_raised.into());
    }

    /// Counts a list that could not be read, or not be taken over whole.
    pub fn list_failure(&self, list: &str) {
        self.list_failures.with_label_values(&[list]).inc();
    }

    /// Shows whether the log is in quarantine.
    pub fn quarantine(&self, origin: &str, is_raised: bool) {
        self.quarantine
            .with_label_values(&[origin])
            .set(is_raised.into());
    }

    /// Shows whether the log is suspended because it contradicted itself.
    pub fn log_alarm(&self, origin: &str, is_raised: bool) {
        self.log_alarm
            .with_label_values(&[origin])
            .set(is_raised.into());
    }

    /// Shows whether the map failed a check.
    pub fn map_alarm(&self, origin: &str, is_raised: bool) {
        self.map_alarm
            .with_label_values(&[origin])
            .set(is_raised.into());
    }

    /// Shows whether a bastion passes requests on.
    pub fn bastion_connected(&self, bastion: &str, is_connected: bool) {
        self.bastion_connected
            .with_label_values(&[bastion])
            .set(is_connected.into());
    }

    /// Counts a connection to a bastion that failed or ended.
    pub fn bastion_reconnect(&self, bastion: &str) {
        self.bastion_reconnects.with_label_values(&[bastion]).inc();
    }

    /// Shows whether a log is not shown to be consistent with what a peer has of it.
    pub fn unreconciled(&self, origin: &str, is_raised: bool) {
        self.unreconciled
            .with_label_values(&[origin])
            .set(is_raised.into());
    }

    /// Shows when an exchange with a peer succeeded.
    pub fn peer_exchange(&self, peer: &str, now_s: u64) {
        self.peer_exchange
            .with_label_values(&[peer])
            .set(gauge(now_s));
    }

    /// Counts an exchange with a peer that failed.
    pub fn peer_failure(&self, peer: &str) {
        self.peer_failures.with_label_values(&[peer]).inc();
    }

    /// Counts what was dropped of a peer.
    pub fn gossip_dropped(&self, peer: &str, reason: &str) {
        self.gossip_dropped.with_label_values(&[peer, reason]).inc();
    }

    /// Counts a commit.
    pub fn commit(&self, changes: usize, duration: Duration) {
        self.commit.observe(duration.as_secs_f64());
        self.commit_changes.observe(changes as f64);
    }
}

/// Sizes of logs are below 2^63.
fn gauge(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// From a fast SSD (a fraction of a millisecond for each of four syncs) to a disk in distress.
const SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];

const CHANGES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
