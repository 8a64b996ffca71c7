//! The one path that every request to add a checkpoint takes.
//!
//! Admitted, decided, signed, recorded, answered: in this order, and the signatures exist nowhere
//! else before they are recorded. Requests of one log take turns from the decision to the record.
//! A request that has begun is finished even if its client goes away, so that a log's turn never
//! ends between two steps.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candor_core::log::ProofError;
use candor_core::note::{
    AddCheckpoint, Checkpoint, LogVerifier, SignError, SignatureLine, monitoring_path,
};
use tokio::sync::{Mutex, Semaphore};

use crate::cosigner::Cosigner;
use crate::decision::{Recorded, Refusal, Submission, admit, decide};
use crate::evidence::{Contradiction, Evidence};
use crate::map::CheckedRoots;
use crate::metrics::{Metrics, Outcome};
use crate::state::{LogState, next_timestamp_s};
use crate::store::{ApplyError, Change, Entry, Store};

/// Most requests at a time: 132 KiB each, below 140 MiB together.
const REQUESTS_MAX: usize = 1024;

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
    /// The database is older than the anchor; the witness's operator is at fault.
    #[error("this witness's database is older than what it signed for the log")]
    BehindAnchor,
    /// Too many requests at once; try again.
    #[error("too many requests at once")]
    Busy,
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
    /// How metrics count it.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(refusal) => match refusal {
                Refusal::Body(_) | Refusal::Checkpoint(_) | Refusal::OldSizeAbove => {
                    Outcome::Malformed
                }
                Refusal::UnknownLog => Outcome::UnknownLog,
                Refusal::Unsigned(_) => Outcome::Unsigned,
                Refusal::Conflict { .. } => Outcome::Conflict,
                Refusal::EmptyRoot | Refusal::Inconsistent(_) => Outcome::Inconsistent,
            },
            Self::Forked | Self::BehindAnchor => Outcome::Suspended,
            Self::Busy => Outcome::Busy,
            Self::Store(_) | Self::Sign(_) | Self::Internal => Outcome::Failed,
        }
    }
}

/// A log that is witnessed.
#[derive(Debug)]
pub struct Log {
    /// The keys that it signs with.
    pub verifier: LogVerifier,
    /// What its map's follower publishes, if there is one.
    pub map: Option<CheckedRoots>,
    /// Held from decision to record.
    turn: Mutex<()>,
}

impl Log {
    /// A log with these keys and, if its map is followed, these roots.
    pub fn new(verifier: LogVerifier, map: Option<CheckedRoots>) -> Self {
        Self {
            verifier,
            map,
            turn: Mutex::new(()),
        }
    }
}

/// A witness, for whoever serves it.
#[derive(Debug)]
pub struct Witness {
    cosigner: Arc<Cosigner>,
    logs: BTreeMap<String, Log>,
    /// Origins by path below the monitoring prefix.
    paths: HashMap<String, String>,
    store: Store,
    evidence: Arc<Evidence>,
    metrics: Metrics,
    map_wait: Duration,
    requests: Arc<Semaphore>,
}

impl Witness {
    /// A witness of `logs`, by origin. A request waits at most `map_wait` for a map.
    pub fn new(
        cosigner: Cosigner,
        logs: BTreeMap<String, Log>,
        store: Store,
        evidence: Evidence,
        metrics: Metrics,
        map_wait: Duration,
    ) -> Self {
        for origin in logs.keys() {
            let entry = store.entry(origin);
            metrics.log_size(origin, entry.recorded().size);
            metrics.log_alarm(origin, entry.fork.is_some() || entry.is_behind_anchor);
            metrics.map_alarm(origin, entry.map_alarm.is_some());
        }
        Self {
            cosigner: Arc::new(cosigner),
            paths: logs
                .keys()
                .map(|origin| (monitoring_path(origin), origin.clone()))
                .collect(),
            logs,
            store,
            evidence: Arc::new(evidence),
            metrics,
            map_wait,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }
    }

    /// The logs, by origin.
    pub const fn logs(&self) -> &BTreeMap<String, Log> {
        &self.logs
    }

    /// What is known of log `origin`.
    pub fn entry(&self, origin: &str) -> Entry {
        self.store.entry(origin)
    }

    /// The origin whose checkpoint is served at `path` below the monitoring prefix.
    pub fn origin_at(&self, path: &str) -> Option<&str> {
        self.paths.get(path).map(String::as_str)
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
        let result = self.begin(request).await;
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
        let task = tokio::spawn(async move {
            let _permit = permit;
            let admitting = Arc::clone(&this);
            let submission = tokio::task::spawn_blocking(move || {
                admit(request, |origin| {
                    admitting.logs.get(origin).map(|log| &log.verifier)
                })
            });
            let submission = Arc::new(submission.await??);
            this.process(&submission).await
        });
        task.await?
    }

    async fn process(&self, submission: &Arc<Submission>) -> Result<Vec<SignatureLine>, AddError> {
        let origin = submission.origin();
        let log = self.logs.get(origin).ok_or(Refusal::UnknownLog)?;
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
        let mut is_map_checked = false;
        if let Some(root) = map_root.filter(|_| entry.map_alarm.is_none()) {
            is_map_checked = root == *checkpoint.root();
            if !is_map_checked {
                self.map_contradicts(submission, root).await?;
            }
        }
        let timestamp_s = next_timestamp_s(now_s(), entry.state.as_deref());
        // Anybody can repeat a checkpoint: within one second the answer is the one already given.
        if let Some(state) = &entry.state
            && state.recorded() == Recorded::of(checkpoint)
            && state.timestamp_s() == timestamp_s
            && state.cosignatures().len() == Cosigner::line_count(is_map_checked)
        {
            return Ok(state.cosignatures().to_vec());
        }
        let lines = self
            .cosign(checkpoint.clone(), is_map_checked, timestamp_s)
            .await?;
        let next = LogState::new(submission.checkpoint(), timestamp_s, lines.clone());
        let change = Change::Advance {
            expected: entry.recorded(),
            next: Arc::new(next),
        };
        self.store.apply(origin, change).await?;
        self.metrics.log_size(origin, checkpoint.size());
        Ok(lines)
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

    /// Decides, and keeps what contradicts the record.
    async fn check(&self, entry: &Entry, submission: &Arc<Submission>) -> Result<(), AddError> {
        if entry.fork.is_some() {
            return Err(AddError::Forked);
        }
        if entry.is_behind_anchor {
            return Err(AddError::BehindAnchor);
        }
        let recorded = entry.recorded();
        let refusal = decide(&recorded, submission);
        if let Some(state) = &entry.state {
            let note = state.log_note().clone();
            if submission.contradicts(&recorded) {
                self.fork(submission, note).await?;
            } else if matches!(
                &refusal,
                // Of the right length: anybody can send a public checkpoint with a proof of
                // another.
                Err(Refusal::Inconsistent(
                    ProofError::OldRootMismatch | ProofError::RootMismatch
                ))
            ) && submission.checkpoint().checkpoint().size() > recorded.size
            {
                self.keep(submission, Contradiction::Unresolved(note)).await;
            }
        }
        Ok(refusal?)
    }

    /// The log signed two trees of one size: it is cosigned no more.
    async fn fork(
        &self,
        submission: &Arc<Submission>,
        recorded: candor_core::note::SignedNote,
    ) -> Result<(), AddError> {
        let size = submission.checkpoint().checkpoint().size();
        self.keep(submission, Contradiction::Fork(recorded)).await;
        self.metrics.log_alarm(submission.origin(), true);
        let reason = format!("two signed checkpoints of size {size}");
        Ok(self
            .store
            .apply(submission.origin(), Change::Fork { reason })
            .await?)
    }

    /// The log signed another tree than its audit deltas lead to: its map is cosigned no more.
    async fn map_contradicts(
        &self,
        submission: &Arc<Submission>,
        root: candor_core::Hash,
    ) -> Result<(), AddError> {
        let origin = submission.origin();
        let size = submission.checkpoint().checkpoint().size();
        let computed =
            Checkpoint::new(origin, size, root).expect("origin and size are those of a checkpoint");
        self.keep(submission, Contradiction::Map(computed)).await;
        self.metrics.map_alarm(origin, true);
        let reason = format!("the audit deltas lead to another root at size {size}");
        Ok(self
            .store
            .apply(origin, Change::MapAlarm { reason })
            .await?)
    }

    async fn keep(&self, submission: &Arc<Submission>, contradiction: Contradiction) {
        let origin = submission.origin();
        let kind = contradiction.kind();
        self.metrics.evidence(kind);
        let (evidence, submission) = (Arc::clone(&self.evidence), Arc::clone(submission));
        let keeping = move || evidence.keep(&submission, &contradiction);
        match tokio::task::spawn_blocking(keeping).await {
            Ok(Ok(Some(path))) => {
                tracing::warn!(origin, kind, path = %path.display(), "contradiction kept");
            }
            Ok(Ok(None)) => tracing::warn!(origin, kind, "contradiction not kept: too many"),
            Ok(Err(error)) => tracing::error!(origin, kind, %error, "contradiction not kept"),
            Err(_) => tracing::error!(origin, kind, "contradiction not kept"),
        }
    }
}

/// POSIX seconds; 0 for a clock before 1970.
pub fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::path::Path;

    use candor_core::Hash;
    use candor_core::crypto::Ed25519SecretKey;
    use candor_core::note::{KeyName, NoteSigner as _, SignedNote, SoftwareSigner};
    use candor_host::keys::{KeyTable, Keyring};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::store::{self, Paths, WriterThread};

    const ORIGIN: &str = "log.example";

    fn log() -> SoftwareSigner {
        let name = KeyName::new(ORIGIN).unwrap();
        SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[1; 32]))
    }

    /// A request for size 1, which needs no proof from 0 or from 1.
    fn request(old_size: u64) -> AddCheckpoint {
        let checkpoint = Checkpoint::new(ORIGIN, 1, Hash([1; 32])).unwrap();
        let line = log().sign(&checkpoint, 0).unwrap();
        AddCheckpoint {
            old_size,
            proof: vec![],
            note: SignedNote::new(checkpoint.to_text(), vec![line]).unwrap(),
        }
    }

    fn keyring(directory: &Path) -> Keyring {
        Keyring::new(directory, KeyTable::default())
    }

    fn witness(directory: &Path, crashes: bool) -> (Arc<Witness>, WriterThread) {
        let metrics = Metrics::default();
        let paths = Paths::new(directory, None);
        let hook = Box::new(move || !crashes);
        let (store, thread) =
            Store::open_with(&paths, &metrics, CancellationToken::new(), hook).unwrap();
        let verifier = LogVerifier::new(ORIGIN, vec![log().verifier_key().clone()]);
        let witness = Witness::new(
            Cosigner::load(&keyring(directory), "w.example").unwrap(),
            [(ORIGIN.to_owned(), Log::new(verifier, None))].into(),
            store,
            Evidence::open(&directory.join("evidence")).unwrap(),
            metrics,
            Duration::ZERO,
        );
        (Arc::new(witness), thread)
    }

    #[tokio::test]
    async fn after_a_crash_between_record_and_answer_the_client_is_told_where_to_go_on() {
        let directory = tempfile::tempdir().unwrap();
        Cosigner::create(keyring(directory.path()).loader(), "w.example").unwrap();
        store::create(&Paths::new(directory.path(), None)).unwrap();
        let (crashing, thread) = witness(directory.path(), true);
        let unanswered = crashing.add_checkpoint(request(0)).await;
        assert!(matches!(
            unanswered,
            Err(AddError::Store(ApplyError::Stopped))
        ));
        thread.join().unwrap().unwrap();
        assert!(!crashing.is_ready());
        drop(crashing);

        let (witness, thread) = witness(directory.path(), false);
        let told = witness.add_checkpoint(request(0)).await;
        assert!(matches!(
            told,
            Err(AddError::Refused(Refusal::Conflict { size: 1 }))
        ));
        assert_eq!(witness.add_checkpoint(request(1)).await.unwrap().len(), 2);
        drop(witness);
        thread.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn too_many_requests_at_once_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        Cosigner::create(keyring(directory.path()).loader(), "w.example").unwrap();
        store::create(&Paths::new(directory.path(), None)).unwrap();
        let (witness, thread) = witness(directory.path(), false);
        let all = u32::try_from(REQUESTS_MAX).unwrap();
        let others = Arc::clone(&witness.requests)
            .acquire_many_owned(all)
            .await
            .unwrap();
        let refused = witness.add_checkpoint(request(0)).await;
        assert!(matches!(refused, Err(AddError::Busy)));
        drop(others);
        assert!(witness.add_checkpoint(request(0)).await.is_ok());
        drop(witness);
        thread.join().unwrap().unwrap();
    }
}
