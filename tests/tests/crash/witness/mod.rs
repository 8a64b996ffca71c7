//! A real witness of several logs, under load, killed at random times again and again, and given an
//! old copy of its database now and then.
//!
//! The test signs the logs, so it knows their true trees. Every cosignature that ever left the
//! witness is held against them and against each other; what the witness shows after a restart is
//! never behind what it cosigned, no restart needs a hand, and with an old database nothing is
//! cosigned until the log proves that it grew.

mod load;
mod log;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use candor_system::system::{Node, create_witness};
use fastrand::Rng;
use reqwest::StatusCode;
use tokio::task::JoinSet;

use super::Settings;
use load::Load;
use log::{History, Log};

const NAME: &str = "witness.example";

const HONEST: usize = 5;

/// Both histories of a forking log agree up to this size.
const FORK_AT: u64 = 4;

/// Of so many rounds one takes a copy of the database, and one puts it back.
const CYCLE: u32 = 4;

/// Longest time under load before a kill.
const LOAD_MS_MAX: u64 = 150;

#[derive(Debug, Default)]
struct Summary {
    kills: u32,
    kills_in_start: u32,
    old_databases: u32,
    quarantines: u32,
}

struct Trial {
    node: Node,
    honest: Vec<Arc<Log>>,
    /// One for each round.
    forking: Vec<Arc<Log>>,
    load: Arc<Load>,
    tasks: JoinSet<()>,
    rng: Rng,
    /// What each log's record was when the copy of the database was made.
    copied: Option<Vec<u64>>,
    start: Duration,
    summary: Summary,
}

impl Trial {
    fn new(folder: &std::path::Path, rounds: u32, seed: u64) -> Self {
        let honest = (0..HONEST).map(|number| (format!("log.example/{number}"), None));
        let forking = (0..rounds).map(|number| (format!("fork.example/{number}"), Some(FORK_AT)));
        let mut logs = honest
            .chain(forking)
            .map(|(origin, fork_at)| Arc::new(Log::new(origin, fork_at)));
        let (honest, forking): (Vec<_>, Vec<_>) =
            (logs.by_ref().take(HONEST).collect(), logs.collect());
        let keys: Vec<String> = honest.iter().chain(&forking).map(|log| log.key()).collect();
        let (node, lines) = create_witness(&folder.join("w"), NAME, &keys, None).unwrap();
        for log in honest.iter().chain(&forking) {
            log.trust(NAME, &lines);
        }
        Self {
            load: Arc::new(Load::new(format!("http://{}", node.http))),
            node,
            honest,
            forking,
            tasks: JoinSet::new(),
            rng: Rng::with_seed(seed),
            copied: None,
            start: Duration::from_secs(1),
            summary: Summary::default(),
        }
    }

    fn spawn(&mut self, log: &Arc<Log>, history: History) {
        let load = Arc::clone(&self.load);
        let seed = self.rng.u64(..);
        self.tasks.spawn(load.grow(Arc::clone(log), history, seed));
    }

    fn logs(&self) -> impl Iterator<Item = &Arc<Log>> {
        self.honest.iter().chain(&self.forking)
    }

    fn database(&self) -> PathBuf {
        self.node.folder().join("state/witness.redb")
    }

    fn copy(&self) -> PathBuf {
        self.node.folder().join("copy.redb")
    }

    fn kill(&mut self) {
        let witness = self.node.process().unwrap();
        // It dies by our hand only.
        assert!(
            !witness.has_ended().unwrap(),
            "{}",
            witness.output().unwrap()
        );
        witness.kill().unwrap();
        self.summary.kills += 1;
    }

    /// Load, a kill, perhaps an old database and more kills, a start, and what must hold then.
    async fn round(&mut self, round: u32) {
        let log = Arc::clone(&self.forking[round as usize]);
        for history in [History::First, History::Second] {
            self.spawn(&log, history);
        }
        self.load.progress(&self.honest).await;
        let pause = self.rng.u64(0..=LOAD_MS_MAX);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        self.kill();
        let load = Arc::clone(&self.load);
        let quiet = load.gate.write().await;
        let makes_copy = round % CYCLE == 1;
        if makes_copy {
            std::fs::copy(self.database(), self.copy()).unwrap();
        }
        let copied = self.copied.take_if(|_| round % CYCLE == CYCLE - 1);
        if copied.is_some() {
            std::fs::copy(self.copy(), self.database()).unwrap();
            self.summary.old_databases += 1;
        }
        while self.rng.u8(0..3) == 0 {
            self.node.spawn().unwrap();
            let pause = self.start.mul_f64(self.rng.f64() * 1.2);
            tokio::time::sleep(pause).await;
            self.kill();
            self.summary.kills_in_start += 1;
        }
        let begun = Instant::now();
        self.node.start().await.unwrap();
        self.start = begun.elapsed();
        if let Some(sizes) = copied {
            self.check_quarantine(&sizes).await;
        }
        let shown = self.check().await;
        if makes_copy {
            self.copied = Some(shown);
        }
        drop(quiet);
        // No client has ended but by itself: each other would by a failed assertion.
        while let Some(ended) = self.tasks.try_join_next() {
            ended.unwrap();
        }
    }

    /// With an old database, no log that was cosigned since can have a second history cosigned.
    async fn check_quarantine(&mut self, sizes: &[u64]) {
        let metrics = self.load.metrics().await;
        let mut quarantines = 0;
        for (log, size) in self.logs().zip(sizes) {
            // Alarms of that time are forgotten too; what they rest on is among the evidence.
            log.is_accused.store(false, Ordering::SeqCst);
            // The witness may have recorded what nobody received.
            log.is_doubted.store(true, Ordering::SeqCst);
            if log.newest() <= *size {
                continue;
            }
            let gauge = format!("candor_witness_quarantine{{origin=\"{}\"}} 1", log.origin);
            assert!(metrics.contains(&gauge), "{}", log.origin);
            let (status, body) = self.load.post(&log.forked_from(*size)).await.unwrap();
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
            assert!(
                ["quarantine", "contradict"]
                    .iter()
                    .any(|word| body.contains(word)),
                "{body}"
            );
            quarantines += 1;
        }
        self.summary.quarantines += quarantines;
    }

    /// The size that is shown of each log is not behind what was cosigned; alarms last.
    async fn check(&self) -> Vec<u64> {
        let mut sizes = Vec::new();
        for log in self.logs() {
            let newest = log.newest();
            let shown = self.load.shown(log).await;
            if !log.is_doubted.load(Ordering::SeqCst) {
                assert!(
                    shown >= newest,
                    "{}: {shown} shown, {newest} cosigned",
                    log.origin
                );
            }
            if log.is_accused.load(Ordering::SeqCst) {
                let request = log.request(History::First, shown, shown + 1);
                let (status, body) = self.load.post(&request).await.unwrap();
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
            }
            sizes.push(shown);
        }
        sizes
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_time_a_witness_cosigns_one_history_of_each_log() {
    let Settings { rounds, seed } = Settings::read();
    println!("crash test of a witness: {rounds} rounds, CANDOR_CRASH_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let mut trial = Trial::new(folder.path(), rounds, seed);
    trial.node.start().await.unwrap();
    for log in trial.honest.clone() {
        for _ in 0..2 {
            trial.spawn(&log, History::First);
        }
    }
    for round in 0..rounds {
        trial.round(round).await;
    }
    trial.load.progress(&trial.honest).await;
    trial.load.is_stopped.store(true, Ordering::Relaxed);
    while let Some(ended) = trial.tasks.join_next().await {
        ended.unwrap();
    }
    trial.check().await;

    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counts = &trial.load.counts;
    let Summary {
        kills,
        kills_in_start,
        old_databases,
        quarantines,
    } = trial.summary;
    println!(
        "crash test of a witness: {kills} kills ({kills_in_start} in the start), {old_databases} \
         old databases with {quarantines} quarantines, {} requests, {} cosignatures received, {} \
         conflicts, {} refused in quarantine, {} unanswered, {} told of a fork",
        count(&counts.requests),
        count(&counts.cosignatures),
        count(&counts.conflicts),
        count(&counts.in_quarantine),
        count(&counts.unanswered),
        count(&counts.alarms),
    );
    assert!(count(&counts.cosignatures) > u64::from(rounds));
    assert!(rounds < CYCLE || quarantines > 0);
}
