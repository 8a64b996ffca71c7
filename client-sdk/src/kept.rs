//! What this process has verified, so that the same bytes under the same trust need not be
//! verified again. Nothing here comes from the store, and nothing outlives the process.

use candor_core::answer::ProvedKeys;
use candor_core::crypto::{PublicKeyError, VrfPublicKey};
use candor_core::note::{Policy, PolicyError, SignedNote, VerifiedCheckpoint};

/// The newest verified head, the log's VRF key and the search keys that it proved.
#[derive(Default)]
pub(crate) struct Kept {
    head: Option<(SignedNote, VerifiedCheckpoint)>,
    keys: Option<ProvedKeys>,
}

impl Kept {
    /// Keeps a head that the client's policy accepted, under the note that is remembered of it.
    pub(crate) fn keep_head(&mut self, note: &SignedNote, verified: &VerifiedCheckpoint) {
        self.head = Some((note.clone(), verified.clone()));
    }

    /// Verifies a remembered note under the client's policy, unless it was.
    pub(crate) fn head(
        &mut self,
        policy: &Policy,
        note: &SignedNote,
    ) -> Result<VerifiedCheckpoint, PolicyError> {
        match &self.head {
            Some((kept, verified)) if kept == note => Ok(verified.clone()),
            _ => {
                let verified = policy.verify_checkpoint(note)?;
                self.keep_head(note, &verified);
                Ok(verified)
            }
        }
    }

    /// Validates the log's VRF key, unless it was.
    pub(crate) fn keep_vrf(&mut self, bytes: &[u8; 32]) -> Result<(), PublicKeyError> {
        let is_kept = |keys: &&ProvedKeys| keys.vrf().as_bytes() == bytes;
        if self.keys.as_ref().filter(is_kept).is_none() {
            self.keys = Some(ProvedKeys::new(VrfPublicKey::from_bytes(bytes)?));
        }
        Ok(())
    }

    /// The log's VRF key, once it was validated, with what it proved.
    pub(crate) const fn keys(&mut self) -> Option<&mut ProvedKeys> {
        self.keys.as_mut()
    }
}
