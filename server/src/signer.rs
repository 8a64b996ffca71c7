//! The log's keys, and signing its checkpoints with all of them.

use candor_core::Hash;
use candor_core::note::{Checkpoint, LogVerifier, NoteSigner, SignError, SignedNote, VerifierKey};

use crate::identity::Identity;

/// Signs checkpoints of one log: with Ed25519, which every reader of the ecosystem knows, and with
/// ML-DSA-44.
pub struct LogSigner {
    origin: String,
    signers: Vec<Box<dyn NoteSigner>>,
    retired: Vec<VerifierKey>,
}

impl LogSigner {
    /// Signs for `origin` with each of `signers`.
    pub fn new(origin: &str, signers: Vec<Box<dyn NoteSigner>>) -> Self {
        Self {
            origin: origin.to_owned(),
            signers,
            retired: Vec::new(),
        }
    }

    /// Signs with those of these keys that a store's identity names, in its order; `None` if one
    /// is not among them.
    pub fn in_use(mut self, identity: &Identity) -> Option<Self> {
        let mut signers = Vec::with_capacity(identity.signing.len());
        for key in &identity.signing {
            let mut left = self.signers.iter();
            let at = left.position(|signer| signer.verifier_key() == key)?;
            signers.push(self.signers.swap_remove(at));
        }
        Some(Self {
            signers,
            retired: identity.retired.clone(),
            ..self
        })
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The keys that it signs with.
    pub fn keys(&self) -> Vec<VerifierKey> {
        self.signers
            .iter()
            .map(|signer| signer.verifier_key().clone())
            .collect()
    }

    /// The keys that it signs with, and those that it signed with before.
    pub fn identity(&self) -> Identity {
        Identity {
            signing: self.keys(),
            retired: self.retired.clone(),
        }
    }

    /// Verifies what this log signed, with retired keys too.
    pub fn verifier(&self) -> LogVerifier {
        let keys = self.identity().keys().cloned().collect();
        LogVerifier::new(&self.origin, keys)
    }

    /// Signs the checkpoint of a size and root.
    ///
    /// # Errors
    ///
    /// [`SignError`]: a key could not be used; the environment is at fault.
    pub fn sign(&self, size: u64, root: Hash, now_s: u64) -> Result<SignedNote, SignError> {
        let checkpoint = Checkpoint::new(&self.origin, size, root)
            .map_err(|error| SignError::Backend(Box::new(error)))?;
        let lines = self
            .signers
            .iter()
            .map(|signer| signer.sign(&checkpoint, now_s));
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        SignedNote::new(checkpoint.to_text(), lines)
            .map_err(|error| SignError::Backend(Box::new(error)))
    }
}
