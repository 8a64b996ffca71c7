//! The default engine: [`fjall`](::fjall), a log-structured store on one machine.
//!
//! One keyspace a table and one journal for all of them: a batch is one checksummed entry in the
//! journal, synced before it becomes visible. After a failed write or sync the contents of the
//! journal's tail are unknown, so the store stops and only opening it again decides.
//!
//! A full disk would be such a failure. So commits are refused while there still is room
//! ([`FjallOptions::reserve_bytes`]), and the store goes on serving reads. And the engine makes a
//! commit wait for its background threads without looking whether they are still alive; so the
//! waiting is done here, before the commit, and ends when they have died.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::fjall::config::CompressionPolicy;
use ::fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot,
};
use candor_host::durable::{self, WriteError};

use super::batch::{Batch, Changes, LimitError};
use super::{
    BATCH_ROWS_MAX, CommitError, EngineError, KeyRange, NotCommitted, Order, OutcomeUnknown,
    ReadError, Storage, Table, Visitor, check_key,
};

/// Where a store is and what it may use.
#[derive(Clone, Debug)]
pub struct FjallOptions {
    /// The store's directory, for the store alone.
    pub path: PathBuf,
    /// Memory for cached blocks, in bytes. Write buffers come on top: usually some 100 MB.
    pub cache_bytes: u64,
    /// Free disk space in bytes below which commits are refused. The engine needs it to flush and
    /// compact what is already committed.
    pub reserve_bytes: u64,
}

impl FjallOptions {
    /// A store at `path` with a cache of 256 MiB and a reserve of 1 GiB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: 256 << 20,
            reserve_bytes: 1 << 30,
        }
    }
}

/// Why a store was not created or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is something already where a store was to be created: the operator's fault.
    #[error("{} exists already", path.display())]
    Exists {
        /// The store's directory.
        path: PathBuf,
    },
    /// There is no store, or its creation was interrupted: the operator's fault. A store is never
    /// created by the way, for that would hide a wrong path or a disk that is not mounted.
    #[error("{} holds no complete store", path.display())]
    Missing {
        /// The store's directory.
        path: PathBuf,
    },
    /// Another process has the store open.
    #[error("another process has the store at {} open", path.display())]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },
    /// The environment failed, or the stored bytes are damaged.
    #[error("could not open the store at {}", path.display())]
    Engine {
        /// The store's directory.
        path: PathBuf,
        /// What the engine said.
        source: EngineError,
    },
}

/// A store on the local disk.
pub struct FjallStorage {
    database: Database,
    tables: [Keyspace; Table::ALL.len()],
    /// Held while a precondition is checked and its batch written. Its own poisoning, by a panic
    /// in the engine, counts as stopped.
    writer: Mutex<()>,
    stopped: AtomicBool,
    options: FjallOptions,
}

impl FjallStorage {
    /// Creates an empty store in a directory that does not exist yet.
    ///
    /// # Errors
    ///
    /// [`OpenError::Exists`] is the operator's fault; all else the environment's. What a failed
    /// creation leaves behind cannot be opened, and can be removed.
    pub fn create(options: &FjallOptions) -> Result<Self, OpenError> {
        let path = &options.path;
        durable::create_directory(path).map_err(|error| match error {
            WriteError::NotWritten { source, .. }
                if source.kind() == io::ErrorKind::AlreadyExists =>
            {
                OpenError::Exists { path: path.clone() }
            }
            error => engine_error(path, error),
        })?;
        let store = Self::open_tables(open_database(options)?, options)?;
        // Last: the marker says that all tables are there.
        durable::create_new(&path.join(MARKER_NAME), MARKER)
            .map_err(|error| engine_error(path, error))?;
        Ok(store)
    }

    /// Opens a store that [`FjallStorage::create`] created.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] is the operator's fault, [`OpenError::Locked`] another process's;
    /// all else the environment's.
    pub fn open(options: &FjallOptions) -> Result<Self, OpenError> {
        let path = &options.path;
        match durable::read_bounded(&path.join(MARKER_NAME), MARKER.len()) {
            Ok(marker) if marker == MARKER => {
                let database = open_database(options)?;
                if Table::ALL
                    .iter()
                    .all(|table| database.keyspace_exists(table.name()))
                {
                    Self::open_tables(database, options)
                } else {
                    Err(OpenError::Missing { path: path.clone() })
                }
            }
            Ok(_) => Err(OpenError::Missing { path: path.clone() }),
            Err(durable::ReadError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Err(OpenError::Missing { path: path.clone() })
            }
            Err(error) => Err(engine_error(path, error)),
        }
    }

    /// Opens the tables, and creates those that are missing.
    fn open_tables(database: Database, options: &FjallOptions) -> Result<Self, OpenError> {
        let mut tables = Vec::with_capacity(Table::ALL.len());
        for table in Table::ALL {
            let keyspace = database.keyspace(table.name(), keyspace_options);
            tables.push(keyspace.map_err(|error| engine_error(&options.path, error))?);
        }
        let tables = tables
            .try_into()
            .ok()
            .expect("one keyspace was opened for each table");
        let (writer, stopped) = (Mutex::new(()), AtomicBool::new(false));
        Ok(Self {
            database,
            tables,
            writer,
            stopped,
            options: options.clone(),
        })
    }

    fn keyspace(&self, table: Table) -> &Keyspace {
        &self.tables[table as usize]
    }

    /// The newest state, in which every batch is whole.
    fn snapshot(&self) -> Result<Snapshot, ReadError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(ReadError::Stopped);
        }
        Ok(self.database.snapshot())
    }

    /// Refuses a batch for which there is no room.
    fn check_space(&self, batch: &Batch) -> Result<(), NotCommitted> {
        let space =
            rustix::fs::statvfs(&self.options.path).map_err(|errno| NotCommitted::Engine {
                source: io::Error::from(errno).into(),
            })?;
        let available_bytes = space.f_bavail.saturating_mul(space.f_frsize);
        let required_bytes = self.options.reserve_bytes.saturating_add(batch.bytes());
        if available_bytes < required_bytes {
            return Err(NotCommitted::DiskFull {
                available_bytes,
                required_bytes,
            });
        }
        Ok(())
    }

    /// Waits until the background threads have caught up so far that the commit will not wait.
    fn wait_for_background(&self) -> Result<(), NotCommitted> {
        let is_behind = |table: &Keyspace| {
            table.sealed_memtable_count() > SEALED_MEMTABLES_MAX
                || table.l0_table_count() > FRESH_FILES_MAX
        };
        while self.tables.iter().any(is_behind) {
            // Syncs nothing, but fails once a background thread has failed.
            self.database
                .persist(PersistMode::Buffer)
                .map_err(|_| NotCommitted::Stopped)?;
            std::thread::sleep(BACKGROUND_POLL);
        }
        Ok(())
    }

    fn check_precondition(&self, batch: &Batch) -> Result<(), NotCommitted> {
        let Some(precondition) = &batch.precondition else {
            return Ok(());
        };
        let found = self
            .database
            .snapshot()
            .get(self.keyspace(Table::Meta), &precondition.key)
            .map_err(|error| NotCommitted::Engine {
                source: error.into(),
            })?;
        if found.as_deref() == precondition.expected.as_deref() {
            Ok(())
        } else {
            Err(NotCommitted::Precondition)
        }
    }

    /// Adds the rows of removed ranges to the rows that are removed: the engine has no other way.
    fn expand_ranges(&self, table: Table, changes: &mut Changes) -> Result<(), NotCommitted> {
        let snapshot = self.database.snapshot();
        for range in std::mem::take(&mut changes.removed) {
            if range.is_empty() {
                continue;
            }
            for row in snapshot.range::<&[u8], _>(self.keyspace(table), range.bounds()) {
                let key = row.key().map_err(|error| NotCommitted::Engine {
                    source: error.into(),
                })?;
                changes.rows.entry(key.to_vec()).or_insert(None);
                if changes.rows.len() > BATCH_ROWS_MAX {
                    return Err(LimitError::Rows.into());
                }
            }
        }
        Ok(())
    }
}

impl Storage for FjallStorage {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        check_key(key)?;
        let found = self.snapshot()?.get(self.keyspace(table), key);
        let found = found.map_err(|error| ReadError::Engine {
            source: error.into(),
        })?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        visit: &mut Visitor<'_>,
    ) -> Result<(), ReadError> {
        range.check()?;
        let snapshot = self.snapshot()?;
        if range.is_empty() {
            return Ok(());
        }
        let mut rows = snapshot.range::<&[u8], _>(self.keyspace(table), range.bounds());
        loop {
            let row = match order {
                Order::Ascending => rows.next(),
                Order::Descending => rows.next_back(),
            };
            let Some(row) = row else { return Ok(()) };
            let (key, value) = row.into_inner().map_err(|error| ReadError::Engine {
                source: error.into(),
            })?;
            if visit(&key, &value).is_break() {
                return Ok(());
            }
        }
    }

    fn commit(&self, mut batch: Batch) -> Result<(), CommitError> {
        batch.check().map_err(NotCommitted::from)?;
        let _writer = self.writer.lock().map_err(|_| NotCommitted::Stopped)?;
        if self.stopped.load(Ordering::Acquire) {
            return Err(NotCommitted::Stopped.into());
        }
        self.check_precondition(&batch)?;
        for (table, changes) in Table::ALL.into_iter().zip(&mut batch.tables) {
            self.expand_ranges(table, changes)?;
        }
        if batch.rows() > BATCH_ROWS_MAX {
            return Err(NotCommitted::from(LimitError::Rows).into());
        }
        self.check_space(&batch)?;
        self.wait_for_background()?;

        let mut entry = self.database.batch();
        for (table, changes) in Table::ALL.into_iter().zip(batch.tables) {
            for (key, value) in changes.rows {
                match value {
                    Some(value) => entry.insert(self.keyspace(table), key, value),
                    None => entry.remove(self.keyspace(table), key),
                }
            }
        }
        match entry.durability(Some(PersistMode::SyncAll)).commit() {
            Ok(()) => Ok(()),
            // Found before anything was written: a background thread failed earlier.
            Err(::fjall::Error::Poisoned) => Err(NotCommitted::Stopped.into()),
            Err(error) => {
                self.stopped.store(true, Ordering::Release);
                Err(OutcomeUnknown {
                    source: error.into(),
                }
                .into())
            }
        }
    }
}

fn open_database(options: &FjallOptions) -> Result<Database, OpenError> {
    let path = &options.path;
    Database::builder(path.join(ENGINE_NAME))
        .cache_size(options.cache_bytes)
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
        .open()
        .map_err(|error| match error {
            ::fjall::Error::Locked => OpenError::Locked { path: path.clone() },
            error => engine_error(path, error),
        })
}

/// How every table is laid out: most of the bytes are hashes, so compression does not pay.
fn keyspace_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .data_block_compression_policy(CompressionPolicy::disabled())
        .manual_journal_persist(true)
}

fn engine_error(path: &Path, error: impl Into<EngineError>) -> OpenError {
    OpenError::Engine {
        path: path.to_owned(),
        source: error.into(),
    }
}

/// A table's write buffer in bytes. The engine keeps it with the table: it is part of the format.
const MEMTABLE_BYTES: u64 = 32 << 20;

/// Write buffers of a table that may wait for being flushed when a commit begins. The engine
/// blocks at 4; one more may be sealed meanwhile.
const SEALED_MEMTABLES_MAX: usize = 2;

/// Flushed and not yet compacted files of a table that may be there when a commit begins. The
/// engine blocks at 30.
const FRESH_FILES_MAX: usize = 24;

const BACKGROUND_POLL: Duration = Duration::from_millis(2);

/// The engine's directory, and the marker of a complete store beside it.
const ENGINE_NAME: &str = "fjall";
const MARKER_NAME: &str = "candor-store";
const MARKER: &[u8] = b"candor-store v1 fjall\n";

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::sync::Arc;

    super::super::conformance::conformance_tests!(|| {
        let directory = tempfile::tempdir().unwrap();
        move || {
            let options = options(directory.path());
            let store = match FjallStorage::create(&options) {
                Err(OpenError::Exists { .. }) => FjallStorage::open(&options).unwrap(),
                created => created.unwrap(),
            };
            Arc::new(store) as Arc<dyn Storage>
        }
    });

    fn options(directory: &Path) -> FjallOptions {
        let path = directory.join("store");
        FjallOptions {
            cache_bytes: 1 << 20,
            reserve_bytes: 0,
            ..FjallOptions::new(path)
        }
    }

    #[test]
    fn create_and_open_refuse_each_others_case() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(directory.path());
        assert!(matches!(
            FjallStorage::open(&options),
            Err(OpenError::Missing { .. })
        ));
        drop(FjallStorage::create(&options).unwrap());
        assert!(matches!(
            FjallStorage::create(&options),
            Err(OpenError::Exists { .. })
        ));
        drop(FjallStorage::open(&options).unwrap());
        std::fs::remove_file(options.path.join(MARKER_NAME)).unwrap();
        assert!(matches!(
            FjallStorage::open(&options),
            Err(OpenError::Missing { .. })
        ));
    }

    #[test]
    fn second_opener_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(directory.path());
        let _store = FjallStorage::create(&options).unwrap();
        assert!(matches!(
            FjallStorage::open(&options),
            Err(OpenError::Locked { .. })
        ));
    }

    #[test]
    fn commits_leave_the_reserve_alone() {
        let directory = tempfile::tempdir().unwrap();
        let options = FjallOptions {
            reserve_bytes: u64::MAX,
            ..options(directory.path())
        };
        let store = FjallStorage::create(&options).unwrap();
        let mut batch = Batch::new();
        batch.put(Table::Meta, "head", "1");
        match store.commit(batch).unwrap_err() {
            CommitError::NotCommitted(error @ NotCommitted::DiskFull { .. }) => {
                assert!(error.is_retryable());
            }
            error => panic!("{error:?}"),
        }
        assert_eq!(store.get(Table::Meta, b"head").unwrap(), None);
    }
}
