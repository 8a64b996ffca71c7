//! What the benchmarks have in common: logs and maps of any size, maps filled as the VRF would fill
//! them, what the system says of a process, and a report.

pub mod process;
pub mod report;

use std::convert::Infallible;

use candor_core::Hash;
use candor_core::crypto::{Commitment, SearchKey};
use candor_core::log::{NodeSource, leaf_hash, node_hash};
use candor_core::map::delta::split;
use candor_core::map::{Leaf, Node, Shape, hash_leaf, hash_parent};

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

/// A prefix tree with every hash in memory.
#[derive(Debug)]
pub struct Tree {
    hash: Hash,
    below: Below,
}

#[derive(Debug)]
enum Below {
    Absent,
    Leaf(Leaf),
    Parent(Box<[Tree; 2]>),
}

impl Tree {
    /// The tree over leaves that are strictly ascending.
    pub fn over(leaves: &[Leaf]) -> Self {
        Self::below(leaves, 0)
    }

    /// Adds leaves that are strictly ascending, and none of which is in the tree.
    pub fn insert(&mut self, leaves: &[Leaf]) {
        self.insert_below(leaves, 0);
    }

    fn insert_below(&mut self, leaves: &[Leaf], depth: usize) {
        match &mut self.below {
            _ if leaves.is_empty() => {}
            Below::Absent => *self = Self::below(leaves, depth),
            Below::Leaf(leaf) => {
                let mut all = [&[*leaf][..], leaves].concat();
                all.sort_unstable_by_key(|leaf| leaf.key);
                *self = Self::below(&all, depth);
            }
            Below::Parent(children) => {
                let (left, right) = split(leaves, depth);
                children[0].insert_below(left, depth + 1);
                children[1].insert_below(right, depth + 1);
                self.hash = hash_parent(&children[0].hash, &children[1].hash);
            }
        }
    }

    /// The map's root.
    pub const fn root(&self) -> Hash {
        self.hash
    }

    fn below(leaves: &[Leaf], depth: usize) -> Self {
        match leaves {
            [] => Self {
                hash: Hash::ZERO,
                below: Below::Absent,
            },
            [leaf] => Self {
                hash: hash_leaf(leaf),
                below: Below::Leaf(*leaf),
            },
            leaves => {
                let (left, right) = split(leaves, depth);
                let children = [left, right].map(|leaves| Self::below(leaves, depth + 1));
                Self {
                    hash: hash_parent(&children[0].hash, &children[1].hash),
                    below: Below::Parent(Box::new(children)),
                }
            }
        }
    }
}

impl Node for &Tree {
    type Error = Infallible;

    fn hash(&self) -> Result<Hash, Infallible> {
        Ok(self.hash)
    }

    fn open(&self) -> Result<Shape<Self>, Infallible> {
        Ok(match &self.below {
            Below::Absent => Shape::Absent,
            Below::Leaf(leaf) => Shape::Leaf(*leaf),
            Below::Parent(children) => Shape::Parent(&children[0], &children[1]),
        })
    }
}

/// The hashes of all complete subtrees of a log, level by level.
#[derive(Debug)]
pub struct Nodes(Vec<Vec<Hash>>);

impl Nodes {
    /// Those of the log whose leaves have these hashes.
    pub fn over(leaves: impl Iterator<Item = Hash>) -> Self {
        let mut level: Vec<Hash> = leaves.collect();
        let mut levels = Vec::new();
        while !level.is_empty() {
            let (pairs, _) = level.as_chunks::<2>();
            let above = pairs
                .iter()
                .map(|[left, right]| node_hash(left, right))
                .collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        Self(levels)
    }
}

impl NodeSource for Nodes {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.0[usize::from(level)][index as usize])
    }
}
