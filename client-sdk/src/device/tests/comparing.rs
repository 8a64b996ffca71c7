//! Comparing codes, and public codes.

use candor_core::verification::{ComparisonError, ComparisonMessage, PublicCode};

use super::log::*;
use crate::device::*;

fn begin(phone: &mut Phone, log: &mut Log, with: &str) -> ComparisonMessage {
    match phone.run(
        log,
        Command::Compare(label(with), [phone.me.device.id[0]; 32]),
    ) {
        Outcome::Compare(Ok(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn receive(
    phone: &mut Phone,
    from: &str,
    message: &ComparisonMessage,
) -> Result<Option<ComparisonMessage>, ComparisonError> {
    phone
        .machine
        .compare_receive(phone.now_s, &label(from), message)
}

/// Statement 15.
#[test]
fn codes_are_compared_with_saved_contacts_only_and_after_both_tapped() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    let outcome = alice.run(&mut log, Command::Compare(label(CAROL), [1; 32]));
    assert!(matches!(outcome, Outcome::NotSaved));
    let from_alice = begin(&mut alice, &mut log, BOB);
    // Bob has not tapped: his device makes nothing of it.
    assert_eq!(
        receive(&mut bob, ALICE, &from_alice),
        Err(ComparisonError::Over)
    );
    assert_eq!(alice.machine.compare_code(&label(BOB)), None);
    let from_bob = begin(&mut bob, &mut log, ALICE);
    let reveal = receive(&mut bob, ALICE, &from_alice).unwrap().unwrap();
    assert_eq!(bob.machine.compare_code(&label(ALICE)), None);
    let other = receive(&mut alice, BOB, &from_bob).unwrap().unwrap();
    receive(&mut alice, BOB, &reveal).unwrap();
    receive(&mut bob, ALICE, &other).unwrap();
    let code = alice.machine.compare_code(&label(BOB)).unwrap();
    assert_eq!(bob.machine.compare_code(&label(ALICE)), Some(code));
}

/// Statement 18.
#[test]
fn equal_codes_mark_the_contact_and_different_ones_store_nothing() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    // Without a code there is nothing to say.
    begin(&mut alice, &mut log, BOB);
    assert_eq!(
        alice.machine.compare_finish(&label(BOB), true),
        Compared::NothingShown
    );
    verify_with(&mut log, &mut alice, &mut bob, false);
    assert!(!alice.machine.contacts().any(|(_, is_verified)| is_verified));
    verify_with(&mut log, &mut alice, &mut bob, true);
    alice.restart();
    assert!(alice.machine.contacts().all(|(_, is_verified)| is_verified));
    assert_eq!(alice.check(&mut log, BOB).unwrap().level, Level::Verified);
    // A session runs once.
    assert_eq!(
        alice.machine.compare_finish(&label(BOB), true),
        Compared::NothingShown
    );
}

/// Statement 16.
#[test]
fn a_man_in_the_middle_makes_no_equal_codes() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    // The meddler plays a key of its own to each side.
    let mut log_of_alice = Log::default();
    log_of_alice
        .accounts
        .insert(label(ALICE), log.accounts[&label(ALICE)].clone());
    let mut mallory = Phone::enrolled(&mut log_of_alice, BOB, 66, 66);
    mallory.save(&mut log_of_alice, ALICE);
    let mut victim = Phone::new(identity(ALICE, 1, Some(1)));
    victim.save(&mut log_of_alice, BOB);
    let from_alice = begin(&mut victim, &mut log_of_alice, BOB);
    let from_mallory = begin(&mut mallory, &mut log_of_alice, ALICE);
    let reveal = receive(&mut mallory, ALICE, &from_alice).unwrap().unwrap();
    receive(&mut victim, BOB, &from_mallory).unwrap();
    receive(&mut victim, BOB, &reveal).unwrap();
    let shown = victim.machine.compare_code(&label(BOB)).unwrap();
    // Bob compares with whom he takes for Alice, over the same meddler.
    let from_bob = begin(&mut bob, &mut log, ALICE);
    begin(&mut alice, &mut log, BOB);
    receive(&mut bob, ALICE, &from_alice).unwrap();
    assert_eq!(
        receive(&mut bob, ALICE, &reveal),
        Err(ComparisonError::NotOpened)
    );
    assert_eq!(bob.machine.compare_code(&label(ALICE)), None);
    assert_ne!(from_bob, from_mallory);
    assert!(shown.to_string().len() > 8);
}

/// Statement 16.
#[test]
fn sessions_expire() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    begin(&mut alice, &mut log, BOB);
    let from_bob = begin(&mut bob, &mut log, ALICE);
    alice.now_s += 3600;
    assert_eq!(
        receive(&mut alice, BOB, &from_bob),
        Err(ComparisonError::Expired)
    );
    assert_eq!(
        receive(&mut alice, BOB, &from_bob),
        Err(ComparisonError::Over)
    );
}

/// Statement 19.
#[test]
fn the_public_code_stands_for_the_account_key_whatever_devices_come_and_go() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    let code = alice.machine.public_code().unwrap();
    alice.edit(&mut log, Edit::AddDevice(phone(5))).unwrap();
    alice.restart();
    assert_eq!(alice.machine.public_code(), Some(code));
    let other = Phone::new(identity(ALICE, 1, Some(2)));
    assert_ne!(other.machine.public_code(), Some(code));
    assert_eq!(
        Phone::new(identity(ALICE, 1, None)).machine.public_code(),
        None
    );
}

/// Statement 20.
#[test]
fn a_public_code_marks_the_contact_or_is_told_to_differ() {
    let mut log = Log::default();
    let (mut alice, bob) = alice_and_bob(&mut log);
    let enter = |alice: &mut Phone, log: &mut Log, code: PublicCode| match alice
        .run(log, Command::EnterCode(label(BOB), code))
    {
        Outcome::Code(Ok(entered)) => entered,
        other => panic!("{other:?}"),
    };
    let wrong = alice.machine.public_code().unwrap();
    assert_eq!(enter(&mut alice, &mut log, wrong), CodeEntered::Differs);
    assert!(!alice.machine.contacts().any(|(_, is_verified)| is_verified));
    let right = bob.machine.public_code().unwrap();
    assert_eq!(enter(&mut alice, &mut log, right), CodeEntered::Matches);
    assert_eq!(alice.check(&mut log, BOB).unwrap().level, Level::Verified);
}

/// Statement 20.
#[test]
fn a_public_code_can_be_entered_before_the_contact_has_a_key() {
    for (seed, confirmed) in [(2, true), (66, false)] {
        let mut log = Log::default();
        let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
        alice.save(&mut log, BOB);
        let bob = Phone::new(identity(BOB, 2, Some(2)));
        let code = bob.machine.public_code().unwrap();
        let outcome = alice.run(&mut log, Command::EnterCode(label(BOB), code));
        assert!(matches!(outcome, Outcome::Code(Ok(CodeEntered::Waits))));
        alice.restart();
        Phone::enrolled(&mut log, BOB, 2, seed);
        alice.now_s += CHECK_INTERVAL_S;
        alice.tick(&mut log);
        let is_told = alice.events.contains(&Event::CodeConfirmed(label(BOB)));
        assert_eq!(is_told, confirmed);
        match confirmed {
            true => assert_eq!(alice.told(), []),
            false => assert_eq!(alice.told(), [AlertKind::ContactCodeDiffers]),
        }
        alice.events.clear();
        alice.check(&mut log, BOB).unwrap();
        assert_eq!(alice.told(), [], "once");
    }
}
