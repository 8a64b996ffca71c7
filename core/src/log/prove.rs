//! Making inclusion and consistency proofs from complete subtrees.
//!
//! Every hash of a proof is that of a complete subtree, except that the right edge of a tree may
//! end in an incomplete one, which is folded from complete ones. So a prover needs only what never
//! changes once it is there.

use thiserror::Error;

use super::node_hash;
use super::proof::{ProofError, check_size};
use crate::Hash;

/// Where a prover finds the log's nodes.
pub trait NodeSource {
    /// Why a node could not be had.
    type Error;

    /// The hash of the complete subtree that holds the `2^level` leaves from `index << level` on.
    ///
    /// # Errors
    ///
    /// Whatever keeps the source from answering; the prover passes it on.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Why a proof could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProveError<E> {
    /// There is no such proof; the caller is at fault.
    #[error(transparent)]
    Range(#[from] ProofError),
    /// The source failed.
    #[error("cannot read a node of the log")]
    Source(#[source] E),
}

/// The root of the log's first `size` entries.
///
/// # Errors
///
/// [`ProveError::Range`] above [`crate::limits::LOG_SIZE_MAX`], [`ProveError::Source`] when the
/// source fails.
pub fn root<S: NodeSource>(size: u64, source: &S) -> Result<Hash, ProveError<S::Error>> {
    check_size(size)?;
    if size == 0 {
        return Ok(Hash::EMPTY_LOG);
    }
    edge_hash(0, size, source)
}

/// Proves that entry `index` is in the log of `size` entries, leaf's sibling first.
///
/// # Errors
///
/// [`ProveError::Range`] when there is no such entry, [`ProveError::Source`] when the source
/// fails.
pub fn prove_inclusion<S: NodeSource>(
    index: u64,
    size: u64,
    source: &S,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    check_size(size)?;
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size }.into());
    }
    let mut proof = Vec::new();
    climb(0, index, size, source, &mut proof)?;
    Ok(proof)
}

/// Proves that the log of `new_size` entries begins with the log of `old_size` entries.
///
/// # Errors
///
/// [`ProveError::Range`] when `old_size` exceeds `new_size`, [`ProveError::Source`] when the
/// source fails.
pub fn prove_consistency<S: NodeSource>(
    old_size: u64,
    new_size: u64,
    source: &S,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    check_size(new_size)?;
    if old_size > new_size {
        return Err(ProofError::SizeDecreased { old_size, new_size }.into());
    }
    let mut proof = Vec::new();
    if old_size == 0 || old_size == new_size {
        return Ok(proof);
    }
    let level = level_of(old_size.trailing_zeros());
    let index = (old_size - 1) >> level;
    // A verifier that holds the old root holds this node already when it is all of the old tree.
    if !old_size.is_power_of_two() {
        proof.push(source.node(level, index).map_err(ProveError::Source)?);
    }
    climb(level, index, new_size, source, &mut proof)?;
    Ok(proof)
}

/// Appends the siblings on the way from the node (`level`, `index`) to the root of `size` leaves.
fn climb<S: NodeSource>(
    level: u8,
    index: u64,
    size: u64,
    source: &S,
    proof: &mut Vec<Hash>,
) -> Result<(), ProveError<S::Error>> {
    let (mut level, mut index, mut last) = (level, index, (size - 1) >> level);
    while last > 0 {
        let sibling = index ^ 1;
        if sibling < last {
            proof.push(source.node(level, sibling).map_err(ProveError::Source)?);
        } else if sibling == last {
            proof.push(edge_hash(sibling << level, size, source)?);
        }
        (level, index, last) = (level + 1, index >> 1, last >> 1);
    }
    Ok(())
}

/// The hash over leaves `start..end`, where `start` is a multiple of a power of two that is at
/// least `end - start`, and `start < end`.
fn edge_hash<S: NodeSource>(
    start: u64,
    end: u64,
    source: &S,
) -> Result<Hash, ProveError<S::Error>> {
    let mut position = end;
    let mut edge: Option<Hash> = None;
    // From the smallest complete subtree, at the right, to the largest.
    while position > start {
        let level = level_of((position - start).trailing_zeros());
        position -= 1 << level;
        let left = source
            .node(level, position >> level)
            .map_err(ProveError::Source)?;
        edge = Some(edge.map_or(left, |right| node_hash(&left, &right)));
    }
    Ok(edge.expect("start < end, so there is at least one subtree"))
}

fn level_of(trailing_zeros: u32) -> u8 {
    u8::try_from(trailing_zeros).expect("a u64 has at most 64 trailing zeros")
}
