//! The upper part of the tree, in memory: immutable, shared between epochs.

use std::sync::Arc;

use candor_core::Hash;
use candor_core::map::delta::split;
use candor_core::map::{Leaf, hash_parent};

use super::bucket::{Bucket, Part};
use super::cache::BucketCache;
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

    /// The position at `depth` over the leaves of `old` and of `inserts`, which have no key in
    /// common. Each new bucket is handed to `keep`.
    pub(super) fn merged(
        old: Part<'_>,
        inserts: &[Leaf],
        depth: usize,
        keep: &mut dyn FnMut(Bucket),
    ) -> Self {
        if let Some(count) = bucket_count(old.leaves() + inserts.len()) {
            let hash = if inserts.is_empty() && count == 0 {
                Hash::ZERO
            } else {
                let bucket = Bucket::merged(old, inserts, depth);
                let hash = bucket.hash();
                keep(bucket);
                hash
            };
            return Self {
                hash,
                below: Below::Bucket { leaves: count },
            };
        }
        let [old_left, old_right] = old.halves(depth);
        let (to_left, to_right) = split(inserts, depth);
        let left = Self::merged(old_left, to_left, depth + 1, keep);
        Self::join(left, Self::merged(old_right, to_right, depth + 1, keep))
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
    /// with when the server starts. Reads in parallel, and fills the cache as far as there is room.
    ///
    /// # Errors
    ///
    /// [`RowError`]; the environment is at fault.
    pub fn load(rows: &LeafRows<'_>, cache: &BucketCache) -> Result<Self, RowError> {
        Self::load_below(rows, &Prefix::ROOT, cache)
    }

    fn load_below(
        rows: &LeafRows<'_>,
        prefix: &Prefix,
        cache: &BucketCache,
    ) -> Result<Self, RowError> {
        if prefix.depth() == PARALLEL_DEPTH {
            let leaves = rows.below(prefix)?;
            let mut keep = |bucket| cache.offer(bucket);
            return Ok(Self::merged(
                Part::EMPTY,
                &leaves,
                prefix.depth(),
                &mut keep,
            ));
        }
        let [to_left, to_right] = prefix.children();
        let (left, right) = rayon::join(
            || Self::load_below(rows, &to_left, cache),
            || Self::load_below(rows, &to_right, cache),
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
