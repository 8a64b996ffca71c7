//! What can go wrong, whose fault it is, and the stable code of each case.
//!
//! A device must never take a broken network for an attack, nor an attack for a broken network. So
//! every case of [`Error`] has one [`Fault`], and only a contradiction between two things that were
//! both verified accuses the log ([`Fault::ServerLied`]). An answer that merely does not verify is
//! not believed, and accuses nobody: it is tried again, and shown as unresolved meanwhile.

mod classify;

use candor_core::account::ValueError;
use candor_core::answer::{
    AccountProofError, ConfigError, HeadError, ProofFileError, SecondHeadError,
};
use candor_core::codec::DecodeError;
use candor_core::note::LogVerifyError;
use candor_proto::WireError;
use thiserror::Error;

pub use candor_core::note::{Evidence, EvidenceError};
pub use classify::{CODES, Fault};

use crate::audit::AuditError;
use crate::store::StoreError;

/// Why an operation of a [`crate::Client`] failed. [`Self::fault`] says whose fault it is,
/// [`Self::code`] names the page of `docs/errors/sdk/` that says what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The log signed two histories. The evidence convinces anybody who knows the log's key.
    #[error("the log shows two histories at {size} records")]
    SplitView {
        /// The size at which they differ.
        size: u64,
        /// The two signed checkpoints.
        evidence: Box<Evidence>,
    },
    /// A version that was verified before is gone from a later map.
    #[error("version {remembered} of the account was there and is gone")]
    VersionWentBack {
        /// The greatest version remembered.
        remembered: u32,
        /// The greatest version of the refused answer.
        greatest: Option<u32>,
    },
    /// A version that was verified before has other content in a later map.
    #[error("version {version} of the account changed after it was logged")]
    ContentChanged {
        /// The version.
        version: u32,
    },
    /// The head was refused (checks 1 to 3 of the protocol).
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The second head, which the trust asks for, was refused.
    #[error(transparent)]
    Second(#[from] SecondHeadError),
    /// The answer leaves out the head, and the device has none of its own that is still good.
    #[error("the answer has no head, and the device knows none that is current")]
    HeadMissing,
    /// The log's configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The account proof was refused (checks 4 to 7).
    #[error(transparent)]
    Account(#[from] AccountProofError),
    /// A logged value is not one of its label.
    #[error("version {version} of the account is not usable: {source}")]
    Content {
        /// The version.
        version: u32,
        /// What is wrong with it.
        source: ContentError,
    },
    /// The log says that it erased what this version held. That there is such a version is proved.
    #[error("what version {version} of the account held was erased")]
    VersionErased {
        /// The version.
        version: u32,
    },
    /// A binding leads to a binding.
    #[error("a binding leads to another binding")]
    BindingChain,
    /// The file is no proof file.
    #[error("not a proof file: {0}")]
    ProofFile(Box<ProofFileError>),
    /// What another device passed on is no head of this log.
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// An answer does not have the shape of one.
    #[error("malformed answer: {0}")]
    Response(#[from] WireError),
    /// An answer has another number of accounts than were asked for.
    #[error("answer holds {actual} accounts where {expected} were asked for")]
    AccountCount {
        /// Accounts asked for.
        expected: usize,
        /// Accounts in the answer.
        actual: usize,
    },
    /// What the log signed for an update is not what a log would sign.
    #[error("receipt of an update refused: {0}")]
    Receipt(#[from] ReceiptError),
    /// The server said that an update is visible, but the map does not show it.
    #[error("version {version} is said to be visible, but is not")]
    NotVisible {
        /// The version.
        version: u32,
    },
    /// The audit found what must not be.
    #[error("epoch {epoch} refused: {source}")]
    Audit {
        /// The epoch.
        epoch: u64,
        /// What is wrong with it.
        source: AuditError,
    },
    /// The server refused the update; nothing of it was kept.
    #[error("the server refused the update: {code}")]
    Refused {
        /// The server's code (`docs/errors/`).
        code: String,
        /// For `version-conflict`: the greatest version there is.
        greatest_version: Option<u32>,
        /// The same update may succeed later.
        retryable: bool,
    },
    /// The server does not know whether the update happened.
    #[error("the server does not know whether the update happened")]
    OutcomeUnknown,
    /// The server could not be reached, or the connection broke.
    #[error("the server could not be reached")]
    Unreachable(#[source] Box<tonic::Status>),
    /// No answer came in time.
    #[error("the server did not answer in time")]
    Timeout,
    /// The server has too much to do.
    #[error("the server is overloaded")]
    Overloaded,
    /// The answer is longer than the device accepts, or than the server sends.
    #[error("the answer is too large; this device accepts {limit_bytes} bytes")]
    ResponseTooLarge {
        /// The device's limit.
        limit_bytes: usize,
    },
    /// The server does not offer this call.
    #[error("the server does not offer this call")]
    Unsupported,
    /// The server does not accept the credential for this call.
    #[error("the server does not accept the credential")]
    Unauthorized,
    /// The server holds the request to be wrong.
    #[error("the server rejected the request: {code}")]
    Rejected {
        /// Its gRPC status.
        code: tonic::Code,
    },
    /// The server failed.
    #[error("the server failed: {code}")]
    ServerFailed {
        /// Its gRPC status.
        code: tonic::Code,
    },
    /// A certificate or a key for the connection cannot be used.
    #[error("invalid endpoint")]
    Endpoint(#[source] tonic::transport::Error),
    /// The endpoint is no URI, or neither `https` nor `http`.
    #[error("the endpoint must be https://host[:port] or http://host[:port]")]
    Address,
    /// The credential would be sent where everybody on the way can read it.
    #[error("a credential is only sent over https, or to this machine")]
    InClear,
    /// The credential holds characters that cannot be sent.
    #[error("invalid credential")]
    Token,
    /// No label, or more than one call can look up.
    #[error("{count} labels in one lookup, not 1 to {limit}")]
    BatchSize {
        /// How many.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// So many versions were published and not monitored that no more can be remembered.
    #[error("{limit} published versions wait to be monitored")]
    NotMonitored {
        /// The most.
        limit: usize,
    },
    /// The device's store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of this library ended before its time.
    #[error("an internal task failed")]
    Internal,
}

/// Why logged bytes are not a value of their label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The bytes are of no form that this version knows. The device may be too old.
    #[error(transparent)]
    Unknown(#[from] DecodeError),
    /// The value cannot be believed of its label. The server is at fault: it logged it.
    #[error(transparent)]
    Invalid(#[from] ValueError),
}

/// Why a head that another device passed on counts for nothing. Who sent it is at fault, or knows
/// other keys of the log; the log is not accused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GossipError {
    /// The bytes are no such message.
    #[error("malformed gossip: {0}")]
    Malformed(#[from] DecodeError),
    /// The log did not sign it with a key that this device knows.
    #[error("gossip that the log does not vouch for: {0}")]
    Unsigned(#[from] LogVerifyError),
}

/// Why the receipt of a committed update was refused. The server is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The checkpoint is no signed note.
    #[error(transparent)]
    Note(#[from] candor_core::note::NoteError),
    /// The log does not vouch for the checkpoint.
    #[error(transparent)]
    Log(#[from] LogVerifyError),
    /// The record is no record of an epoch.
    #[error("malformed record: {0}")]
    Record(#[from] DecodeError),
    /// The record is not in the log where it is said to be.
    #[error("the record is not in the log: {0}")]
    Inclusion(#[from] candor_core::log::ProofError),
}

impl From<ProofFileError> for Error {
    fn from(error: ProofFileError) -> Self {
        match error {
            ProofFileError::Head(error) => error.into(),
            ProofFileError::Second(error) => error.into(),
            ProofFileError::Config(error) => error.into(),
            ProofFileError::Account(error) => error.into(),
            other => Self::ProofFile(Box::new(other)),
        }
    }
}
