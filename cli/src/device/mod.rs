//! `candor device`: a phone at the terminal.

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
