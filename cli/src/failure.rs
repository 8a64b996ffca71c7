//! Why a command failed, in two lines: what happened, and what to do.

use std::fmt;

use candor_core::account::StateError;
use candor_core::answer::TrustError;
use candor_host::durable::{ReadError, WriteError};
use candor_host::key_file::KeyFileError;
use candor_sdk::{Error, Fault, StoreError};

use crate::output::{ALARM, Exit, GOOD, paint};

/// A failed command, as it is told to the person.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    code: String,
    message: String,
    help: String,
}

impl Failure {
    /// A failure of this command's own; those of the SDK convert.
    pub fn new(exit: Exit, code: &str, message: impl fmt::Display, help: &str) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.to_string(),
            help: help.to_owned(),
        }
    }

    /// The operating system failed.
    pub fn system(error: std::io::Error) -> Self {
        Self::new(
            Exit::Local,
            "system",
            error,
            "check this machine, then try again",
        )
    }

    /// The arguments are well formed, but make no sense here.
    pub fn usage(message: impl fmt::Display, help: &str) -> Self {
        Self::new(Exit::Usage, "usage", message, help)
    }

    /// A file of the profile is missing or wrong.
    pub fn profile(message: impl fmt::Display, help: &str) -> Self {
        Self::new(Exit::Local, "profile-invalid", message, help)
    }

    /// How the command ends.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Tells the person, on stderr.
    pub fn print(&self) {
        let Self {
            code,
            message,
            help,
            ..
        } = self;
        let word = paint(ALARM.bold(), format_args!("error[{code}]"));
        anstream::eprintln!("{word}: {message}\n{}: {help}", paint(GOOD, "help"));
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (exit, help) = advice(&error);
        Self::new(exit, error.code(), &error, help)
    }
}

/// How a command ends that failed so, and what the person can do.
fn advice(error: &Error) -> (Exit, &'static str) {
    match error {
        Error::Refused {
            retryable: true, ..
        } => (Exit::Temporary, "the server is busy: try again later"),
        Error::Refused { code, .. } => (Exit::Refused, refusal_advice(code)),
        Error::Unauthorized => (
            Exit::Refused,
            "give `candor init` the server's --registrar-token, or correct it in client.toml",
        ),
        Error::Rejected { .. } => (Exit::Refused, "use matching versions of command and server"),
        Error::ProofFile(_) => (
            Exit::Alarm,
            "ask for the file again; do not rely on this one",
        ),
        Error::Store(error) => (Exit::Local, store_advice(error)),
        _ => fault_advice(error.fault()),
    }
}

fn fault_advice(fault: Fault<'_>) -> (Exit, &'static str) {
    match fault {
        Fault::ServerLied { .. } => (
            Exit::Alarm,
            "ALARM: the log contradicts itself; do not rely on it, and tell its operator and \
             witnesses",
        ),
        Fault::ServerUnproven => (
            Exit::Alarm,
            "the answer does not verify and was not believed; if trying again does not help, do \
             not rely on this server",
        ),
        Fault::ServerBehind => (Exit::Temporary, "the server is behind: try again later"),
        Fault::ServerIncompatible => (
            Exit::Local,
            "check that policy and server in client.toml are of one log, or update this command",
        ),
        Fault::Environment { retryable: true } => (
            Exit::Temporary,
            "check the network and `server` in client.toml, then try again",
        ),
        Fault::Environment { .. } => (Exit::Local, "check this machine's clock and disk"),
        Fault::Caller => (Exit::Local, "check client.toml"),
        _ => (Exit::Local, "this is a bug: please report it"),
    }
}

fn refusal_advice(code: &str) -> &'static str {
    match code {
        "version-conflict" => {
            "another version is there already: see `candor lookup`, then use `candor update`"
        }
        "succession-refused" => "the rules of the account forbid this step: see `candor history`",
        _ => "the code says why; nothing of the update was kept",
    }
}

const fn store_advice(error: &StoreError) -> &'static str {
    match error {
        StoreError::Locked => "another command uses this profile: wait until it is done",
        StoreError::Damaged { .. } => {
            "restore device.store, or begin anew with `candor init` in another directory"
        }
        _ => "check that the profile is whole and can be written",
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let cause = match &error {
            StoreError::Failed(cause) => format!("{error}: {cause}"),
            _ => error.to_string(),
        };
        let code = Error::from(error);
        let (exit, help) = advice(&code);
        Self::new(exit, code.code(), cause, help)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let help = "check the path, and that you may read the file";
        Self::new(Exit::Local, "file-unreadable", with_cause(&error), help)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let help = "files are never overwritten: choose another path, or check the disk";
        Self::new(Exit::Local, "file-unwritable", with_cause(&error), help)
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        let help = "restore the account's key file in the profile";
        Self::new(Exit::Local, "account-key", with_cause(&error), help)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::usage(
            error,
            "an account has at most 64 devices, each with 1 to 16 keys",
        )
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        let help = match error {
            TrustError::QuorumWithoutMapWitness => {
                "name witnesses that check the map with --map-witness (map_witnesses in \
                 client.toml), or accept the danger with --danger-without-map-witnesses"
            }
            TrustError::UnknownMapWitness => "use the names of the policy's witness lines",
            _ => "get the policy of one log from its operator",
        };
        Self::profile(error, help)
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_follows_the_fault() {
        let refused = |code: &str, retryable| Error::Refused {
            code: code.to_owned(),
            greatest_version: None,
            retryable,
        };
        let changed = Error::ContentChanged { version: 1 };
        for (error, exit) in [
            (changed, Exit::Alarm),
            (
                Error::AccountCount {
                    expected: 1,
                    actual: 2,
                },
                Exit::Alarm,
            ),
            (Error::NotVisible { version: 0 }, Exit::Temporary),
            (Error::Timeout, Exit::Temporary),
            (Error::Overloaded, Exit::Temporary),
            (Error::Unauthorized, Exit::Refused),
            (refused("version-conflict", false), Exit::Refused),
            (refused("overloaded", true), Exit::Temporary),
            (Error::Store(StoreError::Locked), Exit::Local),
            (Error::BindingChain, Exit::Local),
            (Error::Internal, Exit::Local),
        ] {
            assert_eq!(advice(&error).0, exit, "{error}");
        }
    }
}
