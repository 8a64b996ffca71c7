//! What `candor-server` does at a terminal: a file for each command.

mod backup;
mod check_config;
mod encrypt_key;
mod erase;
mod export;
mod findings;
mod fsck;
mod health;
mod init;
mod restore;
mod rewrite;
mod rotate;
mod run;
mod show_config;
mod succeed;
mod token;
mod verify_backup;

use candor_host::logging;
use clap::Subcommand;

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Makes a new log: keys, a commented configuration, an empty store. Overwrites nothing.
    Init(init::Arguments),
    /// Encrypts a plain key file: writes the key beside it, with `.enc` behind its name.
    EncryptKey(encrypt_key::Arguments),
    /// Makes a bearer token, and prints it.
    Token(token::Arguments),
    /// Changes the keys that sign checkpoints, in steps that nobody notices.
    Rotate(rotate::Arguments),
    /// Ends a log for good, in favour of another one. Both servers must be stopped.
    Succeed(succeed::Arguments),
    /// Erases what an account's older versions held, at the running server of a configuration.
    Erase(erase::Arguments),
    /// Writes the store anew, so that its files hold nothing that was erased. The server must be
    /// stopped.
    Rewrite(rewrite::Arguments),
    /// Serves a log until SIGINT or SIGTERM.
    Run(run::Arguments),
    /// Checks file and environment as `run` does, without keys, locks or network.
    CheckConfig(check_config::Arguments),
    /// Prints the effective configuration, and where each value came from.
    ShowConfig(show_config::Arguments),
    /// Asks the running server whether it is ready, as `/readyz` does: for health checks.
    Health(health::Arguments),
    /// Checks a whole store: recomputes everything from its rows, and names what is wrong.
    Fsck(fsck::Arguments),
    /// Makes a backup of the log, while its server runs or not. Overwrites nothing.
    Backup(backup::Arguments),
    /// Verifies a backup without restoring it.
    VerifyBackup(verify_backup::Arguments),
    /// Writes out the accounts of a backup, for another log: `candor import accounts` takes them.
    Export(export::Arguments),
    /// Restores a lost store from a backup, if nothing was signed since. Overwrites nothing.
    Restore(restore::Arguments),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    ///
    /// One line that says what an operator can do.
    pub fn perform(self) -> Result<(), String> {
        match self {
            Self::Init(arguments) => init::perform(&arguments),
            Self::EncryptKey(arguments) => encrypt_key::perform(&arguments),
            Self::Token(arguments) => token::perform(&arguments),
            Self::Rotate(arguments) => rotate::perform(arguments),
            Self::Succeed(arguments) => succeed::perform(&arguments),
            Self::Erase(arguments) => erase::perform(&arguments),
            Self::Rewrite(arguments) => rewrite::perform(&arguments),
            Self::Run(arguments) => run::perform(&arguments),
            Self::CheckConfig(arguments) => check_config::perform(&arguments),
            Self::ShowConfig(arguments) => show_config::perform(&arguments),
            Self::Health(arguments) => health::perform(&arguments),
            Self::Fsck(arguments) => fsck::perform(&arguments),
            Self::Backup(arguments) => backup::perform(&arguments),
            Self::VerifyBackup(arguments) => verify_backup::perform(&arguments),
            Self::Export(arguments) => export::perform(&arguments),
            Self::Restore(arguments) => restore::perform(&arguments),
        }
    }
}

/// Waits for something that needs the network.
fn block_on<T>(done: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(told)?;
    Ok(runtime.block_on(done))
}

/// An error and its causes on one line.
fn told(error: impl std::error::Error) -> String {
    logging::with_sources(&error)
}
