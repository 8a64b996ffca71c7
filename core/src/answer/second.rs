//! The second head of an answer: the newest one that other, slower witnesses cosigned, and proof
//! that the first head's log extends it.
//!
//! Witnesses that anybody may use accept a head only so often. They cannot cosign what lookups are
//! answered from, but they can vouch for where it came from a while ago.

use thiserror::Error;

use super::trust::SecondTrust;
use crate::Hash;
use crate::log::{ProofError, verify_consistency};
use crate::note::{FreshnessError, NoteError, PolicyError, SignedNote, VerifiedCheckpoint};

/// A second head as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondHead {
    /// The signed and cosigned checkpoint, as bytes of a note.
    pub checkpoint: Vec<u8>,
    /// Proof that the first head's log extends it.
    pub consistency: Vec<Hash>,
}

/// Why a second head was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SecondHeadError {
    /// There is none, although the trust asks for one. The server has none yet, or withholds it.
    #[error("the answer has no second head, and none is known")]
    Missing,
    /// The checkpoint is no signed note. The server is at fault.
    #[error("malformed second checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint does not satisfy the second policy.
    #[error("second checkpoint refused: {0}")]
    Policy(#[from] PolicyError),
    /// The checkpoint is too old for the second policy, or in the future.
    #[error("second checkpoint refused: {0}")]
    Freshness(#[from] FreshnessError),
    /// The checkpoint is of a log without epochs, about which nothing can be said.
    #[error("the second head has no epoch")]
    NoEpoch,
    /// The second head is larger than the first. The server is at fault: it could show both at the
    /// size of the larger one.
    #[error("the second head has {size} records, more than the {first} of the first")]
    Larger {
        /// Records of the second head.
        size: u64,
        /// Records of the first one.
        first: u64,
    },
    /// The two heads have one size and different roots: two histories were signed. The log lies,
    /// and the two notes are evidence.
    #[error("the second head shows another history at {size} records")]
    SplitView {
        /// The size.
        size: u64,
    },
    /// The proof that the first head's log extends the second's is missing or wrong.
    #[error("no proof that the log only grew since the second head, of {size} records: {source}")]
    Inconsistent {
        /// Records of the second head.
        size: u64,
        /// What is wrong with the proof.
        source: ProofError,
    },
}

impl SecondHead {
    /// Checks a second head: its signatures and age, and that it is part of the log that the first
    /// one, `head`, shows.
    ///
    /// `now_s` is the device's time in POSIX seconds.
    ///
    /// # Errors
    ///
    /// [`SecondHeadError`]; each case says who is at fault.
    pub fn verify(
        &self,
        trust: &SecondTrust,
        head: &VerifiedCheckpoint,
        now_s: u64,
    ) -> Result<VerifiedCheckpoint, SecondHeadError> {
        let verified = trust.verify(&SignedNote::parse(&self.checkpoint)?, now_s)?;
        let (second, first) = (verified.checkpoint(), head.checkpoint());
        let size = second.size();
        if size > first.size() {
            let first = first.size();
            return Err(SecondHeadError::Larger { size, first });
        }
        if size == first.size() && second.root() != first.root() {
            return Err(SecondHeadError::SplitView { size });
        }
        let (old, new) = (second.root(), first.root());
        verify_consistency(size, old, first.size(), new, &self.consistency)
            .map_err(|source| SecondHeadError::Inconsistent { size, source })?;
        Ok(verified)
    }
}

impl SecondTrust {
    /// Checks the signatures and the age of a second head's note: all that time can change about
    /// one that was verified before.
    ///
    /// # Errors
    ///
    /// [`SecondHeadError`]; each case says who is at fault.
    pub fn verify(
        &self,
        note: &SignedNote,
        now_s: u64,
    ) -> Result<VerifiedCheckpoint, SecondHeadError> {
        let verified = self.policy().verify_checkpoint(note)?;
        verified.check_freshness(now_s, self.max_age_s(), self.skew_s())?;
        // Consistent with everything, the beginning of a log says nothing of what came after it.
        if verified.checkpoint().size() < 2 {
            return Err(SecondHeadError::NoEpoch);
        }
        Ok(verified)
    }
}
