//! What a device says of contacts.

use candor_core::account::{Binding, VerifiedValue};

use super::log::*;
use crate::device::*;

/// Statement 5.
#[test]
fn a_new_device_of_a_verified_contact_needs_no_new_check() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    verify(&mut log, &mut alice, &mut bob);
    bob.edit(&mut log, Edit::AddDevice(phone(22))).unwrap();
    let clearance = alice.before_send(&mut log, BOB, &[phone(2), phone(22)]);
    let expected = Clearance::Yes {
        level: Level::Verified,
        devices: vec![phone(2), phone(22)],
        unlisted: vec![],
    };
    assert_eq!(clearance, expected);
    assert_eq!(alice.told(), []);
}

/// Statements 5, 10 and 11.
#[test]
fn a_device_that_the_account_key_did_not_sign_is_unrecognised() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    let ghost = phone(66);
    let refused = Clearance::No {
        alerts: vec![AlertKind::ContactUnrecognisedDevice],
        devices: vec![phone(2)],
    };
    assert_eq!(
        alice.before_send(&mut log, BOB, &[phone(2), ghost.clone()]),
        refused
    );
    assert_eq!(alice.told(), [AlertKind::ContactUnrecognisedDevice]);
    // Other keys for a known device are no better, and are another cause.
    let mut swapped = phone(2);
    swapped.keys[0].public_key = vec![66; 32];
    assert_eq!(alice.before_send(&mut log, BOB, &[swapped]), refused);
    assert_eq!(alice.told(), [AlertKind::ContactUnrecognisedDevice]);
    // Having seen the alert does not make the device the contact's.
    let subject = Subject::Contact(label(BOB));
    alice.acknowledge(&mut log, &subject, AlertKind::ContactUnrecognisedDevice);
    let mut swapped = phone(2);
    swapped.keys[0].public_key = vec![66; 32];
    assert_eq!(alice.before_send(&mut log, BOB, &[swapped]), refused);
    assert_eq!(alice.told(), []);
    // Names and keys of any length, from a server that nobody vouches for.
    let mut long = phone(66);
    long.id = vec![6; 300];
    long.keys[0].public_key = vec![6; 70_000];
    assert!(matches!(
        alice.before_send(&mut log, BOB, &[long]),
        Clearance::No { .. }
    ));
    alice.told();
    // When it is no longer offered, it is over.
    assert!(matches!(
        alice.before_send(&mut log, BOB, &[phone(2)]),
        Clearance::Yes { .. }
    ));
    assert_eq!(alice.alerts(), []);
}

/// Statements 6 and 11.
#[test]
fn a_reset_stays_until_a_person_acts_and_voids_the_mark() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    verify(&mut log, &mut alice, &mut bob);
    // Everything is lost: a new phone, with a key of its own and nothing to merge.
    let mut new = Phone::new(identity(BOB, 7, Some(7)));
    assert_eq!(
        new.edit(&mut log, Edit::Publish),
        Err(EditFailure::NeedsSync)
    );
    assert_eq!(new.edit(&mut log, Edit::Reset), Ok(Edited::Visible(1)));
    assert_eq!(log.state(&label(BOB)).devices, [phone(7)]);
    assert!(
        log.state(&label(BOB)).reset.is_some(),
        "a record of its own kind"
    );
    let view = alice.check(&mut log, BOB).unwrap();
    assert_eq!(
        (view.level, alice.told()),
        (Level::Automatic, vec![AlertKind::ContactReset])
    );
    alice.restart();
    for _ in 0..3 {
        alice.now_s += CHECK_INTERVAL_S;
        alice.tick(&mut log);
    }
    assert_eq!(alice.told(), []);
    assert_eq!(alice.alerts(), [AlertKind::ContactReset]);
    let clearance = alice.before_send(&mut log, BOB, &[phone(7)]);
    assert!(matches!(clearance, Clearance::No { .. }), "{clearance:?}");
    // Comparing codes again is acting on it.
    new.save(&mut log, ALICE);
    verify(&mut log, &mut alice, &mut new);
    assert_eq!(alice.alerts(), []);
    let view = alice.check(&mut log, BOB).unwrap();
    assert_eq!(view.level, Level::Verified);
    // The owner's other devices did not do it, and say so.
    assert_eq!(bob.self_check(&mut log), Ok(false));
    bob.now_s += 600;
    bob.tick(&mut log);
    assert!(bob.told().contains(&AlertKind::OwnUnexpectedVersion));
}

/// Statements 6 and 11.
#[test]
fn keys_that_are_swapped_and_swapped_back_between_two_checks_are_seen() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    verify(&mut log, &mut alice, &mut bob);
    let old = newest_state(&log, BOB).state().account_key;
    let swapped = forged(&log, BOB, 66, |state| state.reset = old);
    log.force(&swapped);
    let other = newest_state(&log, BOB).state().account_key;
    let back = forged(&log, BOB, 2, |state| state.reset = other);
    log.force(&back);
    alice.check(&mut log, BOB).unwrap();
    assert_eq!(alice.told(), [AlertKind::ContactReset]);
    assert!(!alice.machine.contacts().any(|(_, is_verified)| is_verified));
}

/// Statements 8 and 11.
#[test]
fn keys_that_are_replaced_without_a_word_are_a_danger() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    verify(&mut log, &mut alice, &mut bob);
    let swapped = forged(&log, BOB, 66, |_| {});
    log.force(&swapped);
    let view = alice.check(&mut log, BOB).unwrap();
    assert_eq!(alice.told(), [AlertKind::ContactCodeChanged]);
    assert_eq!(
        view.level,
        Level::Automatic,
        "no longer the key that was compared"
    );
    assert!(matches!(
        alice.before_send(&mut log, BOB, &[phone(2)]),
        Clearance::No { .. }
    ));
}

/// Statement 8.
#[test]
fn a_state_that_nobody_signed_cannot_follow_in_an_account_that_has_it_on() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    let mut next = newest_state(&log, BOB).successor().unwrap();
    next.enrolled = false;
    next.devices.push(phone(66));
    let unsigned = next.without_signature(&label(BOB)).unwrap();
    log.force(&VerifiedValue::State(unsigned));
    alice.check(&mut log, BOB).unwrap();
    assert_eq!(alice.told(), [AlertKind::ContactCodeChanged]);
}

/// Statement 8.
#[test]
fn a_state_with_a_broken_signature_is_no_value_of_the_account() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    let mut broken = logged(1, &forged(&log, BOB, 2, |_| {}));
    *broken.value.as_mut().unwrap().last_mut().unwrap() ^= 1;
    log.accounts.get_mut(&label(BOB)).unwrap().push(broken);
    assert_eq!(alice.check(&mut log, BOB), Err(Trouble::ValueInvalid));
    assert_eq!(alice.told(), [AlertKind::ContactCodeChanged]);
    assert_eq!(alice.check(&mut log, BOB), Err(Trouble::ValueInvalid));
    assert_eq!(alice.told(), []);
}

/// Statement 7.
#[test]
fn an_identifier_that_moves_voids_the_marks_made_through_it() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    let number = "+1 555 123 4567";
    let bind = |to: &str| VerifiedValue::Binding(Binding::new(label(number), label(to)).unwrap());
    log.force(&bind(BOB));
    alice.save(&mut log, number);
    let view = alice.check(&mut log, number).unwrap();
    assert_eq!(
        (view.level, view.devices),
        (Level::Automatic, vec![phone(2)])
    );
    let code = bob.machine.public_code().unwrap();
    let entered = alice.run(&mut log, Command::EnterCode(label(number), code));
    assert!(matches!(entered, Outcome::Code(Ok(CodeEntered::Matches))));
    assert_eq!(
        alice.check(&mut log, number).unwrap().level,
        Level::Verified
    );
    // What happens in the account behind it is seen through it.
    bob.edit(&mut log, Edit::AddDevice(phone(22))).unwrap();
    assert_eq!(alice.check(&mut log, number).unwrap().devices.len(), 2);
    assert_eq!(alice.told(), []);
    Phone::enrolled(&mut log, CAROL, 3, 3);
    log.force(&bind(CAROL));
    let view = alice.check(&mut log, number).unwrap();
    assert_eq!(alice.told(), [AlertKind::ContactMoved]);
    assert_eq!(view.level, Level::Automatic);
    // The label itself is not concerned.
    assert_eq!(alice.check(&mut log, BOB).unwrap().alerts, []);
}

/// Statement 8.
#[test]
fn contacts_are_checked_in_the_background_and_nothing_is_shown_while_all_is_well() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    alice.tick(&mut log);
    let asked = log.questions;
    alice.tick(&mut log);
    assert_eq!(log.questions, asked, "nothing is due");
    alice.now_s += CHECK_INTERVAL_S;
    alice.tick(&mut log);
    assert!(log.questions > asked);
    assert_eq!(alice.told(), []);
    let view = alice.check(&mut log, BOB).unwrap();
    assert_eq!(view.level, Level::Automatic);
    assert_eq!(view.devices, [phone(2)]);
}

/// Statement 9.
#[test]
fn it_is_said_exactly_what_was_verified() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    let mut carol = Phone::new(identity(CAROL, 3, None));
    let level = |phone: &mut Phone, log: &mut Log, of: &str| {
        phone.save(log, of);
        phone.check(log, of).unwrap().level
    };
    let logged = |is_own_on, is_contact_on, is_signed| Level::LoggedOnly {
        is_own_on,
        is_contact_on,
        is_signed,
    };
    assert_eq!(level(&mut alice, &mut log, CAROL), Level::NoAccount);
    carol.edit(&mut log, Edit::Publish).unwrap();
    assert_eq!(
        level(&mut alice, &mut log, CAROL),
        logged(true, false, false)
    );
    assert_eq!(level(&mut carol, &mut log, BOB), logged(false, true, true));
    let mut dave = Phone::new(identity("dave@example.org", 4, Some(4)));
    dave.edit(&mut log, Edit::Publish).unwrap();
    assert_eq!(
        level(&mut dave, &mut log, CAROL),
        logged(false, false, false)
    );
    assert_eq!(
        level(&mut carol, &mut log, "dave@example.org"),
        logged(false, false, true)
    );
    // Where it is not on at both, an unlisted device is said and no alert.
    let clearance = carol.before_send(&mut log, BOB, &[phone(66)]);
    let Clearance::Yes { unlisted, .. } = clearance else {
        panic!("{clearance:?}")
    };
    assert_eq!(unlisted.len(), 1);
    assert_eq!(carol.told(), []);
}

/// Statement 10.
#[test]
fn a_device_that_has_expired_is_not_encrypted_to() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    let mut brief = phone(22);
    brief.expires_ms = (alice.now_s + 10) * 1000;
    bob.edit(&mut log, Edit::AddDevice(brief.clone())).unwrap();
    let both = [phone(2), brief];
    assert!(matches!(
        alice.before_send(&mut log, BOB, &both),
        Clearance::Yes { .. }
    ));
    alice.now_s += 10;
    let expected = Clearance::Yes {
        level: Level::Automatic,
        devices: vec![phone(2)],
        unlisted: vec![],
    };
    assert_eq!(alice.before_send(&mut log, BOB, &both), expected);
    assert_eq!(alice.told(), []);
}

/// Statements 8 and 11.
#[test]
fn keys_that_change_while_a_contact_has_it_off_are_told_when_it_is_on_again() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    bob.edit(&mut log, Edit::TurnOff).unwrap();
    let swapped = forged(&log, BOB, 66, |state| state.enrolled = true);
    log.force(&swapped);
    alice.check(&mut log, BOB).unwrap();
    assert!(alice.alerts().contains(&AlertKind::ContactCodeChanged));
    let clearance = alice.before_send(&mut log, BOB, &[phone(2)]);
    assert!(matches!(clearance, Clearance::No { .. }));
}

/// Statement 14.
#[test]
fn a_device_that_was_offline_does_not_void_what_another_compared_meanwhile() {
    let mut log = Log::default();
    let (mut alice, bob) = alice_and_bob(&mut log);
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.save(&mut log, BOB);
    second.merge(&mut log, &alice);
    second.self_check(&mut log).unwrap();
    second.check(&mut log, BOB).unwrap();
    let mut new = Phone::new(identity(BOB, 7, Some(7)));
    new.edit(&mut log, Edit::Reset).unwrap();
    new.save(&mut log, ALICE);
    alice.check(&mut log, BOB).unwrap();
    verify(&mut log, &mut alice, &mut new);
    second.merge(&mut log, &alice);
    assert_eq!(second.check(&mut log, BOB).unwrap().level, Level::Verified);
    assert_eq!(second.told(), []);
    // One whose log is behind says that the key differs, and voids nothing.
    let mut third = Phone::new(identity(ALICE, 10, Some(1)));
    third.save(&mut log, BOB);
    third.merge(&mut log, &alice);
    third.self_check(&mut log).unwrap();
    let newer = log.accounts.get_mut(&label(BOB)).unwrap().pop().unwrap();
    assert_eq!(third.check(&mut log, BOB).unwrap().level, Level::Automatic);
    assert_eq!(third.alerts(), [AlertKind::ContactCodeChanged]);
    log.accounts.get_mut(&label(BOB)).unwrap().push(newer);
    assert_eq!(third.check(&mut log, BOB).unwrap().level, Level::Verified);
    assert_eq!(third.alerts(), []);
    drop(bob);
}

/// Statement 10.
#[test]
fn what_cannot_be_checked_is_not_cleared() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    for trouble in [Trouble::Offline, Trouble::Stale, Trouble::Unproven] {
        log.trouble = Some(trouble.clone());
        let clearance = alice.before_send(&mut log, BOB, &[phone(2)]);
        assert_eq!(clearance, Clearance::Unknown(trouble));
    }
}

/// Statement 22.
#[test]
fn a_senders_own_proof_shows_its_devices_without_asking() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    let file = || Command::Proof(label(BOB), vec![1, 2, 3]);
    let newest = |log: &Log| log.accounts[&label(BOB)].last().cloned();
    log.proof = Some(Ok((label(BOB), newest(&log))));
    // Nothing was seen of the contact before, so only a check can tell.
    let outcome = alice.run(&mut log, file());
    assert!(matches!(outcome, Outcome::Proof(Ok(None))));
    alice.check(&mut log, BOB).unwrap();
    bob.edit(&mut log, Edit::AddDevice(phone(22))).unwrap();
    log.proof = Some(Ok((label(BOB), newest(&log))));
    let asked = log.questions;
    let outcome = alice.run(&mut log, file());
    let Outcome::Proof(Ok(Some(view))) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((view.level, view.devices.len()), (Level::Automatic, 2));
    assert_eq!(log.questions, asked + 1, "the file alone was looked at");
    // An older one, in which a device is that was removed since, shows nothing.
    let older = newest(&log);
    bob.edit(&mut log, Edit::RemoveDevice(vec![22])).unwrap();
    alice.check(&mut log, BOB).unwrap();
    log.proof = Some(Ok((label(BOB), older)));
    assert!(matches!(
        alice.run(&mut log, file()),
        Outcome::Proof(Ok(None))
    ));
    // Another key, or another person's proof, shows nothing.
    log.proof = Some(Ok((
        label(ALICE),
        log.accounts[&label(ALICE)].last().cloned(),
    )));
    assert!(matches!(
        alice.run(&mut log, file()),
        Outcome::Proof(Ok(None))
    ));
    let swapped = logged(3, &forged(&log, BOB, 66, |_| {}));
    log.proof = Some(Ok((label(BOB), Some(swapped))));
    assert!(matches!(
        alice.run(&mut log, file()),
        Outcome::Proof(Ok(None))
    ));
    log.proof = Some(Err(Trouble::Unproven));
    let outcome = alice.run(&mut log, file());
    assert!(matches!(outcome, Outcome::Proof(Err(Trouble::Unproven))));
    assert_eq!(alice.told(), []);
}

#[test]
fn only_saved_contacts_are_checked() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    assert!(matches!(
        alice.run(&mut log, Command::Check(label(CAROL))),
        Outcome::NotSaved
    ));
    alice.machine.forget_contact(&label(BOB));
    alice.drive(&mut log);
    alice.restart();
    assert_eq!(alice.machine.contacts().count(), 0);
}
