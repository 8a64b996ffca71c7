//! `candor-server succeed`.

use std::path::PathBuf;

use candor_server::config::Config;
use candor_server::succession;
use clap::Args;

use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The configuration file of the log that ends.
    #[arg(long, env = "CANDOR_SERVER_CONFIG")]
    config: PathBuf,
    /// The configuration file of the log that it goes on as: a new one, by `init`.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let config = Config::read(&arguments.config).map_err(told)?;
    let to = Config::read(&arguments.to).map_err(told)?;
    let successor = succession::end(&config, &to).map_err(told)?;
    println!("The log {} has ended.", config.origin);
    println!("It goes on as {}.\n", successor.origin());
    println!("Start its server: it publishes the last record, and serves nothing else any more.");
    Ok(())
}
