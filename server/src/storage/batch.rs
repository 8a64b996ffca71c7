//! The unit of change: rows written and removed in several tables, and at most one precondition.
//!
//! A batch is a state rather than a list: of two writes of one key the later stands. Ranges are
//! removed first, then rows are written, whatever the order of the calls. So every engine applies
//! a batch the same way, and in key order, which engines like.

use std::collections::BTreeMap;

use super::{BATCH_ROWS_MAX, KEY_BYTES_MAX, KeyRange, Table, VALUE_BYTES_MAX};

/// Rows to write and remove together. See [`super::Storage::commit`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) tables: [Changes; Table::ALL.len()],
    pub(super) precondition: Option<Precondition>,
}

/// What happens to one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Removed before the rows are written.
    pub(super) removed: Vec<KeyRange>,
    /// New values, or none for a row that is removed.
    pub(super) rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// What a row of [`Table::Meta`] must be for the batch to be applied.
#[derive(Clone, Debug)]
pub(super) struct Precondition {
    pub(super) key: Vec<u8>,
    pub(super) expected: Option<Vec<u8>>,
}

/// The caller's batch exceeds a limit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// A key, or a bound of a range, is empty or longer than [`KEY_BYTES_MAX`].
    #[error("a key of table {} has {bytes} bytes", table.name())]
    Key {
        /// The table it was meant for.
        table: Table,
        /// Its length.
        bytes: usize,
    },
    /// A value is longer than [`VALUE_BYTES_MAX`].
    #[error("a value of table {} has {bytes} bytes", table.name())]
    Value {
        /// The table it was meant for.
        table: Table,
        /// Its length.
        bytes: usize,
    },
    /// The batch changes more than [`BATCH_ROWS_MAX`] rows, those in removed ranges included.
    #[error("the batch changes more than {BATCH_ROWS_MAX} rows")]
    Rows,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a row.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.tables[table as usize]
            .rows
            .insert(key.into(), Some(value.into()));
    }

    /// Removes a row, if there is one.
    pub fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.tables[table as usize].rows.insert(key.into(), None);
    }

    /// Removes the rows that are in `range` before the batch, but none that the batch writes.
    pub fn remove_range(&mut self, table: Table, range: KeyRange) {
        self.tables[table as usize].removed.push(range);
    }

    /// Makes the batch conditional: the row `key` of [`Table::Meta`] must be `expected`, or absent
    /// for none, when the batch is applied. A later call replaces an earlier one.
    pub fn require_meta(&mut self, key: impl Into<Vec<u8>>, expected: Option<Vec<u8>>) {
        self.precondition = Some(Precondition {
            key: key.into(),
            expected,
        });
    }

    /// How many rows are written or removed by key.
    pub(super) fn rows(&self) -> usize {
        self.tables.iter().map(|changes| changes.rows.len()).sum()
    }

    /// How many bytes of keys and values are written.
    pub(super) fn bytes(&self) -> u64 {
        let rows = self.tables.iter().flat_map(|changes| &changes.rows);
        rows.map(|(key, value)| (key.len() + value.as_ref().map_or(0, Vec::len)) as u64)
            .sum()
    }

    /// Refuses what exceeds a limit.
    pub(super) fn check(&self) -> Result<(), LimitError> {
        if self.rows() > BATCH_ROWS_MAX {
            return Err(LimitError::Rows);
        }
        if let Some(Precondition { key, .. }) = &self.precondition {
            check_key(Table::Meta, key)?;
        }
        for (table, changes) in Table::ALL.into_iter().zip(&self.tables) {
            for range in &changes.removed {
                let bytes = range.start().len().max(range.end().map_or(0, <[u8]>::len));
                if bytes > KEY_BYTES_MAX {
                    return Err(LimitError::Key { table, bytes });
                }
            }
            for (key, value) in &changes.rows {
                check_key(table, key)?;
                let bytes = value.as_ref().map_or(0, Vec::len);
                if bytes > VALUE_BYTES_MAX {
                    return Err(LimitError::Value { table, bytes });
                }
            }
        }
        Ok(())
    }
}

fn check_key(table: Table, key: &[u8]) -> Result<(), LimitError> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => Err(LimitError::Key { table, bytes }),
    }
}
