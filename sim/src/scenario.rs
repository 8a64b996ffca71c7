//! What a seed decides before anything happens: who takes part, who lies, and how bad it gets.

use fastrand::Rng;

/// How long faults last, in milliseconds of simulated time.
pub const CHAOS_MS: u64 = 60_000;

/// The farthest that a clock is ever off, in milliseconds.
pub const CLOCK_OFF_MS: u64 = 20 * 60_000;

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// How many witnesses there are, liars included.
    pub witnesses: usize,
    /// How many of them, the last ones, lie.
    pub liars: usize,
    /// How many cosignatures devices ask for.
    pub quorum: usize,
    /// How many devices there are.
    pub devices: usize,
    /// When the log begins to show two histories, in milliseconds from the start; `None` if it is
    /// honest.
    pub fork_at_ms: Option<u64>,
    /// Whether a log that forks never shows a witness both histories.
    pub is_fork_careful: bool,
    /// Whether a log that forks shows witnesses even sizes of one history and odd ones of the
    /// other, so that no two of them are ever equal.
    pub is_fork_parted: bool,
    /// Whether witnesses are each other's peers.
    pub has_peers: bool,
    /// Whether witnesses know where the log's tiles are.
    pub has_tiles: bool,
    /// Whether a log that forks hides its tiles from then on.
    pub are_tiles_hidden: bool,
    /// Messages that are lost, in a hundred.
    pub loss: u32,
    /// Messages that come twice, in a hundred.
    pub duplication: u32,
    /// The longest that a message takes, in milliseconds.
    pub delay_max_ms: u64,
    /// Writes that fail or end in a crash, in a hundred.
    pub disk_faults: u32,
    /// How many crashes, partitions, clock jumps and lost disks there are.
    pub crashes: usize,
    /// See [`Self::crashes`].
    pub partitions: usize,
    /// See [`Self::crashes`].
    pub clock_jumps: usize,
    /// How many of the witnesses' databases are replaced by an older copy.
    pub rollbacks: usize,
    /// Whether the log's store is replaced by an older copy once.
    pub log_rollback: bool,
}

impl Scenario {
    /// What `rng` decides.
    pub fn new(rng: &mut Rng) -> Self {
        let witnesses = rng.usize(3..=5);
        let quorum = witnesses - rng.usize(0..=(witnesses - 1) / 3);
        // Two quorums share at least this many witnesses; as many liars can split the view.
        let shared = 2 * quorum - witnesses;
        let liars = match rng.u32(0..10) {
            0..3 => 0,
            3..7 => rng.usize(0..shared),
            _ => rng.usize(shared..=quorum).min(witnesses - 1),
        };
        let is_calm = rng.u32(0..8) == 0;
        let up_to = |rng: &mut Rng, most: u32| if is_calm { 0 } else { rng.u32(0..=most) };
        Self {
            witnesses,
            liars,
            quorum,
            devices: rng.usize(2..=3),
            fork_at_ms: (rng.u32(0..5) < 2).then(|| rng.u64(5_000..CHAOS_MS / 2)),
            is_fork_careful: rng.bool(),
            is_fork_parted: rng.bool(),
            has_peers: rng.bool(),
            has_tiles: rng.u32(0..4) > 0,
            are_tiles_hidden: rng.u32(0..3) == 0,
            loss: up_to(rng, 30),
            duplication: up_to(rng, 20),
            delay_max_ms: rng.u64(5..3_000),
            disk_faults: up_to(rng, 8),
            crashes: up_to(rng, 4) as usize,
            partitions: up_to(rng, 3) as usize,
            clock_jumps: up_to(rng, 3) as usize,
            rollbacks: up_to(rng, 3) as usize,
            log_rollback: up_to(rng, 3) == 3,
        }
    }

    /// Whether so many witnesses lie that two quorums need not share an honest one.
    pub const fn is_quorum_lying(&self) -> bool {
        self.liars + self.witnesses >= 2 * self.quorum
    }

    /// Whether the witness of this number lies.
    pub const fn is_liar(&self, witness: usize) -> bool {
        witness + self.liars >= self.witnesses
    }
}
