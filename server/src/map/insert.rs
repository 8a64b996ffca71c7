//! Inserting one epoch's leaves: a new skeleton and the audit delta, from one pass.

use std::sync::Arc;

use candor_core::Hash;
use candor_core::map::delta::{DeltaWriter, split, write_walk};
use candor_core::map::{AuditDelta, Leaf};

use super::bucket::{Bucket, Cursor};
use super::cache::{Buckets, FreshBuckets};
use super::rows::{Prefix, RowError};
use super::skeleton::{Below, Skeleton};

/// Fewer insertions than this below a position are not worth a task of their own.
const PARALLEL_INSERTS_MIN: usize = 256;

/// Bytes of the delta to make room for, an insertion: its leaf, and a path below the part of the
/// tree that the insertions share.
const DELTA_BYTES_EACH: usize = 512;

/// The map after an epoch.
#[derive(Debug)]
pub struct Inserted {
    /// The new tree. It shares with the old one what the epoch did not touch.
    pub skeleton: Skeleton,
    /// Proof that the epoch only inserted.
    pub delta: AuditDelta,
    /// The buckets that the epoch made. The cache has them too, but may drop them.
    pub fresh: FreshBuckets,
    /// The buckets that they replace: no later tree has them.
    pub superseded: Vec<Hash>,
}

/// Inserts `leaves`, in ascending order, into the tree that `skeleton` and `buckets` are. Each
/// touched position is hashed once; the store is only read.
///
/// # Errors
///
/// [`RowError`]; the environment is at fault. A key that comes twice, or is in the map, is damage
/// as well: rows that were lost or altered make a version again, or another one in its place.
pub fn insert(
    skeleton: &Skeleton,
    buckets: &Buckets<'_>,
    leaves: &[Leaf],
) -> Result<Inserted, RowError> {
    if !leaves.is_sorted_by(|left, right| left.key < right.key) {
        return Err(RowError::Damaged);
    }
    let mut delta = Vec::with_capacity(4 + leaves.len() * DELTA_BYTES_EACH);
    DeltaWriter::begin(&mut delta, leaves);
    let mut made = Made {
        delta,
        ..Made::default()
    };
    let skeleton = if leaves.is_empty() {
        skeleton.clone()
    } else {
        descend(skeleton, buckets, &Prefix::ROOT, leaves, &mut made)?
    };
    for bucket in &made.buckets {
        buckets.cache().insert(Arc::clone(bucket));
    }
    let by_hash = |bucket: Arc<Bucket>| (bucket.hash(), bucket);
    Ok(Inserted {
        skeleton,
        delta: DeltaWriter::finish(made.delta),
        fresh: made.buckets.into_iter().map(by_hash).collect(),
        superseded: made.superseded,
    })
}

/// What the pass makes beside the tree, in order of the keys.
#[derive(Default)]
struct Made {
    delta: Vec<u8>,
    buckets: Vec<Arc<Bucket>>,
    superseded: Vec<Hash>,
}

/// Inserts at least one leaf below a position, and appends the steps of the delta for it.
fn descend(
    node: &Skeleton,
    buckets: &Buckets<'_>,
    prefix: &Prefix,
    inserts: &[Leaf],
    made: &mut Made,
) -> Result<Skeleton, RowError> {
    let depth = prefix.depth();
    let children = match node.below() {
        Below::Branch(children) => children,
        Below::Bucket { leaves } => {
            let old = if *leaves == 0 {
                Arc::new(Bucket::over(&[], depth))
            } else {
                made.superseded.push(node.hash());
                buckets.get(prefix, &node.hash())?
            };
            if old.part().has_any(inserts) {
                return Err(RowError::Damaged);
            }
            let top = Cursor::top(Arc::clone(&old));
            let Ok(()) = write_walk(&top, inserts, depth, &mut made.delta);
            let mut keep = |bucket| made.buckets.push(Arc::new(bucket));
            return Ok(Skeleton::merged(old.part(), inserts, depth, &mut keep));
        }
    };
    DeltaWriter::parent(&mut made.delta);
    let (to_left, to_right) = split(inserts, depth);
    let [left_prefix, right_prefix] = prefix.children();
    let (left, right) = if to_left.len().min(to_right.len()) >= PARALLEL_INSERTS_MIN {
        let mut apart = Made::default();
        apart.delta.reserve(to_right.len() * DELTA_BYTES_EACH);
        let (left, right) = rayon::join(
            || child(&children[0], buckets, &left_prefix, to_left, made),
            || child(&children[1], buckets, &right_prefix, to_right, &mut apart),
        );
        made.delta.append(&mut apart.delta);
        made.buckets.append(&mut apart.buckets);
        made.superseded.append(&mut apart.superseded);
        (left?, right?)
    } else {
        let left = child(&children[0], buckets, &left_prefix, to_left, made)?;
        let right = child(&children[1], buckets, &right_prefix, to_right, made)?;
        (left, right)
    };
    Ok(Skeleton::join(left, right))
}

fn child(
    node: &Skeleton,
    buckets: &Buckets<'_>,
    prefix: &Prefix,
    inserts: &[Leaf],
    made: &mut Made,
) -> Result<Skeleton, RowError> {
    if inserts.is_empty() {
        DeltaWriter::untouched(&mut made.delta, &node.hash());
        return Ok(node.clone());
    }
    descend(node, buckets, prefix, inserts, made)
}
