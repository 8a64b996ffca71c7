//! `candor-server verify-backup`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use candor_server::backup;
use candor_server::config::Config;
use clap::Args;

use super::findings::{self, Meter};
use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The directory of the backup.
    directory: PathBuf,
    /// Compare it with the anchor of this configuration too.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Verify the VRF proofs of one row in so many: they take most of the time.
    #[arg(long, value_name = "N", default_value = "1")]
    vrf_sample: NonZeroU64,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let config = arguments.config.as_deref().map(Config::read);
    let config = config.transpose().map_err(told)?;
    let mut meter = Meter::new();
    let verified = backup::verify(
        &arguments.directory,
        arguments.vrf_sample,
        &mut |progress| {
            meter.tell(progress);
        },
    );
    drop(meter);
    let verified = verified.map_err(told)?;
    let manifest = &verified.manifest;
    println!(
        "{}: {} records at {} s since 1970, by version {}, engine {}.",
        manifest.origin,
        manifest.size,
        manifest.made_s,
        manifest.program,
        manifest.engine.name(),
    );
    findings::print(&verified.report);
    for mismatch in &verified.mismatches {
        println!("{mismatch}");
    }
    if let Some(config) = config {
        let anchored = findings::anchor_of(&config, &verified.ledger)?;
        println!("{anchored}");
        if anchored.is_wrong() {
            return Err("the backup is not of what was signed".into());
        }
    }
    match verified.is_clean() {
        true => Ok(()),
        false => {
            let count = verified.report.count + verified.mismatches.len() as u64;
            Err(format!("the backup is damaged: {count} findings"))
        }
    }
}
