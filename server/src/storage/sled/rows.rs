//! Rows in the one tree: a byte of the table, then the key; and long values in parts.

use std::ops::Bound;

use ::sled::{Batch, Db, IVec};

use super::read_error;
use crate::storage::{EngineError, KeyRange, Order, ReadError, Table};

/// Longest value that is stored with its key. A node of the tree has up to 17 rows, and if it gets
/// longer than 128 KiB the engine writes it to a file of its own, which it does not sync.
const VALUE_PART_BYTES: usize = 4096;

/// The first byte of a stored value: the value follows, or what it is cut into.
const WHOLE: u8 = 0;
const PARTS: u8 = 1;

/// Before the keys of parts, in the place of a table. Part of the stored format, as the
/// discriminants of the tables are.
const PARTS_TABLE: u8 = 0xff;

/// A row's key in the tree.
pub(super) fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    [&[table as u8], key].concat()
}

/// The rows of a range of a table.
pub(super) fn row_range(table: Table, range: &KeyRange) -> FullRange {
    let end = match range.end() {
        Some(end) => full_key(table, end),
        None => vec![table as u8 + 1],
    };
    FullRange {
        start: Bound::Included(full_key(table, range.start())),
        end: Bound::Excluded(end),
    }
}

/// The value of a row, put together if it is in parts.
pub(super) fn value(database: &Db, stored: &IVec) -> Result<Vec<u8>, ReadError> {
    let damaged = || ReadError::Engine {
        source: "a value is not whole".into(),
    };
    match stored.split_first() {
        Some((&WHOLE, value)) => Ok(value.to_vec()),
        Some((&PARTS, reference)) => {
            let (id, bytes) = reference.split_at_checked(8).ok_or_else(damaged)?;
            let bytes = u32::from_be_bytes(bytes.try_into().map_err(|_| damaged())?) as usize;
            let mut value = Vec::new();
            for part in database.scan_prefix([&[PARTS_TABLE], id].concat()) {
                let (_, part) = part.map_err(read_error)?;
                value.extend_from_slice(&part);
            }
            match value.len() == bytes {
                true => Ok(value),
                false => Err(damaged()),
            }
        }
        _ => Err(damaged()),
    }
}

/// Writes a row.
pub(super) fn put(
    database: &Db,
    key: Vec<u8>,
    value: &[u8],
    entry: &mut Batch,
) -> Result<(), EngineError> {
    if value.len() <= VALUE_PART_BYTES {
        entry.insert(key, [&[WHOLE], value].concat());
        return Ok(());
    }
    let id = database.generate_id()?.to_be_bytes();
    let bytes = u32::try_from(value.len())?.to_be_bytes();
    for (index, part) in (0_u32..).zip(value.chunks(VALUE_PART_BYTES)) {
        entry.insert(part_key(&id, index), part);
    }
    entry.insert(key, [&[PARTS], &id[..], &bytes].concat());
    Ok(())
}

/// Removes the parts of a stored value, if it has some.
pub(super) fn remove_parts(stored: &IVec, entry: &mut Batch) {
    if let Some((&PARTS, reference)) = stored.split_first()
        && let Some((id, bytes)) = reference.split_at_checked(8)
        && let Ok(bytes) = bytes.try_into()
    {
        let parts = u32::from_be_bytes(bytes).div_ceil(VALUE_PART_BYTES as u32);
        for index in 0..parts {
            entry.remove(part_key(id, index));
        }
    }
}

fn part_key(id: &[u8], index: u32) -> Vec<u8> {
    [&[PARTS_TABLE], id, &index.to_be_bytes()].concat()
}

/// A range of full keys, not empty.
#[derive(Clone)]
pub(super) struct FullRange {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl FullRange {
    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (
            self.start.as_ref().map(Vec::as_slice),
            self.end.as_ref().map(Vec::as_slice),
        )
    }

    /// The range up to a key and with it, as a scan in `order` meets them, and what follows.
    pub(super) fn split(&self, key: &[u8], order: Order) -> (Self, Self) {
        let (with, without) = (Bound::Included(key.to_vec()), Bound::Excluded(key.to_vec()));
        let upper = |start| Self {
            start,
            end: self.end.clone(),
        };
        let lower = |end| Self {
            start: self.start.clone(),
            end,
        };
        match order {
            Order::Ascending => (lower(with), upper(without)),
            Order::Descending => (upper(with), lower(without)),
        }
    }

    /// Whether a key is less than all in the range.
    pub(super) fn is_before(&self, key: &[u8]) -> bool {
        match &self.start {
            Bound::Included(start) => *key < **start,
            Bound::Excluded(start) => *key <= **start,
            Bound::Unbounded => false,
        }
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        std::ops::RangeBounds::<[u8]>::contains(&self.bounds(), key)
    }
}
