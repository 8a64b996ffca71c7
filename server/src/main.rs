//! `candor-server`: a key transparency log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use candor_host::keys::{self, KeyTable, SecretSource};
use candor_host::{logging, shutdown};
use candor_server::config::Config;
use candor_server::storage::Engine;
use candor_server::{init, run};
use clap::{Parser, Subcommand};

/// Epochs and lookups are made of many small allocations, on all cores.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A key transparency log: maps accounts to their device keys in a verifiable map, and publishes
/// signed heads that witnesses cosign.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 stopped or refused, the message says why; \
                          2 wrong arguments.";

#[derive(Subcommand)]
enum Command {
    /// Makes a new log: keys, a commented configuration, an empty store. Overwrites nothing.
    Init {
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
    },
    /// Encrypts a plain key file: writes the key beside it, with `.enc` behind its name.
    EncryptKey {
        /// The plain key file. It stays; remove it when the encrypted one is in use.
        file: PathBuf,
        /// Where the new passphrase is read from: prompt, file:PATH, credential:NAME or fd:N.
        #[arg(long, value_name = "SOURCE", default_value = "prompt")]
        passphrase: SecretSource,
    },
    /// Serves a log until SIGINT or SIGTERM.
    Run {
        /// The configuration file that `init` wrote.
        #[arg(long, env = "CANDOR_SERVER_CONFIG")]
        config: PathBuf,
        /// Log in JSON, one object a line.
        #[arg(long)]
        log_json: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Init {
            directory,
            origin,
            grpc_listen,
            http_listen,
            engine,
            passphrase,
            key,
        } => KeyTable::plan(
            &key,
            passphrase.as_ref(),
            Path::new(init::KEY_DIRECTORY),
            &init::KEY_SLOTS,
        )
        .map_err(|error| logging::with_sources(&error))
        .and_then(|keys| make(&directory, &origin, grpc_listen, http_listen, engine, &keys)),
        Command::EncryptKey { file, passphrase } => encrypt(&file, &passphrase),
        Command::Run { config, log_json } => serve(&config, log_json),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("candor-server: {message}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)]
fn encrypt(file: &Path, passphrase: &SecretSource) -> Result<(), String> {
    let path = keys::encrypt_file(file, passphrase);
    println!(
        "{}",
        path.map_err(|error| logging::with_sources(&error))?
            .display()
    );
    Ok(())
}

#[allow(clippy::print_stdout)]
fn make(
    directory: &Path,
    origin: &str,
    grpc_listen: SocketAddr,
    http_listen: SocketAddr,
    engine: Engine,
    keys: &KeyTable,
) -> Result<(), String> {
    let (config, vkeys) = init::init(directory, origin, grpc_listen, http_listen, engine, keys)
        .map_err(|error| logging::with_sources(&error))?;
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

fn serve(config: &Path, log_json: bool) -> Result<(), String> {
    let format = if log_json {
        logging::Format::Json
    } else {
        logging::Format::Human
    };
    logging::init(format).map_err(|error| logging::with_sources(&error))?;
    let config = Config::read(config).map_err(|error| logging::with_sources(&error))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| logging::with_sources(&error))?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signal().map_err(|error| logging::with_sources(&error))?;
        run::run(config, shutdown)
            .await
            .map_err(|error| logging::with_sources(&error))
    })
}
