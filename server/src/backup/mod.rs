//! Backups: a copy of a whole store at one point in time, checked without restoring it, and
//! restored only where that cannot fork the log.
//!
//! A backup is a directory with a store in it, of either engine, and a manifest that is written
//! last: what has no manifest is no backup. So everything that reads stores reads backups. It holds
//! neither secret keys nor the anchor. The anchor is what tells an old copy from the log; a copy of
//! it would be as old as the store beside it, and would say that the store is new.
//!
//! What this rules out: a log that goes on from a backup after more was signed. What was signed is
//! with witnesses and devices, and the backup does not have it.

mod copy;
mod export;
mod manifest;
mod restore;
mod take;
mod verify;

use std::path::PathBuf;

use candor_core::note::{LogVerifier, NoteError};
use candor_host::durable::{ReadError as FileError, WriteError};
use thiserror::Error;

pub use self::export::{Exported, export};
pub use self::manifest::{MANIFEST, Manifest, STORE};
pub use self::restore::{Anchored, RestoreError, Restored, WitnessAnswer, restore};
pub use self::take::take;
pub use self::verify::{Mismatch, Verified, verify};
use crate::anchor::AnchorError;
use crate::config::{Config, ConfigError};
use crate::control::ConnectError;
use crate::fsck::Progress;
use crate::ledger::LedgerError;
use crate::storage::{CommitError, OpenError, ReadError, StoreOptions};

/// Who is told how far it is.
pub type Told<'a> = &'a mut (dyn FnMut(Progress) + Send + Sync);

/// Cache of a store that is read from one end to the other, in bytes.
const CACHE_BYTES: u64 = 32 << 20;

/// Free space below which a copy is given up, in bytes: engines need some to tidy up.
const RESERVE_BYTES: u64 = 64 << 20;

/// Why a backup was not taken or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something already where the backup was to be made: the operator's fault.
    #[error("{} exists already", path.display())]
    Exists {
        /// The backup's directory.
        path: PathBuf,
    },
    /// The directory has no manifest: it is no backup, or one that was interrupted.
    #[error("{} holds no complete backup", path.display())]
    Incomplete {
        /// The backup's directory.
        path: PathBuf,
    },
    /// The manifest is none that this program writes.
    #[error("{}: {message}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, on one line.
        message: String,
    },
    /// The store is of another log than the configuration: the operator's fault.
    #[error("the store is of the log {found}, the configuration of {configured}")]
    OtherLog {
        /// The log that the store is of.
        found: String,
        /// The log that was meant.
        configured: String,
    },
    /// What was copied does not hold the newest signed head: the store is older than what was
    /// signed, or damaged. A check of the store says more.
    #[error("the store does not hold the head of {size} records that the log signed")]
    SignedHead {
        /// The size that was signed.
        size: u64,
    },
    /// The copy ended before its end.
    #[error("the server stopped before the copy was complete")]
    CutOff,
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The running server could not be asked.
    #[error(transparent)]
    Control(#[from] ConnectError),
    /// A store could not be opened or made.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Read(#[from] ReadError),
    /// The rows could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The copy could not be written.
    #[error("the copy could not be written: {0}")]
    Commit(#[from] CommitError),
    /// The anchor could not be read, or another instance holds the log.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// A signed note is none.
    #[error("the signed head is damaged: {0}")]
    Note(#[from] NoteError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A task ended unexpectedly: a bug.
    #[error("a part of the program ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// The log's keys as its policy has them: no secret is needed to compare heads.
///
/// # Errors
///
/// [`ConfigError`]; the operator is at fault.
pub fn configured_verifier(config: &Config) -> Result<LogVerifier, ConfigError> {
    let policy = config.read_policy()?;
    let keys = policy.logs().iter().map(|log| log.key().clone());
    Ok(LogVerifier::new(&config.origin, keys.collect()))
}

/// How stores are opened and made here.
fn options(path: impl Into<PathBuf>) -> StoreOptions {
    StoreOptions {
        cache_bytes: CACHE_BYTES,
        reserve_bytes: RESERVE_BYTES,
        ..StoreOptions::new(path)
    }
}
