//! The commands. Each takes its arguments and a profile, and returns its report.

pub mod audit;
pub mod evidence;
pub mod head;
pub mod history;
pub mod import;
pub mod init;
pub mod load;
pub mod lookup;
pub mod monitor;
pub mod proof;
pub mod register;
pub mod update;

use crate::arguments::{Arguments, Command};
use crate::device;
use crate::failure::Failure;
use crate::output::{Exit, show};
use crate::profile::Profile;

/// Runs the command that the person typed.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments {
        profile,
        json,
        command,
    } = arguments;
    let open = || Profile::open(profile);
    match command {
        Command::Init(arguments) => show(&init::run(arguments)?, json),
        Command::Register(arguments) => show(&register::run(arguments, &open()?).await?, json),
        Command::Update(arguments) => show(&update::run(arguments, &open()?).await?, json),
        Command::Lookup(arguments) => show(&lookup::run(arguments, &open()?).await?, json),
        Command::History(arguments) => show(&history::run(arguments, &open()?).await?, json),
        Command::Monitor(arguments) => show(&monitor::run(arguments, &open()?).await?, json),
        Command::Proof(proof::Command::Save(arguments)) => {
            proof::save(arguments, &open()?, json).await
        }
        Command::Proof(proof::Command::Verify(arguments)) => {
            show(&proof::verify(arguments, &open()?).await?, json)
        }
        Command::Head => show(&head::run(&open()?).await?, json),
        Command::Evidence(evidence::Command::Verify(arguments)) => {
            show(&evidence::verify(arguments)?, json)
        }
        Command::Device(command) => device::run(command, open, json).await,
        Command::Audit(arguments) => show(&audit::run(arguments, &open()?).await?, json),
        Command::Load(arguments) => show(&load::run(arguments, &open()?).await?, json),
        Command::Import(import::Command::Openpgp(arguments)) => {
            show(&import::run(arguments, &open()?).await?, json)
        }
        Command::Import(import::Command::Accounts(arguments)) => {
            show(&import::accounts::run(arguments, &open()?).await?, json)
        }
    }
}
