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
//! Steps 2 to 5 ([`commit`]) of one epoch run beside step 1 of the next, and beside the cosigning
//! of those before: one epoch is built, one is committed, and at most [`UNPUBLISHED_EPOCHS_MAX`]
//! are not published yet. What the epoch in commit changes is laid over the store for the one that
//! is built; if the store refuses it, both are refused.
//!
//! A crash after 2 leaves the store ahead of the anchor by one epoch; recovery ([`recovery`]) goes
//! through the same steps 3 to 5, with the same checkpoint, because a checkpoint follows from the
//! store alone. An epoch that the store cleanly refuses fails its updates and nothing else. What
//! cannot be read, or goes wrong at 2 with an unknown outcome, or later, is fatal: the process
//! stops and recovery finds out. What this rules out: a signature on something that a crash can
//! take back, and a second history.

pub mod admission;
pub mod commit;
pub mod enrolment;
pub mod epoch;
pub mod erasure;
pub mod ladders;
pub mod pipeline;
pub mod recovery;

use std::sync::Arc;
use std::time::Duration;

use candor_core::note::SignError;
use candor_host::durable;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::admission::{Admitted, Refusal};
use self::commit::{Outcome, Waiting, refuse_all};
use self::enrolment::EnrolmentRules;
use self::erasure::{EraseError, Erasure};
use self::ladders::Completed;
use self::pipeline::{Closed, Pipeline};
use crate::clock::Clock;
use crate::head::PublishedHead;
use crate::ledger::{LedgerError, put_ladders};
use crate::storage::{NotCommitted, OutcomeUnknown};

/// Most epochs that are signed but not yet published. Beyond it the sequencer waits, the queue
/// fills, and callers are told to come back: a lost quorum never costs memory.
pub const UNPUBLISHED_EPOCHS_MAX: u64 = 4;

/// How long after the store refused an epoch another one without updates is tried.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long completed ladders wait for an epoch that takes them along before they are stored alone.
const LADDERS_PAUSE: Duration = Duration::from_secs(1);

/// Most ladders that are stored with one batch.
const LADDERS_MAX: usize = 16 * 1024;

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
    /// A bug: the commit of an epoch ended without an outcome.
    #[error("the commit of an epoch ended unexpectedly: {0}")]
    Commit(#[from] tokio::task::JoinError),
    /// A bug: an epoch was to be committed after one that ended without an outcome.
    #[error("an earlier commit ended unexpectedly")]
    Broken,
}

/// Everything that the sequencer works with.
pub struct Sequencer {
    /// Where the log stands, and the way into the store.
    pub pipeline: Pipeline,
    /// Updates that wait.
    pub queue: mpsc::Receiver<Admitted>,
    /// What the operator wants erased.
    pub erasures: mpsc::Receiver<Erasure>,
    /// Accounts whose ladders were completed.
    pub completed: mpsc::Receiver<Completed>,
    /// How far publication has come.
    pub published: Arc<PublishedHead>,
    /// When epochs are closed.
    pub pace: Pace,
    /// What the operator asks of accounts.
    pub rules: EnrolmentRules,
    /// The time.
    pub clock: Clock,
    /// Asks the sequencer to finish what waits and stop.
    pub shutdown: CancellationToken,
    /// Asks it to sign nothing more: a witness proved that this log must not go on.
    pub halt: CancellationToken,
}

/// When what is due.
struct Agenda {
    /// The next epoch closes with what there is.
    epoch_at: Instant,
    /// An epoch is due even without updates.
    heartbeat_at: Instant,
    /// Ladders to store, and until when they wait for an epoch.
    ladders: Vec<Completed>,
    ladders_at: Instant,
}

/// What there is to do.
enum Task {
    /// An epoch of these updates; none if only the heartbeat is due.
    Epoch(Vec<Admitted>),
    /// Ladders have waited long enough.
    Ladders,
    /// To erase what opens versions.
    Erase(Erasure),
    /// To stop.
    Stop,
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
        let sequenced = self.sequence().await;
        // The epoch in commit is finished, whatever the reason to stop: who starts next must find
        // store and anchor at rest.
        let settled = self.pipeline.settle().await;
        let outcome = sequenced.and(settled.map(|_| ()));
        self.queue.close();
        while let Ok(update) = self.queue.try_recv() {
            update.answer(Err(Refusal::ShuttingDown));
        }
        outcome
    }

    async fn sequence(&mut self) -> Result<(), FatalError> {
        let tip = self.pipeline.tip().clone();
        self.pipeline.committer()?.release(&tip)?;
        let now = Instant::now();
        let mut agenda = Agenda {
            epoch_at: now,
            heartbeat_at: now + self.heartbeat_left(),
            ladders: Vec::new(),
            ladders_at: now,
        };
        if tip.has_ended {
            return self.rest(&mut agenda).await;
        }
        loop {
            match self.next_task(&mut agenda).await? {
                Task::Stop => return Ok(()),
                Task::Ladders => self.store_ladders(&mut agenda).await?,
                Task::Erase(erasure) => self.erase(erasure, &mut agenda).await?,
                Task::Epoch(updates) => match self.publication().await {
                    Publication::Near => self.append(updates, &mut agenda).await?,
                    Publication::Late => refuse_all(updates, &Refusal::Unpublished),
                    Publication::Ended => {
                        refuse_all(updates, &Refusal::ShuttingDown);
                        return Ok(());
                    }
                },
            }
        }
    }

    /// Refuses what comes for a log that has ended, but for what is to be erased.
    async fn rest(&mut self, agenda: &mut Agenda) -> Result<(), FatalError> {
        loop {
            let erasure = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(()),
                Some(update) = self.queue.recv() => {
                    update.answer(Err(Refusal::Ended));
                    continue;
                }
                Some(_) = self.completed.recv() => continue,
                Some(erasure) = self.erasures.recv() => erasure,
                else => return Ok(()),
            };
            self.erase(erasure, agenda).await?;
        }
    }

    /// Time until an epoch is due even without updates. The first one is due at once, and so is one
    /// after a long rest: devices wait for a fresh head.
    fn heartbeat_left(&self) -> Duration {
        let tip = self.pipeline.tip();
        if tip.size == 1 {
            return Duration::ZERO;
        }
        let age_ms = self.clock.now_ms().saturating_sub(tip.map.timestamp_ms);
        self.pace
            .heartbeat
            .saturating_sub(Duration::from_millis(age_ms))
    }

    /// Waits until there is something to do, and collects the updates of one epoch.
    async fn next_task(&mut self, agenda: &mut Agenda) -> Result<Task, FatalError> {
        let mut updates = Vec::new();
        loop {
            tokio::select! {
                biased;
                outcome = self.pipeline.settle(), if self.pipeline.is_committing() => {
                    agenda.committed(outcome?);
                }
                // Before updates: there are few, and each holds up one epoch at most.
                Some(erasure) = self.erasures.recv() => return Ok(Task::Erase(erasure)),
                update = self.queue.recv() => match update {
                    Some(update) => {
                        updates.push(update);
                        break;
                    }
                    None => return Ok(Task::Stop),
                },
                Some(ladder) = self.completed.recv(), if agenda.has_room() => agenda.add(ladder),
                () = self.shutdown.cancelled(), if Instant::now() < agenda.heartbeat_at => {
                    return Ok(Task::Stop);
                }
                () = tokio::time::sleep_until(agenda.heartbeat_at) => {
                    return Ok(Task::Epoch(updates));
                }
                () = tokio::time::sleep_until(agenda.ladders_at), if agenda.has_ladders() => {
                    return Ok(Task::Ladders);
                }
            }
        }
        while updates.len() < self.pace.epoch_updates_max {
            if let Ok(next) = self.queue.try_recv() {
                updates.push(next);
                continue;
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break,
                () = tokio::time::sleep_until(agenda.epoch_at) => break,
                next = self.queue.recv() => match next {
                    Some(next) => updates.push(next),
                    None => break,
                },
            }
        }
        while agenda.has_room()
            && let Ok(ladder) = self.completed.try_recv()
        {
            agenda.add(ladder);
        }
        Ok(Task::Epoch(updates))
    }

    /// Waits until publication is near enough for one more epoch.
    async fn publication(&self) -> Publication {
        // While nothing is published yet, the head that recovery found counts as its start.
        let next = self.pipeline.tip().size;
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

    /// Builds one epoch and hands it on.
    async fn append(
        &mut self,
        updates: Vec<Admitted>,
        agenda: &mut Agenda,
    ) -> Result<(), FatalError> {
        let started = std::time::Instant::now();
        let now_ms = self.clock.now_ms();
        let mut draft = self.pipeline.draft();
        let mut waiting = Waiting::default();
        waiting.updates.reserve(updates.len());
        for update in updates {
            match draft.add(&update, &self.rules, now_ms)? {
                Ok(()) => waiting.updates.push(update),
                Err(refusal) => waiting.refused.push((update, refusal)),
            }
        }
        if waiting.updates.is_empty() && Instant::now() < agenda.heartbeat_at {
            // All were refused, and no epoch is due without them.
            agenda.committed(self.pipeline.answer_refused(waiting).await?);
            return Ok(());
        }
        for ladder in agenda.ladders.drain(..) {
            draft.add_ladder(&ladder.account)?;
        }
        let closed = Closed {
            built: tracing::info_span!("epoch.build")
                .in_scope(|| draft.close(self.clock.now_ms()))?,
            waiting,
            started,
        };
        let outcome = self.pipeline.commit(closed).await?;
        let now = Instant::now();
        agenda.epoch_at = now + self.pace.epoch_interval;
        agenda.heartbeat_at = now + self.pace.heartbeat;
        agenda.committed(outcome);
        Ok(())
    }

    /// Erases what opens versions, while no epoch is in commit: one may still write their rows.
    async fn erase(&mut self, erasure: Erasure, agenda: &mut Agenda) -> Result<(), FatalError> {
        agenda.committed(self.pipeline.settle().await?);
        let head = self.pipeline.tip().stored_head();
        let published = self.published.current();
        let published = published.map(|published| published.signed.epoch());
        let committer = self.pipeline.committer()?;
        let answer = match erasure.prepare(&committer.ledger, &head, published) {
            Ok((erasing, erased)) if erasing.versions == 0 => Ok(erased),
            Ok((erasing, erased)) => match committer.store(erasing.batch)? {
                Outcome::Stored => {
                    committer.metrics.erased(erased.versions);
                    tracing::info!(versions = erased.versions, "erased what opens versions");
                    // With another head signed, no backup from before can be gone on from.
                    agenda.heartbeat_at = Instant::now();
                    Ok(erased)
                }
                Outcome::NotStored => Err(EraseError::NotStored),
            },
            Err(error) => Err(error),
        };
        erasure.answer(answer);
        Ok(())
    }

    /// Stores ladders that found no epoch to go with. What cannot be stored is computed again when
    /// it is needed.
    async fn store_ladders(&mut self, agenda: &mut Agenda) -> Result<(), FatalError> {
        agenda.committed(self.pipeline.settle().await?);
        let mut accounts = Vec::with_capacity(agenda.ladders.len());
        for ladder in agenda.ladders.drain(..) {
            if self.pipeline.is_current(&ladder.account)? {
                accounts.push(ladder.account);
            }
        }
        let head = self.pipeline.tip().stored_head();
        let batch = put_ladders(&head, accounts.iter().map(|account| &**account));
        agenda.committed(self.pipeline.committer()?.store(batch)?);
        Ok(())
    }
}

impl Agenda {
    fn has_room(&self) -> bool {
        self.ladders.len() < LADDERS_MAX
    }

    fn has_ladders(&self) -> bool {
        !self.ladders.is_empty()
    }

    fn add(&mut self, ladder: Completed) {
        if self.ladders.is_empty() {
            self.ladders_at = Instant::now() + LADDERS_PAUSE;
        }
        self.ladders.push(ladder);
    }

    /// After the store refused something, an epoch without updates is tried soon, so that heads
    /// become fresh again; but not at once.
    fn committed(&mut self, outcome: Outcome) {
        if outcome == Outcome::NotStored {
            self.heartbeat_at = Instant::now() + STORE_PAUSE;
        }
    }
}
