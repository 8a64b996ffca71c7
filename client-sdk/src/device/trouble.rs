//! Why a question had no verified answer, as far as a person is concerned.
//!
//! The client's errors are many; what a person can be told is little. This is the one place where
//! the two meet, and where "offline" and "attack" are kept apart: only what contradicts something
//! verified becomes a danger.

use candor_core::Hash;
use candor_core::answer::HeadError;

use crate::error::{Error, Fault};

/// Why a question had no verified answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The log signed two histories.
    Fork {
        /// Bytes of [`Evidence`](crate::Evidence).
        evidence: Vec<u8>,
    },
    /// What the answer shows contradicts what was verified before.
    HistoryChanged,
    /// The log holds what cannot be a value of the label: its account never signed it.
    ValueInvalid,
    /// The answer does not verify, which accuses nobody.
    Unproven,
    /// The newest head that could be had is too old.
    Stale,
    /// Too few witnesses vouch for the head.
    PolicyNotMet,
    /// The server is not as far as it should be.
    Behind,
    /// The server or the log speak a newer version.
    Incompatible,
    /// The log's operator ended it.
    Ended {
        /// Hash of what the log's last record says of its successor.
        successor: Hash,
    },
    /// The device's clock is behind the witnesses'.
    ClockWrong,
    /// The server cannot be reached.
    Offline,
    /// The account's other devices share what this device has not merged yet.
    NeedsSync,
    /// The server refused an update.
    Refused {
        /// Its code (`docs/errors/server/`).
        code: String,
        /// Whether the same may succeed later.
        is_retryable: bool,
    },
    /// Whether an update happened is unknown.
    OutcomeUnknown,
    /// The application or this library is at fault: the code of the error.
    Fault(&'static str),
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Self {
        match error {
            Error::SplitView { evidence, .. } => Self::Fork {
                evidence: evidence.to_bytes(),
            },
            Error::Refused {
                code, retryable, ..
            } => Self::Refused {
                code: code.clone(),
                is_retryable: *retryable,
            },
            Error::Head(HeadError::Ended(successor)) => Self::Ended {
                successor: successor.hash(),
            },
            Error::OutcomeUnknown => Self::OutcomeUnknown,
            // The sender of the message is at fault.
            Error::Gossip(_) => Self::Fault(error.code()),
            other => Self::by_fault(other),
        }
    }
}

impl Trouble {
    fn by_fault(error: &Error) -> Self {
        match (error.fault(), error.code()) {
            (Fault::ServerLied { evidence }, _) => match evidence {
                Some(evidence) => Self::Fork {
                    evidence: evidence.to_bytes(),
                },
                None => Self::HistoryChanged,
            },
            (Fault::ServerUnproven, _) => Self::Unproven,
            (Fault::ServerBehind, "head-stale" | "second-head-stale") => Self::Stale,
            (Fault::ServerBehind, "quorum-not-met") => Self::PolicyNotMet,
            (Fault::ServerBehind, _) => Self::Behind,
            (Fault::ServerIncompatible, _) => Self::Incompatible,
            (Fault::Environment { .. }, "head-in-future") => Self::ClockWrong,
            (Fault::Environment { retryable: true }, _) => Self::Offline,
            (_, code) => Self::Fault(code),
        }
    }
}
