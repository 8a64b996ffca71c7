//! What the benchmarks have in common: maps of any size, filled as the VRF would fill them.

use candor_core::crypto::{Commitment, SearchKey};
use candor_core::log::leaf_hash;
use candor_core::map::Leaf;

/// Leaves with uniform keys, ascending. The same numbers give the same leaves.
pub fn leaves(numbers: std::ops::Range<u64>) -> Vec<Leaf> {
    let leaf = |number: u64| {
        let key = leaf_hash(&number.to_be_bytes()).0;
        Leaf {
            key: SearchKey(key),
            commitment: Commitment(leaf_hash(&key).0),
        }
    };
    let mut leaves: Vec<Leaf> = numbers.map(leaf).collect();
    leaves.sort_unstable_by_key(|leaf| leaf.key);
    leaves
}
