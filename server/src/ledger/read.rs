//! Reading the rows.

use std::ops::ControlFlow;
use std::sync::Arc;

use candor_core::Hash;
use candor_core::account::Label;
use candor_core::codec::Reader;
use candor_core::crypto::{Opening, SearchKey, VrfProof};
use candor_core::log::{
    ProveError, Tile, TileError, TileNodes, TileReader, prove_consistency, prove_inclusion,
};
use thiserror::Error;

use super::{FORMAT, HEAD, IDENTITY, PUBLISHED, damaged, index_key, tile_key, version_key};
use crate::map::{LeafRows, RowError};
use crate::storage::{KeyRange, Order, ReadError, Storage, Table};

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
    /// The store has a format that this program does not know.
    #[error("the store has format {found}, this program reads format {FORMAT}")]
    Format {
        /// The store's format.
        found: u32,
    },
    /// A proof was asked for outside the log.
    #[error("the log does not reach there")]
    OutOfRange,
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

/// One version of an account.
pub struct VersionRow {
    /// The epoch that inserted it.
    pub epoch: u64,
    /// The commitment's opening.
    pub opening: Opening,
    /// The value.
    pub value: Vec<u8>,
}

/// The rows of one log.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Storage>,
}

impl Ledger {
    /// The rows in `store`.
    pub fn new(store: Arc<dyn Storage>) -> Self {
        Self { store }
    }

    /// The store, to commit to.
    pub fn store(&self) -> &dyn Storage {
        &*self.store
    }

    /// The leaf rows as of `epoch`.
    pub fn leaves(&self, epoch: u64) -> LeafRows<'_> {
        LeafRows::new(&*self.store, epoch)
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
            FORMAT => Ok(Some(keys.to_vec())),
            found => Err(LedgerError::Format { found }),
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
            Ok::<_, candor_core::codec::DecodeError>(StoredHead {
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

    /// The greatest version of a label that was inserted in `epoch` or before.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn greatest(&self, label: &Label, epoch: u64) -> Result<Option<u32>, LedgerError> {
        let Some(row) = self.store.get(Table::Accounts, label.as_bytes())? else {
            return Ok(None);
        };
        let bytes: [u8; 4] = row.try_into().map_err(|_| damaged(Table::Accounts))?;
        let mut version = u32::from_be_bytes(bytes);
        // The account row tells the newest version of all; go back over what is newer than asked.
        // That is at most what was inserted since `epoch`.
        loop {
            if self.version(label, version)?.epoch <= epoch {
                return Ok(Some(version));
            }
            match version.checked_sub(1) {
                Some(earlier) => version = earlier,
                None => return Ok(None),
            }
        }
    }

    /// A version of a label that exists.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn version(&self, label: &Label, version: u32) -> Result<VersionRow, LedgerError> {
        let row = self.required(Table::Versions, &version_key(label, version))?;
        let mut reader = Reader::new(&row);
        let read = |reader: &mut Reader<'_>| -> Result<VersionRow, _> {
            let epoch = reader.u64("epoch")?;
            let opening = Opening(reader.array("opening")?);
            let value = reader.bytes(reader.remaining(), "value")?.to_vec();
            Ok::<_, candor_core::codec::DecodeError>(VersionRow {
                epoch,
                opening,
                value,
            })
        };
        read(&mut reader).map_err(|_| damaged(Table::Versions))
    }

    /// The search key of a label-version and its proof, if they were computed before.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn search_key(
        &self,
        label: &Label,
        version: u32,
    ) -> Result<Option<(SearchKey, VrfProof)>, LedgerError> {
        let Some(row) = self
            .store
            .get(Table::SearchKeys, &version_key(label, version))?
        else {
            return Ok(None);
        };
        let (key, proof) = row.split_first_chunk().ok_or(damaged(Table::SearchKeys))?;
        let proof = proof.try_into().map_err(|_| damaged(Table::SearchKeys))?;
        Ok(Some((SearchKey(*key), VrfProof(proof))))
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

    fn required(&self, table: Table, key: &[u8]) -> Result<Vec<u8>, LedgerError> {
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
