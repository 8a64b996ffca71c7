//! Admission: what is checked and computed of an update before it waits for an epoch.
//!
//! Everything that can be is done here, off the sequencer's thread and on all cores: form and
//! signature, search key, commitment, and whether the value may follow the label's newest one. The
//! sequencer decides again only if another update came between, or if it rests on more than that:
//! on the time, or on another label ([`super::enrolment`]). The search key of the next version of a
//! known label was computed before, so an update computes none. Room is counted in kibibytes of
//! everything that was admitted and not answered yet, so memory is bounded however long the answers
//! take.

use std::sync::Arc;
use std::time::Instant;

use candor_core::account::{
    Label, LabelError, RuleError, UnverifiedValue, ValueError, VerifiedValue, check_successor,
};
use candor_core::codec::DecodeError;
use candor_core::crypto::{Commitment, Opening, SearchKey};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::enrolment::{EnrolmentRules, is_reset, newest_value};
use super::ladders::Ladders;
use crate::clock::Clock;
use crate::ledger::{Account, Ledger, LedgerError, Rung};

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
    /// The account key was reset too short a time ago.
    #[error("the account key was reset a short time ago; it may be reset again in {left_s} s")]
    ResetCooldown {
        /// How long another reset has to wait, in seconds.
        left_s: u64,
    },
    /// An enrolled state has a device that is not capable enough.
    #[error("a device of the enrolled account has a lower capability than {least}")]
    CapabilityTooLow {
        /// The least that every device must have.
        least: u16,
    },
    /// A binding leads to a label that holds no account state.
    #[error("the label that the binding names holds no account state")]
    BindingTarget,
    /// More updates wait than there is room for.
    #[error("too many updates wait; try again later")]
    Overloaded,
    /// The registrar, or all registrars for this label, submit more than the limit.
    #[error("more updates than the limit; try again in {wait_ms} ms")]
    RateLimited {
        /// When there is room under the limit again, in milliseconds.
        wait_ms: u64,
    },
    /// The store has no space, or failed before it wrote.
    #[error("the log cannot store updates at the moment; try again later")]
    StorageUnavailable,
    /// The witnesses' quorum is missing for so long that the log must not run further ahead.
    #[error("the log waits for its witnesses; try again later")]
    Unpublished,
    /// The log has ended; no try again helps.
    #[error("the log has ended, and goes on as another one")]
    Ended,
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
            Self::ResetCooldown { .. } => "reset-cooldown",
            Self::CapabilityTooLow { .. } => "capability-too-low",
            Self::BindingTarget => "binding-target",
            Self::Overloaded => "overloaded",
            Self::RateLimited { .. } => "rate-limited",
            Self::StorageUnavailable => "storage-unavailable",
            Self::Unpublished => "unpublished",
            Self::Ended => "log-ended",
            Self::ShuttingDown => "shutting-down",
        }
    }

    /// After how many milliseconds the same update may succeed, if that is known; else 0.
    pub const fn retry_after_ms(&self) -> u64 {
        match self {
            Self::ResetCooldown { left_s } => left_s.saturating_mul(1000),
            Self::RateLimited { wait_ms } => *wait_ms,
            _ => 0,
        }
    }

    /// Whether the same update may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::ResetCooldown { .. }
                | Self::Overloaded
                | Self::RateLimited { .. }
                | Self::StorageUnavailable
                | Self::Unpublished
                | Self::ShuttingDown
        )
    }
}

/// How the wait for an epoch ends: the epoch that holds the update, or why none does.
pub type Answer = Result<u64, Refusal>;

/// An update that waits for an epoch.
pub struct Admitted {
    /// The label as it was when the update was admitted. The value may follow its newest one, if it
    /// is the next.
    pub(super) account: Arc<Account>,
    pub(super) number: u32,
    pub(super) value: VerifiedValue,
    pub(super) opening: Opening,
    pub(super) commitment: Commitment,
    pub(super) key: SearchKey,
    /// When it was ready for an epoch.
    pub(super) ready_at: Instant,
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
    ladders: Ladders,
    rules: EnrolmentRules,
    clock: Clock,
    queue: mpsc::Sender<Admitted>,
    room: Arc<Semaphore>,
}

impl Admission {
    /// Makes the way in, and the queue that the sequencer reads.
    pub fn new(
        ledger: Ledger,
        ladders: Ladders,
        rules: EnrolmentRules,
        clock: Clock,
    ) -> (Self, mpsc::Receiver<Admitted>) {
        let (queue, waiting) = mpsc::channel(QUEUE_UPDATES_MAX);
        let admission = Self {
            ledger,
            ladders,
            rules,
            clock,
            queue,
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
        };
        (admission, waiting)
    }

    /// Updates that wait for an epoch.
    pub fn waiting(&self) -> usize {
        QUEUE_UPDATES_MAX - self.queue.capacity()
    }

    /// Kibibytes of room that there are.
    pub const fn room_kib(&self) -> usize {
        ROOM_KIB as usize
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
        let this = self.clone();
        let (prepared, ready) = oneshot::channel();
        self.ladders.spawn(move || {
            let _gone = prepared.send(this.prepare(&label, version, value, answer, room));
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
        mut room: OwnedSemaphorePermit,
    ) -> Result<Admitted, Refusal> {
        let failed = |_: LedgerError| Refusal::StorageUnavailable;
        let account = self.ledger.account(label).map_err(failed)?;
        // The account stays in memory as long as the update, whatever the cache does.
        let held = u32::try_from(account.bytes() / 1024).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.room).try_acquire_many_owned(held);
        room.merge(more.map_err(|_| Refusal::Overloaded)?);
        let greatest = account.greatest();
        let next = greatest.map_or(0, |greatest| u64::from(greatest) + 1);
        // Versions only grow, and one that not even all waiting updates lead up to is not worth its
        // search key.
        let waiting = next..=next + QUEUE_UPDATES_MAX as u64;
        if !waiting.contains(&u64::from(version)) {
            return Err(Refusal::VersionConflict { greatest });
        }
        let value = value.verify(label)?;
        if u64::from(version) == next {
            let newest = newest_value(&account).map_err(failed)?;
            check_successor(newest.as_ref(), &value).map_err(Refusal::Rule)?;
        }
        self.rules.check_capability(&value)?;
        self.check_others(&value).map_err(failed)??;
        let mut opening = [0; 16];
        getrandom::fill(&mut opening).map_err(|_| Refusal::StorageUnavailable)?;
        let opening = Opening(opening);
        let commitment = Commitment::new(&opening, label.as_bytes(), version, &value.encode());
        let known = account.rung(version).and_then(Rung::key);
        // Else it is a new label, or one whose last update is still on its way.
        let key = known.unwrap_or_else(|| self.ladders.search_key(label, version));
        Ok(Admitted {
            account,
            number: version,
            value,
            opening,
            commitment,
            key,
            ready_at: Instant::now(),
            answer,
            _room: room,
        })
    }

    /// What rests on more than the label's newest value. The epoch decides it again.
    fn check_others(&self, value: &VerifiedValue) -> Result<Result<(), Refusal>, LedgerError> {
        if is_reset(value) {
            let now_ms = self.clock.now_ms();
            return self.rules.check_reset(&self.ledger, value.label(), now_ms);
        }
        if let VerifiedValue::Binding(binding) = value {
            // The epoch needs it in memory. Whether it holds a state by then is not known yet.
            self.ledger.account(binding.primary())?;
        }
        Ok(Ok(()))
    }
}

/// Memory that an update takes while it waits, in kibibytes, rounded up: its bytes, and about as
/// much for what was decoded from them.
fn size_kib(value: &[u8]) -> u32 {
    u32::try_from(1 + 2 * value.len() / 1024).unwrap_or(u32::MAX)
}
