//! Erasing the content of an account's versions, at the operator's request.
//!
//! Erasures go through the sequencer, so that no epoch is in commit meanwhile. A version is erased
//! only below the one that the published head shows as the newest: every lookup still opens that,
//! so an erasure changes no answer but those that ask for erased versions by number, and these say
//! so. An account with nothing in it is one whose newest value says so, which the log shows like
//! any other; there is no erasure that hides a version.

use candor_core::account::{Label, VerifiedValue};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::enrolment::newest_value;
use crate::ledger::{Account, Erasing, Ledger, LedgerError, StoredHead};

/// Erasures that may wait.
const QUEUE_MAX: usize = 16;

/// What is to be erased of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every version before this one.
    Before(u32),
    /// Everything: every version before the newest, which must hold nothing.
    All,
}

/// What was erased, and what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Versions that were erased now.
    pub versions: u32,
    /// The first version that was not looked at: all before it are erased.
    pub kept_from: u32,
    /// The account's newest version.
    pub newest: u32,
    /// Whether there is more to erase in the scope: ask again.
    pub is_partial: bool,
}

/// Why nothing was erased.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EraseError {
    /// The label has no version that a published head shows.
    #[error("the published head shows no account of this label")]
    Absent,
    /// The newest version was to be erased. The caller is at fault.
    #[error(
        "the published head shows version {newest}, which stays: without it no lookup verifies; \
         erase versions before {newest} at most"
    )]
    Newest {
        /// The newest version at the published head.
        newest: u32,
    },
    /// All was to be erased, but the newest version is not a state without keys and devices.
    #[error(
        "version {newest} holds keys or devices, or leads to another account: first publish a \
         state without account key and devices, and erase when it is visible"
    )]
    NotEmpty {
        /// The newest version at the published head.
        newest: u32,
    },
    /// The store could not be read or is damaged: `fsck` says more.
    #[error("the store could not be read, or is damaged at this account; nothing was erased")]
    Unreadable,
    /// The store refused the batch and is as it was. Try again later.
    #[error("the store cannot be written at the moment; nothing was erased")]
    NotStored,
    /// The server stopped first: the versions are erased or not. Ask again.
    #[error("the server stopped before the outcome was known; erase again")]
    Stopped,
}

/// The way to have versions erased.
#[derive(Clone)]
pub struct Eraser(mpsc::Sender<Erasure>);

impl Eraser {
    /// Makes the way in, and the queue that the sequencer reads.
    pub fn new() -> (Self, mpsc::Receiver<Erasure>) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        (Self(sender), receiver)
    }

    /// Erases what opens versions of a label, and returns when that is durable. From then on no
    /// answer opens them. The store's files may hold the bytes until the store is rewritten.
    ///
    /// # Errors
    ///
    /// [`EraseError`].
    pub async fn erase(&self, label: Label, scope: Scope) -> Result<Erased, EraseError> {
        let (answer, answered) = oneshot::channel();
        let erasure = Erasure {
            label,
            scope,
            answer,
        };
        let sent = self.0.send(erasure).await;
        sent.map_err(|_| EraseError::Stopped)?;
        answered.await.map_err(|_| EraseError::Stopped)?
    }
}

/// An erasure that waits for the sequencer.
pub struct Erasure {
    label: Label,
    scope: Scope,
    answer: oneshot::Sender<Result<Erased, EraseError>>,
}

impl Erasure {
    /// Decides what may be erased, and prepares it. `published` is the epoch of the published
    /// head; no epoch is in commit.
    pub(super) fn prepare(
        &self,
        ledger: &Ledger,
        head: &StoredHead,
        published: Option<u64>,
    ) -> Result<(Erasing, Erased), EraseError> {
        let epoch = published.ok_or(EraseError::Absent)?;
        let unreadable = |_: LedgerError| EraseError::Unreadable;
        let shown = ledger.account_at(&self.label, epoch).map_err(unreadable)?;
        let newest = shown.greatest().ok_or(EraseError::Absent)?;
        let end = match self.scope {
            Scope::Before(version) if version > newest => {
                return Err(EraseError::Newest { newest });
            }
            Scope::Before(version) => version,
            Scope::All if !is_empty(&shown).map_err(unreadable)? => {
                return Err(EraseError::NotEmpty { newest });
            }
            Scope::All => newest,
        };
        let first = ledger.first_kept(&self.label, end).map_err(unreadable)?;
        let erasing = ledger.erase(head, &self.label, first, end);
        let erasing = erasing.map_err(unreadable)?;
        let erased = Erased {
            versions: erasing.versions,
            kept_from: erasing.up_to,
            newest,
            is_partial: erasing.up_to < end,
        };
        Ok((erasing, erased))
    }

    /// Tells who asked. Who went away does not undo it.
    pub(super) fn answer(self, answer: Result<Erased, EraseError>) {
        let _gone = self.answer.send(answer);
    }
}

/// Whether an account's newest value holds nothing of a person: no key, no device, no other label.
fn is_empty(account: &Account) -> Result<bool, LedgerError> {
    Ok(match newest_value(account)? {
        Some(VerifiedValue::State(state)) => {
            let state = state.state();
            state.account_key.is_none() && state.devices.is_empty()
        }
        Some(VerifiedValue::Binding(_)) | None => false,
    })
}
