//! Runs many seeds, or one.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use candor_sim::coverage::Coverage;
use candor_sim::report::{Failure, run, run_all};
use clap::Parser;

/// Simulates a log, its witnesses and devices, and checks what must hold.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run, from 0 on.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// The only seed to run.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.seed {
        Some(seed) => run_one(seed),
        None => run_many(arguments.seeds),
    };
    let mut out = anstream::stdout().lock();
    let (text, code) = match result {
        Ok(coverage) => (coverage.to_string(), ExitCode::SUCCESS),
        Err(failure) => (format!("{failure}\n"), ExitCode::FAILURE),
    };
    match out.write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// One seed, with the end of what happened.
fn run_one(seed: u64) -> Result<Coverage, Box<Failure>> {
    let run = run(seed, None);
    match run.failure {
        None => Ok(run.coverage),
        Some(failure) => Err(Box::new(failure)),
    }
}

/// Seeds 0 to `seeds`, a part of them on each core, until one fails.
fn run_many(seeds: u64) -> Result<Coverage, Box<Failure>> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let has_failed = Arc::new(AtomicBool::new(false));
    let parts = (0..cores).map(|part| (part..seeds).step_by(cores as usize));
    let threads: Vec<_> = parts
        .map(|part| {
            let has_failed = Arc::clone(&has_failed);
            thread::spawn(move || {
                let goes_on = |_: &u64| !has_failed.load(Ordering::Relaxed);
                let result = run_all(part.take_while(goes_on));
                has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            })
        })
        .collect();
    let mut coverage = Coverage::default();
    let mut failure = None;
    for thread in threads {
        match thread.join() {
            Ok(Ok(part)) => coverage += part,
            Ok(Err(found)) => failure = failure.or(Some(found)),
            // The panic was printed when it happened.
            Err(_) => std::process::abort(),
        }
    }
    failure.map_or(Ok(coverage), Err)
}
