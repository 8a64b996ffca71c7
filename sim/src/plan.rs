//! When what goes wrong: everything that a seed schedules at the start.

use crate::message::Node;
use crate::scenario::{CHAOS_MS, CLOCK_OFF_MS};
use crate::world::{Event, World};

impl World {
    /// Schedules the first tick of everybody, all faults, and the healing.
    pub(crate) fn plan(&mut self) {
        let nodes = self.nodes();
        for node in &nodes {
            let at_ms = self.rng.u64(0..2_000);
            self.schedule(at_ms, Event::Tick(*node));
        }
        for _ in 0..self.scenario.crashes {
            let node = nodes[self.rng.usize(0..nodes.len())];
            let down_ms = self.rng.u64(0..20_000);
            self.schedule_fault(Event::Crash(node, down_ms));
        }
        for _ in 0..self.scenario.partitions {
            let length_ms = self.rng.u64(1_000..30_000);
            self.schedule_fault(Event::Divide(length_ms));
        }
        let far_ms = CLOCK_OFF_MS.cast_signed();
        for _ in 0..self.scenario.clock_jumps {
            let node = nodes[self.rng.usize(0..nodes.len())];
            let off_ms = self.rng.i64(-far_ms..=far_ms);
            self.schedule_fault(Event::ClockJump(node, off_ms));
        }
        for _ in 0..self.scenario.rollbacks {
            let honest = self.scenario.witnesses - self.scenario.liars;
            let witness = Node::Witness(self.rng.usize(0..honest));
            self.schedule_fault(Event::RollBack(witness));
        }
        if self.scenario.log_rollback {
            self.schedule_fault(Event::RollBack(Node::Log));
        }
        if let Some(at_ms) = self.scenario.fork_at_ms {
            self.schedule(at_ms, Event::Fork);
        }
        self.schedule(CHAOS_MS, Event::Heal);
    }

    fn schedule_fault(&mut self, event: Event) {
        let at_ms = self.rng.u64(3_000..CHAOS_MS);
        self.schedule(at_ms, event);
    }
}
