//! Where the log stands when the server starts, and whether it may go on from there.
//!
//! The store alone tells the state: the log's root is computed from the tiles' right edge, the
//! map's from every leaf row, and both are compared with the head and the newest record, then the
//! head with the anchor, the clock and the keys. In doubt nothing is signed. What only the
//! witnesses can tell is asked after this, before the sequencer runs.

use candor_core::Hash;
use candor_core::crypto::VrfPublicKey;
use candor_core::epoch::{LogConfig, MapState, Record};
use candor_core::log::{Frontier, TileNodes, changed_tiles, leaf_hash};
use thiserror::Error;

use super::epoch::Tip;
use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::ledger::{self, Ledger, LedgerError, StoredHead};
use crate::map::{LeafRows, Skeleton};
use crate::signer::LogSigner;
use crate::storage::CommitError;

/// How far the clock may be behind the newest record, in milliseconds: steps of a well-kept clock.
const CLOCK_TOLERANCE_MS: u64 = 10_000;

/// Why the log may not go on. An operator has to look; `docs/operating.md` says how.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The store could not be read or is damaged.
    #[error("the store failed: {0}")]
    Ledger(#[from] LedgerError),
    /// A new log could not be created.
    #[error("the log could not be created: {0}")]
    Create(#[from] CommitError),
    /// The store belongs to other keys or another origin.
    #[error("the store was made with other log keys or for another origin")]
    OtherLog,
    /// Record 0 names another VRF key or origin than the configuration.
    #[error("record 0 of the store names another VRF key or origin")]
    OtherConfig,
    /// The stored root does not follow from the stored rows.
    #[error("the {what} recomputed from the rows differs from the stored one")]
    Mismatch {
        /// What differs.
        what: &'static str,
    },
    /// The store is older than what the log has signed.
    #[error("the store is behind the anchor: it has {size} records, {anchored} were signed")]
    BehindAnchor {
        /// Records in the store.
        size: u64,
        /// Size of the newest signed checkpoint.
        anchored: u64,
    },
    /// The store has another history than the one that was signed.
    #[error("the store contradicts the anchor at {anchored} records")]
    ContradictsAnchor {
        /// Size of the newest signed checkpoint.
        anchored: u64,
    },
    /// The store has heads that were signed, but there is no anchor.
    #[error("the anchor is missing although the store has {size} records")]
    NoAnchor {
        /// Records in the store.
        size: u64,
    },
    /// The store has a published head that is newer than the anchor, which moves first.
    #[error("the anchor is old: it has {anchored} records, {published} were published")]
    AnchorBehind {
        /// Size of the checkpoint in the anchor.
        anchored: u64,
        /// Size of the published head in the store.
        published: u64,
    },
    /// The clock is behind the log's newest record.
    #[error("the clock is {behind_ms} ms behind the newest record")]
    ClockBehind {
        /// By how much, in milliseconds.
        behind_ms: u64,
    },
}

/// Creates the log in an empty store: record 0, its configuration.
///
/// # Errors
///
/// [`RecoveryError::Create`], also if the store is not empty.
pub fn create(
    ledger: &Ledger,
    signer: &LogSigner,
    config: &LogConfig,
) -> Result<(), RecoveryError> {
    let bytes = config.encode();
    let leaf = leaf_hash(&bytes);
    let tiles = changed_tiles(0, &[leaf], ledger).map_err(LedgerError::from)?;
    let mut frontier = Frontier::new();
    frontier.append(leaf).map_err(|_| LedgerError::OutOfRange)?;
    let head = StoredHead {
        size: 1,
        root: frontier.root(),
    };
    let identity = signer.identity().encode();
    ledger
        .store()
        .commit(ledger::create(&identity, &bytes, &tiles, &head))?;
    Ok(())
}

/// Finds where the log stands, and checks that it may go on.
///
/// # Errors
///
/// [`RecoveryError`]: it may not.
pub fn recover(
    ledger: &Ledger,
    signer: &LogSigner,
    vrf: &VrfPublicKey,
    anchor: &Anchor,
    clock: &Clock,
) -> Result<Tip, RecoveryError> {
    if ledger.identity()?.as_deref() != Some(&signer.identity().encode()) {
        return Err(RecoveryError::OtherLog);
    }
    let config = LogConfig::decode(&ledger.record(0)?)
        .map_err(|_| LedgerError::Damaged { table: "records" })?;
    if config.origin != signer.origin() || config.vrf_public_key != *vrf.as_bytes() {
        return Err(RecoveryError::OtherConfig);
    }
    let head = ledger.head()?;
    check_anchor(ledger, &head, anchor)?;
    let tip = load(ledger, &head, config.start())?;
    let behind_ms = tip.map.timestamp_ms.saturating_sub(clock.now_ms());
    if behind_ms > CLOCK_TOLERANCE_MS {
        return Err(RecoveryError::ClockBehind { behind_ms });
    }
    Ok(tip)
}

/// Recomputes the state at the store's head from its rows.
fn load(ledger: &Ledger, head: &StoredHead, start: MapState) -> Result<Tip, RecoveryError> {
    let frontier =
        Frontier::load(head.size, &TileNodes::new(ledger, head.size)).map_err(LedgerError::from)?;
    if frontier.root() != head.root {
        return Err(RecoveryError::Mismatch { what: "log root" });
    }
    let epoch = head.size - 1;
    let (map, has_ended) = if epoch == 0 {
        (start, false)
    } else {
        let record = ledger.record(epoch)?;
        let last = ledger.inclusion(epoch, head.size)?;
        let (leaf, size, root) = (leaf_hash(&record), head.size, &head.root);
        candor_core::log::verify_inclusion(epoch, size, &leaf, &last, root).map_err(|_| {
            RecoveryError::Mismatch {
                what: "newest record",
            }
        })?;
        let record =
            Record::decode(&record).map_err(|_| LedgerError::Damaged { table: "records" })?;
        (record.epoch.state(), record.successor.is_some())
    };
    // What is newer than the head is of no epoch, and would be in the way of the next one.
    let skeleton = load_map(ledger, &ledger.newest_leaves(epoch), &map.root)?;
    Ok(Tip {
        size: head.size,
        frontier,
        map,
        skeleton,
        has_ended,
    })
}

/// Builds the map from its leaf rows, and compares it with the record's root.
///
/// # Errors
///
/// [`RecoveryError`]: the rows are not those that the log committed to.
pub fn load_map(
    ledger: &Ledger,
    leaves: &LeafRows<'_>,
    root: &Hash,
) -> Result<Skeleton, RecoveryError> {
    let skeleton = ledger.load_map(leaves)?;
    if skeleton.hash() == *root {
        Ok(skeleton)
    } else {
        Err(RecoveryError::Mismatch { what: "map root" })
    }
}

fn check_anchor(ledger: &Ledger, head: &StoredHead, anchor: &Anchor) -> Result<(), RecoveryError> {
    let published = ledger.published_size()?;
    let Some((anchored, root)) = anchor.newest() else {
        // The first signed head has size 2. One epoch may be stored and not anchored.
        return match head.size {
            0..=2 if published == 0 => Ok(()),
            size => Err(RecoveryError::NoAnchor { size }),
        };
    };
    if anchored > head.size {
        return Err(RecoveryError::BehindAnchor {
            size: head.size,
            anchored,
        });
    }
    if ledger.root(anchored)? != root {
        return Err(RecoveryError::ContradictsAnchor { anchored });
    }
    if published > anchored {
        return Err(RecoveryError::AnchorBehind {
            anchored,
            published,
        });
    }
    Ok(())
}
