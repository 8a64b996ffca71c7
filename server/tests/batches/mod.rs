//! Numbered batches, each spread over several tables, and the check that a store holds a whole
//! number of them.

use std::ops::ControlFlow;
use std::path::Path;

use candor_server::storage::{Batch, KeyRange, Order, ReadError, Storage, StoreOptions, Table};

const ROWS: u64 = 20;
const TABLES: [Table; 3] = [Table::Leaves, Table::Versions, Table::Tiles];

/// A store in `directory` with a small cache and without a reserve.
pub fn options(directory: &Path) -> StoreOptions {
    StoreOptions {
        cache_bytes: 1 << 20,
        reserve_bytes: 0,
        ..StoreOptions::new(directory.join("store"))
    }
}

/// Why a store does not hold a whole number of batches.
#[derive(Debug)]
#[allow(dead_code)]
pub enum Damage {
    /// It says so itself.
    Reported(ReadError),
    /// It does not: rows are missing or too many, though each is as it was written.
    Mixed(String),
    /// It does not: a row is not as it was written.
    Altered(String),
}

/// Batches with values of one size.
#[derive(Clone, Copy)]
pub struct Batches {
    pub value_bytes: usize,
}

impl Batches {
    /// The batch that follows `head`.
    pub fn batch(self, head: Option<u64>) -> Batch {
        let number = next(head);
        let mut batch = Batch::new();
        batch.require_meta("head", head.map(|head| head.to_be_bytes().to_vec()));
        batch.put(Table::Meta, "head", number.to_be_bytes());
        for table in TABLES {
            for row in 0..ROWS {
                batch.put(table, key(number, row), self.value(number, row));
            }
        }
        batch
    }

    /// Checks that the store holds exactly the batches up to its head, each whole, and returns the
    /// head.
    pub fn check(self, store: &dyn Storage) -> Result<Option<u64>, Damage> {
        let head = store.get(Table::Meta, b"head").map_err(Damage::Reported)?;
        let head = match head.map(<[u8; 8]>::try_from).transpose() {
            Ok(head) => head.map(u64::from_be_bytes),
            Err(other) => return Err(Damage::Altered(format!("head {other:?}"))),
        };
        let (mut mixed, mut altered) = (None, None);
        for table in TABLES {
            let batches = 0..head.map_or(0, |head| head + 1);
            let mut expected = batches.flat_map(|number| (0..ROWS).map(move |row| (number, row)));
            let visit = &mut |found_key: &[u8], found_value: &[u8]| {
                let is_written = numbers(found_key)
                    .is_some_and(|(number, row)| found_value == self.value(number, row));
                if !is_written {
                    altered = Some(format!("{table:?} {found_key:?}"));
                } else if expected.next() != numbers(found_key) {
                    mixed = Some(format!("{table:?} {found_key:?}, head {head:?}"));
                }
                ControlFlow::Continue(())
            };
            store
                .scan(table, &KeyRange::all(), Order::Ascending, visit)
                .map_err(Damage::Reported)?;
            if let Some(missing) = expected.next() {
                mixed.get_or_insert(format!("{table:?} {missing:?} is missing"));
            }
        }
        match (altered, mixed) {
            (Some(what), _) => Err(Damage::Altered(what)),
            (None, Some(what)) => Err(Damage::Mixed(what)),
            (None, None) => Ok(head),
        }
    }

    fn value(self, number: u64, row: u64) -> Vec<u8> {
        let mut value = (number * ROWS + row)
            .to_be_bytes()
            .repeat(self.value_bytes / 8);
        // An empty and an odd one among them.
        value.truncate(if row == 0 { 0 } else { self.value_bytes - 1 });
        value
    }
}

/// The number after `head`.
pub fn next(head: Option<u64>) -> u64 {
    head.map_or(0, |head| head + 1)
}

fn key(number: u64, row: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&row.to_be_bytes());
    key
}

/// The batch and the row that a key is of.
fn numbers(key: &[u8]) -> Option<(u64, u64)> {
    let (number, row) = key.split_first_chunk()?;
    Some((
        u64::from_be_bytes(*number),
        u64::from_be_bytes(row.try_into().ok()?),
    ))
}
