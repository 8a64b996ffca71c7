//! Running seeds, and telling what came of them.

use std::fmt;
use std::ops::AddAssign;

use crate::coverage::Coverage;
use crate::invariants::Violation;
use crate::mutation::Mutation;
use crate::world::World;

/// What runs these seeds.
const COMMAND: &str = "make simulate";

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Run<C = Coverage> {
    /// What happened, as a hash.
    pub trace: [u8; 32],
    /// What was met.
    pub coverage: C,
    /// What went wrong.
    pub failure: Option<Failure>,
}

/// A seed that violates an invariant.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What runs such seeds.
    pub command: &'static str,
    /// What it violates.
    pub violation: Violation,
    /// What happened last.
    pub last: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last {
            writeln!(f, "{line}")?;
        }
        let Violation { invariant, detail } = &self.violation;
        let command = self.command;
        writeln!(f, "seed {} violates: {invariant}: {detail}", self.seed)?;
        write!(f, "to repeat it: {command} SEED={}", self.seed)
    }
}

/// Runs one seed.
pub fn run(seed: u64, mutation: Option<Mutation>) -> Run {
    let mut world = match World::new(seed, mutation) {
        Ok(world) => world,
        Err(detail) => {
            let violation = Violation {
                invariant: "the log can be made",
                detail,
            };
            return Run {
                trace: [0; 32],
                coverage: Coverage::default(),
                failure: Some(Failure {
                    seed,
                    command: COMMAND,
                    violation,
                    last: Vec::new(),
                }),
            };
        }
    };
    let result = world.run();
    let mut coverage = std::mem::take(&mut world.coverage);
    let forked = world.observer.is_forked();
    let lying_quorum = world.scenario.is_quorum_lying();
    coverage.runs = 1;
    coverage.events = world.trace.events();
    coverage.forked_runs = u64::from(forked);
    coverage.lying_runs = u64::from(world.scenario.liars > 0);
    coverage.lying_quorum_runs = u64::from(lying_quorum);
    coverage.split_runs = u64::from(!world.observer.devices_agree());
    coverage.evidence_runs = u64::from(world.honest().any(|witness| witness.has_alarm()));
    coverage.live_runs = u64::from(world.must_live() && result.is_ok());
    Run {
        trace: world.trace.hash(),
        coverage,
        failure: result.err().map(|violation| Failure {
            seed,
            command: COMMAND,
            violation,
            last: world.trace.last(),
        }),
    }
}

/// Runs seeds one after the other, until one fails.
///
/// # Errors
///
/// The first failure.
pub fn run_all<C: Default + AddAssign>(
    seeds: impl IntoIterator<Item = u64>,
    run: impl Fn(u64) -> Run<C>,
) -> Result<C, Box<Failure>> {
    let mut coverage = C::default();
    for seed in seeds {
        let run = run(seed);
        if let Some(failure) = run.failure {
            return Err(Box::new(failure));
        }
        coverage += run.coverage;
    }
    Ok(coverage)
}
