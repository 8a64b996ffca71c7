//! `candor-server health`.

use std::path::PathBuf;

use candor_host::probe;
use candor_server::config::Config;
use clap::Args;

use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The configuration file of the server that is asked.
    #[arg(long, env = "CANDOR_SERVER_CONFIG")]
    config: PathBuf,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let config = Config::read(&arguments.config).map_err(told)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(told)?;
    let answer = runtime.block_on(probe::ready(config.http_listen, config.tls.is_some()));
    println!("{}", answer.map_err(told)?);
    Ok(())
}
