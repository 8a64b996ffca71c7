//! What contradicts a log's record: kept as evidence, and answered by suspending what is in doubt.

use std::sync::Arc;

use candor_core::Hash;
use candor_core::log::ProofError;
use candor_core::note::{Checkpoint, SignedNote};

use crate::decision::{Refusal, Submission, decide};
use crate::evidence::Contradiction;
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
    fn decide(&self, submission: &Submission) -> Result<(), AddError> {
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
        decision
    }

    /// The log signed two trees of one size: it is cosigned no more.
    async fn fork(
        &self,
        submission: &Arc<Submission>,
        recorded: SignedNote,
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
