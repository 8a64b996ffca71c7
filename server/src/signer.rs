//! The log's keys, and signing its checkpoints with all of them.

use candor_core::Hash;
use candor_core::note::{Checkpoint, LogVerifier, NoteSigner, SignError, SignedNote, VerifierKey};

/// Signs checkpoints of one log: with Ed25519, which every reader of the ecosystem knows, and with
/// ML-DSA-44.
pub struct LogSigner {
    origin: String,
    signers: Vec<Box<dyn NoteSigner>>,
}

impl LogSigner {
    /// Signs for `origin` with each of `signers`.
    pub fn new(origin: &str, signers: Vec<Box<dyn NoteSigner>>) -> Self {
        Self {
            origin: origin.to_owned(),
            signers,
        }
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The keys that verify the log's checkpoints.
    pub fn keys(&self) -> Vec<VerifierKey> {
        self.signers
            .iter()
            .map(|signer| signer.verifier_key().clone())
            .collect()
    }

    /// Verifies what this log signed.
    pub fn verifier(&self) -> LogVerifier {
        LogVerifier::new(&self.origin, self.keys())
    }

    /// The log's identity at rest: its keys, one a line.
    pub fn identity(&self) -> Vec<u8> {
        let lines: Vec<String> = self.keys().iter().map(|key| format!("{key}\n")).collect();
        lines.concat().into_bytes()
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
