//! `candor-server rewrite`.

use std::path::PathBuf;

use candor_server::anchor;
use candor_server::config::Config;
use candor_server::storage::{self, StoreOptions};
use clap::Args;

use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The configuration file of the log.
    #[arg(long, env = "CANDOR_SERVER_CONFIG")]
    config: PathBuf,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let config = Config::read(&arguments.config).map_err(told)?;
    let _log_at_rest = anchor::lock(&config.anchor).map_err(told)?;
    let options = StoreOptions {
        path: config.store.clone(),
        cache_bytes: config.cache_mib << 20,
        reserve_bytes: config.disk_reserve_mib << 20,
    };
    let rows = storage::rewrite(config.engine, &options).map_err(told)?;
    println!("{rows} rows written anew; no file of the store holds anything else.");
    println!("Backups, snapshots of the disk and the disk itself may.");
    Ok(())
}
