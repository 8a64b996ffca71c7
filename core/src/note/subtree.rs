//! Cosignatures of subtrees: the body of `sign-subtree` (c2sp.org/tlog-witness), and what is signed
//! (c2sp.org/tlog-cosignature).

use core::fmt;

use super::key::{Algorithm, VerifierKey};
use super::signature::{LineError, subtree_message};
use super::signed_note::{SignatureLine, SignedNote};
use super::signer::{NoteSigner, SignError};
use super::text::{decode_hash, encode_base64};
use super::witness_api::{BodyError, decode_proof, decode_size, write_rest};
use crate::Hash;
use crate::limits::SIGN_SUBTREE_BYTES_MAX;
use crate::log::Subtree;

/// The request of `sign-subtree`: please cosign a part of the checkpoint, which is in it by this
/// proof. Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignSubtree {
    /// The part.
    pub subtree: Subtree,
    /// The root of the part.
    pub hash: Hash,
    /// The proof that the checkpoint's tree has the part.
    pub proof: Vec<Hash>,
    /// The checkpoint with a cosignature of the witness.
    pub note: SignedNote,
}

impl SignSubtree {
    /// Parses a request body.
    ///
    /// # Errors
    ///
    /// [`BodyError`] unless `body` is what [`Self::to_bytes`] makes again.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        if body.len() > SIGN_SUBTREE_BYTES_MAX {
            return Err(BodyError::TooLong);
        }
        let text = core::str::from_utf8(body).map_err(|_| BodyError::Malformed)?;
        let (head, note) = text.split_once("\n\n").ok_or(BodyError::Malformed)?;
        let mut lines = head.split('\n');
        let mut line = || lines.next().ok_or(BodyError::Malformed);
        Ok(Self {
            subtree: decode_range(line()?).ok_or(BodyError::Malformed)?,
            hash: decode_hash(line()?).ok_or(BodyError::Malformed)?,
            proof: decode_proof(lines)?,
            note: SignedNote::parse(note.as_bytes())?,
        })
    }

    /// The request body.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for SignSubtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.subtree.start(), self.subtree.end());
        writeln!(
            f,
            "subtree {start} {end}\n{}",
            encode_base64(self.hash.as_bytes())
        )?;
        write_rest(f, &self.proof, &self.note)
    }
}

fn decode_range(line: &str) -> Option<Subtree> {
    let (start, end) = line.strip_prefix("subtree ")?.split_once(' ')?;
    Subtree::new(decode_size(start)?, decode_size(end)?)
}

/// A part of a log's tree with its root. Nobody vouches for it by having one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubtreeHead<'a> {
    /// The log's origin: at least 1 byte, at most [`crate::limits::KEY_NAME_BYTES_MAX`].
    pub origin: &'a str,
    /// The part.
    pub subtree: Subtree,
    /// The root of the part.
    pub hash: Hash,
}

impl SubtreeHead<'_> {
    /// Cosigns the part, with timestamp 0: no statement about the largest tree. `None` if the key
    /// is none of ML-DSA-44, the only algorithm that signs parts.
    ///
    /// # Errors
    ///
    /// [`SignError`], as of [`NoteSigner::sign`].
    pub fn sign(&self, signer: &dyn NoteSigner) -> Result<Option<SignatureLine>, SignError> {
        let key = signer.verifier_key();
        if key.algorithm() != Algorithm::MlDsa44 {
            return Ok(None);
        }
        let message = self.message(key);
        let signature = signer.sign_message(&message)?;
        key.verify_message(&message, &signature)
            .map_err(|_| SignError::FaultySignature)?;
        let signature = [&0_u64.to_be_bytes()[..], &signature].concat();
        Ok(Some(SignatureLine::new(key, signature)))
    }

    /// Verifies that `line` is the cosignature of the part by `key`.
    ///
    /// # Errors
    ///
    /// [`LineError`] when it is not.
    pub fn verify(&self, key: &VerifierKey, line: &SignatureLine) -> Result<(), LineError> {
        if !line.claims(key) || key.algorithm() != Algorithm::MlDsa44 {
            return Err(LineError::OtherKey);
        }
        match line.signature().split_first_chunk::<8>() {
            Some(([0, 0, 0, 0, 0, 0, 0, 0], signature)) => {
                key.verify_message(&self.message(key), signature)
            }
            Some(_) => Err(LineError::InvalidTimestamp),
            None => Err(LineError::WrongLength),
        }
    }

    fn message(&self, key: &VerifierKey) -> Vec<u8> {
        let entries = self.subtree.start()..self.subtree.end();
        subtree_message(key.name(), 0, self.origin, entries, &self.hash)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::crypto::{Ed25519SecretKey, MlDsa44SecretKey};
    use crate::log::{ProofError, verify_subtree};
    use crate::note::{Checkpoint, KeyName, SoftwareSigner};

    /// c2sp.org/tlog-witness, the example of `sign-subtree`, with a signature that is none.
    const REQUEST: &str = "subtree 8 13\n\
        mbsQCg+dEIMGlpqeGgk94JutQwKKS2Lo5IuDhKmDjiU=\n\
        CD82D2LDm0phY0+xKbHyZfq3Hw21lVkuV7Zis5EFg0k=\n\
        h/ghL5nyaXTIBAklqDnisM+SFdbA3izoGZ5oRYMZzc0=\n\
        8qtnAAU9sTKQx/zt3E4v8Jt2a9IMQUf0QUawvePF9y0=\n\
        KuO5BNOmginG34Lm5G3e2GuiWliGo3K0ebzGpvI0fEg=\n\
        \n\
        example.com/behind-the-sofa\n\
        14\n\
        /CcKVZM9n65aH7jLaIZuUB4/MSlEFQ4+ldwUC21rDHM=\n\
        \n\
        \u{2014} witness.example/w1 LijDAFSp\n";

    /// Its hashes belong to no tree, but there are as many as the proof needs.
    #[test]
    fn the_example_of_the_specification_is_read() {
        let request = SignSubtree::parse(REQUEST.as_bytes()).unwrap();
        assert_eq!(request.to_bytes(), REQUEST.as_bytes());
        let root = *Checkpoint::parse(request.note.text()).unwrap().root();
        let SignSubtree {
            subtree,
            hash,
            proof,
            ..
        } = &request;
        assert_eq!(
            verify_subtree(*subtree, hash, 14, &root, proof),
            Err(ProofError::OldRootMismatch)
        );
    }

    #[test]
    fn malformed_requests_are_refused() {
        let rest = REQUEST.split_once('\n').unwrap().1;
        let with = |range: &str| SignSubtree::parse(format!("{range}\n{rest}").as_bytes());
        assert!(with("subtree 0 13").is_ok());
        for range in [
            "",
            "subtree",
            "subtree 8",
            "subtree 8 ",
            "subtree  8 13",
            "subtree 8  13",
            "subtree 8 13 ",
            "subtree 08 13",
            "subtree +8 13",
            "subtree 8\t13",
            "Subtree 8 13",
            "old 8",
            // No subtrees.
            "subtree 8 8",
            "subtree 13 8",
            "subtree 4 13",
            "subtree 8 9223372036854775808",
            "subtree 18446744073709551615 18446744073709551616",
        ] {
            assert!(with(range).is_err(), "{range:?}");
        }
        for length in 0..REQUEST.len() {
            assert!(SignSubtree::parse(&REQUEST.as_bytes()[..length]).is_err());
        }
        let note = REQUEST.split_once("\n\n").unwrap().1;
        let hash = REQUEST.lines().nth(1).unwrap();
        let lines = |count: usize| {
            let lines = format!("{hash}\n").repeat(count);
            SignSubtree::parse(format!("subtree 8 13\n{lines}\n{note}").as_bytes())
        };
        assert_eq!(lines(1).unwrap().proof.len(), 0);
        assert_eq!(lines(64).unwrap().proof.len(), 63);
        assert_eq!(lines(65), Err(BodyError::TooLong));
        let long = vec![b'a'; SIGN_SUBTREE_BYTES_MAX + 1];
        assert_eq!(SignSubtree::parse(&long), Err(BodyError::TooLong));
    }

    fn head(origin: &str, start: u64, end: u64, root: u8) -> SubtreeHead<'_> {
        SubtreeHead {
            origin,
            subtree: Subtree::new(start, end).unwrap(),
            hash: Hash([root; 32]),
        }
    }

    #[test]
    fn a_cosignature_binds_key_log_and_part_and_states_no_time() {
        let signer = |seed| {
            let name = KeyName::new("w.example").unwrap();
            SoftwareSigner::ml_dsa_44(name, MlDsa44SecretKey::from_seed(&[seed; 32]))
        };
        let (ours, other) = (signer(1), signer(2));
        let key = ours.verifier_key();
        let signed = head("log", 8, 13, 7);
        let line = signed.sign(&ours).unwrap().unwrap();
        assert_eq!(signed.verify(key, &line), Ok(()));
        assert_eq!(
            signed.verify(other.verifier_key(), &line),
            Err(LineError::OtherKey)
        );
        for another in [
            head("lot", 8, 13, 7),
            head("log", 8, 14, 7),
            head("log", 16, 21, 7),
            head("log", 8, 13, 8),
        ] {
            assert_eq!(another.verify(key, &line), Err(LineError::InvalidSignature));
        }
        let mut timed = line.signature().to_vec();
        timed[7] = 1;
        let timed = SignatureLine::new(key, timed);
        assert_eq!(signed.verify(key, &timed), Err(LineError::InvalidTimestamp));
        let short = SignatureLine::new(key, vec![0; 7]);
        assert_eq!(signed.verify(key, &short), Err(LineError::WrongLength));
    }

    #[test]
    fn the_part_that_is_a_whole_tree_is_a_checkpoint_without_time() {
        let name = KeyName::new("w.example").unwrap();
        let signer = SoftwareSigner::ml_dsa_44(name, MlDsa44SecretKey::from_seed(&[1; 32]));
        let line = head("log", 0, 13, 7).sign(&signer).unwrap().unwrap();
        let checkpoint = Checkpoint::new("log", 13, Hash([7; 32])).unwrap();
        let verified = signer.verifier_key().verify(&checkpoint, &line).unwrap();
        assert_eq!(verified.timestamp_s(), None);
    }

    #[test]
    fn ed25519_signs_no_parts() {
        let name = KeyName::new("w.example").unwrap();
        let secret = Ed25519SecretKey::from_seed(&[1; 32]);
        let signer = SoftwareSigner::ed25519_cosignature(name, secret);
        assert_eq!(head("log", 8, 13, 7).sign(&signer).unwrap(), None);
    }
}
