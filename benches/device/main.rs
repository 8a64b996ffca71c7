//! What a device spends on verifying a lookup, beside the bare VRF and Ed25519 verifications in it:
//! `make bench-device`.
//!
//! Everything runs on one thread, and each round measures all of it, so that ratios are of one run
//! and of times close to each other. Times are of the thread on the processor. Figures are printed,
//! and written to `target/bench/device.json`.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod log;
mod lookup;

use std::hint::black_box;

use candor_benches::process::thread_time;
use candor_benches::report::{Report, Samples};
use candor_core::Hash;
use candor_core::note::{GossipHead, SignedNote};
use clap::Parser;

use lookup::Lookup;

/// Measures what a device verifies.
#[derive(Parser)]
struct Arguments {
    /// Leaves of the map.
    #[arg(long, default_value_t = 1_000_000)]
    leaves: u64,
    /// Rounds.
    #[arg(long, default_value_t = 15)]
    runs: usize,
    /// Verifications of one kind in a round.
    #[arg(long, default_value_t = 100)]
    repetitions: u32,
    /// What cargo adds to the arguments of a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let mut report = Report::default();
    for version in [0, 2] {
        measure_lookup(version, &arguments, &mut report);
    }
    measure_gossip(&arguments, &mut report);
    report.write(env!("CARGO_TARGET_TMPDIR"), "device");
}

/// Microseconds of one verification, as a mean of many.
fn micros<R>(repetitions: u32, verify: impl Fn() -> R) -> f64 {
    let started = thread_time();
    for _ in 0..repetitions {
        black_box(verify());
    }
    (thread_time() - started).as_secs_f64() * 1e6 / f64::from(repetitions)
}

fn measure_lookup(version: u32, arguments: &Arguments, report: &mut Report) {
    let lookup = Lookup::new(arguments.leaves, version);
    let mut samples: [Samples; 6] = Default::default();
    for _ in 0..arguments.runs {
        let micros = |verify: &dyn Fn()| micros(arguments.repetitions, verify);
        let bare = micros(&|| lookup.verify_bare());
        let first = micros(&|| lookup.verify_first());
        let proved_again = micros(&|| lookup.verify_repeated(false));
        let repeated = micros(&|| lookup.verify_repeated(true));
        let ratios = [first / bare, proved_again / first, repeated / first].map(|it| 100.0 * it);
        let figures = [bare, first, repeated].into_iter().chain(ratios);
        for (samples, figure) in samples.iter_mut().zip(figures) {
            samples.0.push(figure);
        }
    }
    let names = [
        ("bare verifications", "µs"),
        ("first lookup", "µs"),
        ("repeated lookup", "µs"),
        ("first lookup over bare verifications", "%"),
        ("repeated, search keys not kept, over the first", "%"),
        ("repeated lookup over the first", "%"),
    ];
    let mut note = |name: &str, unit, samples: &Samples| {
        let figure = format!("version {version}: {name}");
        report.note(&figure, arguments.leaves, unit, samples);
    };
    for ((name, unit), samples) in names.iter().zip(&samples) {
        note(name, unit, samples);
    }
    let [answer, file] = lookup.bytes().map(|bytes| Samples(vec![bytes as f64]));
    note("answer with its head", "B", &answer);
    note("proof file", "B", &file);
}

fn measure_gossip(arguments: &Arguments, report: &mut Report) {
    let log = log::Log::new(Hash::ZERO, 0);
    let verifier = log.verifier();
    let note = SignedNote::parse(&log.head().checkpoint).unwrap();
    let message = GossipHead::new(&verifier, &note).unwrap().unwrap().encode();
    let verify = || {
        let head = GossipHead::decode(black_box(&message)).unwrap();
        head.verify(&verifier).unwrap()
    };
    let runs = (0..arguments.runs).map(|_| micros(arguments.repetitions, verify));
    report.note("gossip, verified", 1, "µs", &Samples(runs.collect()));
    let bytes = Samples(vec![message.len() as f64]);
    report.note("gossip", 1, "B", &bytes);
}
