//! Writing the rows: one batch an epoch.

use candor_core::log::ChangedTile;
use candor_core::map::{AuditDelta, Leaf};

use super::account::Account;
use super::read::StoredHead;
use super::row::{encode_account, encode_version};
use super::{FORMAT_MIN, HEAD, IDENTITY, PUBLISHED, SECOND, index_key, tile_key, version_key};
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

    /// An account that the next version is about to take the place of: its version, which is the
    /// newest no more.
    pub fn superseded(&mut self, account: &Account) {
        if let Some((number, version)) = account.newest()
            && let Some(rung) = account.rung(*number)
        {
            let key = version_key(account.label(), *number);
            let row = encode_version(rung, version);
            self.batch.put(Table::Versions, key, row);
        }
    }

    /// A label with its newest version.
    pub fn account(&mut self, account: &Account) {
        put_account(&mut self.batch, account);
    }

    /// Ends the epoch: its record, its delta, the tiles that it changes, and the new head.
    pub fn finish(
        mut self,
        record: &[u8],
        delta: AuditDelta,
        tiles: &[ChangedTile],
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
pub fn create(keys: &[u8], config: &[u8], tiles: &[ChangedTile], head: &StoredHead) -> Batch {
    let mut batch = Batch::new();
    batch.require_meta(HEAD, None);
    batch.put(
        Table::Meta,
        IDENTITY,
        [&FORMAT_MIN.to_be_bytes()[..], keys].concat(),
    );
    batch.put(Table::Records, index_key(0), config);
    put_tiles(&mut batch, tiles);
    batch.put(Table::Meta, HEAD, head.encode());
    batch
}

/// Stores search keys that were computed after their accounts were stored. The batch fails if the
/// store has another head than `head` when it is committed.
pub fn put_ladders<'a>(
    head: &StoredHead,
    accounts: impl IntoIterator<Item = &'a Account>,
) -> Batch {
    let mut batch = Batch::new();
    batch.require_meta(HEAD, Some(head.encode()));
    for account in accounts {
        put_account(&mut batch, account);
    }
    batch
}

fn put_account(batch: &mut Batch, account: &Account) {
    if let Some(row) = encode_account(account) {
        batch.put(Table::Accounts, account.label().as_bytes(), row);
    }
}

/// Records the newest published note.
pub fn put_published(note: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(Table::Checkpoints, PUBLISHED, note);
    batch
}

/// Records the newest note that satisfies the second policy.
pub fn put_second(note: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(Table::Checkpoints, SECOND, note);
    batch
}

/// Removes the newest note that satisfied the second policy.
pub fn forget_second(batch: &mut Batch) {
    batch.remove(Table::Checkpoints, SECOND);
}

fn put_tiles(batch: &mut Batch, tiles: &[ChangedTile]) {
    for changed in tiles {
        let tile = changed.tile;
        batch.put(
            Table::Tiles,
            tile_key(tile.level(), tile.index()),
            &*changed.content,
        );
    }
}
