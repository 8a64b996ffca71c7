//! Evidence that a log signed two histories, as bytes that convince without anyone's word.

use thiserror::Error;

use super::signed_note::{NoteError, SignedNote};
use super::verified::{LogVerifier, LogVerifyError};
use crate::codec::{DecodeError, Reader, Writer as _};
use crate::limits::NOTE_BYTES_MAX;

const FORMAT: u8 = 1;

/// Two checkpoints of one size and different roots, both signed by one log.
///
/// ```text
/// struct {
///   uint8 format = 1;
///   opaque earlier<1..2^32-1>;       // signed notes
///   opaque later<1..2^32-1>;
/// } Evidence;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    earlier: SignedNote,
    later: SignedNote,
}

/// Why two notes are no evidence. Who presents them is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The bytes do not hold two notes.
    #[error("malformed evidence: {0}")]
    Malformed(#[from] DecodeError),
    /// One of them is no note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The log did not sign one of them.
    #[error(transparent)]
    Log(#[from] LogVerifyError),
    /// They do not contradict each other.
    #[error("the checkpoints do not contradict each other")]
    NoContradiction,
}

impl Evidence {
    /// Takes two notes as evidence, if they are evidence against `log`.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] if they are not.
    pub fn new(
        log: &LogVerifier,
        earlier: &SignedNote,
        later: &SignedNote,
    ) -> Result<Self, EvidenceError> {
        let (first, second) = (log.verify(earlier)?, log.verify(later)?);
        let (a, b) = (first.checkpoint(), second.checkpoint());
        if a.size() != b.size() || a.root() == b.root() {
            return Err(EvidenceError::NoContradiction);
        }
        Ok(Self {
            earlier: first.to_note(),
            later: second.to_note(),
        })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.opaque32(&self.earlier.to_bytes());
        out.opaque32(&self.later.to_bytes());
        out
    }

    /// Reads a file and verifies it, offline.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] if it is no evidence against `log`.
    pub fn verify(bytes: &[u8], log: &LogVerifier) -> Result<Self, EvidenceError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("format")? != FORMAT {
            return Err(DecodeError::Invalid { field: "format" }.into());
        }
        let earlier = SignedNote::parse(reader.opaque32(NOTE_BYTES_MAX, "earlier note")?)?;
        let later = SignedNote::parse(reader.opaque32(NOTE_BYTES_MAX, "later note")?)?;
        reader.finish()?;
        let evidence = Self::new(log, &earlier, &later)?;
        // Only the log's own lines belong in the file.
        if evidence.to_bytes() != bytes {
            return Err(DecodeError::Invalid { field: "notes" }.into());
        }
        Ok(evidence)
    }

    /// The checkpoint that was seen first, with the log's signatures.
    pub const fn earlier(&self) -> &SignedNote {
        &self.earlier
    }

    /// The checkpoint that contradicts it, with the log's signatures.
    pub const fn later(&self) -> &SignedNote {
        &self.later
    }
}
