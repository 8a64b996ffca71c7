//! Buckets: the bottom of the tree, some leaves with every hash above them.
//!
//! A bucket's nodes stand in pre-order in one array, so that a subtree is a slice: an update copies
//! what it does not touch, hash and all, and hashes the rest once.

use std::convert::Infallible;
use std::sync::Arc;

use candor_core::Hash;
use candor_core::map::delta::split;
use candor_core::map::{Leaf, Node, Shape, hash_leaf, hash_parent};

/// A position inside a bucket. Without leaves it is absent; one leaf stands for itself; more are a
/// parent, whose left and right child follow it.
#[derive(Clone, Copy, Debug)]
struct Inner {
    hash: Hash,
    /// Leaves below.
    leaves: u32,
    /// Positions in the slice, this one included.
    positions: u32,
}

const ABSENT: Inner = Inner {
    hash: Hash::ZERO,
    leaves: 0,
    positions: 1,
};

/// Leaves that share the first bits of their keys, in ascending order, with the hashes above them.
#[derive(Debug, Default)]
pub struct Bucket {
    leaves: Vec<Leaf>,
    inner: Vec<Inner>,
}

impl Bucket {
    /// The bucket at `depth` over strictly ascending leaves that agree in their first `depth`
    /// bits.
    pub fn over(leaves: &[Leaf], depth: usize) -> Self {
        Self::merged(Part::EMPTY, leaves, depth)
    }

    /// The bucket at `depth` over `old` and `inserts`, which have no key in common.
    pub(super) fn merged(old: Part<'_>, inserts: &[Leaf], depth: usize) -> Self {
        let leaves = old.leaves.len() + inserts.len();
        let mut bucket = Self {
            leaves: Vec::with_capacity(leaves),
            // A leaf brings itself and mostly one or two parents.
            inner: Vec::with_capacity(old.inner.len() + 3 * inserts.len()),
        };
        bucket.merge(old, inserts, depth);
        bucket
    }

    /// The hash that stands for the bucket.
    pub fn hash(&self) -> Hash {
        self.part().hash()
    }

    /// Memory that the bucket takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.leaves.capacity() * size_of::<Leaf>()
            + self.inner.capacity() * size_of::<Inner>()
    }

    /// The whole bucket.
    pub(super) fn part(&self) -> Part<'_> {
        Part {
            inner: &self.inner,
            leaves: &self.leaves,
        }
    }

    fn merge(&mut self, old: Part<'_>, inserts: &[Leaf], depth: usize) {
        let place = self.inner.len();
        match (old.leaves.len(), inserts) {
            (_, []) => {
                self.inner.extend_from_slice(old.inner);
                self.leaves.extend_from_slice(old.leaves);
            }
            (0, [leaf]) => {
                self.leaves.push(*leaf);
                self.inner.push(Inner {
                    hash: hash_leaf(leaf),
                    leaves: 1,
                    positions: 1,
                });
            }
            (count, inserts) => {
                self.inner.push(ABSENT);
                let [old_left, old_right] = old.halves(depth);
                let (to_left, to_right) = split(inserts, depth);
                self.merge(old_left, to_left, depth + 1);
                let right = self.inner.len();
                self.merge(old_right, to_right, depth + 1);
                let hash = hash_parent(&self.inner[place + 1].hash, &self.inner[right].hash);
                self.inner[place] = Inner {
                    hash,
                    leaves: to_u32(count + inserts.len()),
                    positions: to_u32(self.inner.len() - place),
                };
            }
        }
    }
}

/// A subtree of a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// The subtree's positions, the topmost first.
    inner: &'a [Inner],
    leaves: &'a [Leaf],
}

impl<'a> Part<'a> {
    /// Nothing.
    pub(super) const EMPTY: Self = Self {
        inner: &[ABSENT],
        leaves: &[],
    };

    /// The hash that stands for the subtree.
    pub(super) fn hash(&self) -> Hash {
        self.inner.first().map_or(Hash::ZERO, |top| top.hash)
    }

    /// Number of leaves.
    pub(super) const fn leaves(&self) -> usize {
        self.leaves.len()
    }

    /// Whether the subtree holds a key of one of these ascending leaves.
    pub(super) fn has_any(&self, leaves: &[Leaf]) -> bool {
        let (few, many) = if leaves.len() < self.leaves.len() {
            (leaves, self.leaves)
        } else {
            (self.leaves, leaves)
        };
        let is_there = |leaf: &Leaf| many.binary_search_by_key(&leaf.key, |other| other.key);
        few.iter().any(|leaf| is_there(leaf).is_ok())
    }

    /// What is below the two halves of this position, at `depth`.
    pub(super) fn halves(&self, depth: usize) -> [Self; 2] {
        match self.leaves {
            [] => [Self::EMPTY; 2],
            [leaf] if leaf.key.bit(depth) => [Self::EMPTY, *self],
            [_] => [*self, Self::EMPTY],
            leaves => {
                let below = &self.inner[1..];
                let left = below[0];
                let (left_inner, right_inner) = below.split_at(left.positions as usize);
                let (left_leaves, right_leaves) = leaves.split_at(left.leaves as usize);
                [
                    Self {
                        inner: left_inner,
                        leaves: left_leaves,
                    },
                    Self {
                        inner: right_inner,
                        leaves: right_leaves,
                    },
                ]
            }
        }
    }
}

/// A position of a bucket, as provers walk it.
#[derive(Clone, Debug)]
pub struct Cursor {
    bucket: Arc<Bucket>,
    position: usize,
    /// Index of the first leaf below.
    leaf: usize,
}

impl Cursor {
    /// The top of a bucket.
    pub const fn top(bucket: Arc<Bucket>) -> Self {
        Self {
            bucket,
            position: 0,
            leaf: 0,
        }
    }
}

impl Node for Cursor {
    type Error = Infallible;

    fn hash(&self) -> Result<Hash, Infallible> {
        Ok(self.bucket.inner[self.position].hash)
    }

    fn open(&self) -> Result<Shape<Self>, Infallible> {
        Ok(match self.bucket.inner[self.position].leaves {
            0 => Shape::Absent,
            1 => Shape::Leaf(self.bucket.leaves[self.leaf]),
            _ => {
                let left = self.bucket.inner[self.position + 1];
                let at = |position, leaf| Self {
                    bucket: Arc::clone(&self.bucket),
                    position,
                    leaf,
                };
                Shape::Parent(
                    at(self.position + 1, self.leaf),
                    at(
                        self.position + 1 + left.positions as usize,
                        self.leaf + left.leaves as usize,
                    ),
                )
            }
        })
    }
}

/// Counts inside a bucket. An epoch's insertions are bounded far below this.
fn to_u32(count: usize) -> u32 {
    u32::try_from(count).expect("a bucket is built from one epoch's insertions at most")
}
