//! Writing the rows: one batch an epoch.

use candor_core::account::Label;
use candor_core::crypto::{Opening, SearchKey, VrfProof};
use candor_core::log::ChangedTile;
use candor_core::map::{AuditDelta, Leaf};

use super::read::StoredHead;
use super::{FORMAT, HEAD, IDENTITY, PUBLISHED, index_key, tile_key, version_key};
use crate::map::rows;
use crate::storage::{Batch, Table};

/// All rows of one epoch, to be committed at once.
pub struct EpochRows {
    batch: Batch,
    epoch: u64,
}

impl EpochRows {
    /// Starts the rows of the epoch that follows `head`. The batch fails if the store has another
    /// head when it is committed.
    pub fn after(head: &StoredHead) -> Self {
        let mut batch = Batch::new();
        batch.require_meta(HEAD, Some(head.encode()));
        Self {
            batch,
            epoch: head.size,
        }
    }

    /// A leaf of the map.
    pub fn leaf(&mut self, leaf: &Leaf) {
        rows::put(&mut self.batch, leaf, self.epoch);
    }

    /// A new greatest version of a label.
    pub fn version(&mut self, label: &Label, version: u32, opening: &Opening, value: &[u8]) {
        let row = [&self.epoch.to_be_bytes()[..], &opening.0, value].concat();
        self.batch
            .put(Table::Versions, version_key(label, version), row);
        self.batch
            .put(Table::Accounts, label.as_bytes(), version.to_be_bytes());
    }

    /// A search key with its proof, computed ahead or for a version of this epoch.
    pub fn search_key(&mut self, label: &Label, version: u32, key: &SearchKey, proof: &VrfProof) {
        let row = [&key.0[..], &proof.0].concat();
        self.batch
            .put(Table::SearchKeys, version_key(label, version), row);
    }

    /// Ends the epoch: its record, its delta, the tiles that it changes, and the new head.
    pub fn finish(
        mut self,
        record: &[u8],
        delta: AuditDelta,
        tiles: Vec<ChangedTile>,
        head: &StoredHead,
    ) -> Batch {
        self.batch
            .put(Table::Records, index_key(self.epoch), record);
        self.batch
            .put(Table::Deltas, index_key(self.epoch), delta.into_bytes());
        put_tiles(&mut self.batch, tiles);
        self.batch.put(Table::Meta, HEAD, head.encode());
        self.batch
    }
}

/// The first batch of a store: record 0 and the identity of the log. It fails if the store is not
/// empty.
pub fn create(keys: &[u8], config: &[u8], tiles: Vec<ChangedTile>, head: &StoredHead) -> Batch {
    let mut batch = Batch::new();
    batch.require_meta(HEAD, None);
    batch.put(
        Table::Meta,
        IDENTITY,
        [&FORMAT.to_be_bytes()[..], keys].concat(),
    );
    batch.put(Table::Records, index_key(0), config);
    put_tiles(&mut batch, tiles);
    batch.put(Table::Meta, HEAD, head.encode());
    batch
}

/// Records the newest published note.
pub fn put_published(note: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(Table::Checkpoints, PUBLISHED, note);
    batch
}

fn put_tiles(batch: &mut Batch, tiles: Vec<ChangedTile>) {
    for changed in tiles {
        let tile = changed.tile;
        batch.put(
            Table::Tiles,
            tile_key(tile.level(), tile.index()),
            changed.content,
        );
    }
}
