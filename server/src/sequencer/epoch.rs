//! Building one epoch in memory: which updates it takes, and everything that it will write.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use candor_core::Hash;
use candor_core::account::{Label, VerifiedValue, check_successor};
use candor_core::epoch::{EpochRecord, MapState, Record, Successor};
use candor_core::log::{
    ChangedTile, Frontier, Tile, TileNodes, TileReader, changed_tiles, leaf_hash,
};
use candor_core::map::Leaf;

use super::FatalError;
use super::admission::{Admitted, Refusal};
use super::enrolment::{EnrolmentRules, has_state, is_reset, newest_value};
use crate::ledger::{Account, EpochRows, Ledger, LedgerError, StoredHead, Version};
use crate::map::{self, FreshBuckets, Inserted, Skeleton};
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
    /// The newest record is the log's last one.
    pub has_ended: bool,
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

/// What an epoch brings that the store does not show until it is committed.
#[derive(Default)]
pub struct Pending {
    accounts: HashMap<Label, Arc<Account>>,
    /// Those whose key it resets.
    resets: HashSet<Label>,
    buckets: FreshBuckets,
    tiles: Vec<ChangedTile>,
}

impl Pending {
    /// The epoch's accounts.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }
}

/// An epoch that is ready to be committed.
pub struct Built {
    /// All its rows.
    pub batch: Batch,
    /// Where the log stands with it.
    pub tip: Tip,
    /// What later epochs need of it before it is committed.
    pub pending: Pending,
    /// Buckets that the map no longer has.
    pub superseded: Vec<Hash>,
}

/// An epoch that is being built. Dropping it leaves no trace.
pub struct Draft<'a> {
    ledger: &'a Ledger,
    tip: &'a Tip,
    /// The epoch before, if the store may not show it yet.
    before: &'a Pending,
    rows: EpochRows,
    leaves: Vec<Leaf>,
    accounts: HashMap<Label, Arc<Account>>,
    resets: HashSet<Label>,
    /// The record's time is no earlier.
    least_ms: u64,
}

impl<'a> Draft<'a> {
    /// Starts the epoch after `tip`. `before` is the epoch of `tip` if it is being committed.
    pub fn new(ledger: &'a Ledger, tip: &'a Tip, before: &'a Pending) -> Self {
        Self {
            ledger,
            tip,
            before,
            rows: EpochRows::after(&tip.stored_head()),
            leaves: Vec::new(),
            accounts: HashMap::new(),
            resets: HashSet::new(),
            least_ms: tip.map.timestamp_ms,
        }
    }

    /// Takes an update into the epoch if it is the next version of its label, may follow the
    /// version before, and keeps to `rules` at `now_ms`. A refused update leaves nothing behind.
    ///
    /// # Errors
    ///
    /// The outer one: the store failed. The inner one: the update is refused, alone.
    pub fn add(
        &mut self,
        update: &Admitted,
        rules: &EnrolmentRules,
        now_ms: u64,
    ) -> Result<Result<(), Refusal>, FatalError> {
        let account = self.account(update.account.label())?;
        let greatest = account.greatest();
        let next = greatest.map_or(Some(0), |version| version.checked_add(1));
        if next != Some(update.number) {
            return Ok(Err(Refusal::VersionConflict { greatest }));
        }
        // Admission decided this if it saw the same version.
        if update.account.greatest() != greatest
            && let Err(error) = check_successor(newest_value(&account)?.as_ref(), &update.value)
        {
            return Ok(Err(Refusal::Rule(error)));
        }
        if let VerifiedValue::Binding(binding) = &update.value {
            let primary = self.account(binding.primary())?;
            if !has_state(&primary)? {
                return Ok(Err(Refusal::BindingTarget));
            }
        }
        if is_reset(&update.value) {
            if let Err(refusal) = self.check_reset(account.label(), rules, now_ms)? {
                return Ok(Err(refusal));
            }
            self.resets.insert(account.label().clone());
            self.least_ms = self.least_ms.max(now_ms);
        }
        let version = Version {
            epoch: self.tip.size,
            opening: update.opening,
            value: update.value.encode(),
        };
        let leaf = Leaf {
            key: update.key,
            commitment: update.commitment,
        };
        self.leaves.push(leaf);
        self.rows.superseded(&account);
        let account = account.followed_by(update.number, version, &leaf);
        self.accounts
            .insert(account.label().clone(), Arc::new(account));
        Ok(Ok(()))
    }

    /// Stores the ladder of an account that was completed after the account was stored, unless the
    /// account has moved on.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn add_ladder(&mut self, completed: &Account) -> Result<(), FatalError> {
        if self.account(completed.label())?.greatest() == completed.greatest() {
            self.rows.account(completed);
        }
        Ok(())
    }

    /// Whether a reset may follow those that are stored, in commit, or in this epoch.
    fn check_reset(
        &self,
        label: &Label,
        rules: &EnrolmentRules,
        now_ms: u64,
    ) -> Result<Result<(), Refusal>, LedgerError> {
        if self.resets.contains(label) {
            Ok(rules.check_wait(now_ms, now_ms))
        } else if self.before.resets.contains(label) {
            Ok(rules.check_wait(self.tip.map.timestamp_ms, now_ms))
        } else {
            rules.check_reset(self.ledger, label, now_ms)
        }
    }

    /// A label as the epoch leaves it so far.
    fn account(&self, label: &Label) -> Result<Arc<Account>, LedgerError> {
        let unstored = [&self.accounts, &self.before.accounts];
        match unstored
            .into_iter()
            .find_map(|accounts| accounts.get(label))
        {
            Some(account) => Ok(Arc::clone(account)),
            None => self.ledger.account(label),
        }
    }

    /// Closes the epoch at `now_ms`; never before the one before it, nor before a reset in it had
    /// waited long enough, whatever the clock says.
    ///
    /// # Errors
    ///
    /// The store failed; nothing was written.
    pub fn close(self, now_ms: u64) -> Result<Built, FatalError> {
        self.close_as(now_ms, None)
    }

    /// Closes the log with this epoch, which must be one without updates, as [`Self::close`]. It
    /// goes on as its successor.
    ///
    /// # Errors
    ///
    /// The store failed; nothing was written.
    pub fn end(self, now_ms: u64, successor: Successor) -> Result<Built, FatalError> {
        debug_assert!(self.leaves.is_empty());
        self.close_as(now_ms, Some(successor))
    }

    fn close_as(mut self, now_ms: u64, successor: Option<Successor>) -> Result<Built, FatalError> {
        self.leaves.sort_unstable_by_key(|leaf| leaf.key);
        for leaf in &self.leaves {
            self.rows.leaf(leaf);
        }
        for account in self.accounts.values() {
            self.rows.account(account);
        }
        let buckets = self.ledger.buckets(self.tip.size - 1);
        let buckets = buckets.with_fresh(&self.before.buckets);
        let Inserted {
            skeleton,
            delta,
            fresh,
            superseded,
        } = map::insert(&self.tip.skeleton, &buckets, &self.leaves).map_err(LedgerError::from)?;
        let epoch = EpochRecord {
            timestamp_ms: now_ms.max(self.least_ms),
            prefix_tree: skeleton.hash(),
            leaves: self.tip.map.leaves + self.leaves.len() as u64,
            audit_digest: delta.digest(),
        };
        let record = Record { epoch, successor };
        let bytes = record.encode();
        let leaf = leaf_hash(&bytes);
        let edge = Edge {
            ledger: self.ledger,
            layers: [&self.before.tiles, &[]],
        };
        let tiles = changed_tiles(self.tip.size, &[leaf], &edge).map_err(LedgerError::from)?;
        let mut frontier = self.tip.frontier.clone();
        frontier.append(leaf).map_err(|_| LedgerError::OutOfRange)?;
        let edge = Edge {
            layers: [&tiles, &self.before.tiles],
            ..edge
        };
        check_tiles(&edge, &frontier)?;
        let tip = Tip {
            size: frontier.size(),
            frontier,
            map: record.epoch.state(),
            skeleton,
            has_ended: record.successor.is_some(),
        };
        let batch = self.rows.finish(&bytes, delta, &tiles, &tip.stored_head());
        let pending = Pending {
            accounts: self.accounts,
            resets: self.resets,
            buckets: fresh,
            tiles,
        };
        Ok(Built {
            batch,
            tip,
            pending,
            superseded,
        })
    }
}

/// Checks that the log's right edge, as it is about to be written, has the root that is about to be
/// signed. Tiles are widened from what was read, and a misread one must not be written back.
fn check_tiles(edge: &Edge<'_>, frontier: &Frontier) -> Result<(), LedgerError> {
    let size = frontier.size();
    let written = Frontier::load(size, &TileNodes::new(edge, size))?;
    if written.root() == frontier.root() {
        Ok(())
    } else {
        Err(LedgerError::Damaged {
            table: Table::Tiles.name(),
        })
    }
}

/// The tiles as they will be once some epochs are committed.
#[derive(Clone, Copy)]
struct Edge<'a> {
    ledger: &'a Ledger,
    /// Changed tiles, the newest first.
    layers: [&'a [ChangedTile]; 2],
}

impl TileReader for Edge<'_> {
    type Error = LedgerError;
    type Bytes = Vec<u8>;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, LedgerError> {
        // A tile that was changed has its greatest width there; what is asked for begins it.
        let same = |changed: &&ChangedTile| {
            (changed.tile.level(), changed.tile.index()) == (tile.level(), tile.index())
        };
        match self.layers.into_iter().flatten().find(same) {
            Some(changed) => {
                let length = usize::from(tile.width()) * 32;
                let hashes = changed.content.get(..length);
                hashes.map(<[u8]>::to_vec).ok_or(LedgerError::OutOfRange)
            }
            None => self.ledger.tile(tile),
        }
    }
}
