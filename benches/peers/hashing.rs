//! What a batched update of the map costs over the bare cost of the hashes that it computes.

use std::hint::black_box;

use candor_benches::leaves;
use candor_benches::process::timed;
use candor_core::map::Leaf;
use candor_core::map::delta::split;
use candor_server::map::rows::put;
use candor_server::map::{BucketCache, Buckets, LeafRows, Skeleton, insert};
use candor_server::storage::{Batch, MemoryStorage, Storage as _};
use sha2::{Digest as _, Sha256};

use crate::table::{Row, Samples, Unit};

/// Insertions of the measured update.
const INSERTS: u64 = 10_000;

/// Most times that it may cost.
const TARGET: f64 = 1.5;

/// Rows of one commit.
const COMMIT_ROWS: usize = 500_000;

/// Cache for each leaf in bytes: all buckets are in memory.
const CACHE_BYTES_EACH: u64 = 512;

/// Measures an update of a map of `accounts` leaves whose buckets are in memory: what is left is
/// hashing, the new tree and the delta. Compares time on all processors.
pub fn row(accounts: u64, runs: usize) -> Row {
    let old = leaves(0..accounts);
    let store = MemoryStorage::new();
    for rows in old.chunks(COMMIT_ROWS) {
        let mut batch = Batch::new();
        rows.iter().for_each(|leaf| put(&mut batch, leaf, 0));
        store.commit(batch).unwrap();
    }
    let cache = BucketCache::new(accounts * CACHE_BYTES_EACH);
    let rows = LeafRows::new(&store, 0);
    let skeleton = Skeleton::load(&rows, &cache).unwrap();
    let buckets = Buckets::new(rows, &cache);
    let mut times = Samples::default();
    for run in 0..runs as u64 {
        let first = accounts + run * INSERTS;
        let inserts = leaves(first..first + INSERTS);
        let hashes = hashes(&old, &inserts, 0);
        let (_, [_, update]) = timed(|| black_box(insert(&skeleton, &buckets, &inserts).unwrap()));
        let (_, [_, bare]) = timed(|| hash_only(hashes));
        times.0.push(update / bare);
    }
    let figure = "batched map update over its bare hashes";
    Row {
        target: Some(TARGET),
        ..Row::new(figure, accounts, Unit::Times, &times, &Samples::default())
    }
}

/// As many hashes of a node's 65 bytes.
fn hash_only(count: usize) {
    let mut input = [0; 65];
    for _ in 0..count {
        let digest = Sha256::digest(black_box(&input));
        input[1..33].copy_from_slice(&digest);
    }
    black_box(input);
}

/// How many hashes an update computes: that of each inserted leaf, and of each parent above one.
fn hashes(old: &[Leaf], inserts: &[Leaf], depth: usize) -> usize {
    if inserts.is_empty() {
        return 0;
    }
    if old.len() + inserts.len() < 2 {
        return inserts.len();
    }
    let ((old_left, old_right), (left, right)) = (split(old, depth), split(inserts, depth));
    1 + hashes(old_left, left, depth + 1) + hashes(old_right, right, depth + 1)
}
