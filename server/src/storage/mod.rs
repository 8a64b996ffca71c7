//! What the server asks of a storage engine, and the engines.
//!
//! # The contract
//!
//! A store is a set of [`Table`]s, each an ordered map from keys to values. [`Storage::commit`]
//! applies a [`Batch`] to all its tables or to none, and when it returns `Ok` the batch survives
//! any crash. Reads see committed batches only, and see them in order: whoever has read a row of a
//! batch finds the other rows of it too. One [`Storage::scan`], and one [`Storage::scan_all`], sees
//! one state, whatever is committed meanwhile. There are no snapshots across calls: the server's
//! rows carry their epoch, so a reader ignores what is newer than the head it answers for.
//!
//! What a failed commit means is told by types. After [`NotCommitted`] the store is as it was.
//! After [`OutcomeUnknown`] nobody knows, not even the engine: it refuses every further call, and
//! the process recovers by opening the store again. The store is trusted for availability only:
//! what it loses or alters is found when it is compared with the signed head.
//!
//! All calls block: make them on threads that may.

mod absent;
mod batch;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod conformance;
mod fjall;
mod memory;
mod open;
pub(crate) mod pages;
mod place;
mod range;
mod rewrite;
mod sled;

pub use absent::AbsentStorage;
pub use batch::{Batch, LimitError};
pub use fjall::FjallStorage;
pub use memory::{CommitFault, MemoryStorage, ReadFault};
pub use open::{Engine, OpenError, StoreOptions};
pub use place::place;
pub use range::{KeyRange, Order};
pub use rewrite::{RewriteError, rewrite};
pub use sled::SledStorage;

use std::error::Error as StdError;
use std::ops::ControlFlow;

/// Longest key in bytes. A label of 255 bytes and fixed-size numbers beside it fit.
pub const KEY_BYTES_MAX: usize = 512;

/// Longest value in bytes: the longest audit delta, the largest thing that is stored in one row.
pub const VALUE_BYTES_MAX: usize = candor_core::limits::DELTA_BYTES_MAX;

/// Most rows that one batch writes or removes: 65,536 insertions of an epoch with up to 16 rows
/// each.
pub const BATCH_ROWS_MAX: usize = 1 << 20;

/// The tables of a store. What their rows mean is their users' affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Leaves of the prefix tree by search key.
    Leaves,
    /// Accounts by label.
    Accounts,
    /// Values, openings and search keys by label and version.
    Versions,
    /// Epoch records by epoch.
    Records,
    /// Tiles of the log.
    Tiles,
    /// Audit deltas by epoch.
    Deltas,
    /// The newest published checkpoint.
    Checkpoints,
    /// The head of the store, on which commits are conditional, and the store's identity.
    Meta,
}

impl Table {
    /// Every table, in the order of their discriminants.
    pub const ALL: [Self; 8] = [
        Self::Leaves,
        Self::Accounts,
        Self::Versions,
        Self::Records,
        Self::Tiles,
        Self::Deltas,
        Self::Checkpoints,
        Self::Meta,
    ];

    /// The name at rest. Part of the stored format: it never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leaves => "leaves",
            Self::Accounts => "accounts",
            Self::Versions => "versions",
            Self::Records => "records",
            Self::Tiles => "tiles",
            Self::Deltas => "deltas",
            Self::Checkpoints => "checkpoints",
            Self::Meta => "meta",
        }
    }
}

/// A storage engine. See the [module](self) for the contract.
pub trait Storage: Send + Sync {
    /// The value of `key`, if there is one.
    ///
    /// # Errors
    ///
    /// The caller's fault if the key is empty or longer than [`KEY_BYTES_MAX`]; else the engine's.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// Calls `visit` with each row of `range`, in `order`, until it breaks.
    ///
    /// # Errors
    ///
    /// The caller's fault if a bound is longer than [`KEY_BYTES_MAX`]; else the engine's, and then
    /// some rows may have been visited.
    fn scan(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        visit: &mut Visitor<'_>,
    ) -> Result<(), ReadError>;

    /// Calls `visit` with each row of each table, in the order of [`Table::ALL`] and of keys, until
    /// it breaks. All of it is one state, however long it takes, and commits do not wait for it.
    ///
    /// # Errors
    ///
    /// The engine's, and then some rows may have been visited.
    fn scan_all(&self, visit: &mut AllVisitor<'_>) -> Result<(), ReadError>;

    /// Applies `batch`, all of it or nothing, durably.
    ///
    /// # Errors
    ///
    /// [`NotCommitted`] if nothing was written; [`OutcomeUnknown`] if the engine cannot tell.
    fn commit(&self, batch: Batch) -> Result<(), CommitError>;
}

/// What a scan calls with the key and the value of each row, and whether it goes on.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// What a scan of all tables calls with the table, the key and the value of each row.
pub type AllVisitor<'a> = dyn FnMut(Table, &[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Scans one table after another until `visit` breaks.
fn scan_each(
    visit: &mut AllVisitor<'_>,
    mut scan: impl FnMut(Table, &mut Visitor<'_>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    for table in Table::ALL {
        let mut flow = ControlFlow::Continue(());
        scan(table, &mut |key, value| {
            flow = visit(table, key, value);
            flow
        })?;
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The caller passed a key or bound that no row can have.
    #[error("no key has {bytes} bytes")]
    KeyLength {
        /// The length passed.
        bytes: usize,
    },
    /// An earlier commit ended with [`OutcomeUnknown`]: open the store again.
    #[error("the store was stopped by an earlier failure and must be opened again")]
    Stopped,
    /// Only what is in memory was to be read, and this is not.
    #[error("the row is not in memory")]
    NotInMemory,
    /// The engine or the environment failed, or the stored bytes are damaged.
    #[error("the storage engine could not read")]
    Engine {
        /// What the engine said.
        source: EngineError,
    },
}

/// Why a commit did not return `Ok`. The two cases ask for opposite reactions.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The store is as it was.
    #[error(transparent)]
    NotCommitted(#[from] NotCommitted),
    /// Stop, and recover by opening the store again.
    #[error(transparent)]
    OutcomeUnknown(#[from] OutcomeUnknown),
}

/// Nothing of the batch was written, nor will be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotCommitted {
    /// The head is not what the batch requires: another writer was here. Never retry it blindly.
    #[error("the head is not what the batch requires")]
    Precondition,
    /// The caller's batch exceeds a limit.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The environment lacks space: retry when there is some.
    #[error("the disk has {available_bytes} bytes left and {required_bytes} are required")]
    DiskFull {
        /// What is left to unprivileged processes.
        available_bytes: u64,
        /// The batch and the configured reserve.
        required_bytes: u64,
    },
    /// The engine failed before it wrote anything.
    #[error("the storage engine failed before it wrote")]
    Engine {
        /// What the engine said.
        source: EngineError,
    },
    /// An earlier failure stopped the engine: open the store again.
    #[error("the store was stopped by an earlier failure and must be opened again")]
    Stopped,
}

impl NotCommitted {
    /// Whether the same batch may succeed later on the same open store.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::DiskFull { .. } | Self::Engine { .. } => true,
            Self::Precondition | Self::Limit(_) | Self::Stopped => false,
        }
    }
}

/// The batch is whole or absent after the store is opened again; until then nobody knows which.
#[derive(Debug, thiserror::Error)]
#[error("the storage engine failed while it wrote: the batch may be there or not")]
pub struct OutcomeUnknown {
    /// What the engine said.
    pub source: EngineError,
}

/// An engine's own error, kept as the source of ours.
pub type EngineError = Box<dyn StdError + Send + Sync>;

/// Refuses a key that no row can have.
fn check_key(key: &[u8]) -> Result<(), ReadError> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => Err(ReadError::KeyLength { bytes }),
    }
}
