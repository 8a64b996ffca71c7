//! Bodies of the witness protocol over HTTP (c2sp.org/tlog-witness).

use core::fmt;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::signed_note::{NoteError, SignatureLine, SignedNote};
use super::text::{decode_decimal, decode_hash, encode_base64};
use crate::Hash;
use crate::limits::{ADD_CHECKPOINT_BYTES_MAX, LOG_PROOF_HASHES_MAX, LOG_SIZE_MAX, NOTE_BYTES_MAX};

/// The content type of a 409 answer.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// A body is malformed; who sent it is at fault (a witness answers 400).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It exceeds the limit of its kind, or has more than [`LOG_PROOF_HASHES_MAX`] proof lines.
    #[error("body exceeds a limit")]
    TooLong,
    /// A line is not what it must be.
    #[error("body is malformed")]
    Malformed,
    /// The checkpoint or the signature lines are not those of a note.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// The request of `add-checkpoint`: please cosign the checkpoint, which follows the old size by
/// this proof. Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the client believes the witness cosigned last; 0 for none.
    pub old_size: u64,
    /// The consistency proof from the old size.
    pub proof: Vec<Hash>,
    /// The checkpoint with the log's signatures.
    pub note: SignedNote,
}

impl AddCheckpoint {
    /// Parses a request body.
    ///
    /// # Errors
    ///
    /// [`BodyError`] unless `body` is what [`Self::to_bytes`] makes again.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        if body.len() > ADD_CHECKPOINT_BYTES_MAX {
            return Err(BodyError::TooLong);
        }
        let text = core::str::from_utf8(body).map_err(|_| BodyError::Malformed)?;
        let (head, note) = text.split_once("\n\n").ok_or(BodyError::Malformed)?;
        let mut lines = head.split('\n');
        let old_size = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(decode_size)
            .ok_or(BodyError::Malformed)?;
        Ok(Self {
            old_size,
            proof: decode_proof(lines)?,
            note: SignedNote::parse(note.as_bytes())?,
        })
    }

    /// The request body.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        write_rest(f, &self.proof, &self.note)
    }
}

/// The proof lines of a request.
pub(super) fn decode_proof<'a>(
    lines: impl Iterator<Item = &'a str> + Clone,
) -> Result<Vec<Hash>, BodyError> {
    if lines.clone().count() > LOG_PROOF_HASHES_MAX {
        return Err(BodyError::TooLong);
    }
    let hashes = lines.map(decode_hash).collect::<Option<_>>();
    hashes.ok_or(BodyError::Malformed)
}

/// The proof lines, the empty line and the note of a request.
pub(super) fn write_rest(
    f: &mut fmt::Formatter<'_>,
    proof: &[Hash],
    note: &SignedNote,
) -> fmt::Result {
    for hash in proof {
        writeln!(f, "{}", encode_base64(hash.as_bytes()))?;
    }
    write!(f, "\n{note}")
}

/// Writes the body of a 200 answer: the witness's cosignatures, at least one.
pub fn encode_cosignatures(lines: &[SignatureLine]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Parses the body of a 200 answer. The lines claim nothing until they are verified; the client
/// ignores those of keys that it does not know.
///
/// # Errors
///
/// [`BodyError`] when it is not one or more signature lines; the witness is at fault.
pub fn parse_cosignatures(body: &[u8]) -> Result<Vec<SignatureLine>, BodyError> {
    if body.len() > NOTE_BYTES_MAX {
        return Err(BodyError::TooLong);
    }
    let text = core::str::from_utf8(body).map_err(|_| BodyError::Malformed)?;
    Ok(SignatureLine::parse_all(text)?)
}

/// Writes the body of a 409 answer: the size that the witness cosigned last.
pub fn encode_size(size: u64) -> String {
    format!("{size}\n")
}

/// Parses the body of a 409 answer.
///
/// # Errors
///
/// [`BodyError::Malformed`] when it is not a size and a newline; the witness is at fault.
pub fn parse_size(body: &[u8]) -> Result<u64, BodyError> {
    core::str::from_utf8(body)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .and_then(decode_size)
        .ok_or(BodyError::Malformed)
}

/// The path below the monitoring prefix where a witness serves its checkpoint of log `origin`:
/// `<hex of SHA-256 of the origin>/checkpoint`.
pub fn monitoring_path(origin: &str) -> String {
    format!("{}/checkpoint", Hash(Sha256::digest(origin).into()))
}

pub(super) fn decode_size(text: &str) -> Option<u64> {
    decode_decimal(text).filter(|size| *size <= LOG_SIZE_MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const HASH: &str = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=";

    /// c2sp.org/tlog-witness, "Example request body", with one of its two signatures.
    const REQUEST: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URY\
        N7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

    #[test]
    fn the_example_of_the_specification() {
        let request = AddCheckpoint::parse(REQUEST.as_bytes()).unwrap();
        assert_eq!(request.old_size, 20_852_014);
        assert_eq!(request.proof.len(), 4);
        assert!(
            request
                .note
                .text()
                .starts_with("example.com/behind-the-sofa\n20852163\n")
        );
        assert_eq!(request.to_bytes(), REQUEST.as_bytes());
    }

    #[test]
    fn malformed_requests_are_refused() {
        let note = REQUEST.split_once("\n\n").unwrap().1;
        let with = |head: &str| AddCheckpoint::parse(format!("{head}\n{note}").as_bytes());
        assert!(with("old 0\n").is_ok());
        for head in [
            "",
            "\n",
            "old\n",
            "old \n",
            "old 01\n",
            "old +1\n",
            "old  1\n",
            "Old 1\n",
            " old 1\n",
            "old 1 \n",
            "old 1\r\n",
            "old 9223372036854775808\n",
            "old 1",
            "old 1\nnot base64\n",
        ] {
            assert!(with(head).is_err(), "{head:?}");
        }
        let lines = |count| format!("old 1\n{}", format!("{HASH}\n").repeat(count));
        assert_eq!(with(&lines(63)).unwrap().proof.len(), 63);
        assert_eq!(with(&lines(64)), Err(BodyError::TooLong));
        for length in 0..REQUEST.len() {
            assert!(AddCheckpoint::parse(&REQUEST.as_bytes()[..length]).is_err());
        }
        let long = vec![b'a'; ADD_CHECKPOINT_BYTES_MAX + 1];
        assert_eq!(AddCheckpoint::parse(&long), Err(BodyError::TooLong));
    }

    #[test]
    fn cosignature_lines_read_back_and_nothing_else_is_read() {
        let body = "\u{2014} a AAAAAAA=\n\u{2014} b AAAAAAE=\n";
        let lines = parse_cosignatures(body.as_bytes()).unwrap();
        assert_eq!(encode_cosignatures(&lines), body);
        for bad in [
            "",
            "\n",
            "\u{2014} a AAAAAAA=",
            "\n\u{2014} a AAAAAAA=\n",
            "ok\n",
        ] {
            assert!(parse_cosignatures(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let many = "\u{2014} a AAAAAAA=\n".repeat(65);
        assert!(parse_cosignatures(many.as_bytes()).is_err());
        assert_eq!(
            parse_cosignatures(&vec![b'a'; NOTE_BYTES_MAX + 1]),
            Err(BodyError::TooLong)
        );
    }

    #[test]
    fn sizes_read_back_and_nothing_else_is_read() {
        for size in [0, 20_852_014, LOG_SIZE_MAX] {
            assert_eq!(parse_size(encode_size(size).as_bytes()), Ok(size));
        }
        for bad in [
            "",
            "\n",
            "1",
            "01\n",
            "1\n\n",
            " 1\n",
            "1\r\n",
            "9223372036854775808\n",
        ] {
            assert_eq!(
                parse_size(bad.as_bytes()),
                Err(BodyError::Malformed),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn the_monitoring_path_names_the_origin_by_its_hash() {
        let expected =
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb/checkpoint";
        assert_eq!(monitoring_path("a"), expected);
    }
}
