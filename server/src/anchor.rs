//! The anchor: the newest checkpoint that the log signed, in a small file apart from the store.
//!
//! It is what makes a restored or lost store visible. The store can be copied, restored and
//! mislaid as a whole, and would then be whole at an older size; signing on from there would be a
//! second history. The anchor moves only forward and only after the store is durable at its size,
//! so at start a store that the anchor is ahead of, or that has another root at the anchor's size,
//! is refused. An attacker who can write the anchor and the store can fork the log; who can write
//! the store alone can stop it. Put the anchor on another disk if there is one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use candor_core::Hash;
use candor_core::limits::NOTE_BYTES_MAX;
use candor_core::note::{LogVerifier, LogVerifyError, NoteError, SignedNote};
use candor_host::durable::{self, InstanceLock, LockError, ReadError, WriteError};
use thiserror::Error;

/// Why the anchor could not be read or moved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// Another process holds the log.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file could not be written. The environment is at fault.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file is no signed note.
    #[error("the anchor is damaged: {0}")]
    Damaged(#[from] NoteError),
    /// The file is not signed by this log: a wrong path, key or origin.
    #[error("the anchor is not this log's: {0}")]
    OtherLog(#[from] LogVerifyError),
    /// The file is not what this process wrote last: another process writes it.
    #[error("the anchor was changed by another process")]
    Changed,
    /// The new checkpoint does not follow the anchored one.
    #[error("a checkpoint of size {size} cannot follow the anchored size {anchored}")]
    NotForward {
        /// Size of the anchored checkpoint.
        anchored: u64,
        /// Size of the new one.
        size: u64,
    },
}

/// What an anchor is kept on; its holder is the only one who writes it. A simulation has its own.
pub trait Medium: Send {
    /// Reads all of it; `None` if nothing was ever written.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: the environment is at fault.
    fn read(&self) -> Result<Option<Vec<u8>>, ReadError>;

    /// Replaces all of it, durably: afterwards, and after a crash, it is old or new as a whole.
    ///
    /// # Errors
    ///
    /// [`WriteError`]: the environment is at fault.
    fn replace(&self, bytes: &[u8]) -> Result<(), WriteError>;
}

/// A file, locked for this process.
struct LockedFile {
    path: PathBuf,
    _lock: InstanceLock,
}

impl Medium for LockedFile {
    fn read(&self) -> Result<Option<Vec<u8>>, ReadError> {
        read(&self.path)
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), WriteError> {
        durable::replace(&self.path, bytes)
    }
}

/// Locks a log: while this lives no server runs for the anchor at `path`, and no command that needs
/// the log at rest.
///
/// # Errors
///
/// [`LockError`]: another process holds the log, or the environment is at fault.
pub fn lock(path: &Path) -> Result<InstanceLock, LockError> {
    // Appended, not replaced: anchors that differ in what looks like an extension are two.
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    InstanceLock::acquire(Path::new(&lock_path))
}

/// The newest checkpoint that was signed, and the right to move it.
pub struct Anchor {
    medium: Box<dyn Medium>,
    verifier: LogVerifier,
    bytes: Option<Vec<u8>>,
    newest: Option<(u64, Hash)>,
}

impl Anchor {
    /// Locks and reads the anchor of a log. No file means that nothing was signed yet.
    ///
    /// # Errors
    ///
    /// [`AnchorError`]; the operator or the environment is at fault.
    pub fn open(path: &Path, verifier: LogVerifier) -> Result<Self, AnchorError> {
        let lock = lock(path)?;
        let path = path.to_owned();
        Self::open_on(Box::new(LockedFile { path, _lock: lock }), verifier)
    }

    /// Reads the anchor of a log from `medium`.
    ///
    /// # Errors
    ///
    /// [`AnchorError`]; the operator or the environment is at fault.
    pub fn open_on(medium: Box<dyn Medium>, verifier: LogVerifier) -> Result<Self, AnchorError> {
        let bytes = medium.read()?;
        let newest = bytes
            .as_deref()
            .map(|bytes| parse(bytes, &verifier))
            .transpose()?;
        Ok(Self {
            medium,
            verifier,
            bytes,
            newest,
        })
    }

    /// Size and root of the newest signed checkpoint.
    pub const fn newest(&self) -> Option<(u64, Hash)> {
        self.newest
    }

    /// The newest signed checkpoint as it is kept.
    pub fn note(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    /// Moves the anchor to a newer checkpoint, durably, if it is still where this process left it.
    /// Moving it to the same checkpoint again does nothing.
    ///
    /// # Errors
    ///
    /// [`AnchorError`]: the checkpoint must not be used then.
    pub fn advance(&mut self, note: &SignedNote) -> Result<(), AnchorError> {
        let bytes = note.to_bytes();
        let (size, root) = parse(&bytes, &self.verifier)?;
        if let Some((anchored, anchored_root)) = self.newest {
            if size < anchored || (size == anchored && root != anchored_root) {
                return Err(AnchorError::NotForward { anchored, size });
            }
            if size == anchored {
                return Ok(());
            }
        }
        if self.medium.read()? != self.bytes {
            return Err(AnchorError::Changed);
        }
        self.medium.replace(&bytes)?;
        self.bytes = Some(bytes);
        self.newest = Some((size, root));
        Ok(())
    }
}

/// Size and root of the anchor of a log, whoever holds and moves it meanwhile: for comparing only.
///
/// # Errors
///
/// [`AnchorError`]; the operator or the environment is at fault.
pub fn peek(path: &Path, verifier: &LogVerifier) -> Result<Option<(u64, Hash)>, AnchorError> {
    let bytes = read(path)?;
    bytes.map(|bytes| parse(&bytes, verifier)).transpose()
}

/// The bytes of an anchor's file, if there is one.
fn read(path: &Path) -> Result<Option<Vec<u8>>, ReadError> {
    match durable::read_bounded(path, NOTE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8], verifier: &LogVerifier) -> Result<(u64, Hash), AnchorError> {
    let verified = verifier.verify(&SignedNote::parse(bytes)?)?;
    let checkpoint = verified.checkpoint();
    Ok((checkpoint.size(), *checkpoint.root()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use candor_core::crypto::Ed25519SecretKey;
    use candor_core::note::{KeyName, SoftwareSigner};

    use super::*;
    use crate::signer::LogSigner;

    fn signer(seed: u8) -> LogSigner {
        let name = KeyName::new("log.example").unwrap();
        let key = SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[seed; 32]));
        LogSigner::new("log.example", vec![Box::new(key)])
    }

    #[test]
    fn the_anchor_moves_forward_only_and_survives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchor");
        let signer = signer(1);
        let note = |size, root: u8| signer.sign(size, Hash([root; 32]), 1).unwrap();
        let mut anchor = Anchor::open(&path, signer.verifier()).unwrap();
        assert_eq!(anchor.newest(), None);
        anchor.advance(&note(5, 5)).unwrap();
        anchor.advance(&note(5, 5)).unwrap();
        assert!(matches!(
            anchor.advance(&note(5, 6)),
            Err(AnchorError::NotForward { .. })
        ));
        assert!(matches!(
            anchor.advance(&note(4, 4)),
            Err(AnchorError::NotForward { .. })
        ));
        drop(anchor);
        let anchor = Anchor::open(&path, signer.verifier()).unwrap();
        assert_eq!(anchor.newest(), Some((5, Hash([5; 32]))));
        assert!(matches!(
            Anchor::open(&path, signer.verifier()),
            Err(AnchorError::Lock(_))
        ));
    }

    #[test]
    fn another_writer_another_log_and_damage_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchor");
        let (signer, other) = (signer(1), signer(2));
        let note = signer.sign(5, Hash([5; 32]), 1).unwrap();
        let mut anchor = Anchor::open(&path, signer.verifier()).unwrap();
        anchor.advance(&note).unwrap();
        let later = signer.sign(6, Hash([6; 32]), 1).unwrap();
        std::fs::write(&path, later.to_bytes()).unwrap();
        let next = signer.sign(7, Hash([7; 32]), 1).unwrap();
        assert!(matches!(anchor.advance(&next), Err(AnchorError::Changed)));
        drop(anchor);
        let refused = Anchor::open(&path, other.verifier());
        assert!(matches!(refused, Err(AnchorError::OtherLog(_))));
        std::fs::write(&path, b"garbage").unwrap();
        assert!(matches!(
            Anchor::open(&path, signer.verifier()),
            Err(AnchorError::Damaged(_))
        ));
    }
}
