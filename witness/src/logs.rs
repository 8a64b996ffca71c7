//! The logs that are witnessed. Logs are added while the witness runs; none ever goes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use candor_core::note::{LogVerifier, VerifierKey, monitoring_path};
use tokio::sync::Mutex;

use crate::allowance::Allowance;
use crate::map::CheckedRoots;

/// Most logs of one witness: the anchor of as many stays below 1.5 MiB, and is written with every
/// group of changes.
pub const LOGS_MAX: usize = 4096;

/// A log that is witnessed.
#[derive(Debug)]
pub struct Log {
    /// The keys that it signs with.
    pub verifier: LogVerifier,
    /// What its map's follower publishes, if there is one.
    pub map: Option<CheckedRoots>,
    /// Where its tiles are, without a slash at the end, if it can be asked for proofs.
    pub tiles: Option<String>,
    /// How many requests it may make a day, if that is limited.
    pub qpd: Option<u32>,
    /// Whom to reach about it: a text of whoever listed it, not to be trusted.
    pub contact: Option<String>,
    /// Held from decision to record.
    pub(crate) turn: Mutex<()>,
    allowances: Option<Lock<Allowances>>,
    key_alarms: Lock<BTreeMap<String, VerifierKey>>,
}

/// Growth and repetition apart: only the log itself can make it grow, but anybody can repeat what
/// is public, and must not use up what the log needs.
#[derive(Debug)]
struct Allowances {
    growth: Allowance,
    repeats: Allowance,
}

impl Log {
    /// A log with these keys and, if its map is followed, these roots.
    pub fn new(verifier: LogVerifier, map: Option<CheckedRoots>) -> Self {
        Self {
            verifier,
            map,
            tiles: None,
            qpd: None,
            contact: None,
            turn: Mutex::new(()),
            allowances: None,
            key_alarms: Lock::default(),
        }
    }

    /// The same log, which can be asked for proofs there.
    #[must_use]
    pub fn with_tiles(mut self, prefix: Option<String>) -> Self {
        self.tiles = prefix;
        self
    }

    /// The same log, which may make so many requests a day.
    #[must_use]
    pub fn limited(mut self, qpd: Option<u32>) -> Self {
        let now = Instant::now();
        self.qpd = qpd;
        self.allowances = qpd.map(|qpd| {
            Lock::new(Allowances {
                growth: Allowance::new(qpd, now),
                repeats: Allowance::new(qpd, now),
            })
        });
        self
    }

    /// The same log, with whom to reach about it.
    #[must_use]
    pub fn with_contact(mut self, contact: Option<String>) -> Self {
        self.contact = contact;
        self
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        self.verifier.origin()
    }

    /// Takes one cosignature of a larger checkpoint.
    ///
    /// # Errors
    ///
    /// How long it takes until there is one.
    pub(crate) fn take_growth(&self) -> Result<(), Duration> {
        self.allowances()
            .map_or(Ok(()), |mut both| both.growth.take(Instant::now()))
    }

    /// Takes one cosignature of the same checkpoint, if there is one.
    pub(crate) fn take_repeat(&self) -> bool {
        self.allowances()
            .is_none_or(|mut both| both.repeats.take(Instant::now()).is_ok())
    }

    /// How often it may grow now, if that is limited.
    pub fn growth_left(&self) -> Option<u64> {
        let mut both = self.allowances()?;
        Some(both.growth.left(Instant::now()))
    }

    fn allowances(&self) -> Option<MutexGuard<'_, Allowances>> {
        self.allowances.as_ref().map(lock)
    }

    /// Remembers that `list` has another key for this log, or that it has not; whether that is
    /// news.
    pub(crate) fn set_key_alarm(&self, list: &str, key: Option<&VerifierKey>) -> bool {
        let mut alarms = lock(&self.key_alarms);
        let before = match key {
            Some(key) => alarms.insert(list.to_owned(), key.clone()),
            None => alarms.remove(list),
        };
        before.as_ref() != key
    }

    /// The keys that lists have for this log and that are none of its, by list.
    pub fn key_alarms(&self) -> BTreeMap<String, VerifierKey> {
        lock(&self.key_alarms).clone()
    }
}

/// All logs.
#[derive(Debug, Default)]
pub struct Logs(RwLock<Table>);

#[derive(Debug, Default)]
struct Table {
    by_origin: BTreeMap<String, Arc<Log>>,
    /// By path below the monitoring prefix.
    by_path: HashMap<String, Arc<Log>>,
}

impl Logs {
    /// Adds a log, unless its origin is known or there are [`LOGS_MAX`]; whether it was added.
    pub fn add(&self, log: Log) -> bool {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if table.by_origin.len() >= LOGS_MAX || table.by_origin.contains_key(log.origin()) {
            return false;
        }
        let (origin, log) = (log.origin().to_owned(), Arc::new(log));
        table
            .by_path
            .insert(monitoring_path(&origin), Arc::clone(&log));
        table.by_origin.insert(origin, log);
        true
    }

    /// The log of that origin.
    pub fn find(&self, origin: &str) -> Option<Arc<Log>> {
        self.read(|table| table.by_origin.get(origin).cloned())
    }

    /// The log whose checkpoint is served at `path` below the monitoring prefix.
    pub fn at_path(&self, path: &str) -> Option<Arc<Log>> {
        self.read(|table| table.by_path.get(path).cloned())
    }

    /// All of them, by origin.
    pub fn all(&self) -> Vec<Arc<Log>> {
        self.read(|table| table.by_origin.values().cloned().collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.read(|table| table.by_origin.len())
    }

    fn read<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Nothing here is left half changed by a panic.
fn lock<T>(mutex: &Lock<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_added_once_and_up_to_the_limit() {
        let logs = Logs::default();
        let log =
            |number: usize| Log::new(LogVerifier::new(&format!("log/{number}"), vec![]), None);
        for number in 0..LOGS_MAX {
            assert!(logs.add(log(number)));
            assert!(!logs.add(log(number)));
        }
        assert!(!logs.add(log(LOGS_MAX)));
        assert_eq!(logs.count(), LOGS_MAX);
        assert!(logs.find("log/7").is_some() && logs.find("log").is_none());
        let found = logs.at_path(&monitoring_path("log/7"));
        assert!(found.is_some_and(|log| log.origin() == "log/7"));
    }
}
