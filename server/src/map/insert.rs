//! Inserting one epoch's leaves: a new skeleton and the audit delta, from one pass.

use candor_core::map::delta::{DeltaWriter, split, write_walk};
use candor_core::map::{AuditDelta, Leaf, Leaves};

use super::rows::{LeafRows, Prefix, RowError};
use super::skeleton::{Below, Skeleton};

/// Fewer insertions than this below a position are not worth a task of their own.
const PARALLEL_INSERTS_MIN: usize = 256;

/// The map after an epoch.
#[derive(Debug)]
pub struct Inserted {
    /// The new tree. It shares with the old one what the epoch did not touch.
    pub skeleton: Skeleton,
    /// Proof that the epoch only inserted.
    pub delta: AuditDelta,
}

/// Inserts `leaves`, strictly ascending and not in the map yet, into the tree that `skeleton` and
/// `rows` are. Each touched position is hashed once; the store is only read.
///
/// # Errors
///
/// [`RowError`]; the environment is at fault.
pub fn insert(
    skeleton: &Skeleton,
    rows: &LeafRows<'_>,
    leaves: &[Leaf],
) -> Result<Inserted, RowError> {
    let mut delta = Vec::with_capacity(4 + leaves.len() * 512);
    DeltaWriter::begin(&mut delta, leaves);
    if leaves.is_empty() {
        let skeleton = skeleton.clone();
        return Ok(Inserted {
            skeleton,
            delta: DeltaWriter::finish(delta),
        });
    }
    let skeleton = descend(skeleton, rows, &Prefix::ROOT, leaves, &mut delta)?;
    Ok(Inserted {
        skeleton,
        delta: DeltaWriter::finish(delta),
    })
}

/// Inserts at least one leaf below a position, and appends the steps of the delta for it.
fn descend(
    node: &Skeleton,
    rows: &LeafRows<'_>,
    prefix: &Prefix,
    inserts: &[Leaf],
    delta: &mut Vec<u8>,
) -> Result<Skeleton, RowError> {
    let depth = prefix.depth();
    let children = match node.below() {
        Below::Branch(children) => children,
        Below::Bucket { leaves } => {
            let old = if *leaves == 0 {
                Vec::new()
            } else {
                rows.bucket(prefix, &node.hash())?
            };
            let Ok(()) = write_walk(&Leaves::new(&old, depth), inserts, depth, delta);
            return Ok(Skeleton::over(&merge(&old, inserts), depth));
        }
    };
    DeltaWriter::parent(delta);
    let (to_left, to_right) = split(inserts, depth);
    let [left_prefix, right_prefix] = prefix.children();
    let (left, right) = if to_left.len().min(to_right.len()) >= PARALLEL_INSERTS_MIN {
        let mut right_delta = Vec::with_capacity(to_right.len() * 512);
        let (left, right) = rayon::join(
            || child(&children[0], rows, &left_prefix, to_left, delta),
            || {
                child(
                    &children[1],
                    rows,
                    &right_prefix,
                    to_right,
                    &mut right_delta,
                )
            },
        );
        delta.append(&mut right_delta);
        (left?, right?)
    } else {
        let left = child(&children[0], rows, &left_prefix, to_left, delta)?;
        (
            left,
            child(&children[1], rows, &right_prefix, to_right, delta)?,
        )
    };
    Ok(Skeleton::join(left, right))
}

fn child(
    node: &Skeleton,
    rows: &LeafRows<'_>,
    prefix: &Prefix,
    inserts: &[Leaf],
    delta: &mut Vec<u8>,
) -> Result<Skeleton, RowError> {
    if inserts.is_empty() {
        DeltaWriter::untouched(delta, &node.hash());
        return Ok(node.clone());
    }
    descend(node, rows, prefix, inserts, delta)
}

/// Merges two strictly ascending runs without a common key.
fn merge(old: &[Leaf], new: &[Leaf]) -> Vec<Leaf> {
    let mut merged = Vec::with_capacity(old.len() + new.len());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
        merged.extend(if a.key < b.key {
            old.next()
        } else {
            new.next()
        });
    }
    merged.extend(old);
    merged.extend(new);
    merged
}
