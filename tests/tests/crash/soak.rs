//! Minutes of load of every kind on a log with three witnesses, while programs are killed and
//! witnesses hang: `make soak` takes ten, `make test` less than one.
//!
//! In the first half any program is killed at any time. In the second half nothing is, so that what
//! a program piles up would be seen; witnesses hang all the same, also so many that nothing is
//! published. At the end every acknowledged update is there and verifies, all heads that anyone saw
//! are of one log, no answer ever failed verification, and memory and file descriptors of the
//! programs have not grown. A run prints its seed.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use candor::load::{Load, Measured, Mix, Plan, Run, Target};
use candor_sdk::ClientConfig;
use candor_system::system::{Node, System, edit};
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use super::{Trial, WITNESSES, store};

/// Calls a second beside the clients that know what must be there.
const RATE: f64 = 200.0;

/// Accounts that they are for.
const ACCOUNTS: u32 = 200;

/// Longest time between two failures, and longest failure.
const PAUSE_MS_MAX: u64 = 3_000;
const FAILURE_MS_MAX: u64 = 2_000;

/// How often memory and file descriptors are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How much the memory of a program may grow between the first and the last third of what is
/// compared: by a fifth, and by what engines keep to write at once.
const GROWTH: f64 = 1.2;
const GROWTH_KIB: f64 = 24.0 * 1024.0;

/// How many file descriptors more it may have: connections that are being made, files that are
/// being written anew.
const MORE_FILES: f64 = 16.0;

struct Settings {
    duration: Duration,
    seed: u64,
}

impl Settings {
    fn read() -> Self {
        let number = |name| std::env::var(name).map(|text| text.parse::<u64>().unwrap());
        Self {
            duration: Duration::from_secs(number("CANDOR_SOAK_SECONDS").unwrap_or(40)),
            seed: number("CANDOR_SOAK_SEED").unwrap_or_else(|_| fastrand::u64(..)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_and_failures_nothing_is_lost_contradicted_or_piled_up() {
    let Settings { duration, seed } = Settings::read();
    println!("soak: {duration:?}, CANDOR_SOAK_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let mut tasks = JoinSet::new();
    let mut trial = Trial::start(folder.path(), 200, seed, &mut tasks).await;
    // Small caches fill soon: what grows after that is no cache.
    trial.kill_server();
    let config = trial.system.server.folder().join("server.toml");
    edit(&config, &[("cache_mib = 256", "cache_mib = 8")]).unwrap();
    trial.start_server().await;
    let volume = volume(&trial.system, duration, seed).await;
    let stop = volume.stopper();
    let measured = tokio::spawn(volume.finish());

    let outages = kill_at_random(&mut trial, duration / 2).await;
    let usage = hang_at_random(&mut trial, duration / 2).await;

    stop.stop();
    let measured: Measured = measured.await.unwrap();
    assert_eq!(measured.refused, 0, "{:?}", measured.first_refusal);
    assert!(measured.verified > 0);
    // No reader or writer has ended: each would by a failed assertion.
    if let Some(ended) = tasks.try_join_next() {
        panic!("{ended:?}");
    }
    trial.check().await;
    trial.load.stop();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    trial.check().await;
    trial.load.check_history(&trial.watcher).await;
    trial.kill_server();
    let epochs = store::check(&trial.system, &trial.heads);
    for usage in &usage {
        usage.check();
    }
    println!(
        "soak: {} kills of the server, {} of witnesses, {} outages; {} acknowledged updates in \
         {epochs} epochs, {} + {} answers verified, {} calls failed, {} heads agree",
        trial.summary.kills,
        trial.summary.witness_kills,
        outages,
        trial.load.counts.acknowledged.load(Ordering::Relaxed),
        trial.load.counts.lookups.load(Ordering::Relaxed),
        measured.verified,
        measured.errors.values().sum::<u64>(),
        trial.heads.count(),
    );
}

/// Many calls of all kinds, a part of them verified.
async fn volume(system: &System, duration: Duration, seed: u64) -> Run {
    let token = std::fs::read_to_string(system.token_path()).unwrap();
    let trust = system.trust().unwrap();
    let config = ClientConfig::new(&system.endpoint(), trust.clone());
    let target = Target {
        endpoint: Endpoint::from_shared(system.endpoint()).unwrap(),
        authorization: Some(format!("Bearer {}", token.trim()).parse().unwrap()),
        trust,
        post_quantum: config.needs_post_quantum(),
    };
    let plan = Plan {
        accounts: ACCOUNTS,
        mix: "lookup=80,batch=4,monitor=6,update=10"
            .parse::<Mix>()
            .unwrap(),
        skew: 0.99,
        rate: Some(RATE),
        // It is stopped before: programs take time to start.
        duration: duration * 10,
        warm_up: Duration::ZERO,
        channels: 2,
        concurrency: 16,
        verified: 0.1,
        seed,
    };
    let load = Load::new(plan, target);
    load.prepare(|_| {}).await.unwrap();
    load.start().await.unwrap()
}

/// Kills the server or a witness, or has witnesses hang, again and again. The number of outages.
async fn kill_at_random(trial: &mut Trial, duration: Duration) -> u32 {
    let (end, mut outages) = (Instant::now() + duration, 0);
    while Instant::now() < end {
        sleep_at_random(trial, PAUSE_MS_MAX).await;
        match trial.rng.u8(0..4) {
            0 => {
                trial.kill_server();
                sleep_at_random(trial, FAILURE_MS_MAX / 4).await;
                trial.start_server().await;
            }
            1 | 2 => {
                let witness = trial.rng.usize(0..WITNESSES);
                trial.system.witnesses[witness]
                    .process()
                    .unwrap()
                    .kill()
                    .unwrap();
                sleep_at_random(trial, FAILURE_MS_MAX).await;
                trial.system.witnesses[witness].start().await.unwrap();
                trial.summary.witness_kills += 1;
            }
            _ => {
                hang(trial).await;
                outages += 1;
            }
        }
    }
    outages
}

/// Has witnesses hang again and again, and looks at what the programs use.
async fn hang_at_random(trial: &mut Trial, duration: Duration) -> Vec<Usage> {
    let nodes = std::iter::once(&mut trial.system.server).chain(&mut trial.system.witnesses);
    let mut usage: Vec<Usage> = nodes.map(Usage::of).collect();
    let looking = {
        let mut looked = std::mem::take(&mut usage);
        let end = Instant::now() + duration;
        tokio::spawn(async move {
            while Instant::now() < end {
                looked.iter_mut().for_each(Usage::look);
                tokio::time::sleep(LOOK).await;
            }
            looked
        })
    };
    let end = Instant::now() + duration;
    while Instant::now() < end {
        sleep_at_random(trial, PAUSE_MS_MAX).await;
        hang(trial).await;
    }
    looking.await.unwrap()
}

/// Has one witness hang for a while, or two: without them there is no quorum.
async fn hang(trial: &mut Trial) {
    let first = trial.rng.usize(0..WITNESSES);
    let count = trial.rng.usize(1..=2);
    let witnesses = (0..count).map(|next| (first + next) % WITNESSES);
    let witnesses: Vec<_> = witnesses.collect();
    for witness in &witnesses {
        trial.system.witnesses[*witness]
            .process()
            .unwrap()
            .pause()
            .unwrap();
    }
    sleep_at_random(trial, FAILURE_MS_MAX).await;
    for witness in &witnesses {
        trial.system.witnesses[*witness]
            .process()
            .unwrap()
            .resume()
            .unwrap();
    }
}

async fn sleep_at_random(trial: &mut Trial, ms_max: u64) {
    let pause = trial.rng.u64(0..=ms_max);
    tokio::time::sleep(Duration::from_millis(pause)).await;
}

/// What a process uses, over time.
struct Usage {
    process: u32,
    /// Resident memory in KiB, and open files.
    looks: Vec<(f64, f64)>,
}

impl Usage {
    fn of(node: &mut Node) -> Self {
        Self {
            process: node.process().unwrap().id(),
            looks: Vec::new(),
        }
    }

    fn look(&mut self) {
        let process = Path::new("/proc").join(self.process.to_string());
        let status = std::fs::read_to_string(process.join("status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.unwrap().trim().trim_end_matches(" kB");
        let files = std::fs::read_dir(process.join("fd")).unwrap().count();
        self.looks.push((memory.parse().unwrap(), files as f64));
    }

    /// After a quarter to warm up, the last third is as the first.
    fn check(&self) {
        let looks = &self.looks[self.looks.len() / 4..];
        let third = looks.len() / 3;
        let median = |part: &[(f64, f64)], figure: fn(&(f64, f64)) -> f64| {
            let mut sorted: Vec<f64> = part.iter().map(figure).collect();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 2]
        };
        let of = |figure| {
            let last = &looks[looks.len() - third..];
            (median(&looks[..third], figure), median(last, figure))
        };
        let (memory, files) = (of(|look| look.0), of(|look| look.1));
        println!(
            "soak: process {}: KiB {memory:?}, files {files:?}",
            self.process
        );
        assert!(memory.1 <= memory.0 * GROWTH + GROWTH_KIB, "{memory:?}");
        assert!(files.1 <= files.0 + MORE_FILES, "{files:?}");
    }
}
