//! People with their devices: many seeds, and proof that a violation would be noticed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::thread;

use candor_sim::people::coverage::Coverage;
use candor_sim::people::mutation::Mutation;
use candor_sim::people::report::run;
use candor_sim::report::run_all;

/// Seeds of `make test`; `make simulate-devices` runs more.
const SEEDS: u64 = 200;

/// Seeds within which every mutation has to be noticed.
const MUTATION_SEEDS: u64 = 300;

#[test]
fn every_invariant_holds() {
    let halves = [0, 1].map(|half| {
        thread::spawn(move || {
            let seeds = (half..SEEDS).step_by(2);
            run_all(seeds, |seed| run(seed, None))
        })
    });
    let mut all = Coverage::default();
    for half in halves {
        match half.join().unwrap() {
            Ok(coverage) => all += coverage,
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{all}");
    // What did not happen was not checked.
    for line in all.to_string().lines() {
        let count: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
        assert!(count > 0, "{line}");
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 0..10 {
        let (first, second) = (run(seed, None), run(seed, None));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.coverage.to_string(), second.coverage.to_string());
        assert_ne!(first.trace, run(seed + 1, None).trace);
    }
}

#[test]
fn what_is_broken_on_purpose_is_noticed() {
    for (mutation, expected) in Mutation::ALL {
        let noticed = (0..MUTATION_SEEDS).find_map(|seed| {
            let failure = run(seed, Some(mutation)).failure?;
            expected
                .contains(&failure.violation.invariant)
                .then_some(failure.seed)
        });
        assert!(noticed.is_some(), "{mutation:?} is not noticed");
        println!("{mutation:?} is noticed by seed {noticed:?}");
    }
}

#[test]
fn a_failure_says_what_happened_and_how_to_repeat_it() {
    let mutation = Some(Mutation::SkipsMerges);
    let failure = (0..MUTATION_SEEDS).find_map(|seed| run(seed, mutation).failure);
    let failure = failure.unwrap();
    let text = failure.to_string();
    let command = format!("make simulate-devices SEED={}", failure.seed);
    assert!(text.contains(&command));
    assert!(text.contains(failure.violation.invariant));
    assert!(failure.last.len() > 5, "the last events are there");
}
