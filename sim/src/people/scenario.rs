//! What a seed decides before anything happens: who takes part, and how bad it gets.

use fastrand::Rng;

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// How many people there are.
    pub people: usize,
    /// How many of the operator's acts are tried; none if it is honest.
    pub acts: usize,
    /// Whether the messenger offers devices of strangers now and then.
    pub has_ghosts: bool,
    /// Whether the two histories of a log that forks never have signed heads of one size.
    pub is_fork_careful: bool,
    /// Steps without network, in a hundred.
    pub offline: u32,
    /// Steps in which the server answers with an old head, in a hundred.
    pub stale: u32,
    /// Processes that end before an action, in a thousand.
    pub crashes: u32,
    /// Steps before which a clock jumps, in a thousand.
    pub clock_jumps: u32,
    /// What people do in a step, in a hundred.
    pub activity: u32,
    /// How often a person acts on an alert, in a hundred.
    pub acknowledges: u32,
}

impl Scenario {
    /// What `rng` decides.
    pub fn new(rng: &mut Rng) -> Self {
        let is_honest = rng.u32(0..4) == 0;
        let is_calm = rng.u32(0..6) == 0;
        let up_to = |rng: &mut Rng, most: u32| if is_calm { 0 } else { rng.u32(0..=most) };
        Self {
            people: rng.usize(3..=6),
            acts: if is_honest { 0 } else { rng.usize(1..=4) },
            has_ghosts: !is_honest && rng.bool(),
            is_fork_careful: rng.u32(0..3) == 0,
            offline: up_to(rng, 30),
            stale: up_to(rng, 20),
            crashes: up_to(rng, 30),
            clock_jumps: up_to(rng, 10),
            activity: rng.u32(5..40),
            acknowledges: rng.u32(0..30),
        }
    }
}
