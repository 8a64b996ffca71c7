//! Peers that lie: they accuse no honest log, and what is held stays bounded.

use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::NoteSigner as _;
use proptest::prelude::*;

use super::*;
use crate::gossip::message::WANTED_MAX;

/// Notes that the honest log did not sign as heads of itself.
fn forged() -> Vec<Vec<u8>> {
    let name = KeyName::new(ORIGIN).unwrap();
    let stranger = SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[2; 32]));
    let checkpoint = Checkpoint::new(ORIGIN, 5, FORK.root(5)).unwrap();
    let by_stranger = stranger.sign(&checkpoint, 0).unwrap();
    let other = Checkpoint::new("other.example", 5, FORK.root(5)).unwrap();
    let of_other = key().sign(&other, 0).unwrap();
    let moved = HONEST.signed(5).to_note().signatures()[0].clone();
    let note = |text: String, line| SignedNote::new(text, vec![line]).unwrap().to_bytes();
    vec![
        note(checkpoint.to_text(), by_stranger),
        note(other.to_text(), of_other),
        note(checkpoint.to_text(), moved),
        signed(0, Hash::ZERO).to_note().to_bytes(),
        b"no note".to_vec(),
        vec![],
    ]
}

#[test]
fn what_the_log_did_not_sign_is_dropped_and_counted() {
    for bytes in forged() {
        for (content, fault) in [
            (Content::Head(bytes.clone()), Fault::Head),
            (Content::Evidence(bytes.clone()), Fault::Evidence),
        ] {
            let mut gossip = witness(true, &[5]);
            let digest = Digest {
                fork: (fault == Fault::Evidence).then_some(Hash::ZERO),
                ..FORK.digest(7)
            };
            gossip.on_answer(at(0), ONE, Answer::Digests(vec![digest]));
            let items = Answer::Items(vec![item(content)]);
            let dropped = Action::Dropped { peer: ONE, fault };
            assert_eq!(gossip.on_answer(at(0), ONE, items), [dropped]);
            assert_eq!(gossip.waiting(at(0), ORIGIN), []);
        }
    }
}

#[test]
fn what_nobody_asked_for_is_dropped_also_the_second_time() {
    let mut gossip = witness(true, &[5]);
    let dropped = [Action::Dropped {
        peer: ONE,
        fault: Fault::Unasked,
    }];
    let items = || Answer::Items(vec![FORK.item(5)]);
    assert_eq!(gossip.on_answer(at(0), ONE, items()), dropped);
    gossip.on_answer(at(0), ONE, Answer::Digests(vec![HONEST.digest(7)]));
    // Asked of one peer, given by another.
    let by_other = gossip.on_answer(at(0), OTHER, items());
    assert!(matches!(
        by_other[..],
        [Action::Dropped { peer: OTHER, .. }]
    ));
    let twice = Answer::Items(vec![HONEST.item(7), HONEST.item(8)]);
    assert_eq!(gossip.on_answer(at(0), ONE, twice), dropped);
    assert_eq!(
        gossip.waiting(at(0), ORIGIN)[0].recorded,
        HONEST.signed_recorded(7)
    );
}

impl History {
    fn signed_recorded(self, size: u64) -> crate::decision::Recorded {
        Head::new(&self.signed(size)).recorded()
    }
}

#[test]
fn a_flood_of_logs_and_heads_is_bounded() {
    let mut gossip = witness(true, &[5]);
    let unknown = |number: u64| Digest {
        log: LogId::of(&number.to_string()),
        ..HONEST.digest(9)
    };
    let digests = (0..4_000).map(unknown).collect();
    assert_eq!(gossip.on_answer(at(0), ONE, Answer::Digests(digests)), []);
    // A new head at every exchange: the first one waits, the others are not asked for.
    for size in 6..200 {
        show(&mut gossip, at(size), ONE, HONEST, size);
    }
    assert_eq!(gossip.waiting(at(200), ORIGIN).len(), 1);
    // The same log thousands of times in one answer: one thing is asked for.
    let many = Answer::Digests((6..4_000).map(sized).collect());
    let asked = gossip.on_answer(at(200), OTHER, many);
    let [
        Action::Ask {
            request: Request::Fetch(wanted),
            ..
        },
    ] = &asked[..]
    else {
        panic!("{asked:?}")
    };
    assert_eq!(wanted.len(), 1);
}

fn sized(size: u64) -> Digest {
    Digest {
        size,
        ..HONEST.digest(9)
    }
}

#[test]
fn many_logs_are_asked_for_in_turn() {
    let mut gossip = Gossip::new(Times::default());
    let origins: Vec<String> = (0..600)
        .map(|number| format!("log.example/{number}"))
        .collect();
    let of_log = |origin: &str, size| {
        let checkpoint = Checkpoint::new(origin, size, HONEST.root(size)).unwrap();
        let line = key().sign(&checkpoint, 0).unwrap();
        let note = SignedNote::new(checkpoint.to_text(), vec![line]).unwrap();
        let verifier = LogVerifier::new(origin, vec![key().verifier_key().clone()]);
        verifier.verify(&note).unwrap()
    };
    let mut digests = Vec::new();
    for origin in &origins {
        let verifier = LogVerifier::new(origin, vec![key().verifier_key().clone()]);
        gossip.add_log(verifier, true);
        gossip.cosigned(&of_log(origin, 5));
        digests.push(Digest {
            log: LogId::of(origin),
            ..HONEST.digest(6)
        });
    }
    let mut rounds = 0;
    loop {
        gossip.begin(ONE);
        let asked = gossip.on_answer(at(0), ONE, Answer::Digests(digests.clone()));
        let [
            Action::Ask {
                request: Request::Fetch(wanted),
                ..
            },
        ] = &asked[..]
        else {
            break;
        };
        assert!(wanted.len() <= WANTED_MAX);
        // The peer answers a third of it, and never the first.
        let ids: Vec<LogId> = wanted
            .iter()
            .map(|wanted| wanted.log)
            .skip(1)
            .step_by(3)
            .collect();
        let heads = origins
            .iter()
            .filter(|origin| ids.contains(&LogId::of(origin)));
        let items = heads.map(|origin| Item {
            log: LogId::of(origin),
            content: Content::Head(of_log(origin, 6).to_note().to_bytes()),
        });
        let actions = gossip.on_answer(at(0), ONE, Answer::Items(items.collect()));
        assert_eq!(actions, []);
        rounds += 1;
        if rounds == 40 {
            break;
        }
    }
    let waiting = origins
        .iter()
        .filter(|origin| !gossip.waiting(at(0), origin).is_empty());
    assert!(waiting.count() > 590);
    // Of all of them, few questions are open at a time, and never the same ones.
    let questions = |actions: Vec<Action>| -> Vec<String> {
        let origin = |action| match action {
            Action::Prove(question) => question.origin,
            other => panic!("{other:?}"),
        };
        actions.into_iter().map(origin).collect()
    };
    let first = questions(gossip.tick(at(5)));
    assert_eq!(first.len(), QUESTIONS_MAX);
    assert_eq!(gossip.tick(at(6)), []);
    let second = questions(gossip.tick(at(65)));
    assert_eq!(second.len(), QUESTIONS_MAX);
    assert!(first.iter().all(|origin| !second.contains(origin)));
}

/// What may happen to a witness of an honest log, in any order.
#[derive(Clone, Debug)]
enum Event {
    Grow(u64),
    Submit(u64),
    Digest {
        peer: usize,
        size: u64,
        root: u8,
        fork: bool,
    },
    Head {
        peer: usize,
        size: u64,
    },
    Garbage {
        peer: usize,
        bytes: Vec<u8>,
        is_head: bool,
    },
    Proof {
        proof: usize,
        root: u64,
    },
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let size = 0..24u64;
    prop_oneof![
        (1..4u64).prop_map(Event::Grow),
        size.clone().prop_map(Event::Submit),
        (0..3usize, size.clone(), 0..3u8, any::<bool>()).prop_map(|(peer, size, root, fork)| {
            Event::Digest {
                peer,
                size,
                root,
                fork,
            }
        }),
        (0..3usize, size.clone()).prop_map(|(peer, size)| Event::Head { peer, size }),
        (
            0..3usize,
            prop::collection::vec(any::<u8>(), 0..40),
            any::<bool>()
        )
            .prop_map(|(peer, bytes, is_head)| Event::Garbage {
                peer,
                bytes,
                is_head
            }),
        (0..5usize, size).prop_map(|(proof, root)| Event::Proof { proof, root }),
        (1..2_000u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn an_honest_log_is_never_accused(events in prop::collection::vec(event(), 1..60)) {
        let mut gossip = witness(true, &[1]);
        let (mut size, mut now, mut asked) = (1, 0, None);
        for event in events {
            let actions = match event {
                Event::Grow(by) => {
                    size += by;
                    gossip.cosigned(&HONEST.signed(size))
                }
                Event::Submit(size) => gossip.submitted(&HONEST.signed(size)),
                Event::Digest { peer, size, root, fork } => {
                    let root = match root {
                        0 => HONEST.root(size),
                        1 => FORK.root(size),
                        _ => Hash::ZERO,
                    };
                    let fork = fork.then_some(Hash::ZERO);
                    let digest = Digest { root, fork, ..sized(size) };
                    gossip.on_answer(at(now), PeerId(peer), Answer::Digests(vec![digest]))
                }
                Event::Head { peer, size } => {
                    gossip.on_answer(at(now), PeerId(peer), Answer::Items(vec![HONEST.item(size)]))
                }
                Event::Garbage { peer, bytes, is_head } => {
                    let content = match is_head {
                        true => Content::Head(bytes),
                        false => Content::Evidence(bytes),
                    };
                    gossip.on_answer(at(now), PeerId(peer), Answer::Items(vec![item(content)]))
                }
                Event::Proof { proof, root } => match asked.take() {
                    Some(question) => {
                        let question: Question = question;
                        let beginning = match proof {
                            0 => HONEST.beginning(&question),
                            1 => FORK.beginning(&question),
                            2 => ProvedBeginning {
                                root: Hash::ZERO,
                                ..HONEST.beginning(&question)
                            },
                            3 => ProvedBeginning { root: HONEST.root(root), proof: vec![] },
                            _ => ProvedBeginning {
                                proof: vec![Hash::ZERO; 63],
                                ..HONEST.beginning(&question)
                            },
                        };
                        gossip.on_proof(&question, Some(beginning))
                    }
                    None => vec![],
                },
                Event::Pass(seconds) => {
                    now += seconds;
                    gossip.tick(at(now))
                }
            };
            for action in actions {
                let is_stop = matches!(action, Action::Stop { .. });
                prop_assert!(!is_stop);
                if let Action::Prove(question) = action {
                    asked = Some(question);
                }
            }
            // At most one head for each peer waits.
            prop_assert!(gossip.waiting(at(now), ORIGIN).len() <= 3);
        }
    }
}
