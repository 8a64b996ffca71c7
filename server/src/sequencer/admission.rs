//! Admission: what is checked and computed of an update before it waits for an epoch.
//!
//! Everything that needs only the update itself is done here, off the sequencer's thread and on all
//! cores: its form, its signature, its search keys. What depends on the order of updates, the
//! version and the rules of succession, is left to the sequencer. Room is counted in kibibytes of
//! everything that was admitted and not answered yet, so memory is bounded however long the answers
//! take.

use std::sync::Arc;

use candor_core::account::{
    Label, LabelError, RuleError, UnverifiedValue, ValueError, VerifiedValue,
};
use candor_core::codec::DecodeError;
use candor_core::crypto::{Opening, SearchKey, VrfProof, VrfSecretKey, vrf::vrf_input};
use candor_core::map::ladder::search_ladder;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::ledger::Ledger;

/// Kibibytes of updates that may be on their way at once.
const ROOM_KIB: u32 = 64 * 1024;

/// Most updates that wait for an epoch.
const QUEUE_UPDATES_MAX: usize = 32 * 1024;

/// Why an update was refused. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The label is not in its normal form.
    #[error("label refused: {0}")]
    Label(#[from] LabelError),
    /// The value is not well formed.
    #[error("value refused: {0}")]
    Value(#[from] DecodeError),
    /// The value cannot be believed of this label.
    #[error("value refused: {0}")]
    Unbelievable(#[from] ValueError),
    /// The value may not follow the label's newest one.
    #[error("update refused: {0}")]
    Rule(RuleError),
    /// The version is not the next one.
    #[error("the update's version is not the next one of the label")]
    VersionConflict {
        /// The label's greatest version.
        greatest: Option<u32>,
    },
    /// More updates wait than there is room for.
    #[error("too many updates wait; try again later")]
    Overloaded,
    /// The store has no space, or failed before it wrote.
    #[error("the log cannot store updates at the moment; try again later")]
    StorageUnavailable,
    /// The witnesses' quorum is missing for so long that the log must not run further ahead.
    #[error("the log waits for its witnesses; try again later")]
    Unpublished,
    /// The server is going down.
    #[error("the server is shutting down; try again later")]
    ShuttingDown,
}

/// Why an update has no epoch to show.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The update was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The sequencer failed while it had the update: it is in the log or not. Submit it again with
    /// the same version: a version conflict then says that there is such a version already.
    #[error("the server failed before the outcome was known; submit again with the same version")]
    OutcomeUnknown,
}

impl Refusal {
    /// The stable code, described in `docs/errors/`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Label(_) => "label-invalid",
            Self::Value(_) => "value-malformed",
            Self::Unbelievable(_) => "value-unverified",
            Self::Rule(_) => "succession-refused",
            Self::VersionConflict { .. } => "version-conflict",
            Self::Overloaded => "overloaded",
            Self::StorageUnavailable => "storage-unavailable",
            Self::Unpublished => "unpublished",
            Self::ShuttingDown => "shutting-down",
        }
    }

    /// Whether the same update may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::StorageUnavailable | Self::Unpublished | Self::ShuttingDown
        )
    }
}

/// How the wait for an epoch ends: the epoch that holds the update, or why none does.
pub type Answer = Result<u64, Refusal>;

/// An update that waits for an epoch.
pub struct Admitted {
    pub(super) version: u32,
    pub(super) value: VerifiedValue,
    pub(super) opening: Opening,
    pub(super) key: SearchKey,
    /// Search keys that the store does not have yet: of this version, and of those whose absence
    /// a lookup of it has to show.
    pub(super) computed: Vec<(u32, SearchKey, VrfProof)>,
    answer: oneshot::Sender<Answer>,
    _room: OwnedSemaphorePermit,
}

impl Admitted {
    /// Tells the caller. A caller that went away is no error: the update is in the log or it is
    /// not, whoever listens.
    pub(super) fn answer(self, answer: Answer) {
        let _gone = self.answer.send(answer);
    }
}

/// Where updates come in.
#[derive(Clone)]
pub struct Admission {
    ledger: Ledger,
    vrf: Arc<VrfSecretKey>,
    queue: mpsc::Sender<Admitted>,
    room: Arc<Semaphore>,
    /// Turns on the cores. Few, so that the sequencer, which shares the cores, never waits behind
    /// a long line.
    turns: Arc<Semaphore>,
}

impl Admission {
    /// Makes the way in, and the queue that the sequencer reads.
    pub fn new(ledger: Ledger, vrf: Arc<VrfSecretKey>) -> (Self, mpsc::Receiver<Admitted>) {
        let (queue, waiting) = mpsc::channel(QUEUE_UPDATES_MAX);
        let admission = Self {
            ledger,
            vrf,
            queue,
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
            turns: Arc::new(Semaphore::new(2 * rayon::current_num_threads())),
        };
        (admission, waiting)
    }

    /// Kibibytes of room that are taken.
    pub fn room_taken_kib(&self) -> usize {
        ROOM_KIB as usize - self.room.available_permits()
    }

    /// Submits one update and waits until an epoch holds it durably. Dropping the future does not
    /// withdraw an update that was queued.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: the caller is at fault, or the environment where it is retryable.
    pub async fn submit(
        &self,
        label: &str,
        version: u32,
        value: &[u8],
    ) -> Result<u64, SubmitError> {
        match self.admit(label, version, value).await?.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(SubmitError::OutcomeUnknown),
        }
    }

    /// Prepares one update and queues it.
    async fn admit(
        &self,
        label: &str,
        version: u32,
        value: &[u8],
    ) -> Result<oneshot::Receiver<Answer>, Refusal> {
        let label = Label::parse(label)?;
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(size_kib(value))
            .map_err(|_| Refusal::Overloaded)?;
        let value = UnverifiedValue::decode(value)?;
        let (answer, answered) = oneshot::channel();
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let this = self.clone();
        let (prepared, ready) = oneshot::channel();
        // Signatures and search keys: on all cores, away from the threads that serve calls.
        rayon::spawn(move || {
            let _gone = prepared.send(this.prepare(&label, version, value, answer, room));
            drop(turn);
        });
        let admitted = ready.await.map_err(|_| Refusal::StorageUnavailable)??;
        self.queue.try_send(admitted).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Refusal::ShuttingDown,
        })?;
        Ok(answered)
    }

    fn prepare(
        &self,
        label: &Label,
        version: u32,
        value: UnverifiedValue,
        answer: oneshot::Sender<Answer>,
        room: OwnedSemaphorePermit,
    ) -> Result<Admitted, Refusal> {
        let failed = |_| Refusal::StorageUnavailable;
        // A version that not even all waiting updates lead up to is not worth its search keys.
        let greatest = self.ledger.greatest(label, u64::MAX).map_err(failed)?;
        let next = greatest.map_or(0, |greatest| u64::from(greatest) + 1);
        if u64::from(version) > next + QUEUE_UPDATES_MAX as u64 {
            return Err(Refusal::VersionConflict { greatest });
        }
        let value = value.verify(label)?;
        let mut opening = [0; 16];
        getrandom::fill(&mut opening).map_err(|_| Refusal::StorageUnavailable)?;
        let mut computed = Vec::new();
        let mut own = None;
        for version_needed in search_ladder(Some(version)) {
            let stored = self
                .ledger
                .search_key(label, version_needed)
                .map_err(failed)?;
            let key = match stored {
                Some((key, _)) => key,
                None => {
                    let input = vrf_input(label.as_bytes(), version_needed);
                    let (key, proof) = self.vrf.prove(&input);
                    computed.push((version_needed, key, proof));
                    key
                }
            };
            if version_needed == version {
                own = Some(key);
            }
        }
        let key = own.expect("a version is in its own ladder");
        let opening = Opening(opening);
        Ok(Admitted {
            version,
            value,
            opening,
            key,
            computed,
            answer,
            _room: room,
        })
    }
}

/// Memory that an update takes while it waits, in kibibytes, rounded up: its bytes, and about as
/// much for what was decoded from them.
fn size_kib(value: &[u8]) -> u32 {
    u32::try_from(1 + 2 * value.len() / 1024).unwrap_or(u32::MAX)
}
