//! Writing the rows of one store into another, of whatever engine.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::{BackupError, Told, options};
use crate::fsck::Progress;
use crate::storage::{Batch, CommitError, Engine, Storage, Table};

/// Rows are committed together until they have so many bytes: each commit is synced.
const BATCH_BYTES: usize = 4 << 20;

/// Rows are committed together up to this number.
const BATCH_ROWS: u64 = 16 << 10;

/// A new store that is being filled.
pub(super) struct Copy<'a> {
    store: Arc<dyn Storage>,
    batch: Batch,
    batch_bytes: usize,
    batch_rows: u64,
    rows: u64,
    table: Table,
    table_rows: u64,
    told: Told<'a>,
}

impl<'a> Copy<'a> {
    /// A new store at `path`, which must not exist.
    pub(super) fn new(engine: Engine, path: &Path, told: Told<'a>) -> Result<Self, BackupError> {
        Ok(Self {
            store: engine.create(&options(path))?,
            batch: Batch::new(),
            batch_bytes: 0,
            batch_rows: 0,
            rows: 0,
            table: Table::ALL[0],
            table_rows: 0,
            told,
        })
    }

    /// Adds a row.
    pub(super) fn put(
        &mut self,
        table: Table,
        key: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<(), CommitError> {
        if table != self.table {
            (self.table, self.table_rows) = (table, 0);
        }
        self.batch_bytes += key.len() + value.len();
        self.batch_rows += 1;
        self.table_rows += 1;
        self.rows += 1;
        self.batch.put(table, key, value);
        match self.batch_bytes >= BATCH_BYTES || self.batch_rows >= BATCH_ROWS {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// All rows of `source`, at one point in time.
    pub(super) fn all_of(&mut self, source: &dyn Storage) -> Result<(), BackupError> {
        let mut put = Ok(());
        source.scan_all(&mut |table, key, value| {
            put = self.put(table, key.to_vec(), value.to_vec());
            match put {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        Ok(put?)
    }

    /// The store, in which everything is durable, and how many rows it has.
    pub(super) fn finish(mut self) -> Result<(Arc<dyn Storage>, u64), CommitError> {
        self.flush()?;
        Ok((self.store, self.rows))
    }

    fn flush(&mut self) -> Result<(), CommitError> {
        (self.batch_bytes, self.batch_rows) = (0, 0);
        self.store.commit(std::mem::take(&mut self.batch))?;
        (self.told)(Progress {
            table: self.table,
            rows: self.table_rows,
        });
        Ok(())
    }
}
