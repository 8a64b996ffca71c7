//! The self check, and what the devices of an account share.

use candor_core::account::{Binding, VerifiedValue};
use candor_core::crypto::Commitment;

use super::log::*;
use crate::device::*;
use crate::shared::{DeviceTag, SealedState, SharedKey, SharedState};

/// Statements 11 and 13.
#[test]
fn a_version_that_none_of_the_devices_published_is_told_on_all_of_them() {
    let mut log = Log::default();
    let mut first = Phone::new(identity(ALICE, 1, Some(1)));
    first.edit(&mut log, Edit::Publish).unwrap();
    first.edit(&mut log, Edit::AddDevice(phone(9))).unwrap();
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.merge(&mut log, &first);
    assert_eq!(second.self_check(&mut log), Ok(true));
    // By somebody who has the operator's power, and even the account key.
    let VerifiedValue::State(state) = log.newest(&label(ALICE)).unwrap() else {
        panic!("a state")
    };
    let mut next = state.successor().unwrap();
    next.devices.push(phone(66));
    log.force(&VerifiedValue::State(
        next.sign(&label(ALICE), &key(1)).unwrap(),
    ));
    for phone in [&mut first, &mut second] {
        phone.now_s += CHECK_INTERVAL_S;
        phone.tick(&mut log);
        let told = [
            AlertKind::OwnUnexpectedVersion,
            AlertKind::OwnUnrecognisedDevice,
        ];
        assert_eq!(phone.told(), told);
        let alerts = phone.machine.alerts();
        let changes: Vec<_> = alerts.iter().flat_map(|alert| &alert.changes).collect();
        assert!(changes.iter().any(|change| change.name == "phone 66"));
        // Both merged what the other saw, and neither is told again.
        phone.now_s += CHECK_INTERVAL_S;
        phone.tick(&mut log);
        assert_eq!(phone.told(), []);
    }
    // Removing the device resolves that; the version stays until the person acts.
    first.edit(&mut log, Edit::RemoveDevice(vec![66])).unwrap();
    assert_eq!(first.alerts(), [AlertKind::OwnUnexpectedVersion]);
    first.acknowledge(&mut log, &Subject::Own, AlertKind::OwnUnexpectedVersion);
    assert_eq!(first.alerts(), []);
    second.merge(&mut log, &first);
    second.now_s += CHECK_INTERVAL_S;
    second.tick(&mut log);
    assert_eq!(second.alerts(), [AlertKind::OwnUnexpectedVersion]);
}

/// Statement 13.
#[test]
fn the_own_account_is_checked_daily_and_after_each_change() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    let after_change = log.questions;
    assert_eq!(after_change, 3, "history, publication, history again");
    alice.tick(&mut log);
    assert_eq!(log.questions, after_change);
    alice.now_s += CHECK_INTERVAL_S;
    alice.tick(&mut log);
    assert_eq!(log.questions, after_change + 1);
    // A clock that was set back does not put it off.
    alice.now_s -= CHECK_INTERVAL_S / 2;
    alice.tick(&mut log);
    assert_eq!(log.questions, after_change + 2);
}

/// Statements 11 and 13.
#[test]
fn what_was_published_and_is_not_there_is_missing() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    log.swallows = true;
    let outcome = alice.edit(&mut log, Edit::AddDevice(phone(5)));
    assert_eq!(outcome, Ok(Edited::Accepted(1)));
    assert_eq!(alice.self_check(&mut log), Ok(true), "it is early");
    alice.now_s += CHECK_INTERVAL_S;
    alice.tick(&mut log);
    assert_eq!(alice.told(), [AlertKind::OwnMissingUpdate]);
    log.swallows = false;
    alice.edit(&mut log, Edit::AddDevice(phone(5))).unwrap();
    assert_eq!(alice.alerts(), []);
}

/// Statements 7, 11 and 13.
#[test]
fn the_persons_own_identifiers_are_watched() {
    let mut log = Log::default();
    Phone::enrolled(&mut log, BOB, 2, 2);
    let numbers = ["+1 555 123 4567", "+1 555 123 4568"];
    let bind = |number: &str, to: &str| {
        VerifiedValue::Binding(Binding::new(label(number), label(to)).unwrap())
    };
    let mut me = identity(ALICE, 1, Some(1));
    me.identifiers = numbers.map(label).to_vec();
    let mut alice = Phone::new(me);
    alice.edit(&mut log, Edit::Publish).unwrap();
    for number in numbers {
        log.force(&bind(number, ALICE));
    }
    assert_eq!(alice.self_check(&mut log), Ok(true));
    for number in numbers {
        log.force(&bind(number, BOB));
    }
    assert_eq!(alice.self_check(&mut log), Ok(false));
    assert_eq!(alice.self_check(&mut log), Ok(false));
    assert_eq!(
        alice.told(),
        [AlertKind::OwnIdentifierMoved],
        "both, told once"
    );
    for number in numbers {
        log.force(&bind(number, ALICE));
    }
    assert_eq!(alice.self_check(&mut log), Ok(true));
}

/// Statement 13.
#[test]
fn a_log_that_shows_the_devices_two_histories_is_found() {
    let mut log = Log::default();
    let mut first = Phone::enrolled(&mut log, ALICE, 1, 1);
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.merge(&mut log, &first);
    let logged = log.accounts.get_mut(&label(ALICE)).unwrap();
    logged[0].commitment = Commitment([7; 32]);
    assert_eq!(second.self_check(&mut log), Err(Trouble::HistoryChanged));
    assert_eq!(second.told(), [AlertKind::OwnHistoryChanged]);
    // A log that lacks what another device saw is behind, and is accused of nothing.
    log.accounts.clear();
    assert_eq!(first.self_check(&mut log), Err(Trouble::Behind));
    assert_eq!(first.told(), []);
}

/// Statement 13.
#[test]
fn a_device_that_knows_nothing_of_the_others_accuses_nobody() {
    let mut log = Log::default();
    let first = Phone::enrolled(&mut log, ALICE, 1, 1);
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.tick(&mut log);
    assert_eq!(second.alerts(), []);
    let change = second.edit(&mut log, Edit::Publish);
    assert_eq!(change, Err(EditFailure::NeedsSync));
    second.merge(&mut log, &first);
    assert_eq!(second.edit(&mut log, Edit::Publish), Ok(Edited::Visible(1)));
    assert_eq!(second.told(), []);
}

/// Statement 14.
#[test]
fn what_is_shared_can_be_read_and_changed_by_the_accounts_devices_only() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    alice.save(&mut log, BOB);
    let key_of = |seed: u8| SharedKey::derive(&[seed; 32], ORIGIN, &label(ALICE));
    let sealed = SealedState::seal(alice.machine.shared(), &key_of(1), [3; 24]).unwrap();
    assert!(SealedState::open(sealed.as_bytes(), &key_of(2)).is_err());
    for place in [0, 1, 30, sealed.as_bytes().len() - 1] {
        let mut changed = sealed.as_bytes().to_vec();
        changed[place] ^= 1;
        assert!(SealedState::open(&changed, &key_of(1)).is_err(), "{place}");
    }
    let opened = SealedState::open(sealed.as_bytes(), &key_of(1)).unwrap();
    assert_eq!(opened, *alice.machine.shared());
}

/// Statements 11 and 14.
#[test]
fn a_server_that_gives_back_an_older_shared_state_is_found() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    let old = alice.machine.shared().clone();
    alice.edit(&mut log, Edit::AddDevice(phone(5))).unwrap();
    alice.machine.uploaded();
    alice.drive(&mut log);
    alice.restart();
    // Two devices that store at one moment do that to each other: once is no accusation.
    alice.machine.merge(alice.now_s, &old);
    alice.drive(&mut log);
    assert_eq!(alice.told(), []);
    assert!(!alice.machine.shared().has_device(DeviceTag::of(&[66])));
    assert!(
        alice.machine.shared().has_device(DeviceTag::of(&[5])),
        "nothing is lost"
    );
    for _ in 0..2 {
        alice.machine.merge(alice.now_s, &old);
        alice.drive(&mut log);
    }
    assert_eq!(alice.told(), [AlertKind::OwnStateRolledBack]);
}

/// Statement 14.
#[test]
fn a_mark_made_at_one_device_is_known_at_all() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    verify(&mut log, &mut alice, &mut bob);
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.save(&mut log, BOB);
    second.merge(&mut log, &alice);
    second.self_check(&mut log).unwrap();
    assert_eq!(second.check(&mut log, BOB).unwrap().level, Level::Verified);
    // And is held against what that device finds.
    let mut third = Phone::new(identity(ALICE, 10, Some(1)));
    third.save(&mut log, BOB);
    third.merge(&mut log, &alice);
    third.self_check(&mut log).unwrap();
    let mut lying = Log::default();
    Phone::enrolled(&mut lying, BOB, 66, 66);
    let view = third.check(&mut lying, BOB).unwrap();
    assert_eq!(view.level, Level::Automatic);
    assert_eq!(third.told(), [AlertKind::ContactCodeChanged]);
}

/// Statement 13.
#[test]
fn another_device_that_was_faster_does_not_lose_a_change() {
    let mut log = Log::default();
    let mut first = Phone::enrolled(&mut log, ALICE, 1, 1);
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.merge(&mut log, &first);
    second.edit(&mut log, Edit::Publish).unwrap();
    first.merge(&mut log, &second);
    // The first has not seen the second's version in the log yet.
    assert_eq!(
        first.edit(&mut log, Edit::AddDevice(phone(5))),
        Ok(Edited::Visible(2))
    );
    assert_eq!(
        log.state(&label(ALICE)).devices,
        [phone(1), phone(5), phone(9)]
    );
    assert_eq!(first.told(), []);
}

#[test]
fn a_crash_between_writing_and_telling_loses_no_alert() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    bob.edit(&mut log, Edit::TurnOff).unwrap();
    // Everything up to the first thing told, which is not.
    alice.machine.begin(alice.now_s, Command::Check(label(BOB)));
    while let Some(action) = alice.machine.next_action() {
        match action {
            Action::Write(changes) => crate::Store::write(&alice.store, &changes).unwrap(),
            Action::Ask(question) => {
                let answer = log.answer(question);
                alice.machine.answer(alice.now_s, answer);
            }
            Action::Tell(_) | Action::Done(_) => break,
        }
    }
    alice.restart();
    assert_eq!(alice.alerts(), [AlertKind::ContactTurnedOff]);
}

#[test]
fn what_a_device_publishes_is_kept_before_it_is_sent() {
    let mut log = Log::default();
    let mut alice = Phone::new(identity(ALICE, 1, Some(1)));
    alice
        .machine
        .begin(alice.now_s, Command::Edit(Edit::Publish));
    // The power fails with the publication on its way.
    loop {
        match alice.machine.next_action().unwrap() {
            Action::Write(changes) => crate::Store::write(&alice.store, &changes).unwrap(),
            Action::Ask(question @ Question::Publish { .. }) => {
                log.answer(question);
                break;
            }
            Action::Ask(question) => {
                let answer = log.answer(question);
                alice.machine.answer(alice.now_s, answer);
            }
            Action::Tell(_) | Action::Done(_) => {}
        }
    }
    alice.restart();
    assert_ne!(*alice.machine.shared(), SharedState::new());
    assert_eq!(alice.self_check(&mut log), Ok(true));
    assert_eq!(alice.alerts(), []);
}
