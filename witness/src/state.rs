//! What is kept of a log: the newest checkpoint it signed and we cosigned. Its length does not
//! depend on the log's.

use candor_core::codec::{DecodeError, Reader, Writer as _};
use candor_core::limits::NOTE_BYTES_MAX;
use candor_core::note::{
    Checkpoint, LogCheckpoint, SignatureLine, SignedNote, encode_cosignatures, parse_cosignatures,
};

use crate::decision::Recorded;

const FORMAT: u8 = 1;

/// The newest cosigned checkpoint of a log.
///
/// ```text
/// struct { uint8 format = 1; uint64 timestamp_s; opaque note<1..2^32-1>;
///          opaque cosignatures<1..2^32-1>; } LogState;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    checkpoint: Checkpoint,
    timestamp_s: u64,
    /// The checkpoint with one verified line for each of the log's keys.
    note: SignedNote,
    cosignatures: Vec<SignatureLine>,
}

impl LogState {
    /// What is to be kept of a checkpoint that was cosigned at `timestamp_s`, in POSIX seconds.
    pub fn new(
        checkpoint: &LogCheckpoint,
        timestamp_s: u64,
        cosignatures: Vec<SignatureLine>,
    ) -> Self {
        Self {
            checkpoint: checkpoint.checkpoint().clone(),
            timestamp_s,
            note: one_line_for_each_key(&checkpoint.to_note()),
            cosignatures,
        }
    }

    /// What the next decision depends on.
    pub const fn recorded(&self) -> Recorded {
        Recorded::of(&self.checkpoint)
    }

    /// When it was cosigned, in POSIX seconds.
    pub const fn timestamp_s(&self) -> u64 {
        self.timestamp_s
    }

    /// The checkpoint with the log's signatures.
    pub const fn log_note(&self) -> &SignedNote {
        &self.note
    }

    /// The lines that were returned for it.
    pub fn cosignatures(&self) -> &[SignatureLine] {
        &self.cosignatures
    }

    /// The checkpoint with the log's signatures and the lines that were returned for it.
    pub fn cosigned_note(&self) -> SignedNote {
        let mut note = self.note.clone();
        for line in &self.cosignatures {
            note.add(line.clone())
                .expect("a few keys of the log and four of ours are within the limits of a note");
        }
        note
    }

    /// The encoding at rest.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend(self.timestamp_s.to_be_bytes());
        out.opaque32(&self.note.to_bytes());
        out.opaque32(encode_cosignatures(&self.cosignatures).as_bytes());
        out
    }

    /// Reads what [`Self::encode`] made.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the storage is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("format")? != FORMAT {
            return Err(DecodeError::Invalid { field: "format" });
        }
        let timestamp_s = reader.u64("timestamp")?;
        let note = SignedNote::parse(reader.opaque32(NOTE_BYTES_MAX, "note")?)
            .map_err(|_| DecodeError::Invalid { field: "note" })?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|_| DecodeError::Invalid {
            field: "checkpoint",
        })?;
        let cosignatures = parse_cosignatures(reader.opaque32(NOTE_BYTES_MAX, "cosignatures")?)
            .map_err(|_| DecodeError::Invalid {
                field: "cosignatures",
            })?;
        reader.finish()?;
        Ok(Self {
            checkpoint,
            timestamp_s,
            note,
            cosignatures,
        })
    }
}

/// The time of the next cosignature of a log: the clock's, but never 0 and never before the last.
pub fn next_timestamp_s(now_s: u64, last: Option<&LogState>) -> u64 {
    now_s.max(last.map_or(1, LogState::timestamp_s)).max(1)
}

/// A log may repeat valid lines of one key as it likes; we keep the last, so that what we keep is
/// bounded by the number of its keys.
pub(crate) fn one_line_for_each_key(note: &SignedNote) -> SignedNote {
    let (first, rest) = note
        .signatures()
        .split_first()
        .expect("a note has a signature");
    let kept = SignedNote::new(note.text().to_owned(), vec![first.clone()]);
    let mut kept = kept.expect("a part of a note is a note");
    for line in rest {
        kept.add(line.clone()).expect("a part of a note is a note");
    }
    kept
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use candor_core::Hash;
    use candor_core::crypto::MlDsa44SecretKey;
    use candor_core::note::{KeyName, LogVerifier, NoteSigner as _, SoftwareSigner};

    fn state(repeats: u64) -> LogState {
        let name = KeyName::new("log.example").unwrap();
        let log = SoftwareSigner::ml_dsa_44(name, MlDsa44SecretKey::from_seed(&[1; 32]));
        let checkpoint = Checkpoint::new("log.example", 7, Hash([7; 32])).unwrap();
        let lines: Vec<_> = (0..repeats)
            .map(|at| log.sign(&checkpoint, at).unwrap())
            .collect();
        let note = SignedNote::new(checkpoint.to_text(), lines.clone()).unwrap();
        let verifier = LogVerifier::new("log.example", vec![log.verifier_key().clone()]);
        LogState::new(&verifier.verify(&note).unwrap(), 5, vec![lines[0].clone()])
    }

    #[test]
    fn the_encoding_reads_back_and_is_strict() {
        let state = state(1);
        let bytes = state.encode();
        assert_eq!(LogState::decode(&bytes), Ok(state));
        for length in 0..bytes.len() {
            assert!(LogState::decode(&bytes[..length]).is_err(), "{length}");
        }
        assert!(LogState::decode(&[&bytes[..], &[0]].concat()).is_err());
        let other_format = [&[2], &bytes[1..]].concat();
        assert_eq!(
            LogState::decode(&other_format),
            Err(DecodeError::Invalid { field: "format" })
        );
    }

    #[test]
    fn repeated_lines_of_the_log_do_not_make_the_state_grow() {
        assert_eq!(state(20).log_note().signatures().len(), 1);
        assert_eq!(state(20).encode().len(), state(1).encode().len());
    }

    #[test]
    fn time_is_never_zero_and_never_goes_back() {
        let last = state(1);
        assert_eq!(next_timestamp_s(0, None), 1);
        assert_eq!(next_timestamp_s(9, None), 9);
        assert_eq!(next_timestamp_s(4, Some(&last)), 5);
        assert_eq!(next_timestamp_s(6, Some(&last)), 6);
    }
}
