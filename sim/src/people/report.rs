//! Running seeds.

use super::coverage::Coverage;
use super::mutation::Mutation;
use super::world::World;
use crate::report::{Failure, Run};

/// Runs one seed.
pub fn run(seed: u64, mutation: Option<Mutation>) -> Run<Coverage> {
    let mut world = World::new(seed, mutation);
    let result = world.run();
    let mut coverage = std::mem::take(&mut world.cx.coverage);
    coverage.runs = 1;
    coverage.honest_runs = u64::from(world.cx.scenario.acts == 0);
    coverage.met = world.cx.observer.met;
    Run {
        trace: world.cx.trace.hash(),
        coverage,
        failure: result.err().map(|violation| Failure {
            seed,
            command: "make simulate-devices",
            violation,
            last: world.cx.trace.last(),
        }),
    }
}
