//! The second engine: [`sled`](::sled) 0.34, a log-structured tree, with what it lacks added.
//!
//! All tables are in one tree, a byte of the table before each key: that makes a batch one atomic
//! batch of sled's. Four things sled does not do are done here. Its flush on Linux writes the file
//! but asks the disk for nothing, so each commit ends with a sync of the file. It puts values that
//! are longer than about 100 KiB into files of their own, which it never syncs: longer values are
//! cut into rows ([`rows`]). It shows a batch before that is durable, and its iterators see what is
//! committed meanwhile: [`history`] keeps what the newest batches replaced, for those who may not
//! see them yet.
//!
//! After a failed write or sync the store stops, and only opening it again decides.

mod history;
mod rows;

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};

use candor_host::durable::{InstanceLock, LockError};

use self::history::{History, Undo};
use self::rows::{full_key, row_range};
use super::batch::{Batch, Row};
use super::{
    AllVisitor, CommitError, EngineError, KeyRange, NotCommitted, OpenError, Order, OutcomeUnknown,
    ReadError, Storage, StoreOptions, Table, Visitor, check_key, scan_each,
};

/// A store on the local disk.
pub struct SledStorage {
    database: ::sled::Db,
    /// The engine's file once more, to be synced.
    file: File,
    history: RwLock<History>,
    /// Held while a precondition is checked and its batch written. Its own poisoning, by a panic
    /// in the engine, counts as stopped.
    writer: Mutex<()>,
    stopped: AtomicBool,
    options: StoreOptions,
    /// The engine's own lock does not tell that it is held from other failures.
    _lock: InstanceLock,
}

impl SledStorage {
    /// Creates the engine's directory in a store's directory.
    ///
    /// # Errors
    ///
    /// The environment's, as for [`super::Engine::create`].
    pub(super) fn create(options: &StoreOptions) -> Result<Self, OpenError> {
        let store = Self::open_or_create(options)?;
        // The engine syncs neither its settings nor its directories.
        let directory = options.path.join(ENGINE_NAME);
        let files = [directory.join(SETTINGS_NAME), directory.clone()];
        for path in files.iter().chain([&options.path]) {
            File::open(path)
                .and_then(|file| file.sync_all())
                .map_err(|error| OpenError::engine(&options.path, error))?;
        }
        Ok(store)
    }

    /// Opens what [`SledStorage::create`] made.
    ///
    /// # Errors
    ///
    /// As for [`super::Engine::open`].
    pub(super) fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        if !options.path.join(ENGINE_NAME).join(FILE_NAME).exists() {
            let path = options.path.clone();
            return Err(OpenError::Missing { path });
        }
        Self::open_or_create(options)
    }

    fn open_or_create(options: &StoreOptions) -> Result<Self, OpenError> {
        let path = &options.path;
        let lock = InstanceLock::acquire(&path.join(LOCK_NAME)).map_err(|error| match error {
            LockError::Held { .. } => OpenError::Locked { path: path.clone() },
            error => OpenError::engine(path, error),
        })?;
        let directory = path.join(ENGINE_NAME);
        // The engine's threads may hold its lock for a moment after a store was dropped.
        if let Ok(file) = File::open(directory.join(FILE_NAME)) {
            file.lock()
                .map_err(|error| OpenError::engine(path, error))?;
        }
        let database = ::sled::Config::new()
            .path(&directory)
            .cache_capacity(options.cache_bytes)
            .open()
            .map_err(|error| OpenError::engine(path, error))?;
        let file = File::open(directory.join(FILE_NAME))
            .map_err(|error| OpenError::engine(path, error))?;
        Ok(Self {
            database,
            file,
            history: RwLock::new(History::default()),
            writer: Mutex::new(()),
            stopped: AtomicBool::new(false),
            options: options.clone(),
            _lock: lock,
        })
    }

    fn refuse_stopped(&self) -> Result<(), ReadError> {
        match self.stopped.load(Ordering::Acquire) {
            true => Err(ReadError::Stopped),
            false => Ok(()),
        }
    }

    fn reader(&self) -> Result<history::Reader<'_>, ReadError> {
        self.refuse_stopped()?;
        history::Reader::new(&self.history).ok_or(ReadError::Stopped)
    }

    fn scan_at(
        &self,
        reader: &history::Reader<'_>,
        table: Table,
        range: &KeyRange,
        order: Order,
        visit: &mut Visitor<'_>,
    ) -> Result<(), ReadError> {
        let mut rest = (!range.is_empty()).then(|| row_range(table, range));
        let mut rows_max = PART_ROWS_MIN;
        while let Some(range) = rest {
            let (rows, left) = self.part(reader.version(), &range, order, rows_max)?;
            let mut rows: Box<dyn Iterator<Item = _>> = match order {
                Order::Ascending => Box::new(rows.into_iter()),
                Order::Descending => Box::new(rows.into_iter().rev()),
            };
            // No lock is held while visiting: a visitor may use the store.
            if rows.any(|(key, value)| visit(&key[1..], &value).is_break()) {
                return Ok(());
            }
            rest = left;
            rows_max = (rows_max * 4).min(PART_ROWS_MAX);
        }
        Ok(())
    }

    /// Some rows of `range` as the state `version` has them, from its start or its end on, and what
    /// is left of the range. The fewer the better if the caller wants few.
    fn part(&self, version: u64, range: &Range, order: Order, rows_max: usize) -> Part {
        let history = self.history.read().map_err(|_| ReadError::Stopped)?;
        self.refuse_stopped()?;
        if history.bytes_since(version) > HISTORY_BYTES_MAX {
            return Err(ReadError::Engine {
                source: "too much was committed while one scan went on".into(),
            });
        }
        let (mut found, mut bytes) = (BTreeMap::new(), 0);
        let is_full = |rows, bytes| rows >= rows_max || bytes >= PART_BYTES_MAX;
        let mut iterator = self.database.range::<&[u8], _>(range.bounds());
        while !is_full(found.len(), bytes) {
            let row = match order {
                Order::Ascending => iterator.next(),
                Order::Descending => iterator.next_back(),
            };
            let Some(row) = row else { break };
            let (key, stored) = row.map_err(read_error)?;
            let value = rows::value(&self.database, &stored)?;
            bytes += key.len() + value.len();
            found.insert(key.to_vec(), value);
        }
        let (seen, rest) = match is_full(found.len(), bytes) {
            false => (range.clone(), None),
            true => {
                let last = match order {
                    Order::Ascending => found.last_key_value(),
                    Order::Descending => found.first_key_value(),
                };
                let (last, _) = last.expect("neither limit is 0");
                let (seen, rest) = range.split(last, order);
                (seen, Some(rest))
            }
        };
        history.restore(version, &seen, &mut found);
        Ok((found, rest))
    }

    /// The batch in the engine's terms, and what it replaces.
    fn prepare(&self, batch: Batch) -> Result<(::sled::Batch, Undo), EngineError> {
        let mut entry = ::sled::Batch::default();
        let mut undo = Undo::default();
        for (table, changes) in Table::ALL.into_iter().zip(batch.tables) {
            for Row { key, value } in changes.rows {
                let key = full_key(table, &key);
                let stored = self.database.get(&key)?;
                let replaced = stored
                    .as_ref()
                    .map(|stored| rows::value(&self.database, stored));
                if let Some(stored) = &stored {
                    rows::remove_parts(stored, &mut entry);
                }
                undo.push(key.clone(), replaced.transpose()?);
                match value {
                    Some(value) => rows::put(&self.database, key, &value, &mut entry)?,
                    None => entry.remove(key),
                }
            }
        }
        Ok((entry, undo))
    }

    fn write(&self, entry: ::sled::Batch) -> Result<(), EngineError> {
        self.database.apply_batch(entry)?;
        self.database.flush()?;
        Ok(self.file.sync_data()?)
    }
}

impl Storage for SledStorage {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        check_key(key)?;
        let key = full_key(table, key);
        // Held until the row is read: what is not in the history now is not being changed.
        let history = self.history.read().map_err(|_| ReadError::Stopped)?;
        self.refuse_stopped()?;
        if let Some(replaced) = history.replaced(&key) {
            return Ok(replaced.map(<[u8]>::to_vec));
        }
        let stored = self.database.get(&key).map_err(read_error)?;
        let value = stored.map(|stored| rows::value(&self.database, &stored));
        value.transpose()
    }

    fn scan(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        visit: &mut Visitor<'_>,
    ) -> Result<(), ReadError> {
        range.check()?;
        self.scan_at(&self.reader()?, table, range, order, visit)
    }

    fn scan_all(&self, visit: &mut AllVisitor<'_>) -> Result<(), ReadError> {
        let reader = self.reader()?;
        scan_each(visit, |table, visit| {
            self.scan_at(&reader, table, &KeyRange::all(), Order::Ascending, visit)
        })
    }

    fn commit(&self, mut batch: Batch) -> Result<(), CommitError> {
        batch.check().map_err(NotCommitted::from)?;
        let _writer = self.writer.lock().map_err(|_| NotCommitted::Stopped)?;
        self.refuse_stopped().map_err(|_| NotCommitted::Stopped)?;
        let not_committed = |source: EngineError| NotCommitted::Engine { source };
        if let Some(precondition) = &batch.precondition {
            let found = self.get(Table::Meta, &precondition.key);
            precondition.check(
                found
                    .map_err(|error| not_committed(error.into()))?
                    .as_deref(),
            )?;
        }
        batch.settle(|table, range, visit| self.scan(table, range, Order::Ascending, visit))?;
        self.options.check_space(&batch)?;
        let (entry, undo) = self.prepare(batch).map_err(not_committed)?;

        let history = || self.history.write();
        history().map_err(|_| NotCommitted::Stopped)?.begin(undo);
        if let Err(source) = self.write(entry) {
            self.stopped.store(true, Ordering::Release);
            return Err(OutcomeUnknown { source }.into());
        }
        match history() {
            Ok(mut history) => {
                history.show();
                Ok(())
            }
            Err(_) => {
                let source = "a reader panicked".into();
                Err(OutcomeUnknown { source }.into())
            }
        }
    }
}

fn read_error(error: ::sled::Error) -> ReadError {
    ReadError::Engine {
        source: error.into(),
    }
}

/// A range of full keys.
type Range = rows::FullRange;

/// Rows in key order, and the range that follows them.
type Part = Result<(BTreeMap<Vec<u8>, Vec<u8>>, Option<Range>), ReadError>;

/// Rows that a scan reads at a time, first and at last: a bucket's worth first.
const PART_ROWS_MIN: usize = 32;
const PART_ROWS_MAX: usize = 2048;

/// Bytes after which it reads no further row at that time: commits wait for it.
const PART_BYTES_MAX: usize = 4 << 20;

/// Most bytes that are kept of what was replaced while a scan goes on: the memory that a copy of
/// the whole store may take. A copy that needs more fails, and the scan may be made again.
const HISTORY_BYTES_MAX: usize = if cfg!(test) { 1 << 20 } else { 512 << 20 };

/// The engine's directory in the store's, its files in that, and our lock.
const ENGINE_NAME: &str = "sled";
const FILE_NAME: &str = "db";
const SETTINGS_NAME: &str = "conf";
const LOCK_NAME: &str = "sled.lock";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Engine;
    use super::super::conformance::{conformance_tests, opener};
    use super::*;

    conformance_tests!(|| opener(Engine::Sled));

    #[test]
    fn long_rows_are_read_in_parts_too() {
        let open = opener(Engine::Sled);
        let store = open();
        for key in 0..20_u8 {
            let mut batch = Batch::new();
            batch.put(Table::Deltas, [key], vec![key; PART_BYTES_MAX / 3]);
            store.commit(batch).unwrap();
        }
        for order in [Order::Ascending, Order::Descending] {
            let mut keys = Vec::new();
            let all = KeyRange::all();
            let read = store.scan(Table::Deltas, &all, order, &mut |key, value| {
                assert_eq!(value, vec![key[0]; PART_BYTES_MAX / 3]);
                keys.push(key[0]);
                std::ops::ControlFlow::Continue(())
            });
            read.unwrap();
            let mut expected: Vec<u8> = (0..20).collect();
            if order == Order::Descending {
                expected.reverse();
            }
            assert_eq!(keys, expected);
        }
    }

    #[test]
    fn a_scan_that_would_need_too_much_memory_fails_and_later_ones_do_not() {
        let open = opener(Engine::Sled);
        let store = open();
        let put = |key: u32| {
            let mut batch = Batch::new();
            batch.put(Table::Leaves, key.to_be_bytes(), vec![0; 4000]);
            store.commit(batch).unwrap();
        };
        // More rows than are read at a time.
        (0..2 * PART_ROWS_MIN as u32).for_each(put);
        let mut rows = 0;
        let failed = store.scan_all(&mut |_, _, _| {
            if rows == 0 {
                (0..400).for_each(|at| put(at % PART_ROWS_MIN as u32));
            }
            rows += 1;
            std::ops::ControlFlow::Continue(())
        });
        assert!(matches!(failed, Err(ReadError::Engine { .. })));
        rows = 0;
        let mut count = |_, _: &[u8], _: &[u8]| {
            rows += 1;
            std::ops::ControlFlow::Continue(())
        };
        store.scan_all(&mut count).unwrap();
        assert_eq!(rows, 2 * PART_ROWS_MIN);
    }
}
