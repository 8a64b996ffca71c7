//! What a witness can bear: heads of many logs cosigned, and epochs of a map checked, one at a time
//! and from a feed: `make bench-witness`.
//!
//! Everything is the witness's own, but for the network of the log witness: requests enter where
//! HTTP and gRPC hand them over, and count when they are answered, so when they are durable.
//! Figures are printed, and written to `target/bench/witness.json`.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod catch_up;
mod heads;
mod logs;
mod map;

use candor_benches::report::Report;
use clap::Parser;

/// Measures a log witness and a map witness.
#[derive(Parser)]
struct Arguments {
    /// Numbers of logs.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 4_000])]
    logs: Vec<u64>,
    /// Sizes of the map, in leaves.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000])]
    leaves: Vec<u64>,
    /// Measurements of each figure.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// What cargo adds to the arguments of a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let mut report = Report::default();
    for logs in arguments.logs {
        println!("a log witness of {logs} logs");
        heads::measure(logs, arguments.runs, &mut report);
    }
    for leaves in arguments.leaves {
        println!("a map witness of {leaves} leaves");
        map::measure(leaves, arguments.runs, &mut report);
    }
    println!("a map witness that catches up, over loopback");
    catch_up::measure(arguments.runs, &mut report);
    report.write(env!("CARGO_TARGET_TMPDIR"), "witness");
}
