//! `candor-server restore`.

use std::path::PathBuf;

use candor_server::backup::{self, Anchored, RestoreError, WitnessAnswer};
use candor_server::config::Config;
use clap::Args;

use super::findings::{self, Meter};
use super::{block_on, told};

#[derive(Args)]
pub struct Arguments {
    /// The configuration of the log, whose store is lost.
    #[arg(long, env = "CANDOR_SERVER_CONFIG")]
    config: PathBuf,
    /// The directory of the backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The anchor is lost too, for good. Then a quorum of witnesses must hold a head that the
    /// backup reaches. What was signed and reached none of them is not noticed.
    #[arg(long)]
    the_anchor_is_lost: bool,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let config = Config::read(&arguments.config).map_err(told)?;
    let anchored = match arguments.the_anchor_is_lost {
        true => Anchored::Lost,
        false => Anchored::Present,
    };
    let store = config.store.clone();
    let mut meter = Meter::new();
    let restoring = backup::restore(config, arguments.from.clone(), anchored, move |progress| {
        meter.tell(progress);
    });
    match block_on(restoring)? {
        Ok(restored) => {
            print_witnesses(&restored.witnesses);
            let (size, signed) = (restored.manifest.size, restored.anchored);
            println!("{}: {size} records, {signed} were signed.", store.display());
            Ok(())
        }
        Err(error) => {
            match &error {
                RestoreError::NoQuorum { witnesses } => print_witnesses(witnesses),
                RestoreError::Damaged { report, mismatches } => {
                    findings::print(report);
                    for mismatch in mismatches {
                        println!("{mismatch}");
                    }
                }
                _ => {}
            }
            Err(told(error))
        }
    }
}

#[allow(clippy::print_stdout)]
fn print_witnesses(witnesses: &[WitnessAnswer]) {
    for witness in witnesses {
        let url = &witness.url;
        match &witness.size {
            Ok(Some(size)) => println!("{url} holds {size} records."),
            Ok(None) => println!("{url} holds nothing of this log."),
            Err(failure) => println!("{url} could not be asked: {failure}."),
        }
    }
}
