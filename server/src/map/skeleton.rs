//! The upper part of the tree, in memory: immutable, shared between epochs.

use std::sync::Arc;

use candor_core::Hash;
use candor_core::map::{Leaf, Leaves, hash_parent};

use super::rows::{LeafRows, Prefix, RowError};

/// Most leaves of a bucket. A lookup hashes one bucket, about this many leaves and parents at
/// worst. A branch takes 112 bytes and there is one for each bucket but the first; uniform keys
/// fill a bucket with 16 to 17 leaves on average, so memory is about 7 bytes a leaf.
pub const BUCKET_LEAVES_MAX: usize = 24;

/// Positions above this depth are built as tasks of their own, so that all cores share the work.
const PARALLEL_DEPTH: usize = 8;

/// A position of the tree with everything below it, as far as it is in memory.
#[derive(Clone, Debug)]
pub struct Skeleton {
    hash: Hash,
    below: Below,
}

#[derive(Clone, Debug)]
pub(super) enum Below {
    /// At most [`BUCKET_LEAVES_MAX`] leaves, which are in the store only.
    Bucket { leaves: u32 },
    /// More leaves than a bucket holds.
    Branch(Arc<[Skeleton; 2]>),
}

impl Skeleton {
    /// The empty tree.
    pub const EMPTY: Self = Self {
        hash: Hash::ZERO,
        below: Below::Bucket { leaves: 0 },
    };

    /// The hash of this position; of a whole tree, the map's root.
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    pub(super) const fn below(&self) -> &Below {
        &self.below
    }

    /// Builds the position at `depth` above `leaves`, which are strictly ascending and agree in
    /// their first `depth` bits.
    pub(super) fn over(leaves: &[Leaf], depth: usize) -> Self {
        if let Some(count) = bucket_count(leaves.len()) {
            let hash = Leaves::new(leaves, depth).subtree_hash();
            return Self {
                hash,
                below: Below::Bucket { leaves: count },
            };
        }
        let (left, right) = candor_core::map::delta::split(leaves, depth);
        Self::join(Self::over(left, depth + 1), Self::over(right, depth + 1))
    }

    /// The position above two others. Two buckets that fit one become one.
    pub(super) fn join(left: Self, right: Self) -> Self {
        if let (Below::Bucket { leaves: l }, Below::Bucket { leaves: r }) =
            (&left.below, &right.below)
        {
            let leaves = l + r;
            if leaves as usize <= BUCKET_LEAVES_MAX {
                // The tree's rule: nothing, a single leaf, or a parent.
                let hash = match (leaves, *l) {
                    (0, _) => Hash::ZERO,
                    (1, 1) => left.hash,
                    (1, _) => right.hash,
                    _ => hash_parent(&left.hash, &right.hash),
                };
                return Self {
                    hash,
                    below: Below::Bucket { leaves },
                };
            }
        }
        let hash = hash_parent(&left.hash, &right.hash);
        Self {
            hash,
            below: Below::Branch(Arc::new([left, right])),
        }
    }

    /// Builds the whole tree from the leaf rows of a store: the root that a signed head is compared
    /// with when the server starts. Reads in parallel.
    ///
    /// # Errors
    ///
    /// [`RowError`]; the environment is at fault.
    pub fn load(rows: &LeafRows<'_>) -> Result<Self, RowError> {
        Self::load_below(rows, &Prefix::ROOT)
    }

    fn load_below(rows: &LeafRows<'_>, prefix: &Prefix) -> Result<Self, RowError> {
        if prefix.depth() == PARALLEL_DEPTH {
            return Ok(Self::over(&rows.below(prefix)?, prefix.depth()));
        }
        let [to_left, to_right] = prefix.children();
        let (left, right) = rayon::join(
            || Self::load_below(rows, &to_left),
            || Self::load_below(rows, &to_right),
        );
        Ok(Self::join(left?, right?))
    }
}

/// The count of a bucket with this many leaves, if they fit one.
fn bucket_count(leaves: usize) -> Option<u32> {
    u32::try_from(leaves)
        .ok()
        .filter(|_| leaves <= BUCKET_LEAVES_MAX)
}
