//! Buckets of very many keys in memory that does not grow.
//!
//! A key has a place in one of many small sets. When its set is full, the key with the least debt
//! is forgotten, and the set notes how much that was: whoever is new in the set starts with as much
//! debt. So no key ever gets more than its rate, whatever others do: an attacker who cycles through
//! addresses does not reset a bucket, he fills it for strangers of the same set. That costs him as
//! many requests as there are places, all of them in debt at one time, and he cannot aim: places
//! come from a hash with a key that only the process knows.
//!
//! Neither a label nor an address is kept, only the hash.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::Rate;

/// Sets of a table. With [`WAYS`] they hold 65,536 keys in debt at a time, in 1.2 MiB.
const SETS: usize = 8192;

/// Places of a set.
const WAYS: usize = 8;

/// A key as a table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

/// One bucket for each key. Instants are arguments; those before the table was made count as its
/// beginning.
pub struct Buckets {
    rate: Rate,
    start: Instant,
    hash: RandomState,
    sets: Box<[Mutex<Set>]>,
    forgotten: AtomicU64,
}

#[derive(Clone, Default)]
struct Set {
    places: [Place; WAYS],
    /// The greatest debt of a key that was forgotten.
    floor_ns: u64,
}

/// A key and until when it is in debt. One that is in no debt is as good as none.
#[derive(Clone, Copy, Default)]
struct Place {
    key: u64,
    debt_ns: u64,
}

impl Buckets {
    /// Full buckets for every key there may be.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self::with_sets(rate, now, SETS)
    }

    fn with_sets(rate: Rate, now: Instant, sets: usize) -> Self {
        let sets = (0..sets.max(1)).map(|_| Mutex::default());
        Self {
            rate,
            start: now,
            hash: RandomState::new(),
            sets: sets.collect(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// What each key may do.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// The key of something, in this table only.
    pub fn key(&self, of: impl Hash) -> Key {
        Key(self.hash.hash_one(of))
    }

    /// Takes `cost` units of a key.
    ///
    /// # Errors
    ///
    /// How long it takes until there are as many; nothing was taken.
    pub fn take(&self, key: Key, cost: u32, now: Instant) -> Result<(), Duration> {
        let now_ns = self.since_start_ns(now);
        let mut set = self.set(key);
        let known = set.find(key);
        let debt_ns = known.map_or(set.floor_ns, |at| set.places[at].debt_ns);
        let debt_ns = self
            .rate
            .take(debt_ns, cost, now_ns)
            .map_err(Duration::from_nanos)?;
        let at = known.unwrap_or_else(|| {
            let (at, forgotten_ns) = set.forget_least();
            if forgotten_ns > now_ns {
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            at
        });
        set.places[at] = Place {
            key: key.0,
            debt_ns,
        };
        Ok(())
    }

    /// Gives back units of a key that were taken and not used. If the key was forgotten meanwhile,
    /// they are lost to it.
    pub fn give_back(&self, key: Key, units: u32) {
        let mut set = self.set(key);
        if let Some(at) = set.find(key) {
            let place = &mut set.places[at];
            place.debt_ns = self.rate.give_back(place.debt_ns, units);
        }
    }

    /// Keys that are in debt: those whose bucket is not full. Looks at every place.
    pub fn tracked(&self, now: Instant) -> usize {
        let now_ns = self.since_start_ns(now);
        let in_debt = |set: &Mutex<Set>| {
            let set = locked(set);
            let places = set.places.iter();
            places.filter(|place| place.debt_ns > now_ns).count()
        };
        self.sets.iter().map(in_debt).sum()
    }

    /// How many keys were forgotten in debt since the start, so that strangers pay for them.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    fn set(&self, key: Key) -> MutexGuard<'_, Set> {
        // The table's size is not a secret, and a remainder of a good hash is spread well enough.
        let at = key.0 % self.sets.len() as u64;
        locked(&self.sets[usize::try_from(at).unwrap_or(0)])
    }

    fn since_start_ns(&self, now: Instant) -> u64 {
        // One more than 0, so that an empty place is never in debt.
        let passed = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// A set is consistent at every instant, also if a thread ended while it held it.
fn locked(set: &Mutex<Set>) -> MutexGuard<'_, Set> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Set {
    fn find(&self, key: Key) -> Option<usize> {
        self.places.iter().position(|place| place.key == key.0)
    }

    /// Makes room where the debt is least; the place, and the debt that was there.
    fn forget_least(&mut self) -> (usize, u64) {
        let mut least = 0;
        for at in 1..WAYS {
            if self.places[at].debt_ns < self.places[least].debt_ns {
                least = at;
            }
        }
        let debt_ns = self.places[least].debt_ns;
        self.floor_ns = self.floor_ns.max(debt_ns);
        (least, debt_ns)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
