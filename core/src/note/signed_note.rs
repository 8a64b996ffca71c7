//! Signed notes as text: well formed, not verified (c2sp.org/signed-note, "Format").

use core::fmt;

use thiserror::Error;

use super::key::{KeyId, KeyName, VerifierKey};
use super::text::{decode_base64, encode_base64};
use crate::limits::{NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};

/// The bytes are not a signed note in its one spelling; who wrote them is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoteError {
    /// It is longer than [`NOTE_BYTES_MAX`].
    #[error("note exceeds {NOTE_BYTES_MAX} bytes")]
    TooLong,
    /// It has more lines than [`NOTE_SIGNATURES_MAX`] signatures.
    #[error("note has more than {NOTE_SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// It is not UTF-8, or holds a control character other than the newline.
    #[error("note holds bytes that are not text")]
    NotText,
    /// The text and the signatures are not separated by a blank line, or no signature follows.
    #[error("note has no signatures after a blank line")]
    NoSignatures,
    /// A signature line is malformed.
    #[error("signature line {number} is malformed")]
    MalformedSignature {
        /// Which signature line, counted from 1.
        number: usize,
    },
}

/// One signature line: whose it claims to be, and the bytes of the signature.
#[derive(Clone, PartialEq, Eq)]
pub struct SignatureLine {
    name: KeyName,
    id: KeyId,
    signature: Vec<u8>,
}

impl SignatureLine {
    pub(super) fn new(key: &VerifierKey, signature: Vec<u8>) -> Self {
        Self {
            name: key.name().clone(),
            id: key.id(),
            signature,
        }
    }

    /// Parses a line without its newline; `None` unless it is the one spelling of a signature.
    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let name = KeyName::new(name).ok()?;
        let bytes = decode_base64(signature)?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        if signature.is_empty() {
            return None;
        }
        Some(Self {
            name,
            id: KeyId(*id),
            signature: signature.to_vec(),
        })
    }

    /// Parses one or more lines, each with its newline.
    pub(super) fn parse_all(text: &str) -> Result<Vec<Self>, NoteError> {
        let lines = text.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        if lines.bytes().filter(|byte| *byte == b'\n').count() >= NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        lines
            .split('\n')
            .enumerate()
            .map(|(at, line)| {
                Self::parse(line).ok_or(NoteError::MalformedSignature { number: at + 1 })
            })
            .collect()
    }

    /// The name of the key that claims to have signed.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The ID of the key that claims to have signed.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The bytes after the key ID.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether the line claims to be by `key`: name and ID match.
    pub fn claims(&self, key: &VerifierKey) -> bool {
        self.name == *key.name() && self.id == key.id()
    }
}

impl fmt::Display for SignatureLine {
    /// The line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id.0[..], &self.signature].concat();
        write!(f, "\u{2014} {} {}", self.name, encode_base64(&bytes))
    }
}

impl fmt::Debug for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignatureLine({}+{})", self.name, self.id)
    }
}

/// A text and one or more signature lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl SignedNote {
    /// Puts a note together; `text` ends in a newline.
    ///
    /// # Errors
    ///
    /// [`NoteError`] when the parts do not make a note; the caller is at fault.
    pub fn new(text: String, signatures: Vec<SignatureLine>) -> Result<Self, NoteError> {
        let note = Self { text, signatures };
        note.check()?;
        Ok(note)
    }

    /// Parses a note.
    ///
    /// # Errors
    ///
    /// [`NoteError`] unless `bytes` is what [`Self::to_bytes`] makes again.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        let note = core::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        check_text(note)?;
        // The text may hold blank lines: the last one separates.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let signatures = SignatureLine::parse_all(lines)?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// The text, with its last newline. Nobody vouches for it until a signature is verified.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in order.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds a signature line, in place of an earlier one that claims the same key.
    ///
    /// # Errors
    ///
    /// [`NoteError`] when the note would exceed a limit; it is unchanged then.
    pub fn add(&mut self, line: SignatureLine) -> Result<(), NoteError> {
        let mut signatures = self.signatures.clone();
        let same = |other: &SignatureLine| other.name == line.name && other.id == line.id;
        match signatures.iter().position(same) {
            Some(at) => signatures[at] = line,
            None => signatures.push(line),
        }
        *self = Self::new(self.text.clone(), signatures)?;
        Ok(())
    }

    /// The note's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    fn check(&self) -> Result<(), NoteError> {
        check_text(&self.text)?;
        if self.signatures.is_empty() || !self.text.ends_with('\n') {
            return Err(NoteError::NoSignatures);
        }
        if self.signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        if self.to_string().len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        Ok(())
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let control = |byte: u8| byte < b' ' && byte != b'\n';
    if text.bytes().any(control) {
        Err(NoteError::NotText)
    } else {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    /// c2sp.org/signed-note, first example: its text has a blank line and letters beyond ASCII.
    const NOTE: &str = "Ognuno sta solo sul cuor della terra\n\
        trafitto da un raggio di sole:\n\
        \n\
        ed \u{e8} subito sera.\n\
        \n\
        \u{2014} quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9o\
        JKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

    fn parse(text: &str) -> Result<SignedNote, NoteError> {
        SignedNote::parse(text.as_bytes())
    }

    #[test]
    fn the_last_blank_line_separates() {
        let note = parse(NOTE).unwrap();
        assert!(note.text().ends_with("sole:\n\ned \u{e8} subito sera.\n"));
        assert_eq!(
            note.signatures()[0].name().as_str(),
            "quasimodo.example/salvatore"
        );
        assert_eq!(note.signatures()[0].id().to_string(), "367ba04b");
        assert_eq!(note.signatures()[0].signature().len(), 64);
        assert_eq!(note.to_bytes(), NOTE.as_bytes());
    }

    #[test]
    fn what_is_not_a_note_is_refused() {
        let malformed = Err(NoteError::MalformedSignature { number: 1 });
        for (note, expected) in [
            ("", Err(NoteError::NoSignatures)),
            ("text\n", Err(NoteError::NoSignatures)),
            ("text\n\n", Err(NoteError::NoSignatures)),
            ("text\n\u{2014} a AAAAAAA=\n", Err(NoteError::NoSignatures)),
            ("text\n\n\u{2014} a AAAAAAA=", Err(NoteError::NoSignatures)),
            ("text\n\n\n", Err(NoteError::NoSignatures)),
            (
                "text\n\n\u{2014} a AAAAAAA=\n\n",
                Err(NoteError::NoSignatures),
            ),
            ("text\n\n- a AAAAAAA=\n", malformed.clone()),
            ("text\n\n\u{2014}  a AAAAAAA=\n", malformed.clone()),
            ("text\n\n\u{2014} a  AAAAAAA=\n", malformed.clone()),
            ("text\n\n\u{2014} a AAAAAAA= \n", malformed.clone()),
            ("text\n\n\u{2014} a AAAAAA==\n", malformed.clone()),
            ("text\n\n\u{2014} a AAAAAAA\n", malformed.clone()),
            ("text\n\n\u{2014} a AAAAAAB=\n", malformed.clone()),
            ("text\n\n\u{2014} a+b AAAAAAA=\n", malformed.clone()),
            ("text\n\n\u{2014} a\u{a0}b AAAAAAA=\n", malformed.clone()),
            ("te\txt\n\n\u{2014} a AAAAAAA=\n", Err(NoteError::NotText)),
            (
                "text\r\n\r\n\u{2014} a AAAAAAA=\r\n",
                Err(NoteError::NotText),
            ),
            ("te\0xt\n\n\u{2014} a AAAAAAA=\n", Err(NoteError::NotText)),
        ] {
            assert_eq!(parse(note), expected, "{note:?}");
        }
        assert!(parse("text\n\n\u{2014} a AAAAAAA=\n").is_ok());
        assert_eq!(SignedNote::parse(b"text\xff\n\n"), Err(NoteError::NotText));
    }

    #[test]
    fn limits_on_size_and_signatures_hold_for_parsing_and_building() {
        let line = "\u{2014} a AAAAAAA=\n";
        let note = |count| format!("text\n\n{}", line.repeat(count));
        assert_eq!(parse(&note(64)).unwrap().signatures().len(), 64);
        assert_eq!(parse(&note(65)), Err(NoteError::TooManySignatures));
        let long = format!("{}\n\n{line}", "a".repeat(NOTE_BYTES_MAX));
        assert_eq!(parse(&long), Err(NoteError::TooLong));
        let lines = SignatureLine::parse_all(line).unwrap();
        let text = format!("{}\n", "a".repeat(NOTE_BYTES_MAX));
        assert_eq!(
            SignedNote::new(text, lines.clone()),
            Err(NoteError::TooLong)
        );
        assert_eq!(
            SignedNote::new("a".into(), lines),
            Err(NoteError::NoSignatures)
        );
        assert_eq!(
            SignedNote::new("a\n".into(), vec![]),
            Err(NoteError::NoSignatures)
        );
    }

    #[test]
    fn a_line_by_the_same_key_replaces_the_earlier_one() {
        let mut note = parse("text\n\n\u{2014} a AAAAAAA=\n").unwrap();
        for text in ["\u{2014} b AAAAAAA=\n", "\u{2014} a AAAAAAE=\n"] {
            note.add(SignatureLine::parse_all(text).unwrap().remove(0))
                .unwrap();
        }
        let expected = "text\n\n\u{2014} a AAAAAAE=\n\u{2014} b AAAAAAA=\n";
        assert_eq!(note.to_string(), expected);
    }
}
