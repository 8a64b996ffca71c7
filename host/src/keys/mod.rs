//! Where the keys of a program are, and opening them.
//!
//! A program names its keys ([`KeySlot`]). Each is a plain file in the directory of keys, unless
//! the configuration's `[key]` table has another place for it ([`KeyReference`]): an encrypted
//! file, an ssh-agent, a PKCS#11 token. What signs is a
//! [`NoteSigner`](candor_core::note::NoteSigner), wherever it is.

mod agent;
mod check;
pub mod encrypted;
mod loader;
mod openssh;
mod pkcs11;
mod reference;
mod remote;
mod secret;

pub use loader::{KeyError, KeyLoader, encrypt_file};
pub use openssh::{OpensshKey, OpensshKeyError};
pub use reference::{KeyReference, KeyTable, KeyTableError};
pub use remote::RemoteError;
pub use secret::{Secret, SecretError, SecretSource, SecretSourceError, Secrets};

use std::path::{Path, PathBuf};

use crate::key_file::KeyKind;

/// One of a program's keys.
#[derive(Clone, Copy, Debug)]
pub struct KeySlot {
    /// Its name in the configuration.
    pub name: &'static str,
    /// The name of its plain file, if it is in one.
    pub file: &'static str,
    /// What it is for.
    pub kind: KeyKind,
}

/// Where a program's keys are.
#[derive(Clone, Debug)]
pub struct Keyring {
    directory: PathBuf,
    table: KeyTable,
}

impl Keyring {
    /// Keys in plain files in `directory`, but for those in `table`, which was resolved.
    pub fn new(directory: &Path, table: KeyTable) -> Self {
        Self {
            directory: directory.to_owned(),
            table,
        }
    }

    /// Begins to open keys.
    pub fn loader(&self) -> KeyLoader<'_> {
        KeyLoader::new(self)
    }

    fn reference(&self, slot: &KeySlot) -> KeyReference {
        self.table.get(slot).cloned().unwrap_or(KeyReference::File {
            path: self.directory.join(slot.file),
        })
    }
}
