//! Checkpoints: a log's origin, size and root as note text (c2sp.org/tlog-checkpoint).

use core::fmt;

use thiserror::Error;

use super::text::{decode_decimal, decode_hash, encode_base64};
use crate::Hash;
use crate::limits::{KEY_NAME_BYTES_MAX, LOG_SIZE_MAX};

/// The text is not a checkpoint; who wrote it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It does not consist of three lines.
    #[error("checkpoint is not three lines")]
    Malformed,
    /// The origin is empty, too long or holds control characters.
    #[error("checkpoint has an invalid origin")]
    InvalidOrigin,
    /// The size is not the one spelling of a number up to [`LOG_SIZE_MAX`].
    #[error("checkpoint has an invalid size")]
    InvalidSize,
    /// The root is not the one spelling of 32 bytes.
    #[error("checkpoint has an invalid root")]
    InvalidRoot,
    /// It has extension lines, which ML-DSA cosignatures do not cover.
    #[error("checkpoint has extension lines")]
    ExtensionLines,
}

/// What a log says of itself at one size. Nobody vouches for it by having one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

impl Checkpoint {
    /// Makes a checkpoint.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::InvalidOrigin`] or [`CheckpointError::InvalidSize`]; the caller is at
    /// fault.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let excluded = |character: char| character < ' ';
        if origin.is_empty() || origin.len() > KEY_NAME_BYTES_MAX || origin.contains(excluded) {
            return Err(CheckpointError::InvalidOrigin);
        }
        if size > LOG_SIZE_MAX {
            return Err(CheckpointError::InvalidSize);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
        })
    }

    /// Parses the text of a note.
    ///
    /// That the root of size 0 is that of the empty log is left to
    /// [`crate::log::verify_consistency`], since witnesses answer it differently.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] unless `text` is what [`Self::to_text`] makes again.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::Malformed)?;
        let mut lines = lines.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed);
        };
        if let Some(extension) = lines.next() {
            let blank = extension.is_empty() || lines.any(str::is_empty);
            return Err(if blank {
                CheckpointError::Malformed
            } else {
                CheckpointError::ExtensionLines
            });
        }
        let size = decode_decimal(size).ok_or(CheckpointError::InvalidSize)?;
        let root = decode_hash(root).ok_or(CheckpointError::InvalidRoot)?;
        Self::new(origin, size, root)
    }

    /// The identity of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries the log has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the log's tree at that size.
    pub const fn root(&self) -> &Hash {
        &self.root
    }

    /// The note text: three lines, each with its newline.
    pub fn to_text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}\n{}\n{}",
            self.origin,
            self.size,
            encode_base64(self.root.as_bytes())
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    /// c2sp.org/tlog-checkpoint, the example.
    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_example_of_the_specification() {
        let checkpoint = Checkpoint::parse(TEXT).unwrap();
        assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
        assert_eq!(checkpoint.size(), 20_852_163);
        assert_eq!(checkpoint.to_text(), TEXT);
    }

    #[test]
    fn origins_may_hold_spaces() {
        let text = TEXT.replace("example.com/behind-the-sofa", "go.sum database tree");
        assert_eq!(
            Checkpoint::parse(&text).unwrap().origin(),
            "go.sum database tree"
        );
    }

    #[test]
    fn the_root_of_the_empty_log() {
        let checkpoint = Checkpoint::new("a", 0, Hash::EMPTY_LOG).unwrap();
        assert_eq!(
            checkpoint.to_text(),
            "a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        );
    }

    #[test]
    fn any_other_text_is_refused() {
        use CheckpointError::{ExtensionLines, InvalidOrigin, InvalidRoot, InvalidSize, Malformed};
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        let long = "a".repeat(256);
        for (text, expected) in [
            (String::new(), Malformed),
            ("a\n1\n".to_owned(), Malformed),
            (format!("a\n1\n{root}"), Malformed),
            (format!("a\n1\n{root}\n\n"), Malformed),
            (format!("a\n1\n{root}\nb\n\n"), Malformed),
            (format!("a\n1\n{root}\nextension\n"), ExtensionLines),
            (
                format!("a\n1\n{root}\nextension\nanother\n"),
                ExtensionLines,
            ),
            (format!("\n1\n{root}\n"), InvalidOrigin),
            (format!("{long}\n1\n{root}\n"), InvalidOrigin),
            (format!("a\tb\n1\n{root}\n"), InvalidOrigin),
            (format!("a\n\n{root}\n"), InvalidSize),
            (format!("a\n01\n{root}\n"), InvalidSize),
            (format!("a\n+1\n{root}\n"), InvalidSize),
            (format!("a\n1 \n{root}\n"), InvalidSize),
            (format!("a\n9223372036854775808\n{root}\n"), InvalidSize),
            (format!("a\n1\n{}\n", &root[1..]), InvalidRoot),
            (
                format!("a\n1\n{}\n", root.replace("2I=", "2J=")),
                InvalidRoot,
            ),
            (format!("a\n1\n{root}=\n"), InvalidRoot),
            (format!("a\n1\n {root}\n"), InvalidRoot),
        ] {
            assert_eq!(Checkpoint::parse(&text), Err(expected), "{text:?}");
        }
    }
}
