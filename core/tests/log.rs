//! The log's proofs against published vectors, an independent implementation, and tampering.

#![allow(clippy::unwrap_used, clippy::panic)]

use candor_core::Hash;
use candor_core::hash::{Domain, hash_parts};
use candor_core::log::{
    Frontier, NodeSource, ProofError, consistency_roots, leaf_hash, node_hash, prove_consistency,
    prove_inclusion, root, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

/// All leaf hashes of a small log; nodes by the recursive definition of RFC 6962, section 2.1.
struct Leaves(Vec<Hash>);

impl Leaves {
    fn numbered(size: u64) -> Self {
        Self(
            (0..size)
                .map(|index| leaf_hash(&index.to_be_bytes()))
                .collect(),
        )
    }

    fn root(&self, size: u64) -> Hash {
        tree_hash(&self.0[..usize::try_from(size).unwrap()])
    }
}

fn tree_hash(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY_LOG,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&tree_hash(left), &tree_hash(right))
        }
    }
}

impl NodeSource for Leaves {
    type Error = core::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let start = usize::try_from(index << level).unwrap();
        Ok(tree_hash(&self.0[start..start + (1 << level)]))
    }
}

fn hashes(hex: &[&str]) -> Vec<Hash> {
    let parse = |text: &&str| Hash(hex::decode(text).unwrap().try_into().unwrap());
    hex.iter().map(parse).collect()
}

/// The eight leaves, their roots and proofs of Certificate Transparency's own Merkle tree tests
/// (github.com/google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc).
mod certificate_transparency {
    use super::*;

    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];

    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    const A: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const B: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const C: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    const D: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    const E: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    const F: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";

    fn log() -> Leaves {
        Leaves(
            LEAVES
                .iter()
                .map(|leaf| leaf_hash(&hex::decode(leaf).unwrap()))
                .collect(),
        )
    }

    #[test]
    fn roots() {
        let mut frontier = Frontier::new();
        for (leaf, expected) in log().0.iter().zip(hashes(&ROOTS)) {
            frontier.append(*leaf).unwrap();
            assert_eq!(frontier.root(), expected);
            assert_eq!(root(frontier.size(), &log()), Ok(expected));
        }
    }

    #[test]
    fn inclusion() {
        let cases: [(u64, u64, &[&str]); 5] = [
            (0, 1, &[]),
            (0, 8, &[A, B, C]),
            (5, 8, &[D, E, ROOTS[3]]),
            (2, 3, &[ROOTS[1]]),
            (1, 5, &[ROOTS[0], B, D]),
        ];
        for (index, size, proof) in cases {
            let proof = hashes(proof);
            let leaf = log().0[usize::try_from(index).unwrap()];
            let root = hashes(&ROOTS)[usize::try_from(size - 1).unwrap()];
            assert_eq!(prove_inclusion(index, size, &log()).as_ref(), Ok(&proof));
            assert_eq!(verify_inclusion(index, size, &leaf, &proof, &root), Ok(()));
        }
    }

    #[test]
    fn consistency() {
        let cases: [(u64, u64, &[&str]); 4] = [
            (1, 1, &[]),
            (1, 8, &[A, B, C]),
            (6, 8, &[F, E, ROOTS[3]]),
            (2, 5, &[B, D]),
        ];
        for (old, new, proof) in cases {
            let proof = hashes(proof);
            let (old_root, new_root) = (log().root(old), log().root(new));
            assert_eq!(prove_consistency(old, new, &log()).as_ref(), Ok(&proof));
            assert_eq!(
                verify_consistency(old, &old_root, new, &new_root, &proof),
                Ok(())
            );
        }
    }
}

/// RFC 6962's hashes for the independent implementation, which promotes an odd last node as
/// RFC 6962 does.
#[derive(Clone)]
struct Rfc6962;

impl rs_merkle::Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        hash_parts(Domain::LogLeaf, &[data]).0
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        right.map_or(*left, |right| hash_parts(Domain::LogNode, &[left, right]).0)
    }
}

#[test]
fn an_independent_implementation_has_the_same_roots_and_proofs() {
    let log = Leaves::numbered(130);
    let mut frontier = Frontier::new();
    for size in 1..=130 {
        let leaves: Vec<_> = log.0[..size].iter().map(|leaf| leaf.0).collect();
        let oracle = rs_merkle::MerkleTree::<Rfc6962>::from_leaves(&leaves);
        let expected = Hash(oracle.root().unwrap());
        frontier.append(log.0[size - 1]).unwrap();
        assert_eq!(frontier.root(), expected);
        assert_eq!(root(size as u64, &log), Ok(expected));
        for index in (0..size).step_by(1 + size / 16) {
            let theirs: Vec<_> = oracle
                .proof(&[index])
                .proof_hashes()
                .iter()
                .copied()
                .map(Hash)
                .collect();
            assert_eq!(prove_inclusion(index as u64, size as u64, &log), Ok(theirs));
        }
    }
}

/// What a proof can become on the way: each is another sequence of hashes.
fn tampered(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = vec![
        [proof, &[Hash::ZERO]].concat(),
        [&[Hash::ZERO], proof].concat(),
    ];
    for at in 0..proof.len() {
        let mut flipped = proof.to_vec();
        flipped[at].0[(at * 7) % 32] ^= 1 << (at % 8);
        all.push(flipped);
        all.push([&proof[..at], &proof[at + 1..]].concat());
        all.push([&proof[..at], &proof[at..=at], &proof[at..]].concat());
        if at > 0 {
            let mut swapped = proof.to_vec();
            swapped.swap(at - 1, at);
            all.push(swapped);
        }
    }
    all
}

#[test]
fn every_inclusion_proof_verifies_and_nothing_else_does() {
    let log = Leaves::numbered(130);
    for size in 1..=130 {
        let root = log.root(size);
        for index in 0..size {
            let leaf = log.0[usize::try_from(index).unwrap()];
            let proof = prove_inclusion(index, size, &log).unwrap();
            verify_inclusion(index, size, &leaf, &proof, &root).unwrap();
            for other in [index ^ 1, index + 1, index.wrapping_sub(1), index ^ 64] {
                assert!(verify_inclusion(other, size, &leaf, &proof, &root).is_err());
            }
            for other in [&root, &Hash::ZERO] {
                let refused = verify_inclusion(index, size, other, &proof, &root).is_err();
                assert!(refused || size == 1);
            }
            if (index + size) % 7 == 0 {
                for bad in tampered(&proof) {
                    assert!(verify_inclusion(index, size, &leaf, &bad, &root).is_err());
                }
            }
        }
    }
}

#[test]
fn every_consistency_proof_verifies_and_nothing_else_does() {
    let log = Leaves::numbered(70);
    for new in 1..=70 {
        for old in 1..=new {
            let (old_root, new_root) = (log.root(old), log.root(new));
            let proof = prove_consistency(old, new, &log).unwrap();
            verify_consistency(old, &old_root, new, &new_root, &proof).unwrap();
            if old < new {
                for (a, b) in [(&new_root, &new_root), (&old_root, &old_root)] {
                    assert!(verify_consistency(old, a, new, b, &proof).is_err());
                }
                assert!(verify_consistency(new, &new_root, old, &old_root, &proof).is_err());
                assert!(verify_consistency(old - 1, &old_root, new, &new_root, &proof).is_err());
            }
            for bad in tampered(&proof) {
                assert!(verify_consistency(old, &old_root, new, &new_root, &bad).is_err());
            }
        }
    }
}

#[test]
fn a_proof_between_forks_is_refused() {
    let (honest, mut fork) = (Leaves::numbered(50), Leaves::numbered(50));
    fork.0[20] = Hash::ZERO;
    for old in 21..50 {
        let (old_root, new_root) = (honest.root(old), fork.root(50));
        for source in [&honest, &fork] {
            let proof = prove_consistency(old, 50, source).unwrap();
            assert!(verify_consistency(old, &old_root, 50, &new_root, &proof).is_err());
        }
    }
}

#[test]
fn a_consistency_proof_tells_both_roots_but_not_the_older_of_a_power_of_two() {
    let log = Leaves::numbered(70);
    for new in 1..=70 {
        for old in 1..=new {
            let (old_root, new_root) = (log.root(old), log.root(new));
            let proof = prove_consistency(old, new, &log).unwrap();
            let told = |given: &Hash| consistency_roots(old, given, new, &proof).unwrap();
            assert_eq!(told(&old_root), (old_root, new_root));
            let needs_root = old.is_power_of_two() || old == new;
            let without = told(&Hash::ZERO);
            assert_eq!(without == (old_root, new_root), !needs_root, "{old} {new}");
            for bad in tampered(&proof) {
                let told = consistency_roots(old, &old_root, new, &bad);
                assert_ne!(told, Ok((old_root, new_root)));
            }
        }
    }
    assert_eq!(
        consistency_roots(5, &Hash::ZERO, 4, &[]),
        Err(ProofError::SizeDecreased {
            old_size: 5,
            new_size: 4
        })
    );
    let empty = consistency_roots(0, &Hash::EMPTY_LOG, 4, &[]);
    assert_eq!(
        empty,
        Err(ProofError::IndexOutOfRange { index: 0, size: 0 })
    );
}

#[test]
fn impossible_proofs_are_the_callers_fault() {
    let log = Leaves::numbered(3);
    let size = u64::MAX;
    assert_eq!(
        root(size, &log),
        Err(ProofError::SizeTooLarge { size }.into())
    );
    assert_eq!(
        prove_inclusion(0, size, &log),
        Err(ProofError::SizeTooLarge { size }.into())
    );
    assert_eq!(
        prove_inclusion(3, 3, &log),
        Err(ProofError::IndexOutOfRange { index: 3, size: 3 }.into())
    );
    assert_eq!(
        prove_consistency(3, 2, &log),
        Err(ProofError::SizeDecreased {
            old_size: 3,
            new_size: 2
        }
        .into())
    );
    assert_eq!(prove_consistency(0, 3, &log), Ok(Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_bit_of_an_inclusion_proof_is_noticed(
        (size, index) in (2u64..130).prop_flat_map(|size| (Just(size), 0..size)),
        bit in any::<prop::sample::Index>(),
    ) {
        let log = Leaves::numbered(size);
        let leaf = log.0[usize::try_from(index).unwrap()];
        let mut proof = prove_inclusion(index, size, &log).unwrap();
        let bit = bit.index(proof.len() * 256);
        proof[bit / 256].0[bit / 8 % 32] ^= 1 << (bit % 8);
        prop_assert_eq!(
            verify_inclusion(index, size, &leaf, &proof, &log.root(size)),
            Err(ProofError::RootMismatch)
        );
    }

    #[test]
    fn any_changed_bit_of_a_consistency_proof_is_noticed(
        (new, old) in (2u64..130).prop_flat_map(|new| (Just(new), 1..new)),
        bit in any::<prop::sample::Index>(),
    ) {
        let log = Leaves::numbered(new);
        let mut proof = prove_consistency(old, new, &log).unwrap();
        let bit = bit.index(proof.len() * 256);
        proof[bit / 256].0[bit / 8 % 32] ^= 1 << (bit % 8);
        prop_assert!(
            verify_consistency(old, &log.root(old), new, &log.root(new), &proof).is_err()
        );
    }

    #[test]
    fn arbitrary_sizes_and_proofs_never_panic(
        first in any::<u64>(),
        second in any::<u64>(),
        length in 0usize..70,
    ) {
        let proof = vec![Hash::ZERO; length];
        let root = Hash([1; 32]);
        prop_assert!(verify_inclusion(first, second, &root, &proof, &Hash::ZERO).is_err());
        prop_assert!(verify_consistency(first, &root, second, &Hash::ZERO, &proof).is_err());
    }
}
