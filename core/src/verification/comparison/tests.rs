#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::ComparisonMessage::{Commit, Reveal};
use super::*;

const ORIGIN: &str = "log.example";
const ALICE: AccountKey = AccountKey([1; 32]);
const BOB: AccountKey = AccountKey([2; 32]);
const MALLORY: AccountKey = AccountKey([3; 32]);
const NOW_S: u64 = 1_000;

fn begin(own: AccountKey, peer: AccountKey, nonce: u8) -> (Comparison, ComparisonMessage) {
    Comparison::begin(ORIGIN, own, peer, [nonce; 32], NOW_S).unwrap()
}

/// The code that one side shows for these messages, in this order, or why it shows none.
fn play(
    side: &mut Comparison,
    messages: &[ComparisonMessage],
) -> Result<Option<ComparisonCode>, ComparisonError> {
    let mut code = None;
    for message in messages {
        let step = side.receive(message, NOW_S)?;
        code = code.or(step.code);
    }
    Ok(code)
}

/// Statements 15 and 16.
#[test]
fn both_sides_show_one_code_once_both_have_begun() {
    let (mut alice, alice_commits) = begin(ALICE, BOB, 10);
    let (mut bob, bob_commits) = begin(BOB, ALICE, 20);
    let alice_reveals = alice.receive(&bob_commits, NOW_S).unwrap();
    let bob_reveals = bob.receive(&alice_commits, NOW_S).unwrap();
    assert_eq!((alice_reveals.code, bob_reveals.code), (None, None));
    let at_alice = alice.receive(&bob_reveals.send.unwrap(), NOW_S).unwrap();
    let at_bob = bob.receive(&alice_reveals.send.unwrap(), NOW_S).unwrap();
    assert_eq!(at_alice, at_bob);
    assert!(at_alice.code.is_some() && at_alice.send.is_none());
    // What is delivered again changes nothing.
    assert_eq!(alice.receive(&bob_commits, NOW_S), Ok(Step::default()));
}

#[test]
fn a_code_depends_on_both_keys_both_nonces_and_the_log() {
    let code = |origin, own, peer, nonces: [u8; 2]| {
        let [own_nonce, peer_nonce] = nonces.map(|nonce| [nonce; 32]);
        let (mut side, _) = Comparison::begin(origin, own, peer, own_nonce, NOW_S).unwrap();
        let (_, commit) = Comparison::begin(origin, peer, own, peer_nonce, NOW_S).unwrap();
        play(&mut side, &[commit, Reveal(peer_nonce)])
            .unwrap()
            .unwrap()
    };
    let usual = code(ORIGIN, ALICE, BOB, [10, 20]);
    assert_eq!(code(ORIGIN, BOB, ALICE, [20, 10]), usual);
    for other in [
        code("other.example", ALICE, BOB, [10, 20]),
        code(ORIGIN, ALICE, MALLORY, [10, 20]),
        code(ORIGIN, MALLORY, BOB, [10, 20]),
        code(ORIGIN, ALICE, BOB, [11, 20]),
        code(ORIGIN, ALICE, BOB, [10, 21]),
        code(ORIGIN, ALICE, BOB, [20, 10]),
    ] {
        assert_ne!(other, usual);
    }
}

/// Statement 16.
#[test]
fn someone_in_between_who_was_believed_shows_different_codes() {
    // Alice was made to believe that Mallory's key is Bob's, and Bob that it is Alice's.
    let (mut alice, _) = begin(ALICE, MALLORY, 10);
    let (mut bob, _) = begin(BOB, MALLORY, 20);
    let (_, to_alice) = begin(MALLORY, ALICE, 30);
    let (_, to_bob) = begin(MALLORY, BOB, 30);
    let at_alice = play(&mut alice, &[to_alice, Reveal([30; 32])]).unwrap();
    let at_bob = play(&mut bob, &[to_bob, Reveal([30; 32])]).unwrap();
    assert!(at_alice.is_some() && at_bob.is_some());
    assert_ne!(at_alice, at_bob);
}

/// Statement 16.
#[test]
fn someone_in_between_who_passes_messages_on_gets_no_code() {
    // The key that Alice believes to be Bob's is Mallory's, but the messages are Bob's.
    let (mut alice, _) = begin(ALICE, MALLORY, 10);
    let (_, bob_commits) = begin(BOB, ALICE, 20);
    let code = play(&mut alice, &[bob_commits, Reveal([20; 32])]);
    assert_eq!(code, Err(ComparisonError::NotOpened));
}

#[test]
fn a_side_that_is_played_its_own_messages_shows_no_code() {
    let (mut alice, own) = begin(ALICE, BOB, 10);
    let code = play(&mut alice, &[own, Reveal([10; 32])]);
    assert_eq!(code, Err(ComparisonError::NotOpened));
    let same = Comparison::begin(ORIGIN, ALICE, ALICE, [1; 32], NOW_S);
    assert_eq!(same.unwrap_err(), ComparisonError::SameKey);
}

/// Statement 16.
#[test]
fn nothing_can_be_tried_twice() {
    let (_, commit) = begin(BOB, ALICE, 20);
    let (_, other) = begin(BOB, ALICE, 21);
    for (messages, error) in [
        (vec![Reveal([20; 32])], ComparisonError::OutOfOrder),
        (vec![commit, other], ComparisonError::OutOfOrder),
        (vec![commit, Reveal([21; 32])], ComparisonError::NotOpened),
    ] {
        let (mut alice, _) = begin(ALICE, BOB, 10);
        assert_eq!(play(&mut alice, &messages), Err(error));
        // The session is over, even for what would have been right.
        for message in [commit, Reveal([20; 32])] {
            let after = alice.receive(&message, NOW_S);
            assert_eq!(after, Err(ComparisonError::Over));
        }
        assert_eq!(**alice.nonce, [0; 32], "nothing is left to be revealed");
    }
}

/// Statement 16.
#[test]
fn a_session_expires_and_does_not_survive_a_clock_that_goes_back() {
    for (at_s, is_in_time) in [
        (NOW_S + LIFETIME_S, true),
        (NOW_S + LIFETIME_S + 1, false),
        (NOW_S - 1, false),
        (u64::MAX, false),
    ] {
        let (mut alice, _) = begin(ALICE, BOB, 10);
        let (_, commit) = begin(BOB, ALICE, 20);
        let received = alice.receive(&commit, at_s);
        match is_in_time {
            true => assert!(received.unwrap().send.is_some()),
            false => assert_eq!(received, Err(ComparisonError::Expired), "{at_s}"),
        }
    }
    let long = "x".repeat(256);
    for origin in ["", &long] {
        let refused = Comparison::begin(origin, ALICE, BOB, [1; 32], NOW_S);
        assert_eq!(refused.unwrap_err(), ComparisonError::Origin);
    }
}

/// Statement 17.
#[test]
fn digits_are_shown_in_two_groups_and_spoken_but_not_logged() {
    let code = ComparisonCode(10_203);
    assert_eq!(code.to_string(), "0001 0203");
    let spoken = "zero zero zero one, zero two zero three";
    assert_eq!(code.spoken(), spoken);
    let (session, message) = begin(ALICE, BOB, 10);
    let logged = format!("{code:?} {session:?} {message:?}");
    assert!(!logged.contains(|c: char| c.is_ascii_digit()), "{logged}");
}

#[test]
fn messages_read_back_and_are_strict() {
    for message in [Commit(Hash([7; 32])), Reveal([8; 32])] {
        let bytes = message.encode();
        assert_eq!(ComparisonMessage::decode(&bytes), Ok(message));
        for length in 0..bytes.len() {
            assert!(ComparisonMessage::decode(&bytes[..length]).is_err());
        }
        assert!(ComparisonMessage::decode(&[&bytes[..], &[0]].concat()).is_err());
        for (at, value) in [(0, 0), (0, 2), (1, 0), (1, 3)] {
            let mut other = bytes.clone();
            other[at] = value;
            assert!(ComparisonMessage::decode(&other).is_err());
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_a_code_follows_only_the_nonce_that_was_committed_to(
        picks in prop::collection::vec(0..6usize, 0..8)
    ) {
        let (_, commit) = begin(BOB, ALICE, 20);
        let (_, other) = begin(BOB, ALICE, 21);
        let (mut alice, own) = begin(ALICE, BOB, 10);
        let all = [commit, other, own, Reveal([20; 32]), Reveal([21; 32]), Reveal([10; 32])];
        let mut committed = None;
        let mut codes = 0;
        for message in picks.into_iter().map(|pick| all[pick]) {
            let Ok(step) = alice.receive(&message, NOW_S) else { continue };
            if let Commit(commitment) = message {
                committed = committed.or(Some(commitment));
            }
            if step.code.is_some() {
                codes += 1;
                let expected = match message {
                    Reveal([20, ..]) => commit,
                    Reveal([21, ..]) => other,
                    _ => own,
                };
                prop_assert_eq!(committed.map(Commit), Some(expected));
                prop_assert_ne!(expected, own);
            }
        }
        prop_assert!(codes <= 1);
    }
}
