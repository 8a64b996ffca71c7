//! `candor`: the device's library at a terminal.
//!
//! Every command opens a profile, asks through `candor-sdk`, and returns a report; only then is
//! anything printed, once: what was asked for on stdout, for people or as JSON, and all else on
//! stderr. So a failed command leaves stdout empty, and no half an answer is taken for a whole one.

mod arguments;
mod commands;
mod device;
mod failure;
mod output;
mod profile;
mod scenario;
mod time;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;
use crate::output::Exit;

/// How long a write of the profile may still take once the person pressed Ctrl-C.
const LAST_WRITE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Printing only fails if nobody reads any more.
            let _ = error.print();
            return match error.use_stderr() {
                true => Exit::Usage.into(),
                false => Exit::Done.into(),
            };
        }
    };
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}

fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::system)?;
    let ends_itself = matches!(arguments.command, Command::Load(_));
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = commands::run(arguments) => outcome,
            signal = tokio::signal::ctrl_c(), if !ends_itself => signal
                .map(|()| Exit::Interrupted)
                .map_err(Failure::system),
        }
    });
    runtime.shutdown_timeout(LAST_WRITE);
    outcome
}
