//! Proof files.

use candor_core::Hash;
use candor_core::account::Label;
use candor_core::answer::{HeadError, ProofFile, ProofFileError, Query};
use candor_core::codec::DecodeError;
use candor_core::epoch::EpochRecord;
use candor_core::limits::LOG_PROOF_HASHES_MAX;

use crate::world::World;
use crate::{ALICE, BOB, world};

fn file(world: &World, label: &str) -> ProofFile {
    let size = world.size();
    ProofFile {
        head: world.head_by(size, &[0, 2], world.now_s),
        second: None,
        config: world.config(size),
        label: Label::parse(label).unwrap(),
        account: world.account(label, &Query::GREATEST, size),
    }
}

#[test]
fn a_file_verifies_offline() {
    let world = world(2);
    let bytes = file(&world, ALICE).to_bytes().unwrap();
    let file = ProofFile::parse(&bytes).unwrap();
    let lookup = file.verify(&world.trust(), None, world.now_s).unwrap();
    assert_eq!(
        lookup.account.newest().unwrap().value(),
        Some(&b"alice's 2"[..])
    );
    let absent = self::file(&world, "acct:nobody");
    let lookup = absent.verify(&world.trust(), None, world.now_s).unwrap();
    assert_eq!(lookup.account.greatest(), None);
}

#[test]
fn a_file_of_a_fork_is_recognised() {
    let (world, mut fork) = (world(2), world(1));
    fork.add(&[(ALICE, b"mallory's")]);
    let known = world
        .head(5)
        .verify(&world.trust(), None, &[], world.now_s)
        .unwrap();
    let result = file(&fork, ALICE).verify(&world.trust(), Some(&known.known()), world.now_s);
    let split = ProofFileError::Head(HeadError::SplitView { size: 5 });
    assert_eq!(result.unwrap_err(), split);
}

#[test]
fn a_file_is_not_of_another_label() {
    let world = world(2);
    let mut file = file(&world, ALICE);
    file.label = Label::parse(BOB).unwrap();
    let result = file.verify(&world.trust(), None, world.now_s);
    assert!(matches!(result, Err(ProofFileError::Account(_))));
}

#[test]
fn what_has_no_room_in_a_file_is_refused() {
    let world = world(2);
    let limit = EpochRecord::BYTES;
    let mut last = file(&world, ALICE);
    last.head.record = vec![0; limit + 1];
    let mut proof = file(&world, ALICE);
    proof.config.inclusion = vec![Hash::default(); LOG_PROOF_HASHES_MAX + 1];
    for (file, field, limit) in [
        (last, "record", limit),
        (proof, "configuration proof", LOG_PROOF_HASHES_MAX),
    ] {
        let too_large = DecodeError::TooLarge { field, limit };
        assert_eq!(file.to_bytes().unwrap_err(), too_large.into());
    }
}

#[test]
fn every_bit_counts() {
    let mut world = World::new();
    world.add(&[(ALICE, b"alice's"), (BOB, b"bob's")]);
    let trust = world.trust();
    let bytes = file(&world, ALICE).to_bytes().unwrap();
    for at in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[at / 8] ^= 1 << (at % 8);
        let accepted = ProofFile::parse(&changed)
            .is_ok_and(|file| file.verify(&trust, None, world.now_s).is_ok());
        assert!(!accepted, "bit {at}");
    }
    for length in 0..bytes.len() {
        // A file that ends after a line is whole, but lacks a signature.
        let accepted = ProofFile::parse(&bytes[..length])
            .is_ok_and(|file| file.verify(&trust, None, world.now_s).is_ok());
        assert!(!accepted, "{length} bytes");
    }
}
