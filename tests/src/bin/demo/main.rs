//! The demo: a log with three witnesses, real people, a device, an auditor, and three attacks.
//!
//! Everything runs as it would in service: separate processes, real sockets, the same programs. It
//! ends with a table of what was shown and exit status 0, or says what went wrong.

mod attacks;
mod stage;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;

use candor_system::Result;
use candor_system::system::System;

use stage::Stage;

/// How many witnesses the demo has; two of three are a quorum.
const WITNESSES: usize = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let mut stage = Stage::new();
    let outcome = play(&mut stage).await;
    stage.summary();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("\ndemo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn play(stage: &mut Stage) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("candor-demo-").tempdir()?;
    let mut system = start(stage, folder.path().to_owned()).await?;
    let people = steps::import(stage, &system)?;
    steps::look_everyone_up(stage, &system, people).await?;
    let early = attacks::keep_an_old_copy(&mut system).await?;
    let label = steps::rotate_a_key(stage, &system).await?;
    steps::prove_offline(stage, &system, &label)?;
    steps::audit(stage, &system)?;
    attacks::forge_a_value(stage, &system, &label).await?;
    attacks::split_the_view(stage, &system, &label).await?;
    attacks::roll_back(stage, &mut system, &early, &label).await
}

async fn start(stage: &mut Stage, folder: PathBuf) -> Result<System> {
    stage.begin("Start a log and three witnesses on loopback");
    let mut system = System::create(&folder, WITNESSES)?;
    system.start().await?;
    let head = system.device()?.head().await?;
    stage.done(&format!(
        "{} records, two of three witnesses are a quorum",
        head.size
    ));
    Ok(system)
}
