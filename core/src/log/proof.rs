//! Verification of inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2).
//!
//! Both kinds walk from a node up to the root of a tree of `size` leaves. Below the level where
//! that path meets the path of the last leaf, every node has a sibling, left or right as the bits
//! of its index say; above it the path is the tree's right edge, where only left siblings exist.
//! So the length of an honest proof follows from the sizes and the index, and any other length is
//! refused before a hash is computed.

use thiserror::Error;

use super::node_hash;
use crate::Hash;
use crate::limits::LOG_SIZE_MAX;

/// Why a proof proves nothing. Whoever sent the proof, or the sizes with it, is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// No log of this protocol is that large.
    #[error("log size {size} exceeds the limit of {LOG_SIZE_MAX}")]
    SizeTooLarge {
        /// The size that was claimed.
        size: u64,
    },
    /// A log of `size` entries has no entry `index`.
    #[error("index {index} is not in a log of size {size}")]
    IndexOutOfRange {
        /// The index asked for.
        index: u64,
        /// The log's size.
        size: u64,
    },
    /// The log would have shrunk.
    #[error("old size {old_size} exceeds new size {new_size}")]
    SizeDecreased {
        /// Size of the older tree.
        old_size: u64,
        /// Size of the newer tree.
        new_size: u64,
    },
    /// Not the number of hashes that an honest proof for these positions has.
    #[error("proof has {actual} hashes instead of {expected}")]
    WrongLength {
        /// Hashes in an honest proof.
        expected: usize,
        /// Hashes that were given.
        actual: usize,
    },
    /// The proof leads to another root than that of the older tree.
    #[error("proof does not lead to the old root")]
    OldRootMismatch,
    /// The proof leads to another root than that of the tree, or of the newer one of two.
    #[error("proof does not lead to the root")]
    RootMismatch,
}

/// Verifies that `leaf` is the hash of entry `index` in the log of `size` entries under `root`.
///
/// # Errors
///
/// [`ProofError`] when the proof does not show that; who sent it is at fault.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    check_size(size)?;
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let path = Path::new(index, size - 1);
    path.check_length(proof.len(), 0)?;
    if path.root_above(*leaf, proof) == *root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}

/// Verifies that the log of `new_size` entries under `new_root` begins with all the entries of the
/// log of `old_size` entries under `old_root`.
///
/// The empty log, with [`Hash::EMPTY_LOG`] as its root, is consistent with every log; the same
/// size needs the same root. Neither takes a proof.
///
/// # Errors
///
/// [`ProofError`] when the proof does not show that; who sent it is at fault.
/// [`ProofError::OldRootMismatch`] and [`ProofError::RootMismatch`] alone do not show a fork,
/// because a wrong proof causes them too.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    check_size(new_size)?;
    if old_size > new_size {
        return Err(ProofError::SizeDecreased { old_size, new_size });
    }
    if old_size == 0 || old_size == new_size {
        return verify_trivial_consistency(old_size, old_root, new_size, new_root, proof);
    }
    verify_part(0, old_size, old_root, new_size, new_root, proof)
}

/// The roots, of the older and of the newer tree, that a consistency proof leads to by itself. It
/// proves only what the caller knows of one of them: where that is the newer root, the log under it
/// begins with the older one.
///
/// Where `old_size` is a power of two, a proof leaves the older root out: then it is `old_root`,
/// which is not used otherwise.
///
/// # Errors
///
/// [`ProofError`] when the proof has another length than an honest one, or the older tree is larger
/// or empty; who sent it is at fault.
pub fn consistency_roots(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    proof: &[Hash],
) -> Result<(Hash, Hash), ProofError> {
    check_size(new_size)?;
    if old_size > new_size {
        return Err(ProofError::SizeDecreased { old_size, new_size });
    }
    if old_size == 0 {
        return Err(ProofError::IndexOutOfRange { index: 0, size: 0 });
    }
    part_roots(0, old_size, old_root, new_size, proof)
}

/// Verifies that `part_root` is the root over the entries `start..end` of the log of `size` entries
/// under `root`. The range is that of a subtree: `start` is a multiple of a power of two that is
/// not below `end - start`; neither is empty, and `end` is at most `size`.
pub(super) fn verify_part(
    start: u64,
    end: u64,
    part_root: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let (proved_part, proved) = part_roots(start, end, part_root, size, proof)?;
    if proved_part != *part_root {
        return Err(ProofError::OldRootMismatch);
    }
    if proved != *root {
        return Err(ProofError::RootMismatch);
    }
    Ok(())
}

/// The roots of such a part and of the whole log that the proof leads to, from `part_root` where it
/// holds no node of the part to begin with.
fn part_roots(
    start: u64,
    end: u64,
    part_root: &Hash,
    size: u64,
    proof: &[Hash],
) -> Result<(Hash, Hash), ProofError> {
    let (part_last, last) = (end - start - 1, size - 1);
    // The proof begins at a node of the tree: at the part itself, where it ends with the tree or is
    // complete, and at the last complete subtree of the part otherwise.
    let (level, seed_in_proof) = if end == size {
        (u64::BITS - part_last.leading_zeros(), false)
    } else {
        let width = end - start;
        (width.trailing_zeros(), !width.is_power_of_two())
    };
    let path = Path::new((end - 1) >> level, last >> level);
    path.check_length(proof.len(), usize::from(seed_in_proof))?;
    let (seed, siblings) = match proof.split_first() {
        Some((seed, siblings)) if seed_in_proof => (seed, siblings),
        _ => (part_root, proof),
    };
    let left_siblings = (part_last >> level).count_ones();
    let part = path.part_root_above(*seed, siblings, left_siblings);
    Ok((part, path.root_above(*seed, siblings)))
}

fn verify_trivial_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if !proof.is_empty() {
        return Err(ProofError::WrongLength {
            expected: 0,
            actual: proof.len(),
        });
    }
    if old_size == 0 && *old_root != Hash::EMPTY_LOG {
        return Err(ProofError::OldRootMismatch);
    }
    if old_size == new_size && old_root != new_root {
        return Err(ProofError::RootMismatch);
    }
    Ok(())
}

pub(super) const fn check_size(size: u64) -> Result<(), ProofError> {
    if size > LOG_SIZE_MAX {
        Err(ProofError::SizeTooLarge { size })
    } else {
        Ok(())
    }
}

/// The way from the node at `index` up to the root of the tree whose last node is at `last`, both
/// counted at the level of the node.
struct Path {
    index: u64,
    /// How many levels up the path meets the right edge: until there each level has a sibling.
    inner: usize,
    /// How many left siblings the path has from there to the root.
    border: usize,
}

impl Path {
    const fn new(index: u64, last: u64) -> Self {
        // At most 63: sizes are below 2^63, so the shift below is defined.
        let inner = u64::BITS - (index ^ last).leading_zeros();
        let border = (index >> inner).count_ones();
        Self {
            index,
            inner: inner as usize,
            border: border as usize,
        }
    }

    const fn check_length(&self, actual: usize, extra: usize) -> Result<(), ProofError> {
        let expected = self.inner + self.border + extra;
        if actual == expected {
            Ok(())
        } else {
            Err(ProofError::WrongLength { expected, actual })
        }
    }

    /// The root of the whole tree.
    fn root_above(&self, seed: Hash, siblings: &[Hash]) -> Hash {
        siblings
            .iter()
            .enumerate()
            .fold(seed, |hash, (level, sibling)| {
                if self.sibling_is_left(level) {
                    node_hash(sibling, &hash)
                } else {
                    node_hash(&hash, sibling)
                }
            })
    }

    /// The root of the part that ends with the node, which has so many left siblings in it.
    fn part_root_above(&self, seed: Hash, siblings: &[Hash], left_siblings: u32) -> Hash {
        siblings
            .iter()
            .enumerate()
            .filter(|(level, _)| self.sibling_is_left(*level))
            .take(left_siblings as usize)
            .fold(seed, |hash, (_, sibling)| node_hash(sibling, &hash))
    }

    const fn sibling_is_left(&self, level: usize) -> bool {
        level >= self.inner || (self.index >> level) & 1 == 1
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const ROOT: Hash = Hash([7; 32]);

    #[test]
    fn sizes_and_indexes_beyond_the_limits_are_refused_without_panic() {
        for size in [LOG_SIZE_MAX + 1, u64::MAX] {
            let refused = Err(ProofError::SizeTooLarge { size });
            assert_eq!(verify_inclusion(0, size, &ROOT, &[], &ROOT), refused);
            assert_eq!(verify_consistency(size, &ROOT, size, &ROOT, &[]), refused);
            assert_eq!(
                verify_consistency(0, &Hash::EMPTY_LOG, size, &ROOT, &[]),
                refused
            );
        }
        for (index, size) in [(0, 0), (1, 1), (u64::MAX, 1), (u64::MAX, LOG_SIZE_MAX)] {
            assert_eq!(
                verify_inclusion(index, size, &ROOT, &[], &ROOT),
                Err(ProofError::IndexOutOfRange { index, size })
            );
        }
        assert_eq!(
            verify_consistency(u64::MAX, &ROOT, 1, &ROOT, &[]),
            Err(ProofError::SizeDecreased {
                old_size: u64::MAX,
                new_size: 1
            })
        );
    }

    #[test]
    fn up_to_2_to_62_entries_the_longest_proofs_have_63_hashes() {
        let size = 1 << 62;
        assert_eq!(
            verify_inclusion(0, LOG_SIZE_MAX, &ROOT, &[], &ROOT),
            Err(ProofError::WrongLength {
                expected: 63,
                actual: 0
            })
        );
        assert_eq!(
            verify_consistency(size - 1, &ROOT, size, &ROOT, &[]),
            Err(ProofError::WrongLength {
                expected: 63,
                actual: 0
            })
        );
    }

    #[test]
    fn the_empty_log_is_consistent_with_every_log_but_only_by_its_own_root() {
        assert_eq!(
            verify_consistency(0, &Hash::EMPTY_LOG, 5, &ROOT, &[]),
            Ok(())
        );
        assert_eq!(
            verify_consistency(0, &Hash::EMPTY_LOG, 0, &Hash::EMPTY_LOG, &[]),
            Ok(())
        );
        assert_eq!(
            verify_consistency(0, &ROOT, 5, &ROOT, &[]),
            Err(ProofError::OldRootMismatch)
        );
        assert_eq!(
            verify_consistency(0, &Hash::EMPTY_LOG, 0, &ROOT, &[]),
            Err(ProofError::RootMismatch)
        );
        assert_eq!(
            verify_consistency(0, &Hash::EMPTY_LOG, 5, &ROOT, &[ROOT]),
            Err(ProofError::WrongLength {
                expected: 0,
                actual: 1
            })
        );
    }

    #[test]
    fn equal_sizes_need_equal_roots_and_no_proof() {
        assert_eq!(verify_consistency(5, &ROOT, 5, &ROOT, &[]), Ok(()));
        assert_eq!(
            verify_consistency(5, &ROOT, 5, &Hash::ZERO, &[]),
            Err(ProofError::RootMismatch)
        );
        assert_eq!(
            verify_consistency(5, &ROOT, 5, &ROOT, &[ROOT]),
            Err(ProofError::WrongLength {
                expected: 0,
                actual: 1
            })
        );
    }
}
