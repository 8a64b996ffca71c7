//! Workers: those that prepare updates, and those that compute search keys and their proofs ahead
//! of whoever needs them.
//!
//! An account's next version is always on its ladder, so its search key is there when the update
//! comes; what the new ladder holds beyond it, and proofs, are computed here while the epoch is on
//! its way to publication, and stored by the sequencer with a later batch. Who is waited for goes
//! first: the workers that compute ahead run when no other thread wants the processor. If they fall
//! behind, a lookup computes what it finds missing, and has it stored. What this rules out: an
//! update or a lookup of a known account that waits for the curve, and a queue without bound.

use std::sync::Arc;
use std::time::Instant;

use candor_core::account::Label;
use candor_core::crypto::{SearchKey, VrfSecretKey, vrf::vrf_input};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::ledger::{Account, ProvenKey, Rung};
use crate::metrics::tally::Tally;

/// Kibibytes of accounts whose ladders are being computed or wait to be stored. Most accounts take
/// one.
const ROOM_KIB: usize = 64 * 1024;

/// How much a thread gives way to others: added to its niceness, where the system has that.
#[derive(Clone, Copy)]
pub(crate) enum Yield {
    /// To lookups: somebody waits for it, but until an epoch is published, not for milliseconds.
    /// Beside a core full of lookups it still gets a quarter of it.
    ToLookups,
    /// To everything.
    ToAll,
}

/// The workers, one of each kind a core. Clones share them.
#[derive(Clone)]
pub struct Ladders {
    vrf: Arc<VrfSecretKey>,
    /// Works for callers who wait.
    prompt: Arc<ThreadPool>,
    /// Computes ahead.
    idle: Arc<ThreadPool>,
    room: Arc<Semaphore>,
    completed: mpsc::Sender<Completed>,
    computed: Arc<Computed>,
}

/// What was computed so far.
#[derive(Debug, Default)]
pub struct Computed {
    /// Search keys without proofs.
    pub keys: Tally,
    /// Search keys with their proofs.
    pub proofs: Tally,
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
        let named = |name| ThreadPoolBuilder::new().thread_name(move |at| format!("{name}-{at}"));
        let prompt = named("updates").start_handler(|_| Yield::ToLookups.on_this_thread());
        let prompt = prompt.build()?;
        let idle = named("ladders").start_handler(|_| Yield::ToAll.on_this_thread());
        let idle = idle.build()?;
        let (completed, stored) = mpsc::channel(ROOM_KIB);
        let ladders = Self {
            vrf,
            prompt: Arc::new(prompt),
            idle: Arc::new(idle),
            room: Arc::new(Semaphore::new(ROOM_KIB)),
            completed,
            computed: Arc::default(),
        };
        Ok((ladders, stored))
    }

    /// What was computed so far.
    pub fn computed(&self) -> &Computed {
        &self.computed
    }

    /// Kibibytes of accounts whose ladders are being computed or wait to be stored.
    pub fn room_taken_kib(&self) -> usize {
        ROOM_KIB - self.room.available_permits()
    }

    /// Runs a task that somebody waits for.
    pub(super) fn spawn(&self, task: impl FnOnce() + Send + 'static) {
        self.prompt.spawn_fifo(task);
    }

    /// Computes one search key, now: about half of what its proof costs.
    pub(super) fn search_key(&self, label: &Label, version: u32) -> SearchKey {
        let started = Instant::now();
        let key = self.vrf.evaluate(&vrf_input(label.as_bytes(), version));
        self.computed.keys.add_timed(1, started.elapsed());
        key
    }

    /// The search key of a rung and its proof, computed now if they have to be.
    pub fn proven(&self, label: &Label, rung: &Rung) -> ProvenKey {
        if rung.proof().is_some() {
            return rung.proven(label, &self.vrf);
        }
        let started = Instant::now();
        let proven = rung.proven(label, &self.vrf);
        self.computed.proofs.add_timed(1, started.elapsed());
        proven
    }

    /// Has the ladder of an account completed and stored, if it is not and there is room.
    pub fn complete(&self, account: &Arc<Account>) {
        if account.greatest().is_none() || account.is_complete() {
            return;
        }
        let kib = u32::try_from(account.bytes().div_ceil(1024)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(kib) else {
            return;
        };
        let (account, vrf) = (Arc::clone(account), Arc::clone(&self.vrf));
        let (completed, computed) = (self.completed.clone(), Arc::clone(&self.computed));
        self.idle.spawn_fifo(move || {
            let (missing, started) = (account.missing(), Instant::now());
            account.complete(&vrf);
            computed.proofs.add_timed(missing, started.elapsed());
            let done = Completed {
                account,
                _room: room,
            };
            // There is a place for each permit; without a sequencer nothing is stored any more.
            let _ended = completed.try_send(done);
        });
    }
}

impl Yield {
    /// Has the thread that calls it give way, for as long as it lives.
    pub(crate) fn on_this_thread(self) {
        #[cfg(target_os = "linux")]
        let _unchanged = rustix::process::nice(match self {
            Self::ToLookups => 5,
            Self::ToAll => 19,
        });
    }
}
