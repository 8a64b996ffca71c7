//! The one path that every request to add a checkpoint takes.
//!
//! Admitted, decided, signed, recorded, answered: in this order, and the signatures exist nowhere
//! else before they are recorded. Requests of one log take turns from the decision to the record.
//! A request that has begun is finished even if its client goes away, so that a log's turn never
//! ends between two steps.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use candor_core::note::{AddCheckpoint, Checkpoint, SignError, SignatureLine};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::cosigner::Cosigner;
use crate::decision::{Recorded, Refusal, Submission, admit, read_checkpoint};
use crate::evidence::{Contradiction, Evidence};
use crate::gossip::Node;
use crate::logs::{Log, Logs};
use crate::metrics::{Metrics, Outcome};
use crate::points::{Hook, Point};
use crate::state::next_timestamp_s;
use crate::store::{ApplyError, Entry, Quarantine, Store};

/// Most requests at a time: 132 KiB each, below 140 MiB together.
const REQUESTS_MAX: usize = 1024;

/// Most requests for subtrees at a time. Anybody who has a cosigned checkpoint can make them, so
/// they never take the place of what logs need.
const SUBTREES_MAX: usize = 16;

/// Why a request got no cosignatures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// By the rules of the protocol.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log contradicted itself; its operator is at fault.
    #[error("this witness holds two checkpoints of the log that contradict each other")]
    Forked,
    /// Peers have a checkpoint of the log to which it shows no consistency, though it was asked:
    /// its operator is at fault.
    #[error("the log does not show that it is consistent with what peers of this witness have")]
    Unreconciled,
    /// The witness may have signed more of the log than it remembers; its operator is at fault.
    #[error("log is in quarantine: {0}")]
    Quarantined(Quarantine),
    /// Too many requests at once; try again.
    #[error("too many requests at once")]
    Busy,
    /// The log asked more often than it may; try again later.
    #[error("more requests than the log may make; try again in {retry_after_s} s")]
    RateLimited {
        /// Seconds until the next request may be made, at least 1.
        retry_after_s: u64,
    },
    /// The change could not be made durable; try again later.
    #[error(transparent)]
    Store(#[from] ApplyError),
    /// A key failed; try again later.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A bug of ours ended the request's task.
    #[error("internal error")]
    Internal,
}

impl From<tokio::task::JoinError> for AddError {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Internal
    }
}

impl AddError {
    /// The log may ask again after `wait`.
    fn rate_limited(wait: Duration) -> Self {
        Self::RateLimited {
            retry_after_s: wait.as_secs().saturating_add(1),
        }
    }

    /// How metrics count it.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(refusal) => match refusal {
                Refusal::Body(_)
                | Refusal::Checkpoint(_)
                | Refusal::OldSizeAbove
                | Refusal::SubtreeBeyond => Outcome::Malformed,
                Refusal::UnknownLog => Outcome::UnknownLog,
                Refusal::Unsigned(_) | Refusal::NotCosigned => Outcome::Unsigned,
                Refusal::Conflict { .. } => Outcome::Conflict,
                Refusal::EmptyRoot | Refusal::Inconsistent(_) => Outcome::Inconsistent,
            },
            Self::Forked | Self::Unreconciled | Self::Quarantined(_) => Outcome::Suspended,
            Self::Busy => Outcome::Busy,
            Self::RateLimited { .. } => Outcome::RateLimited,
            Self::Store(_) | Self::Sign(_) | Self::Internal => Outcome::Failed,
        }
    }
}

/// A witness, for whoever serves it.
#[derive(Debug)]
pub struct Witness {
    pub(crate) cosigner: Arc<Cosigner>,
    logs: Logs,
    pub(crate) store: Store,
    pub(crate) evidence: Arc<Evidence>,
    pub(crate) metrics: Metrics,
    gossip: Option<Arc<Node>>,
    map_wait: Duration,
    requests: Arc<Semaphore>,
    pub(crate) subtrees: Arc<Semaphore>,
    pub(crate) hook: Hook,
}

impl Witness {
    /// A witness of no logs yet. A request waits at most `map_wait` for a map.
    pub fn new(
        cosigner: Cosigner,
        store: Store,
        evidence: Evidence,
        metrics: Metrics,
        map_wait: Duration,
    ) -> Self {
        Self {
            cosigner: Arc::new(cosigner),
            logs: Logs::default(),
            store,
            evidence: Arc::new(evidence),
            metrics,
            gossip: None,
            map_wait,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            subtrees: Arc::new(Semaphore::new(SUBTREES_MAX)),
            hook: Hook::default(),
        }
    }

    /// The same witness, which compares its logs with those of peers. To be called before any log
    /// is added.
    #[must_use]
    pub fn with_gossip(mut self, node: Option<Arc<Node>>) -> Self {
        self.gossip = node;
        self
    }

    /// Adds a log, as [`Logs::add`] does.
    pub fn add_log(&self, log: Log) -> bool {
        let origin = log.origin().to_owned();
        let is_added = self.logs.add(log);
        if is_added {
            self.remind_gossip(&origin);
            let entry = self.store.entry(&origin);
            self.metrics.log_size(&origin, entry.recorded().size);
            self.metrics.log_alarm(&origin, entry.fork.is_some());
            self.metrics.quarantine(&origin, entry.quarantine.is_some());
            self.metrics.map_alarm(&origin, entry.map_alarm.is_some());
            self.metrics.logs(self.logs.count());
        }
        is_added
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        let key = self.cosigner.keys().next();
        key.map_or("", |key| key.name().as_str())
    }

    /// The logs.
    pub const fn logs(&self) -> &Logs {
        &self.logs
    }

    /// What this witness and its peers know of the logs, if it has peers.
    pub const fn gossip(&self) -> Option<&Arc<Node>> {
        self.gossip.as_ref()
    }

    /// What is known of log `origin`.
    pub fn entry(&self, origin: &str) -> Entry {
        self.store.entry(origin)
    }

    /// The metrics.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether checkpoints can be recorded.
    pub fn is_ready(&self) -> bool {
        self.store.is_running()
    }

    /// Checks a checkpoint, records it durably, and cosigns it.
    ///
    /// # Errors
    ///
    /// [`AddError`].
    pub async fn add_checkpoint(
        self: &Arc<Self>,
        request: AddCheckpoint,
    ) -> Result<Vec<SignatureLine>, AddError> {
        let started = Instant::now();
        let result = self.begin(request).await;
        self.metrics.request_took(started.elapsed());
        let outcome = result
            .as_ref()
            .map_or_else(AddError::outcome, |_| Outcome::Cosigned);
        self.metrics.request(outcome);
        result
    }

    async fn begin(
        self: &Arc<Self>,
        request: AddCheckpoint,
    ) -> Result<Vec<SignatureLine>, AddError> {
        let permit = Arc::clone(&self.requests).try_acquire_owned();
        let permit = permit.map_err(|_| AddError::Busy)?;
        let this = Arc::clone(self);
        let working = async move {
            let _permit = permit;
            let admitting = Arc::clone(&this);
            let admission = tokio::task::spawn_blocking(move || {
                let checkpoint = read_checkpoint(&request.note)?;
                let log = admitting.logs.find(checkpoint.origin());
                let log = log.ok_or(Refusal::UnknownLog)?;
                let submission = admit(request, &log.verifier)?;
                Ok::<_, Refusal>((log, Arc::new(submission)))
            });
            let (log, submission) = admission.await??;
            this.reached(Point::Admitted, submission.origin())?;
            this.process(&log, &submission).await
        };
        tokio::spawn(working.in_current_span()).await?
    }

    async fn process(
        &self,
        log: &Log,
        submission: &Arc<Submission>,
    ) -> Result<Vec<SignatureLine>, AddError> {
        let origin = submission.origin();
        // Before the wait for the map, so that nobody waits who is refused anyway.
        self.check(&self.store.entry(origin), submission).await?;
        let checkpoint = submission.checkpoint().checkpoint();
        let map_root = match &log.map {
            Some(map) => map.root_at(checkpoint.size(), self.map_wait).await,
            None => None,
        };

        let _turn = log.turn.lock().await;
        let entry = self.store.entry(origin);
        self.check(&entry, submission).await?;
        let is_growth = checkpoint.size() > entry.recorded().size;
        let next = Recorded::of(checkpoint);
        if is_growth
            && self
                .gossip()
                .is_some_and(|node| !node.may_grow(origin, &next))
        {
            return Err(AddError::Unreconciled);
        }
        let mut is_map_checked = false;
        if let Some(root) = map_root.filter(|_| entry.map_alarm.is_none()) {
            is_map_checked = root == *checkpoint.root();
            if !is_map_checked {
                let computed = Contradiction::of_map(submission, root);
                self.record(submission, computed).await?;
            }
        }
        let timestamp_s = next_timestamp_s(now_s(), entry.state.as_deref());
        match entry.repeated_by(submission) {
            // Anybody can repeat a checkpoint: within one second, and beyond what is allowed, the
            // answer is the one already given.
            Some(state) => {
                let lines = state.cosignatures().len();
                let is_map_refused = map_root.is_some() && !is_map_checked;
                let has_all_lines = if is_map_refused || entry.map_alarm.is_some() {
                    lines == self.cosigner.line_count(false)
                } else {
                    lines >= self.cosigner.line_count(is_map_checked)
                };
                if has_all_lines && (state.timestamp_s() == timestamp_s || !log.take_repeat()) {
                    return Ok(state.cosignatures().to_vec());
                }
            }
            None => log.take_growth().map_err(AddError::rate_limited)?,
        }
        self.reached(Point::Decided, origin)?;
        let lines = self
            .cosign(checkpoint.clone(), is_map_checked, timestamp_s)
            .await?;
        self.reached(Point::Signed, origin)?;
        let change = entry.advance(submission, timestamp_s, lines.clone());
        if let Err(error) = self.store.apply(origin, change).await {
            // What suspends the log may have come since the decision.
            self.store.entry(origin).check_not_suspended()?;
            return Err(error.into());
        }
        if let Some(quarantine) = entry.quarantine {
            tracing::warn!(origin, reason = %quarantine, "quarantine ended by a proof");
            self.metrics.quarantine(origin, false);
        }
        self.metrics.log_size(origin, checkpoint.size());
        if let Some(node) = self.gossip() {
            self.stop_convicted(node.cosigned(submission.checkpoint()))
                .await?;
        }
        Ok(lines)
    }

    fn reached(&self, point: Point, origin: &str) -> Result<(), AddError> {
        let goes_on = self.hook.reached(point, origin);
        goes_on.then_some(()).ok_or(AddError::Internal)
    }

    async fn cosign(
        &self,
        checkpoint: Checkpoint,
        is_map_checked: bool,
        timestamp_s: u64,
    ) -> Result<Vec<SignatureLine>, AddError> {
        let cosigner = Arc::clone(&self.cosigner);
        let signing = move || cosigner.cosign(&checkpoint, is_map_checked, timestamp_s);
        Ok(tokio::task::spawn_blocking(signing).await??)
    }
}

/// POSIX seconds; 0 for a clock before 1970.
pub fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
