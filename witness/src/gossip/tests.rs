//! The state machine among honest and lying peers, and the encoding.

#![allow(clippy::unwrap_used, clippy::panic)]

mod liars;
mod wire;

use candor_core::Hash;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::log::{Frontier, NodeSource, leaf_hash, node_hash, prove_consistency};
use candor_core::note::{
    Checkpoint, Evidence, KeyName, LogCheckpoint, LogVerifier, NoteSigner as _, ProvedBeginning,
    SignedNote, SoftwareSigner,
};

use super::*;
use crate::decision::Recorded;

const ORIGIN: &str = "log.example";
const ONE: PeerId = PeerId(0);
const OTHER: PeerId = PeerId(1);

fn key() -> SoftwareSigner {
    let name = KeyName::new(ORIGIN).unwrap();
    SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[1; 32]))
}

fn verifier() -> LogVerifier {
    LogVerifier::new(ORIGIN, vec![key().verifier_key().clone()])
}

/// Histories with different numbers agree in four entries.
#[derive(Clone, Copy)]
struct History(u8);

const HONEST: History = History(0);
const FORK: History = History(1);

impl History {
    fn leaf(self, index: u64) -> Hash {
        let history = if index < 4 { 0 } else { self.0 };
        leaf_hash(&[&[history], &index.to_be_bytes()[..]].concat())
    }

    fn root(self, size: u64) -> Hash {
        let mut frontier = Frontier::new();
        for index in 0..size {
            frontier.append(self.leaf(index)).unwrap();
        }
        frontier.root()
    }

    fn signed(self, size: u64) -> LogCheckpoint {
        signed(size, self.root(size))
    }

    fn item(self, size: u64) -> Item {
        let note = self.signed(size).to_note().to_bytes();
        item(Content::Head(note))
    }

    fn digest(self, size: u64) -> Digest {
        Digest {
            log: LogId::of(ORIGIN),
            size,
            root: self.root(size),
            fork: None,
        }
    }

    fn beginning(self, question: &Question) -> ProvedBeginning {
        let (old, new) = (question.smaller.size, question.larger.size);
        ProvedBeginning {
            root: self.root(old),
            proof: prove_consistency(old, new, &self).unwrap(),
        }
    }
}

impl NodeSource for History {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        if level == 0 {
            return Ok(self.leaf(index));
        }
        let left = self.node(level - 1, 2 * index)?;
        Ok(node_hash(&left, &self.node(level - 1, 2 * index + 1)?))
    }
}

fn signed(size: u64, root: Hash) -> LogCheckpoint {
    let checkpoint = Checkpoint::new(ORIGIN, size, root).unwrap();
    let line = key().sign(&checkpoint, 0).unwrap();
    let note = SignedNote::new(checkpoint.to_text(), vec![line]).unwrap();
    verifier().verify(&note).unwrap()
}

fn item(content: Content) -> Item {
    Item {
        log: LogId::of(ORIGIN),
        content,
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A witness that cosigned these sizes.
fn witness(has_source: bool, sizes: &[u64]) -> Gossip {
    let mut gossip = Gossip::new(Times::default());
    gossip.add_log(verifier(), has_source);
    for size in sizes {
        assert_eq!(gossip.cosigned(&HONEST.signed(*size)), []);
    }
    gossip
}

/// Has a peer show a head, in the two rounds of an exchange.
fn show(
    gossip: &mut Gossip,
    now: Duration,
    peer: PeerId,
    history: History,
    size: u64,
) -> Vec<Action> {
    gossip.begin(peer);
    let digests = Answer::Digests(vec![history.digest(size)]);
    match &gossip.on_answer(now, peer, digests)[..] {
        [] => vec![],
        [Action::Ask { request, .. }] => {
            assert!(matches!(request, Request::Fetch(wanted) if wanted.len() == 1));
            gossip.on_answer(now, peer, Answer::Items(vec![history.item(size)]))
        }
        other => panic!("{other:?}"),
    }
}

fn question(actions: &[Action]) -> Question {
    match actions {
        [Action::Prove(question)] => question.clone(),
        other => panic!("{other:?}"),
    }
}

/// The evidence of the one action, which convinces whoever knows the key.
fn evidence(actions: &[Action]) -> Evidence {
    let [Action::Stop { origin, evidence }] = actions else {
        panic!("{actions:?}")
    };
    assert_eq!(origin, ORIGIN);
    assert_eq!(
        Evidence::verify(&evidence.to_bytes(), &verifier()).as_ref(),
        Ok(evidence)
    );
    evidence.clone()
}

#[test]
fn one_size_with_two_roots_is_evidence_at_once_and_spreads() {
    let mut gossip = witness(false, &[5, 7]);
    // Also for a head of ours that is not the newest.
    let found = evidence(&show(&mut gossip, at(0), ONE, FORK, 5));
    let Answer::Digests(digests) = gossip.answer(&Request::Digests) else {
        panic!("digests")
    };
    assert_eq!(digests[0].fork, Some(contradiction_id(&found)));

    // A third one that has seen nothing of the fork, and a fourth that has cosigned nothing.
    for sizes in [&[7][..], &[]] {
        let mut third = witness(false, sizes);
        let asked = third.on_answer(at(0), ONE, Answer::Digests(digests.clone()));
        let [Action::Ask { request, .. }] = &asked[..] else {
            panic!("{asked:?}")
        };
        let answer = Answer::decode(&gossip.answer(request).encode()).unwrap();
        assert_eq!(evidence(&third.on_answer(at(0), ONE, answer)), found);
        // One case is enough.
        assert_eq!(
            third.on_answer(at(1), OTHER, Answer::Digests(digests.clone())),
            []
        );
        assert_eq!(show(&mut third, at(1), OTHER, FORK, 6), []);
    }
}

#[test]
fn what_a_log_submits_is_compared_with_what_peers_showed() {
    let mut gossip = witness(false, &[5]);
    assert_eq!(show(&mut gossip, at(0), ONE, FORK, 7), []);
    evidence(&gossip.submitted(&HONEST.signed(7)));

    let mut gossip = witness(false, &[5]);
    assert_eq!(show(&mut gossip, at(0), ONE, FORK, 7), []);
    evidence(&gossip.cosigned(&HONEST.signed(7)));

    let mut gossip = witness(false, &[5]);
    assert_eq!(show(&mut gossip, at(0), ONE, HONEST, 7), []);
    assert_eq!(gossip.submitted(&HONEST.signed(7)), []);
    assert_eq!(gossip.waiting(at(1), ORIGIN).len(), 1);
    assert_eq!(gossip.cosigned(&HONEST.signed(7)), []);
    assert_eq!(gossip.waiting(at(1), ORIGIN), []);
}

#[test]
fn a_peer_that_lags_is_known_to_agree() {
    let sizes: Vec<u64> = (1..=30).collect();
    let mut gossip = witness(false, &sizes);
    for size in 11..=30 {
        assert_eq!(show(&mut gossip, at(0), ONE, HONEST, size), []);
        assert_eq!(gossip.waiting(at(0), ORIGIN), []);
    }
    // No note of ours is left with which to convict it.
    assert_eq!(show(&mut gossip, at(0), ONE, FORK, 20), []);
    assert_eq!(gossip.waiting(at(0), ORIGIN).len(), 1);
}

#[test]
fn two_peers_are_compared_with_each_other() {
    let mut gossip = witness(false, &[5]);
    assert_eq!(show(&mut gossip, at(0), ONE, HONEST, 7), []);
    evidence(&show(&mut gossip, at(0), OTHER, FORK, 7));
}

#[test]
fn a_proof_settles_two_sizes_either_way() {
    // The peer is ahead or behind; the sizes are powers of two or not.
    for (own, peer) in [(6, 9), (9, 6), (8, 11), (11, 8), (7, 8), (8, 7)] {
        for (history, is_fork) in [(HONEST, false), (FORK, true)] {
            let mut gossip = witness(true, &[own]);
            assert_eq!(show(&mut gossip, at(0), ONE, history, peer), []);
            assert_eq!(gossip.tick(at(4)), [], "the log may be about to submit it");
            let question = question(&gossip.tick(at(5)));
            assert_eq!(question.smaller.size, own.min(peer));
            // Whoever answers knows the history that the larger head is of.
            let larger = if own < peer { history } else { HONEST };
            let actions = gossip.on_proof(&question, Some(larger.beginning(&question)));
            if is_fork {
                assert!(evidence(&actions).beginning().is_some());
            } else {
                assert_eq!(actions, []);
            }
            assert_eq!(gossip.waiting(at(5), ORIGIN), []);
            // It is not asked again for what it proved.
            assert_eq!(show(&mut gossip, at(6), ONE, history, peer), []);
            assert_eq!(gossip.tick(at(10_000)), []);
        }
    }
}

#[test]
fn a_log_that_shows_no_proof_is_unreconciled_and_may_not_grow_until_it_does() {
    let mut gossip = witness(true, &[6]);
    assert_eq!(show(&mut gossip, at(0), ONE, HONEST, 9), []);
    let mut raised = Vec::new();
    for second in 0..4_000 {
        for action in gossip.tick(at(second)) {
            match action {
                Action::Prove(question) if second % 2 == 0 => {
                    assert_eq!(gossip.on_proof(&question, None), []);
                }
                Action::Prove(question) => {
                    // Of another history, so it proves nothing.
                    let wrong = FORK.beginning(&question);
                    assert_eq!(gossip.on_proof(&question, Some(wrong)), []);
                }
                Action::Unreconciled { is_raised, .. } => raised.push((second, is_raised)),
                other => panic!("{other:?}"),
            }
        }
        let next = |size| Recorded::of(HONEST.signed(size).checkpoint());
        let is_early = second < 3_600;
        assert_eq!(gossip.may_grow(at(second), ORIGIN, &next(12)), is_early);
        // What waits may come, with the proof that it follows.
        assert!(gossip.may_grow(at(second), ORIGIN, &next(9)));
    }
    assert_eq!(raised, [(3_600, true)]);
    let question = question(&gossip.tick(at(4_100)));
    gossip.on_proof(&question, Some(HONEST.beginning(&question)));
    assert!(gossip.may_grow(at(4_100), ORIGIN, &Recorded::NOTHING));
    assert_eq!(
        gossip.tick(at(4_101)),
        [Action::Unreconciled {
            origin: ORIGIN.to_owned(),
            is_raised: false
        }]
    );
}

#[test]
fn a_log_that_proves_again_may_grow_in_seconds_however_many_peers_are_ahead() {
    let mut gossip = witness(true, &[6]);
    for peer in 0..16 {
        let size = 9 + peer as u64;
        assert_eq!(show(&mut gossip, at(0), PeerId(peer), HONEST, size), []);
    }
    let next = Recorded::NOTHING;
    for question in gossip.tick(at(3_000)) {
        let Action::Prove(question) = question else {
            panic!("{question:?}")
        };
        assert_eq!(gossip.on_proof(&question, None), []);
    }
    assert!(!gossip.may_grow(at(3_600), ORIGIN, &next));
    for second in 3_600..3_620 {
        for action in gossip.tick(at(second)) {
            if let Action::Prove(question) = action {
                let beginning = HONEST.beginning(&question);
                assert_eq!(gossip.on_proof(&question, Some(beginning)), []);
            }
        }
    }
    assert!(gossip.may_grow(at(3_620), ORIGIN, &next));
}

#[test]
fn a_head_that_follows_ours_has_to_lead_to_the_next_one_too() {
    for next in [HONEST, FORK] {
        let mut gossip = witness(true, &[4]);
        assert_eq!(show(&mut gossip, at(0), ONE, FORK, 6), []);
        let ahead = question(&gossip.tick(at(5)));
        assert_eq!(gossip.on_proof(&ahead, Some(FORK.beginning(&ahead))), []);
        // However long it takes until the log grows here.
        for second in 6..4_000 {
            assert_eq!(gossip.tick(at(second)), []);
        }
        assert!(gossip.may_grow(at(4_000), ORIGIN, &Recorded::NOTHING));
        // Both histories begin with four entries.
        assert_eq!(gossip.cosigned(&next.signed(7)), []);
        assert_eq!(show(&mut gossip, at(4_000), ONE, FORK, 6), []);
        assert!(gossip.may_grow(at(4_001), ORIGIN, &Recorded::NOTHING));
        let behind = question(&gossip.tick(at(4_005)));
        assert_eq!((behind.smaller.size, behind.larger.size), (6, 7));
        assert!(!gossip.may_grow(at(8_000), ORIGIN, &Recorded::NOTHING));
        let actions = gossip.on_proof(&behind, Some(next.beginning(&behind)));
        match next.0 {
            0 => assert!(evidence(&actions).beginning().is_some()),
            _ => assert_eq!(
                (actions, gossip.waiting(at(8_000), ORIGIN)),
                (vec![], vec![])
            ),
        }
    }
}

#[test]
fn a_log_that_nobody_can_ask_raises_an_alarm_and_may_grow() {
    let mut gossip = witness(false, &[6]);
    assert_eq!(show(&mut gossip, at(0), ONE, HONEST, 9), []);
    let actions = gossip.tick(at(3_600));
    assert!(matches!(
        &actions[..],
        [Action::Unreconciled {
            is_raised: true,
            ..
        }]
    ));
    assert!(gossip.may_grow(at(3_600), ORIGIN, &Recorded::NOTHING));
    // The peer comes to agree, by a digest alone.
    gossip.cosigned(&HONEST.signed(12));
    assert_eq!(show(&mut gossip, at(3_601), ONE, HONEST, 12), []);
    assert_eq!(gossip.waiting(at(3_601), ORIGIN), []);
}

#[test]
fn a_question_that_nobody_answers_is_asked_again() {
    let mut gossip = witness(true, &[6]);
    assert_eq!(show(&mut gossip, at(0), ONE, HONEST, 9), []);
    let first = question(&gossip.tick(at(5)));
    assert_eq!(gossip.tick(at(64)), []);
    // By then from where this witness has come.
    gossip.cosigned(&HONEST.signed(7));
    let again = question(&gossip.tick(at(65)));
    assert_ne!(first, again);
    // The first one comes late.
    assert_eq!(gossip.on_proof(&first, Some(HONEST.beginning(&first))), []);
    assert_eq!(gossip.waiting(at(65), ORIGIN).len(), 1);
    assert_eq!(gossip.on_proof(&again, Some(HONEST.beginning(&again))), []);
    assert_eq!(gossip.waiting(at(65), ORIGIN), []);
}

#[test]
fn what_the_operator_cleared_raises_no_alarm_again_and_anything_else_does() {
    let mut gossip = witness(false, &[5]);
    let found = evidence(&show(&mut gossip, at(0), ONE, FORK, 5));
    let mut cleared = witness(false, &[5]);
    cleared.dismiss(ORIGIN, contradiction_id(&found));
    assert_eq!(show(&mut cleared, at(0), ONE, FORK, 5), []);
    // Neither is it asked for, nor believed from a peer that says to have something else.
    let digests = gossip.answer(&Request::Digests);
    assert_eq!(cleared.on_answer(at(0), ONE, digests), []);
    let wanted = Wanted {
        log: LogId::of(ORIGIN),
        what: What::Evidence,
    };
    let other = Digest {
        fork: Some(Hash([9; 32])),
        ..FORK.digest(5)
    };
    let asked = cleared.on_answer(at(0), ONE, Answer::Digests(vec![other]));
    let request = Request::Fetch(vec![wanted]);
    assert_eq!(
        asked,
        [Action::Ask {
            peer: ONE,
            request: request.clone()
        }]
    );
    assert_eq!(cleared.on_answer(at(0), ONE, gossip.answer(&request)), []);
    cleared.cosigned(&HONEST.signed(6));
    evidence(&show(&mut cleared, at(1), ONE, FORK, 6));
}
