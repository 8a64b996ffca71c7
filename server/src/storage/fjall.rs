//! The default engine: [`fjall`](::fjall), a log-structured store on one machine.
//!
//! One keyspace a table and one journal for all of them: a batch is one checksummed entry in the
//! journal, synced before it becomes visible. After a failed write or sync the contents of the
//! journal's tail are unknown, so the store stops and only opening it again decides.
//!
//! A full disk would be such a failure. So commits are refused while there still is room
//! ([`StoreOptions::reserve_bytes`]), and the store goes on serving reads. And the engine makes a
//! commit wait for its background threads without looking whether they are still alive; so the
//! waiting is done here, before the commit, and ends when they have died.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::fjall::config::CompressionPolicy;
use ::fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions,
    OwnedWriteBatch as WriteBatch, PersistMode, Readable, Snapshot,
};

use super::batch::{Batch, Row};
use super::{
    AllVisitor, CommitError, KeyRange, NotCommitted, OpenError, Order, OutcomeUnknown, ReadError,
    Storage, StoreOptions, Table, Visitor, check_key, scan_each,
};

/// A store on the local disk.
pub struct FjallStorage {
    database: Database,
    tables: [Keyspace; Table::ALL.len()],
    /// Held while a precondition is checked and its batch written. Its own poisoning, by a panic
    /// in the engine, counts as stopped.
    writer: Mutex<()>,
    stopped: AtomicBool,
    options: StoreOptions,
}

impl FjallStorage {
    /// Creates the engine's directory and every table in a store's directory.
    ///
    /// # Errors
    ///
    /// The environment's, as for [`super::Engine::create`].
    pub(super) fn create(options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_tables(open_database(options)?, options)
    }

    /// Opens what [`FjallStorage::create`] made.
    ///
    /// # Errors
    ///
    /// As for [`super::Engine::open`].
    pub(super) fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let database = open_database(options)?;
        let has = |table: &Table| database.keyspace_exists(table.name());
        if Table::ALL.iter().all(has) {
            Self::open_tables(database, options)
        } else {
            let path = options.path.clone();
            Err(OpenError::Missing { path })
        }
    }

    /// Opens the tables, and creates those that are missing.
    fn open_tables(database: Database, options: &StoreOptions) -> Result<Self, OpenError> {
        let mut tables = Vec::with_capacity(Table::ALL.len());
        for table in Table::ALL {
            let keyspace = database.keyspace(table.name(), || keyspace_options(table));
            tables.push(keyspace.map_err(|error| OpenError::engine(&options.path, error))?);
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

    fn scan_in(
        &self,
        snapshot: &Snapshot,
        table: Table,
        range: &KeyRange,
        order: Order,
        visit: &mut Visitor<'_>,
    ) -> Result<(), ReadError> {
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
        self.scan_in(&self.snapshot()?, table, range, order, visit)
    }

    fn scan_all(&self, visit: &mut AllVisitor<'_>) -> Result<(), ReadError> {
        let snapshot = self.snapshot()?;
        scan_each(visit, |table, visit| {
            self.scan_in(&snapshot, table, &KeyRange::all(), Order::Ascending, visit)
        })
    }

    fn commit(&self, mut batch: Batch) -> Result<(), CommitError> {
        batch.check().map_err(NotCommitted::from)?;
        let _writer = self.writer.lock().map_err(|_| NotCommitted::Stopped)?;
        if self.stopped.load(Ordering::Acquire) {
            return Err(NotCommitted::Stopped.into());
        }
        if let Some(precondition) = &batch.precondition {
            let found = self.get(Table::Meta, &precondition.key);
            let found = found.map_err(|error| NotCommitted::Engine {
                source: error.into(),
            })?;
            precondition.check(found.as_deref())?;
        }
        batch.settle(|table, range, visit| self.scan(table, range, Order::Ascending, visit))?;
        self.options.check_space(&batch)?;
        self.wait_for_background()?;

        let mut entry = WriteBatch::with_capacity(self.database.clone(), batch.rows());
        for (table, changes) in Table::ALL.into_iter().zip(batch.tables) {
            for Row { key, value } in changes.rows {
                match value {
                    Some(value) => entry.insert(self.keyspace(table), key, value),
                    None => entry.remove(self.keyspace(table), key),
                }
            }
        }
        match entry.durability(Some(PersistMode::SyncData)).commit() {
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

fn open_database(options: &StoreOptions) -> Result<Database, OpenError> {
    let path = &options.path;
    Database::builder(path.join(ENGINE_NAME))
        .cache_size(options.cache_bytes)
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
        .open()
        .map_err(|error| match error {
            ::fjall::Error::Locked => OpenError::Locked { path: path.clone() },
            error => OpenError::engine(path, error),
        })
}

/// How a table is laid out. The engine keeps it with the table: it is part of the format.
///
/// Most of the bytes are hashes, so compression does not pay. Blocks stay at 4 KiB, about 16
/// accounts or 50 leaves: in single runs on a busy machine neither 2 nor 8 KiB, nor indexes of
/// hashes in the blocks without filters in the last level, made reads or scans clearly faster.
fn keyspace_options(table: Table) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .data_block_compression_policy(CompressionPolicy::disabled())
        .manual_journal_persist(true);
    match table {
        // A delta has megabytes, is written once, and removed after all older ones. In files apart
        // it is not written again by compactions: at 200,000 accounts the store took 430 to 510
        // bytes of disk a row, and 614 without, in single runs.
        Table::Deltas => {
            let apart = KvSeparationOptions::default().compression(CompressionType::None);
            options.with_kv_separation(Some(apart))
        }
        _ => options,
    }
}

/// A table's write buffer in bytes. Each byte committed was written 2.2 times with 32 MiB, 3.0
/// times with 16 MiB, 1.8 times with 64 MiB, at 200,000 accounts; more of it is more memory, and
/// more of the journal to replay.
const MEMTABLE_BYTES: u64 = 32 << 20;

/// Write buffers of a table that may wait for being flushed when a commit begins. The engine
/// blocks at 4; one more may be sealed meanwhile.
const SEALED_MEMTABLES_MAX: usize = 2;

/// Flushed and not yet compacted files of a table that may be there when a commit begins. The
/// engine blocks at 30.
const FRESH_FILES_MAX: usize = 24;

const BACKGROUND_POLL: Duration = Duration::from_millis(2);

/// The engine's directory.
const ENGINE_NAME: &str = "fjall";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Engine;
    use super::super::conformance::{conformance_tests, opener};

    conformance_tests!(|| opener(Engine::Fjall));
}
