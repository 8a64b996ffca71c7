//! Workers that compute search keys and their proofs, ahead of whoever needs them.
//!
//! An account's next version is always on its ladder, so its search key is there when the update
//! comes; what the new ladder holds beyond it is computed here while the epoch is on its way to
//! publication, and stored by the sequencer with a later batch. If the workers fall behind, a
//! lookup computes what it finds missing, and has it stored. What this rules out: an update or a
//! lookup of a known account that waits for the curve, and a queue without bound.

use std::sync::Arc;

use candor_core::account::Label;
use candor_core::crypto::VrfSecretKey;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::ledger::{Account, ProvenKey, Rung};

/// Most accounts whose ladders are being computed or wait to be stored. Each takes about 1 KB.
const ACCOUNTS_MAX: usize = 64 * 1024;

/// The workers, one a core. Clones share them.
#[derive(Clone)]
pub struct Ladders {
    vrf: Arc<VrfSecretKey>,
    pool: Arc<ThreadPool>,
    room: Arc<Semaphore>,
    completed: mpsc::Sender<Completed>,
}

/// An account whose ladder was completed after it was stored.
pub struct Completed {
    /// The account.
    pub account: Arc<Account>,
    _room: OwnedSemaphorePermit,
}

impl Ladders {
    /// Starts the workers, and makes the queue of what they completed, which the sequencer stores.
    ///
    /// # Errors
    ///
    /// When the system has no threads left.
    pub fn new(
        vrf: Arc<VrfSecretKey>,
    ) -> Result<(Self, mpsc::Receiver<Completed>), ThreadPoolBuildError> {
        let pool = ThreadPoolBuilder::new()
            .thread_name(|index| format!("ladders-{index}"))
            .build()?;
        let (completed, stored) = mpsc::channel(ACCOUNTS_MAX);
        let ladders = Self {
            vrf,
            pool: Arc::new(pool),
            room: Arc::new(Semaphore::new(ACCOUNTS_MAX)),
            completed,
        };
        Ok((ladders, stored))
    }

    /// Runs a task on a worker.
    pub(super) fn spawn(&self, task: impl FnOnce() + Send + 'static) {
        self.pool.spawn_fifo(task);
    }

    /// Computes one search key, now.
    pub(super) fn compute(&self, label: &Label, version: u32) -> ProvenKey {
        ProvenKey::compute(&self.vrf, label, version)
    }

    /// The search key of a rung, computed now if it has to be.
    pub fn proven(&self, account: &Account, rung: &Rung) -> ProvenKey {
        account.proven(rung, &self.vrf)
    }

    /// Has the ladder of an account completed and stored, if it is not and there is room.
    pub fn complete(&self, account: &Arc<Account>) {
        if account.greatest().is_none() || account.is_complete() {
            return;
        }
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return;
        };
        let (account, vrf) = (Arc::clone(account), Arc::clone(&self.vrf));
        let completed = self.completed.clone();
        self.spawn(move || {
            account.complete(&vrf);
            let done = Completed {
                account,
                _room: room,
            };
            // There is a place for each permit; without a sequencer nothing is stored any more.
            let _ended = completed.try_send(done);
        });
    }
}
