//! The tree's one rule, and how a prover walks it.
//!
//! At every position, the root included: no leaf below is *absent* and stands as 32 zero bytes; one
//! leaf below is that leaf's hash; more are a parent over the two halves (KEYTRANS, "Prefix Tree",
//! whose draft leaves a root with fewer than two leaves open).

use std::convert::Infallible;

use crate::Hash;
use crate::crypto::{Commitment, SearchKey};
use crate::hash::{Domain, hash_pair};

/// One label-version of the map: its search key and the commitment to its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// VRF output of the label and version.
    pub key: SearchKey,
    /// Commitment to the value.
    pub commitment: Commitment,
}

impl Leaf {
    /// Encoded length in bytes: search key and commitment.
    pub const BYTES: usize = 64;
}

/// The hash of a leaf: `H(0x02 || search key || commitment)`.
pub fn hash_leaf(leaf: &Leaf) -> Hash {
    hash_pair(Domain::MapLeaf, &leaf.key.0, &leaf.commitment.0)
}

/// The hash of a parent: `H(0x03 || left || right)`.
pub fn hash_parent(left: &Hash, right: &Hash) -> Hash {
    hash_pair(Domain::MapParent, &left.0, &right.0)
}

/// What is found at a position of the tree.
#[derive(Clone, Debug)]
pub enum Shape<N> {
    /// No leaf below.
    Absent,
    /// Exactly one leaf below.
    Leaf(Leaf),
    /// More than one leaf below: the positions of its left (bit 0) and right (bit 1) halves.
    Parent(N, N),
}

/// A position of a prefix tree, as provers walk it.
pub trait Node: Sized {
    /// Why the tree could not be read.
    type Error;

    /// The hash that stands for everything below.
    ///
    /// # Errors
    ///
    /// When the tree could not be read; never because of what is looked for.
    fn hash(&self) -> Result<Hash, Self::Error>;

    /// What is here.
    ///
    /// # Errors
    ///
    /// As [`Self::hash`].
    fn open(&self) -> Result<Shape<Self>, Self::Error>;
}

/// All leaves below one position, in strictly ascending order of their keys, which agree in the
/// first `depth` bits. The simplest tree: nothing is stored but the leaves.
#[derive(Clone, Copy, Debug)]
pub struct Leaves<'a> {
    leaves: &'a [Leaf],
    depth: usize,
}

impl<'a> Leaves<'a> {
    /// The position at `depth` above `leaves`.
    ///
    /// `leaves` must be strictly ascending by key and agree in their first `depth` bits: callers
    /// have checked that where the leaves came from outside.
    pub fn new(leaves: &'a [Leaf], depth: usize) -> Self {
        debug_assert!(leaves.is_sorted_by(|a, b| a.key < b.key));
        Self { leaves, depth }
    }

    /// A whole tree.
    pub fn root(leaves: &'a [Leaf]) -> Self {
        Self::new(leaves, 0)
    }

    /// The hash of this position.
    pub fn subtree_hash(&self) -> Hash {
        match self.shape() {
            Shape::Absent => Hash::ZERO,
            Shape::Leaf(leaf) => hash_leaf(&leaf),
            Shape::Parent(left, right) => hash_parent(&left.subtree_hash(), &right.subtree_hash()),
        }
    }

    fn shape(&self) -> Shape<Self> {
        match self.leaves {
            [] => Shape::Absent,
            [leaf] => Shape::Leaf(*leaf),
            leaves => {
                let middle = leaves.partition_point(|leaf| !leaf.key.bit(self.depth));
                let (left, right) = leaves.split_at(middle);
                let depth = self.depth + 1;
                Shape::Parent(
                    Self {
                        leaves: left,
                        depth,
                    },
                    Self {
                        leaves: right,
                        depth,
                    },
                )
            }
        }
    }
}

impl Node for Leaves<'_> {
    type Error = Infallible;

    fn hash(&self) -> Result<Hash, Infallible> {
        Ok(self.subtree_hash())
    }

    fn open(&self) -> Result<Shape<Self>, Infallible> {
        Ok(self.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(first_byte: u8) -> Leaf {
        let mut key = [0; 32];
        key[0] = first_byte;
        Leaf {
            key: SearchKey(key),
            commitment: Commitment([first_byte; 32]),
        }
    }

    #[test]
    fn an_empty_tree_is_absent_and_a_single_leaf_is_itself() {
        assert_eq!(Leaves::root(&[]).subtree_hash(), Hash::ZERO);
        assert_eq!(Leaves::root(&[leaf(7)]).subtree_hash(), hash_leaf(&leaf(7)));
    }

    #[test]
    fn leaves_that_share_a_prefix_hang_below_a_parent_for_each_shared_bit() {
        // 0b10.. and 0b11..: the root has an absent left child.
        let (a, b) = (leaf(0b1000_0000), leaf(0b1100_0000));
        let inner = hash_parent(&hash_leaf(&a), &hash_leaf(&b));
        assert_eq!(
            Leaves::root(&[a, b]).subtree_hash(),
            hash_parent(&Hash::ZERO, &inner)
        );
    }
}
