//! Nodes that are broken on purpose: each must be caught by an invariant, or the simulation is
//! worth nothing.

use crate::invariants;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Witnesses answer first and write then.
    AnswersBeforeWriting,
    /// Witnesses start without holding their database against the anchor.
    ForgetsAnchor,
    /// Witnesses cosign whatever the log signed.
    SkipsConsistency,
    /// Witnesses take a note for evidence without looking at its signatures.
    SkipsSignatures,
    /// Witnesses leave a fork out of what they keep.
    DropsEvidence,
    /// Witnesses are not asked again after a failure.
    GivesUp,
    /// Witnesses ask no peers.
    GossipIsSilent,
    /// Witnesses leave out the evidence that peers give.
    GossipDropsEvidence,
    /// Witnesses take a peer's head for the log's word without looking at its signatures.
    GossipBelieves,
    /// Witnesses cosign growth although the log does not show consistency.
    GrowsUnreconciled,
    /// Devices do not ask that a head follows the one before.
    DeviceSkipsConsistency,
    /// Devices count one cosignature less than their policy asks for.
    DeviceLowersQuorum,
    /// The log starts without its anchor.
    LogForgetsAnchor,
}

impl Mutation {
    /// Every mutation, with the names of the invariants of which one has to notice it.
    pub const ALL: [(Self, &'static [&'static str]); 13] = [
        (Self::AnswersBeforeWriting, &[invariants::WRITTEN_FIRST]),
        (Self::ForgetsAnchor, &[invariants::WITNESS_ONE_HISTORY]),
        (Self::SkipsConsistency, &[invariants::WITNESS_ONE_HISTORY]),
        (Self::SkipsSignatures, &[invariants::NO_FALSE_ACCUSATION]),
        (Self::DropsEvidence, &[invariants::FORKS_ARE_KEPT]),
        (Self::GivesUp, &[invariants::LIVENESS]),
        (Self::GossipIsSilent, &[invariants::FORKS_END]),
        (Self::GossipDropsEvidence, &[invariants::EVIDENCE_SPREADS]),
        (Self::GossipBelieves, &[invariants::NO_FALSE_ACCUSATION]),
        (Self::GrowsUnreconciled, &[invariants::FORKS_END]),
        (
            Self::DeviceSkipsConsistency,
            &[invariants::DEVICE_ONE_HISTORY],
        ),
        (Self::DeviceLowersQuorum, &[invariants::DEVICES_AGREE]),
        (Self::LogForgetsAnchor, &[invariants::LOG_ONE_HISTORY]),
    ];
}
