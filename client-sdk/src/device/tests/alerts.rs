//! Alerts: told once, kept, resolved, and worded.

use super::log::*;
use crate::device::*;

/// Statement 12.
#[test]
fn being_offline_or_behind_is_never_reported_as_an_attack() {
    for trouble in [
        Trouble::Offline,
        Trouble::Behind,
        Trouble::Stale,
        Trouble::PolicyNotMet,
        Trouble::Incompatible,
        Trouble::ClockWrong,
    ] {
        let mut log = Log::default();
        let (mut alice, _) = alice_and_bob(&mut log);
        alice.tick(&mut log);
        log.trouble = Some(trouble.clone());
        for _ in 0..8 {
            alice.now_s += CHECK_INTERVAL_S;
            alice.tick(&mut log);
        }
        let told = alice.told();
        let worst = told.iter().map(|kind| kind.severity()).max();
        assert!(worst < Some(Severity::Danger), "{trouble:?}: {told:?}");
        assert!(!told.is_empty(), "{trouble:?} for a week is told");
        let mut once = told.clone();
        once.dedup();
        assert_eq!(told, once, "once each");
        log.trouble = None;
        alice.now_s += CHECK_INTERVAL_S;
        alice.tick(&mut log);
        match trouble {
            // That takes a newer application.
            Trouble::Incompatible => {
                alice.restart();
                assert_eq!(alice.alerts(), [AlertKind::LogNeedsNewerClient]);
            }
            _ => assert_eq!(alice.alerts(), [], "{trouble:?} is over"),
        }
    }
}

/// Statement 11.
#[test]
fn a_log_that_its_operator_ended_is_told_as_that() {
    let successor = |byte| Trouble::Ended {
        successor: candor_core::Hash([byte; 32]),
    };
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    log.trouble = Some(successor(1));
    alice.self_check(&mut log).unwrap_err();
    alice.check(&mut log, BOB).unwrap_err();
    assert_eq!(alice.told(), [AlertKind::LogEnded], "once");
    assert_eq!(AlertKind::LogEnded.severity(), Severity::Warning);
    // A later version of the application does not settle it, nor does an older head.
    alice.restart();
    log.trouble = None;
    alice.self_check(&mut log).unwrap();
    assert_eq!(alice.alerts(), [AlertKind::LogEnded]);
    alice.acknowledge(&mut log, &Subject::Log, AlertKind::LogEnded);
    log.trouble = Some(successor(1));
    alice.self_check(&mut log).unwrap_err();
    assert_eq!(alice.alerts(), []);
    log.trouble = Some(successor(2));
    alice.self_check(&mut log).unwrap_err();
    assert_eq!(alice.alerts(), [AlertKind::LogEnded], "another successor");
}

/// Statement 11.
#[test]
fn what_was_done_before_the_end_is_told_beside_the_end() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    verify(&mut log, &mut alice, &mut bob);
    let swapped = forged(&log, BOB, 66, |_| {});
    log.force(&swapped);
    log.successor = Some(candor_core::Hash([1; 32]));
    alice.check(&mut log, BOB).unwrap_err();
    assert_eq!(
        alice.told(),
        [AlertKind::LogEnded, AlertKind::ContactCodeChanged]
    );
    let ended = Trouble::Ended {
        successor: candor_core::Hash([1; 32]),
    };
    assert_eq!(
        alice.before_send(&mut log, BOB, &[]),
        Clearance::Unknown(ended.clone())
    );
    let asked = log.questions;
    let failed = alice.edit(&mut log, Edit::TurnOff).unwrap_err();
    assert_eq!(failed, EditFailure::Trouble(ended));
    assert_eq!(log.questions, asked + 1, "it only looks");
    let swapped = forged(&log, ALICE, 66, |_| {});
    log.force(&swapped);
    alice.self_check(&mut log).unwrap_err();
    for _ in 0..4 {
        alice.now_s += CHECK_INTERVAL_S;
        alice.tick(&mut log);
    }
    assert_eq!(alice.told(), [AlertKind::OwnUnexpectedVersion], "no more");
}

/// Statement 12.
#[test]
fn an_attack_is_never_reported_as_being_offline() {
    let fork = Trouble::Fork { evidence: vec![1] };
    for (trouble, kind) in [
        (fork, AlertKind::LogFork),
        (Trouble::HistoryChanged, AlertKind::ContactHistoryChanged),
    ] {
        let mut log = Log::default();
        let (mut alice, _) = alice_and_bob(&mut log);
        log.trouble = Some(trouble);
        alice.check(&mut log, BOB).unwrap_err();
        assert_eq!(alice.told(), [kind]);
        assert_eq!(kind.severity(), Severity::Danger);
        // It stays when the server answers as if nothing had been.
        log.trouble = None;
        alice.check(&mut log, BOB).unwrap();
        assert_eq!(alice.alerts(), [kind]);
    }
}

/// Statement 11.
#[test]
fn a_check_that_fails_is_told_for_contacts_who_are_watched_and_resolved_by_the_next_good_one() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    log.trouble = Some(Trouble::Unproven);
    for _ in 0..3 {
        alice.check(&mut log, BOB).unwrap_err();
    }
    assert_eq!(alice.told(), [AlertKind::ContactProofFailed]);
    alice.self_check(&mut log).unwrap_err();
    assert_eq!(alice.told(), [AlertKind::OwnProofFailed]);
    log.trouble = None;
    alice.check(&mut log, BOB).unwrap();
    alice.self_check(&mut log).unwrap();
    assert_eq!(alice.alerts(), []);
    let subjects = [Subject::Contact(label(BOB)), Subject::Own];
    let kinds = [AlertKind::ContactProofFailed, AlertKind::OwnProofFailed];
    let resolved = subjects.into_iter().zip(kinds);
    let resolved: Vec<_> = resolved
        .map(|(subject, kind)| Event::Resolved(subject, kind))
        .collect();
    assert_eq!(alice.events, resolved);
}

/// Statement 11.
#[test]
fn every_alert_says_what_happened_how_grave_it_is_and_what_to_do() {
    for kind in AlertKind::ALL {
        let text = kind.text("Bob");
        for sentence in [&text.title, &text.cause, &text.advice] {
            assert!(sentence.ends_with('.'), "{kind:?}: {sentence}");
            assert!(!sentence.contains('{'), "{kind:?}: {sentence}");
            assert!(!sentence.contains("  "), "{kind:?}: {sentence}");
        }
        let grave = kind.severity() == Severity::Danger;
        assert!(!kind.code().is_empty());
        if kind.stays() && grave {
            assert!(text.advice.len() > 20, "{kind:?}");
        }
    }
    let mut codes: Vec<_> = AlertKind::ALL.iter().map(|kind| kind.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), AlertKind::ALL.len());
}

/// Statement 11.
#[test]
fn a_device_that_no_longer_meets_the_requirements_is_told() {
    let mut log = Log::default();
    let mut alice = Phone::enrolled(&mut log, ALICE, 1, 1);
    let mut facts = alice.facts();
    facts.devices.insert(
        vec![1],
        DeviceFacts {
            has_passcode: false,
            ..DeviceFacts::all()
        },
    );
    alice.machine.set_facts(alice.now_s, &facts);
    alice.drive(&mut log);
    assert_eq!(alice.told(), [AlertKind::OwnDeviceUnable]);
    let facts = alice.facts();
    alice.machine.set_facts(alice.now_s, &facts);
    alice.drive(&mut log);
    assert_eq!(alice.alerts(), []);
}

/// Statement 11.
#[test]
fn alerts_survive_a_restart_as_they_were() {
    let mut log = Log::default();
    let (mut alice, mut bob) = alice_and_bob(&mut log);
    alice.check(&mut log, BOB).unwrap();
    bob.edit(&mut log, Edit::AddDevice(phone(22))).unwrap();
    bob.edit(&mut log, Edit::TurnOff).unwrap();
    alice.check(&mut log, BOB).unwrap();
    let before = alice.machine.alerts();
    assert_eq!(before.len(), 1);
    alice.restart();
    assert_eq!(alice.machine.alerts(), before);
}
