//! `candor-server init`: a new log with its keys, configuration, and store.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use candor_core::Hash;
use candor_core::crypto::{Ed25519SecretKey, MlDsa44SecretKey, VrfSecretKey};
use candor_core::epoch::LogConfig;
use candor_core::note::{KeyName, KeyNameError, SoftwareSigner, VerifierKey};
use candor_host::durable::{self, WriteError};
use candor_host::key_file::{self, KeyFileError, KeyKind, SecretSeed};
use thiserror::Error;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, template};
use crate::ledger::Ledger;
use crate::sequencer::recovery::{self, RecoveryError};
use crate::signer::LogSigner;
use crate::storage::{Engine, OpenError, StoreOptions};

/// Why no log was made. What was written before the failure stays; nothing was overwritten.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InitError {
    /// The directory has a configuration already.
    #[error("{} exists already; a log is made once, in a directory of its own", path.display())]
    Exists {
        /// The file that is there.
        path: PathBuf,
    },
    /// The origin is no key name.
    #[error("the origin cannot be the name of a log: {0}")]
    Origin(#[from] KeyNameError),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The system has no randomness.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// A key that was just written could not be read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The configuration that was just written could not be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store could not be created.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The log's first record could not be written.
    #[error(transparent)]
    Create(#[from] RecoveryError),
}

/// The secret keys of a log.
pub struct LogKeys {
    /// Signs checkpoints.
    pub signer: LogSigner,
    /// Makes search keys.
    pub vrf: VrfSecretKey,
}

impl LogKeys {
    /// Reads the keys that `init` wrote.
    ///
    /// # Errors
    ///
    /// [`InitError`]; the operator is at fault.
    pub fn read(directory: &Path, origin: &str) -> Result<Self, InitError> {
        let seed = |name: &str, kind| key_file::read(&directory.join(name), kind);
        let name = KeyName::new(origin)?;
        let ed25519 = Ed25519SecretKey::from_seed(seed(ED25519, KeyKind::Ed25519)?.expose());
        let ml_dsa = MlDsa44SecretKey::from_seed(seed(ML_DSA_44, KeyKind::MlDsa44)?.expose());
        let vrf = VrfSecretKey::from_seed(seed(VRF, KeyKind::Vrf)?.expose());
        let signer = LogSigner::new(
            origin,
            vec![
                Box::new(SoftwareSigner::ed25519(name.clone(), ed25519)),
                Box::new(SoftwareSigner::ml_dsa_44(name, ml_dsa)),
            ],
        );
        Ok(Self { signer, vrf })
    }
}

const ED25519: &str = "log-ed25519";
const ML_DSA_44: &str = "log-ml-dsa-44";
const VRF: &str = "vrf";

/// The name of the configuration file in a log's directory.
pub const CONFIG_FILE: &str = "server.toml";

/// Makes a new log in `directory`, and returns its configuration and keys.
///
/// # Errors
///
/// [`InitError`]; nothing that exists is overwritten.
pub fn init(
    directory: &Path,
    origin: &str,
    grpc_listen: SocketAddr,
    http_listen: SocketAddr,
    engine: Engine,
) -> Result<(PathBuf, Vec<VerifierKey>), InitError> {
    KeyName::new(origin)?;
    let config_path = directory.join(CONFIG_FILE);
    if config_path.exists() {
        return Err(InitError::Exists { path: config_path });
    }
    if !directory.exists() {
        durable::create_directory(directory)?;
    }
    let keys = directory.join("keys");
    durable::create_directory(&keys)?;
    for (name, kind) in [
        (ED25519, KeyKind::Ed25519),
        (ML_DSA_44, KeyKind::MlDsa44),
        (VRF, KeyKind::Vrf),
    ] {
        key_file::create(&keys.join(name), kind, &SecretSeed::generate()?)?;
    }
    let mut token = [0; 32];
    getrandom::fill(&mut token)?;
    // A digest prints as lower-case hexadecimal.
    let token = Hash(token);
    durable::create_new(
        &directory.join("registrar-token"),
        format!("{token}\n").as_bytes(),
    )?;
    let log_keys = LogKeys::read(&keys, origin)?;
    let verifier_keys = log_keys.signer.keys();
    let policy = policy_template(&verifier_keys);
    durable::create_new(&directory.join("policy.txt"), policy.as_bytes())?;
    let text = template(origin, grpc_listen, http_listen, engine);
    // Last, so that a configuration stands for a whole log.
    create_log(engine, &directory.join("store"), &log_keys)?;
    durable::create_new(&config_path, text.as_bytes())?;
    Config::read(&config_path)?;
    Ok((config_path, verifier_keys))
}

fn create_log(engine: Engine, store: &Path, keys: &LogKeys) -> Result<(), InitError> {
    // Without a reserve: an init on a full disk fails by itself.
    let options = StoreOptions {
        reserve_bytes: 0,
        ..StoreOptions::new(store)
    };
    let ledger = Ledger::new(engine.create(&options)?, 0);
    let config = LogConfig {
        origin: keys.signer.origin().to_owned(),
        vrf_public_key: *keys.vrf.public_key().as_bytes(),
        created_ms: Clock::system().now_ms(),
    };
    Ok(recovery::create(&ledger, &keys.signer, &config)?)
}

/// A policy of this log without witnesses, with what to write to add some.
fn policy_template(keys: &[VerifierKey]) -> String {
    let mut text = String::from(
        "# The witnesses that this log asks, and the quorum that publication needs\n\
         # (c2sp.org/tlog-policy). Devices need a policy with this log's keys and the same\n\
         # witnesses; give them this file.\n\n",
    );
    for key in keys {
        writeln!(text, "log {key}").expect("writing to a string does not fail");
    }
    text.push_str(
        "\n# Ask each witness operator for their lines, then for example:\n\
         # witness w1 <vkey> https://witness.example\n\
         # witness w1-map <vkey> https://witness.example\n\
         # group w1-both all w1 w1-map\n\
         # quorum w1-both\n\
         quorum none\n",
    );
    text
}
