//! Lookups through gRPC beside empty calls, and under updates: `make bench-load`.
//!
//! Real programs: `candor-server` with one witness, `candor load` as the client, both at
//! the processor core that they are told. The measure is an empty unary call with an answer of the
//! same size, of a tonic server that does nothing else, in the same rounds. Figures are printed,
//! and written to `target/bench/load.json`.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod client;
mod cores;
mod empty;
mod site;

use candor_benches::report::{Report, Samples};
use clap::Parser;
use tokio::runtime::Runtime;

use client::{Client, Ran};
use cores::Core;
use site::Site;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Part of the lookups that were possible at which latencies are measured.
const LOADED: f64 = 0.7;

/// Updates a second beside them.
const UPDATES: f64 = 1_000.0;

/// Measures lookups through gRPC.
#[derive(Parser)]
struct Arguments {
    /// Number of accounts.
    #[arg(long, default_value_t = 1_000_000)]
    accounts: u32,
    /// Rounds of each comparison.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Serve empty calls with answers of so many bytes.
    #[arg(long, hide = true)]
    empty: Option<usize>,
    /// What cargo adds to the arguments of a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(bytes) = arguments.empty {
        Runtime::new().unwrap().block_on(empty::serve(bytes));
        return;
    }
    let (servers, clients) = cores::two();
    let site = Site::start(arguments.accounts, servers, clients);
    let client = Client::new(&site, clients, arguments.accounts, arguments.seconds);
    let mut report = Figures(Report::default(), arguments.accounts.into());
    let flat_out = compare(&site, &client, servers, arguments.rounds, &mut report);
    under_updates(&client, arguments.rounds, flat_out, &mut report);
    report.0.write(env!("CARGO_TARGET_TMPDIR"), "load");
}

/// Figures at one size.
struct Figures(Report, u64);

impl Figures {
    fn note(&mut self, figure: &str, unit: &str, samples: Vec<f64>) {
        self.0.note(figure, self.1, unit, &Samples(samples));
    }
}

/// Lookups flat out beside empty calls, in turns; the median of lookups a second.
fn compare(
    site: &Site,
    client: &Client<'_>,
    servers: Core,
    rounds: usize,
    report: &mut Figures,
) -> f64 {
    // How large an answer is, and what the server does not have in memory yet.
    let first = client.flat_out(&site.endpoint(), site.server());
    let empty = servers.run(|| empty::Child::start(first.answer_bytes));
    let (mut lookups, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        calls.push(client.flat_out(&empty.endpoint, empty.id()));
        lookups.push(client.flat_out(&site.endpoint(), site.server()));
    }
    let each = |runs: &[Ran], figure: fn(&Ran) -> f64| runs.iter().map(figure).collect::<Vec<_>>();
    let ratio = |figure: fn(&Ran) -> f64| {
        let pairs = lookups.iter().zip(&calls);
        pairs
            .map(|(a, b)| figure(a) / figure(b))
            .collect::<Vec<_>>()
    };
    report.note("answer to a lookup", "B", vec![first.answer_bytes as f64]);
    report.note("empty calls", "1/s", each(&calls, |run| run.per_second));
    report.note("lookups", "1/s", each(&lookups, |run| run.per_second));
    let share = ratio(|run| run.per_second);
    report.note("lookups over empty calls", "%", percent(&share));
    report.note(
        "server's core, empty call",
        "µs",
        each(&calls, |run| run.server_us),
    );
    report.note(
        "server's core, lookup",
        "µs",
        each(&lookups, |run| run.server_us),
    );
    let share: Vec<_> = ratio(|run| run.server_us)
        .iter()
        .map(|it| it.recip())
        .collect();
    report.note(
        "empty call over lookup, server's core",
        "%",
        percent(&share),
    );
    let rate = median(each(&calls, |run| run.per_second)) * LOADED;
    let runs: Vec<Ran> = (0..rounds)
        .map(|_| client.empty_at_rate(&empty.endpoint, empty.id(), rate))
        .collect();
    report.note("empty calls asked for, 70 %", "1/s", vec![rate]);
    let p99 = each(&runs, |run| run.p99_ms);
    report.note("empty calls: latency p99", "ms", p99);
    let stolen = each(&runs, |run| run.stolen * 100.0);
    report.note("empty calls: taken by other machines", "%", stolen);
    median(each(&lookups, |run| run.per_second))
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn percent(shares: &[f64]) -> Vec<f64> {
    shares.iter().map(|share| share * 100.0).collect()
}

/// Latencies at a part of that load, without updates and with them.
fn under_updates(client: &Client<'_>, rounds: usize, flat_out: f64, report: &mut Figures) {
    let rate = flat_out * LOADED;
    report.note("lookups asked for, 70 %", "1/s", vec![rate]);
    for (what, updates) in [("alone", 0.0), ("beside updates", UPDATES)] {
        let runs: Vec<Ran> = (0..rounds).map(|_| client.at_rate(rate, updates)).collect();
        let mut note = |figure: &str, unit: &str, value: fn(&Ran) -> f64| {
            let figure = format!("{what}: {figure}");
            report.note(&figure, unit, runs.iter().map(value).collect());
        };
        note("lookups answered", "1/s", |run| run.per_second);
        note("updates visible", "1/s", |run| run.updates_per_second);
        note("latency p50", "ms", |run| run.p50_ms);
        note("latency p99", "ms", |run| run.p99_ms);
        note("latency p99.9", "ms", |run| run.p999_ms);
        note("busy, of the server's core", "%", |run| {
            run.server_busy * 100.0
        });
        note("taken by other machines", "%", |run| run.stolen * 100.0);
        note("failed calls", "", |run| run.failed);
    }
}
