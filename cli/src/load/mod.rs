//! Load on a server, and what it does to the server's answers.
//!
//! Calls are made at a set rate or as fast as they are answered. At a rate, each call has a time at
//! which it is due, whether the server keeps up or not, and its latency counts from then: a server
//! that stalls for a second shows a second of latencies, not one slow call (coordinated omission).
//! Flat out there is no such time; latencies are then those of the calls that were made.
//!
//! A `Device` stands for many that share a connection and a known head. What it is
//! answered in a sample of calls is verified as every device does; all of them would make this
//! program the slower side.

mod accounts;
mod device;
mod measured;
mod mix;
mod popularity;
mod schedule;
mod updates;
mod verifier;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use candor_core::answer::Trust;
use fastrand::Rng;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

use self::accounts::Accounts;
use self::device::Device;
use self::measured::Recorder;
pub use self::measured::{Latencies, Measured};
pub use self::mix::{Mix, Operation};
use self::popularity::Popularity;
use self::schedule::Schedule;
use self::updates::Updater;
pub use self::verifier::ConnectError;
use self::verifier::Verifier;

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long calls that are due may still take to be made and answered once the time is over.
const GRACE: Duration = Duration::from_secs(15);

/// Where to, and as whom.
#[derive(Clone)]
pub struct Target {
    /// The server.
    pub endpoint: Endpoint,
    /// What updates are authorized by.
    pub authorization: Option<MetadataValue<Ascii>>,
    /// Whom the devices trust.
    pub trust: Trust,
    /// Whether what they trust takes post-quantum signatures.
    pub post_quantum: bool,
}

/// What is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of accounts.
    pub accounts: u32,
    /// Shares of the operations.
    pub mix: Mix,
    /// Exponent of the accounts' popularity; 0: all are asked for alike.
    pub skew: f64,
    /// Calls a second; `None`: as many as are answered.
    pub rate: Option<f64>,
    /// How long it is measured.
    pub duration: Duration,
    /// How long there is load before.
    pub warm_up: Duration,
    /// Connections.
    pub channels: u16,
    /// Most calls of one connection that wait for their answer.
    pub concurrency: u16,
    /// Share of lookups whose answers are verified, from 0 to 1.
    pub verified: f64,
    /// Decides what is asked.
    pub seed: u64,
}

/// Load that can be put on a server.
pub struct Load {
    plan: Plan,
    target: Target,
    accounts: Arc<Accounts>,
}

/// Ends a run before its time.
#[derive(Clone)]
pub struct Stop(Arc<Schedule>);

impl Stop {
    /// Makes no more calls. What was measured until now is the run's result.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// A run that begins now.
pub struct Run {
    schedule: Arc<Schedule>,
    recorders: Vec<Arc<Recorder>>,
    tasks: JoinSet<()>,
    dispatching: JoinHandle<()>,
    end: Instant,
}

impl Load {
    /// Prepares to load a server. Nothing is asked yet.
    pub fn new(plan: Plan, target: Target) -> Self {
        let accounts = Arc::new(Accounts::new(plan.accounts));
        Self {
            plan,
            target,
            accounts,
        }
    }

    /// Registers the accounts that do not exist, and tells how many do after each answer.
    ///
    /// # Errors
    ///
    /// What the server refused, when it takes no more.
    pub async fn prepare(&self, progress: impl Fn(u64)) -> Result<(), Status> {
        updates::register(&self.target, &self.accounts, self.plan.channels, progress).await
    }

    /// Connects, and starts to call.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if there is no server, or none that can be verified as asked.
    pub async fn start(&self) -> Result<Run, ConnectError> {
        let plan = &self.plan;
        let mut rng = Rng::with_seed(plan.seed);
        let mut devices = Vec::new();
        for _ in 0..plan.channels {
            let channel = self.target.endpoint.connect().await;
            let channel = channel.map_err(ConnectError::Unreachable)?;
            let verifier = Verifier::connect(&channel, &self.target, plan.verified > 0.0);
            devices.push((channel.clone(), verifier.await?));
        }
        let begin = Instant::now();
        let (from, end) = (begin + plan.warm_up, begin + plan.warm_up + plan.duration);
        let schedule = Arc::new(match plan.rate {
            Some(rate) => Schedule::at_rate(begin, end, rate),
            None => Schedule::flat_out(end),
        });
        let dispatching = Arc::clone(&schedule);
        let mut run = Run {
            schedule,
            recorders: Vec::new(),
            tasks: JoinSet::new(),
            dispatching: std::thread::spawn(move || dispatching.dispatch()),
            end,
        };
        let popularity = Popularity::new(plan.accounts, plan.skew);
        for (channel, verifier) in devices {
            let recorder = Arc::new(Recorder::new(from));
            run.recorders.push(Arc::clone(&recorder));
            let (target, accounts) = (self.target.clone(), Arc::clone(&self.accounts));
            let updater = Updater::new(channel.clone(), target, accounts, Arc::clone(&recorder));
            let orders = updater.spawn(&mut run.tasks);
            let device = Arc::new(Device {
                channel,
                verifier,
                recorder,
                accounts: Arc::clone(&self.accounts),
                orders,
                popularity,
                plan: plan.clone(),
            });
            for _ in 0..plan.concurrency {
                let (device, schedule) = (Arc::clone(&device), Arc::clone(&run.schedule));
                run.tasks.spawn(device.work(schedule, rng.fork()));
            }
        }
        Ok(run)
    }
}

impl Run {
    /// What ends the run early.
    pub fn stopper(&self) -> Stop {
        Stop(Arc::clone(&self.schedule))
    }

    /// Waits for the end, and tells what was measured.
    pub async fn finish(mut self) -> Measured {
        let patience = self.end.saturating_duration_since(Instant::now()) + GRACE;
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, ended).await.is_err() {
            self.schedule.stop();
            self.tasks.shutdown().await;
        }
        let mut all = Measured::new();
        for recorder in &self.recorders {
            all.add(&recorder.measured());
        }
        all.not_started = self.schedule.not_started();
        all.measured_for(&self.schedule);
        // It ends with its schedule.
        let dispatching = self.dispatching;
        let _ended = tokio::task::spawn_blocking(move || dispatching.join()).await;
        all
    }
}
