//! What contradicts a log's record: kept as evidence, and answered by suspending what is in doubt.

use std::sync::Arc;

use candor_core::Hash;
use candor_core::log::ProofError;
use candor_core::note::{Checkpoint, Evidence, SignedNote};

use crate::decision::{Refusal, Submission, decide};
use crate::evidence::Contradiction;
use crate::gossip::{Action, Head, contradiction_id};
use crate::store::{Change, Entry};
use crate::witness::{AddError, Witness};

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
}

impl Witness {
    /// Decides, and keeps what contradicts the record.
    pub(crate) async fn check(
        &self,
        entry: &Entry,
        submission: &Arc<Submission>,
    ) -> Result<(), AddError> {
        if entry.fork.is_some() {
            return Err(AddError::Forked);
        }
        let recorded = entry.recorded();
        let decision = entry.decide(submission);
        if let Some(state) = &entry.state {
            let note = state.log_note().clone();
            if submission.contradicts(&recorded) {
                self.fork(submission, note).await?;
            } else if matches!(
                &decision,
                // Of the right length: anybody can send a public checkpoint with a proof of
                // another.
                Err(AddError::Refused(Refusal::Inconsistent(
                    ProofError::OldRootMismatch | ProofError::RootMismatch
                )))
            ) && submission.checkpoint().checkpoint().size() > recorded.size
            {
                self.keep(submission, Contradiction::Unresolved(note)).await;
            }
        }
        if let Some(node) = self.gossip() {
            self.stop_convicted(node.submitted(submission.checkpoint()))
                .await?;
        }
        decision
    }

    /// The log signed two trees of one size: it is cosigned no more.
    async fn fork(
        &self,
        submission: &Arc<Submission>,
        recorded: SignedNote,
    ) -> Result<(), AddError> {
        let origin = submission.origin();
        let log = self.logs().find(origin);
        let evidence = log.and_then(|log| {
            let recorded = Head::new(&log.verifier.verify(&recorded).ok()?);
            let received = Head::new(submission.checkpoint());
            Evidence::new(&log.verifier, recorded.note(), received.note()).ok()
        });
        if let Some(evidence) = evidence {
            if let Some(node) = self.gossip() {
                node.forked(origin, evidence.clone());
            }
            return self.convict(origin, &evidence).await;
        }
        // The log's keys in the configuration are no longer those of the record.
        self.keep(submission, Contradiction::Fork(recorded)).await;
        let size = submission.checkpoint().checkpoint().size();
        self.stop(origin, format!("two signed checkpoints of size {size}"))
            .await
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
        self.stop(origin, reason).await
    }

    async fn stop(&self, origin: &str, reason: String) -> Result<(), AddError> {
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

    /// The log signed another tree than its audit deltas lead to: its map is cosigned no more.
    pub(crate) async fn map_contradicts(
        &self,
        submission: &Arc<Submission>,
        root: Hash,
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
