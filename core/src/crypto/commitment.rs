//! Commitments to the value of a label-version (draft-ietf-keytrans-protocol, "Commitment").
//!
//! A commitment is HMAC-SHA256 under a fixed key of an encoding that starts with a random opening.
//! It binds because the hash is collision resistant, and hides because the opening is random: the
//! map can be public, and deleting an opening together with its value erases the content for good
//! while every proof stays valid.

use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

use super::suite::{COMMITMENT_KEY, HASH_BYTES};
use super::write_hex;
use crate::codec::Writer as _;
use crate::limits::{LABEL_BYTES_MAX, OPENING_BYTES};

/// The random bytes that hide a committed value. One is used for one commitment only.
///
/// `Debug` does not show it: with a guess of the value it would confirm the guess.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Opening(pub [u8; OPENING_BYTES]);

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening(..)")
    }
}

/// What stands in the map for a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Commitment(pub [u8; HASH_BYTES]);

/// The commitment does not open to what was claimed. Whoever sent opening and value is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("commitment does not open to the claimed label, version and value")]
pub struct CommitmentError;

impl Commitment {
    /// Commits to `value` as the content of `version` of `label`.
    ///
    /// # Panics
    ///
    /// When `label` is longer than 255 bytes or `value` than 2^32 - 1: callers hold them in types
    /// or buffers that are bounded by [`crate::limits`].
    pub fn new(opening: &Opening, label: &[u8], version: u32, value: &[u8]) -> Self {
        Self(
            committed(opening, label, version, value)
                .finalize()
                .into_bytes()
                .into(),
        )
    }

    /// Checks, in constant time, that this commitment is to `value` under `opening`.
    ///
    /// # Errors
    ///
    /// [`CommitmentError`] when it is to anything else.
    ///
    /// # Panics
    ///
    /// As [`Self::new`].
    pub fn verify(
        &self,
        opening: &Opening,
        label: &[u8],
        version: u32,
        value: &[u8],
    ) -> Result<(), CommitmentError> {
        committed(opening, label, version, value)
            .verify_slice(&self.0)
            .map_err(|_| CommitmentError)
    }

    /// The commitment's bytes.
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// The MAC over `CommitmentValue`, whose `UpdateValue` has no suffix: the service operator runs the
/// log itself. The value, its last field, is hashed where it lies instead of copied.
fn committed(opening: &Opening, label: &[u8], version: u32, value: &[u8]) -> Hmac<Sha256> {
    let value_bytes = u32::try_from(value.len()).expect("callers bound values to 64 KiB");
    let mut prefix = Vec::with_capacity(OPENING_BYTES + 1 + LABEL_BYTES_MAX + 4 + 4);
    prefix.extend_from_slice(&opening.0);
    prefix.opaque8(label);
    prefix.extend_from_slice(&version.to_be_bytes());
    prefix.extend_from_slice(&value_bytes.to_be_bytes());
    Hmac::<Sha256>::new_from_slice(&COMMITMENT_KEY)
        .expect("HMAC takes keys of any length")
        .chain_update(prefix)
        .chain_update(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPENING: Opening = Opening([7; OPENING_BYTES]);

    #[test]
    fn a_commitment_opens_to_nothing_but_what_it_was_made_of() {
        let commitment = Commitment::new(&OPENING, b"label", 1, b"value");
        commitment.verify(&OPENING, b"label", 1, b"value").unwrap();
        let other = Opening([8; OPENING_BYTES]);
        for refused in [
            commitment.verify(&other, b"label", 1, b"value"),
            commitment.verify(&OPENING, b"labek", 1, b"value"),
            commitment.verify(&OPENING, b"label", 2, b"value"),
            commitment.verify(&OPENING, b"label", 1, b"valuf"),
            commitment.verify(&OPENING, b"label", 1, b""),
        ] {
            assert_eq!(refused, Err(CommitmentError));
        }
    }

    #[test]
    fn bytes_cannot_move_between_label_and_value() {
        let commitment = Commitment::new(&OPENING, b"ab", 0, b"c");
        assert_ne!(commitment, Commitment::new(&OPENING, b"a", 0, b"bc"));
        assert_ne!(commitment, Commitment::new(&OPENING, b"abc", 0, b""));
    }

    #[test]
    fn an_opening_is_not_shown() {
        assert_eq!(format!("{OPENING:?}"), "Opening(..)");
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused(bit in 0..256usize, value: Vec<u8>) {
            let mut commitment = Commitment::new(&OPENING, b"label", 3, &value);
            commitment.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(
                commitment.verify(&OPENING, b"label", 3, &value),
                Err(CommitmentError)
            );
        }
    }
}
