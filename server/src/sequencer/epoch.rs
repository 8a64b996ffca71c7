//! Building one epoch in memory: which updates it takes, and everything that it will write.

use std::collections::HashMap;

use candor_core::account::{Label, UnverifiedValue, VerifiedValue, check_successor};
use candor_core::crypto::Commitment;
use candor_core::epoch::{EpochRecord, MapState};
use candor_core::log::{
    ChangedTile, Frontier, Tile, TileNodes, TileReader, changed_tiles, leaf_hash,
};
use candor_core::map::Leaf;

use super::FatalError;
use super::admission::{Admitted, Refusal};
use crate::ledger::{EpochRows, Ledger, LedgerError, StoredHead};
use crate::map::{self, Inserted, Skeleton};
use crate::storage::{Batch, Table};

/// Where the log stands after its last committed record.
#[derive(Clone, Debug)]
pub struct Tip {
    /// Number of records; the index of the next one.
    pub size: u64,
    /// The right edge of the log.
    pub frontier: Frontier,
    /// The map's root, size and time.
    pub map: MapState,
    /// The map's tree.
    pub skeleton: Skeleton,
}

impl Tip {
    /// The head row that belongs to this state.
    pub fn stored_head(&self) -> StoredHead {
        StoredHead {
            size: self.size,
            root: self.frontier.root(),
        }
    }
}

/// An epoch that is being built. Dropping it leaves no trace.
pub struct Draft<'a> {
    ledger: &'a Ledger,
    tip: &'a Tip,
    rows: EpochRows,
    leaves: Vec<Leaf>,
    /// The greatest version of each label that this epoch touched.
    newest: HashMap<Label, (u32, VerifiedValue)>,
}

impl<'a> Draft<'a> {
    /// Starts the epoch after `tip`.
    pub fn new(ledger: &'a Ledger, tip: &'a Tip) -> Self {
        let rows = EpochRows::after(&tip.stored_head());
        Self {
            ledger,
            tip,
            rows,
            leaves: Vec::new(),
            newest: HashMap::new(),
        }
    }

    /// Takes an update into the epoch if it is the next version of its label and may follow the
    /// version before. A refused update leaves nothing behind.
    ///
    /// # Errors
    ///
    /// The outer one: the store failed. The inner one: the update is refused, alone.
    pub fn add(&mut self, update: &Admitted) -> Result<Result<(), Refusal>, FatalError> {
        let label = update.value.label();
        let stored;
        let previous = match self.newest.get(label) {
            Some((version, value)) => Some((*version, value)),
            None => {
                stored = self.stored_newest(label)?;
                stored.as_ref().map(|(version, value)| (*version, value))
            }
        };
        let greatest = previous.map(|(version, _)| version);
        let next = greatest.map_or(Some(0), |version| version.checked_add(1));
        if next != Some(update.version) {
            return Ok(Err(Refusal::VersionConflict { greatest }));
        }
        if let Err(error) = check_successor(previous.map(|(_, value)| value), &update.value) {
            return Ok(Err(Refusal::Rule(error)));
        }
        let value = update.value.encode();
        let commitment = Commitment::new(&update.opening, label.as_bytes(), update.version, &value);
        self.leaves.push(Leaf {
            key: update.key,
            commitment,
        });
        self.rows
            .version(label, update.version, &update.opening, &value);
        for (version, key, proof) in &update.computed {
            self.rows.search_key(label, *version, key, proof);
        }
        self.newest
            .insert(label.clone(), (update.version, update.value.clone()));
        Ok(Ok(()))
    }

    /// The greatest version of a label in the store.
    fn stored_newest(&self, label: &Label) -> Result<Option<(u32, VerifiedValue)>, LedgerError> {
        let Some(version) = self.ledger.greatest(label, u64::MAX)? else {
            return Ok(None);
        };
        let row = self.ledger.version(label, version)?;
        let value = UnverifiedValue::decode(&row.value)
            .ok()
            .and_then(|value| value.verify(label).ok())
            .ok_or(LedgerError::Damaged {
                table: Table::Versions.name(),
            })?;
        Ok(Some((version, value)))
    }

    /// Closes the epoch at `now_ms`: what is to be written, and where the log stands then.
    ///
    /// # Errors
    ///
    /// The store failed; nothing was written.
    pub fn close(mut self, now_ms: u64) -> Result<(Batch, Tip), FatalError> {
        self.leaves.sort_unstable_by_key(|leaf| leaf.key);
        for leaf in &self.leaves {
            self.rows.leaf(leaf);
        }
        let before = self.tip.size - 1;
        let rows = self.ledger.leaves(before);
        let Inserted { skeleton, delta } =
            map::insert(&self.tip.skeleton, &rows, &self.leaves).map_err(LedgerError::from)?;
        let record = EpochRecord {
            timestamp_ms: now_ms,
            prefix_tree: skeleton.hash(),
            leaves: self.tip.map.leaves + self.leaves.len() as u64,
            audit_digest: delta.digest(),
        };
        let bytes = record.encode();
        let leaf = leaf_hash(&bytes);
        let tiles =
            changed_tiles(self.tip.size, &[leaf], self.ledger).map_err(LedgerError::from)?;
        let mut frontier = self.tip.frontier.clone();
        frontier.append(leaf).map_err(|_| LedgerError::OutOfRange)?;
        check_tiles(self.ledger, &tiles, &frontier)?;
        let tip = Tip {
            size: frontier.size(),
            frontier,
            map: record.state(),
            skeleton,
        };
        let batch = self.rows.finish(&bytes, delta, tiles, &tip.stored_head());
        Ok((batch, tip))
    }
}

/// Checks that the log's right edge, as it is about to be written, has the root that is about to be
/// signed. Tiles are widened from what was read, and a misread one must not be written back.
fn check_tiles(
    ledger: &Ledger,
    changed: &[ChangedTile],
    frontier: &Frontier,
) -> Result<(), LedgerError> {
    let edge = Edge { ledger, changed };
    let size = frontier.size();
    let written = Frontier::load(size, &TileNodes::new(&edge, size))?;
    if written.root() == frontier.root() {
        Ok(())
    } else {
        Err(LedgerError::Damaged {
            table: Table::Tiles.name(),
        })
    }
}

/// The tiles as they will be after the epoch.
struct Edge<'a> {
    ledger: &'a Ledger,
    changed: &'a [ChangedTile],
}

impl TileReader for Edge<'_> {
    type Error = LedgerError;
    type Bytes = Vec<u8>;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, LedgerError> {
        match self.changed.iter().find(|changed| changed.tile == tile) {
            Some(changed) => Ok(changed.content.clone()),
            None => self.ledger.tile(tile),
        }
    }
}
