//! The self check, and what the devices of an account share.

use candor_core::account::{Binding, VerifiedValue};
use candor_core::crypto::Commitment;

use super::super::own::record_tag;
use super::log::*;
use crate::device::*;
use crate::shared::{SealedState, SharedKey, SharedState};

/// A version that somebody with the operator's power logs, and even with the account key.
fn intrude(log: &mut Log, change: impl FnOnce(&mut candor_core::account::AccountState)) {
    let VerifiedValue::State(state) = log.newest(&label(ALICE)).unwrap() else {
        panic!("a state")
    };
    let mut next = state.successor().unwrap();
    change(&mut next);
    log.force(&VerifiedValue::State(
        next.sign(&label(ALICE), &key(1)).unwrap(),
    ));
}

/// Two devices of Alice, with verification on.
fn two_devices(log: &mut Log) -> (Phone, Phone) {
    let mut first = Phone::enrolled(log, ALICE, 1, 1);
    first.edit(log, Edit::AddDevice(phone(9))).unwrap();
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.merge(log, &first);
    assert_eq!(second.self_check(log), Ok(true));
    (first, second)
}

/// The next daily check, and the look that follows while something is unexplained.
fn next_day(phone: &mut Phone, log: &mut Log) {
    phone.now_s += CHECK_INTERVAL_S;
    phone.tick(log);
    phone.now_s += 600;
    phone.tick(log);
}

/// Statements 11 and 13.
#[test]
fn a_version_that_none_of_the_devices_published_is_told_on_all_of_them() {
    let mut log = Log::default();
    let (mut first, mut second) = two_devices(&mut log);
    intrude(&mut log, |state| state.devices.push(phone(66)));
    let told = [
        AlertKind::OwnUnexpectedVersion,
        AlertKind::OwnUnrecognisedDevice,
    ];
    next_day(&mut first, &mut log);
    assert_eq!(first.told(), told);
    // What the first saw does not blind the second.
    second.merge(&mut log, &first);
    next_day(&mut second, &mut log);
    assert_eq!(second.told(), told);
    let alerts = second.machine.alerts();
    let mut changes = alerts.iter().flat_map(|alert| &alert.changes);
    assert!(changes.all(|change| change.name == "phone 66"));
    next_day(&mut second, &mut log);
    assert_eq!(second.told(), [], "once");
    // Nothing is built on it before the person has seen it.
    let removal = Edit::RemoveDevice(vec![66]);
    let refused = first.edit(&mut log, removal.clone());
    assert_eq!(refused, Err(EditFailure::Unexplained));
    first.acknowledge(&mut log, &Subject::Own, AlertKind::OwnUnexpectedVersion);
    first.edit(&mut log, removal).unwrap();
    assert_eq!(first.alerts(), []);
    assert_eq!(log.state(&label(ALICE)).devices, [phone(1), phone(9)]);
    first.restart();
    next_day(&mut first, &mut log);
    assert_eq!(first.told(), []);
    // An acknowledgement at one device is none at another.
    second.merge(&mut log, &first);
    next_day(&mut second, &mut log);
    assert_eq!(second.alerts(), [AlertKind::OwnUnexpectedVersion]);
    second.acknowledge(&mut log, &Subject::Own, AlertKind::OwnUnexpectedVersion);
    next_day(&mut second, &mut log);
    assert_eq!(second.alerts(), []);
    // Another cause is told again.
    intrude(&mut log, |_| {});
    next_day(&mut second, &mut log);
    assert_eq!(second.told(), [AlertKind::OwnUnexpectedVersion]);
}

/// Statement 13.
#[test]
fn other_keys_for_a_known_device_are_unrecognised_too() {
    let mut log = Log::default();
    let (mut first, mut second) = two_devices(&mut log);
    intrude(&mut log, |state| {
        state.devices[1].keys[0].public_key = vec![66; 32]
    });
    for phone in [&mut first, &mut second] {
        next_day(phone, &mut log);
        assert!(phone.alerts().contains(&AlertKind::OwnUnrecognisedDevice));
        phone.acknowledge(&mut log, &Subject::Own, AlertKind::OwnUnexpectedVersion);
    }
    let refused = first.edit(&mut log, Edit::AddDevice(phone(5)));
    let strangers = EditError::Strangers(vec!["phone 9".to_owned()]);
    assert_eq!(refused, Err(EditFailure::Edit(strangers)));
    // The device itself puts its own keys back.
    second.edit(&mut log, Edit::Publish).unwrap();
    assert_eq!(log.state(&label(ALICE)).devices, [phone(1), phone(9)]);
}

/// Statement 13.
#[test]
fn what_another_device_has_not_shared_yet_is_no_alarm_and_is_explained_by_a_merge() {
    let mut log = Log::default();
    let (mut first, mut second) = two_devices(&mut log);
    first.edit(&mut log, Edit::AddDevice(phone(5))).unwrap();
    second.now_s += CHECK_INTERVAL_S;
    second.tick(&mut log);
    assert_eq!(second.told(), []);
    let waiting = second.edit(&mut log, Edit::AddDevice(phone(6)));
    assert_eq!(waiting, Err(EditFailure::Unexplained));
    // Too late, it is told; and taken back when it is explained.
    second.now_s += 600;
    second.tick(&mut log);
    assert_eq!(second.alerts().len(), 2);
    second.merge(&mut log, &first);
    assert_eq!(second.self_check(&mut log), Ok(true));
    assert_eq!(second.alerts(), []);
    second.edit(&mut log, Edit::AddDevice(phone(6))).unwrap();
}

/// Statements 6 and 13.
#[test]
fn a_reset_that_the_server_refuses_settles_nothing() {
    let mut log = Log::default();
    let (mut first, _) = two_devices(&mut log);
    let VerifiedValue::State(state) = log.newest(&label(ALICE)).unwrap() else {
        panic!("a state")
    };
    let mut stolen = state.successor().unwrap();
    stolen.reset = state.state().account_key;
    stolen.devices = vec![phone(66)];
    let stolen = stolen.sign(&label(ALICE), &key(66)).unwrap();
    log.force(&VerifiedValue::State(stolen));
    assert_eq!(first.self_check(&mut log), Ok(false));
    log.refuses = Some("reset-cooldown");
    assert!(first.edit(&mut log, Edit::Reset).is_err());
    next_day(&mut first, &mut log);
    let told = [
        AlertKind::OwnUnexpectedVersion,
        AlertKind::OwnUnrecognisedDevice,
    ];
    assert_eq!(first.told(), told);
    log.refuses = None;
    first.edit(&mut log, Edit::Reset).unwrap();
    next_day(&mut first, &mut log);
    assert_eq!(first.alerts(), []);
    assert_eq!(log.state(&label(ALICE)).devices, [phone(1)]);
}

/// Statements 8 and 13.
#[test]
fn nobody_but_a_device_of_the_person_turns_verification_off() {
    let mut log = Log::default();
    let (mut alice, bob) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    let VerifiedValue::State(state) = log.newest(&label(ALICE)).unwrap() else {
        panic!("a state")
    };
    let mut off = state.successor().unwrap();
    off.enrolled = false;
    let off = off.without_signature(&label(ALICE)).unwrap();
    log.force(&VerifiedValue::State(off));
    assert_eq!(alice.self_check(&mut log), Ok(false));
    assert!(alice.machine.is_on());
    let clearance = alice.before_send(&mut log, BOB, &[phone(2), phone(66)]);
    assert!(matches!(clearance, Clearance::No { .. }), "{clearance:?}");
    drop(bob);
}

/// Statement 13.
#[test]
fn a_version_that_cannot_be_read_hides_nothing_behind_it() {
    let mut log = Log::default();
    let (mut first, _) = two_devices(&mut log);
    let versions = log.accounts.get_mut(&label(ALICE)).unwrap();
    let mut garbage = versions.last().unwrap().clone();
    garbage.version += 1;
    garbage.value = Some(vec![3]);
    versions.push(garbage);
    next_day(&mut first, &mut log);
    assert_eq!(first.told(), [AlertKind::OwnUnexpectedVersion]);
    next_day(&mut first, &mut log);
    assert_eq!(first.told(), []);
}

/// Statements 11 and 13.
#[test]
fn a_server_that_refuses_the_check_is_told_of_whatever_its_excuse() {
    for trouble in [
        Trouble::Fault("request-rejected"),
        Trouble::Offline,
        Trouble::Unproven,
        Trouble::HistoryChanged,
        Trouble::Incompatible,
        Trouble::PolicyNotMet,
        Trouble::Stale,
    ] {
        let mut log = Log::default();
        let (mut first, _) = two_devices(&mut log);
        log.trouble = Some(trouble.clone());
        for _ in 0..3 {
            next_day(&mut first, &mut log);
        }
        assert!(
            first.alerts().contains(&AlertKind::OwnUnavailable),
            "{trouble:?}"
        );
        // A device that never succeeded says so too.
        let mut third = Phone::new(identity(ALICE, 10, Some(1)));
        for _ in 0..3 {
            next_day(&mut third, &mut log);
        }
        assert_eq!(third.alerts(), [AlertKind::OwnUnavailable]);
    }
}

/// Statement 13.
#[test]
fn the_own_account_is_checked_daily_and_after_each_change() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    let after_change = log.questions;
    assert_eq!(after_change, 3, "history, publication, history again");
    for _ in 0..3 {
        alice.tick(&mut log);
        assert_eq!(log.questions, after_change + 1, "the first daily check");
    }
    alice.now_s += CHECK_INTERVAL_S;
    alice.tick(&mut log);
    assert_eq!(log.questions, after_change + 2);
    // A clock that was set back does not put it off.
    alice.now_s -= CHECK_INTERVAL_S / 2;
    alice.tick(&mut log);
    assert_eq!(log.questions, after_change + 3);
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
    // Not bound yet is not moved.
    assert_eq!(alice.self_check(&mut log), Ok(true));
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
    // It stays when they are back, and so it does if that was between two checks.
    for number in numbers {
        log.force(&bind(number, ALICE));
    }
    assert_eq!(alice.self_check(&mut log), Ok(false));
    alice.acknowledge(&mut log, &Subject::Own, AlertKind::OwnIdentifierMoved);
    assert_eq!(alice.self_check(&mut log), Ok(true));
    alice.events.clear();
    log.force(&bind(numbers[0], BOB));
    log.force(&bind(numbers[0], ALICE));
    alice.restart();
    alice.self_check(&mut log).unwrap();
    assert_eq!(alice.told(), [AlertKind::OwnIdentifierMoved]);
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
    assert_eq!(second.self_check(&mut log), Err(Trouble::NeedsSync));
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
    for round in 1..=3 {
        alice.machine.export();
        alice.machine.uploaded();
        // Two devices that store at one moment do that to each other: once is no accusation,
        // however often the same is given back.
        for _ in 0..3 {
            assert_eq!(alice.told(), [], "round {round}");
            alice.machine.merge(alice.now_s, &old);
        }
        alice.drive(&mut log);
        alice.restart();
    }
    assert!(
        alice.machine.shared().has_device(record_tag(&phone(5))),
        "nothing is lost"
    );
    assert_eq!(alice.told(), [AlertKind::OwnStateRolledBack]);
    alice.machine.export();
    alice.machine.uploaded();
    let stored = alice.machine.shared().clone();
    alice.machine.merge(alice.now_s, &stored);
    alice.drive(&mut log);
    assert_eq!(alice.told(), []);
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
    // The first has not merged what the second shares: its change would build on an unknown one.
    let waiting = first.edit(&mut log, Edit::AddDevice(phone(5)));
    assert_eq!(waiting, Err(EditFailure::Unexplained));
    first.merge(&mut log, &second);
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
    alice.lose_power_publishing(&mut log, Edit::Publish);
    assert_ne!(*alice.machine.shared(), SharedState::new());
    assert_eq!(alice.self_check(&mut log), Ok(true));
    assert_eq!(alice.alerts(), []);
}
