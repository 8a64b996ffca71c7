//! Public verification codes: an account key's hash, written so that it can be typed, spoken and
//! scanned (`docs/protocol.md`, "Public verification codes").
//!
//! ```text
//! struct { uint8 version = 1; opaque key_hash[20]; } Payload;
//! code = bech32m("candor", Payload)                     // BIP 350
//! ```
//!
//! The checksum tells a mistyped code from one of another person: it finds every error in up to
//! four characters, and overlooks one in 2^30 of any others. 160 bits of the hash are left to
//! whoever wants a key with somebody else's code: 2^160 keys to try for one person, 2^130 for any
//! one of a billion.

use core::fmt;

use bech32::{Bech32m, Hrp};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::Hash;
use crate::account::AccountKey;

const PREFIX: &str = "candor";
const VERSION: u8 = 1;
const KEY_HASH_BYTES: usize = 20;

/// Length of a code of this version in characters, without separators.
const LENGTH: usize = PREFIX.len() + 1 + 34 + 6;

/// Longest text that is looked at: a code with a separator after every character.
const INPUT_BYTES_MAX: usize = 4 * LENGTH;

/// Characters between two spaces of a code that is shown.
const GROUP: usize = 4;

/// A code that stands for an account key. It holds nothing private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicCode([u8; KEY_HASH_BYTES]);

/// Why a text is no code. Who typed or sent it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublicCodeError {
    /// The text does not begin as a code does.
    #[error("not a verification code: it does not begin with \"candor1\"")]
    NotACode,
    /// A character is wrong, missing or too many.
    #[error("the verification code is mistyped")]
    Mistyped,
    /// The code is well typed, and of a version that this library does not know.
    #[error("the verification code is of version {version}, which needs a newer app")]
    NewerVersion {
        /// Its version.
        version: u8,
    },
}

impl PublicCode {
    /// The code of an account key.
    pub fn of(key: &AccountKey) -> Self {
        Self::of_key_hash(&key.hash())
    }

    /// The code of the account key with this [`AccountKey::hash`].
    pub fn of_key_hash(hash: &Hash) -> Self {
        let (kept, _) = hash.0.split_first_chunk().expect("20 of 32 bytes");
        Self(*kept)
    }

    /// Whether the code is that of the account key with this [`AccountKey::hash`].
    pub fn matches(&self, hash: &Hash) -> bool {
        self.0.ct_eq(&Self::of_key_hash(hash).0).into()
    }

    /// Reads a code as people type or paste it: in capital letters or not, with spaces, hyphens or
    /// line breaks anywhere.
    ///
    /// # Errors
    ///
    /// [`PublicCodeError`].
    pub fn parse(text: &str) -> Result<Self, PublicCodeError> {
        if text.len() > INPUT_BYTES_MAX {
            return Err(PublicCodeError::NotACode);
        }
        let separates = |c: &char| c.is_whitespace() || *c == '-';
        let text: String = text.chars().filter(|c| !separates(c)).collect();
        let text = text.to_ascii_lowercase();
        if !text
            .strip_prefix(PREFIX)
            .is_some_and(|rest| rest.starts_with('1'))
        {
            return Err(PublicCodeError::NotACode);
        }
        let (_, payload) = bech32::decode(&text).map_err(|_| PublicCodeError::Mistyped)?;
        // The decoder takes another checksum and other bits of padding too: one text, one code.
        if encode(&payload) != text {
            return Err(PublicCodeError::Mistyped);
        }
        match payload.split_first() {
            Some((&VERSION, hash)) => {
                let hash = hash.try_into().map_err(|_| PublicCodeError::Mistyped)?;
                Ok(Self(hash))
            }
            Some((&version, _)) if version > VERSION => {
                Err(PublicCodeError::NewerVersion { version })
            }
            _ => Err(PublicCodeError::Mistyped),
        }
    }

    /// The code in one piece, in small letters, for links and copying.
    pub fn to_text(self) -> String {
        encode(&[&[VERSION], &self.0[..]].concat())
    }

    /// The code in one piece, in capital letters: so it makes the smallest QR symbol.
    pub fn to_qr_text(self) -> String {
        self.to_text().to_ascii_uppercase()
    }
}

impl fmt::Display for PublicCode {
    /// In groups of four characters, to be read and typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, character) in self.to_text().chars().enumerate() {
            if at > 0 && at.is_multiple_of(GROUP) {
                f.write_str(" ")?;
            }
            write!(f, "{character}")?;
        }
        Ok(())
    }
}

fn encode(payload: &[u8]) -> String {
    let prefix = Hrp::parse_unchecked(PREFIX);
    bech32::encode::<Bech32m>(prefix, payload)
        .expect("a code is far below the limit of 1023 characters")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(byte: u8) -> PublicCode {
        PublicCode::of(&AccountKey([byte; 32]))
    }

    /// Statement 19.
    #[test]
    fn a_code_stands_for_one_key_and_reads_back_however_it_is_typed() {
        let shown = code(1).to_string();
        assert_eq!(code(1).to_text().len(), LENGTH);
        assert!(shown.starts_with("cand or1"), "{shown}");
        for typed in [
            shown.clone(),
            shown.to_ascii_uppercase(),
            shown.replace(' ', "-"),
            format!("\n {}\t", code(1).to_text()),
            code(1).to_qr_text(),
            shown.replacen('c', "C", 1),
        ] {
            assert_eq!(PublicCode::parse(&typed), Ok(code(1)), "{typed}");
        }
        assert!(code(1).matches(&AccountKey([1; 32]).hash()));
        assert!(!code(1).matches(&AccountKey([2; 32]).hash()));
    }

    /// Statements 19 and 20.
    #[test]
    fn what_is_no_code_a_mistyped_code_and_a_newer_one_are_told_apart() {
        let text = code(1).to_text();
        for (typed, error) in [
            (String::new(), PublicCodeError::NotACode),
            ("candor".to_owned(), PublicCodeError::NotACode),
            (text.replacen('c', "k", 1), PublicCodeError::NotACode),
            ("x".repeat(1 << 20), PublicCodeError::NotACode),
            ("candor1".to_owned(), PublicCodeError::Mistyped),
            ("candor1é".to_owned(), PublicCodeError::Mistyped),
            (text[..text.len() - 1].to_owned(), PublicCodeError::Mistyped),
            (format!("{text}q"), PublicCodeError::Mistyped),
        ] {
            assert_eq!(PublicCode::parse(&typed), Err(error), "{typed:.60}");
        }
        let newer = encode(&[2, 3, 4]);
        let error = PublicCodeError::NewerVersion { version: 2 };
        assert_eq!(PublicCode::parse(&newer), Err(error));
        for payload in [&[][..], &[0; 21], &[VERSION; 20], &[VERSION; 22]] {
            let error = PublicCode::parse(&encode(payload)).unwrap_err();
            assert_eq!(error, PublicCodeError::Mistyped, "{payload:?}");
        }
    }

    #[test]
    fn another_checksum_and_other_padding_are_refused() {
        let payload = [&[VERSION], &code(1).0[..]].concat();
        let prefix = Hrp::parse_unchecked(PREFIX);
        let older = bech32::encode::<bech32::Bech32>(prefix, &payload).unwrap();
        assert_eq!(PublicCode::parse(&older), Err(PublicCodeError::Mistyped));
        // 21 bytes are 33 characters and 3 bits: the last character has 2 bits of padding.
        use bech32::primitives::iter::{ByteIterExt as _, Fe32IterExt as _};
        let mut digits: Vec<_> = payload.iter().copied().bytes_to_fes().collect();
        let last = digits.pop().unwrap().to_u8() | 1;
        digits.push(bech32::Fe32::try_from(last).unwrap());
        let padded: String = digits
            .into_iter()
            .with_checksum::<Bech32m>(&prefix)
            .chars()
            .collect();
        assert_eq!(PublicCode::parse(&padded), Err(PublicCodeError::Mistyped));
    }

    proptest! {
        #[test]
        fn up_to_four_wrong_characters_are_mistyped(
            key: [u8; 32],
            wrong in prop::collection::btree_map(7..LENGTH, 0..31usize, 1..=4)
        ) {
            const DIGITS: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
            let mut typed = PublicCode::of(&AccountKey(key)).to_text().into_bytes();
            for (at, shift) in wrong {
                let digit = DIGITS.iter().position(|digit| *digit == typed[at]).unwrap();
                typed[at] = DIGITS[(digit + 1 + shift) % DIGITS.len()];
            }
            let typed = String::from_utf8(typed).unwrap();
            prop_assert_eq!(PublicCode::parse(&typed), Err(PublicCodeError::Mistyped));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _parsed = PublicCode::parse(&text);
            let _parsed = PublicCode::parse(&format!("candor1{text}"));
        }
    }
}
