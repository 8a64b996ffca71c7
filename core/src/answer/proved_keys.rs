//! Search keys that were proved before: a VRF proof costs as much as two signatures, and the same
//! contact's comes with every answer.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::crypto::{SearchKey, VrfError, VrfProof, VrfPublicKey};

/// Most proofs that are kept, at about 80 bytes each. A contact at version 2 has 4.
const PROOFS_MAX: usize = 4096;

/// A log's VRF key, and what it has proved to this process: an input with its proof is verified
/// once, and any other byte of either is another one.
#[derive(Clone)]
pub struct ProvedKeys {
    vrf: VrfPublicKey,
    /// By the SHA-256 of proof and input.
    proved: HashMap<[u8; 32], SearchKey>,
}

impl ProvedKeys {
    /// Nothing is proved yet.
    pub fn new(vrf: VrfPublicKey) -> Self {
        Self {
            vrf,
            proved: HashMap::new(),
        }
    }

    /// The log's key.
    pub const fn vrf(&self) -> &VrfPublicKey {
        &self.vrf
    }

    /// As [`VrfPublicKey::verify`].
    pub(super) fn verify(&mut self, alpha: &[u8], proof: &VrfProof) -> Result<SearchKey, VrfError> {
        let digest = Sha256::new().chain_update(proof.0).chain_update(alpha);
        let digest = digest.finalize().into();
        if let Some(key) = self.proved.get(&digest) {
            return Ok(*key);
        }
        let key = self.vrf.verify(alpha, proof)?;
        if self.proved.len() >= PROOFS_MAX {
            self.proved.clear();
        }
        self.proved.insert(digest, key);
        Ok(key)
    }
}

impl core::fmt::Debug for ProvedKeys {
    /// Leaves out what was proved: it tells of whom.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ProvedKeys")
            .field("vrf", &self.vrf)
            .finish_non_exhaustive()
    }
}
