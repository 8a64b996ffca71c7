//! What happened, in order: a hash of all of it, and the end of it for people.

use std::collections::VecDeque;
use std::fmt;

use sha2::{Digest as _, Sha256};

/// Events that are shown of a run that failed.
const SHOWN: usize = 60;

/// A trace.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: Sha256,
    last: VecDeque<String>,
    events: u64,
}

impl Trace {
    /// Adds an event at `at_ms` of simulated time.
    pub fn add(&mut self, at_ms: u64, event: fmt::Arguments<'_>) {
        let line = format!("{:>10} ms  {event}", at_ms);
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        self.events += 1;
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// How many events there were.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The hash of all events.
    pub fn hash(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// The last events.
    pub fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
