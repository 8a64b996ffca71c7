//! Candor and crate `akd` side by side: `make bench-peers`.
//!
//! Both sides get the same accounts, values and batches and two threads, each in a process of its
//! own; tasks alternate between them. The table is printed, and written to
//! `target/bench/peers.json`.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod comparison;
mod growth;
mod hashing;
mod log;
mod ours;
mod peer;
mod rpc;
mod table;
mod task;
mod workload;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use comparison::Comparison;

/// The server's allocator, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares Candor with crate akd.
#[derive(Parser)]
struct Arguments {
    /// Sizes of the map, in accounts.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    accounts: Vec<u64>,
    /// Measurements of each figure.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// What cargo adds to the arguments of a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be one side, driven over standard input.
    #[arg(long, hide = true)]
    side: Option<SideName>,
    /// The store that side `rest` looks at.
    #[arg(long, hide = true, requires = "side")]
    store: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum SideName {
    Ours,
    Peer,
    Rest,
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.side {
        None => compare(&arguments.accounts, arguments.runs),
        Some(SideName::Ours) => {
            set_threads();
            task::serve(&mut ours::Ours::new());
        }
        Some(SideName::Peer) => task::serve(&mut peer::Peer::new()),
        Some(SideName::Rest) => {
            set_threads();
            let figures = ours::rest(&arguments.store.expect("the store is named"));
            println!("{}", serde_json::to_string(&figures).unwrap());
        }
    }
}

fn set_threads() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(task::THREADS);
    pool.build_global().unwrap();
}

fn compare(sizes: &[u64], runs: usize) {
    println!(
        "ours: {}\npeer: {}",
        ours::CONFIGURATION,
        peer::CONFIGURATION
    );
    println!(
        "Values of {} bytes. Rates and audits are of time that passed on {} threads, lookups and \
         their verification of one thread's time on the processor. A ratio tells how many times \
         better our side is.",
        workload::VALUE_BYTES,
        task::THREADS
    );
    let mut rows = Vec::new();
    for accounts in sizes {
        let mut of_size = Comparison::new(*accounts, runs).run();
        of_size.push(hashing::row(*accounts, runs));
        table::print(&of_size);
        rows.extend(of_size);
    }
    let growth = growth::rows(&rows);
    if !growth.is_empty() {
        table::print(&growth);
        rows.extend(growth);
    }
    println!("\nwritten to {}", table::write(&rows).display());
}
