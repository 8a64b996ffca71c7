//! What the log keeps: typed rows over the storage trait, and nothing else.
//!
//! Everything that a signed head commits to is written by one [`EpochRows`] batch, conditional on
//! the head row, so that the store is always whole at some size of the log. Every row that a later
//! epoch may overtake carries its epoch, so a reader that answers for an earlier head ignores what
//! is newer. What this rules out: a store that mixes two epochs, and two writers that both succeed.
//!
//! | table | key | value |
//! |---|---|---|
//! | Leaves | search key | commitment, epoch |
//! | Accounts | label | the newest version with its ladder: all that a lookup of it needs |
//! | Versions | length, label, version | a version that is not the newest, or what is left of it |
//! | Records | index | record |
//! | Tiles | level, index | the tile's hashes so far |
//! | Deltas | epoch | audit delta |
//! | Checkpoints | `published` | the newest published note |
//! | Checkpoints | `second` | the newest note that satisfies the second policy |
//! | Meta | `head` | size and root of the log |
//! | Meta | `identity` | format version, log keys (`identity.rs`) |

mod account;
mod cache;
mod erase;
mod log_keys;
mod read;
mod read_account;
pub(crate) mod row;
mod write;

pub use account::{Account, Earlier, ProvenKey, Rung, Version};
pub use erase::{ERASED_AT_ONCE_MAX, Erasing};
pub use read::{CacheUse, Ledger, LedgerError, StoredHead};
pub use write::{EpochRows, create, forget_second, put_ladders, put_published, put_second};

use candor_core::account::Label;

use crate::storage::Table;

pub(crate) const HEAD: &[u8] = b"head";
pub(crate) const IDENTITY: &[u8] = b"identity";
pub(crate) const PUBLISHED: &[u8] = b"published";
pub(crate) const SECOND: &[u8] = b"second";

/// The oldest format that this program reads, and the one of a new store. All released programs
/// read it.
pub const FORMAT_MIN: u32 = 3;

/// The newest format: as [`FORMAT_MIN`], with rows of erased versions. A store has it from its
/// first erasure on, in the same batch: there is nothing to migrate, and programs that do not know
/// such rows read every store in which there are none.
pub const FORMAT: u32 = 4;

/// The key of a row of one version of a label.
pub(crate) fn version_key(label: &Label, version: u32) -> Vec<u8> {
    let mut key = label_prefix(label);
    key.extend(version.to_be_bytes());
    key
}

/// What the keys of all versions of a label begin with, and no others. Labels are at most 255
/// bytes; the length keeps one label's rows apart from another's that begins with it.
pub(crate) fn label_prefix(label: &Label) -> Vec<u8> {
    let label = label.as_bytes();
    let mut key = Vec::with_capacity(1 + label.len() + 4);
    key.push(u8::try_from(label.len()).expect("labels are at most 255 bytes long"));
    key.extend_from_slice(label);
    key
}

fn tile_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Tables whose rows are numbered by the log's index.
fn index_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// Names a damaged row without showing its contents.
pub(crate) const fn damaged(table: Table) -> LedgerError {
    LedgerError::Damaged {
        table: table.name(),
    }
}
