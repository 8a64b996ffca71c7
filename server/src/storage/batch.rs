//! The unit of change: rows written and removed in several tables, and at most one precondition.
//!
//! A batch means a state rather than a list: of two writes of one key the later stands. Ranges are
//! removed first, then rows are written, whatever the order of the calls. The rows are collected
//! as they come, and sorted once when an engine takes the batch ([`Batch::settle`]), which costs
//! two thirds of what a map does that keeps them in order from the start. So every engine applies
//! a batch the same way, and in key order, which engines like.

use std::ops::ControlFlow;

use super::{
    BATCH_ROWS_MAX, KEY_BYTES_MAX, KeyRange, NotCommitted, ReadError, Table, VALUE_BYTES_MAX,
    Visitor,
};

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
    /// In the order of the calls; once settled, in the order of keys and each key once.
    pub(super) rows: Vec<Row>,
}

/// A row that is written or removed.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) key: Vec<u8>,
    /// The new value, or none for a row that is removed.
    pub(super) value: Option<Vec<u8>>,
}

/// What a row of [`Table::Meta`] must be for the batch to be applied.
#[derive(Clone, Debug)]
pub(super) struct Precondition {
    pub(super) key: Vec<u8>,
    pub(super) expected: Option<Vec<u8>>,
}

impl Precondition {
    /// Refuses a batch whose row is not what it must be.
    pub(super) fn check(&self, found: Option<&[u8]>) -> Result<(), NotCommitted> {
        if found == self.expected.as_deref() {
            Ok(())
        } else {
            Err(NotCommitted::Precondition)
        }
    }
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
        self.push(table, key.into(), Some(value.into()));
    }

    /// Removes a row, if there is one.
    pub fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.push(table, key.into(), None);
    }

    fn push(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.tables[table as usize].rows.push(Row { key, value });
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
    pub fn rows(&self) -> usize {
        self.tables.iter().map(|changes| changes.rows.len()).sum()
    }

    /// How many bytes of keys and values are written.
    pub fn bytes(&self) -> u64 {
        let rows = self.tables.iter().flat_map(|changes| &changes.rows);
        rows.map(|row| (row.key.len() + row.value.as_ref().map_or(0, Vec::len)) as u64)
            .sum()
    }

    /// Makes the batch what is to be done: rows in key order, each key once, with those that
    /// `scan` finds in removed ranges among them.
    pub(super) fn settle(
        &mut self,
        scan: impl Fn(Table, &KeyRange, &mut Visitor<'_>) -> Result<(), ReadError>,
    ) -> Result<(), NotCommitted> {
        for (table, changes) in Table::ALL.into_iter().zip(&mut self.tables) {
            let mut removed = Vec::new();
            for range in std::mem::take(&mut changes.removed) {
                let mut visit = |key: &[u8], _: &[u8]| {
                    removed.push(Row {
                        key: key.to_vec(),
                        value: None,
                    });
                    match removed.len() > BATCH_ROWS_MAX {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                };
                scan(table, &range, &mut visit).map_err(|error| NotCommitted::Engine {
                    source: error.into(),
                })?;
            }
            // Before the rows that the batch writes: the later write of a key stands.
            changes.rows.splice(..0, removed);
            changes.rows.sort_by(|a, b| a.key.cmp(&b.key));
            changes.rows.dedup_by(|later, earlier| {
                let is_same = later.key == earlier.key;
                if is_same {
                    earlier.value = later.value.take();
                }
                is_same
            });
        }
        match self.rows() > BATCH_ROWS_MAX {
            true => Err(LimitError::Rows.into()),
            false => Ok(()),
        }
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
            for row in &changes.rows {
                check_key(table, &row.key)?;
                let bytes = row.value.as_ref().map_or(0, Vec::len);
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
