//! The program `candor-witness`.

mod configuration;

use std::error::Error;
use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use candor_core::note::{ListedLog, VerifierKey};
use candor_host::keys::{self, KeyTable, SecretSource};
use candor_host::logging::{self, Format};
use candor_host::{probe, shutdown};
use candor_witness::added;
use candor_witness::bastion::Identity;
use candor_witness::config::{Config, LOG_KEYS_MAX, LogFormat};
use candor_witness::cosigner::{Cosigner, KEY_SLOTS};

use candor_witness::gossip::GossipKey;
use candor_witness::gossip::identity::KeyText;
use candor_witness::init;
use candor_witness::server::{Server, ServerError};
use candor_witness::store::{self, AnchorKept};
use candor_witness::suspicion;
use clap::{Parser, Subcommand};

/// Checks that transparency logs only grow, and cosigns what it checked.
///
/// Logs ask it over HTTP (c2sp.org/tlog-witness) or gRPC (candor.v1.Witness). For logs of Candor it
/// also checks every change of the map of accounts, and says so under a second name.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0  done, or stopped by SIGINT or SIGTERM
  1  failed; standard error says why
  2  wrong usage
  3  the state could not be written: start again, and look at the disk";

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a new witness: keys, empty state and a commented configuration.
    Init {
        /// The directory to make; it must not exist.
        directory: PathBuf,
        /// The witness's name: a URL without scheme that its operator controls.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// A key of a log to witness; give all keys of a log.
        #[arg(long, value_name = "VKEY")]
        log: Vec<VerifierKey>,
        /// Where logs will reach the witness, for the policy lines [default: https://NAME].
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        #[command(flatten)]
        keys: NewKeys,
    },
    /// Runs the witness until SIGINT or SIGTERM.
    Run {
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Checks file and environment as `run` does, without keys, locks or network.
    CheckConfig {
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Prints the effective configuration, and where each value came from.
    ShowConfig {
        #[command(flatten)]
        config: ConfigArgument,
        /// Print one JSON object instead of TOML.
        #[arg(long)]
        json: bool,
    },
    /// Asks the running witness whether it is ready, as `/readyz` does: for health checks.
    Health {
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Prints the witness's public keys, one a line: Ed25519 and ML-DSA-44 of the log witness, then
    /// of the map witness.
    Vkeys {
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Prints the hash by which bastions know this witness, and makes its key if there is none.
    ///
    /// Whoever runs the bastion lets the hash in. Logs then reach the witness at
    /// https://BASTION/HASH.
    BastionKey {
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Prints the key by which peers know this witness, and makes it if there is none.
    ///
    /// Peers put it into the `[[peer]]` section for this witness, and the other way round.
    GossipKey {
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Encrypts a plain key file: writes the key beside it, with `.enc` behind its name.
    EncryptKey {
        /// The plain key file. It stays; remove it when the encrypted one is in use.
        file: PathBuf,
        /// Where the new passphrase is read from: prompt, file:PATH, credential:NAME or fd:N.
        #[arg(long, value_name = "SOURCE", default_value = "prompt")]
        passphrase: SecretSource,
    },
    /// Adds a log, to a running witness too: it takes it over within seconds.
    ///
    /// The log is witnessed as any C2SP log; one whose map is to be checked goes into the
    /// configuration. A log keeps the keys with which it was added: they, too, are changed in the
    /// configuration only, where a section of the same origin goes before.
    AddLog {
        #[command(flatten)]
        config: ConfigArgument,
        /// The keys that the log signs with, type 0x01 or 0x06.
        #[arg(required = true, value_name = "VKEY")]
        keys: Vec<VerifierKey>,
        /// The log's origin, if it is not the name of its keys.
        #[arg(long)]
        origin: Option<String>,
        /// How many requests it may make a day.
        #[arg(long, default_value_t = 86_400)]
        qpd: u32,
        /// How to reach people about the log.
        #[arg(long, default_value = "unknown")]
        contact: String,
    },
    /// Removes the alarms of a log, so that it is cosigned again. The witness must be stopped.
    ///
    /// What the witness remembers of the log stays, and so do the files of evidence; what they say
    /// stops the log no more, also when peers repeat it. Do this only when you know why the alarm
    /// was raised.
    ClearEvidence {
        #[command(flatten)]
        config: ConfigArgument,
        /// The log's origin.
        origin: String,
    },
    /// Ends the quarantine of a log without a proof. The witness must be stopped.
    ///
    /// A log is in quarantine when the witness may have signed more of it than it remembers. By
    /// default it ends when the log proves that it grew from the largest record; ending it here
    /// goes on from what the database holds. Ask the log, its monitors and other witnesses first:
    /// if a newer checkpoint with this witness's cosignature exists, make a new witness instead.
    EndQuarantine {
        #[command(flatten)]
        config: ConfigArgument,
        /// The log's origin.
        origin: String,
    },
    /// Marks the state as restored from a backup. The witness must be stopped.
    ///
    /// Run it after a database was restored, before the next start. Every log goes into quarantine.
    /// Only `end-quarantine` ends it, for each log, unless the anchor was kept.
    Restore {
        #[command(flatten)]
        config: ConfigArgument,
        /// The anchor was not restored: it is the file that this witness wrote last. Then each log
        /// can prove that it grew from there. Never say this of a copy.
        #[arg(long)]
        anchor_kept: bool,
    },
}

/// Where new keys are kept.
#[derive(Debug, clap::Args)]
struct NewKeys {
    /// Encrypts the key files. Where the passphrase is read from, now and by `run`: prompt,
    /// file:PATH, credential:NAME or fd:N.
    #[arg(long, value_name = "SOURCE")]
    passphrase: Option<SecretSource>,
    /// A key that is not a file of its own in `keys`, as its line in the table [key] of the
    /// configuration: 'log-ed25519 = { kind = "ssh-agent", public_key = "ssh-ed25519 ..." }'.
    #[arg(long, value_name = "LINE")]
    key: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// The configuration file.
    #[arg(long = "config", value_name = "FILE", env = "CANDOR_WITNESS_CONFIG")]
    path: PathBuf,
}

impl ConfigArgument {
    fn read(&self) -> Result<Config, Failure> {
        Ok(Config::read(&self.path)?)
    }
}

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match execute(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed; there is nobody left to tell then.
            let _ = writeln!(
                io::stderr(),
                "candor-witness: {}",
                logging::with_sources(&*failure)
            );
            match failure.downcast_ref() {
                Some(ServerError::StoreFailed(_)) => ExitCode::from(3),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Init {
            directory,
            name,
            log,
            url,
            keys,
        } => {
            let keys = KeyTable::plan(
                &keys.key,
                keys.passphrase.as_ref(),
                Path::new(init::KEY_DIRECTORY),
                &KEY_SLOTS,
            )?;
            let (path, cosigner) = init::init(&directory, &name, &log, &keys)?;
            let url = url.unwrap_or_else(|| format!("https://{name}"));
            let mut out = io::stdout();
            writeln!(out, "# Configuration: {}", path.display())?;
            writeln!(out, "# Public keys:")?;
            for key in cosigner.keys() {
                writeln!(out, "#   {key}")?;
            }
            writeln!(out, "# For the tlog-policy of logs and clients:")?;
            write!(out, "{}", init::policy_lines(&cosigner, &url))?;
            Ok(())
        }
        Command::Run { config } => run(config.read()?),
        Command::CheckConfig { config } => configuration::check(&config.path),
        Command::ShowConfig { config, json } => configuration::show(&config.path, json),
        Command::Health { config } => health(&config.read()?),
        Command::Vkeys { config } => {
            let config = config.read()?;
            for key in Cosigner::load(&config.keys, &config.name)?.keys() {
                writeln!(io::stdout(), "{key}")?;
            }
            Ok(())
        }
        Command::BastionKey { config } => {
            let identity = Identity::open(&config.read()?.key_directory)?;
            writeln!(io::stdout(), "{}", identity.hash())?;
            Ok(())
        }
        Command::GossipKey { config } => {
            let key = GossipKey::open(&config.read()?.key_directory)?;
            writeln!(io::stdout(), "{}", KeyText(key.public()))?;
            Ok(())
        }
        Command::EncryptKey { file, passphrase } => {
            let path = keys::encrypt_file(&file, &passphrase)?;
            writeln!(io::stdout(), "{}", path.display())?;
            Ok(())
        }
        Command::AddLog {
            config,
            keys,
            origin,
            qpd,
            contact,
        } => add_log(&config.read()?, &keys, origin.as_deref(), qpd, &contact),
        Command::ClearEvidence { config, origin } => clear_evidence(&config.read()?, &origin),
        Command::EndQuarantine { config, origin } => end_quarantine(&config.read()?, &origin),
        Command::Restore {
            config,
            anchor_kept,
        } => restore(&config.read()?, anchor_kept),
    }
}

#[tokio::main]
async fn run(config: Config) -> Result<(), Failure> {
    let format = match config.log_format {
        LogFormat::Human => Format::Human,
        LogFormat::Json => Format::Json,
    };
    let _traces = logging::init("candor-witness", format)?;
    let shutdown = shutdown::on_signal()?;
    let logs = config.logs.len();
    let server = Server::start(config).await?;
    let (http, grpc) = (server.http_address()?, server.grpc_address()?);
    tracing::info!(%http, %grpc, logs, "witnessing");
    Ok(server.serve(shutdown).await?)
}

#[tokio::main(flavor = "current_thread")]
async fn health(config: &Config) -> Result<(), Failure> {
    let answer = probe::ready(config.http, config.tls.is_some()).await?;
    writeln!(io::stdout(), "{answer}")?;
    Ok(())
}

fn add_log(
    config: &Config,
    keys: &[VerifierKey],
    origin: Option<&str>,
    qpd: u32,
    contact: &str,
) -> Result<(), Failure> {
    let name = keys.first().map(|key| key.name().as_str());
    let has_one_name = keys.iter().all(|key| Some(key.name().as_str()) == name);
    let origin = match (origin, name) {
        (Some(origin), _) => origin,
        (None, Some(name)) if has_one_name => name,
        (None, _) => return Err("the keys have different names; say which log it is".into()),
    };
    if keys.len() > LOG_KEYS_MAX {
        return Err(format!("a log has at most {LOG_KEYS_MAX} keys").into());
    }
    if is_known(config, origin)? {
        return Err(format!("{origin} is witnessed already; nothing was changed").into());
    }
    let listed = keys
        .iter()
        .map(|key| ListedLog::new(key.clone(), origin, qpd, contact));
    let listed: Option<Vec<ListedLog>> = listed.collect();
    let listed = listed.ok_or("that is no log: look at key types, origin, qpd and contact")?;
    if added::add(&config.paths.logs, listed)?.is_empty() {
        return Err(format!("{origin} was added meanwhile; nothing was changed").into());
    }
    Ok(())
}

/// Whether the log is configured, or was added.
fn is_known(config: &Config, origin: &str) -> Result<bool, Failure> {
    let added = added::read(&config.paths.logs)?;
    Ok(config.logs.contains_key(origin) || added.iter().any(|log| log.origin == origin))
}

fn clear_evidence(config: &Config, origin: &str) -> Result<(), Failure> {
    if !is_known(config, origin)? {
        return Err(format!("no log {origin} is witnessed").into());
    }
    confirm(
        origin,
        &format!(
            "This witness will cosign {origin} again. Evidence is kept in {}.",
            config.evidence.display()
        ),
    )?;
    Ok(suspicion::clear(&config.paths, &config.evidence, origin)?)
}

fn end_quarantine(config: &Config, origin: &str) -> Result<(), Failure> {
    let Some(quarantine) = store::quarantine_of(&config.paths, origin)? else {
        return Err(format!("log {origin} is not in quarantine").into());
    };
    confirm(
        origin,
        &format!(
            "{origin} is in quarantine: {quarantine}.\n\
             This witness will go on from what its database holds. If it signed more before, it \
             can be made to sign a second history."
        ),
    )?;
    Ok(store::release(&config.paths, origin)?)
}

fn restore(config: &Config, anchor_kept: bool) -> Result<(), Failure> {
    let kept = if anchor_kept {
        AnchorKept::Yes
    } else {
        AnchorKept::Unknown
    };
    let done = store::restore(&config.paths, kept)?;
    let mut out = io::stdout();
    for (origin, quarantine) in &done.quarantines {
        writeln!(out, "{origin}: {quarantine}")?;
    }
    if done.is_blind {
        writeln!(
            out,
            "Every other log: only the witness's operator can end this (end-quarantine)"
        )?;
    }
    Ok(())
}

/// Has the operator type the origin.
fn confirm(origin: &str, warning: &str) -> Result<(), Failure> {
    writeln!(io::stderr(), "{warning}\nType the origin to go on:")?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    if typed.strip_suffix('\n').unwrap_or(&typed) != origin {
        return Err("that is not the origin; nothing was changed".into());
    }
    Ok(())
}
