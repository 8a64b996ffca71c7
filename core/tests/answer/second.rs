//! Second heads: what slower witnesses must have seen of the log.

use candor_core::answer::{
    ProofFile, ProofFileError, Query, SecondHead, SecondHeadError, Trust, TrustError,
};
use candor_core::log::ProofError;
use candor_core::note::{FreshnessError, NoteSigner as _, Policy, PolicyError};

use crate::world::World;
use crate::{ALICE, world};

const MAX_AGE_S: u64 = 600;

/// Verifies a second head under the first one of `world`.
fn verify(world: &World, second: &SecondHead, now_s: u64) -> Result<u64, SecondHeadError> {
    let trust = world.trust_both(MAX_AGE_S);
    let head = world.head_by(world.size(), &[0, 2], now_s);
    let head = head.verify(&trust, None, &[], now_s).unwrap();
    let verified = second.verify(trust.second().unwrap(), head.checkpoint(), now_s)?;
    Ok(verified.checkpoint().size())
}

#[test]
fn every_size_up_to_the_first_head_is_accepted() {
    let world = world(4);
    for size in 2..=world.size() {
        let second = world.second(size, world.size(), world.now_s);
        assert_eq!(verify(&world, &second, world.now_s), Ok(size));
    }
}

#[test]
fn a_second_head_has_an_age_of_its_own() {
    let world = world(3);
    let second = world.second(4, world.size(), world.now_s);
    assert_eq!(verify(&world, &second, world.now_s + MAX_AGE_S), Ok(4));
    let stale = SecondHeadError::Freshness(FreshnessError::Stale {
        age_s: MAX_AGE_S + 1,
        max_age_s: MAX_AGE_S,
    });
    let result = verify(&world, &second, world.now_s + MAX_AGE_S + 1);
    assert_eq!(result, Err(stale));
    let result = verify(&world, &second, world.now_s - 301);
    let in_future = matches!(
        result,
        Err(SecondHeadError::Freshness(FreshnessError::InFuture { .. }))
    );
    assert!(in_future);
}

#[test]
fn a_second_head_is_part_of_the_first() {
    let (long, short) = (world(5), world(2));
    let (size, now_s) = (short.size(), short.now_s);
    let second = SecondHead {
        consistency: Vec::new(),
        ..long.second(size + 1, size + 1, now_s)
    };
    let larger = SecondHeadError::Larger {
        size: size + 1,
        first: size,
    };
    assert_eq!(verify(&short, &second, now_s), Err(larger));
    let mut fork = world(1);
    fork.add(&[(ALICE, b"mallory's")]);
    assert_eq!(fork.size(), size);
    let second = fork.second(size, size, now_s);
    let split = Err(SecondHeadError::SplitView { size });
    assert_eq!(verify(&short, &second, now_s), split);
    // The longer log does not go on from the fork, whatever proof is shown.
    let honest = long.second(size, long.size(), now_s);
    for consistency in [Vec::new(), honest.consistency.clone()] {
        let second = SecondHead {
            consistency,
            ..fork.second(size, size, now_s)
        };
        let result = verify(&long, &second, now_s);
        assert!(matches!(result, Err(SecondHeadError::Inconsistent { .. })));
    }
    let mut padded = honest.clone();
    padded.consistency.push(candor_core::Hash([0; 32]));
    let result = verify(&long, &padded, now_s);
    assert!(matches!(
        result,
        Err(SecondHeadError::Inconsistent {
            source: ProofError::WrongLength { .. },
            ..
        })
    ));
    let beginning = SecondHead {
        consistency: long.consistency(1, long.size()),
        ..long.second(1, 1, now_s)
    };
    let result = verify(&long, &beginning, now_s);
    assert_eq!(result, Err(SecondHeadError::NoEpoch));
}

#[test]
fn a_second_head_satisfies_its_own_policy() {
    let world = world(3);
    let (size, now_s) = (world.size(), world.now_s);
    let by = |witnesses: &[usize]| SecondHead {
        checkpoint: world.head_by(4, witnesses, now_s).checkpoint,
        consistency: world.consistency(4, size),
    };
    let unmet = Err(SecondHeadError::Policy(PolicyError::QuorumNotMet));
    assert_eq!(verify(&world, &by(&[0, 2]), now_s), unmet);
    assert_eq!(verify(&world, &by(&[0, 1]), now_s), Ok(4));
    let garbage = SecondHead {
        checkpoint: b"garbage".to_vec(),
        consistency: Vec::new(),
    };
    let result = verify(&world, &garbage, now_s);
    assert!(matches!(result, Err(SecondHeadError::Note(_))));
    let mut other = World::of("other.example", 2);
    other.add(&[]);
    let result = verify(&world, &other.second(2, 2, now_s), now_s);
    assert!(matches!(
        result,
        Err(SecondHeadError::Policy(PolicyError::Log(_)))
    ));
}

#[test]
fn a_second_policy_is_of_the_same_log_and_asks_for_witnesses() {
    let world = World::new();
    let error = |text: String| {
        let policy = Policy::parse(text.as_bytes()).unwrap();
        world.trust().and_second(policy, MAX_AGE_S).err()
    };
    assert_eq!(error(world.policy()), None);
    // The map witness is the first policy's to ask for.
    let by_b = world.policy().replace("quorum both", "quorum B");
    assert_eq!(error(by_b), None);
    let by_none = world.policy().replace("quorum both", "quorum none");
    assert_eq!(error(by_none), Some(TrustError::SecondWithoutWitnesses));
    assert_eq!(error("quorum none\n".to_owned()), Some(TrustError::NoLog));
    // Another key of the same name is another log, too.
    for other in [
        World::of("other.example", 2),
        World::of(crate::world::ORIGIN, 3),
    ] {
        let two = format!("log {}\n{}", other.log.verifier_key(), world.policy());
        assert_eq!(error(two), Some(TrustError::SecondOtherLog));
    }
}

fn file(world: &World) -> ProofFile {
    let size = world.size();
    ProofFile {
        head: world.head_by(size, &[0, 2], world.now_s),
        second: Some(world.second(3, size, world.now_s)),
        config: world.config(size),
        label: candor_core::account::Label::parse(ALICE).unwrap(),
        account: world.account(ALICE, &Query::GREATEST, size),
    }
}

#[test]
fn a_file_carries_a_second_head_for_those_who_ask_for_one() {
    let world = world(2);
    let verify = |bytes: &[u8], trust: &Trust| {
        let lookup = ProofFile::parse(bytes)?.verify(trust, None, world.now_s)?;
        Ok::<_, ProofFileError>(lookup.second.map(|second| second.checkpoint().size()))
    };
    let (one, both) = (world.trust(), world.trust_both(MAX_AGE_S));
    let bytes = file(&world).to_bytes().unwrap();
    assert_eq!(verify(&bytes, &both), Ok(Some(3)));
    assert_eq!(verify(&bytes, &one), Ok(None));
    let without = ProofFile {
        second: None,
        ..file(&world)
    };
    let without = without.to_bytes().unwrap();
    let missing = Err(ProofFileError::Second(SecondHeadError::Missing));
    assert_eq!(verify(&without, &both), missing);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(verify(&changed, &both).is_err(), "byte {at}");
    }
    assert!(verify(&bytes[..bytes.len() - 1], &both).is_err());
}
