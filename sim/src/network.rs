//! What becomes of a message on its way.

use std::collections::BTreeSet;

use fastrand::Rng;

use crate::coverage::Coverage;
use crate::message::Node;
use crate::scenario::Scenario;

/// How long messages take when all is well, in milliseconds.
const CALM_DELAY_MS: u64 = 200;

/// All links.
#[derive(Debug, Default)]
pub struct Network {
    /// One side of each partition.
    partitions: Vec<Option<BTreeSet<Node>>>,
}

impl Network {
    /// A partition begins: `side` on one side, everybody else on the other.
    pub fn divide(&mut self, side: BTreeSet<Node>) -> usize {
        self.partitions.push(Some(side));
        self.partitions.len() - 1
    }

    /// A partition ends.
    pub fn unite(&mut self, partition: usize) {
        if let Some(side) = self.partitions.get_mut(partition) {
            *side = None;
        }
    }

    /// All partitions end.
    pub fn heal(&mut self) {
        self.partitions.fill(None);
    }

    /// After how many milliseconds a message arrives, once for each time that it does.
    pub fn deliveries(
        &self,
        (from, to): (Node, Node),
        is_chaos: bool,
        scenario: &Scenario,
        rng: &mut Rng,
        coverage: &mut Coverage,
    ) -> Vec<u64> {
        if !is_chaos {
            return vec![rng.u64(1..CALM_DELAY_MS)];
        }
        let mut sides = self.partitions.iter().flatten();
        if sides.any(|side| side.contains(&from) != side.contains(&to)) {
            coverage.partitioned += 1;
            return Vec::new();
        }
        if rng.u32(0..100) < scenario.loss {
            coverage.lost += 1;
            return Vec::new();
        }
        let mut delays = vec![rng.u64(1..=scenario.delay_max_ms)];
        if rng.u32(0..100) < scenario.duplication {
            coverage.duplicated += 1;
            delays.push(rng.u64(1..=4 * scenario.delay_max_ms));
        }
        delays
    }
}
