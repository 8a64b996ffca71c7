//! What can be said of the places of keys without opening one.

use std::path::Path;

use super::loader::file_only;
use super::secret::{PASSPHRASE, SecretError, SecretSource, SecretSourceError};
use super::{KeyError, KeyReference, KeySlot, Keyring};
use crate::durable::ReadError;
use crate::key_file::{self, KeyKind};

impl Keyring {
    /// What is wrong with the places of the keys of `slots`: files that are missing or exposed,
    /// sources that are none, places that cannot keep such a key. No key or secret is read, and no
    /// agent or token asked.
    pub fn check(&self, slots: &[KeySlot]) -> Vec<KeyError> {
        let checked = slots.iter().map(|slot| self.check_slot(slot));
        checked.filter_map(Result::err).collect()
    }

    fn check_slot(&self, slot: &KeySlot) -> Result<(), KeyError> {
        match self.reference(slot) {
            KeyReference::File { path } => check_private(&path),
            KeyReference::EncryptedFile { path, passphrase } => {
                check_private(&path)?;
                check_source(&passphrase, PASSPHRASE)
            }
            KeyReference::SshAgent { .. } | KeyReference::Pkcs11 { .. }
                if slot.kind != KeyKind::Ed25519 =>
            {
                Err(file_only(slot))
            }
            KeyReference::SshAgent { socket, .. } => {
                match socket.is_some() || std::env::var_os("SSH_AUTH_SOCK").is_some() {
                    true => Ok(()),
                    false => Err(KeyError::NoAgent { name: slot.name }),
                }
            }
            KeyReference::Pkcs11 {
                module, token, pin, ..
            } => {
                if !module.is_absolute() {
                    return Err(KeyError::RelativeModule { name: slot.name });
                }
                must_be_there(&module)?;
                check_source(&pin, &format!("the PIN of token {token}"))
            }
        }
    }
}

fn check_private(path: &Path) -> Result<(), KeyError> {
    key_file::open_private(path)?;
    Ok(())
}

fn check_source(source: &SecretSource, purpose: &str) -> Result<(), KeyError> {
    match source {
        SecretSource::Unknown => Err(KeyError::Secret(SecretError::Source {
            purpose: purpose.to_owned(),
            source: SecretSourceError,
        })),
        SecretSource::File(path) => check_private(path),
        // Handed to the service when it starts.
        SecretSource::Prompt | SecretSource::Credential(_) | SecretSource::Descriptor(_) => Ok(()),
    }
}

fn must_be_there(path: &Path) -> Result<(), KeyError> {
    let metadata = std::fs::metadata(path).map_err(|source| ReadError::Io {
        path: path.to_owned(),
        source,
    });
    metadata.map_err(SecretError::Read)?;
    Ok(())
}
