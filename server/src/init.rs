//! `candor-server init`: a new log with its keys, configuration, and store.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_core::crypto::{Ed25519SecretKey, VrfSecretKey};
use candor_core::epoch::LogConfig;
use candor_core::note::{Algorithm, KeyName, KeyNameError, VerifierKey};
use candor_host::durable::{self, WriteError};
use candor_host::key_file::{self, KeyKind, SecretSeed};
use candor_host::keys::{KeyError, KeyLoader, KeySlot, KeyTable, KeyTableError, Keyring};
use thiserror::Error;

use crate::access::Role;
use crate::access::token;
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
    /// A key cannot be used, or was not made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key was given a place that there is not.
    #[error(transparent)]
    Table(#[from] KeyTableError),
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
    /// Those of its keys that are in [`NEXT_KEY_SLOTS`].
    pub next: Vec<VerifierKey>,
    /// Makes search keys.
    pub vrf: VrfSecretKey,
}

impl LogKeys {
    /// Opens the keys, wherever they are: with those of a rotation, if they are there. Which of
    /// them sign is the store's to say, see [`LogSigner::in_use`].
    ///
    /// # Errors
    ///
    /// [`InitError`]; the operator is at fault.
    pub fn open(mut loader: KeyLoader<'_>, origin: &str) -> Result<Self, InitError> {
        let name = KeyName::new(origin)?;
        let [ed25519, ml_dsa, vrf] = &KEY_SLOTS;
        let [next_ed25519, next_ml_dsa] = &NEXT_KEY_SLOTS;
        let (mut signers, mut next_keys) = (Vec::new(), Vec::new());
        for (slot, next, algorithm) in [
            (ed25519, next_ed25519, Algorithm::Ed25519),
            (ml_dsa, next_ml_dsa, Algorithm::MlDsa44),
        ] {
            let has_next = loader.is_there(next);
            // Between two renames of files the next key is all that there is.
            if !has_next || loader.is_there(slot) {
                signers.push(loader.signer(slot, name.clone(), algorithm)?);
            }
            if has_next {
                let signer = loader.signer(next, name.clone(), algorithm)?;
                next_keys.push(signer.verifier_key().clone());
                signers.push(signer);
            }
        }
        Ok(Self {
            signer: LogSigner::new(origin, signers),
            next: next_keys,
            vrf: VrfSecretKey::from_seed(loader.seed(vrf)?.expose()),
        })
    }
}

/// The keys of a log: two that sign checkpoints, and the one that makes search keys.
pub const KEY_SLOTS: [KeySlot; 3] = [
    KeySlot {
        name: "log-ed25519",
        file: "log-ed25519",
        kind: KeyKind::Ed25519,
    },
    KeySlot {
        name: "log-ml-dsa-44",
        file: "log-ml-dsa-44",
        kind: KeyKind::MlDsa44,
    },
    KeySlot {
        name: "vrf",
        file: "vrf",
        kind: KeyKind::Vrf,
    },
];

/// Keys that will sign checkpoints, from the beginning of a rotation until they are put in the
/// place of those before.
pub const NEXT_KEY_SLOTS: [KeySlot; 2] = [
    KeySlot {
        name: "log-ed25519-next",
        file: "log-ed25519-next",
        kind: KeyKind::Ed25519,
    },
    KeySlot {
        name: "log-ml-dsa-44-next",
        file: "log-ml-dsa-44-next",
        kind: KeyKind::MlDsa44,
    },
];

/// The directory of the keys in the log's.
pub const KEY_DIRECTORY: &str = "keys";

/// The file of the key that signs tokens. It is no key of the log, and not where those are.
const ISSUER_FILE: &str = "token-issuer";

/// How long a registrar's first token is good for, in seconds: 90 days.
const FIRST_TOKEN_S: u64 = 90 * 86_400;

/// The name of the configuration file in a log's directory.
pub const CONFIG_FILE: &str = "server.toml";

/// Makes a new log in `directory`, with the places of `keys` in its configuration, and returns the
/// path of that and the public keys.
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
    keys: &KeyTable,
) -> Result<(PathBuf, Vec<VerifierKey>), InitError> {
    KeyName::new(origin)?;
    let config_path = directory.join(CONFIG_FILE);
    if config_path.exists() {
        return Err(InitError::Exists { path: config_path });
    }
    let key_directory = directory.join(KEY_DIRECTORY);
    let keyring = Keyring::new(&key_directory, keys.clone().resolve(directory, &KEY_SLOTS)?);
    let mut loader = keyring.loader();
    loader.prepare(&KEY_SLOTS)?;
    if !directory.exists() {
        durable::create_directory(directory)?;
    }
    durable::create_directory(&key_directory)?;
    for slot in &KEY_SLOTS {
        loader.create(slot)?;
    }
    let issuer = create_issuer(directory, origin)?;
    let log_keys = LogKeys::open(loader, origin)?;
    let verifier_keys = log_keys.signer.keys();
    let policy = policy_template(&verifier_keys);
    durable::create_new(&directory.join("policy.txt"), policy.as_bytes())?;
    let text = template(origin, grpc_listen, http_listen, engine, &issuer) + &keys.to_toml();
    // Last, so that a configuration stands for a whole log.
    create_log(engine, &directory.join("store"), &log_keys)?;
    durable::create_new(&config_path, text.as_bytes())?;
    Config::read(&config_path)?;
    Ok((config_path, verifier_keys))
}

/// Makes the key that signs tokens and a registrar's first token; the public key in base64.
fn create_issuer(directory: &Path, origin: &str) -> Result<String, InitError> {
    let seed = SecretSeed::generate()?;
    key_file::create(&directory.join(ISSUER_FILE), KeyKind::Ed25519, &seed)?;
    let key = Ed25519SecretKey::from_seed(seed.expose());
    let expires_s = Clock::system().now_s() + FIRST_TOKEN_S;
    let token = token::issue(&key, origin, "registrar", &[Role::Update], expires_s);
    let path = directory.join("registrar-token");
    durable::create_new(&path, format!("{token}\n").as_bytes())?;
    Ok(STANDARD.encode(key.public_key().as_bytes()))
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
