//! Every row of the table of `add-checkpoint`, the order of the checks, and what they are for: no
//! sequence of requests makes a witness accept two trees that cannot both be right.

use crate::common::{History, ORIGIN, log_key, log_verifier, signed};
use candor_core::Hash;
use candor_core::log::ProofError;
use candor_core::note::{AddCheckpoint, CheckpointError, LogVerifyError, SignedNote};
use candor_witness::decision::{Recorded, Refusal, Submission, admit, decide};
use proptest::prelude::*;

/// Entries of the log, and the recorded size in most tests.
const NEW: u64 = 9;
const OLD: u64 = 5;

fn honest() -> AddCheckpoint {
    History::new(0).request(OLD, NEW)
}

fn submission(request: AddCheckpoint) -> Result<Submission, Refusal> {
    admit(request, &log_verifier())
}

fn answer(recorded: &Recorded, request: AddCheckpoint) -> Result<(), Refusal> {
    decide(recorded, &submission(request)?)
}

fn recorded() -> Recorded {
    History::new(0).recorded(OLD)
}

/// A note that is signed by nobody we know.
fn unsigned(text: &str) -> SignedNote {
    let line = signed(log_key(9), ORIGIN, 1, Hash::ZERO).signatures()[0].clone();
    SignedNote::new(text.to_owned(), vec![line]).unwrap()
}

#[test]
fn an_honest_request_is_accepted() {
    assert_eq!(answer(&recorded(), honest()), Ok(()));
    let history = History::new(0);
    for size in [0, 1, NEW] {
        assert_eq!(
            answer(&Recorded::NOTHING, history.request(0, size)),
            Ok(()),
            "{size}"
        );
    }
    assert_eq!(answer(&recorded(), history.request(OLD, OLD)), Ok(()));
}

#[test]
fn a_note_that_is_no_checkpoint_comes_before_all_else() {
    let extended = format!("unknown.example\n1\n{}\nextension\n", "A".repeat(43) + "=");
    for (text, expected) in [
        ("unknown.example\n".to_owned(), CheckpointError::Malformed),
        (extended, CheckpointError::ExtensionLines),
    ] {
        let request = AddCheckpoint {
            old_size: 99,
            note: unsigned(&text),
            ..honest()
        };
        assert_eq!(
            answer(&recorded(), request),
            Err(Refusal::Checkpoint(expected))
        );
    }
}

#[test]
fn an_unknown_log_comes_before_signatures() {
    let request = AddCheckpoint {
        old_size: 99,
        note: signed(log_key(9), "other.example", 1, Hash::ZERO),
        ..honest()
    };
    assert_eq!(answer(&recorded(), request), Err(Refusal::UnknownLog));
}

#[test]
fn signatures_come_before_sizes() {
    let root = History::new(0).root(NEW);
    let stranger = signed(log_key(9), ORIGIN, NEW, root);
    let request = AddCheckpoint {
        old_size: 99,
        note: stranger.clone(),
        ..honest()
    };
    assert_eq!(
        answer(&recorded(), request),
        Err(Refusal::Unsigned(LogVerifyError::NotSigned))
    );

    // A good line does not save a note with a bad line of a known key; a stranger's does no harm.
    let mut both = honest().note;
    both.add(stranger.signatures()[0].clone()).unwrap();
    let with = |note| AddCheckpoint { note, ..honest() };
    assert_eq!(answer(&recorded(), with(both)), Ok(()));
    let bad = signed(log_key(1), ORIGIN, NEW, Hash::ZERO).signatures()[0].clone();
    let lines = vec![honest().note.signatures()[0].clone(), bad];
    let condemned = SignedNote::new(honest().note.text().to_owned(), lines).unwrap();
    assert!(matches!(
        answer(&recorded(), with(condemned)),
        Err(Refusal::Unsigned(LogVerifyError::InvalidSignature { .. }))
    ));
}

#[test]
fn an_old_size_above_the_new_one_comes_before_a_conflict() {
    let request = AddCheckpoint {
        old_size: NEW + 1,
        ..honest()
    };
    assert_eq!(answer(&recorded(), request), Err(Refusal::OldSizeAbove));
}

#[test]
fn a_conflict_comes_before_roots_and_proofs() {
    let history = History::new(0);
    let conflict = Err(Refusal::Conflict { size: OLD });
    for old in [0, OLD - 1, OLD + 1, NEW] {
        assert_eq!(
            answer(&recorded(), history.request(old, NEW)),
            conflict,
            "{old}"
        );
    }
    let empty = AddCheckpoint {
        old_size: 0,
        proof: vec![],
        note: signed(log_key(1), ORIGIN, 0, Hash::ZERO),
    };
    assert_eq!(answer(&recorded(), empty), conflict);
    let never = answer(&Recorded::NOTHING, honest());
    assert_eq!(never, Err(Refusal::Conflict { size: 0 }));
}

#[test]
fn the_empty_tree_has_one_root() {
    let request = |proof| AddCheckpoint {
        old_size: 0,
        proof,
        note: signed(log_key(1), ORIGIN, 0, Hash::ZERO),
    };
    for proof in [vec![], vec![Hash::ZERO]] {
        assert_eq!(
            answer(&Recorded::NOTHING, request(proof)),
            Err(Refusal::EmptyRoot)
        );
    }
}

#[test]
fn a_proof_must_be_the_one_between_the_two_trees() {
    let inconsistent = |result| matches!(result, Err(Refusal::Inconsistent(_)));
    let with = |proof| AddCheckpoint { proof, ..honest() };
    let right = honest().proof;
    assert!(inconsistent(answer(&recorded(), with(vec![]))));
    for at in 0..right.len() {
        let mut wrong = right.clone();
        wrong[at].0[0] ^= 1;
        assert!(inconsistent(answer(&recorded(), with(wrong))));
    }
    let padded = [&right[..], &[Hash::ZERO]].concat();
    assert!(inconsistent(answer(&recorded(), with(padded))));

    let history = History::new(0);
    for (recorded, old, new) in [(Recorded::NOTHING, 0, 3), (history.recorded(OLD), OLD, OLD)] {
        let request = AddCheckpoint {
            proof: vec![Hash::ZERO],
            ..history.request(old, new)
        };
        assert!(inconsistent(answer(&recorded, request)));
    }
}

#[test]
fn another_root_at_the_recorded_size_is_refused_and_is_a_contradiction() {
    let fork = History::new(1).request(OLD, OLD);
    let refusal = answer(&recorded(), fork.clone());
    assert_eq!(
        refusal,
        Err(Refusal::Inconsistent(ProofError::RootMismatch))
    );
    assert!(submission(fork.clone()).unwrap().contradicts(&recorded()));
    let elsewhere = AddCheckpoint {
        old_size: 0,
        ..fork
    };
    assert!(submission(elsewhere).unwrap().contradicts(&recorded()));
    assert!(!submission(honest()).unwrap().contradicts(&recorded()));
    let same = History::new(0).request(OLD, OLD);
    assert!(!submission(same).unwrap().contradicts(&recorded()));
}

/// Histories that agree up to `FORK` entries, and a request about one of them: honest from the old
/// size, honest but about another old size, or with a damaged proof.
const FORK: u64 = 4;

fn any_request() -> impl Strategy<Value = AddCheckpoint> {
    (0u8..3, 0u64..16, 0u64..16, 0u8..4).prop_map(|(history, old, new, damage)| {
        let mut request = History::new(history).request(old.min(new), new);
        match damage {
            0 => request.old_size = old,
            1 => drop(request.proof.pop()),
            _ => {}
        }
        request
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sequence_of_requests_leads_to_two_inconsistent_checkpoints(
        requests in prop::collection::vec(any_request(), 1..60)
    ) {
        let mut recorded = Recorded::NOTHING;
        let mut accepted: Vec<Recorded> = Vec::new();
        for request in requests {
            let submission = submission(request).unwrap();
            let mut result = decide(&recorded, &submission);
            if let Err(Refusal::Conflict { size }) = result {
                // A client that does as it is told: it proves from the size that it was told.
                let new = submission.checkpoint().checkpoint();
                let history = (0..3).map(History::new)
                    .find(|history| history.root(new.size()) == *new.root()).unwrap();
                if size <= new.size() {
                    let again = self::submission(history.request(size, new.size())).unwrap();
                    result = decide(&recorded, &again);
                }
            }
            if result.is_ok() {
                recorded = Recorded::of(submission.checkpoint().checkpoint());
                accepted.push(recorded);
            }
        }
        // Sizes never go back, and one history explains all of them.
        prop_assert!(accepted.is_sorted_by_key(|each| each.size));
        let explains = |history: History| {
            accepted.iter().all(|each| history.root(each.size) == each.root)
        };
        prop_assert!((0..3).map(History::new).any(explains));
    }
}

#[test]
fn the_histories_of_the_tests_do_fork() {
    let (one, other) = (History::new(0), History::new(1));
    assert_eq!(one.root(FORK), other.root(FORK));
    assert_ne!(one.root(FORK + 1), other.root(FORK + 1));
}
