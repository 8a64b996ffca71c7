//! What the runs met, so that one sees that the interesting things happen.

/// Makes a `Coverage` of counters.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// Counters, each of runs or of events.
        #[derive(Clone, Debug, Default)]
        pub struct Coverage {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl std::ops::AddAssign for Coverage {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl std::fmt::Display for Coverage {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $(writeln!(f, "{:>12}  {}", self.$name, $text)?;)*
                Ok(())
            }
        }
    };
}

pub(crate) use counters;

counters! {
    /// Runs.
    runs: "runs",
    /// Events.
    events: "events",
    /// Runs in which the log showed two histories.
    forked_runs: "runs with a log that forked",
    /// Runs with a witness that lied.
    lying_runs: "runs with lying witnesses",
    /// Runs in which so many lied that two quorums need not share an honest witness.
    lying_quorum_runs: "runs with more liars than the quorum bears",
    /// Such runs, in which devices were led apart.
    split_runs: "runs of those in which devices came to hold different histories",
    /// Runs in which an honest witness had proof of a fork.
    evidence_runs: "runs in which honest witnesses held proof of a fork",
    /// Runs after which liveness was asked for, and was there.
    live_runs: "runs whose log had to go on after all healed, and did",
    /// Epochs that the log closed.
    epochs: "epochs closed",
    /// Cosignatures of honest witnesses.
    cosigned: "heads cosigned by honest witnesses",
    /// Heads that devices accepted.
    accepted: "heads accepted by devices",
    /// Heads that devices refused.
    refused: "heads refused by devices",
    /// Conflicts and inconsistencies that honest witnesses answered.
    conflicts: "requests that honest witnesses refused",
    /// Crashes, those by failed writes included.
    crashes: "crashes",
    /// Writes that failed.
    disk_faults: "writes that failed, persisted or not",
    /// Messages lost.
    lost: "messages lost",
    /// Messages that came twice.
    duplicated: "messages duplicated",
    /// Messages that a partition stopped.
    partitioned: "messages stopped by partitions",
    /// Clocks that jumped.
    clock_jumps: "clocks that jumped",
    /// Databases replaced by older ones.
    rollbacks: "databases and stores replaced by older copies",
    /// Quarantines that began.
    quarantines: "starts of a witness in quarantine",
    /// Starts that the log refused.
    refused_starts: "starts that the log refused because of doubt",
    /// Answers of peers that honest witnesses took.
    exchanges: "answers of peers taken by honest witnesses",
    /// Times that gossip convicted the log.
    gossip_evidence: "times that gossip convicted the log at a witness",
    /// Evidence of two sizes.
    two_size_evidence: "evidence of two sizes",
    /// Alarms that a log shows no consistency.
    unreconciled: "alarms that the log shows no consistency",
    /// Growth refused because of what peers have.
    held_back: "heads refused until the log shows consistency",
    /// What was dropped of what peers sent.
    gossip_lies: "things dropped of what peers sent",
    /// Notes forged by liars.
    forgeries: "forged heads sent by liars",
}
