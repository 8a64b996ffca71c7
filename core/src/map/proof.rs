//! Batch proofs of inclusion and absence for several search keys in one tree, in the encoding of
//! KEYTRANS ("Tree Proofs", "Prefix Tree").
//!
//! A proof says for each key how its search ends and at which depth, then gives the fewest hashes
//! that complete the tree, left to right. The verifier knows beforehand which keys are looked up,
//! in which order, and whether each must be included (then it also knows the commitment) or absent:
//! nothing that matters is read from the proof. At a given root every key's search has exactly one
//! end, because leaves, parents and absence are hashed in different domains; so there is one proof.

use thiserror::Error;

use super::tree::{Leaf, Node, Shape, hash_leaf, hash_parent};
use crate::Hash;
use crate::codec::{DecodeError, Reader};
use crate::crypto::{Commitment, SearchKey};
use crate::limits::PREFIX_ELEMENTS_MAX;

/// How the search for one key ends. Depths count from 0 at the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchResult {
    /// At the key's own leaf.
    Inclusion {
        /// Depth of the leaf.
        depth: u8,
    },
    /// At another key's leaf, alone below a position on the key's path.
    NonInclusionLeaf {
        /// That leaf.
        leaf: Leaf,
        /// Its depth.
        depth: u8,
    },
    /// At an absent child.
    NonInclusionParent {
        /// Depth of the absent child.
        depth: u8,
    },
}

impl SearchResult {
    fn depth(&self) -> usize {
        match self {
            Self::Inclusion { depth }
            | Self::NonInclusionLeaf { depth, .. }
            | Self::NonInclusionParent { depth } => usize::from(*depth),
        }
    }
}

/// A batch proof, as received or made. It proves nothing until [`PrefixProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixProof {
    /// How each search ends, in the order in which the keys were asked for; at most 255.
    pub results: Vec<SearchResult>,
    /// The hashes that complete the tree, left to right; zero stands for an absent child.
    pub elements: Vec<Hash>,
}

/// A batch proof with what the prover found, to compare with what it is going to say.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The proof.
    pub proof: PrefixProof,
    /// The commitments of the keys that are in the tree, in the order in which the keys were asked
    /// for; `None` for those that are not.
    pub commitments: Vec<Option<Commitment>>,
}

/// What the verifier demands for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The key is in the tree with this commitment.
    Included(SearchKey, Commitment),
    /// The key is not in the tree.
    Absent(SearchKey),
}

impl Expectation {
    const fn key(&self) -> &SearchKey {
        match self {
            Self::Included(key, _) | Self::Absent(key) => key,
        }
    }
}

/// Why a prefix proof was refused. The prover is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PrefixProofError {
    /// The proof answers another number of lookups than were asked for.
    #[error("proof has {actual} results for {expected} lookups")]
    ResultCount {
        /// Lookups asked for.
        expected: usize,
        /// Results in the proof.
        actual: usize,
    },
    /// A search ends in inclusion where absence was to be shown, or the other way round.
    #[error("lookup {lookup} ends the wrong way")]
    WrongOutcome {
        /// Index of the lookup.
        lookup: usize,
    },
    /// The leaf that is to show absence is not on the path of the key, or is the key itself.
    #[error("lookup {lookup} ends at a leaf that cannot show absence")]
    UnrelatedLeaf {
        /// Index of the lookup.
        lookup: usize,
    },
    /// Two searches claim incompatible ends.
    #[error("results contradict each other")]
    Contradiction,
    /// The proof has too few or too many hashes.
    #[error("proof has a wrong number of elements")]
    ElementCount,
    /// The computed root is not the expected one.
    #[error("computed root differs")]
    RootMismatch,
}

/// The end of one search: a position (the first `depth` bits of `key`) and the hash there.
#[derive(Clone, Copy)]
struct Terminal {
    key: SearchKey,
    depth: usize,
    hash: Hash,
}

impl PrefixProof {
    /// Checks that the tree with this root holds exactly what is expected of each lookup, in
    /// order.
    ///
    /// # Errors
    ///
    /// [`PrefixProofError`]: the proof does not show it; the prover is at fault.
    pub fn verify(&self, lookups: &[Expectation], root: &Hash) -> Result<(), PrefixProofError> {
        if self.results.len() != lookups.len() {
            return Err(PrefixProofError::ResultCount {
                expected: lookups.len(),
                actual: self.results.len(),
            });
        }
        let mut terminals = Vec::with_capacity(lookups.len());
        for (lookup, (expectation, result)) in lookups.iter().zip(&self.results).enumerate() {
            let hash = terminal_hash(lookup, expectation, result)?;
            terminals.push(Terminal {
                key: *expectation.key(),
                depth: result.depth(),
                hash,
            });
        }
        terminals.sort_unstable_by_key(|terminal| terminal.key);
        let mut elements = self.elements.iter();
        let computed = fold(&terminals, 0, &mut elements)?;
        if elements.next().is_some() {
            return Err(PrefixProofError::ElementCount);
        }
        if computed == *root {
            Ok(())
        } else {
            Err(PrefixProofError::RootMismatch)
        }
    }

    /// Appends the proof's encoding.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.results.len()).expect("provers answer at most 255 lookups"));
        for result in &self.results {
            match result {
                SearchResult::Inclusion { depth } => out.extend([1, *depth]),
                SearchResult::NonInclusionLeaf { leaf, depth } => {
                    out.push(2);
                    out.extend(leaf.key.0);
                    out.extend(leaf.commitment.0);
                    out.push(*depth);
                }
                SearchResult::NonInclusionParent { depth } => out.extend([3, *depth]),
            }
        }
        let count = u16::try_from(self.elements.len()).expect("255 paths of 256 siblings fit");
        out.extend(count.to_be_bytes());
        for element in &self.elements {
            out.extend(element.0);
        }
    }

    /// Reads a proof.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the bytes are no proof; the sender is at fault.
    pub fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = usize::from(reader.u8("prefix results")?);
        let mut results = Vec::with_capacity(count);
        for _ in 0..count {
            results.push(match reader.u8("prefix result type")? {
                1 => SearchResult::Inclusion {
                    depth: reader.u8("depth")?,
                },
                2 => SearchResult::NonInclusionLeaf {
                    leaf: Leaf {
                        key: SearchKey(reader.array("leaf key")?),
                        commitment: Commitment(reader.array("leaf commitment")?),
                    },
                    depth: reader.u8("depth")?,
                },
                3 => SearchResult::NonInclusionParent {
                    depth: reader.u8("depth")?,
                },
                _ => {
                    return Err(DecodeError::Invalid {
                        field: "prefix result type",
                    });
                }
            });
        }
        let count = usize::from(reader.u16("prefix elements")?);
        if count > PREFIX_ELEMENTS_MAX {
            let limit = PREFIX_ELEMENTS_MAX;
            return Err(DecodeError::TooLarge {
                field: "prefix elements",
                limit,
            });
        }
        let bytes = reader.bytes(count * 32, "prefix elements")?;
        let (hashes, _) = bytes.as_chunks::<32>();
        Ok(Self {
            results,
            elements: hashes.iter().copied().map(Hash).collect(),
        })
    }
}

/// The hash at which a search ends, if the end is one that can show what is expected.
fn terminal_hash(
    lookup: usize,
    expectation: &Expectation,
    result: &SearchResult,
) -> Result<Hash, PrefixProofError> {
    match (expectation, result) {
        (Expectation::Included(key, commitment), SearchResult::Inclusion { .. }) => {
            Ok(hash_leaf(&Leaf {
                key: *key,
                commitment: *commitment,
            }))
        }
        (Expectation::Absent(key), SearchResult::NonInclusionLeaf { leaf, depth }) => {
            let depth = usize::from(*depth);
            let on_path = (0..depth).all(|d| key.bit(d) == leaf.key.bit(d));
            if !on_path || leaf.key == *key {
                return Err(PrefixProofError::UnrelatedLeaf { lookup });
            }
            Ok(hash_leaf(leaf))
        }
        (Expectation::Absent(_), SearchResult::NonInclusionParent { .. }) => Ok(Hash::ZERO),
        _ => Err(PrefixProofError::WrongOutcome { lookup }),
    }
}

/// Computes the hash at `depth` above `terminals`, which are sorted and share their first `depth`
/// bits. Recursion ends at the deepest terminal, at most 255 levels down.
fn fold<'a>(
    terminals: &[Terminal],
    depth: usize,
    elements: &mut impl Iterator<Item = &'a Hash>,
) -> Result<Hash, PrefixProofError> {
    let Some(first) = terminals.first() else {
        return elements
            .next()
            .copied()
            .ok_or(PrefixProofError::ElementCount);
    };
    if terminals.iter().any(|terminal| terminal.depth <= depth) {
        // All of these searches end here, at the same thing.
        let agree = |t: &Terminal| t.depth == depth && t.hash == first.hash;
        return if terminals.iter().all(agree) {
            Ok(first.hash)
        } else {
            Err(PrefixProofError::Contradiction)
        };
    }
    let middle = terminals.partition_point(|terminal| !terminal.key.bit(depth));
    let (left, right) = terminals.split_at(middle);
    let left = fold(left, depth + 1, elements)?;
    let right = fold(right, depth + 1, elements)?;
    Ok(hash_parent(&left, &right))
}

/// Proves, for each of at most 255 keys, how its search ends in the tree below `root`.
///
/// # Errors
///
/// Those of reading the tree.
pub fn prove<N: Node>(root: &N, keys: &[SearchKey]) -> Result<Proved, N::Error> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_unstable_by_key(|index| keys[*index]);
    let absent = SearchResult::NonInclusionParent { depth: 0 };
    let mut proved = Proved {
        proof: PrefixProof {
            results: vec![absent; keys.len()],
            elements: Vec::new(),
        },
        commitments: vec![None; keys.len()],
    };
    if !keys.is_empty() {
        descend(root, 0, keys, &order, &mut proved)?;
    } else {
        proved.proof.elements.push(root.hash()?);
    }
    Ok(proved)
}

fn descend<N: Node>(
    node: &N,
    depth: usize,
    keys: &[SearchKey],
    order: &[usize],
    proved: &mut Proved,
) -> Result<(), N::Error> {
    let proof = &mut proved.proof;
    let terminal_depth = || u8::try_from(depth).expect("no two VRF outputs share 255 bits");
    match node.open()? {
        Shape::Absent => {
            let depth = terminal_depth();
            for index in order {
                proof.results[*index] = SearchResult::NonInclusionParent { depth };
            }
        }
        Shape::Leaf(leaf) => {
            let depth = terminal_depth();
            for index in order {
                proof.results[*index] = if keys[*index] == leaf.key {
                    proved.commitments[*index] = Some(leaf.commitment);
                    SearchResult::Inclusion { depth }
                } else {
                    SearchResult::NonInclusionLeaf { leaf, depth }
                };
            }
        }
        Shape::Parent(left, right) => {
            let middle = order.partition_point(|index| !keys[*index].bit(depth));
            let (to_left, to_right) = order.split_at(middle);
            for (child, searches) in [(left, to_left), (right, to_right)] {
                if searches.is_empty() {
                    proved.proof.elements.push(child.hash()?);
                } else {
                    descend(&child, depth + 1, keys, searches, proved)?;
                }
            }
        }
    }
    Ok(())
}
