//! What the simulation of people with their devices found (`sim/src/people`), each as small as it
//! gets.

use candor_core::account::{Binding, VerifiedValue};

use super::log::*;
use crate::device::*;

/// A second device of a person, which the first added.
fn second(log: &mut Log, first: &mut Phone, id: u8) -> Phone {
    let seed = first.me.account_key.as_ref().unwrap()[0];
    let mut other = Phone::new(identity(ALICE, id, Some(seed)));
    let added = first.edit(log, Edit::AddDevice(other.me.device.clone()));
    assert!(matches!(added, Ok(Edited::Visible(_))));
    exchange(log, first, &mut other);
    other
}

fn exchange(log: &mut Log, from: &mut Phone, to: &mut Phone) {
    let shared = from.machine.shared().clone();
    to.machine.merge(to.now_s, &shared);
    to.drive(log);
}

fn force_stranger(log: &mut Log, phone: &Phone) {
    let Some(VerifiedValue::State(state)) = log.newest(&phone.me.label) else {
        panic!("no state");
    };
    let next = state.successor().unwrap().sign(&phone.me.label, &key(99));
    log.force(&VerifiedValue::State(next.unwrap()));
}

/// Statement 13.
/// On all of them, also on a device that hears of the other's check before its own.
#[test]
fn an_unexpected_version_is_told_at_every_device_once() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    let mut tablet = second(&mut log, &mut alice, 3);
    assert_eq!(tablet.self_check(&mut log), Ok(true));
    force_stranger(&mut log, &alice);
    let look = |phone: &mut Phone, log: &mut Log| {
        assert_eq!(phone.self_check(log), Ok(false));
        phone.now_s += 600;
        assert_eq!(phone.self_check(log), Ok(false));
        assert_eq!(phone.told(), [AlertKind::OwnUnexpectedVersion]);
    };
    look(&mut alice, &mut log);
    exchange(&mut log, &mut alice, &mut tablet);
    look(&mut tablet, &mut log);
    for phone in [&mut alice, &mut tablet] {
        phone.restart();
        assert_eq!(phone.self_check(&mut log), Ok(false));
        assert_eq!(phone.told(), []);
        assert_eq!(phone.alerts(), [AlertKind::OwnUnexpectedVersion]);
    }
    // Who acted on it at one device has not seen it at another, which may be a stranger's by now.
    alice.acknowledge(&mut log, &Subject::Own, AlertKind::OwnUnexpectedVersion);
    assert_eq!(alice.self_check(&mut log), Ok(true));
    exchange(&mut log, &mut alice, &mut tablet);
    assert_eq!(tablet.self_check(&mut log), Ok(false));
}

/// Statement 11. having acted on one stranger's device says nothing of another.
#[test]
fn each_unrecognised_device_is_a_cause_of_its_own() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    let offered = |ghost: u8| [phone(2), phone(ghost)];
    let kind = AlertKind::ContactUnrecognisedDevice;
    for ghost in [66, 67] {
        for _ in 0..2 {
            let clearance = alice.before_send(&mut log, BOB, &offered(ghost));
            assert!(matches!(clearance, Clearance::No { .. }), "{ghost}");
        }
        assert_eq!(alice.told(), [kind]);
        alice.acknowledge(&mut log, &Subject::Contact(label(BOB)), kind);
    }
}

/// Statement 11. what the other devices see while a removal is not in the log yet is no danger.
#[test]
fn a_removal_that_did_not_come_through_makes_no_stranger() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    let mut tablet = second(&mut log, &mut alice, 3);
    let _watch = second(&mut log, &mut alice, 4);
    log.trouble = None;
    alice
        .machine
        .begin(1_000_000, Command::Edit(Edit::RemoveDevice(vec![4])));
    // The process ends before the publication leaves.
    while let Some(action) = alice.machine.next_action() {
        match action {
            Action::Ask(Question::Publish { .. }) => break,
            Action::Ask(question) => {
                let answer = log.answer(question);
                alice.machine.answer(1_000_000, answer);
            }
            Action::Write(changes) => {
                crate::store::Store::write(&alice.store, &changes).unwrap();
            }
            _ => {}
        }
    }
    alice.restart();
    exchange(&mut log, &mut alice, &mut tablet);
    assert_eq!(tablet.self_check(&mut log), Ok(true));
    assert_eq!(tablet.told(), []);
    let removed = alice.edit(&mut log, Edit::RemoveDevice(vec![4]));
    assert!(matches!(removed, Ok(Edited::Visible(_))));
    exchange(&mut log, &mut alice, &mut tablet);
    assert_eq!(tablet.self_check(&mut log), Ok(true));
    let tag = super::super::own::record_tag(&phone(4));
    assert!(!tablet.machine.shared().has_device(tag));
}

/// Statement 11. repeated checks do not repeat it, also of two identifiers.
#[test]
fn two_moved_identifiers_are_not_told_again_and_again() {
    let mut log = Log::default();
    let mut me = identity(ALICE, 1, Some(1));
    me.identifiers = vec![label("+1 555 000 1000"), label("+1 555 000 1001")];
    let bind = |log: &mut Log, from: &str, to: &str| {
        let binding = Binding::new(label(from), label(to)).unwrap();
        log.force(&VerifiedValue::Binding(binding));
    };
    for identifier in ["+1 555 000 1000", "+1 555 000 1001"] {
        bind(&mut log, identifier, ALICE);
    }
    let mut alice = Phone::new(me);
    let facts = alice.facts();
    assert!(alice.edit(&mut log, Edit::TurnOn(facts)).is_ok());
    assert_eq!(alice.self_check(&mut log), Ok(true));
    for identifier in ["+1 555 000 1000", "+1 555 000 1001"] {
        bind(&mut log, identifier, CAROL);
        assert_eq!(alice.self_check(&mut log), Ok(false));
        assert_eq!(alice.told(), [AlertKind::OwnIdentifierMoved]);
    }
    assert_eq!(alice.self_check(&mut log), Ok(false));
    assert_eq!(alice.told(), []);
}

/// Statement 12. a second contradiction is told too, when the first was acted on and is over.
#[test]
fn a_contradiction_is_told_again_after_it_was_acted_on_and_went() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    assert!(alice.check(&mut log, BOB).is_ok());
    for _ in 0..2 {
        log.trouble = Some(Trouble::HistoryChanged);
        assert!(alice.check(&mut log, BOB).is_err());
        let kind = AlertKind::ContactHistoryChanged;
        assert_eq!(alice.told(), [kind]);
        alice.acknowledge(&mut log, &Subject::Contact(label(BOB)), kind);
        log.trouble = None;
        assert!(alice.check(&mut log, BOB).is_ok());
    }
}

/// Statement 13. a change of the account is no check of its identifiers.
#[test]
fn identifiers_are_checked_daily_also_when_the_account_changes() {
    let mut log = Log::default();
    let mut me = identity(ALICE, 1, Some(1));
    me.identifiers = vec![label("+1 555 000 1000")];
    let mut alice = Phone::new(me);
    let facts = alice.facts();
    assert!(alice.edit(&mut log, Edit::TurnOn(facts)).is_ok());
    for owner in [ALICE, CAROL] {
        assert_eq!(alice.self_check(&mut log), Ok(true));
        let binding = Binding::new(label("+1 555 000 1000"), label(owner)).unwrap();
        log.force(&VerifiedValue::Binding(binding));
    }
    alice.now_s += CHECK_INTERVAL_S / 2;
    assert!(alice.edit(&mut log, Edit::AddDevice(phone(3))).is_ok());
    alice.now_s += CHECK_INTERVAL_S / 2;
    alice.tick(&mut log);
    assert_eq!(alice.told(), [AlertKind::OwnIdentifierMoved]);
}
