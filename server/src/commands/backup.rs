//! `candor-server backup`.

use std::path::PathBuf;

use candor_server::backup;
use candor_server::config::Config;
use candor_server::storage::Engine;
use clap::Args;

use super::findings::Meter;
use super::{block_on, told};

#[derive(Args)]
pub struct Arguments {
    /// The configuration of the log. If its server runs, it goes on meanwhile.
    #[arg(long, env = "CANDOR_SERVER_CONFIG")]
    config: PathBuf,
    /// The directory of the backup; it must not exist.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// What keeps the store of the backup. It may be another engine than the log's.
    #[arg(long, value_enum, default_value = "fjall")]
    engine: Engine,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let Arguments { config, to, engine } = arguments;
    let config = Config::read(config).map_err(told)?;
    let mut meter = Meter::new();
    let taking = backup::take(config, to.clone(), *engine, move |progress| {
        meter.tell(progress);
    });
    let made = block_on(taking)?.map_err(told)?;
    println!(
        "{}: {} records, {} rows.",
        to.display(),
        made.size,
        made.rows
    );
    println!("Root {}.", made.root);
    println!(
        "Not in it: secret keys, configuration, the anchor. Keep keys apart from it; never restore \
         an anchor."
    );
    Ok(())
}
