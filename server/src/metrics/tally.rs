//! Counts that a part keeps of itself, and that are read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often something was done, and how long it took in all.
#[derive(Debug, Default)]
pub struct Tally {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Tally {
    /// It was done once more.
    pub fn add(&self) {
        self.add_timed(1, Duration::ZERO);
    }

    /// It was done `count` times more, in this time together.
    pub fn add_timed(&self, count: u64, took: Duration) {
        self.count.fetch_add(count, Ordering::Relaxed);
        if !took.is_zero() {
            let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    /// How often.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How long in all, in seconds.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64()
    }
}
