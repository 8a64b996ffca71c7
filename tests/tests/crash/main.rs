//! A real server with real witnesses, under load, killed at random times again and again: while it
//! builds, commits, signs and publishes, while it starts, and while it recovers from the kill
//! before.
//!
//! After each kill every acknowledged update is there, lookups verify and never go back, and no two
//! signed heads disagree, wherever they were seen; every few rounds everything is recomputed from
//! the rows of the store. `make crash-test` runs many rounds. A run prints its seed; what is killed
//! when follows from it, as far as the machine is as fast as it was.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod heads;
mod load;
mod soak;
mod store;
mod volume;
mod witness;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use candor_sdk::{Client, MemoryStore};
use candor_system::system::{System, edit};
use fastrand::Rng;
use tokio::task::JoinSet;

use heads::Heads;
use load::Load;

const WITNESSES: usize = 3;

/// Rounds between two checks of the whole store.
const STORE_CHECK_ROUNDS: u32 = 10;

/// Longest time under load before a kill.
const LOAD_MS_MAX: u64 = 400;

/// How much is done, and what.
struct Settings {
    rounds: u32,
    seed: u64,
}

impl Settings {
    fn read() -> Self {
        let number = |name| std::env::var(name).map(|text| text.parse::<u64>().unwrap());
        let rounds = number("CANDOR_CRASH_ROUNDS");
        Self {
            rounds: rounds.map_or(20, |rounds| u32::try_from(rounds).unwrap()),
            seed: number("CANDOR_CRASH_SEED").unwrap_or_else(|_| fastrand::u64(..)),
        }
    }
}

/// What was done.
#[derive(Debug, Default)]
struct Summary {
    kills: u32,
    kills_in_recovery: u32,
    witness_kills: u32,
    checked_lookups: u64,
    store_checks: u32,
}

struct Trial {
    system: System,
    heads: Arc<Heads>,
    load: Arc<Load>,
    /// Remembers heads and versions over all rounds: it would notice any going back.
    watcher: Client<MemoryStore>,
    rng: Rng,
    /// How long the server takes to serve.
    start: Duration,
    summary: Summary,
}

impl Trial {
    /// Starts a system below a folder, with an epoch every so many milliseconds if there are
    /// updates, and clients in `tasks`.
    async fn start(folder: &Path, epoch_ms: u32, seed: u64, tasks: &mut JoinSet<()>) -> Self {
        let mut system = System::create(folder, WITNESSES).unwrap();
        let config = system.server.folder().join("server.toml");
        let interval = format!("epoch_interval_ms = {epoch_ms}");
        edit(&config, &[("epoch_interval_ms = 200", &interval)]).unwrap();
        system.start().await.unwrap();
        let heads = Arc::new(Heads::new(system.log_verifier().unwrap()));
        let load = Arc::new(Load::new(&system, Arc::clone(&heads)));
        load.start(&system, seed, tasks);
        Self {
            watcher: system.device().unwrap(),
            system,
            heads,
            load,
            rng: Rng::with_seed(seed),
            start: Duration::from_secs(1),
            summary: Summary::default(),
        }
    }

    async fn start_server(&mut self) {
        let begun = Instant::now();
        self.system.server.start().await.unwrap();
        self.start = begun.elapsed();
        self.system.wait_published().await.unwrap();
    }

    fn kill_server(&mut self) {
        let server = self.system.server.process().unwrap();
        // It dies by our hand only.
        assert!(!server.has_ended().unwrap(), "{}", server.output().unwrap());
        server.kill().unwrap();
        self.summary.kills += 1;
        let anchor = std::fs::read(self.system.server.folder().join("anchor"));
        // There is none before the first epoch is signed.
        if let Ok(note) = anchor {
            self.heads.anchored(&note);
        }
    }

    /// One kill under load, perhaps some more while the server starts again, and a start.
    async fn round(&mut self) {
        let pause = self.rng.u64(0..=LOAD_MS_MAX);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let witness = self.rng.usize(0..WITNESSES * 4);
        if let Some(witness) = self.system.witnesses.get_mut(witness) {
            witness.process().unwrap().kill().unwrap();
            self.summary.witness_kills += 1;
        }
        self.kill_server();
        while self.rng.u8(0..3) == 0 {
            self.system.server.spawn().unwrap();
            let pause = self.start.mul_f64(self.rng.f64() * 1.2);
            tokio::time::sleep(pause).await;
            self.kill_server();
            self.summary.kills_in_recovery += 1;
        }
        if let Some(witness) = self.system.witnesses.get_mut(witness) {
            witness.start().await.unwrap();
        }
    }

    /// What must hold after every kill.
    async fn check(&mut self) {
        let lookups = self.load.check(&self.watcher, &self.heads).await;
        self.summary.checked_lookups += lookups;
        self.heads.ask(&self.system).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_time_a_server_loses_nothing_and_contradicts_nothing() {
    let Settings { rounds, seed } = Settings::read();
    println!("crash test: {rounds} rounds, CANDOR_CRASH_SEED={seed}");

    let folder = tempfile::tempdir().unwrap();
    let mut tasks = JoinSet::new();
    let mut trial = Trial::start(folder.path(), 5, seed, &mut tasks).await;
    for round in 1..=rounds {
        trial.round().await;
        if round % STORE_CHECK_ROUNDS == 0 || round == rounds {
            trial.summary.store_checks += 1;
            store::check(&trial.system, &trial.heads);
        }
        trial.start_server().await;
        trial.check().await;
        // No reader or writer has ended: each would by a failed assertion.
        if let Some(ended) = tasks.try_join_next() {
            panic!("round {round}: {ended:?}");
        }
    }
    trial.load.stop();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    trial.check().await;
    trial.load.check_history(&trial.watcher).await;
    trial.kill_server();
    let epochs = store::check(&trial.system, &trial.heads);

    let counts = &trial.load.counts;
    let (acknowledged, read) = (&counts.acknowledged, &counts.lookups);
    let Summary {
        kills,
        kills_in_recovery,
        witness_kills,
        checked_lookups,
        store_checks,
    } = trial.summary;
    println!(
        "crash test: {kills} kills ({kills_in_recovery} in recovery), {witness_kills} of \
         witnesses, {} acknowledged updates in {epochs} epochs, {} lookups verified under load and \
         {checked_lookups} after kills, {} heads agree, {} stores recomputed",
        acknowledged.load(Ordering::Relaxed),
        read.load(Ordering::Relaxed),
        trial.heads.count(),
        store_checks + 1,
    );
    assert!(acknowledged.load(Ordering::Relaxed) > u64::from(rounds));
    assert!(read.load(Ordering::Relaxed) > 0);
}
