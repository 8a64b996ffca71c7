//! Account proofs against every lie about a label.

use candor_core::Hash;
use candor_core::answer::{
    AccountProof, AccountProofError, Disclosure, ProvedKeys, Query, VerifiedAccount,
};
use candor_core::crypto::Commitment;
use candor_core::map::PrefixProofError;

use crate::world::{ORIGIN, World};
use crate::{ALICE, BOB, world};

/// Verifies a proof; and again, knowing the search keys of the honest answers.
fn verify(
    world: &World,
    label: &str,
    query: &Query,
    proof: AccountProof,
) -> Result<VerifiedAccount, AccountProofError> {
    let root = world
        .head(world.size())
        .verify(&world.trust(), None, &[], world.now_s);
    let root = root.unwrap().record().prefix_tree;
    let mut keys = ProvedKeys::new(world.vrf.public_key().clone());
    for label in [ALICE, BOB] {
        let honest = world.account(label, &Query::since(0), world.size());
        let label = label.as_bytes();
        // In a world whose map lies it does not verify, and its search keys are proved all the
        // same.
        drop(honest.verify_again(label, &Query::since(0), &mut keys, &root));
    }
    let again = proof
        .clone()
        .verify_again(label.as_bytes(), query, &mut keys, &root);
    let result = proof.verify(label.as_bytes(), query, world.vrf.public_key(), &root);
    assert_eq!(again, result);
    result
}

#[test]
fn honest_answers_verify_and_round_trip() {
    let world = world(6);
    let queries = [
        Query::GREATEST,
        Query::since(0),
        Query::since(3),
        Query::since(9),
    ];
    let few = Query {
        from_version: Some(1),
        max_versions: 2,
    };
    for query in queries.into_iter().chain([few]) {
        for size in 2..=world.size() {
            let proof = world.account(ALICE, &query, size);
            assert_eq!(AccountProof::decode(&proof.encode()).unwrap(), proof);
            let head = world
                .head(size)
                .verify(&world.trust(), None, &[], world.now_s);
            let root = head.unwrap().record().prefix_tree;
            let key = world.vrf.public_key();
            let account = proof.verify(ALICE.as_bytes(), &query, key, &root).unwrap();
            let greatest = u32::try_from(size - 2).unwrap().checked_sub(1);
            assert_eq!(account.greatest(), greatest);
            let opened: Vec<_> = account.opened().iter().map(|v| v.version()).collect();
            assert_eq!(opened, query.opened(greatest));
            for version in account.opened() {
                let value = format!("alice's {}", version.version());
                assert_eq!(version.value(), Some(value.as_bytes()));
            }
        }
    }
}

#[test]
fn no_other_greatest_version_can_be_claimed() {
    for actual in [0, 1, 2, 5] {
        let world = world(actual);
        for claimed in [None].into_iter().chain((0..9).map(Some)) {
            let size = world.size();
            let proof = world.account_claiming(ALICE, &Query::GREATEST, size, claimed);
            let result = verify(&world, ALICE, &Query::GREATEST, proof);
            assert_eq!(
                result.is_ok(),
                claimed == Some(actual),
                "{claimed:?} for {actual}"
            );
        }
    }
}

#[test]
fn a_skipped_version_cannot_be_bridged() {
    // Versions 0, 1 and 3 are in the map, 2 is not.
    let mut world = world(3);
    let skipped = world.epochs[5 - 1].leaves.clone();
    let before = world.epochs[4 - 1].leaves.clone();
    let two: Vec<_> = skipped
        .iter()
        .filter(|leaf| !before.contains(leaf))
        .collect();
    let last = world.epochs.last_mut().unwrap();
    last.leaves.retain(|leaf| !two.contains(&leaf));
    let root = candor_core::map::Leaves::root(&last.leaves).subtree_hash();
    let leaves = last.leaves.len() as u64;
    world.forge_last(|record| {
        record.prefix_tree = root;
        record.leaves = leaves;
    });
    for claimed in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
        let size = world.size();
        let proof = world.account_claiming(ALICE, &Query::since(0), size, claimed);
        let result = verify(&world, ALICE, &Query::since(0), proof);
        assert!(result.is_err(), "{claimed:?}");
    }
}

#[test]
fn every_bit_counts() {
    let mut world = World::new();
    world.add(&[
        (ALICE, b"alice's"),
        (BOB, b"bob's"),
        ("acct:carol", b"carol's"),
    ]);
    let bytes = world.account(ALICE, &Query::GREATEST, 2).encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let accepted =
                AccountProof::decode(&changed).is_ok_and(|proof| verify_at(&world, proof).is_ok());
            assert!(!accepted, "bit {bit} of byte {at}");
        }
        assert!(AccountProof::decode(&bytes[..at]).is_err());
    }
    assert!(AccountProof::decode(&[&bytes[..], &[0]].concat()).is_err());
    assert!(verify_at(&world, AccountProof::decode(&bytes).unwrap()).is_ok());
}

/// As [`verify`], without the cost of the head.
fn verify_at(world: &World, proof: AccountProof) -> Result<VerifiedAccount, AccountProofError> {
    let leaves = &world.epochs.last().unwrap().leaves;
    let root = candor_core::map::Leaves::root(leaves).subtree_hash();
    let key = world.vrf.public_key();
    proof.verify(ALICE.as_bytes(), &Query::GREATEST, key, &root)
}

#[test]
fn each_lie_has_its_name() {
    let world = world(2);
    let query = Query::GREATEST;
    let honest = world.account(ALICE, &query, world.size());
    let refused = |change: &dyn Fn(&mut AccountProof)| {
        let mut proof = honest.clone();
        change(&mut proof);
        verify(&world, ALICE, &query, proof).unwrap_err()
    };
    // The lookups of greatest version 2 are 0, 1, 3, 2; the last one is opened.
    let forged = refused(&|proof| {
        let Disclosure::Opened { value, .. } = &mut proof.lookups[3].disclosure else {
            panic!("version 2 is opened")
        };
        *value = b"mallory's".to_vec();
    });
    assert_eq!(
        forged,
        AccountProofError::Map(PrefixProofError::RootMismatch)
    );
    let swapped = refused(&|proof| {
        let other = proof.lookups[1].vrf_proof;
        proof.lookups[0].vrf_proof = other;
    });
    assert!(matches!(
        swapped,
        AccountProofError::SearchKey { version: 0, .. }
    ));
    assert_eq!(
        refused(&|proof| drop(proof.lookups.pop())),
        AccountProofError::WrongLadder {
            expected: 4,
            actual: 3
        }
    );
    assert_eq!(
        refused(&|proof| proof.lookups[1].disclosure = Disclosure::Absent),
        AccountProofError::Contradiction { version: 1 }
    );
    let commitment = Disclosure::Committed(Commitment([0; 32]));
    assert_eq!(
        refused(&|proof| proof.lookups[2].disclosure = commitment.clone()),
        AccountProofError::Contradiction { version: 3 }
    );
    assert_eq!(
        refused(&|proof| proof.lookups[3].disclosure = commitment.clone()),
        AccountProofError::WrongDisclosure { version: 2 }
    );
    let opened = honest.lookups[3].disclosure.clone();
    assert_eq!(
        refused(&|proof| proof.lookups[0].disclosure = opened.clone()),
        AccountProofError::WrongDisclosure { version: 0 }
    );
    assert!(matches!(
        refused(&|proof| proof.prefix.results.truncate(3)),
        AccountProofError::Map(PrefixProofError::ResultCount { .. })
    ));
}

#[test]
fn erased_versions_are_proved_and_nothing_else_may_be_said_to_be() {
    let world = world(4);
    let query = Query::since(1);
    let whole = world.account(ALICE, &query, world.size());
    let whole = verify(&world, ALICE, &query, whole).unwrap();
    let honest = world.account_erased(ALICE, &query, 3);
    assert_eq!(AccountProof::decode(&honest.encode()).unwrap(), honest);
    let verified = verify(&world, ALICE, &query, honest.clone()).unwrap();
    assert_eq!(verified.greatest(), Some(4));
    for (version, before) in verified.opened().iter().zip(whole.opened()) {
        assert_eq!(version.commitment(), before.commitment());
        let is_kept = version.version() >= 3;
        assert_eq!(version.value(), before.value().filter(|_| is_kept));
    }

    let refused = |query: &Query, at: usize, change: &dyn Fn(Commitment) -> Disclosure| {
        let mut proof = world.account_erased(ALICE, query, 3);
        let version = query.lookups(Some(4))[at];
        let commitment = match &proof.lookups[at].disclosure {
            Disclosure::Committed(commitment) | Disclosure::Erased(commitment) => *commitment,
            Disclosure::Opened { opening, value } => {
                Commitment::new(opening, ALICE.as_bytes(), version, value)
            }
            Disclosure::Absent => Commitment([0; 32]),
        };
        proof.lookups[at].disclosure = change(commitment);
        verify(&world, ALICE, query, proof).unwrap_err()
    };
    let place = |version| {
        let versions = query.lookups(Some(4));
        versions.iter().position(|it| *it == version).unwrap()
    };
    // The greatest version is never erased, and what nobody asked for is not said to be.
    assert_eq!(
        refused(&query, place(4), &Disclosure::Erased),
        AccountProofError::WrongDisclosure { version: 4 }
    );
    assert_eq!(
        refused(&query, place(0), &Disclosure::Erased),
        AccountProofError::WrongDisclosure { version: 0 }
    );
    // Whoever erased says so.
    assert_eq!(
        refused(&query, place(1), &Disclosure::Committed),
        AccountProofError::WrongDisclosure { version: 1 }
    );
    // A version that does not exist was not erased, and an erased one is what it was.
    assert_eq!(
        refused(&query, place(5), &Disclosure::Erased),
        AccountProofError::Contradiction { version: 5 }
    );
    let other = |_| Disclosure::Erased(Commitment([7; 32]));
    assert_eq!(
        refused(&query, place(1), &other),
        AccountProofError::Map(PrefixProofError::RootMismatch)
    );
    assert!(AccountProof::decode(&with_disclosure(&honest, 4)).is_err());
}

/// The encoding of a proof with another byte for how its first lookup is disclosed.
fn with_disclosure(proof: &AccountProof, byte: u8) -> Vec<u8> {
    let mut bytes = proof.encode();
    bytes[1 + 4 + 1 + 80] = byte;
    bytes
}

#[test]
fn an_answer_holds_for_its_label_query_key_and_root_only() {
    let world = world(2);
    let proof = || world.account(ALICE, &Query::GREATEST, world.size());
    assert!(verify(&world, ALICE, &Query::GREATEST, proof()).is_ok());
    assert!(verify(&world, BOB, &Query::GREATEST, proof()).is_err());
    assert!(verify(&world, ALICE, &Query::since(0), proof()).is_err());
    let other_key = World::of(ORIGIN, 2);
    let root = Hash::ZERO;
    let label = ALICE.as_bytes();
    let key = world.vrf.public_key();
    assert!(proof().verify(label, &Query::GREATEST, key, &root).is_err());
    let key = other_key.vrf.public_key();
    assert!(proof().verify(label, &Query::GREATEST, key, &root).is_err());
}
