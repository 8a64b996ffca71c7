//! A signed head of a log, as long as its keys make it and no longer.

use std::sync::Arc;

use candor_core::Hash;
use candor_core::note::{Evidence, LogCheckpoint, SignedNote};
use sha2::{Digest as _, Sha256};

use crate::decision::Recorded;
use crate::state::one_line_for_each_key;

/// A checkpoint that its log signed, with one line for each of the log's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    recorded: Recorded,
    note: Arc<SignedNote>,
}

impl Head {
    /// The head that a log signed.
    pub fn new(checkpoint: &LogCheckpoint) -> Self {
        Self {
            recorded: Recorded::of(checkpoint.checkpoint()),
            note: Arc::new(one_line_for_each_key(&checkpoint.to_note())),
        }
    }

    /// Size and root.
    pub const fn recorded(&self) -> Recorded {
        self.recorded
    }

    /// Number of entries.
    pub const fn size(&self) -> u64 {
        self.recorded.size
    }

    /// The note with the log's signatures.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// Whether this and `other` are two trees of one size.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        self.size() == other.size() && self.recorded.root != other.recorded.root
    }
}

/// The SHA-256 over what the log signed in a case of evidence, whichever of both was seen first:
/// signatures and proofs may differ between two cases that say the same.
pub fn contradiction_id(evidence: &Evidence) -> Hash {
    let (earlier, later) = evidence.checkpoints();
    let mut texts = [earlier.to_text(), later.to_text()];
    texts.sort();
    Hash(Sha256::digest(texts.concat()).into())
}
