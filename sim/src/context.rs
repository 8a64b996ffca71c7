//! What a node may use while it handles an event: chance, the time, the observer's ear, and a place
//! for what it sends.

use fastrand::Rng;

use crate::coverage::Coverage;
use crate::message::{Message, Node};
use crate::mutation::Mutation;
use crate::observer::Observer;
use crate::scenario::Scenario;
use crate::trace::Trace;

/// When simulated time begins, in milliseconds since the Unix epoch.
pub const START_MS: u64 = 1_700_000_000_000;

/// The surroundings of one event.
pub struct Context<'a> {
    /// Simulated time since the start, in milliseconds.
    pub now_ms: u64,
    /// The clock of the node, in milliseconds since the Unix epoch.
    pub clock_ms: u64,
    /// Whether faults may still happen.
    pub is_chaos: bool,
    /// Chance.
    pub rng: &'a mut Rng,
    /// What the seed decided at the start.
    pub scenario: &'a Scenario,
    /// What is broken on purpose.
    pub mutation: Option<Mutation>,
    /// Who sees everything.
    pub observer: &'a mut Observer,
    /// What is counted.
    pub coverage: &'a mut Coverage,
    /// What happened.
    pub trace: &'a mut Trace,
    /// What is sent.
    pub outbox: &'a mut Vec<(Node, Message)>,
}

impl Context<'_> {
    /// The node's clock in POSIX seconds.
    pub const fn clock_s(&self) -> u64 {
        self.clock_ms / 1000
    }

    /// Adds to the trace.
    pub fn log(&mut self, event: std::fmt::Arguments<'_>) {
        self.trace.add(self.now_ms, event);
    }

    /// Sends a message.
    pub fn send(&mut self, to: Node, message: Message) {
        self.outbox.push((to, message));
    }

    /// Whether `mutation` is what is broken.
    pub fn is_broken(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// What becomes of a write.
    pub fn fault(&mut self) -> Fault {
        if !self.is_chaos || self.rng.u32(0..100) >= self.scenario.disk_faults {
            return Fault::None;
        }
        let fault = if self.rng.bool() {
            Fault::NotWritten
        } else {
            Fault::Written
        };
        self.coverage.disk_faults += 1;
        fault
    }
}

/// How a write ends. After a failure its process ends too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Well.
    None,
    /// It failed, or the process crashed: nothing is written.
    NotWritten,
    /// It failed, or the process crashed, but everything is written.
    Written,
}
