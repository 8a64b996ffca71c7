//! Proofs that verify offline: an inclusion proof with its cosigned checkpoint, as a text file
//! (c2sp.org/tlog-proof).

use core::fmt;

use thiserror::Error;

use super::policy::Policy;
use super::signed_note::{NoteError, SignedNote};
use super::text::{decode_base64, decode_decimal, decode_hash, encode_base64};
use super::verified::{PolicyError, VerifiedCheckpoint};
use crate::Hash;
use crate::limits::{LOG_PROOF_HASHES_MAX, TLOG_PROOF_BYTES_MAX, TLOG_PROOF_EXTRA_BYTES_MAX};
use crate::log::{ProofError, verify_inclusion};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The bytes are not a proof in its one spelling; who wrote them is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TlogProofParseError {
    /// It exceeds [`TLOG_PROOF_BYTES_MAX`], its extra data [`TLOG_PROOF_EXTRA_BYTES_MAX`] or its
    /// hashes [`LOG_PROOF_HASHES_MAX`].
    #[error("proof exceeds a limit")]
    TooLong,
    /// The lines before the checkpoint are malformed.
    #[error("proof is malformed")]
    Malformed,
    /// The checkpoint is not a signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// Why a proof does not show that the entry is logged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TlogProofError {
    /// The checkpoint does not satisfy the policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The entry is not at that index of the log.
    #[error(transparent)]
    Inclusion(#[from] ProofError),
}

/// An entry's place in a log. Nothing of it is verified until [`Self::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What the application adds; never authenticated. An empty one is written as none.
    pub extra: Vec<u8>,
    /// The entry's index.
    pub index: u64,
    /// The inclusion proof, leaf's sibling first.
    pub hashes: Vec<Hash>,
    /// The checkpoint with its signatures.
    pub note: SignedNote,
}

impl TlogProof {
    /// Parses a proof.
    ///
    /// # Errors
    ///
    /// [`TlogProofParseError`] unless `bytes` is what [`Self::to_bytes`] makes again.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofParseError> {
        use TlogProofParseError::{Malformed, TooLong};
        if bytes.len() > TLOG_PROOF_BYTES_MAX {
            return Err(TooLong);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| Malformed)?;
        let (head, note) = text.split_once("\n\n").ok_or(Malformed)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(Malformed);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => parse_extra(&line["extra ".len()..])?,
            None => Vec::new(),
        };
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .ok_or(Malformed)?;
        let index = decode_decimal(index).ok_or(Malformed)?;
        if lines.clone().count() > LOG_PROOF_HASHES_MAX {
            return Err(TooLong);
        }
        let hashes = lines
            .map(decode_hash)
            .collect::<Option<_>>()
            .ok_or(Malformed)?;
        Ok(Self {
            extra,
            index,
            hashes,
            note: SignedNote::parse(note.as_bytes())?,
        })
    }

    /// The proof's bytes. [`Self::parse`] accepts them if the parts keep the limits.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Verifies that the entry with hash `leaf` is in a log that satisfies `policy`.
    ///
    /// # Errors
    ///
    /// [`TlogProofError`] when the proof does not show that; who made it is at fault, except for
    /// a quorum that is only not met yet.
    pub fn verify(
        &self,
        leaf: &Hash,
        policy: &Policy,
    ) -> Result<VerifiedCheckpoint, TlogProofError> {
        let verified = policy.verify_checkpoint(&self.note)?;
        let checkpoint = verified.checkpoint();
        verify_inclusion(
            self.index,
            checkpoint.size(),
            leaf,
            &self.hashes,
            checkpoint.root(),
        )?;
        Ok(verified)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", encode_base64(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", encode_base64(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.note)
    }
}

/// The line is left out when there is no data, so an empty one would be a second spelling.
fn parse_extra(text: &str) -> Result<Vec<u8>, TlogProofParseError> {
    if text.len() > TLOG_PROOF_EXTRA_BYTES_MAX.div_ceil(3) * 4 {
        return Err(TlogProofParseError::TooLong);
    }
    let extra = decode_base64(text).ok_or(TlogProofParseError::Malformed)?;
    match extra.len() {
        0 => Err(TlogProofParseError::Malformed),
        length if length > TLOG_PROOF_EXTRA_BYTES_MAX => Err(TlogProofParseError::TooLong),
        _ => Ok(extra),
    }
}
