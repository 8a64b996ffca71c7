//! The epoch in commit, and the state that the next one is built on.

use std::collections::VecDeque;
use std::time::Instant;

use candor_core::Hash;
use tokio::task::JoinHandle;

use super::commit::{Committer, Outcome, Waiting};
use super::epoch::{Built, Draft, Pending, Tip};
use super::{FatalError, UNPUBLISHED_EPOCHS_MAX};
use crate::ledger::{Account, Ledger, LedgerError};
use crate::metrics::epochs::Stage as Measured;

/// Epochs after which no lookup is answered from an earlier head: those that may be unpublished,
/// and one for lookups that took the head before it was replaced.
const SNAPSHOTS: usize = UNPUBLISHED_EPOCHS_MAX as usize + 1;

/// A built epoch with those who wait for it.
pub struct Closed {
    /// The epoch.
    pub built: Built,
    /// Those who wait for it.
    pub waiting: Waiting,
    /// When its building began.
    pub started: Instant,
}

/// What a commit leaves: its outcome, and who was not told.
struct Committed {
    committer: Box<Committer>,
    outcome: Result<Outcome, FatalError>,
    waiting: Waiting,
}

/// At most one epoch in commit, on a thread of its own, and where the log stands with it.
pub struct Pipeline {
    ledger: Ledger,
    tip: Tip,
    /// What the epoch of `tip` changed, if the store may not show it yet.
    pending: Pending,
    /// Buckets that the last epochs replaced, and heads before them still have; the oldest first.
    superseded: VecDeque<Vec<Hash>>,
    stage: Stage,
}

enum Stage {
    Resting(Box<Committer>),
    Committing {
        task: JoinHandle<Committed>,
        /// Where the log stands without the epoch.
        before: Tip,
    },
    /// The committer was lost with a panic.
    Broken,
}

impl Pipeline {
    /// A pipeline at a log that stands at `tip`.
    pub fn new(tip: Tip, committer: Committer) -> Self {
        Self {
            ledger: committer.ledger.clone(),
            tip,
            pending: Pending::default(),
            superseded: VecDeque::new(),
            stage: Stage::Resting(Box::new(committer)),
        }
    }

    /// Where the log stands, the epoch in commit included.
    pub const fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Starts the next epoch.
    pub fn draft(&self) -> Draft<'_> {
        Draft::new(&self.ledger, &self.tip, &self.pending)
    }

    /// Whether an epoch is in commit.
    pub const fn is_committing(&self) -> bool {
        matches!(self.stage, Stage::Committing { .. })
    }

    /// Waits until no epoch is in commit, and tells what became of it. Giving up the wait loses
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`FatalError`]: the environment is at fault.
    pub async fn settle(&mut self) -> Result<Outcome, FatalError> {
        let Stage::Committing { task, .. } = &mut self.stage else {
            return Ok(Outcome::Stored);
        };
        let committed = task.await;
        let stage = std::mem::replace(&mut self.stage, Stage::Broken);
        let Committed {
            committer,
            outcome,
            waiting,
        } = committed?;
        self.stage = Stage::Resting(committer);
        self.pending = Pending::default();
        if let (Ok(Outcome::NotStored), Stage::Committing { before, .. }) = (&outcome, stage) {
            self.tip = before;
            waiting.refuse();
        }
        outcome
    }

    /// Begins to commit an epoch that [`Self::draft`] started, once the one before is committed.
    /// If that one is refused, so is this one.
    ///
    /// # Errors
    ///
    /// [`FatalError`]: the environment is at fault.
    pub async fn commit(&mut self, closed: Closed) -> Result<Outcome, FatalError> {
        let build = closed.started.elapsed();
        if self.settle().await? == Outcome::NotStored {
            closed.waiting.refuse();
            return Ok(Outcome::NotStored);
        }
        let Stage::Resting(mut committer) = std::mem::replace(&mut self.stage, Stage::Broken)
        else {
            return Err(FatalError::Broken);
        };
        let Closed {
            built,
            mut waiting,
            started,
        } = closed;
        committer.metrics.epochs.stage(Measured::Build, build);
        let Built {
            batch,
            tip,
            pending,
            superseded,
        } = built;
        self.supersede(superseded);
        let before = std::mem::replace(&mut self.tip, tip.clone());
        let accounts: Vec<_> = pending.accounts().cloned().collect();
        self.pending = pending;
        let task = tokio::task::spawn_blocking(move || {
            let outcome = committer.commit(batch, &tip, accounts, &mut waiting, started);
            Committed {
                committer,
                outcome,
                waiting,
            }
        });
        self.stage = Stage::Committing { task, before };
        Ok(Outcome::Stored)
    }

    /// Lets the buckets go that only heads have which are not answered from any more.
    fn supersede(&mut self, buckets: Vec<Hash>) {
        self.superseded.push_back(buckets);
        if self.superseded.len() > SNAPSHOTS
            && let Some(oldest) = self.superseded.pop_front()
        {
            self.ledger.forget(&oldest);
        }
    }

    /// Answers updates none of which an epoch took, once it is known what their refusals rest on.
    ///
    /// # Errors
    ///
    /// [`FatalError`]: the environment is at fault.
    pub async fn answer_refused(&mut self, mut waiting: Waiting) -> Result<Outcome, FatalError> {
        let outcome = self.settle().await?;
        match outcome {
            Outcome::Stored => waiting.answer_refused(),
            Outcome::NotStored => waiting.refuse(),
        }
        Ok(outcome)
    }

    /// Whether a stored account is its label's newest, while no epoch is in commit.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn is_current(&self, account: &Account) -> Result<bool, LedgerError> {
        let stored = self.ledger.account(account.label())?;
        Ok(stored.greatest() == account.greatest())
    }

    /// The committer, while no epoch is in commit.
    ///
    /// # Errors
    ///
    /// [`FatalError::Broken`]: a bug.
    pub fn committer(&mut self) -> Result<&mut Committer, FatalError> {
        match &mut self.stage {
            Stage::Resting(committer) => Ok(committer),
            _ => Err(FatalError::Broken),
        }
    }
}
