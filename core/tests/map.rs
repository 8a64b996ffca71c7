//! The map against a naive reference, and its proofs against every small change.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;

use candor_core::Hash;
use candor_core::codec::Reader;
use candor_core::crypto::{Commitment, SearchKey};
use candor_core::map::{
    AuditDelta, Expectation, Leaf, Leaves, PrefixProof, Proved, hash_leaf, hash_parent, prove,
};
use proptest::prelude::*;

type Tree = BTreeMap<[u8; 32], [u8; 32]>;

/// The definition of the tree, written as directly as it can be.
fn naive_root(tree: &Tree, prefix: &mut Vec<bool>) -> Hash {
    let has_prefix = |key: &[u8; 32]| {
        prefix
            .iter()
            .enumerate()
            .all(|(d, bit)| (key[d / 8] & (0x80 >> (d % 8)) != 0) == *bit)
    };
    let below: Vec<_> = tree.iter().filter(|(key, _)| has_prefix(key)).collect();
    match below.as_slice() {
        [] => Hash::ZERO,
        [(key, commitment)] => hash_leaf(&Leaf {
            key: SearchKey(**key),
            commitment: Commitment(**commitment),
        }),
        _ => {
            prefix.push(false);
            let left = naive_root(tree, prefix);
            *prefix.last_mut().unwrap() = true;
            let right = naive_root(tree, prefix);
            prefix.pop();
            hash_parent(&left, &right)
        }
    }
}

/// Keys that share long prefixes as well as keys that do not.
fn any_key() -> impl Strategy<Value = [u8; 32]> {
    prop_oneof![
        any::<[u8; 32]>(),
        (0u8..4, 0u8..4, 0usize..31).prop_map(|(a, b, at)| {
            let mut key = [0; 32];
            key[0] = a << 6;
            key[at] |= b;
            key
        }),
    ]
}

fn any_tree(most: usize) -> impl Strategy<Value = Tree> {
    prop::collection::btree_map(any_key(), any::<[u8; 32]>(), 0..most)
}

fn leaves_of(tree: &Tree) -> Vec<Leaf> {
    let leaf = |(key, commitment): (&[u8; 32], &[u8; 32])| Leaf {
        key: SearchKey(*key),
        commitment: Commitment(*commitment),
    };
    tree.iter().map(leaf).collect()
}

fn expectation(tree: &Tree, key: &[u8; 32]) -> Expectation {
    match tree.get(key) {
        Some(commitment) => Expectation::Included(SearchKey(*key), Commitment(*commitment)),
        None => Expectation::Absent(SearchKey(*key)),
    }
}

fn encode(proof: &PrefixProof) -> Vec<u8> {
    let mut bytes = Vec::new();
    proof.encode_to(&mut bytes);
    bytes
}

fn verifies(bytes: &[u8], lookups: &[Expectation], root: &Hash) -> bool {
    let mut reader = Reader::new(bytes);
    PrefixProof::decode_from(&mut reader)
        .is_ok_and(|proof| reader.finish().is_ok() && proof.verify(lookups, root).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_root_is_that_of_the_definition(tree in any_tree(40)) {
        let root = Leaves::root(&leaves_of(&tree)).subtree_hash();
        prop_assert_eq!(root, naive_root(&tree, &mut Vec::new()));
    }

    #[test]
    fn honest_proofs_verify_and_round_trip(
        tree in any_tree(40),
        others in prop::collection::vec(any_key(), 0..8),
        order in any::<prop::sample::Index>(),
    ) {
        let leaves = leaves_of(&tree);
        let mut keys: Vec<_> = tree.keys().take(8).copied().chain(others).collect();
        if !keys.is_empty() {
            let middle = order.index(keys.len());
            keys.rotate_left(middle);
        }
        let searched: Vec<_> = keys.iter().map(|key| SearchKey(*key)).collect();
        let Ok(Proved { proof, commitments }) = prove(&Leaves::root(&leaves), &searched);
        let lookups: Vec<_> = keys.iter().map(|key| expectation(&tree, key)).collect();
        let found = lookups.iter().map(|lookup| match lookup {
            Expectation::Included(_, commitment) => Some(*commitment),
            Expectation::Absent(_) => None,
        });
        prop_assert!(found.eq(commitments));
        let root = Leaves::root(&leaves).subtree_hash();
        prop_assert_eq!(proof.verify(&lookups, &root), Ok(()));
        prop_assert!(verifies(&encode(&proof), &lookups, &root));
    }

    #[test]
    fn no_proof_shows_the_opposite(
        tree in any_tree(20),
        key in any_key(),
        commitment in any::<[u8; 32]>(),
    ) {
        let leaves = leaves_of(&tree);
        let root = Leaves::root(&leaves).subtree_hash();
        let Ok(Proved { proof, .. }) = prove(&Leaves::root(&leaves), &[SearchKey(key)]);
        let truth = expectation(&tree, &key);
        let lie = match truth {
            Expectation::Included(key, _) => Expectation::Absent(key),
            Expectation::Absent(key) => Expectation::Included(key, Commitment(commitment)),
        };
        prop_assert!(proof.verify(&[lie], &root).is_err());
        prop_assert!(proof.verify(&[truth, truth], &root).is_err());
        prop_assert!(proof.verify(&[], &root).is_err());
    }

    #[test]
    fn any_batches_give_the_root_of_all_leaves_and_verifiable_deltas(
        tree in any_tree(60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        // Commitments are random: their order is a random order of insertion.
        let mut queue = leaves_of(&tree);
        queue.sort_by_key(|leaf| leaf.commitment.0);
        let mut bounds: Vec<_> = cuts.iter().map(|cut| cut.index(queue.len() + 1)).collect();
        bounds.extend([0, queue.len()]);
        bounds.sort_unstable();
        let mut present: Vec<Leaf> = Vec::new();
        for pair in bounds.windows(2) {
            let mut batch = queue[pair[0]..pair[1]].to_vec();
            batch.sort_by_key(|leaf| leaf.key);
            let before = Leaves::root(&present).subtree_hash();
            let Ok(delta) = AuditDelta::build(&Leaves::root(&present), &batch);
            present.extend_from_slice(&batch);
            present.sort_by_key(|leaf| leaf.key);
            let after = Leaves::root(&present).subtree_hash();
            let verified = delta.verify(&before, &after).unwrap();
            prop_assert_eq!(verified.inserts(), batch.as_slice());
            prop_assert!(batch.is_empty() || delta.verify(&after, &after).is_err());
        }
        prop_assert_eq!(
            Leaves::root(&present).subtree_hash(),
            naive_root(&tree, &mut Vec::new())
        );
    }
}

/// Spread keys, some of which share more than a byte.
fn some_tree(count: u16) -> Tree {
    (0..count)
        .map(|n| {
            let spread = n.wrapping_mul(40503).to_be_bytes();
            let mut key = [0x5a; 32];
            key[0] = spread[0] & 0xf0;
            key[2] = spread[1];
            key[3] = u8::try_from(n % 251).unwrap();
            (key, [u8::try_from(n % 256).unwrap(); 32])
        })
        .collect()
}

/// Every way to damage a byte string a little.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let flips = (0..bytes.len() * 8).map(move |bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    });
    let cuts = (0..bytes.len()).map(move |length| bytes[..length].to_vec());
    let more = [0u8, 1, 0xff]
        .into_iter()
        .map(move |last| [bytes, &[last]].concat());
    flips.chain(cuts).chain(more)
}

#[test]
fn every_damaged_proof_is_refused() {
    let tree = some_tree(60);
    let leaves = leaves_of(&tree);
    let root = Leaves::root(&leaves).subtree_hash();
    let mut absent = leaves[10].key.0;
    absent[31] ^= 1;
    let keys = [leaves[10].key.0, absent, [0xff; 32], leaves[3].key.0];
    let lookups: Vec<_> = keys.iter().map(|key| expectation(&tree, key)).collect();
    let Ok(Proved { proof, .. }) = prove(&Leaves::root(&leaves), &keys.map(SearchKey));
    let bytes = encode(&proof);
    assert!(verifies(&bytes, &lookups, &root));
    for (index, changed) in damaged(&bytes).enumerate() {
        assert!(
            !verifies(&changed, &lookups, &root),
            "change {index} was accepted"
        );
    }
}

#[test]
fn every_reordered_or_shortened_proof_is_refused() {
    let tree = some_tree(60);
    let leaves = leaves_of(&tree);
    let root = Leaves::root(&leaves).subtree_hash();
    let keys = [leaves[1].key, leaves[20].key, SearchKey([0xff; 32])];
    let lookups: Vec<_> = keys.iter().map(|key| expectation(&tree, &key.0)).collect();
    let Ok(Proved { proof, .. }) = prove(&Leaves::root(&leaves), &keys);
    for first in 0..proof.elements.len() {
        for second in first + 1..proof.elements.len() {
            let mut changed = proof.clone();
            changed.elements.swap(first, second);
            let same = changed == proof;
            assert_eq!(
                changed.verify(&lookups, &root).is_ok(),
                same,
                "{first} {second}"
            );
        }
        let mut changed = proof.clone();
        changed.elements.remove(first);
        assert!(changed.verify(&lookups, &root).is_err());
    }
    let mut swapped = lookups;
    swapped.swap(0, 2);
    assert!(proof.verify(&swapped, &root).is_err());
}

#[test]
fn every_damaged_delta_is_refused() {
    let all = leaves_of(&some_tree(60));
    let part = |inserted: bool| -> Vec<Leaf> {
        let chosen = all
            .iter()
            .enumerate()
            .filter(|(index, _)| (index % 7 == 0) == inserted);
        chosen.map(|(_, leaf)| *leaf).collect()
    };
    let (present, batch) = (part(false), part(true));
    let before = Leaves::root(&present).subtree_hash();
    let after = Leaves::root(&all).subtree_hash();
    let Ok(delta) = AuditDelta::build(&Leaves::root(&present), &batch);
    delta.verify(&before, &after).unwrap();
    for (index, changed) in damaged(delta.as_bytes()).enumerate() {
        let changed = AuditDelta::from_bytes(changed).unwrap();
        assert!(
            changed.verify(&before, &after).is_err(),
            "change {index} was accepted"
        );
    }
}

/// A log that rewrites a value cannot express it as a delta: neither by inserting the key again
/// nor by stating the old leaf beside it.
#[test]
fn a_delta_cannot_replace_a_value() {
    let old = Leaf {
        key: SearchKey([1; 32]),
        commitment: Commitment([1; 32]),
    };
    let new = Leaf {
        key: SearchKey([1; 32]),
        commitment: Commitment([2; 32]),
    };
    let before = Leaves::root(&[old]).subtree_hash();
    let after = Leaves::root(&[new]).subtree_hash();
    for stated in [
        vec![0u8],
        [&[1u8][..], &old.key.0, &old.commitment.0].concat(),
    ] {
        let mut bytes = 1u32.to_be_bytes().to_vec();
        bytes.extend(new.key.0);
        bytes.extend(new.commitment.0);
        bytes.extend(stated);
        let delta = AuditDelta::from_bytes(bytes).unwrap();
        assert!(delta.verify(&before, &after).is_err());
    }
}
