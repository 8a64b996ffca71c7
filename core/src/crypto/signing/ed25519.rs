//! Ed25519 (RFC 8032), verified strictly: keys and nonce points of small order, second encodings of
//! points and unreduced scalars are refused, so a signature binds to one key and one message and
//! nobody can turn it into another one.

use core::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::SignatureError;
use crate::crypto::point::decode_public_key;
use crate::crypto::{PublicKeyError, write_hex};

/// A public key in bytes.
pub const PUBLIC_KEY_BYTES: usize = 32;

/// A signature in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// A validated Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ed25519PublicKey(VerifyingKey);

impl Ed25519PublicKey {
    /// Validates a public key.
    ///
    /// # Errors
    ///
    /// [`PublicKeyError`] when it is not canonical or has small order: its owner is at fault.
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_BYTES]) -> Result<Self, PublicKeyError> {
        decode_public_key(bytes).map(|point| Self(VerifyingKey::from(point)))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        self.0.as_bytes()
    }

    /// Checks a signature over `message`.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] when it is by another key, over another message, or malformed.
    pub fn verify(
        &self,
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), SignatureError> {
        self.0
            .verify_strict(message, &Signature::from_bytes(signature))
            .map_err(|_| SignatureError)
    }
}

impl fmt::Debug for Ed25519PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(self.as_bytes(), f)
    }
}

/// An Ed25519 secret key. It is cleared when dropped.
pub struct Ed25519SecretKey(SigningKey);

impl Ed25519SecretKey {
    /// Expands a seed of 32 random bytes, the private key of RFC 8032.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The key that verifies what this one signs.
    pub fn public_key(&self) -> Ed25519PublicKey {
        Ed25519PublicKey(self.0.verifying_key())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Ed25519SecretKey {
    /// Shows the public key only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519SecretKey")
            .field("public_key", &self.public_key())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::EIGHT_TORSION;

    #[test]
    fn small_order_keys_are_refused() {
        for point in EIGHT_TORSION {
            let refused = Ed25519PublicKey::from_bytes(&point.compress().0);
            assert_eq!(refused, Err(PublicKeyError::SmallOrder));
        }
    }

    #[test]
    fn small_order_nonce_points_are_refused() {
        let public = Ed25519SecretKey::from_seed(&[1; 32]).public_key();
        for point in EIGHT_TORSION {
            let mut signature = [0; SIGNATURE_BYTES];
            signature[..32].copy_from_slice(&point.compress().0);
            assert_eq!(public.verify(b"message", &signature), Err(SignatureError));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_signature_is_refused() {
        let secret = Ed25519SecretKey::from_seed(&[1; 32]);
        let signature = secret.sign(b"message");
        secret.public_key().verify(b"message", &signature).unwrap();
        for bit in 0..8 * SIGNATURE_BYTES {
            let mut flipped = signature;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                secret.public_key().verify(b"message", &flipped),
                Err(SignatureError)
            );
        }
    }

    #[test]
    fn a_secret_key_shows_only_its_public_half() {
        let secret = Ed25519SecretKey::from_seed(&[0xa5; 32]);
        assert!(!format!("{secret:?}").contains("a5a5"));
        assert!(format!("{secret:?}").contains(&hex::encode(secret.public_key().as_bytes())));
    }
}
