//! What must survive: the newest cosigned checkpoint of each log, alarms, and how far the maps were
//! checked.
//!
//! Every change goes through one thread, which commits what waits in one transaction, then writes
//! the anchor, a small file apart from the database, then lets the askers go on. So when
//! [`Store::apply`] returns, the change is on disk, twice. After any failure of the disk the thread
//! ends and nothing more is changed: the outcome is unknown, and only a new start finds it out.
//! Readers look at a copy in memory that holds committed changes only. What a file from a backup
//! does is in `quarantine.rs`.

mod agreement;
mod anchor;
pub mod durability;
mod files;
mod quarantine;
mod records;
mod recovery;
mod tables;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use candor_core::codec::DecodeError;
use candor_host::durable::{InstanceLock, LockError, WriteError};
use redb::Database;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::decision::Recorded;
use crate::metrics::Metrics;
use crate::points::Hook;
use crate::state::LogState;

pub use agreement::Agreement;
pub use anchor::{Anchor, AnchorError};
pub use quarantine::{AnchorKept, Doubt, Quarantine};
pub use records::Records;
pub use recovery::{Restored, quarantine_of, release, restore};

/// The files of a witness's state.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The database.
    pub database: PathBuf,
    /// The anchor, best on another disk.
    pub anchor: PathBuf,
    /// The logs that were added to those of the configuration.
    pub logs: PathBuf,
    /// What only one process may hold.
    pub lock: PathBuf,
}

impl Paths {
    /// The files in `directory`, with the anchor elsewhere if `anchor` says so.
    pub fn new(directory: &Path, anchor: Option<&Path>) -> Self {
        Self {
            database: directory.join("witness.redb"),
            anchor: anchor.map_or_else(|| directory.join("anchor"), Path::to_owned),
            logs: directory.join("logs"),
            lock: directory.join("lock"),
        }
    }
}

/// A durable change.
#[derive(Clone, Debug)]
pub enum Change {
    /// A checkpoint was accepted after `expected`; refused if something else is recorded, or the
    /// log contradicted itself meanwhile.
    Advance {
        /// What was recorded when the decision was made.
        expected: Recorded,
        /// The quarantine that the decision ends; refused if there is another.
        quarantine: Option<Quarantine>,
        /// What follows it.
        next: Arc<LogState>,
    },
    /// The log contradicted itself: it is cosigned no more.
    Fork {
        /// What happened, for the operator.
        reason: String,
    },
    /// The map failed a check: it is cosigned no more.
    MapAlarm {
        /// What happened, for the operator.
        reason: String,
    },
    /// More may have been signed than is recorded: the log is not cosigned for now.
    Quarantine(Quarantine),
    /// How far the map was checked, encoded.
    MapProgress(Vec<u8>),
}

/// What is known of one log.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The newest cosigned checkpoint, if there is any.
    pub state: Option<Arc<LogState>>,
    /// Why the log is cosigned no more.
    pub fork: Option<String>,
    /// Why the map is cosigned no more.
    pub map_alarm: Option<String>,
    /// Why more may have been signed than is recorded.
    pub quarantine: Option<Quarantine>,
}

impl Entry {
    /// What is recorded.
    pub fn recorded(&self) -> Recorded {
        let state = self.state.as_ref();
        state.map_or(Recorded::NOTHING, |state| state.recorded())
    }
}

type View = Arc<RwLock<Records>>;

/// Why the state was not opened, or a change was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process uses the state, or the lock cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The anchor cannot be used.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The anchor was not written, or perhaps not: the outcome is unknown.
    #[error("the anchor was not written")]
    AnchorWrite(#[from] WriteError),
    /// The database failed: the environment is at fault.
    #[error("the database failed")]
    Database(#[source] Box<redb::Error>),
    /// A newer program wrote the database.
    #[error("the database has format {found}, written by a newer program; use that one")]
    Format {
        /// The database's format.
        found: u64,
    },
    /// The database holds what this version did not write.
    #[error("the database's entry for {origin} is damaged")]
    Damaged {
        /// The log.
        origin: String,
        /// What is wrong with it.
        source: DecodeError,
    },
}

macro_rules! from_database_errors {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )*};
}
from_database_errors!(
    CommitError,
    DatabaseError,
    SetDurabilityError,
    StorageError,
    TableError,
    TransactionError
);

/// A change was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Something else than expected is recorded, an alarm perhaps. Nothing was changed.
    #[error("the log's record changed meanwhile")]
    Stale,
    /// The store failed, or is closed. Whether the change was made is not known.
    #[error("the store has stopped")]
    Stopped,
}

/// The state of a witness, open.
#[derive(Clone, Debug)]
pub struct Store {
    changes: mpsc::Sender<writer::Request>,
    view: View,
    stopped: CancellationToken,
    database: Arc<Database>,
}

/// The thread that writes. It ends when every [`Store`] is dropped, or by a failure.
pub type WriterThread = JoinHandle<Result<(), StoreError>>;

/// Creates an empty state: database and anchor.
///
/// # Errors
///
/// [`StoreError`]: the files exist already, or the environment fails.
pub fn create(paths: &Paths) -> Result<(), StoreError> {
    let _lock = InstanceLock::acquire(&paths.lock)?;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&paths.database)
        .map_err(redb::StorageError::from)?;
    let backend = redb::backends::FileBackend::new(file)?;
    tables::create(&redb::Builder::new().create_with_backend(backend)?)?;
    anchor::write(&paths.anchor, &anchor::Anchor::default())?;
    Ok(())
}

/// Removes the alarms of log `origin`, of its entries and of its map, and how far its map was
/// checked. Its record stays.
///
/// # Errors
///
/// [`StoreError`]: the witness is running, or the environment fails.
pub(crate) fn clear_alarms(paths: &Paths, origin: &str) -> Result<(), StoreError> {
    let _lock = InstanceLock::acquire(&paths.lock)?;
    let database = Database::open(&paths.database)?;
    tables::check_format(&database)?;
    tables::clear_alarms(&database, origin)
}

impl Store {
    /// Opens a state that [`create`] made, and starts the thread that writes. `stopped` is
    /// cancelled when that thread ends.
    ///
    /// A missing file is an error: a lost disk must not start a witness without memory. Where
    /// database and anchor differ by more than a crash explains, logs go into [`Quarantine`].
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(
        paths: &Paths,
        metrics: &Metrics,
        stopped: CancellationToken,
    ) -> Result<(Self, WriterThread), StoreError> {
        Self::open_with(paths, metrics, stopped, Hook::default())
    }

    /// [`Self::open`] with what happens at the points of its thread.
    pub(crate) fn open_with(
        paths: &Paths,
        metrics: &Metrics,
        stopped: CancellationToken,
        hook: Hook,
    ) -> Result<(Self, WriterThread), StoreError> {
        let lock = InstanceLock::acquire(&paths.lock)?;
        let anchor = anchor::read(&paths.anchor)?;
        let database = Arc::new(Database::open(&paths.database)?);
        tables::check_format(&database)?;
        let mut files = files::Files {
            database: Arc::clone(&database),
            anchor: anchor::AnchorFile::new(paths.anchor.clone()),
        };
        let anchor = recovery::reconcile(&mut files, anchor)?;
        let view = Arc::new(RwLock::new(tables::load(&database)?));
        let (changes, requests) = mpsc::channel(writer::WAITING_CHANGES_MAX);
        let writer = writer::Writer {
            files,
            anchor,
            view: Arc::clone(&view),
            metrics: metrics.clone(),
            hook,
            _lock: lock,
            _stopped: stopped.clone().drop_guard(),
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(requests))
            .map_err(redb::StorageError::from)?;
        let store = Self {
            changes,
            view,
            stopped,
            database,
        };
        Ok((store, thread))
    }

    /// What is known of log `origin`, as far as it is committed.
    pub fn entry(&self, origin: &str) -> Entry {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.entry(origin).clone()
    }

    /// How far the map of log `origin` was checked, encoded.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the environment fails.
    pub fn map_progress(&self, origin: &str) -> Result<Option<Vec<u8>>, StoreError> {
        tables::map_progress(&self.database, origin)
    }

    /// Whether the thread that writes still does.
    pub fn is_running(&self) -> bool {
        !self.stopped.is_cancelled()
    }

    /// Makes a change of log `origin`. When this returns, the change is durable.
    ///
    /// # Errors
    ///
    /// [`ApplyError`].
    pub async fn apply(&self, origin: &str, change: Change) -> Result<(), ApplyError> {
        let (done, answer) = oneshot::channel();
        let request = writer::Request {
            origin: origin.to_owned(),
            change,
            done,
        };
        let sent = self.changes.send(request).await;
        sent.map_err(|_| ApplyError::Stopped)?;
        answer.await.unwrap_or(Err(ApplyError::Stopped))
    }
}

#[cfg(test)]
mod tests;
