//! The rows of each table.
//!
//! A check must be able to say which row is malformed and go on, so it reads rows itself rather
//! than through the ledger, whose reads end at the first damage.

use std::ops::ControlFlow;

use candor_core::Hash;
use candor_core::account::Label;
use candor_core::crypto::{Commitment, SearchKey};
use candor_core::log::Tile;
use candor_core::map::Leaf;

use crate::ledger::row::{decode_account, decode_version};
use crate::ledger::{Account, Earlier, label_prefix};
pub(super) use crate::storage::pages::Row;
use crate::storage::{KeyRange, Order, ReadError, Storage, Table};

/// The last row of a range, if it has any.
pub(super) fn last(
    store: &dyn Storage,
    table: Table,
    range: &KeyRange,
) -> Result<Option<Row>, ReadError> {
    let mut last = None;
    store.scan(table, range, Order::Descending, &mut |key, value| {
        let (key, value) = (key.to_vec(), value.to_vec());
        last = Some(Row { key, value });
        ControlFlow::Break(())
    })?;
    Ok(last)
}

/// The key of a record, and of a delta.
pub(super) fn index(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

/// The level and index of a tile.
pub(super) fn tile(key: &[u8]) -> Option<(u8, u64)> {
    let (level, rest) = key.split_first()?;
    Some((*level, index(rest)?))
}

/// The hashes of a tile of this width.
pub(super) fn hashes(tile: Tile, value: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = value.as_chunks::<32>();
    let is_whole = rest.is_empty() && hashes.len() == usize::from(tile.width());
    is_whole.then(|| hashes.iter().copied().map(Hash).collect())
}

/// A leaf and the epoch that inserted it.
pub(super) fn leaf(key: &[u8], value: &[u8]) -> Option<(Leaf, u64)> {
    let (commitment, epoch) = value.split_first_chunk::<32>()?;
    let leaf = Leaf {
        key: SearchKey(key.try_into().ok()?),
        commitment: Commitment(*commitment),
    };
    Some((leaf, index(epoch)?))
}

/// The account of a row.
pub(super) fn account(key: &[u8], value: &[u8]) -> Option<Account> {
    let label = Label::parse(str::from_utf8(key).ok()?).ok()?;
    decode_account(label, value).ok()
}

/// The version of a row, with its label and number.
pub(super) fn version(row: &Row) -> Option<(Label, u32, Earlier)> {
    let (label, number) = label_version(&row.key)?;
    let earlier = decode_version(&label, number, &row.value).ok()?;
    Some((label, number, earlier))
}

/// A label and a version, as keys of versions have them.
fn label_version(key: &[u8]) -> Option<(Label, u32)> {
    let (length, rest) = key.split_first()?;
    let (label, version) = rest.split_at_checked(usize::from(*length))?;
    let label = Label::parse(str::from_utf8(label).ok()?).ok()?;
    Some((label, u32::from_be_bytes(version.try_into().ok()?)))
}

/// The rows of all versions of a label.
pub(super) fn versions_of(label: &Label) -> KeyRange {
    KeyRange::prefix(label_prefix(label))
}
