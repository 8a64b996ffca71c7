//! The map and the store at sizes for which the VRF would take too long to load:
//! `make bench-scale`.
//!
//! Search keys and proofs are drawn from a hash instead of the VRF: ten million accounts would cost
//! twenty million proofs. All else is the server's: rows, buckets, skeleton, delta, one synced
//! commit an epoch, caches, lookups. Figures are printed, and written to
//! `target/bench/scale.json`.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod log;
mod order;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use candor_benches::process;
use candor_benches::report::{Report, Samples};
use candor_core::account::Label;
use candor_core::answer::Query;
use candor_server::lookup::prove_account;
use clap::Parser;

use log::Log;
use order::Order;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Accounts of an epoch of the load.
const LOAD_BATCH: u64 = 20_000;

/// Updates of a measured epoch.
const UPDATES: u64 = 10_000;

/// Lookups of which one run's figure is the mean.
const LOOKUPS: u64 = 5_000;

/// The largest cache.
const CACHE_BYTES_MAX: u64 = 12 << 30;

/// Measures the map and the store at large sizes.
#[derive(Parser)]
struct Arguments {
    /// Sizes of the map, in accounts.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000, 10_000_000])]
    accounts: Vec<u64>,
    /// Measurements of each figure.
    #[arg(long, default_value_t = 5)]
    runs: u64,
    /// Memory for caches, in mebibytes for each million accounts.
    #[arg(long, default_value_t = 2048)]
    cache_mib: u64,
    /// Print what memory the map of a log takes.
    #[arg(long, hide = true)]
    map_of: Option<PathBuf>,
    /// What cargo adds to the arguments of a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(directory) = arguments.map_of {
        print_map_bytes(&directory);
        return;
    }
    let mut report = Report::default();
    for accounts in arguments.accounts {
        let cache_bytes = ((arguments.cache_mib << 20) * accounts / 1_000_000).min(CACHE_BYTES_MAX);
        println!("{accounts} accounts, caches of {} MiB", cache_bytes >> 20);
        measure(accounts, cache_bytes, arguments.runs, &mut report);
    }
    report.write(env!("CARGO_TARGET_TMPDIR"), "scale");
}

fn measure(accounts: u64, cache_bytes: u64, runs: u64, report: &mut Report) {
    let mut note = |figure: &str, unit: &str, samples: Samples| {
        report.note(figure, accounts, unit, &samples);
    };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut log = Log::create(directory.path(), cache_bytes);
    let started = Instant::now();
    for first in (0..accounts).step_by(LOAD_BATCH as usize) {
        log.publish(&(first..(first + LOAD_BATCH).min(accounts)).collect::<Vec<_>>());
    }
    let rate = accounts as f64 / started.elapsed().as_secs_f64();
    note("load without the VRF", "accounts/s", Samples(vec![rate]));

    // An account's first update is at most its second version: lookups are of others.
    let mut order = Order::new(accounts);
    let mut rates = Samples::default();
    for _ in 0..runs {
        let some = order.take(UPDATES.min(accounts / (2 * runs)));
        let started = Instant::now();
        log.publish(&some);
        rates
            .0
            .push(some.len() as f64 / started.elapsed().as_secs_f64());
    }
    note("updates, batch 10,000, search keys ready", "1/s", rates);

    let labels: Vec<Label> = order.take(LOOKUPS).into_iter().map(log::label).collect();
    let head = log.head();
    let mut cold = Samples::default();
    let mut warm = Samples::default();
    for run in 0..=runs {
        let started = Instant::now();
        for label in &labels {
            let proof =
                prove_account(&log.ledger, &log.ladders, &head, label, &Query::GREATEST).unwrap();
            assert_eq!(proof.greatest, Some(0));
        }
        let micros = started.elapsed().as_secs_f64() * 1e6 / labels.len() as f64;
        let samples = if run == 0 { &mut cold } else { &mut warm };
        samples.0.push(micros);
    }
    note("lookup proof, as the load left memory", "µs", cold);
    note("lookup proof, asked for again", "µs", warm);

    drop(log);
    let started = Instant::now();
    let log = Log::open(directory.path(), 0);
    note(
        "store opened",
        "s",
        Samples(vec![started.elapsed().as_secs_f64()]),
    );
    let started = Instant::now();
    drop(log.ledger.load_map(&log.ledger.leaves(u64::MAX)).unwrap());
    note(
        "map built from its rows",
        "s",
        Samples(vec![started.elapsed().as_secs_f64()]),
    );
    drop(log);
    let grown = map_bytes(directory.path()) / accounts as f64;
    note(
        "memory of the map beyond caches, an account",
        "B",
        Samples(vec![grown]),
    );
    let disk = process::disk_bytes(directory.path()) as f64 / accounts as f64;
    note(
        "disk, an account, 32-byte values included",
        "B",
        Samples(vec![disk]),
    );
}

/// Memory that the map of a log takes in a process that has done nothing else.
fn map_bytes(directory: &Path) -> f64 {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).arg("--map-of").arg(directory).output();
    String::from_utf8(output.unwrap().stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// Loads the map of a log and prints by how much memory grew.
fn print_map_bytes(directory: &Path) {
    let log = Log::open(directory, 0);
    // What the engine keeps after reading all rows is not the map's.
    drop(log.ledger.load_map(&log.ledger.leaves(0)));
    let before = process::anonymous_bytes() as f64;
    let _map = log.ledger.load_map(&log.ledger.leaves(u64::MAX)).unwrap();
    println!("{}", process::anonymous_bytes() as f64 - before);
}
