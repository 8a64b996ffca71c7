//! The decision on `add-checkpoint`, without I/O, clock or keys of our own
//! (c2sp.org/tlog-witness, "add-checkpoint").
//!
//! It has two steps, in the order of the specification's checks. [`admit`] turns a request into a
//! [`Submission`], which exists only if a key that we trust for the log signed its checkpoint;
//! [`decide`] compares a submission with what is recorded for the log. Both are functions of their
//! arguments, so whatever stores and serves can be tested, or simulated, apart from the rules. What
//! they rule out: a check that depends on timing, and a code path that signs without all checks.

use candor_core::Hash;
use candor_core::log::{ProofError, verify_consistency};
use candor_core::note::{
    AddCheckpoint, BodyError, Checkpoint, CheckpointError, LogCheckpoint, LogVerifier,
    LogVerifyError, SignedNote,
};
use thiserror::Error;

/// What a witness must remember of a log: the largest tree it cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recorded {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
}

impl Recorded {
    /// What is known of a log of which nothing was cosigned yet.
    pub const NOTHING: Self = Self {
        size: 0,
        root: Hash::EMPTY_LOG,
    };

    /// What there is to remember of `checkpoint`.
    pub const fn of(checkpoint: &Checkpoint) -> Self {
        Self {
            size: checkpoint.size(),
            root: *checkpoint.root(),
        }
    }
}

/// Why a request is refused, in the order in which the specification has it checked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The body is malformed (400); the client is at fault.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The note's text is no checkpoint (400); the client is at fault.
    #[error(transparent)]
    Checkpoint(CheckpointError),
    /// The log is not one of ours (404); our configuration or the client's is at fault.
    #[error("log is unknown to this witness")]
    UnknownLog,
    /// No key that we trust for the log signed it, or a line by one does not verify (403); the
    /// client is at fault, or the configuration of keys.
    #[error(transparent)]
    Unsigned(LogVerifyError),
    /// The old size exceeds the checkpoint's (400); the client is at fault.
    #[error("old size exceeds the size of the checkpoint")]
    OldSizeAbove,
    /// The old size is not the recorded one (409): the client builds the proof from `size` and
    /// asks again.
    #[error("the checkpoint cosigned last has size {size}")]
    Conflict {
        /// The recorded size, 0 for none.
        size: u64,
    },
    /// Size 0 with another root than that of the empty tree (422); the log is at fault.
    #[error("checkpoint of size 0 has not the root of the empty tree")]
    EmptyRoot,
    /// The subtree ends behind the checkpoint (400); the client is at fault.
    #[error("subtree ends behind the checkpoint")]
    SubtreeBeyond,
    /// The checkpoint to which a subtree belongs has no valid cosignature of ours (403); the client
    /// is at fault.
    #[error("checkpoint has no valid cosignature of this witness")]
    NotCosigned,
    /// The proof does not show that the checkpoint follows the recorded one, or has the subtree
    /// (422). That alone accuses nobody.
    #[error("consistency is not proved: {0}")]
    Inconsistent(ProofError),
}

/// A request whose checkpoint the log signed. Whether it follows what is recorded is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    old_size: u64,
    proof: Vec<Hash>,
    checkpoint: LogCheckpoint,
}

impl Submission {
    /// What the log signed, with its verified lines only.
    pub const fn checkpoint(&self) -> &LogCheckpoint {
        &self.checkpoint
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        self.checkpoint.checkpoint().origin()
    }

    /// Whether this and a recorded checkpoint are two trees of one size: proof against the log by
    /// its own signatures, whatever else the request says.
    pub fn contradicts(&self, recorded: &Recorded) -> bool {
        let checkpoint = self.checkpoint.checkpoint();
        checkpoint.size() == recorded.size && *checkpoint.root() != recorded.root
    }

    /// The request again, with the log's verified lines only.
    pub fn to_request(&self) -> AddCheckpoint {
        AddCheckpoint {
            old_size: self.old_size,
            proof: self.proof.clone(),
            note: self.checkpoint.to_note(),
        }
    }
}

/// The checkpoint of a note. Nobody vouches for it yet.
///
/// # Errors
///
/// [`Refusal::Checkpoint`].
pub fn read_checkpoint(note: &SignedNote) -> Result<Checkpoint, Refusal> {
    Checkpoint::parse(note.text()).map_err(Refusal::Checkpoint)
}

/// Checks that a log of ours, whose keys are in `log`, signed the request's checkpoint.
///
/// # Errors
///
/// [`Refusal::Checkpoint`], [`Refusal::UnknownLog`] or [`Refusal::Unsigned`], in this order.
pub fn admit(request: AddCheckpoint, log: &LogVerifier) -> Result<Submission, Refusal> {
    let checkpoint = log.verify(&request.note).map_err(|error| match error {
        LogVerifyError::Checkpoint(error) => Refusal::Checkpoint(error),
        LogVerifyError::UnknownOrigin => Refusal::UnknownLog,
        error => Refusal::Unsigned(error),
    })?;
    Ok(Submission {
        old_size: request.old_size,
        proof: request.proof,
        checkpoint,
    })
}

/// Checks that a submission follows what is recorded for its log, which is the caller's to ensure.
/// Only then may it be recorded and, after that, cosigned.
///
/// # Errors
///
/// [`Refusal::OldSizeAbove`], [`Refusal::Conflict`], [`Refusal::EmptyRoot`] or
/// [`Refusal::Inconsistent`], in this order.
pub fn decide(recorded: &Recorded, submission: &Submission) -> Result<(), Refusal> {
    let Recorded { size, root } = *recorded;
    let new = Recorded::of(submission.checkpoint.checkpoint());
    if submission.old_size > new.size {
        return Err(Refusal::OldSizeAbove);
    }
    if submission.old_size != size {
        return Err(Refusal::Conflict { size });
    }
    if new.size == 0 && new.root != Hash::EMPTY_LOG {
        return Err(Refusal::EmptyRoot);
    }
    verify_consistency(size, &root, new.size, &new.root, &submission.proof)
        .map_err(Refusal::Inconsistent)
}
