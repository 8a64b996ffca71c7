//! Heads that came with messages.

use super::log::*;
use crate::device::*;

const MESSAGE: [u8; 109] = [7; 109];

fn gossip(phone: &mut Phone, log: &mut Log) -> Result<bool, Trouble> {
    match phone.run(log, Command::Gossip(MESSAGE.to_vec())) {
        Outcome::Gossip(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

/// Statements 11 and 21.
#[test]
fn a_fork_found_by_gossip_is_told_once_with_its_evidence() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    assert_eq!(gossip(&mut alice, &mut log), Ok(true));
    let fork = Trouble::Fork {
        evidence: vec![1, 2, 3],
    };
    log.gossip = Some(Err(fork.clone()));
    assert_eq!(gossip(&mut alice, &mut log), Err(fork.clone()));
    assert_eq!(gossip(&mut alice, &mut log), Err(fork));
    assert_eq!(alice.told(), [AlertKind::LogFork]);
    alice.restart();
    let alerts = alice.machine.alerts();
    assert_eq!(alerts[0].evidence.as_deref(), Some(&[1, 2, 3][..]));
    assert!(matches!(
        alice.before_send(&mut log, BOB, &[phone(2)]),
        Clearance::No { .. }
    ));
    // It stays until the person acts, and is not told again after that.
    alice.acknowledge(&mut log, &Subject::Log, AlertKind::LogFork);
    let _ = gossip(&mut alice, &mut log);
    assert_eq!(alice.told(), []);
}

/// Statement 21.
#[test]
fn a_head_that_the_log_never_proves_is_told_after_a_while_and_goes_when_it_does() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    // Being offline, or told nonsense, is no refusal, however long it takes.
    log.gossip = Some(Err(Trouble::Offline));
    assert!(gossip(&mut alice, &mut log).is_err());
    alice.now_s += 5 * CHECK_INTERVAL_S;
    log.gossip = Some(Err(Trouble::Fault("request-rejected")));
    alice.tick(&mut log);
    log.gossip = Some(Ok(false));
    alice.now_s += CHECK_INTERVAL_S;
    alice.tick(&mut log);
    alice.restart();
    assert_eq!(alice.told(), [], "it may just be newer");
    alice.now_s += 2 * CHECK_INTERVAL_S;
    log.gossip = Some(Err(Trouble::Unproven));
    alice.tick(&mut log);
    assert_eq!(alice.told(), [AlertKind::LogProofMissing]);
    log.gossip = Some(Ok(true));
    alice.now_s += CHECK_INTERVAL_S;
    alice.tick(&mut log);
    assert_eq!(alice.alerts(), []);
    log.gossip = Some(Ok(false));
    alice.now_s += CHECK_INTERVAL_S;
    alice.tick(&mut log);
    assert_eq!(alice.alerts(), [], "nothing waits any more");
}

/// Statement 21.
#[test]
fn a_message_that_the_log_did_not_sign_accuses_nobody() {
    let mut log = Log::default();
    let (mut alice, _) = alice_and_bob(&mut log);
    log.gossip = Some(Err(Trouble::Fault("gossip-unsigned")));
    assert!(gossip(&mut alice, &mut log).is_err());
    let short = alice.run(&mut log, Command::Gossip(vec![7; 300]));
    assert!(matches!(short, Outcome::Gossip(Err(Trouble::Fault(_)))));
    alice.now_s += 3 * CHECK_INTERVAL_S;
    alice.tick(&mut log);
    assert_eq!(alice.told(), []);
}
