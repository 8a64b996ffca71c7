//! One table: each case's stable code and fault.

use candor_core::answer::{AccountProofError, ConfigError, HeadError, SecondHeadError};
use candor_core::note::{FreshnessError, LogVerifyError, PolicyError};

use super::{ContentError, Error, Evidence, GossipError};
use crate::audit::AuditError;
use crate::store::StoreError;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault<'a> {
    /// Two things that the device verified contradict each other: the log lied. Tell the person.
    ServerLied {
        /// What convinces others, where it is at hand.
        evidence: Option<&'a Evidence>,
    },
    /// The answer does not verify. It is not believed and proves nothing against anyone: try
    /// again, and show the account as unresolved meanwhile.
    ServerUnproven,
    /// The answer is old, or the server is not ready. Try again later.
    ServerBehind,
    /// Server and device speak different versions or are set up for different logs.
    ServerIncompatible,
    /// The application passed something that it should not have.
    Caller,
    /// Network, clock or storage.
    Environment {
        /// The same call may succeed later without anyone's doing.
        retryable: bool,
    },
    /// A bug of this library.
    Bug,
}

/// [`Fault`] without what it borrows.
#[derive(Clone, Copy)]
enum Kind {
    Lied,
    Unproven,
    Behind,
    Incompatible,
    Caller,
    Retryable,
    Environment,
    Bug,
}

/// Every code, ascending. Each has a page `docs/errors/sdk/<code>.md`.
pub const CODES: &[&str] = &[
    "account-count",
    "account-malformed",
    "account-refused",
    "audit-delta",
    "audit-order",
    "audit-record",
    "audit-root",
    "audit-stream",
    "binding-chain",
    "checkpoint-malformed",
    "config-not-first",
    "config-other-log",
    "config-refused",
    "config-unsupported",
    "content-changed",
    "cosignature-invalid",
    "credential-in-clear",
    "credential-invalid",
    "disclosure-wrong",
    "endpoint-invalid",
    "gossip-malformed",
    "gossip-unsigned",
    "head-in-future",
    "head-missing",
    "head-refused",
    "head-stale",
    "internal",
    "ladder-contradicted",
    "ladder-wrong",
    "log-empty",
    "log-ended",
    "log-inconsistent",
    "log-rolled-back",
    "lookup-batch-size",
    "map-proof-invalid",
    "not-monitored",
    "not-signed",
    "not-visible",
    "other-log",
    "outcome-unknown",
    "overloaded",
    "proof-file-malformed",
    "quorum-not-met",
    "receipt-invalid",
    "record-malformed",
    "record-not-newest",
    "record-order",
    "request-rejected",
    "response-malformed",
    "response-too-large",
    "search-key-invalid",
    "second-head-empty",
    "second-head-inconsistent",
    "second-head-larger",
    "second-head-missing",
    "second-head-refused",
    "second-head-stale",
    "server-failed",
    "signature-invalid",
    "split-view",
    "store-damaged",
    "store-failed",
    "store-locked",
    "timeout",
    "unauthorized",
    "unreachable",
    "unsupported",
    "update-refused",
    "value-invalid",
    "value-unsupported",
    "version-erased",
    "version-went-back",
    "vrf-key-invalid",
];

impl Error {
    /// The stable code of the case, in lower case with hyphens; one of [`CODES`].
    pub fn code(&self) -> &'static str {
        self.classify().0
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault<'_> {
        match self.classify().1 {
            Kind::Lied => Fault::ServerLied {
                evidence: match self {
                    Self::SplitView { evidence, .. } => Some(evidence),
                    _ => None,
                },
            },
            Kind::Unproven => Fault::ServerUnproven,
            Kind::Behind => Fault::ServerBehind,
            Kind::Incompatible => Fault::ServerIncompatible,
            Kind::Caller => Fault::Caller,
            Kind::Retryable => Fault::Environment { retryable: true },
            Kind::Environment => Fault::Environment { retryable: false },
            Kind::Bug => Fault::Bug,
        }
    }

    /// Whether the same call may succeed later without anyone's doing.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { retryable, .. } => *retryable,
            _ => matches!(
                self.classify().1,
                Kind::Unproven | Kind::Behind | Kind::Retryable
            ),
        }
    }

    fn classify(&self) -> (&'static str, Kind) {
        match self {
            Self::SplitView { .. } => ("split-view", Kind::Lied),
            Self::VersionWentBack { .. } => ("version-went-back", Kind::Lied),
            Self::ContentChanged { .. } => ("content-changed", Kind::Lied),
            Self::Head(error) => head(error),
            Self::Second(error) => second(error),
            Self::HeadMissing => ("head-missing", Kind::Behind),
            Self::Config(error) => config(error),
            Self::Account(error) => account(error),
            Self::Content { source, .. } => match source {
                ContentError::Unknown(_) => ("value-unsupported", Kind::Incompatible),
                ContentError::Invalid(_) => ("value-invalid", Kind::Lied),
            },
            Self::VersionErased { .. } => ("version-erased", Kind::Caller),
            Self::BindingChain => ("binding-chain", Kind::Incompatible),
            Self::ProofFile(_) => ("proof-file-malformed", Kind::Caller),
            Self::Gossip(GossipError::Malformed(_)) => ("gossip-malformed", Kind::Caller),
            Self::Gossip(GossipError::Unsigned(_)) => ("gossip-unsigned", Kind::Caller),
            Self::Response(_) => ("response-malformed", Kind::Unproven),
            Self::AccountCount { .. } => ("account-count", Kind::Unproven),
            Self::Receipt(_) => ("receipt-invalid", Kind::Unproven),
            Self::NotVisible { .. } => ("not-visible", Kind::Behind),
            Self::Audit { source, .. } => audit(source),
            Self::Refused { .. } => ("update-refused", Kind::Caller),
            Self::OutcomeUnknown => ("outcome-unknown", Kind::Behind),
            Self::Unreachable(_) => ("unreachable", Kind::Retryable),
            Self::Timeout => ("timeout", Kind::Retryable),
            Self::Overloaded => ("overloaded", Kind::Retryable),
            Self::ResponseTooLarge { .. } => ("response-too-large", Kind::Incompatible),
            Self::Unsupported => ("unsupported", Kind::Incompatible),
            Self::Unauthorized => ("unauthorized", Kind::Caller),
            Self::Rejected { .. } => ("request-rejected", Kind::Caller),
            Self::ServerFailed { .. } => ("server-failed", Kind::Behind),
            Self::Endpoint(_) | Self::Address => ("endpoint-invalid", Kind::Caller),
            Self::InClear => ("credential-in-clear", Kind::Caller),
            Self::Token => ("credential-invalid", Kind::Caller),
            Self::BatchSize { .. } => ("lookup-batch-size", Kind::Caller),
            Self::NotMonitored { .. } => ("not-monitored", Kind::Caller),
            Self::Store(StoreError::Damaged { .. }) => ("store-damaged", Kind::Environment),
            Self::Store(StoreError::Locked) => ("store-locked", Kind::Caller),
            Self::Store(StoreError::Failed(_)) => ("store-failed", Kind::Environment),
            Self::Internal => ("internal", Kind::Bug),
        }
    }
}

fn head(error: &HeadError) -> (&'static str, Kind) {
    match error {
        HeadError::Note(_) => ("checkpoint-malformed", Kind::Unproven),
        HeadError::Policy(error) => policy(error),
        HeadError::Freshness(FreshnessError::InFuture { .. }) => {
            ("head-in-future", Kind::Environment)
        }
        HeadError::Freshness(_) => ("head-stale", Kind::Behind),
        HeadError::RolledBack { .. } => ("log-rolled-back", Kind::Behind),
        HeadError::SplitView { .. } => ("split-view", Kind::Lied),
        HeadError::Inconsistent { .. } => ("log-inconsistent", Kind::Unproven),
        HeadError::NoEpoch => ("log-empty", Kind::Behind),
        HeadError::Record(_) => ("record-malformed", Kind::Unproven),
        HeadError::NotNewest(_) => ("record-not-newest", Kind::Unproven),
        HeadError::Order(_) => ("record-order", Kind::Lied),
        HeadError::Ended(_) => ("log-ended", Kind::Incompatible),
        _ => ("head-refused", Kind::Unproven),
    }
}

fn second(error: &SecondHeadError) -> (&'static str, Kind) {
    match error {
        SecondHeadError::Missing => ("second-head-missing", Kind::Behind),
        SecondHeadError::Note(_) => ("checkpoint-malformed", Kind::Unproven),
        SecondHeadError::Policy(error) => policy(error),
        SecondHeadError::Freshness(FreshnessError::InFuture { .. }) => {
            ("head-in-future", Kind::Environment)
        }
        SecondHeadError::Freshness(_) => ("second-head-stale", Kind::Behind),
        SecondHeadError::NoEpoch => ("second-head-empty", Kind::Unproven),
        SecondHeadError::Larger { .. } => ("second-head-larger", Kind::Unproven),
        SecondHeadError::SplitView { .. } => ("split-view", Kind::Lied),
        SecondHeadError::Inconsistent { .. } => ("second-head-inconsistent", Kind::Unproven),
        _ => ("second-head-refused", Kind::Unproven),
    }
}

fn policy(error: &PolicyError) -> (&'static str, Kind) {
    match error {
        PolicyError::Log(LogVerifyError::Checkpoint(_)) => ("checkpoint-malformed", Kind::Unproven),
        PolicyError::Log(LogVerifyError::UnknownOrigin) => ("other-log", Kind::Incompatible),
        PolicyError::Log(LogVerifyError::NotSigned) => ("not-signed", Kind::Unproven),
        PolicyError::Log(LogVerifyError::InvalidSignature { .. }) => {
            ("signature-invalid", Kind::Unproven)
        }
        PolicyError::InvalidCosignature { .. } => ("cosignature-invalid", Kind::Unproven),
        PolicyError::QuorumNotMet => ("quorum-not-met", Kind::Behind),
        _ => ("head-refused", Kind::Unproven),
    }
}

const fn config(error: &ConfigError) -> (&'static str, Kind) {
    match error {
        ConfigError::Record(_) => ("config-unsupported", Kind::Incompatible),
        ConfigError::NotFirst(_) => ("config-not-first", Kind::Unproven),
        ConfigError::OtherLog => ("config-other-log", Kind::Unproven),
        ConfigError::VrfKey(_) => ("vrf-key-invalid", Kind::Unproven),
        _ => ("config-refused", Kind::Unproven),
    }
}

const fn account(error: &AccountProofError) -> (&'static str, Kind) {
    let code = match error {
        AccountProofError::Malformed(_) => "account-malformed",
        AccountProofError::WrongLadder { .. } => "ladder-wrong",
        AccountProofError::SearchKey { .. } => "search-key-invalid",
        AccountProofError::Contradiction { .. } => "ladder-contradicted",
        AccountProofError::WrongDisclosure { .. } => "disclosure-wrong",
        AccountProofError::Map(_) => "map-proof-invalid",
        _ => "account-refused",
    };
    (code, Kind::Unproven)
}

const fn audit(error: &AuditError) -> (&'static str, Kind) {
    match error {
        AuditError::Stream => ("audit-stream", Kind::Unproven),
        AuditError::Record(_) => ("audit-record", Kind::Unproven),
        AuditError::Order(_) => ("audit-order", Kind::Unproven),
        AuditError::Digest | AuditError::Delta(_) => ("audit-delta", Kind::Unproven),
        AuditError::Root => ("audit-root", Kind::Unproven),
    }
}
