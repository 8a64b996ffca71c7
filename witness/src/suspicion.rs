//! What follows from a submission by what is known of its log: decided by functions of values, and
//! kept as evidence where it contradicts the record.

use std::path::Path;
use std::sync::Arc;

use candor_core::log::ProofError;
use candor_core::note::{Evidence, SignatureLine, SignedNote};

use crate::decision::{Recorded, Refusal, Submission, decide};
use crate::evidence::{self, Contradiction};
use crate::gossip::{Action, Head, contradiction_id};
use crate::state::LogState;
use crate::store::{self, Change, Entry, Paths};
use crate::witness::{AddError, Witness};

/// Lets a log that was stopped be cosigned again: what the operator alone may decide. Evidence
/// stays, marked as cleared, so that peers who still hold it do not have it stop the log again. A
/// crash between the two leaves the log stopped.
///
/// # Errors
///
/// [`ClearError`].
pub fn clear(paths: &Paths, evidence: &Path, origin: &str) -> Result<(), ClearError> {
    store::clear_alarms(paths, origin)?;
    Ok(evidence::clear(evidence, origin)?)
}

/// Why a log was not cleared: the environment's fault.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    /// The alarms are still there.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The alarms are gone; the evidence will raise them again at the next start.
    #[error("evidence not marked as cleared: {0}")]
    Evidence(#[from] std::io::Error),
}

/// What follows from a submission before anything is signed.
#[derive(Debug)]
pub struct Judgement {
    /// Whether it may be cosigned.
    pub answer: Result<(), AddError>,
    /// What contradicts it, and has to be kept before it is answered.
    pub found: Option<Contradiction>,
}

impl Entry {
    /// Checks that nothing keeps the log from being cosigned.
    pub(crate) fn check_not_suspended(&self) -> Result<(), AddError> {
        if self.fork.is_some() {
            return Err(AddError::Forked);
        }
        match self.quarantine {
            Some(quarantine) => Err(AddError::Quarantined(quarantine)),
            None => Ok(()),
        }
    }

    /// Judges a submission by what is known of its log, which is the caller's to ensure.
    pub fn judge(&self, submission: &Submission) -> Judgement {
        if self.fork.is_some() {
            return Judgement {
                answer: Err(AddError::Forked),
                found: None,
            };
        }
        let answer = self.decide(submission);
        let recorded = self.recorded();
        let found = self.state.as_ref().and_then(|state| {
            let note = || state.log_note().clone();
            if submission.contradicts(&recorded) {
                return Some(Contradiction::Fork(note()));
            }
            let is_unproved = matches!(
                &answer,
                // Of the right length: anybody can send a public checkpoint with a proof of
                // another.
                Err(AddError::Refused(Refusal::Inconsistent(
                    ProofError::OldRootMismatch | ProofError::RootMismatch
                )))
            );
            let is_longer = submission.checkpoint().checkpoint().size() > recorded.size;
            (is_unproved && is_longer).then(|| Contradiction::Unresolved(note()))
        });
        Judgement { answer, found }
    }

    /// Checks that a submission follows what was signed of the log, as far as that is known: in
    /// quarantine, the largest record.
    pub(crate) fn decide(&self, submission: &Submission) -> Result<(), AddError> {
        let Some(quarantine) = self.quarantine else {
            return Ok(decide(&self.recorded(), submission)?);
        };
        let ended = quarantine.floor.map(|floor| decide(&floor, submission));
        match ended {
            Some(Ok(())) => Ok(()),
            Some(Err(Refusal::OldSizeAbove)) => Err(Refusal::OldSizeAbove.into()),
            Some(Err(_)) | None => Err(AddError::Quarantined(quarantine)),
        }
    }

    /// What is kept of the very checkpoint that is submitted, if it was cosigned last and nothing
    /// is in doubt.
    pub fn repeated_by(&self, submission: &Submission) -> Option<&LogState> {
        let state = self.state.as_deref()?;
        let new = Recorded::of(submission.checkpoint().checkpoint());
        (state.recorded() == new && self.quarantine.is_none()).then_some(state)
    }

    /// The change that records a submission which was judged by this entry and then cosigned with
    /// `lines` at `timestamp_s`, in POSIX seconds.
    pub fn advance(
        &self,
        submission: &Submission,
        timestamp_s: u64,
        lines: Vec<SignatureLine>,
    ) -> Change {
        Change::Advance {
            expected: self.recorded(),
            quarantine: self.quarantine,
            next: Arc::new(LogState::new(submission.checkpoint(), timestamp_s, lines)),
        }
    }
}

impl Witness {
    /// Judges, and keeps what contradicts the record.
    pub(crate) async fn check(
        &self,
        entry: &Entry,
        submission: &Arc<Submission>,
    ) -> Result<(), AddError> {
        let Judgement { answer, found } = entry.judge(submission);
        if let Some(found) = found {
            self.record(submission, found).await?;
        }
        if let Some(node) = self.gossip() {
            self.stop_convicted(node.submitted(submission.checkpoint()))
                .await?;
        }
        answer
    }

    /// Keeps a contradiction, and suspends what it puts in doubt.
    pub(crate) async fn record(
        &self,
        submission: &Arc<Submission>,
        found: Contradiction,
    ) -> Result<(), AddError> {
        let origin = submission.origin();
        if let Contradiction::Fork(recorded) = &found
            && let Some(evidence) = self.evidence_of_fork(submission, recorded)
        {
            if self.evidence.is_cleared(&evidence) {
                // It is refused, and accuses nobody again.
                return Ok(());
            }
            if let Some(node) = self.gossip() {
                node.forked(origin, evidence.clone());
            }
            return self.convict(origin, &evidence).await;
        }
        let alarm = found.alarm(submission);
        self.keep(submission, found).await;
        let Some(alarm) = alarm else { return Ok(()) };
        match alarm {
            Change::MapAlarm { .. } => self.metrics.map_alarm(origin, true),
            _ => self.metrics.log_alarm(origin, true),
        }
        Ok(self.store.apply(origin, alarm).await?)
    }

    /// What convinces others; `None` if the log's keys in the configuration are no longer those of
    /// the record.
    fn evidence_of_fork(&self, submission: &Submission, recorded: &SignedNote) -> Option<Evidence> {
        let log = self.logs().find(submission.origin())?;
        let recorded = Head::new(&log.verifier.verify(recorded).ok()?);
        let received = Head::new(submission.checkpoint());
        Evidence::new(&log.verifier, recorded.note(), received.note()).ok()
    }

    /// Keeps evidence against a log, which is cosigned no more.
    pub(crate) async fn convict(&self, origin: &str, evidence: &Evidence) -> Result<(), AddError> {
        self.metrics.evidence("fork");
        let (files, case) = (Arc::clone(&self.evidence), evidence.clone());
        let keeping = move || files.keep_fork(&case);
        match tokio::task::spawn_blocking(keeping).await {
            Ok(Ok(path)) => tracing::error!(origin, path = %path.display(), "log convicted"),
            Ok(Err(error)) => tracing::error!(origin, %error, "evidence not kept"),
            Err(_) => tracing::error!(origin, "evidence not kept"),
        }
        let (earlier, later) = evidence.checkpoints();
        let reason = match evidence.beginning() {
            None => format!("two signed checkpoints of size {}", later.size()),
            Some(_) => format!(
                "signed checkpoints of sizes {} and {}, of which the larger does not follow the \
                 smaller",
                earlier.size(),
                later.size()
            ),
        };
        self.metrics.log_alarm(origin, true);
        Ok(self.store.apply(origin, Change::Fork { reason }).await?)
    }

    /// Stops a log that gossip convicts by what it signed for this witness.
    pub(crate) async fn stop_convicted(&self, actions: Vec<Action>) -> Result<(), AddError> {
        for action in actions {
            if let Action::Stop { origin, evidence } = action {
                self.convict(&origin, &evidence).await?;
                return Err(AddError::Forked);
            }
        }
        Ok(())
    }

    /// Tells gossip of a log, and what is remembered of it.
    pub(crate) fn remind_gossip(&self, origin: &str) {
        let (Some(node), Some(log)) = (self.gossip(), self.logs().find(origin)) else {
            return;
        };
        node.add_log(&log);
        self.metrics.unreconciled(origin, false);
        let entry = self.entry(origin);
        for case in self.evidence.remembered(origin) {
            match Evidence::receive(&case.bytes, &log.verifier) {
                Ok(evidence) if case.is_cleared => {
                    node.dismiss(origin, contradiction_id(&evidence));
                }
                Ok(evidence) if self.evidence.is_cleared(&evidence) => {}
                // Without an alarm, this witness ended between keeping it and stopping the log.
                Ok(evidence) => node.remind(origin, evidence, entry.fork.is_some()),
                Err(error) => tracing::warn!(origin, %error, "evidence not used"),
            }
        }
        let checkpoint = entry
            .state
            .and_then(|state| log.verifier.verify(state.log_note()).ok());
        if let Some(checkpoint) = checkpoint {
            // The first head of the log that gossip is told of contradicts nothing.
            node.cosigned(&checkpoint);
        }
    }

    /// Stops the logs against which evidence is kept and that were not stopped: the process ended
    /// between the two.
    ///
    /// # Errors
    ///
    /// [`AddError::Store`].
    pub(crate) async fn finish_convictions(&self) -> Result<(), AddError> {
        for log in self.logs().all() {
            let origin = log.origin();
            if self.entry(origin).fork.is_some() {
                continue;
            }
            for case in self.evidence.remembered(origin) {
                let evidence = Evidence::receive(&case.bytes, &log.verifier).ok();
                let evidence = evidence.filter(|evidence| !self.evidence.is_cleared(evidence));
                if let Some(evidence) = evidence {
                    self.convict(origin, &evidence).await?;
                    break;
                }
            }
        }
        Ok(())
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
