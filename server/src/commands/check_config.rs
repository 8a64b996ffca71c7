//! `candor-server check-config`.

use std::path::PathBuf;

use candor_server::config::Config;
use candor_server::run;
use clap::Args;

use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The configuration file that `init` wrote.
    #[arg(long, env = "CANDOR_SERVER_CONFIG")]
    config: PathBuf,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let config = Config::read(&arguments.config).map_err(told)?;
    print!("{}", run::preflight(&config).told()?);
    Ok(())
}
