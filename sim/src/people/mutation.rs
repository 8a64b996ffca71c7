//! Devices that are driven wrongly on purpose: each must be caught by an invariant.

use super::invariants as must;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Some writes are not made.
    DropsWrites,
    /// What other devices share is not taken in.
    SkipsMerges,
    /// What is about to be published is shared later.
    SharesLate,
    /// Questions for every version since the known one are asked for the newest alone.
    AsksForTheNewest,
    /// The client remembers nothing of the log.
    ClientForgets,
    /// The person is told nothing.
    TellsNothing,
    /// Nothing that is due is done.
    SleepsThrough,
    /// Heads that come with messages are dropped.
    IgnoresGossip,
    /// The machine is not told which devices the messenger offers.
    OffersNothing,
}

impl Mutation {
    /// Every mutation, with the names of the invariants of which one has to notice it.
    pub const ALL: [(Self, &'static [&'static str]); 9] = [
        (Self::DropsWrites, &[must::STAYS, must::TOLD_ONCE]),
        (Self::SkipsMerges, &[must::NO_FALSE_ALERT]),
        (Self::SharesLate, &[must::NO_FALSE_ALERT]),
        // What happened between is never seen: a log that begins later is taken for one behind.
        (Self::AsksForTheNewest, &[must::TOLD_IN_TIME]),
        (Self::ClientForgets, &[must::NO_FALSE_ALERT]),
        (Self::TellsNothing, &[must::STAYS]),
        (Self::SleepsThrough, &[must::TOLD_IN_TIME]),
        (Self::IgnoresGossip, &[must::TOLD_IN_TIME]),
        (Self::OffersNothing, &[must::NO_FALSE_CLEARANCE]),
    ];
}
