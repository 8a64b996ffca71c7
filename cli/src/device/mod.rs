//! `candor device`: a phone at the terminal.

// Until the commands that show something are here.
#[allow(dead_code)]
pub mod show;
#[allow(dead_code)]
mod trouble;

use crate::failure::Failure;
use crate::output::Exit;
use crate::scenario;

#[derive(clap::Subcommand)]
pub enum Command {
    Scenario(scenario::Arguments),
}

pub async fn run(command: Command, json: bool) -> Result<Exit, Failure> {
    match command {
        Command::Scenario(arguments) => scenario::run(arguments, json).await,
    }
}
