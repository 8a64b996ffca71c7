//! Turning verification on and off.

use candor_core::account::VerifiedValue;

use super::log::*;
use crate::device::*;

/// Statement 1.
#[test]
fn it_is_off_until_a_person_turns_it_on_and_then_on_for_all_devices() {
    let mut log = Log::default();
    let mut first = Phone::new(identity(ALICE, 1, Some(1)));
    assert_eq!(first.edit(&mut log, Edit::Publish), Ok(Edited::Visible(0)));
    assert!(!first.machine.is_on());
    assert!(!log.state(&label(ALICE)).enrolled);
    // A second device of the account, which merged what the first shares.
    assert_eq!(
        first.edit(&mut log, Edit::AddDevice(phone(9))),
        Ok(Edited::Visible(1))
    );
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.merge(&mut log, &first);
    let facts = first.facts();
    assert_eq!(
        first.edit(&mut log, Edit::TurnOn(facts)),
        Ok(Edited::Visible(2))
    );
    assert!(first.machine.is_on());
    assert!(
        log.state(&label(ALICE)).enrolled,
        "it is part of the logged value"
    );
    // The other sees it at its next check.
    second.merge(&mut log, &first);
    assert!(!second.machine.is_on());
    assert_eq!(second.self_check(&mut log), Ok(true));
    assert!(second.machine.is_on());
    assert!(second.events.contains(&Event::TurnedOn(true)));
}

/// Statement 2.
#[test]
fn it_is_refused_with_every_reason_unless_every_device_meets_everything() {
    use UnmetByDevice::{KeySync, Passcode, SignedIn, System, Unknown};
    let mut log = Log::default();
    let mut alice = Phone::new(identity(ALICE, 1, Some(1)));
    assert_eq!(alice.edit(&mut log, Edit::Publish), Ok(Edited::Visible(0)));
    let mut watch = phone(2);
    watch.platform = "watchos".to_owned();
    watch.os_version = "9.1".to_owned();
    let mut other = phone(3);
    other.platform = "toaster".to_owned();
    let unknown = phone(4);
    for device in [&watch, &other, &unknown] {
        alice
            .edit(&mut log, Edit::AddDevice(device.clone()))
            .unwrap();
    }
    let mut facts = AccountFacts::default();
    let lacking = DeviceFacts {
        is_signed_in: false,
        has_key_sync: false,
        has_passcode: false,
    };
    facts.devices.insert(vec![1], lacking);
    facts.devices.insert(vec![2], DeviceFacts::all());
    facts.devices.insert(vec![3], DeviceFacts::all());
    let refused = alice.edit(&mut log, Edit::TurnOn(facts));
    let of = |id: u8, what| Unmet::Device {
        name: format!("phone {id}"),
        what,
    };
    let expected = vec![
        Unmet::TwoFactor,
        of(1, SignedIn),
        of(1, KeySync),
        of(1, Passcode),
        of(
            2,
            System {
                needs: Some("9.2".to_owned()),
            },
        ),
        of(3, System { needs: None }),
        of(4, Unknown),
    ];
    assert_eq!(refused, Err(EditFailure::Edit(EditError::Unmet(expected))));
    assert!(!log.state(&label(ALICE)).enrolled);
}

/// Statement 3.
#[test]
fn a_device_that_cannot_be_brought_up_to_date_is_signed_out_first() {
    let mut log = Log::default();
    let mut alice = Phone::new(identity(ALICE, 1, Some(1)));
    alice.edit(&mut log, Edit::Publish).unwrap();
    let mut old = phone(2);
    old.os_version = "16.0".to_owned();
    alice.edit(&mut log, Edit::AddDevice(old)).unwrap();
    let facts = alice.facts();
    let refused = alice.edit(&mut log, Edit::TurnOn(facts.clone()));
    assert!(matches!(
        refused,
        Err(EditFailure::Edit(EditError::Unmet(_)))
    ));
    assert_eq!(
        alice.edit(&mut log, Edit::RemoveDevice(vec![2])),
        Ok(Edited::Visible(2))
    );
    assert_eq!(
        alice.edit(&mut log, Edit::TurnOn(facts)),
        Ok(Edited::Visible(3))
    );
    assert!(alice.machine.is_on());
}

/// Statements 4 and 11.
#[test]
fn turning_it_off_is_logged_and_told_to_contacts_who_have_it_on() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    assert_eq!(bob.edit(&mut log, Edit::TurnOff), Ok(Edited::Visible(1)));
    assert!(!log.state(&label(BOB)).enrolled);
    let view = alice.check(&mut log, BOB).unwrap();
    assert_eq!(alice.told(), [AlertKind::ContactTurnedOff]);
    let off = Level::LoggedOnly {
        is_own_on: true,
        is_contact_on: false,
        is_signed: true,
    };
    assert_eq!(view.level, off);
    // Once, and no more when it is on again.
    alice.check(&mut log, BOB).unwrap();
    assert_eq!(alice.told(), []);
    let facts = bob.facts();
    bob.edit(&mut log, Edit::TurnOn(facts)).unwrap();
    alice.check(&mut log, BOB).unwrap();
    assert_eq!(alice.alerts(), []);
}

/// Statement 4.
#[test]
fn who_has_it_off_is_not_told_that_a_contact_turned_it_off() {
    let mut log = Log::default();
    let (_, mut bob) = alice_and_bob(&mut log);
    let mut carol = Phone::new(identity(CAROL, 3, Some(3)));
    carol.save(&mut log, BOB);
    carol.check(&mut log, BOB).unwrap();
    bob.edit(&mut log, Edit::TurnOff).unwrap();
    carol.check(&mut log, BOB).unwrap();
    assert_eq!(carol.told(), []);
}

/// Statement 1.
#[test]
fn without_the_account_key_it_cannot_be_turned_on() {
    let mut log = Log::default();
    let mut alice = Phone::new(identity(ALICE, 1, None));
    assert_eq!(alice.edit(&mut log, Edit::Publish), Ok(Edited::Visible(0)));
    let facts = alice.facts();
    let refused = alice.edit(&mut log, Edit::TurnOn(facts));
    assert_eq!(refused, Err(EditFailure::Edit(EditError::NoKey)));
}

/// Statement 5.
#[test]
fn a_device_that_was_slipped_in_before_is_not_signed_into_the_account() {
    let mut log = Log::default();
    let mut alice = Phone::new(identity(ALICE, 1, Some(1)));
    alice.edit(&mut log, Edit::Publish).unwrap();
    // Before it is on, the server's word is all there is.
    let VerifiedValue::State(state) = log.newest(&label(ALICE)).unwrap() else {
        panic!("a state")
    };
    let mut ghost = state.successor().unwrap();
    ghost.devices.extend([phone(66), phone(67)]);
    let ghost = ghost.without_signature(&label(ALICE)).unwrap();
    log.force(&VerifiedValue::State(ghost));
    let facts = alice.facts();
    let turn_on = Edit::TurnOn(facts);
    let refused = alice.edit(&mut log, turn_on.clone());
    assert_eq!(refused, Err(EditFailure::Unexplained));
    alice.now_s += 600;
    alice.tick(&mut log);
    assert!(alice.alerts().contains(&AlertKind::OwnUnrecognisedDevice));
    alice.acknowledge(&mut log, &Subject::Own, AlertKind::OwnUnexpectedVersion);
    let refused = alice.edit(&mut log, turn_on.clone());
    let strangers = EditError::Strangers(vec!["phone 66".to_owned(), "phone 67".to_owned()]);
    assert_eq!(refused, Err(EditFailure::Edit(strangers)));
    // With one of them go all, since what is left is signed.
    alice.edit(&mut log, Edit::RemoveDevice(vec![66])).unwrap();
    assert_eq!(alice.alerts(), []);
    alice.edit(&mut log, turn_on).unwrap();
    assert_eq!(log.state(&label(ALICE)).devices, [phone(1)]);
}
