//! What a device may use while it works: the log, the place of the shared state, chance, the time,
//! and the observer's ear.

use fastrand::Rng;

use super::cloud::Cloud;
use super::coverage::Coverage;
use super::log::{Fate, Log};
use super::mutation::Mutation;
use super::observer::Observer;
use super::scenario::Scenario;
use crate::trace::Trace;

/// The surroundings of a device.
#[derive(Debug)]
pub struct Context {
    /// Simulated time in POSIX seconds.
    pub now_s: u64,
    /// Whether faults and attacks may still happen.
    pub is_chaos: bool,
    /// What becomes of the next publication.
    pub fate: Fate,
    /// The log.
    pub log: Log,
    /// Where the devices of an account find what they share.
    pub cloud: Cloud,
    /// Chance.
    pub rng: Rng,
    /// What the seed decided at the start.
    pub scenario: Scenario,
    /// What is broken on purpose.
    pub mutation: Option<Mutation>,
    /// Who sees everything.
    pub observer: Observer,
    /// What is counted.
    pub coverage: Coverage,
    /// What happened.
    pub trace: Trace,
}

impl Context {
    /// Whether `mutation` is what is broken.
    pub fn is_broken(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// With a chance of so many in a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    /// With a chance of so many in a thousand, as long as faults happen.
    pub fn fault(&mut self, per_mille: u32) -> bool {
        self.is_chaos && self.rng.u32(0..1000) < per_mille
    }

    /// Adds to the trace.
    pub fn log(&mut self, event: std::fmt::Arguments<'_>) {
        let since_start_s = self.now_s - super::START_S;
        self.trace.add(since_start_s * 1000, event);
    }
}
