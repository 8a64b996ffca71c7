//! What a signature line signs, and its verification (c2sp.org/signed-note, tlog-cosignature).

use core::ops::Range;

use thiserror::Error;

use super::checkpoint::Checkpoint;
use super::key::{KeyId, KeyName, PublicKey, VerifierKey};
use super::signed_note::SignatureLine;
use crate::Hash;
use crate::codec::Writer as _;

/// Greatest timestamp in seconds (c2sp.org/tlog-cosignature, "Format").
pub(super) const TIMESTAMP_MAX_S: u64 = (1 << 63) - 1;

/// A signature line says nothing about a checkpoint. Whoever wrote the line is at fault, or the
/// caller when the line is by another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LineError {
    /// Name or ID are not those of the key.
    #[error("signature line is by another key")]
    OtherKey,
    /// The signature has another length than the key's algorithm makes.
    #[error("signature has a wrong length")]
    WrongLength,
    /// The timestamp exceeds 2^63-1.
    #[error("signature has an impossible timestamp")]
    InvalidTimestamp,
    /// The signature is not by the key over the checkpoint.
    #[error("signature does not verify")]
    InvalidSignature,
}

/// A line that was verified: the key of this name and ID signed the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSignature {
    name: KeyName,
    id: KeyId,
    timestamp_s: Option<u64>,
}

impl VerifiedSignature {
    /// The key's name.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key's ID.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// When the signer says that it knew of no larger tree, in POSIX seconds; `None` when it does
    /// not say (a plain Ed25519 signature, or an ML-DSA-44 cosignature with timestamp 0).
    pub const fn timestamp_s(&self) -> Option<u64> {
        self.timestamp_s
    }
}

impl VerifierKey {
    /// Verifies that `line` is this key's signature over `checkpoint`.
    ///
    /// # Errors
    ///
    /// [`LineError`] when it is not.
    pub fn verify(
        &self,
        checkpoint: &Checkpoint,
        line: &SignatureLine,
    ) -> Result<VerifiedSignature, LineError> {
        if !line.claims(self) {
            return Err(LineError::OtherKey);
        }
        let (timestamp_s, signature) = match self.public_key() {
            PublicKey::Ed25519(_) => (None, line.signature()),
            _ => {
                let (timestamp, signature) = line
                    .signature()
                    .split_first_chunk()
                    .ok_or(LineError::WrongLength)?;
                (Some(u64::from_be_bytes(*timestamp)), signature)
            }
        };
        if timestamp_s.is_some_and(|timestamp_s| timestamp_s > TIMESTAMP_MAX_S) {
            return Err(LineError::InvalidTimestamp);
        }
        let message = signed_message(self, checkpoint, timestamp_s.unwrap_or(0));
        self.verify_message(&message, signature)?;
        let makes_no_statement = matches!(self.public_key(), PublicKey::MlDsa44(_));
        Ok(VerifiedSignature {
            name: self.name().clone(),
            id: self.id(),
            timestamp_s: timestamp_s.filter(|time_s| *time_s > 0 || !makes_no_statement),
        })
    }

    pub(super) fn verify_message(&self, message: &[u8], signature: &[u8]) -> Result<(), LineError> {
        let verified = match self.public_key() {
            PublicKey::Ed25519(key) | PublicKey::Ed25519Cosignature(key) => {
                let signature = signature.try_into().map_err(|_| LineError::WrongLength)?;
                key.verify(message, signature)
            }
            PublicKey::MlDsa44(key) => {
                let signature = signature.try_into().map_err(|_| LineError::WrongLength)?;
                key.verify(message, signature)
            }
        };
        verified.map_err(|_| LineError::InvalidSignature)
    }
}

/// The bytes that `key` signs to vouch for `checkpoint`; only cosignatures use the timestamp.
pub(super) fn signed_message(
    key: &VerifierKey,
    checkpoint: &Checkpoint,
    timestamp_s: u64,
) -> Vec<u8> {
    match key.public_key() {
        PublicKey::Ed25519(_) => checkpoint.to_text().into_bytes(),
        PublicKey::Ed25519Cosignature(_) => {
            format!("cosignature/v1\ntime {timestamp_s}\n{checkpoint}").into_bytes()
        }
        // The subtree that is the whole tree: from 0 to the size.
        PublicKey::MlDsa44(_) => subtree_message(
            key.name(),
            timestamp_s,
            checkpoint.origin(),
            0..checkpoint.size(),
            checkpoint.root(),
        ),
    }
}

/// The bytes that an ML-DSA-44 cosigner signs (c2sp.org/tlog-cosignature, "ML-DSA-44 signed
/// message").
pub(super) fn subtree_message(
    cosigner: &KeyName,
    timestamp_s: u64,
    origin: &str,
    entries: Range<u64>,
    root: &Hash,
) -> Vec<u8> {
    let mut message = b"subtree/v1\n\0".to_vec();
    message.opaque8(cosigner.as_str().as_bytes());
    message.extend_from_slice(&timestamp_s.to_be_bytes());
    message.opaque8(origin.as_bytes());
    message.extend_from_slice(&entries.start.to_be_bytes());
    message.extend_from_slice(&entries.end.to_be_bytes());
    message.extend_from_slice(root.as_bytes());
    message
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::crypto::{Ed25519SecretKey, MlDsa44SecretKey};
    use crate::note::{NoteSigner as _, SignedNote, SoftwareSigner};

    const ALGORITHMS: usize = 3;

    fn signer(algorithm: usize, seed: u8) -> SoftwareSigner {
        let name = KeyName::new("example.com/signer").unwrap();
        let seed = [seed; 32];
        match algorithm {
            0 => SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&seed)),
            1 => SoftwareSigner::ed25519_cosignature(name, Ed25519SecretKey::from_seed(&seed)),
            _ => SoftwareSigner::ml_dsa_44(name, MlDsa44SecretKey::from_seed(&seed)),
        }
    }

    fn checkpoint(origin: &str, size: u64, root: u8) -> Checkpoint {
        Checkpoint::new(origin, size, Hash([root; 32])).unwrap()
    }

    /// c2sp.org/signed-note, "Example".
    #[test]
    fn the_example_of_signed_note_verifies() {
        let key: VerifierKey =
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
                .parse()
                .unwrap();
        let note = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL\
                    1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
        let note = SignedNote::parse(note.as_bytes()).unwrap();
        let line = &note.signatures()[0];
        assert!(line.claims(&key));
        key.verify_message(note.text().as_bytes(), line.signature())
            .unwrap();
        assert_eq!(
            key.verify_message(b"This is another message.\n", line.signature()),
            Err(LineError::InvalidSignature)
        );
    }

    /// c2sp.org/tlog-cosignature, "Ed25519 signed message".
    #[test]
    fn the_message_of_an_ed25519_cosignature_is_that_of_the_specification() {
        let text = "example.com/behind-the-sofa\n20852163\n\
                    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint = Checkpoint::parse(text).unwrap();
        let message = signed_message(signer(1, 1).verifier_key(), &checkpoint, 1_679_315_147);
        let expected = format!("cosignature/v1\ntime 1679315147\n{text}");
        assert_eq!(message, expected.as_bytes());
    }

    /// c2sp.org/tlog-cosignature, "ML-DSA-44 signed message", field by field.
    #[test]
    fn the_message_of_an_ml_dsa_cosignature_is_that_of_the_specification() {
        let message = signed_message(
            signer(2, 1).verifier_key(),
            &checkpoint("log", 0x0102, 7),
            3,
        );
        let expected = [
            &b"subtree/v1\n\0"[..],
            b"\x12example.com/signer",
            b"\0\0\0\0\0\0\0\x03",
            b"\x03log",
            b"\0\0\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\x01\x02",
            &[7; 32],
        ];
        assert_eq!(message, expected.concat());
    }

    #[test]
    fn a_signature_binds_key_time_and_checkpoint() {
        let signed = checkpoint("log", 5, 7);
        for algorithm in 0..ALGORITHMS {
            let signer = signer(algorithm, 1);
            let key = signer.verifier_key();
            let line = signer.sign(&signed, 99).unwrap();
            let time = if algorithm == 0 { None } else { Some(99) };
            assert_eq!(key.verify(&signed, &line).unwrap().timestamp_s(), time);
            for other in [
                checkpoint("lot", 5, 7),
                checkpoint("log", 6, 7),
                checkpoint("log", 5, 8),
            ] {
                assert_eq!(key.verify(&other, &line), Err(LineError::InvalidSignature));
            }
            for at in (0..line.signature().len()).step_by(5) {
                let mut bytes = line.signature().to_vec();
                bytes[at] ^= 1 << (at % 8);
                let bad = SignatureLine::new(key, bytes);
                assert!(key.verify(&signed, &bad).is_err(), "byte {at}");
            }
            for length in [1, 7, 8, line.signature().len() - 1] {
                let bad = SignatureLine::new(key, line.signature()[..length].to_vec());
                assert_eq!(key.verify(&signed, &bad), Err(LineError::WrongLength));
            }
        }
    }

    #[test]
    fn a_line_by_another_key_is_not_verified() {
        let signed = checkpoint("log", 5, 7);
        for algorithm in 0..ALGORITHMS {
            let line = signer(algorithm, 1).sign(&signed, 1).unwrap();
            for (other, seed) in [(algorithm, 2), ((algorithm + 1) % 3, 1)] {
                let key = signer(other, seed).verifier_key().clone();
                assert_eq!(key.verify(&signed, &line), Err(LineError::OtherKey));
                let claimed = SignatureLine::new(&key, line.signature().to_vec());
                assert!(key.verify(&signed, &claimed).is_err());
            }
        }
    }

    #[test]
    fn timestamp_zero_states_nothing_and_one_beyond_the_limit_is_refused() {
        let signed = checkpoint("log", 5, 7);
        let signer = signer(2, 1);
        let line = signer.sign(&signed, 0).unwrap();
        assert_eq!(
            signer
                .verifier_key()
                .verify(&signed, &line)
                .unwrap()
                .timestamp_s(),
            None
        );
        assert!(signer.sign(&signed, TIMESTAMP_MAX_S + 1).is_err());
        let mut bytes = line.signature().to_vec();
        bytes[0] = 0x80;
        let line = SignatureLine::new(signer.verifier_key(), bytes);
        assert_eq!(
            signer.verifier_key().verify(&signed, &line),
            Err(LineError::InvalidTimestamp)
        );
    }
}
