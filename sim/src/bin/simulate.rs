//! Runs many seeds, or one.

use std::fmt::Display;
use std::io::Write as _;
use std::ops::AddAssign;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use candor_sim::people;
use candor_sim::report::{Failure, Run, run, run_all};
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
    /// Simulates people with their devices instead.
    #[arg(long)]
    people: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.people {
        false => simulate(&arguments, |seed| run(seed, None)),
        true => simulate(&arguments, |seed| people::report::run(seed, None)),
    };
    let mut out = anstream::stdout().lock();
    let (text, code) = match result {
        Ok(coverage) => (coverage, ExitCode::SUCCESS),
        Err(failure) => (format!("{failure}\n"), ExitCode::FAILURE),
    };
    match out.write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// One seed, or many. Returns what was met, for people.
fn simulate<C>(
    arguments: &Arguments,
    run: impl Fn(u64) -> Run<C> + Copy + Send + 'static,
) -> Result<String, Box<Failure>>
where
    C: Default + AddAssign + Display + Send + 'static,
{
    let coverage = match arguments.seed {
        Some(seed) => run_all([seed], run)?,
        None => run_many(arguments.seeds, run)?,
    };
    Ok(coverage.to_string())
}

/// Seeds 0 to `seeds`, a part of them on each core, until one fails.
fn run_many<C: Default + AddAssign + Send + 'static>(
    seeds: u64,
    run: impl Fn(u64) -> Run<C> + Copy + Send + 'static,
) -> Result<C, Box<Failure>> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let has_failed = Arc::new(AtomicBool::new(false));
    let parts = (0..cores).map(|part| (part..seeds).step_by(cores as usize));
    let threads: Vec<_> = parts
        .map(|part| {
            let has_failed = Arc::clone(&has_failed);
            thread::spawn(move || {
                let goes_on = |_: &u64| !has_failed.load(Ordering::Relaxed);
                let result = run_all(part.take_while(goes_on), run);
                has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            })
        })
        .collect();
    let mut coverage = C::default();
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
