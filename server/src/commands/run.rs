//! `candor-server run`.

use std::path::PathBuf;

use candor_host::{logging, shutdown};
use candor_server::config::Config;
use candor_server::run;
use clap::Args;

use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The configuration file that `init` wrote.
    #[arg(long, env = "CANDOR_SERVER_CONFIG")]
    config: PathBuf,
    /// Log in JSON, one object a line.
    #[arg(long)]
    log_json: bool,
}

pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let format = if arguments.log_json {
        logging::Format::Json
    } else {
        logging::Format::Human
    };
    let runtime = tokio::runtime::Runtime::new().map_err(told)?;
    let _entered = runtime.enter();
    let _traces = logging::init("candor-server", format).map_err(told)?;
    let config = Config::read(&arguments.config).map_err(told)?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signal().map_err(told)?;
        run::run(config, shutdown).await.map_err(told)
    })
}
