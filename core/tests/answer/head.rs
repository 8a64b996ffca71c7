//! Heads against every lie about the log.

use candor_core::Hash;
use candor_core::answer::{HeadError, HeadProof, KnownHead, MAX_AGE_S, SKEW_S, VerifiedHead};
use candor_core::epoch::{EpochRecord, RecordOrderError};
use candor_core::note::{FreshnessError, LogVerifyError, PolicyError};

use crate::world::{START_S, World};
use crate::{ALICE, world};

fn verify(
    world: &World,
    head: &HeadProof,
    known: Option<&KnownHead>,
    consistency: &[Hash],
) -> Result<VerifiedHead, HeadError> {
    head.verify(&world.trust(), known, consistency, world.now_s)
}

fn known(world: &World, size: u64) -> KnownHead {
    verify(world, &world.head(size), None, &[]).unwrap().known()
}

#[test]
fn honest_heads_follow_each_other() {
    let world = world(6);
    for old in 2..=world.size() {
        let old_head = known(&world, old);
        assert_eq!(KnownHead::decode(&old_head.encode()).unwrap(), old_head);
        for new in old..=world.size() {
            let consistency = world.consistency(old, new);
            let head = verify(&world, &world.head(new), Some(&old_head), &consistency);
            assert_eq!(head.unwrap().epoch(), new - 1);
        }
    }
}

#[test]
fn a_known_head_has_one_encoding() {
    let bytes = known(&world(0), 3).encode();
    assert_eq!(bytes.len(), 88);
    for length in 0..bytes.len() {
        assert!(KnownHead::decode(&bytes[..length]).is_err());
    }
    assert!(KnownHead::decode(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn a_quorum_must_have_cosigned_lately() {
    let world = world(0);
    let size = world.size();
    let now_s = world.now_s;
    let result = |witnesses: &[usize], time_s| {
        verify(&world, &world.head_by(size, witnesses, time_s), None, &[])
    };
    let quorum = HeadError::Policy(PolicyError::QuorumNotMet);
    assert_eq!(result(&[0, 1], now_s), Err(quorum.clone()));
    assert_eq!(result(&[2], now_s), Err(quorum));
    assert!(result(&[1, 2], now_s).is_ok());
    assert!(result(&[0, 2], now_s - MAX_AGE_S).is_ok());
    assert!(matches!(
        result(&[0, 1, 2], now_s - MAX_AGE_S - 1),
        Err(HeadError::Freshness(FreshnessError::Stale { .. }))
    ));
    assert!(result(&[0, 2], now_s + SKEW_S).is_ok());
    assert!(matches!(
        result(&[0, 2], now_s + SKEW_S + 1),
        Err(HeadError::Freshness(FreshnessError::InFuture { .. }))
    ));
}

#[test]
fn the_log_must_not_shrink_fork_or_hide_how_it_grew() {
    let world = world(3);
    let mut fork = crate::world(1);
    fork.add(&[(ALICE, b"mallory's")])
        .add(&[(ALICE, b"alice's 3")]);
    let known = known(&world, 5);
    let at = |world: &World, size, consistency: &[Hash]| {
        verify(world, &world.head(size), Some(&known), consistency)
    };
    assert_eq!(
        at(&world, 4, &[]),
        Err(HeadError::RolledBack { size: 4, known: 5 })
    );
    assert_eq!(at(&fork, 5, &[]), Err(HeadError::SplitView { size: 5 }));
    let inconsistent = [
        at(&fork, 6, &fork.consistency(5, 6)),
        at(&world, 6, &fork.consistency(5, 6)),
        at(&world, 6, &[]),
        at(&world, 5, &world.consistency(5, 6)),
    ];
    for result in inconsistent {
        assert!(matches!(
            result,
            Err(HeadError::Inconsistent { known: 5, .. })
        ));
    }
    assert!(at(&world, 6, &world.consistency(5, 6)).is_ok());
}

#[test]
fn the_record_is_the_newest_and_follows_what_is_known() {
    let world = world(2);
    let size = world.size();
    let older = HeadProof {
        record: world.head(size - 1).record,
        ..world.head(size)
    };
    assert!(matches!(
        verify(&world, &older, None, &[]),
        Err(HeadError::NotNewest(_))
    ));
    let config = HeadProof {
        record: world.config(size).config,
        ..world.head(size)
    };
    assert!(matches!(
        verify(&world, &config, None, &[]),
        Err(HeadError::Record(_))
    ));
    let empty = World::new();
    assert_eq!(
        verify(&empty, &empty.head(1), None, &[]),
        Err(HeadError::NoEpoch)
    );
    let known = known(&world, size - 1);
    let forged = |change: fn(&mut EpochRecord)| {
        let mut world = crate::world(2);
        world.forge_last(change);
        let consistency = world.consistency(size - 1, size);
        verify(&world, &world.head(size), Some(&known), &consistency)
    };
    assert_eq!(
        forged(|record| record.timestamp_ms = START_S * 1000),
        Err(HeadError::Order(RecordOrderError::TimeWentBack))
    );
    assert_eq!(
        forged(|record| record.leaves = 1),
        Err(HeadError::Order(RecordOrderError::LeavesWentBack))
    );
    assert!(forged(|_| ()).is_ok());
}

#[test]
fn no_bit_of_a_head_changes_what_is_believed() {
    let world = world(2);
    let trust = world.trust();
    let head = world.head(world.size());
    let honest = verify(&world, &head, None, &[]).unwrap().known();
    let check = |head: HeadProof, what: &str| {
        // A line of a witness that the quorum can do without may become unknown.
        if let Ok(verified) = head.verify(&trust, None, &[], world.now_s) {
            assert_eq!(verified.known(), honest, "{what}");
            assert!(what.starts_with("checkpoint"), "{what}");
        }
    };
    for at in 0..head.checkpoint.len() * 8 {
        let mut changed = head.clone();
        changed.checkpoint[at / 8] ^= 1 << (at % 8);
        check(changed, &format!("checkpoint, bit {at}"));
    }
    for at in 0..head.record.len() * 8 {
        let mut changed = head.clone();
        changed.record[at / 8] ^= 1 << (at % 8);
        check(changed, &format!("record, bit {at}"));
    }
    for at in 0..head.inclusion.len() * 256 {
        let mut changed = head.clone();
        changed.inclusion[at / 256].0[at / 8 % 32] ^= 1 << (at % 8);
        check(changed, &format!("inclusion, bit {at}"));
    }
}

#[test]
fn another_log_and_a_forged_signature_are_refused() {
    let world = world(0);
    let mut other = World::of("other.example", 1);
    other.add(&[(ALICE, b"alice's")]);
    let unknown = PolicyError::Log(LogVerifyError::UnknownOrigin);
    assert_eq!(
        verify(&world, &other.head(2), None, &[]),
        Err(HeadError::Policy(unknown))
    );
    let note = String::from_utf8(world.head(3).checkpoint).unwrap();
    let other_note = String::from_utf8(world.head(2).checkpoint).unwrap();
    let line = |text: &str, at| text.lines().nth(at).unwrap().to_owned();
    // Lines 4 to 7 are by the log, A, B and M.
    for at in 4..8 {
        let checkpoint = note.replace(&line(&note, at), &line(&other_note, at));
        let head = HeadProof {
            checkpoint: checkpoint.into_bytes(),
            ..world.head(3)
        };
        let Err(HeadError::Policy(error)) = verify(&world, &head, None, &[]) else {
            panic!("line {at} is accepted")
        };
        let by_log = matches!(
            error,
            PolicyError::Log(LogVerifyError::InvalidSignature { .. })
        );
        let by_witness = matches!(error, PolicyError::InvalidCosignature { .. });
        assert_eq!((by_log, by_witness), (at == 4, at != 4));
    }
}
