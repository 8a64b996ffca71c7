//! Why a question had no verified answer: in a sentence, and as a failed command.

use candor_sdk::device::{DeviceError, Trouble};

use crate::failure::Failure;
use crate::output::Exit;

/// What a person is told.
pub const fn sentence(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Fork { .. } => "the log signed two histories",
        Trouble::HistoryChanged => "the answer contradicts what was verified before",
        Trouble::ValueInvalid => "the log holds what its account never signed",
        Trouble::Unproven => "the answer does not verify, and was not believed",
        Trouble::Stale => "the log shows nothing newer than an old head",
        Trouble::PolicyNotMet => "too few witnesses vouch for the log's head",
        Trouble::Behind => "the server is behind what was seen before",
        Trouble::Incompatible => "the log holds what this command is too old for",
        Trouble::Ended { .. } => "the service ended this log, and names a successor",
        Trouble::ClockWrong => "this machine's clock is behind the witnesses'",
        Trouble::Offline => "the server cannot be reached",
        Trouble::Refused { .. } => "the server refused the update",
        Trouble::OutcomeUnknown => "whether the update happened is unknown",
        Trouble::NeedsSync => "what your other phones share has not come here",
        Trouble::Fault(_) => "the question could not be asked",
    }
}

/// Whether an update certainly did not happen.
pub const fn is_refusal(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Refused { .. })
}

/// The command ends with it.
pub fn failure(trouble: &Trouble) -> Failure {
    let alerts = "see `candor device alerts`; do not rely on the service until it is settled";
    let later = "nothing points to an attack: try again later";
    let (exit, code, help) = match trouble {
        Trouble::Fork { .. } => (Exit::Alarm, "split-view", alerts),
        Trouble::HistoryChanged => (Exit::Alarm, "history-changed", alerts),
        Trouble::ValueInvalid => (Exit::Alarm, "value-invalid", alerts),
        Trouble::Unproven => (Exit::Alarm, "answer-unproven", alerts),
        Trouble::Stale => (Exit::Temporary, "head-stale", later),
        Trouble::PolicyNotMet => (Exit::Temporary, "quorum-not-met", later),
        Trouble::Behind => (Exit::Temporary, "server-behind", later),
        Trouble::Offline => (
            Exit::Temporary,
            "unreachable",
            "check the network and `server` in client.toml, then try again",
        ),
        Trouble::OutcomeUnknown => (
            Exit::Temporary,
            "outcome-unknown",
            "`candor device self-check` tells whether it did",
        ),
        Trouble::Incompatible => (
            Exit::Local,
            "client-too-old",
            "use matching versions of command and server",
        ),
        Trouble::Ended { .. } => (
            Exit::Alarm,
            "log-ended",
            "keys can no longer be replaced there; get the successor's policy from its operator",
        ),
        Trouble::ClockWrong => (Exit::Local, "clock-wrong", "set this machine's clock"),
        Trouble::Refused { code, is_retryable } => {
            let (exit, help) = match is_retryable {
                true => (Exit::Temporary, "not now: try again later"),
                false => (Exit::Refused, "nothing of the update was kept"),
            };
            return Failure::new(exit, code, sentence(trouble), help);
        }
        Trouble::NeedsSync => (Exit::Temporary, "needs-sync", "run `candor device sync`"),
        Trouble::Fault(code) => (Exit::Local, *code, "check client.toml and this machine"),
    };
    Failure::new(exit, code, sentence(trouble), help)
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Store(error) => Self::from(error),
            DeviceError::NotSaved => {
                Self::usage(error, "`candor device contact add LABEL` saves a contact")
            }
            DeviceError::NoKey => Self::new(
                Exit::Local,
                "no-account-key",
                error,
                "get it from another of your phones: `candor device add`, then `join`",
            ),
            DeviceError::Seal(_) => Self::new(
                Exit::Alarm,
                "shared-state",
                error,
                "another phone of the account replaced the account key, or somebody changed what \
                 your phones share",
            ),
            DeviceError::Full => Self::new(Exit::Local, "full", error, "remove contacts first"),
            _ => Self::new(
                Exit::Local,
                "internal",
                error,
                "this is a bug: please report it",
            ),
        }
    }
}
