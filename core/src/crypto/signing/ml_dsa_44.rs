//! ML-DSA-44 (FIPS 204), pure, with an empty context. Signing is the deterministic variant.
//!
//! Every byte string of the right length is a public key, so parsing one cannot fail; but only one
//! byte string is the signature that decodes to a given signature value, as FIPS 204 asks.

use core::fmt;

use ml_dsa::signature::{Keypair as _, Signer as _};
use ml_dsa::{EncodedSignature, EncodedVerifyingKey, MlDsa44, Signature, SigningKey, VerifyingKey};

use super::SignatureError;

/// A public key in bytes.
pub const PUBLIC_KEY_BYTES: usize = 1312;

/// A signature in bytes.
pub const SIGNATURE_BYTES: usize = 2420;

/// An ML-DSA-44 public key, expanded: about 20 KiB, so that verifying again costs little. Share it
/// rather than clone it.
#[derive(Clone, PartialEq)]
pub struct MlDsa44PublicKey(VerifyingKey<MlDsa44>);

impl Eq for MlDsa44PublicKey {}

impl MlDsa44PublicKey {
    /// Expands a public key.
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_BYTES]) -> Self {
        Self(VerifyingKey::decode(&EncodedVerifyingKey::<MlDsa44>::from(
            *bytes,
        )))
    }

    /// The key's bytes, encoded anew.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.0.encode().into()
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
        let encoded = EncodedSignature::<MlDsa44>::from(*signature);
        let signature = Signature::decode(&encoded).ok_or(SignatureError)?;
        if self.0.verify_with_context(message, &[], &signature) {
            Ok(())
        } else {
            Err(SignatureError)
        }
    }
}

impl fmt::Debug for MlDsa44PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsa44PublicKey(..)")
    }
}

/// An ML-DSA-44 secret key. It is cleared when dropped.
pub struct MlDsa44SecretKey(SigningKey<MlDsa44>);

impl MlDsa44SecretKey {
    /// Expands a seed of 32 random bytes, ξ of `ML-DSA.KeyGen_internal`.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_seed(seed.into()))
    }

    /// The key that verifies what this one signs.
    pub fn public_key(&self) -> MlDsa44PublicKey {
        MlDsa44PublicKey(self.0.verifying_key())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).encode().into()
    }
}

impl fmt::Debug for MlDsa44SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsa44SecretKey(..)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use shake::{ExtendableOutput as _, Shake128, Update as _, XofReader as _};

    /// The accumulated vector of <https://github.com/C2SP/CCTV/tree/main/ML-DSA/accumulated>: keys
    /// and signatures of 100 seeds, hashed.
    #[test]
    fn keys_and_signatures_match_the_accumulated_vector() {
        let mut seeds = Shake128::default().finalize_xof();
        let mut accumulator = Shake128::default();
        for _ in 0..100 {
            let mut seed = [0; 32];
            seeds.read(&mut seed);
            let secret = MlDsa44SecretKey::from_seed(&seed);
            let public = secret.public_key();
            let signature = secret.sign(b"");
            MlDsa44PublicKey::from_bytes(&public.to_bytes())
                .verify(b"", &signature)
                .unwrap();
            accumulator.update(&public.to_bytes());
            accumulator.update(&signature);
        }
        let mut digest = [0; 32];
        accumulator.finalize_xof().read(&mut digest);
        assert_eq!(
            hex::encode(digest),
            "d51148e1f9f4fa1a723a6cf42e25f2a99eb5c1b378b3d2dbbd561b1203beeae4"
        );
    }

    #[test]
    fn another_message_another_key_and_any_changed_byte_are_refused() {
        let secret = MlDsa44SecretKey::from_seed(&[1; 32]);
        let public = secret.public_key();
        let signature = secret.sign(b"message");
        public.verify(b"message", &signature).unwrap();
        let other = MlDsa44SecretKey::from_seed(&[2; 32]).public_key();
        assert_eq!(other.verify(b"message", &signature), Err(SignatureError));
        assert_eq!(public.verify(b"massage", &signature), Err(SignatureError));
        for index in 0..SIGNATURE_BYTES {
            let mut changed = signature;
            changed[index] ^= 1 << (index % 8);
            assert_eq!(
                public.verify(b"message", &changed),
                Err(SignatureError),
                "byte {index}"
            );
        }
    }

    #[test]
    fn a_hint_with_bytes_after_its_end_is_refused() {
        let secret = MlDsa44SecretKey::from_seed(&[1; 32]);
        let mut signature = secret.sign(b"message");
        // The hint ends in omega = 80 positions and 4 counts; unused positions must be zero.
        let used = usize::from(signature[SIGNATURE_BYTES - 1]);
        assert!(used < 80);
        signature[SIGNATURE_BYTES - 4 - 80 + used] = 1;
        assert_eq!(
            secret.public_key().verify(b"message", &signature),
            Err(SignatureError)
        );
    }

    #[test]
    fn a_secret_key_is_not_shown() {
        let secret = MlDsa44SecretKey::from_seed(&[0xa5; 32]);
        assert_eq!(format!("{secret:?}"), "MlDsa44SecretKey(..)");
    }
}
