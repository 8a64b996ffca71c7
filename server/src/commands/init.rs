//! `candor-server init`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use candor_host::keys::{KeyTable, SecretSource};
use candor_server::init;
use candor_server::storage::Engine;
use clap::Args;

use super::told;

#[derive(Args)]
pub struct Arguments {
    /// Directory of the log; made if it does not exist.
    directory: PathBuf,
    /// The log's name, for ever: a URL without scheme, such as kt.example.org/2026.
    #[arg(long)]
    origin: String,
    /// Where gRPC will be served.
    #[arg(long, default_value = "127.0.0.1:8430")]
    grpc_listen: SocketAddr,
    /// Where tiles, health and metrics will be served.
    #[arg(long, default_value = "127.0.0.1:8431")]
    http_listen: SocketAddr,
    /// What keeps the store. It cannot be changed later.
    #[arg(long, value_enum, default_value = "fjall")]
    engine: Engine,
    /// Encrypts the key files. Where the passphrase is read from, now and by `run`: prompt,
    /// file:PATH, credential:NAME or fd:N.
    #[arg(long, value_name = "SOURCE")]
    passphrase: Option<SecretSource>,
    /// A key that is not a file of its own in `keys`, as its line in the table [key] of the
    /// configuration: 'log-ed25519 = { kind = "ssh-agent", public_key = "ssh-ed25519 ..." }'.
    #[arg(long, value_name = "LINE")]
    key: Vec<String>,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let Arguments {
        directory,
        origin,
        grpc_listen,
        http_listen,
        engine,
        passphrase,
        key,
    } = arguments;
    let keys = KeyTable::plan(
        key,
        passphrase.as_ref(),
        Path::new(init::KEY_DIRECTORY),
        &init::KEY_SLOTS,
    )
    .map_err(told)?;
    let (config, vkeys) = init::init(
        directory,
        origin,
        *grpc_listen,
        *http_listen,
        *engine,
        &keys,
    )
    .map_err(told)?;
    println!("Made the log {origin} in {}.\n", directory.display());
    println!("Its keys, for witnesses and devices:");
    for key in vkeys {
        println!("  {key}");
    }
    println!("\nNext:");
    println!(
        "  1. Add witnesses to {}.",
        directory.join("policy.txt").display()
    );
    println!("  2. candor-server run --config {}", config.display());
    Ok(())
}
