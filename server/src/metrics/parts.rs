//! What is asked of the server's parts when somebody reads the metrics: queue, workers, caches.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use candor_host::metrics::{Registry, gauge, raise};
use candor_host::space::Space;
use prometheus::{CounterVec, IntCounterVec, IntGauge, IntGaugeVec};

use crate::ledger::Ledger;
use crate::sequencer::admission::Admission;
use crate::sequencer::ladders::Ladders;

/// Updates that wait for an epoch.
pub const QUEUE_UPDATES: &str = "candor_queue_updates";
/// Room that updates on their way take, in bytes.
pub const QUEUE_BYTES: &str = "candor_queue_taken_bytes";
/// Room that there is for updates on their way, in bytes.
pub const QUEUE_BYTES_MAX: &str = "candor_queue_room_bytes";
/// Search keys and proofs that were computed, by `what`: `key`, `proof`.
pub const VRF_COMPUTED: &str = "candor_vrf_computed_total";
/// Time that their computation took, in seconds of one core, by `what`.
pub const VRF_SECONDS: &str = "candor_vrf_seconds_total";
/// Accounts whose ladders are to be computed or stored, in bytes.
pub const LADDERS_BYTES: &str = "candor_ladders_waiting_bytes";
/// What was looked for in memory, by `cache` (`accounts`, `buckets`) and `result` (`hit`, `miss`).
pub const CACHE_REQUESTS: &str = "candor_cache_requests_total";
/// Memory that a cache takes, in bytes, by `cache`.
pub const CACHE_BYTES: &str = "candor_cache_bytes";
/// Disk space that the store takes, in bytes.
pub const STORE_BYTES: &str = "candor_store_disk_bytes";
/// Free space on the store's disk, in bytes.
pub const STORE_FREE: &str = "candor_store_free_bytes";
/// Free space below which commits are refused, in bytes.
pub const STORE_RESERVE: &str = "candor_store_reserve_bytes";

/// How old what is known of the disk may be: it is found out by looking at every file.
const SPACE_AGE_MAX: Duration = Duration::from_secs(10);

/// The parts that are asked.
pub struct Sources {
    /// Where updates come in.
    pub admission: Admission,
    /// Who computes search keys.
    pub ladders: Ladders,
    /// The caches.
    pub ledger: Ledger,
    /// The store's directory.
    pub store: PathBuf,
    /// Free space below which commits are refused, in bytes.
    pub reserve_bytes: u64,
}

/// The metrics of the parts.
pub(super) struct Parts {
    queue_updates: IntGauge,
    queue_bytes: IntGauge,
    queue_bytes_max: IntGauge,
    vrf_computed: IntCounterVec,
    vrf_seconds: CounterVec,
    ladders_bytes: IntGauge,
    cache_requests: IntCounterVec,
    cache_bytes: IntGaugeVec,
    store_bytes: IntGauge,
    store_free: IntGauge,
    store_reserve: IntGauge,
    looked_at: Mutex<Option<Instant>>,
}

impl Parts {
    pub fn new(registry: &Registry) -> Self {
        let result = &["cache", "result"];
        Self {
            queue_updates: registry.gauge(QUEUE_UPDATES, "Updates that wait for an epoch."),
            queue_bytes: registry.gauge(QUEUE_BYTES, "Room that updates on their way take."),
            queue_bytes_max: registry.gauge(QUEUE_BYTES_MAX, "Room for updates on their way."),
            vrf_computed: registry.counters(VRF_COMPUTED, "Search keys and proofs.", &["what"]),
            vrf_seconds: registry.amounts(VRF_SECONDS, "Time to compute them.", &["what"]),
            ladders_bytes: registry.gauge(LADDERS_BYTES, "Accounts whose ladders wait."),
            cache_requests: registry.counters(CACHE_REQUESTS, "Looked for in memory.", result),
            cache_bytes: registry.gauges(CACHE_BYTES, "Memory of caches.", &["cache"]),
            store_bytes: registry.gauge(STORE_BYTES, "Disk space of the store."),
            store_free: registry.gauge(STORE_FREE, "Free space on the store's disk."),
            store_reserve: registry.gauge(STORE_RESERVE, "Free space that is kept."),
            looked_at: Mutex::new(None),
        }
    }

    /// Asks the parts. May look at files: call it where blocking is allowed.
    pub fn ask(&self, sources: &Sources) {
        let (admission, ladders) = (&sources.admission, &sources.ladders);
        self.queue_updates.set(gauge(admission.waiting() as u64));
        self.queue_bytes
            .set(gauge(admission.room_taken_kib() as u64 * 1024));
        self.queue_bytes_max
            .set(gauge(admission.room_kib() as u64 * 1024));
        self.ladders_bytes
            .set(gauge(ladders.room_taken_kib() as u64 * 1024));
        let computed = ladders.computed();
        for (what, tally) in [("key", &computed.keys), ("proof", &computed.proofs)] {
            raise(&self.vrf_computed.with_label_values(&[what]), tally.count());
            let seconds = self.vrf_seconds.with_label_values(&[what]);
            seconds.inc_by((tally.seconds() - seconds.get()).max(0.0));
        }
        for cache in sources.ledger.cache_use() {
            for (result, count) in [("hit", cache.hits), ("miss", cache.misses)] {
                let labels = [cache.name, result];
                raise(&self.cache_requests.with_label_values(&labels), count);
            }
            let bytes = self.cache_bytes.with_label_values(&[cache.name]);
            bytes.set(gauge(cache.bytes));
        }
        self.ask_disk(sources);
    }

    fn ask_disk(&self, sources: &Sources) {
        let mut looked_at = self
            .looked_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if looked_at.is_some_and(|at| at.elapsed() < SPACE_AGE_MAX) {
            return;
        }
        *looked_at = Some(Instant::now());
        self.store_reserve.set(gauge(sources.reserve_bytes));
        // What cannot be found out is shown as it was.
        if let Ok(space) = Space::of(&sources.store) {
            self.store_bytes.set(gauge(space.used_bytes));
            self.store_free.set(gauge(space.free_bytes));
        }
    }
}
