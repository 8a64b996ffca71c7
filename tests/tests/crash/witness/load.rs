//! Clients that let their logs grow, whether the witness runs or not, and hold it to its answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use candor_core::note::{AddCheckpoint, SignedNote, monitoring_path, parse_cosignatures};
use candor_system::process::{PATIENCE, http};
use fastrand::Rng;
use reqwest::{Client, StatusCode};
use tokio::sync::RwLock;

use super::log::{History, Log};

/// How long a client waits before it tries again.
const PAUSE: Duration = Duration::from_millis(5);

/// How often a client of a forking log asks at most.
const FORK_REQUESTS_MAX: u32 = 40;

/// A log grows by less than that at a time.
const GROWTH: u64 = 9;

#[derive(Default)]
pub struct Counts {
    pub requests: AtomicU64,
    pub cosignatures: AtomicU64,
    pub conflicts: AtomicU64,
    pub in_quarantine: AtomicU64,
    pub unanswered: AtomicU64,
    /// Clients of a forking log that were told so.
    pub alarms: AtomicU64,
}

pub struct Load {
    client: Client,
    url: String,
    /// Held by each request, and by who wants none.
    pub gate: RwLock<()>,
    pub is_stopped: AtomicBool,
    pub counts: Counts,
}

/// What a client does next.
enum Next {
    /// Asks from this size.
    From(u64),
    /// Nobody answered; it tries again.
    Again,
    /// There is nothing more to gain.
    End,
}

impl Load {
    pub fn new(url: String) -> Self {
        Self {
            client: http().unwrap(),
            url,
            gate: RwLock::default(),
            is_stopped: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    /// One client of a log.
    pub async fn grow(self: Arc<Self>, log: Arc<Log>, history: History, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let (mut old, mut requests) = (0, 0);
        while !self.is_stopped.load(Ordering::Relaxed) {
            if log.is_forking() && requests == FORK_REQUESTS_MAX {
                return;
            }
            let guard = self.gate.read().await;
            // Both histories come to the same sizes; an honest log repeats itself sometimes.
            let further = if log.is_forking() {
                1 + old % 3
            } else {
                rng.u64(u64::from(old == 0)..GROWTH)
            };
            let next = self.submit(&log, history, old, old + further).await;
            drop(guard);
            match next {
                Next::From(size) => {
                    requests += 1;
                    old = size;
                }
                Next::Again => tokio::time::sleep(PAUSE).await,
                Next::End => return,
            }
        }
    }

    async fn submit(&self, log: &Log, history: History, old: u64, new: u64) -> Next {
        // As it was before: others may hear more meanwhile.
        let (newest, was_doubted) = (log.newest(), log.is_doubted.load(Ordering::SeqCst));
        let mut request = log.request(history, old, new);
        let Some((status, body)) = self.post(&request).await else {
            self.counts.unanswered.fetch_add(1, Ordering::Relaxed);
            return Next::Again;
        };
        match status {
            StatusCode::OK => {
                for line in parse_cosignatures(body.as_bytes()).unwrap() {
                    request.note.add(line).unwrap();
                    self.counts.cosignatures.fetch_add(1, Ordering::Relaxed);
                }
                log.see(&request.note);
                log.is_doubted.store(false, Ordering::SeqCst);
                log.answers.fetch_add(1, Ordering::SeqCst);
                Next::From(new)
            }
            StatusCode::CONFLICT => {
                self.counts.conflicts.fetch_add(1, Ordering::Relaxed);
                let size = body.trim_end().parse().unwrap();
                assert!(
                    size >= newest,
                    "{}: {size} recorded, {newest} cosigned",
                    log.origin
                );
                Next::From(size)
            }
            StatusCode::UNPROCESSABLE_ENTITY if log.is_forking() => Next::End,
            StatusCode::SERVICE_UNAVAILABLE if body.contains("contradict") => {
                assert!(log.is_forking(), "{} is accused: {body}", log.origin);
                log.is_accused.store(true, Ordering::SeqCst);
                self.counts.alarms.fetch_add(1, Ordering::Relaxed);
                Next::End
            }
            StatusCode::SERVICE_UNAVAILABLE if body.contains("quarantine") => {
                assert!(was_doubted, "{}: {body}", log.origin);
                self.counts.in_quarantine.fetch_add(1, Ordering::Relaxed);
                let (_, rest) = body.split_once("from size ").unwrap();
                let (floor, _) = rest.split_once(' ').unwrap();
                Next::From(floor.parse().unwrap())
            }
            _ => panic!("{}: {status} {body}", log.origin),
        }
    }

    /// The answer, if there is one.
    pub async fn post(&self, request: &AddCheckpoint) -> Option<(StatusCode, String)> {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        let url = format!("{}/add-checkpoint", self.url);
        let answer = self.client.post(url).body(request.to_bytes()).send().await;
        let answer = answer.ok()?;
        let status = answer.status();
        Some((status, answer.text().await.ok()?))
    }

    /// What the witness shows of a log: the size of what it cosigned last, 0 for nothing.
    pub async fn shown(&self, log: &Log) -> u64 {
        let url = format!("{}/{}", self.url, monitoring_path(&log.origin));
        let answer = self.client.get(url).send().await.unwrap();
        if answer.status() == StatusCode::NOT_FOUND {
            return 0;
        }
        log.see(&SignedNote::parse(&answer.bytes().await.unwrap()).unwrap())
    }

    pub async fn metrics(&self) -> String {
        let answer = self
            .client
            .get(format!("{}/metrics", self.url))
            .send()
            .await;
        answer.unwrap().text().await.unwrap()
    }

    /// Waits until each log was cosigned once more: nobody had to help.
    pub async fn progress(&self, logs: &[Arc<Log>]) {
        let deadline = Instant::now() + PATIENCE;
        for log in logs {
            let before = log.answers.load(Ordering::SeqCst);
            while log.answers.load(Ordering::SeqCst) == before {
                assert!(Instant::now() < deadline, "{} is stuck", log.origin);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
