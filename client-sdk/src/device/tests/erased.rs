//! What a device says of versions that the log erased.

use candor_core::account::{AccountState, Binding, VerifiedValue};
use candor_core::crypto::Commitment;

use super::log::*;
use crate::device::*;

/// Logs what nobody of the account made: a state after the newest one, signed with this seed.
fn intrude(log: &mut Log, of: &str, seed: u8, change: impl FnOnce(&mut AccountState)) {
    let Some(VerifiedValue::State(newest)) = log.newest(&label(of)) else {
        panic!("no state")
    };
    let mut next = newest.successor().unwrap();
    change(&mut next);
    let next = next.sign(&label(of), &key(seed)).unwrap();
    log.force(&VerifiedValue::State(next));
}

/// Logs a state without account key after the newest one: not on, and with this device.
fn intrude_unsigned(log: &mut Log, of: &str, device: u8) {
    let Some(VerifiedValue::State(newest)) = log.newest(&label(of)) else {
        panic!("no state")
    };
    let mut next = newest.successor().unwrap();
    next.enrolled = false;
    next.devices = vec![phone(device)];
    let next = next.without_signature(&label(of)).unwrap();
    log.force(&VerifiedValue::State(next));
}

fn bind(log: &mut Log, from: &str, to: &str) {
    let binding = Binding::new(label(from), label(to)).unwrap();
    log.force(&VerifiedValue::Binding(binding));
}

fn told_sorted(phone: &mut Phone) -> Vec<AlertKind> {
    let mut told = phone.told();
    told.sort();
    told
}

fn next_day(phone: &mut Phone, log: &mut Log) {
    phone.now_s += CHECK_INTERVAL_S;
    phone.tick(log);
    phone.now_s += 600;
    phone.tick(log);
}

/// Statement 8.
#[test]
fn what_was_erased_before_a_contact_was_checked_is_told_and_voids_the_mark() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    verify(&mut log, &mut alice, &mut bob);
    // Another key for a while, and back: then the entry goes.
    let old = log.state(&label(BOB)).account_key;
    intrude(&mut log, BOB, 66, |state| state.reset = old);
    let swapped = log.state(&label(BOB)).account_key;
    intrude(&mut log, BOB, 2, |state| state.reset = swapped);
    log.erase(&label(BOB), 1);
    let view = alice.check(&mut log, BOB).unwrap();
    assert_eq!(view.level, Level::Automatic);
    assert_eq!(alice.told(), [AlertKind::ContactHistoryErased]);
    alice.restart();
    next_day(&mut alice, &mut log);
    assert_eq!(alice.told(), [], "once");
    assert_eq!(
        alice.alerts(),
        [AlertKind::ContactHistoryErased],
        "it stays"
    );
    // Comparing codes again is acting on it.
    verify(&mut log, &mut alice, &mut bob);
    assert_eq!(alice.check(&mut log, BOB).unwrap().level, Level::Verified);
    assert_eq!(alice.alerts(), []);
}

/// Statement 8.
#[test]
fn keys_that_are_others_after_an_erasure_are_told_as_such_too() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    verify(&mut log, &mut alice, &mut bob);
    let old = log.state(&label(BOB)).account_key;
    intrude(&mut log, BOB, 66, |state| state.reset = old);
    intrude(&mut log, BOB, 66, |_| {});
    log.erase(&label(BOB), 1);
    alice.check(&mut log, BOB).unwrap();
    let mut told = alice.told();
    told.sort();
    let expected = [
        AlertKind::ContactCodeChanged,
        AlertKind::ContactHistoryErased,
    ];
    assert_eq!(told, expected);
}

/// Statement 8.
#[test]
fn what_was_seen_before_it_was_erased_needs_no_alert() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    verify(&mut log, &mut alice, &mut bob);
    bob.edit(&mut log, Edit::AddDevice(phone(22))).unwrap();
    alice.check(&mut log, BOB).unwrap();
    log.erase(&label(BOB), 0);
    assert_eq!(alice.check(&mut log, BOB).unwrap().level, Level::Verified);
    assert_eq!(alice.told(), []);
    assert_eq!(bob.self_check(&mut log), Ok(true));
    assert_eq!(bob.told(), []);
    // Nor does a contact that is saved only now, nor its owner who goes on.
    let mut carol = Phone::enrolled(&mut log, CAROL, 3, 3);
    carol.save(&mut log, BOB);
    carol.check(&mut log, BOB).unwrap();
    assert_eq!(carol.told(), []);
    bob.edit(&mut log, Edit::RemoveDevice(vec![22])).unwrap();
    log.erase(&label(BOB), 1);
    next_day(&mut bob, &mut log);
    assert_eq!(bob.told(), []);
    // Alice cannot tell any more how the newest version came about.
    assert_eq!(alice.check(&mut log, BOB).unwrap().level, Level::Automatic);
    assert_eq!(alice.told(), [AlertKind::ContactHistoryErased]);
}

/// Statement 8.
#[test]
fn keys_that_went_behind_an_erasure_are_no_less_a_danger() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    intrude(&mut log, BOB, 66, |_| {});
    intrude_unsigned(&mut log, BOB, 66);
    log.erase(&label(BOB), 1);
    let clearance = alice.before_send(&mut log, BOB, &[phone(66)]);
    let expected = Clearance::No {
        alerts: vec![AlertKind::ContactCodeChanged],
        devices: vec![phone(66)],
    };
    assert_eq!(clearance, expected);
    let expected = [
        AlertKind::ContactCodeChanged,
        AlertKind::ContactHistoryErased,
    ];
    assert_eq!(told_sorted(&mut alice), expected);
}

/// Statements 7 and 8.
#[test]
fn a_label_that_moves_behind_an_erasure_has_moved() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    let mut carol = Phone::new(identity(CAROL, 3, None));
    carol.edit(&mut log, Edit::Publish).unwrap();
    intrude_unsigned(&mut log, BOB, 66);
    bind(&mut log, BOB, CAROL);
    log.erase(&label(BOB), 1);
    let clearance = alice.before_send(&mut log, BOB, &[phone(3)]);
    assert!(matches!(clearance, Clearance::No { .. }), "{clearance:?}");
    let expected = [AlertKind::ContactMoved, AlertKind::ContactHistoryErased];
    assert_eq!(told_sorted(&mut alice), expected);
    // Away and back, of one who never had it on.
    let number = "+1 555 123 4567";
    bind(&mut log, number, CAROL);
    alice.save(&mut log, number);
    alice.check(&mut log, number).unwrap();
    bind(&mut log, number, ALICE);
    bind(&mut log, number, CAROL);
    log.erase(&label(number), 1);
    alice.check(&mut log, number).unwrap();
    assert_eq!(told_sorted(&mut alice), expected);
}

/// Statements 4 and 8.
#[test]
fn what_the_account_key_turned_off_behind_an_erasure_is_off_and_no_danger() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    bob.edit(&mut log, Edit::AddDevice(phone(22))).unwrap();
    bob.edit(&mut log, Edit::TurnOff).unwrap();
    log.erase(&label(BOB), 1);
    let clearance = alice.before_send(&mut log, BOB, &[phone(2)]);
    assert!(matches!(clearance, Clearance::Yes { .. }), "{clearance:?}");
    let expected = [AlertKind::ContactTurnedOff, AlertKind::ContactHistoryErased];
    assert_eq!(told_sorted(&mut alice), expected);
}

/// Statement 8.
#[test]
fn keys_that_came_and_went_since_the_last_check_are_watched_over_an_erasure() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    let mut bob = Phone::new(identity(BOB, 2, Some(2)));
    bob.edit(&mut log, Edit::Publish).unwrap();
    alice.save(&mut log, BOB);
    alice.check(&mut log, BOB).unwrap();
    // While it was never on, the service's word is all there is.
    bob.edit(&mut log, Edit::AddDevice(phone(22))).unwrap();
    bob.edit(&mut log, Edit::RemoveDevice(vec![22])).unwrap();
    log.erase(&label(BOB), 1);
    alice.check(&mut log, BOB).unwrap();
    assert_eq!(alice.told(), []);
    let facts = bob.facts();
    bob.edit(&mut log, Edit::TurnOn(facts)).unwrap();
    let old = log.state(&label(BOB)).account_key;
    intrude(&mut log, BOB, 66, |state| state.reset = old);
    intrude(&mut log, BOB, 66, |_| {});
    log.erase(&label(BOB), 4);
    alice.check(&mut log, BOB).unwrap();
    let expected = [
        AlertKind::ContactCodeChanged,
        AlertKind::ContactHistoryErased,
    ];
    assert_eq!(told_sorted(&mut alice), expected);
}

/// Statement 13.
#[test]
fn an_own_version_that_was_erased_unseen_is_told() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    intrude(&mut log, ALICE, 1, |state| state.devices.push(phone(66)));
    intrude(&mut log, ALICE, 1, |state| drop(state.devices.pop()));
    // What is left to be seen was made by nobody that is known; so it is the graver alert.
    log.erase(&label(ALICE), 1);
    next_day(&mut alice, &mut log);
    assert_eq!(alice.told(), [AlertKind::OwnUnexpectedVersion]);
    alice.acknowledge(&mut log, &Subject::Own, AlertKind::OwnUnexpectedVersion);
    next_day(&mut alice, &mut log);
    assert_eq!(alice.alerts(), []);
    assert_eq!(alice.told(), []);
}

/// Statement 13.
#[test]
fn an_own_version_before_one_of_the_own_devices_is_told_if_it_was_erased() {
    let mut log = Log::default();
    let mut first = Phone::enrolled(&mut log, ALICE, 1, 1);
    first.edit(&mut log, Edit::AddDevice(phone(9))).unwrap();
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.merge(&mut log, &first);
    log.erase(&label(ALICE), 0);
    next_day(&mut second, &mut log);
    assert_eq!(second.told(), [], "it was explained before");
    // A version of somebody else's that went, and one of the own devices after it.
    intrude(&mut log, ALICE, 1, |_| {});
    let newest = log.accounts[&label(ALICE)].last().unwrap().version;
    next_day(&mut first, &mut log);
    assert_eq!(first.told(), [AlertKind::OwnUnexpectedVersion]);
    first.acknowledge(&mut log, &Subject::Own, AlertKind::OwnUnexpectedVersion);
    first.edit(&mut log, Edit::Publish).unwrap();
    log.erase(&label(ALICE), newest);
    second.merge(&mut log, &first);
    next_day(&mut second, &mut log);
    assert_eq!(second.told(), [AlertKind::OwnHistoryErased]);
    assert_eq!(second.self_check(&mut log), Ok(false));
    second.acknowledge(&mut log, &Subject::Own, AlertKind::OwnHistoryErased);
    next_day(&mut second, &mut log);
    assert_eq!(second.alerts(), []);
}

/// Statement 13.
#[test]
fn an_erased_version_is_still_held_against_what_was_seen() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    assert_eq!(alice.self_check(&mut log), Ok(true));
    intrude(&mut log, ALICE, 1, |_| {});
    log.erase(&label(ALICE), 0);
    log.accounts.get_mut(&label(ALICE)).unwrap()[0].commitment = Commitment([7; 32]);
    assert_eq!(alice.self_check(&mut log), Err(Trouble::HistoryChanged));
}

/// Statement 13.
#[test]
fn an_unexpected_version_stays_that_when_it_is_erased() {
    let mut log = Log::default();
    let mut first = Phone::enrolled(&mut log, ALICE, 1, 1);
    first.edit(&mut log, Edit::AddDevice(phone(9))).unwrap();
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.merge(&mut log, &first);
    intrude(&mut log, ALICE, 1, |_| {});
    let intruded = log.accounts[&label(ALICE)].last().unwrap().version;
    for device in [&mut first, &mut second] {
        next_day(device, &mut log);
        assert_eq!(device.told(), [AlertKind::OwnUnexpectedVersion]);
    }
    second.acknowledge(&mut log, &Subject::Own, AlertKind::OwnUnexpectedVersion);
    let added = second.edit(&mut log, Edit::AddDevice(phone(5)));
    assert_eq!(added, Ok(Edited::Visible(intruded + 1)));
    log.erase(&label(ALICE), intruded);
    first.merge(&mut log, &second);
    next_day(&mut first, &mut log);
    assert_eq!(first.alerts(), [AlertKind::OwnUnexpectedVersion]);
    assert_eq!(first.told(), [], "once");
    first.acknowledge(&mut log, &Subject::Own, AlertKind::OwnUnexpectedVersion);
    next_day(&mut first, &mut log);
    assert_eq!(first.alerts(), []);
}

/// Statement 13.
#[test]
fn a_published_version_that_was_erased_unseen_is_not_called_missing() {
    let mut log = Log::default();
    let mut first = Phone::enrolled(&mut log, ALICE, 1, 1);
    let mut second = Phone::new(identity(ALICE, 9, Some(1)));
    second.merge(&mut log, &first);
    second.edit(&mut log, Edit::Publish).unwrap();
    first.merge(&mut log, &second);
    first.lose_power_publishing(&mut log, Edit::AddDevice(phone(5)));
    second.merge(&mut log, &first);
    second.edit(&mut log, Edit::TurnOff).unwrap();
    log.erase(&label(ALICE), 2);
    next_day(&mut first, &mut log);
    assert_eq!(first.told(), [AlertKind::OwnUnexpectedVersion]);
    first.merge(&mut log, &second);
    next_day(&mut first, &mut log);
    assert_eq!(first.alerts(), []);
}
