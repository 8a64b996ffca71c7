//! Reading the rows.

use std::ops::ControlFlow;
use std::sync::Arc;

use candor_core::Hash;
use candor_core::codec::{DecodeError, Reader};
use candor_core::log::{
    ProveError, Tile, TileError, TileNodes, TileReader, prove_consistency, prove_inclusion,
};
use candor_core::note::{Checkpoint, SignedNote};
use thiserror::Error;

use super::cache::AccountCache;
use super::{FORMAT, FORMAT_MIN, HEAD, IDENTITY, PUBLISHED, SECOND, damaged, index_key, tile_key};
use crate::map::{BucketCache, Buckets, LeafRows, RowError, Skeleton};
use crate::storage::{AbsentStorage, KeyRange, Order, ReadError, Storage, Table};

/// Why the ledger could not be read. The environment is at fault: the store failed, lost rows, or
/// belongs to another log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A row that must be there is missing.
    #[error("a row of table {table} is missing")]
    Missing {
        /// The table.
        table: &'static str,
    },
    /// A row has another form than this program writes.
    #[error("a row of table {table} is damaged")]
    Damaged {
        /// The table.
        table: &'static str,
    },
    /// The store has a format that this program does not know yet.
    #[error(
        "the store has format {found}, written by a newer program; this one reads formats \
         {FORMAT_MIN} to {FORMAT}"
    )]
    NewerFormat {
        /// The store's format.
        found: u32,
    },
    /// The store has a format that no released program wrote.
    #[error(
        "the store has format {found}, from before the first release; this program reads formats \
         {FORMAT_MIN} to {FORMAT}"
    )]
    OlderFormat {
        /// The store's format.
        found: u32,
    },
    /// What was to be read was erased since the head at which it was to be read.
    #[error("a version was erased while it was read; ask again")]
    Erased,
    /// A proof was asked for outside the log.
    #[error("the log does not reach there")]
    OutOfRange,
}

impl LedgerError {
    /// Whether the store has to be asked, by a thread that may wait: see [`Ledger::in_memory`].
    pub const fn is_not_in_memory(&self) -> bool {
        matches!(self, Self::Read(ReadError::NotInMemory))
    }
}

impl From<RowError> for LedgerError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Read(error) => Self::Read(error),
            RowError::Damaged => damaged(Table::Leaves),
        }
    }
}

impl From<TileError<LedgerError>> for LedgerError {
    fn from(error: TileError<LedgerError>) -> Self {
        match error {
            TileError::Reader(error) => error,
            TileError::WrongLength { .. } => damaged(Table::Tiles),
            _ => Self::OutOfRange,
        }
    }
}

impl From<ProveError<TileError<LedgerError>>> for LedgerError {
    fn from(error: ProveError<TileError<LedgerError>>) -> Self {
        match error {
            ProveError::Source(error) => error.into(),
            _ => Self::OutOfRange,
        }
    }
}

/// The size and root of the log as the store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredHead {
    /// Number of records.
    pub size: u64,
    /// Root of the log over them.
    pub root: Hash,
}

impl StoredHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        [&self.size.to_be_bytes()[..], &self.root.0].concat()
    }
}

/// The rows of one log, and what of them is kept in memory.
#[derive(Clone)]
pub struct Ledger {
    pub(super) store: Arc<dyn Storage>,
    pub(super) caches: Arc<Caches>,
    pub(super) is_memory_only: bool,
}

/// How a cache is used.
#[derive(Clone, Copy, Debug)]
pub struct CacheUse {
    /// What it keeps.
    pub name: &'static str,
    /// How often something was there.
    pub hits: u64,
    /// How often it had to be read.
    pub misses: u64,
    /// Memory in bytes.
    pub bytes: u64,
}

pub(super) struct Caches {
    buckets: BucketCache,
    pub(super) accounts: AccountCache,
}

impl Ledger {
    /// The rows in `store`, with caches of `cache_bytes` in total.
    pub fn new(store: Arc<dyn Storage>, cache_bytes: u64) -> Self {
        // An account takes 600 to 1,000 bytes, its share of buckets 175 for each of its versions;
        // and buckets that were just replaced are still in use.
        let buckets = cache_bytes / 8 * 3;
        let caches = Caches {
            buckets: BucketCache::new(buckets),
            accounts: AccountCache::new(cache_bytes - buckets),
        };
        Self {
            store,
            caches: Arc::new(caches),
            is_memory_only: false,
        }
    }

    /// The same log as far as it is in memory. Nothing that is asked of it waits or computes long:
    /// what would have to be read or completed first is [`LedgerError::is_not_in_memory`].
    #[must_use]
    pub fn in_memory(&self) -> Self {
        Self {
            store: Arc::new(AbsentStorage),
            caches: Arc::clone(&self.caches),
            is_memory_only: true,
        }
    }

    /// Whether this is a log [in memory](Self::in_memory) only.
    pub const fn is_memory_only(&self) -> bool {
        self.is_memory_only
    }

    /// How the caches are used.
    pub fn cache_use(&self) -> [CacheUse; 2] {
        let buckets = &self.caches.buckets;
        let buckets = CacheUse {
            name: "buckets",
            hits: buckets.hits(),
            misses: buckets.misses(),
            bytes: buckets.bytes(),
        };
        [self.caches.accounts.used(), buckets]
    }

    /// The store, to commit to.
    pub fn store(&self) -> &dyn Storage {
        &*self.store
    }

    /// The leaf rows as of `epoch`.
    pub fn leaves(&self, epoch: u64) -> LeafRows<'_> {
        LeafRows::new(&*self.store, epoch)
    }

    /// The map's buckets as of `epoch`.
    pub fn buckets(&self, epoch: u64) -> Buckets<'_> {
        Buckets::new(self.leaves(epoch), &self.caches.buckets)
    }

    /// Lets buckets go that no snapshot in use has.
    pub fn forget(&self, superseded: &[Hash]) {
        self.caches.buckets.forget(superseded);
    }

    /// The leaf rows of a store whose newest epoch is `epoch`.
    pub fn newest_leaves(&self, epoch: u64) -> LeafRows<'_> {
        LeafRows::newest(&*self.store, epoch)
    }

    /// The map over `leaves`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn load_map(&self, leaves: &LeafRows<'_>) -> Result<Skeleton, LedgerError> {
        Ok(Skeleton::load(leaves, &self.caches.buckets)?)
    }

    /// The log keys that the store was made for; `None` if it is empty.
    ///
    /// # Errors
    ///
    /// [`LedgerError`], also if the store's format is not the one of this program.
    pub fn identity(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        let Some(row) = self.store.get(Table::Meta, IDENTITY)? else {
            return Ok(None);
        };
        let Some((format, keys)) = row.split_first_chunk::<4>() else {
            return Err(damaged(Table::Meta));
        };
        match u32::from_be_bytes(*format) {
            FORMAT_MIN..=FORMAT => Ok(Some(keys.to_vec())),
            found if found < FORMAT_MIN => Err(LedgerError::OlderFormat { found }),
            found => Err(LedgerError::NewerFormat { found }),
        }
    }

    /// The head of the store.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn head(&self) -> Result<StoredHead, LedgerError> {
        let row = self.required(Table::Meta, HEAD)?;
        let mut reader = Reader::new(&row);
        let read = |reader: &mut Reader<'_>| {
            Ok::<_, DecodeError>(StoredHead {
                size: reader.u64("size")?,
                root: reader.hash("root")?,
            })
        };
        match (read(&mut reader), reader.finish()) {
            (Ok(head), Ok(())) => Ok(head),
            _ => Err(damaged(Table::Meta)),
        }
    }

    /// The bytes of a record.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn record(&self, index: u64) -> Result<Vec<u8>, LedgerError> {
        self.required(Table::Records, &index_key(index))
    }

    /// The bytes of an epoch's audit delta.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn delta(&self, epoch: u64) -> Result<Vec<u8>, LedgerError> {
        self.required(Table::Deltas, &index_key(epoch))
    }

    /// The newest published note, if any was.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn published(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.store.get(Table::Checkpoints, PUBLISHED)?)
    }

    /// The size of the newest published head, 0 if none was.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn published_size(&self) -> Result<u64, LedgerError> {
        let Some(bytes) = self.published()? else {
            return Ok(0);
        };
        let note = SignedNote::parse(&bytes).ok();
        let checkpoint = note.and_then(|note| Checkpoint::parse(note.text()).ok());
        let checkpoint = checkpoint.ok_or(damaged(Table::Checkpoints))?;
        Ok(checkpoint.size())
    }

    /// The newest note that satisfies the second policy, if any did.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn second(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.store.get(Table::Checkpoints, SECOND)?)
    }

    /// Proof that record `index` is in the log of `size` records.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, LedgerError> {
        Ok(prove_inclusion(index, size, &TileNodes::new(self, size))?)
    }

    /// Proof that the log of `new` records extends the one of `old` records.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LedgerError> {
        Ok(prove_consistency(old, new, &TileNodes::new(self, new))?)
    }

    /// The root of the log when it had `size` records.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn root(&self, size: u64) -> Result<Hash, LedgerError> {
        Ok(candor_core::log::root(size, &TileNodes::new(self, size))?)
    }

    /// Records `first..first + count`, in order.
    ///
    /// # Errors
    ///
    /// [`LedgerError`], also if one of them is missing.
    pub fn records(&self, first: u64, count: usize) -> Result<Vec<Vec<u8>>, LedgerError> {
        let mut records = Vec::with_capacity(count.min(256));
        let end = first
            .checked_add(count as u64)
            .ok_or(LedgerError::OutOfRange)?;
        let range = KeyRange::new(index_key(first), index_key(end));
        self.store
            .scan(Table::Records, &range, Order::Ascending, &mut |_, value| {
                records.push(value.to_vec());
                ControlFlow::Continue(())
            })?;
        if records.len() == count {
            Ok(records)
        } else {
            Err(LedgerError::Missing {
                table: Table::Records.name(),
            })
        }
    }

    pub(super) fn required(&self, table: Table, key: &[u8]) -> Result<Vec<u8>, LedgerError> {
        self.store.get(table, key)?.ok_or(LedgerError::Missing {
            table: table.name(),
        })
    }
}

impl TileReader for Ledger {
    type Error = LedgerError;
    type Bytes = Vec<u8>;

    /// A row holds all hashes that the tile has so far; the first ones never change.
    fn tile(&self, tile: Tile) -> Result<Vec<u8>, LedgerError> {
        let mut hashes = self.required(Table::Tiles, &tile_key(tile.level(), tile.index()))?;
        let length = usize::from(tile.width()) * 32;
        if hashes.len() < length {
            return Err(damaged(Table::Tiles));
        }
        hashes.truncate(length);
        Ok(hashes)
    }
}
