//! Keys by which others know this node. They cosign nothing, and are made when they are needed, so
//! a plain file is enough.

use std::io::ErrorKind;
use std::path::Path;

use candor_core::crypto::Ed25519SecretKey;
use candor_host::durable::{ReadError, WriteError};
use candor_host::key_file::{self, KeyFileError, KeyKind, SecretSeed};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeKeyError {
    /// The key file cannot be used.
    #[error(transparent)]
    Read(#[from] KeyFileError),
    /// There was no key, and none could be written. The environment is at fault.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// There was no key, and no randomness for one. The environment is at fault.
    #[error("the random source failed")]
    Random(#[from] getrandom::Error),
}

/// The key in the file at `path`, which is made if there is none.
///
/// # Errors
///
/// [`NodeKeyError`].
pub fn open(path: &Path) -> Result<Ed25519SecretKey, NodeKeyError> {
    let seed = match key_file::read(path, KeyKind::Ed25519) {
        Err(KeyFileError::Read(ReadError::Io { source, .. }))
            if source.kind() == ErrorKind::NotFound =>
        {
            let seed = SecretSeed::generate()?;
            key_file::create(path, KeyKind::Ed25519, &seed)?;
            seed
        }
        read => read?,
    };
    Ok(Ed25519SecretKey::from_seed(seed.expose()))
}
