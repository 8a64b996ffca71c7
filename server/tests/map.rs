//! The map at rest and in memory against the reference: one slice of all leaves.
//!
//! Whatever batches a map grew by, its root, its audit deltas and its proofs must be those that
//! follow from its leaves alone.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use candor_core::Hash;
use candor_core::crypto::{Commitment, SearchKey};
use candor_core::map::{AuditDelta, Expectation, Leaf, Leaves, prove};
use candor_server::map::skeleton::BUCKET_LEAVES_MAX;
use candor_server::map::{
    BucketCache, Buckets, LeafRows, Position, RowError, Skeleton, insert, rows,
};
use candor_server::storage::{Batch, MemoryStorage, ReadFault, Storage as _};
use proptest::prelude::*;

/// Cache sizes in bytes: nothing fits, some buckets do, all do.
const NONE: u64 = 0;
const SMALL: u64 = 40_000;
const LARGE: u64 = 1 << 30;

/// A map that grows, with the leaves it should have.
struct Map {
    store: MemoryStorage,
    cache: BucketCache,
    skeleton: Option<Skeleton>,
    leaves: BTreeMap<[u8; 32], Leaf>,
    epoch: u64,
}

impl Map {
    /// An empty map whose cache holds this many bytes.
    fn with_cache(bytes: u64) -> Self {
        Self {
            store: MemoryStorage::default(),
            cache: BucketCache::new(bytes),
            skeleton: None,
            leaves: BTreeMap::new(),
            epoch: 0,
        }
    }

    fn buckets(&self, epoch: u64) -> Buckets<'_> {
        Buckets::new(LeafRows::new(&self.store, epoch), &self.cache)
    }

    fn skeleton(&self) -> Skeleton {
        self.skeleton.clone().unwrap_or(Skeleton::EMPTY)
    }

    fn slice(&self) -> Vec<Leaf> {
        self.leaves.values().copied().collect()
    }

    /// Inserts what is new of `batch` as one epoch, and compares with the reference.
    fn grow(&mut self, batch: &[[u8; 32]]) {
        let epoch = self.epoch + 1;
        let mut inserts: Vec<Leaf> = batch
            .iter()
            .filter(|key| !self.leaves.contains_key(*key))
            .map(|key| leaf(*key, epoch))
            .collect();
        inserts.sort_unstable_by_key(|leaf| leaf.key);
        inserts.dedup_by_key(|leaf| leaf.key);
        let (old, before) = (self.skeleton(), self.slice());
        let inserted = insert(&old, &self.buckets(self.epoch), &inserts).unwrap();
        let Ok(reference) = AuditDelta::build(&Leaves::root(&before), &inserts);
        assert_eq!(inserted.delta.as_bytes(), reference.as_bytes());
        self.leaves
            .extend(inserts.iter().map(|leaf| (leaf.key.0, *leaf)));
        let root = Leaves::root(&self.slice()).subtree_hash();
        assert_eq!(inserted.skeleton.hash(), root);
        let verified = inserted.delta.verify(&old.hash(), &root).unwrap();
        assert_eq!(verified.inserts(), inserts);
        let mut written = Batch::new();
        for leaf in &inserts {
            rows::put(&mut written, leaf, epoch);
        }
        self.store.commit(written).unwrap();
        self.epoch = epoch;
        let cache = BucketCache::new(SMALL);
        let loaded = Skeleton::load(&LeafRows::new(&self.store, epoch), &cache).unwrap();
        assert_eq!(loaded.hash(), root);
        self.skeleton = Some(inserted.skeleton);
    }

    /// Proves `keys` at a snapshot of the map, and verifies the proof against `leaves`.
    fn check_proof(&self, snapshot: &Snapshot, keys: &[[u8; 32]]) {
        let buckets = self.buckets(snapshot.epoch);
        let searched: Vec<SearchKey> = keys.iter().map(|key| SearchKey(*key)).collect();
        let root = Position::root(&snapshot.skeleton, &buckets);
        let proof = prove(&root, &searched).unwrap().proof;
        let expected: Vec<Expectation> = searched
            .iter()
            .map(|key| match snapshot.leaves.get(&key.0) {
                Some(leaf) => Expectation::Included(*key, leaf.commitment),
                None => Expectation::Absent(*key),
            })
            .collect();
        proof.verify(&expected, &snapshot.skeleton.hash()).unwrap();
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            skeleton: self.skeleton(),
            leaves: self.leaves.clone(),
            epoch: self.epoch,
        }
    }
}

struct Snapshot {
    skeleton: Skeleton,
    leaves: BTreeMap<[u8; 32], Leaf>,
    epoch: u64,
}

fn leaf(key: [u8; 32], epoch: u64) -> Leaf {
    let mut commitment = key;
    commitment[31] ^= epoch as u8;
    Leaf {
        key: SearchKey(key),
        commitment: Commitment(commitment),
    }
}

/// Keys spread like the VRF's.
fn spread(from: u64, count: u64) -> Vec<[u8; 32]> {
    (from..from + count)
        .map(|index| candor_core::log::leaf_hash(&index.to_be_bytes()).0)
        .collect()
}

/// Keys that share long prefixes: deep trees, buckets that split at once, both ends of the range.
/// Never 255 bits and more: no two outputs of the VRF do, and a proof has no depth for it.
fn crowded() -> impl Strategy<Value = [u8; 32]> {
    let ends = prop_oneof![Just(0), Just(0xff), Just(0x80)];
    (ends, 0usize..31, any::<u8>(), any::<u8>()).prop_map(|(fill, at, byte, last)| {
        let mut key = [fill; 32];
        key[at] = byte;
        key[30] = last;
        key
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_batches_give_the_map_of_their_leaves(
        batches in prop::collection::vec(
            prop::collection::vec(prop_oneof![crowded(), any::<[u8; 32]>()], 0..60),
            1..6,
        ),
        cache in prop_oneof![Just(NONE), Just(SMALL), Just(LARGE)],
    ) {
        let mut map = Map::with_cache(cache);
        let mut snapshots = vec![map.snapshot()];
        for batch in &batches {
            map.grow(batch);
            snapshots.push(map.snapshot());
        }
        // Every key of the whole run at every epoch of it: absent before, present after.
        let keys: Vec<_> = batches.iter().flatten().copied().take(40).collect();
        for snapshot in &snapshots {
            map.check_proof(snapshot, &keys);
        }
    }
}

#[test]
fn buckets_split_and_large_batches_are_inserted_in_parallel() {
    let mut map = Map::with_cache(SMALL);
    let full = BUCKET_LEAVES_MAX as u64;
    for (from, count) in [
        (0, full),
        (full, 1),
        (full + 1, 3000),
        (3500, 1),
        (4000, 2000),
    ] {
        map.grow(&spread(from, count));
    }
    map.grow(&[]);
    assert_eq!(map.leaves.len() as u64, full + 3002 + 2000);
    map.check_proof(&map.snapshot(), &spread(0, 100));
    map.check_proof(&map.snapshot(), &spread(1 << 32, 100));
}

#[test]
fn proofs_at_an_old_epoch_hold_while_a_writer_adds_rows() {
    let mut map = Map::with_cache(SMALL);
    map.grow(&spread(0, 300));
    let old = map.snapshot();
    let done = AtomicBool::new(false);
    let proved = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            // Rows of later epochs, between those of the snapshot.
            for epoch in 2..200 {
                let mut batch = Batch::new();
                for key in spread(epoch * 1000, 20) {
                    rows::put(&mut batch, &leaf(key, epoch), epoch);
                }
                map.store.commit(batch).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        let mut proved = 0_u64;
        loop {
            let last = done.load(Ordering::Acquire);
            map.check_proof(&old, &spread(proved * 7, 30));
            proved += 1;
            if last {
                break;
            }
        }
        writer.join().unwrap();
        proved
    });
    assert!(proved > 0);
}

#[test]
fn damaged_rows_reach_neither_a_root_nor_a_proof() {
    let mut map = Map::with_cache(NONE);
    map.grow(&spread(0, 20));
    let (skeleton, buckets) = (map.skeleton(), map.buckets(1));
    let more = [leaf(spread(99, 1)[0], 2)];
    for fault in [ReadFault::DangerBitFlip { bit: 77 }, ReadFault::Failed] {
        map.store.fail_read(3, fault);
        let expected = matches!(fault, ReadFault::Failed);
        let is_expected = |error: &RowError| matches!(error, RowError::Read(_)) == expected;
        assert!(is_expected(
            &insert(&skeleton, &buckets, &more).unwrap_err()
        ));
        map.store.fail_read(3, fault);
        let root = Position::root(&skeleton, &buckets);
        assert!(is_expected(&prove(&root, &[more[0].key]).unwrap_err()));
    }
    // The highest bits of the epoch: a row that hides is missed too.
    map.store
        .fail_read(3, ReadFault::DangerBitFlip { bit: 32 * 8 });
    assert!(insert(&skeleton, &buckets, &more).is_err());
    assert_ne!(
        insert(&skeleton, &buckets, &more).unwrap().skeleton.hash(),
        Hash::ZERO
    );
}

#[test]
fn a_key_that_is_there_or_comes_twice_is_damage() {
    for (cache, count) in [(NONE, 1), (NONE, 20), (SMALL, 300), (LARGE, 3000)] {
        let mut map = Map::with_cache(cache);
        map.grow(&spread(0, count));
        let (skeleton, buckets) = (map.skeleton(), map.buckets(1));
        let mut new: Vec<Leaf> = spread(50_000, 40).iter().map(|key| leaf(*key, 2)).collect();
        new.sort_unstable_by_key(|leaf| leaf.key);
        let there = leaf(spread(0, 1)[0], 2);
        for wrong in [there, new[7]] {
            let mut leaves = new.clone();
            leaves.push(wrong);
            leaves.sort_unstable_by_key(|leaf| leaf.key);
            let refused = insert(&skeleton, &buckets, &leaves);
            assert!(matches!(refused, Err(RowError::Damaged)));
        }
        let alone = insert(&skeleton, &buckets, &[there]);
        assert!(matches!(alone, Err(RowError::Damaged)));
        insert(&skeleton, &buckets, &new).unwrap();
    }
}
