//! Committing an epoch and letting its head out: steps 2 to 5 of the crash order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::FatalError;
use super::admission::{Admitted, Refusal};
use super::epoch::Tip;
use super::ladders::Ladders;
use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::head::SignedHead;
use crate::ledger::{Account, Ledger};
use crate::metrics::Metrics;
use crate::metrics::epochs::Stage;
use crate::signer::LogSigner;
use crate::storage::{Batch, CommitError};

/// The one place where the store is written and the log speaks.
pub struct Committer {
    /// The rows.
    pub ledger: Ledger,
    /// Signs checkpoints.
    pub signer: Arc<LogSigner>,
    /// Remembers the newest signed checkpoint apart from the store.
    pub anchor: Anchor,
    /// Where signed heads go.
    pub signed: watch::Sender<Option<Arc<SignedHead>>>,
    /// Complete the ladders of what was stored.
    pub ladders: Ladders,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Asks to sign nothing more: a witness proved that this log must not go on.
    pub halt: CancellationToken,
}

/// The updates of an epoch, and those that it refused. Nobody is told before it is known whether
/// the epoch is stored: the refusals rest on it, and on the one before.
#[derive(Default)]
pub struct Waiting {
    /// In the epoch.
    pub updates: Vec<Admitted>,
    /// Not in it.
    pub refused: Vec<(Admitted, Refusal)>,
}

impl Waiting {
    /// How long each update waited until the epoch was begun.
    fn waits(&self, begun: Instant) -> impl Iterator<Item = Duration> {
        let updates = self.updates.iter();
        updates.map(move |update| begun.saturating_duration_since(update.ready_at))
    }

    /// The epoch is stored, and its head is out.
    fn answer(&mut self, epoch: u64) {
        for update in self.updates.drain(..) {
            update.answer(Ok(epoch));
        }
        self.answer_refused();
    }

    /// What the refusals rest on is stored.
    pub fn answer_refused(&mut self) {
        for (update, refusal) in self.refused.drain(..) {
            update.answer(Err(refusal));
        }
    }

    /// The store refused the epoch, or the one before.
    pub fn refuse(self) {
        let refused = self.refused.into_iter().map(|(update, _)| update);
        refuse_all(self.updates, &Refusal::StorageUnavailable);
        refuse_all(refused, &Refusal::StorageUnavailable);
    }
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The batch is stored.
    Stored,
    /// The store refused it and is as it was.
    NotStored,
}

impl Committer {
    /// Commits an epoch, signs its head, moves the anchor, lets the head out and answers. `tip` is
    /// where the log stands with the epoch, `accounts` are those that it changes. Who waits for an
    /// epoch that is not stored is not told here: the log must first stand where it stood, for
    /// whoever tries again.
    ///
    /// # Errors
    ///
    /// [`FatalError`]: the environment is at fault.
    pub fn commit(
        &mut self,
        batch: Batch,
        tip: &Tip,
        accounts: Vec<Arc<Account>>,
        waiting: &mut Waiting,
        started: Instant,
    ) -> Result<Outcome, FatalError> {
        let _epoch = tracing::info_span!("epoch", size = tip.size).entered();
        if self.store(batch)? == Outcome::NotStored {
            return Ok(Outcome::NotStored);
        }
        // Before anyone can be shown the epoch: a lookup of it must not find older accounts.
        self.ledger.remember(&accounts);
        if self.halt.is_cancelled() {
            // Stored and never to be signed here: what comes of the updates is not known.
            return Ok(Outcome::Stored);
        }
        self.release(tip)?;
        for waited in waiting.waits(started) {
            self.metrics.epochs.waited(waited);
        }
        self.metrics
            .epoch_closed(tip, waiting.updates.len(), started.elapsed());
        waiting.answer(tip.size - 1);
        for account in &accounts {
            self.ladders.complete(account);
        }
        Ok(Outcome::Stored)
    }

    /// Commits a batch.
    ///
    /// # Errors
    ///
    /// [`FatalError`]: nobody knows whether it is stored, or another writer was there.
    pub fn store(&self, batch: Batch) -> Result<Outcome, FatalError> {
        let (rows, bytes, started) = (batch.rows(), batch.bytes(), Instant::now());
        let commit = || self.ledger.store().commit(batch);
        match tracing::info_span!("epoch.commit", rows).in_scope(commit) {
            Ok(()) => {
                self.metrics.epochs.committed(rows, bytes);
                self.metrics.epochs.stage(Stage::Commit, started.elapsed());
                Ok(Outcome::Stored)
            }
            Err(CommitError::NotCommitted(error)) if error.is_retryable() => {
                tracing::warn!(error = %error, "a batch was not stored; its updates are refused");
                self.metrics.commit_failures.inc();
                Ok(Outcome::NotStored)
            }
            Err(CommitError::NotCommitted(error)) => Err(FatalError::Refused(error)),
            Err(CommitError::OutcomeUnknown(error)) => Err(error.into()),
        }
    }

    /// Signs the head of what is stored and lets it out: the last steps of every epoch, and of
    /// recovery.
    ///
    /// # Errors
    ///
    /// [`FatalError`]: the environment is at fault.
    pub fn release(&mut self, tip: &Tip) -> Result<(), FatalError> {
        if tip.size < 2 {
            return Ok(()); // The configuration alone is not a head that anyone can use.
        }
        let started = Instant::now();
        let sign = || SignedHead::sign(&self.ledger, tip, &self.signer, &self.clock);
        let signed = tracing::info_span!("epoch.sign").in_scope(sign)?;
        self.metrics.epochs.stage(Stage::Sign, started.elapsed());
        let started = Instant::now();
        let anchor = || self.anchor.advance(&signed.note);
        tracing::info_span!("epoch.anchor").in_scope(anchor)?;
        self.metrics.epochs.stage(Stage::Anchor, started.elapsed());
        self.metrics
            .signed_size
            .set(i64::try_from(signed.size).unwrap_or(i64::MAX));
        self.signed.send_replace(Some(Arc::new(signed)));
        Ok(())
    }
}

/// Tells callers that nothing of their updates was kept.
pub fn refuse_all(updates: impl IntoIterator<Item = Admitted>, refusal: &Refusal) {
    for update in updates {
        update.answer(Err(refusal.clone()));
    }
}
