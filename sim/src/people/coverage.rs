//! What the runs met, so that one sees that the interesting things happen.

use super::operator::Act;
use crate::coverage::counters;

counters! {
    /// Runs.
    runs: "runs",
    /// Runs in which nobody attacks.
    honest_runs: "runs with an honest operator",
    /// Alerts that people saw.
    told: "alerts told",
    /// Alerts that went away.
    resolved: "alerts resolved",
    /// Alerts that people acted on.
    acknowledged: "alerts acknowledged",
    /// Expectations that were met.
    met: "alerts that had to come, and came",
    /// Expectations that could bind no more.
    moot: "alerts that had to come no more",
    /// Messages that might be sent at a level that promises something.
    cleared: "messages cleared, verified",
    /// The same where nothing is promised.
    cleared_logged: "messages cleared, not verified",
    /// Messages that had to wait.
    held: "messages held back by alerts",
    /// Messages cleared to a contact that was replaced before it was met.
    first_use: "messages to contacts that were replaced before they were met",
    /// Devices of strangers that were offered.
    ghosts: "devices of strangers offered",
    /// Changes of accounts that are visible.
    edits: "changes of accounts",
    /// Changes that failed.
    edits_failed: "changes of accounts that failed",
    /// Accounts with another key.
    resets: "resets by people",
    /// Devices added.
    added: "devices added",
    /// Devices removed.
    removed: "devices removed",
    /// Comparisons with equal codes.
    equal_codes: "comparisons with equal codes",
    /// Comparisons with different codes.
    different_codes: "comparisons with different codes",
    /// Public codes that matched.
    codes_matched: "public codes that matched",
    /// Public codes that did not.
    codes_differed: "public codes that differed",
    /// Public codes that wait for a key.
    codes_waited: "public codes that waited",
    /// Public codes that waited and matched then.
    codes_confirmed: "public codes confirmed later",
    /// Merges of shared state.
    merges: "merges of shared state",
    /// Old blobs that were noticed.
    old_blobs: "old shared states given back",
    /// Processes that ended.
    crashes: "processes that ended",
    /// Processes that ended after an alert was written, before it was told.
    crashes_untold: "processes that ended between write and tell",
    /// Clocks that jumped.
    clock_jumps: "clocks that jumped",
    /// Answers with an old head that followed the known one.
    stale: "old heads that followed the known one",
    /// Answers with an older head than the known one.
    behind: "older heads than the known one",
    /// Heads that came with messages.
    gossip: "heads passed on",
    /// Forks found by them.
    forks: "heads passed on that contradicted",
    /// See [`Act`].
    unsigned: "unsigned versions",
    /// See [`Act`].
    wrongly_signed: "wrongly signed versions",
    /// See [`Act`].
    swaps: "keys swapped",
    /// See [`Act`].
    swaps_back: "keys swapped and swapped back",
    /// See [`Act`].
    false_resets: "resets by the operator",
    /// See [`Act`].
    moves: "identifiers moved",
    /// See [`Act`].
    splits: "views split",
    /// See [`Act`].
    withheld: "publications withheld",
    /// See [`Act`].
    rollbacks: "shared states rolled back",
}

impl Coverage {
    /// Counts an act.
    pub const fn act(&mut self, act: Act) {
        let count = match act {
            Act::Unsigned => &mut self.unsigned,
            Act::WronglySigned => &mut self.wrongly_signed,
            Act::Swap => &mut self.swaps,
            Act::SwapBack => &mut self.swaps_back,
            Act::Reset => &mut self.false_resets,
            Act::Move => &mut self.moves,
            Act::Split => &mut self.splits,
            Act::Withhold => &mut self.withheld,
            Act::OldBlob => &mut self.rollbacks,
        };
        *count += 1;
    }
}
