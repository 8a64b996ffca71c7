//! Audit deltas: what one epoch inserted, checkable by anyone who knows the root before it.
//!
//! A delta is the list of inserted leaves and a pre-order walk of the part of the old tree in which
//! they fall. The walk has a step only where something is inserted below, so one recursion over
//! the walk and the leaves computes the old root and the new root at once: where the old tree had
//! nothing, a leaf or a parent is stated, and what is not touched is a bare hash on both sides. An
//! old leaf that has to move down is stated whole. Nothing can be removed or replaced, because
//! every hash of the old tree is used, at its place, on the new side too. This rules out the
//! auditor trusting anything but the old root, and needing any state but that root.
//!
//! ```text
//! struct {
//!   uint32 count;
//!   Leaf inserts[count];       // 64 bytes each, strictly ascending by search key
//!   Step walk[..];             // empty if count = 0, else exactly what the recursion consumes
//! } AuditDelta;
//! Step: 0 = nothing was here | 1 = a leaf was here, Leaf | 2 = a parent was here, then for its
//!       left and its right child: a Step if something is inserted below it, else
//!       3 = an untouched child, Hash | 4 = an absent child
//! ```

use thiserror::Error;

use super::tree::{Leaf, Leaves, Node, Shape, hash_leaf, hash_parent};
use crate::Hash;
use crate::codec::{DecodeError, Reader};
use crate::crypto::{Commitment, SearchKey};
use crate::hash::{Domain, hash_parts};
use crate::limits::{DELTA_BYTES_MAX, EPOCH_INSERTS_MAX, SEARCH_KEY_BITS};

const NOTHING: u8 = 0;
const LEAF: u8 = 1;
const PARENT: u8 = 2;
const UNTOUCHED: u8 = 3;
const ABSENT: u8 = 4;

/// Why an audit delta was refused. The log is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The bytes are no delta.
    #[error("malformed delta: {0}")]
    Malformed(#[from] DecodeError),
    /// The inserted leaves are not in strictly ascending order.
    #[error("inserted leaf {index} is out of order")]
    Unordered {
        /// Index of the first leaf that does not follow its predecessor.
        index: usize,
    },
    /// A leaf that the walk states does not belong where it is stated.
    #[error("a leaf is stated where it cannot be")]
    MisplacedLeaf,
    /// A search key of the old tree is inserted again.
    #[error("a search key is inserted a second time")]
    Reinserted,
    /// The walk goes below the last bit of the search keys.
    #[error("the walk is too deep")]
    TooDeep,
    /// The walk does not start from the root before the epoch.
    #[error("the root before differs")]
    OldRootMismatch,
    /// The walk does not lead to the root that the epoch's record states.
    #[error("the root after differs")]
    NewRootMismatch,
}

/// An epoch's delta as encoded bytes, as received or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditDelta(Vec<u8>);

/// A delta that leads from one root to another by insertions only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedDelta {
    inserts: Vec<Leaf>,
}

impl VerifiedDelta {
    /// What the epoch inserted, ascending by search key.
    pub fn inserts(&self) -> &[Leaf] {
        &self.inserts
    }
}

impl AuditDelta {
    /// Takes bytes as received.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLarge`] above [`DELTA_BYTES_MAX`]; the log is at fault.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        if bytes.len() > DELTA_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                field: "audit delta",
                limit: DELTA_BYTES_MAX,
            });
        }
        Ok(Self(bytes))
    }

    /// Makes the delta of inserting `inserts` into the tree below `root`.
    ///
    /// `inserts` must be strictly ascending, at most [`EPOCH_INSERTS_MAX`], and not in the tree
    /// yet; callers ensure it.
    ///
    /// # Errors
    ///
    /// Those of reading the tree.
    pub fn build<N: Node>(root: &N, inserts: &[Leaf]) -> Result<Self, N::Error> {
        let mut out = Vec::with_capacity(4 + inserts.len() * (Leaf::BYTES + 256));
        DeltaWriter::begin(&mut out, inserts);
        if !inserts.is_empty() {
            write_walk(root, inserts, 0, &mut out)?;
        }
        Ok(Self(out))
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The encoding, by value.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// What the epoch's record holds of the delta: `H(0x04 || delta)`.
    pub fn digest(&self) -> Hash {
        hash_parts(Domain::AuditDelta, &[&self.0])
    }

    /// Checks that the epoch only inserted, and that it leads from `old_root` to `new_root`.
    ///
    /// # Errors
    ///
    /// [`DeltaError`]: it does not; the log is at fault.
    pub fn verify(&self, old_root: &Hash, new_root: &Hash) -> Result<VerifiedDelta, DeltaError> {
        let mut reader = Reader::new(&self.0);
        let inserts = read_inserts(&mut reader)?;
        let (old, new) = if inserts.is_empty() {
            // Nothing was inserted: whatever the root is, it stays.
            (*old_root, *old_root)
        } else {
            replay(&mut reader, &inserts, 0)?
        };
        reader.finish()?;
        if old != *old_root {
            return Err(DeltaError::OldRootMismatch);
        }
        if new != *new_root {
            return Err(DeltaError::NewRootMismatch);
        }
        Ok(VerifiedDelta { inserts })
    }
}

/// Writes the parts of a delta, for provers that update their tree in the same pass.
#[derive(Clone, Copy, Debug)]
pub struct DeltaWriter;

impl DeltaWriter {
    /// Starts a delta: the inserted leaves, strictly ascending.
    pub fn begin(out: &mut Vec<u8>, inserts: &[Leaf]) {
        let count = u32::try_from(inserts.len()).expect("an epoch's size is bounded");
        out.extend(count.to_be_bytes());
        for leaf in inserts {
            write_leaf(out, leaf);
        }
    }

    /// States that nothing was at a position below which something is inserted.
    pub fn nothing(out: &mut Vec<u8>) {
        out.push(NOTHING);
    }

    /// States the leaf that was at a position below which something is inserted.
    pub fn leaf(out: &mut Vec<u8>, leaf: &Leaf) {
        out.push(LEAF);
        write_leaf(out, leaf);
    }

    /// States that a parent was at a position below which something is inserted; its two children
    /// follow.
    pub fn parent(out: &mut Vec<u8>) {
        out.push(PARENT);
    }

    /// States a child of such a parent below which nothing is inserted.
    pub fn untouched(out: &mut Vec<u8>, hash: &Hash) {
        if *hash == Hash::ZERO {
            out.push(ABSENT);
        } else {
            out.push(UNTOUCHED);
            out.extend(hash.0);
        }
    }

    /// Ends a delta.
    pub const fn finish(out: Vec<u8>) -> AuditDelta {
        AuditDelta(out)
    }
}

fn write_leaf(out: &mut Vec<u8>, leaf: &Leaf) {
    out.extend(leaf.key.0);
    out.extend(leaf.commitment.0);
}

fn read_leaf(reader: &mut Reader<'_>) -> Result<Leaf, DecodeError> {
    Ok(Leaf {
        key: SearchKey(reader.array("leaf key")?),
        commitment: Commitment(reader.array("leaf commitment")?),
    })
}

fn read_inserts(reader: &mut Reader<'_>) -> Result<Vec<Leaf>, DeltaError> {
    let count = reader.u32("insert count")? as usize;
    if count > EPOCH_INSERTS_MAX {
        let error = DecodeError::TooLarge {
            field: "insert count",
            limit: EPOCH_INSERTS_MAX,
        };
        return Err(error.into());
    }
    let mut bytes = Reader::new(reader.bytes(count * Leaf::BYTES, "inserts")?);
    let mut inserts: Vec<Leaf> = Vec::with_capacity(count);
    for index in 0..count {
        let leaf = read_leaf(&mut bytes)?;
        if inserts.last().is_some_and(|last| last.key >= leaf.key) {
            return Err(DeltaError::Unordered { index });
        }
        inserts.push(leaf);
    }
    Ok(inserts)
}

/// Writes the steps below `node` for `inserts`, of which there is at least one.
pub fn write_walk<N: Node>(
    node: &N,
    inserts: &[Leaf],
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), N::Error> {
    match node.open()? {
        Shape::Absent => DeltaWriter::nothing(out),
        Shape::Leaf(leaf) => DeltaWriter::leaf(out, &leaf),
        Shape::Parent(left, right) => {
            DeltaWriter::parent(out);
            let (to_left, to_right) = split(inserts, depth);
            for (child, inserts) in [(left, to_left), (right, to_right)] {
                if inserts.is_empty() {
                    DeltaWriter::untouched(out, &child.hash()?);
                } else {
                    write_walk(&child, inserts, depth + 1, out)?;
                }
            }
        }
    }
    Ok(())
}

/// Splits sorted leaves, which agree in their first `depth` bits, by the next bit.
pub fn split(leaves: &[Leaf], depth: usize) -> (&[Leaf], &[Leaf]) {
    leaves.split_at(leaves.partition_point(|leaf| !leaf.key.bit(depth)))
}

/// The hashes of a position before and after `inserts`, of which there is at least one.
fn replay(
    reader: &mut Reader<'_>,
    inserts: &[Leaf],
    depth: usize,
) -> Result<(Hash, Hash), DeltaError> {
    match reader.u8("walk step")? {
        NOTHING => Ok((Hash::ZERO, Leaves::new(inserts, depth).subtree_hash())),
        LEAF => {
            let leaf = read_leaf(reader)?;
            let on_path = (0..depth).all(|d| leaf.key.bit(d) == inserts[0].key.bit(d));
            if !on_path {
                return Err(DeltaError::MisplacedLeaf);
            }
            let Err(place) = inserts.binary_search_by_key(&leaf.key, |insert| insert.key) else {
                return Err(DeltaError::Reinserted);
            };
            let mut merged = Vec::with_capacity(inserts.len() + 1);
            merged.extend_from_slice(&inserts[..place]);
            merged.push(leaf);
            merged.extend_from_slice(&inserts[place..]);
            Ok((hash_leaf(&leaf), Leaves::new(&merged, depth).subtree_hash()))
        }
        PARENT => {
            if depth >= SEARCH_KEY_BITS {
                return Err(DeltaError::TooDeep);
            }
            let (to_left, to_right) = split(inserts, depth);
            let left = replay_child(reader, to_left, depth + 1)?;
            let right = replay_child(reader, to_right, depth + 1)?;
            Ok((
                hash_parent(&left.0, &right.0),
                hash_parent(&left.1, &right.1),
            ))
        }
        _ => Err(DecodeError::Invalid { field: "walk step" }.into()),
    }
}

fn replay_child(
    reader: &mut Reader<'_>,
    inserts: &[Leaf],
    depth: usize,
) -> Result<(Hash, Hash), DeltaError> {
    if !inserts.is_empty() {
        return replay(reader, inserts, depth);
    }
    let hash = match reader.u8("untouched child")? {
        UNTOUCHED => reader.hash("untouched child")?,
        ABSENT => return Ok((Hash::ZERO, Hash::ZERO)),
        _ => {
            return Err(DecodeError::Invalid {
                field: "untouched child",
            }
            .into());
        }
    };
    if hash == Hash::ZERO {
        return Err(DecodeError::Invalid {
            field: "untouched child",
        }
        .into());
    }
    Ok((hash, hash))
}
