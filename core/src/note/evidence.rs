//! Evidence that a log signed two histories, as bytes that convince without anyone's word.

use thiserror::Error;

use super::checkpoint::Checkpoint;
use super::signed_note::{NoteError, SignedNote};
use super::verified::{LogVerifier, LogVerifyError};
use crate::Hash;
use crate::codec::{DecodeError, Reader, Writer as _};
use crate::limits::{LOG_PROOF_HASHES_MAX, NOTE_BYTES_MAX};
use crate::log::verify_consistency;

const FORMAT_ONE_SIZE: u8 = 1;
const FORMAT_TWO_SIZES: u8 = 2;

/// What the tree of the later checkpoint begins with, instead of that of the earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedBeginning {
    /// The root over as many entries as the earlier checkpoint has.
    pub root: Hash,
    /// The consistency proof from there to the later checkpoint.
    pub proof: Vec<Hash>,
}

/// Two checkpoints that one log signed and that no log can sign which only grows: of one size with
/// different roots; or of two sizes, with a proof that the larger tree begins with another tree of
/// the smaller size.
///
/// ```text
/// struct {
///   uint8 format;                    // 1: one size, 2: two sizes
///   opaque earlier<1..2^32-1>;       // signed notes
///   opaque later<1..2^32-1>;
///   select (format) {
///     case 1: Empty;
///     case 2: opaque root[32]; Hash proof<0..63>;
///   };
/// } Evidence;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    earlier: SignedNote,
    later: SignedNote,
    checkpoints: (Checkpoint, Checkpoint),
    beginning: Option<ProvedBeginning>,
}

/// Why bytes or notes are no evidence. Who presents them is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The bytes do not hold what evidence is made of.
    #[error("malformed evidence: {0}")]
    Malformed(#[from] DecodeError),
    /// One of the notes is none.
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
    /// Takes two notes of one size as evidence, if they are evidence against `log`.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] if they are not.
    pub fn new(
        log: &LogVerifier,
        earlier: &SignedNote,
        later: &SignedNote,
    ) -> Result<Self, EvidenceError> {
        Self::check(log, earlier, later, None)
    }

    /// Takes two notes, of which the later has the larger size, as evidence, if `beginning` makes
    /// them evidence against `log`. The empty tree has no history, so it contradicts nothing.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] if they are not.
    pub fn over_two_sizes(
        log: &LogVerifier,
        earlier: &SignedNote,
        later: &SignedNote,
        beginning: ProvedBeginning,
    ) -> Result<Self, EvidenceError> {
        Self::check(log, earlier, later, Some(beginning))
    }

    fn check(
        log: &LogVerifier,
        earlier: &SignedNote,
        later: &SignedNote,
        beginning: Option<ProvedBeginning>,
    ) -> Result<Self, EvidenceError> {
        let (first, second) = (log.verify(earlier)?, log.verify(later)?);
        let (a, b) = (first.checkpoint(), second.checkpoint());
        let is_contradiction = match &beginning {
            None => a.size() == b.size() && a.root() != b.root(),
            Some(ProvedBeginning { root, proof }) => {
                a.size() != 0
                    && a.size() < b.size()
                    && a.root() != root
                    && proof.len() <= LOG_PROOF_HASHES_MAX
                    && verify_consistency(a.size(), root, b.size(), b.root(), proof).is_ok()
            }
        };
        if !is_contradiction {
            return Err(EvidenceError::NoContradiction);
        }
        Ok(Self {
            earlier: first.to_note(),
            later: second.to_note(),
            checkpoints: (a.clone(), b.clone()),
            beginning,
        })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let format = match self.beginning {
            None => FORMAT_ONE_SIZE,
            Some(_) => FORMAT_TWO_SIZES,
        };
        let mut out = vec![format];
        out.opaque32(&self.earlier.to_bytes());
        out.opaque32(&self.later.to_bytes());
        if let Some(ProvedBeginning { root, proof }) = &self.beginning {
            out.extend(root.as_bytes());
            let count = u8::try_from(proof.len()).expect("at most 63 were taken");
            out.push(count);
            out.extend(proof.iter().flat_map(Hash::as_bytes));
        }
        out
    }

    /// Reads a file and verifies it, offline.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] if it is no evidence against `log`, or holds lines by other keys.
    pub fn verify(bytes: &[u8], log: &LogVerifier) -> Result<Self, EvidenceError> {
        let evidence = Self::receive(bytes, log)?;
        // Only the log's own lines belong in the file.
        if evidence.to_bytes() != bytes {
            return Err(DecodeError::Invalid { field: "notes" }.into());
        }
        Ok(evidence)
    }

    /// Reads what somebody made who may know more keys of the log than `log` has, and keeps the
    /// lines that `log` knows.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] if it is no evidence against `log`.
    pub fn receive(bytes: &[u8], log: &LogVerifier) -> Result<Self, EvidenceError> {
        let mut reader = Reader::new(bytes);
        let format = reader.u8("format")?;
        if !matches!(format, FORMAT_ONE_SIZE | FORMAT_TWO_SIZES) {
            return Err(DecodeError::Invalid { field: "format" }.into());
        }
        let earlier = SignedNote::parse(reader.opaque32(NOTE_BYTES_MAX, "earlier note")?)?;
        let later = SignedNote::parse(reader.opaque32(NOTE_BYTES_MAX, "later note")?)?;
        let beginning = (format == FORMAT_TWO_SIZES).then(|| read_beginning(&mut reader));
        let beginning = beginning.transpose()?;
        reader.finish()?;
        Self::check(log, &earlier, &later, beginning)
    }

    /// The origin that the file at hand claims to be evidence against. Nobody vouches for it yet.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] if the bytes do not begin as evidence does.
    pub fn claimed_origin(bytes: &[u8]) -> Result<String, EvidenceError> {
        let mut reader = Reader::new(bytes);
        reader.u8("format")?;
        let note = SignedNote::parse(reader.opaque32(NOTE_BYTES_MAX, "earlier note")?)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(LogVerifyError::from)?;
        Ok(checkpoint.origin().to_owned())
    }

    /// The checkpoint that was seen first or is smaller, with the log's signatures.
    pub const fn earlier(&self) -> &SignedNote {
        &self.earlier
    }

    /// The checkpoint that contradicts it, with the log's signatures.
    pub const fn later(&self) -> &SignedNote {
        &self.later
    }

    /// What the log signed in both, the earlier first.
    pub const fn checkpoints(&self) -> (&Checkpoint, &Checkpoint) {
        (&self.checkpoints.0, &self.checkpoints.1)
    }

    /// What shows the contradiction of two sizes; `None` if both have one size.
    pub const fn beginning(&self) -> Option<&ProvedBeginning> {
        self.beginning.as_ref()
    }
}

fn read_beginning(reader: &mut Reader<'_>) -> Result<ProvedBeginning, DecodeError> {
    let root = reader.hash("root")?;
    let count = usize::from(reader.u8("proof")?);
    if count > LOG_PROOF_HASHES_MAX {
        return Err(DecodeError::TooLarge {
            field: "proof",
            limit: LOG_PROOF_HASHES_MAX,
        });
    }
    let proof = (0..count).map(|_| reader.hash("proof"));
    Ok(ProvedBeginning {
        root,
        proof: proof.collect::<Result<_, _>>()?,
    })
}
