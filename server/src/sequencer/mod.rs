//! The sequencer: one writer that turns updates into epochs, and epochs into signed heads.
//!
//! It runs on a thread of its own, because everything it does blocks: reading, hashing, fsync,
//! signing. Updates reach it through a bounded queue ([`admission`]); signed heads leave it through
//! a watch channel. The crash order of an epoch is fixed, each step durable before the next begins:
//!
//! 1. *build* the epoch in memory ([`epoch`]): no effect outside;
//! 2. *commit* all its rows at once, conditional on the head row: from here the epoch exists;
//! 3. *sign* the checkpoint: the signature is still only in memory;
//! 4. move the *anchor* to it by compare and swap: from here the log has spoken;
//! 5. hand the signed head to the publisher, and answer the callers.
//!
//! A crash after 2 leaves the store ahead of the anchor by one epoch; recovery ([`recovery`]) goes
//! through the same steps 3 to 5, with the same checkpoint, because a checkpoint follows from the
//! store alone. An epoch that the store cleanly refuses fails its updates and nothing else. What
//! cannot be read, or goes wrong at 2 with an unknown outcome, or later, is fatal: the process
//! stops and recovery finds out. What this rules out: a signature on something that a crash can
//! take back, and a second history.

pub mod admission;
pub mod epoch;
pub mod recovery;

use std::sync::Arc;
use std::time::Duration;

use candor_core::note::SignError;
use candor_host::durable;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::admission::{Admitted, Refusal};
use self::epoch::{Draft, Tip};
use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::head::{PublishedHead, SignedHead};
use crate::ledger::{Ledger, LedgerError};
use crate::metrics::Metrics;
use crate::signer::LogSigner;
use crate::storage::{CommitError, NotCommitted, OutcomeUnknown};

/// Most epochs that are signed but not yet published. Beyond it the sequencer waits, the queue
/// fills, and callers are told to come back: a lost quorum never costs memory.
pub const UNPUBLISHED_EPOCHS_MAX: u64 = 4;

/// How long after the store refused an epoch another one without updates is tried.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// When epochs are closed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Least time between two epochs, unless a batch is full. An update on an idle log does not
    /// wait for it.
    pub epoch_interval: Duration,
    /// An epoch without updates is appended after this time.
    pub heartbeat: Duration,
    /// Most updates of an epoch.
    pub epoch_updates_max: usize,
    /// How long updates wait for publication to come nearer before they are refused.
    pub publication_patience: Duration,
}

/// Why the sequencer stopped. Start the server again: recovery finds out where the log stands.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FatalError {
    /// The store could not be read, lost rows, or belongs to another log.
    #[error("the store failed: {0}")]
    Ledger(#[from] LedgerError),
    /// A commit failed and nobody knows how.
    #[error(transparent)]
    OutcomeUnknown(#[from] OutcomeUnknown),
    /// The store refused the epoch for good: another writer was there, or it was stopped.
    #[error("the store refused the epoch: {0}")]
    Refused(NotCommitted),
    /// The checkpoint could not be signed.
    #[error("the checkpoint could not be signed: {0}")]
    Sign(#[from] SignError),
    /// The anchor could not be moved.
    #[error("the anchor could not be moved: {0}")]
    Anchor(#[from] crate::anchor::AnchorError),
    /// A small file could not be written.
    #[error(transparent)]
    Write(#[from] durable::WriteError),
}

/// Everything that the sequencer works with.
pub struct Sequencer {
    /// The rows.
    pub ledger: Ledger,
    /// Where the log stands.
    pub tip: Tip,
    /// Signs checkpoints.
    pub signer: Arc<LogSigner>,
    /// Remembers the newest signed checkpoint apart from the store.
    pub anchor: Anchor,
    /// Updates that wait.
    pub queue: mpsc::Receiver<Admitted>,
    /// Where signed heads go.
    pub signed: watch::Sender<Option<Arc<SignedHead>>>,
    /// How far publication has come.
    pub published: Arc<PublishedHead>,
    /// When epochs are closed.
    pub pace: Pace,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Asks the sequencer to finish what waits and stop.
    pub shutdown: CancellationToken,
    /// Asks it to sign nothing more: a witness proved that this log must not go on.
    pub halt: CancellationToken,
}

/// What became of an epoch.
enum Appended {
    Epoch,
    /// All its updates were refused, and no heartbeat was due.
    Nothing,
    /// The store refused it and is as it was.
    NotStored,
}

/// Whether another epoch may be appended.
enum Publication {
    Near,
    Late,
    Ended,
}

impl Sequencer {
    /// Runs until shutdown, or until something fails that only a restart can put right.
    ///
    /// # Errors
    ///
    /// [`FatalError`]: the environment is at fault.
    pub async fn run(mut self) -> Result<(), FatalError> {
        let outcome = self.sequence().await;
        self.queue.close();
        while let Ok(update) = self.queue.try_recv() {
            update.answer(Err(Refusal::ShuttingDown));
        }
        outcome
    }

    async fn sequence(&mut self) -> Result<(), FatalError> {
        self.release()?;
        let mut not_before = Instant::now();
        let mut due_at = not_before + self.heartbeat_left();
        loop {
            let updates = self.gather(not_before, due_at).await;
            let heartbeat_due = Instant::now() >= due_at;
            if updates.is_empty() && !heartbeat_due {
                return Ok(()); // Only shutdown ends a gathering with nothing to do.
            }
            match self.publication().await {
                Publication::Near => {}
                Publication::Late => {
                    refuse_all(updates, &Refusal::Unpublished);
                    continue;
                }
                Publication::Ended => {
                    refuse_all(updates, &Refusal::ShuttingDown);
                    return Ok(());
                }
            }
            let appended = self.append(updates, heartbeat_due)?;
            let now = Instant::now();
            not_before = now + self.pace.epoch_interval;
            due_at = match appended {
                Appended::Epoch => now + self.pace.heartbeat,
                Appended::Nothing => due_at,
                Appended::NotStored => due_at.max(now + STORE_PAUSE),
            };
        }
    }

    /// Time until an epoch is due even without updates. The first one is due at once, and so is one
    /// after a long rest: devices wait for a fresh head.
    fn heartbeat_left(&self) -> Duration {
        if self.tip.size == 1 {
            return Duration::ZERO;
        }
        let age_ms = self
            .clock
            .now_ms()
            .saturating_sub(self.tip.map.timestamp_ms);
        self.pace
            .heartbeat
            .saturating_sub(Duration::from_millis(age_ms))
    }

    /// Collects the updates of one epoch; none if only the heartbeat is due, or at shutdown.
    async fn gather(&mut self, not_before: Instant, due_at: Instant) -> Vec<Admitted> {
        let mut updates = Vec::new();
        tokio::select! {
            biased;
            first = self.queue.recv() => updates.extend(first),
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep_until(due_at) => {}
        }
        if updates.is_empty() {
            return updates;
        }
        while updates.len() < self.pace.epoch_updates_max {
            if let Ok(next) = self.queue.try_recv() {
                updates.push(next);
                continue;
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break,
                () = tokio::time::sleep_until(not_before) => break,
                next = self.queue.recv() => match next {
                    Some(next) => updates.push(next),
                    None => break,
                },
            }
        }
        updates
    }

    /// Waits until publication is near enough for one more epoch.
    async fn publication(&self) -> Publication {
        // While nothing is published yet, the head that recovery found counts as its start.
        let next = self.tip.size;
        let mut progress = self.published.progress();
        tokio::select! {
            biased;
            () = self.halt.cancelled() => Publication::Ended,
            _ = progress.wait_for(|size| *size + UNPUBLISHED_EPOCHS_MAX > next) => {
                Publication::Near
            }
            () = self.shutdown.cancelled() => Publication::Ended,
            () = tokio::time::sleep(self.pace.publication_patience) => Publication::Late,
        }
    }

    /// Builds, commits, signs and releases one epoch.
    fn append(
        &mut self,
        updates: Vec<Admitted>,
        heartbeat_due: bool,
    ) -> Result<Appended, FatalError> {
        let started = std::time::Instant::now();
        let now_ms = self.clock.now_ms().max(self.tip.map.timestamp_ms);
        let mut draft = Draft::new(&self.ledger, &self.tip);
        let mut waiting = Vec::with_capacity(updates.len());
        for update in updates {
            match draft.add(&update)? {
                Ok(()) => waiting.push(update),
                Err(refusal) => update.answer(Err(refusal)),
            }
        }
        if waiting.is_empty() && !heartbeat_due {
            return Ok(Appended::Nothing);
        }
        let (batch, tip) = draft.close(now_ms)?;
        match self.ledger.store().commit(batch) {
            Ok(()) => {}
            Err(CommitError::NotCommitted(error)) if error.is_retryable() => {
                tracing::warn!(error = %error, "an epoch was not stored; its updates are refused");
                self.metrics.commit_failures.inc();
                refuse_all(waiting, &Refusal::StorageUnavailable);
                return Ok(Appended::NotStored);
            }
            Err(CommitError::NotCommitted(error)) => return Err(FatalError::Refused(error)),
            Err(CommitError::OutcomeUnknown(error)) => return Err(error.into()),
        }
        let epoch = self.tip.size;
        self.tip = tip;
        self.release()?;
        self.metrics
            .epoch_closed(&self.tip, waiting.len(), started.elapsed());
        for update in waiting {
            update.answer(Ok(epoch));
        }
        Ok(Appended::Epoch)
    }

    /// Signs the head of what is stored and lets it out: the last steps of every epoch, and of
    /// recovery.
    fn release(&mut self) -> Result<(), FatalError> {
        if self.tip.size < 2 {
            return Ok(()); // The configuration alone is not a head that anyone can use.
        }
        let signed = SignedHead::sign(&self.ledger, &self.tip, &self.signer, &self.clock)?;
        self.anchor.advance(&signed.note)?;
        self.metrics
            .signed_size
            .set(i64::try_from(signed.size).unwrap_or(i64::MAX));
        self.signed.send_replace(Some(Arc::new(signed)));
        Ok(())
    }
}

fn refuse_all(updates: Vec<Admitted>, refusal: &Refusal) {
    for update in updates {
        update.answer(Err(refusal.clone()));
    }
}
