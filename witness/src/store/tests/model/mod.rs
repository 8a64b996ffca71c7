//! A model of the protocol, of which every state is visited: a log that may fork, witnesses that
//! die between any two steps and get old copies of their files back, and requests that arrive late,
//! twice, in any order or never, because at any time any signed checkpoint may come with any proof.
//!
//! What is decided is decided by the functions that the witness uses, on real trees:
//! `Entry::decide`, `Submission::contradicts`, and what a start and `restore` make of two files.
//! The order of steps is the model's, after `witness.rs` and `writer.rs`. A failed write is a death
//! before or after the step that it belongs to: the witness stops at it, and whether it was made is
//! open.

#![allow(clippy::print_stdout)]

mod node;
mod system;

use stateright::{Checker, Model as _};

use node::{Flaw, Swap};
use system::{CONSISTENT, Protocol, QUORUM, RECORDED, SILENT};

/// The ways that the manual allows.
const ALLOWED: &[Swap] = &[
    Swap::Database,
    Swap::Anchor,
    Swap::DatabaseMarked,
    Swap::BothMarked,
];

const ONE: Protocol = Protocol {
    honest: 1,
    liars: 0,
    quorum: 1,
    is_forking: true,
    size_max: 3,
    crashes: 3,
    swaps: 3,
    ways: ALLOWED,
    flaw: None,
};

/// Visits all states, and returns what speaks against the protocol.
fn visit(protocol: Protocol) -> Vec<&'static str> {
    let begun = std::time::Instant::now();
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    println!(
        "{} states, depth {}, {:.1} s: {protocol:?}",
        checker.unique_state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f32()
    );
    let mut failed = Vec::new();
    for property in protocol.properties() {
        let is_found = checker.discovery(property.name).is_some();
        if is_found == property.expectation.discovery_is_failure() {
            failed.push(property.name);
            if let Some(path) = checker.discovery(property.name) {
                println!("{}: {:?}", property.name, path.into_actions());
            }
        }
    }
    failed
}

#[test]
fn one_witness_cosigns_one_history_of_a_forking_log() {
    assert_eq!(visit(ONE), [""; 0]);
}

#[test]
fn an_honest_log_is_never_accused_and_never_stuck() {
    let protocol = Protocol {
        is_forking: false,
        ..ONE
    };
    assert_eq!(visit(protocol), [""; 0]);
}

/// Witnesses alone: no copies, so what was cosigned is recorded.
const MANY: Protocol = Protocol {
    size_max: 2,
    crashes: 1,
    swaps: 0,
    ..ONE
};

#[test]
fn no_two_quorums_are_on_two_histories_unless_too_many_lie() {
    let numbers = |honest, liars, quorum| Protocol {
        honest,
        liars,
        quorum,
        // Three that die are too many states; of two it is shown, and of each alone.
        crashes: u8::from(honest < 3),
        ..MANY
    };
    for (honest, liars, quorum) in [(2, 0, 2), (3, 0, 2), (2, 1, 3), (1, 1, 2)] {
        assert_eq!(visit(numbers(honest, liars, quorum)), [""; 0]);
    }
    // One liar more than the overlap of two quorums allows; nobody else does wrong.
    for (honest, liars, quorum) in [(2, 1, 2), (1, 2, 2)] {
        assert_eq!(visit(numbers(honest, liars, quorum)), [QUORUM]);
    }
}

#[test]
fn each_mistake_is_found() {
    let with = |flaw, protocol| {
        let flaw = Some(flaw);
        visit(Protocol { flaw, ..protocol })
    };
    let one = Protocol {
        honest: 1,
        quorum: 1,
        ..MANY
    };
    assert_eq!(visit(one), [""; 0]);
    let early = with(Flaw::AnswersBeforeRecording, one);
    assert!(
        early.contains(&CONSISTENT) && early.contains(&RECORDED),
        "{early:?}"
    );
    let few = Protocol { size_max: 2, ..ONE };
    let silent = with(Flaw::AlarmIgnored, one);
    assert!(silent.contains(&SILENT), "{silent:?}");
    for (flaw, protocol) in [(Flaw::AnchorIgnored, few), (Flaw::FloorForgotten, few)] {
        let forgetful = with(flaw, protocol);
        assert!(forgetful.contains(&CONSISTENT), "{forgetful:?}");
    }
}

/// Two files of one backup agree; only the command `restore` tells the witness.
#[test]
fn old_copies_of_both_files_are_beyond_the_witness() {
    let ways = &[Swap::Both];
    let unmarked = visit(Protocol {
        ways,
        size_max: 2,
        swaps: 1,
        ..ONE
    });
    assert!(unmarked.contains(&CONSISTENT), "{unmarked:?}");
}
