//! `candor-server show-config`.

use std::path::PathBuf;

use candor_host::settings::{Environment, Shown};
use candor_server::config::{Config, PROGRAM};
use clap::Args;

use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The configuration file that `init` wrote.
    #[arg(long, env = "CANDOR_SERVER_CONFIG")]
    config: PathBuf,
    /// Print one JSON object instead of TOML.
    #[arg(long)]
    json: bool,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let environment = Environment::of_process();
    let settings = Config::settings(&arguments.config, &environment).map_err(told)?;
    let shown = settings.shown(&PROGRAM);
    match arguments.json {
        true => print!("{}", Shown::to_json(&shown)),
        false => print!("{}", Shown::to_toml(&shown)),
    }
    Ok(())
}
