//! Signing checkpoints, wherever the secret key lives.

use core::error::Error;
use core::fmt;

use super::checkpoint::Checkpoint;
use super::key::{Algorithm, KeyName, VerifierKey};
use super::signature::{TIMESTAMP_MAX_S, signed_message};
use super::signed_note::SignatureLine;
use crate::crypto::{Ed25519SecretKey, MlDsa44SecretKey};

/// Why a checkpoint was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The timestamp exceeds 2^63-1 seconds; the caller is at fault.
    #[error("timestamp {timestamp_s} s is out of range")]
    TimestampOutOfRange {
        /// The timestamp in POSIX seconds.
        timestamp_s: u64,
    },
    /// What keeps the secret key failed; it may be tried again.
    #[error("signing backend failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
    /// The backend made a signature that the public key does not verify: wrong key or faulty
    /// hardware. The signature is withheld.
    #[error("signing backend made a signature that does not verify")]
    FaultySignature,
}

/// A key that signs checkpoints: in memory, in an agent, in a hardware module. Its `Debug` shows
/// nothing secret.
pub trait NoteSigner: fmt::Debug + Send + Sync {
    /// The key that verifies what this one signs.
    fn verifier_key(&self) -> &VerifierKey;

    /// Signs `message` as it is, by the algorithm of [`Self::verifier_key`]. Nothing has verified
    /// the signature yet: [`Self::sign`] does.
    ///
    /// # Errors
    ///
    /// [`SignError::Backend`] when what keeps the key fails.
    fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// Signs `checkpoint`, as of `timestamp_s` POSIX seconds where the algorithm states a time.
    ///
    /// The signature is verified before it is returned, because a faulty one would make every
    /// reader reject the whole note, and can reveal an Ed25519 key.
    ///
    /// # Errors
    ///
    /// [`SignError`]; the caller is at fault for the timestamp only.
    fn sign(&self, checkpoint: &Checkpoint, timestamp_s: u64) -> Result<SignatureLine, SignError> {
        if timestamp_s > TIMESTAMP_MAX_S {
            return Err(SignError::TimestampOutOfRange { timestamp_s });
        }
        let key = self.verifier_key();
        let message = signed_message(key, checkpoint, timestamp_s);
        let signature = self.sign_message(&message)?;
        key.verify_message(&message, &signature)
            .map_err(|_| SignError::FaultySignature)?;
        let signature = match key.algorithm() {
            Algorithm::Ed25519 => signature,
            _ => [&timestamp_s.to_be_bytes()[..], &signature].concat(),
        };
        Ok(SignatureLine::new(key, signature))
    }
}

/// A key held in memory.
pub struct SoftwareSigner {
    key: VerifierKey,
    secret: Secret,
}

enum Secret {
    Ed25519(Box<Ed25519SecretKey>),
    MlDsa44(Box<MlDsa44SecretKey>),
}

impl SoftwareSigner {
    /// A log's Ed25519 key (0x01); `name` is the log's origin.
    pub fn ed25519(name: KeyName, secret: Ed25519SecretKey) -> Self {
        let key = VerifierKey::ed25519(name, secret.public_key());
        Self {
            key,
            secret: Secret::Ed25519(Box::new(secret)),
        }
    }

    /// A witness's Ed25519 key (0x04). The signature does not bind the name, so each cosigner
    /// name needs a key of its own.
    pub fn ed25519_cosignature(name: KeyName, secret: Ed25519SecretKey) -> Self {
        let key = VerifierKey::ed25519_cosignature(name, secret.public_key());
        Self {
            key,
            secret: Secret::Ed25519(Box::new(secret)),
        }
    }

    /// A log's or a witness's ML-DSA-44 key (0x06).
    pub fn ml_dsa_44(name: KeyName, secret: MlDsa44SecretKey) -> Self {
        let key = VerifierKey::ml_dsa_44(name, secret.public_key());
        Self {
            key,
            secret: Secret::MlDsa44(Box::new(secret)),
        }
    }
}

impl NoteSigner for SoftwareSigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(match &self.secret {
            Secret::Ed25519(secret) => secret.sign(message).to_vec(),
            Secret::MlDsa44(secret) => secret.sign(message).to_vec(),
        })
    }
}

impl fmt::Debug for SoftwareSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareSigner")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::Hash;

    /// Signs with another key than it says.
    #[derive(Debug)]
    struct Faulty(VerifierKey, SoftwareSigner);

    impl NoteSigner for Faulty {
        fn verifier_key(&self) -> &VerifierKey {
            &self.0
        }

        fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
            self.1.sign_message(message)
        }
    }

    #[test]
    fn a_signature_that_does_not_verify_is_withheld() {
        let signer = |seed| {
            let name = KeyName::new("log").unwrap();
            SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[seed; 32]))
        };
        let faulty = Faulty(signer(1).verifier_key().clone(), signer(2));
        let checkpoint = Checkpoint::new("log", 1, Hash::ZERO).unwrap();
        assert!(matches!(
            faulty.sign(&checkpoint, 0),
            Err(SignError::FaultySignature)
        ));
        assert!(signer(1).sign(&checkpoint, 0).is_ok());
    }

    #[test]
    fn secrets_are_not_shown() {
        let name = KeyName::new("log").unwrap();
        let signer = SoftwareSigner::ml_dsa_44(name, MlDsa44SecretKey::from_seed(&[0xa5; 32]));
        assert!(!format!("{signer:?}").contains("a5a5"));
    }
}
