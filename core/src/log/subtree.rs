//! Subtrees: parts of a log's tree that begin where a complete tree of their width could, and may
//! be incomplete at the right (draft-ietf-plants-merkle-tree-certs-03, section 4).

use super::proof::{ProofError, check_size, verify_part};
use crate::Hash;
use crate::limits::LOG_SIZE_MAX;

/// The entries `start..end` of a log, where `start` is a multiple of the smallest power of two that
/// is not below their number (section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    start: u64,
    end: u64,
}

impl Subtree {
    /// Takes a range, if it is one of a subtree of some log.
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start >= end || end > LOG_SIZE_MAX {
            return None;
        }
        // At most 2^63, since the width is below it.
        if start.is_multiple_of((end - start).next_power_of_two()) {
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// Index of the first entry.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Index behind the last entry.
    pub const fn end(self) -> u64 {
        self.end
    }
}

/// Verifies that the log of `size` entries under `root` has the entries of `subtree` whose root is
/// `hash` (section 4.4).
///
/// # Errors
///
/// [`ProofError`] when the proof does not show that; who sent it is at fault.
pub fn verify_subtree(
    subtree: Subtree,
    hash: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    check_size(size)?;
    if subtree.end > size {
        return Err(ProofError::SizeDecreased {
            old_size: subtree.end,
            new_size: size,
        });
    }
    verify_part(subtree.start, subtree.end, hash, size, root, proof)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::log::{Frontier, leaf_hash, verify_consistency};

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count)
            .map(|index| leaf_hash(&index.to_be_bytes()))
            .collect()
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut frontier = Frontier::new();
        for leaf in leaves {
            frontier.append(*leaf).unwrap();
        }
        frontier.root()
    }

    /// SUBTREE_SUBPROOF as section 4.4.1 defines it.
    fn prove(start: usize, end: usize, leaves: &[Hash], is_known: bool) -> Vec<Hash> {
        if start == 0 && end == leaves.len() {
            return if is_known { vec![] } else { vec![root(leaves)] };
        }
        let middle = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(middle);
        let (mut proof, sibling) = if end <= middle {
            (prove(start, end, left, is_known), root(right))
        } else if middle <= start {
            let proof = prove(start - middle, end - middle, right, is_known);
            (proof, root(left))
        } else {
            (prove(0, end - middle, right, false), root(left))
        };
        proof.push(sibling);
        proof
    }

    #[test]
    fn ranges_are_those_of_the_definition() {
        for start in 0..40_u64 {
            for end in 0..40_u64 {
                let is_valid = start < end
                    && (0..7)
                        .map(|level| 1 << level)
                        .find(|width| *width >= end - start)
                        .is_some_and(|width| start % width == 0);
                assert_eq!(Subtree::new(start, end).is_some(), is_valid);
            }
        }
        assert!(Subtree::new(0, LOG_SIZE_MAX).is_some());
        for (start, end) in [(0, LOG_SIZE_MAX + 1), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            assert!(Subtree::new(start, end).is_none());
        }
    }

    #[test]
    fn every_subtree_of_small_logs_is_proved_and_no_other_is() {
        for size in 1..=20 {
            let all = leaves(size);
            let whole = root(&all);
            for end in 1..=size {
                for start in 0..end {
                    let Some(subtree) = Subtree::new(start, end) else {
                        continue;
                    };
                    let (first, last) = (start as usize, end as usize);
                    let hash = root(&all[first..last]);
                    let proof = prove(first, last, &all, true);
                    let verify = |hash: &Hash, whole: &Hash, proof: &[Hash]| {
                        verify_subtree(subtree, hash, size, whole, proof)
                    };
                    let at = format!("{start}..{end} of {size}");
                    assert_eq!(verify(&hash, &whole, &proof), Ok(()), "{at}");
                    assert!(verify(&Hash::ZERO, &whole, &proof).is_err(), "{at}");
                    assert!(verify(&hash, &Hash::ZERO, &proof).is_err(), "{at}");
                    let longer = [&proof[..], &[hash]].concat();
                    assert!(verify(&hash, &whole, &longer).is_err(), "{at}");
                    for position in 0..proof.len() {
                        let mut other = proof.clone();
                        other[position] = Hash::ZERO;
                        assert!(verify(&hash, &whole, &other).is_err(), "{at}");
                        other.remove(position);
                        assert!(verify(&hash, &whole, &other).is_err(), "{at}");
                    }
                    if start == 0 {
                        let same = verify_consistency(end, &hash, size, &whole, &proof);
                        assert_eq!(same, Ok(()), "{at}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_subtree_beyond_the_log_is_refused() {
        let subtree = Subtree::new(8, 13).unwrap();
        for size in [0, 1, 12, LOG_SIZE_MAX + 1] {
            assert!(verify_subtree(subtree, &Hash::ZERO, size, &Hash::ZERO, &[]).is_err());
        }
    }

    #[test]
    fn the_longest_path_is_walked_without_overflow() {
        for (start, end) in [
            (0, 1),
            (1 << 62, LOG_SIZE_MAX),
            (LOG_SIZE_MAX - 1, LOG_SIZE_MAX),
        ] {
            let subtree = Subtree::new(start, end).unwrap();
            let proof = [Hash::ZERO; 65];
            let refused = verify_subtree(subtree, &Hash::ZERO, LOG_SIZE_MAX, &Hash::ZERO, &proof);
            assert!(matches!(refused, Err(ProofError::WrongLength { .. })));
        }
    }
}
