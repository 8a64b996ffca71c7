//! `candor-server erase`.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use candor_core::account::Label;
use candor_proto::v1::{EraseRequest, EraseResponse};
use candor_server::config::Config;
use candor_server::control::Client;
use clap::Args;

use super::told;

/// What has to be typed.
const CONFIRMATION: &str = "erase";

#[derive(Args)]
#[command(group = clap::ArgGroup::new("scope").required(true))]
pub struct Arguments {
    /// The configuration file of the server.
    #[arg(long, env = "CANDOR_SERVER_CONFIG")]
    config: PathBuf,
    /// The account's label in its normal form.
    #[arg(long)]
    label: String,
    /// Erase every version before this one.
    #[arg(long, value_name = "VERSION", group = "scope")]
    before_version: Option<u32>,
    /// Erase everything: every version before the newest, which must be a state without account
    /// key and devices.
    #[arg(long, group = "scope")]
    all: bool,
    /// Do not ask first.
    #[arg(long)]
    yes: bool,
}

pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let label = Label::parse(&arguments.label).map_err(told)?;
    let config = Config::read(&arguments.config).map_err(told)?;
    let before = arguments.before_version.filter(|_| !arguments.all);
    if !arguments.yes {
        confirm(before)?;
    }
    let runtime = tokio::runtime::Runtime::new().map_err(told)?;
    runtime.block_on(erase(&config, &label, before))
}

#[allow(clippy::print_stdout)]
fn confirm(before: Option<u32>) -> Result<(), String> {
    match before {
        Some(version) => println!("Openings and values of all versions before {version} go."),
        None => println!("Openings and values of all versions before the newest go."),
    }
    print!("There is no way back. Type \"{CONFIRMATION}\" to go on: ");
    io::stdout().flush().map_err(told)?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed).map_err(told)?;
    match typed.trim() {
        CONFIRMATION => Ok(()),
        _ => Err("nothing was erased".to_owned()),
    }
}

async fn erase(config: &Config, label: &Label, before: Option<u32>) -> Result<(), String> {
    let client = Client::connect(config).await.map_err(told)?;
    let Some(mut client) = client else {
        return Err("no server of this configuration runs: start it, and erase again".to_owned());
    };
    let mut erased = 0;
    loop {
        let request = EraseRequest {
            label: label.as_str().to_owned(),
            before_version: before,
        };
        let answer = client.admin.erase(request).await;
        let done = answer.map_err(|status| status.message().to_owned())?;
        let done = done.into_inner();
        erased += u64::from(done.erased);
        if !done.partial {
            tell(erased, &done);
            return Ok(());
        }
    }
}

#[allow(clippy::print_stdout)]
fn tell(erased: u64, done: &EraseResponse) {
    let (kept, newest) = (done.kept_from, done.newest_version);
    println!("{erased} versions erased; no answer opens a version before {kept} any more.");
    println!("Left: the label, that there are versions 0 to {newest}, their search keys,");
    println!("commitments and epochs, and what versions from {kept} on hold.");
    println!("The store's files hold the erased bytes until `candor-server rewrite`, backups");
    println!("until they are deleted.");
}
