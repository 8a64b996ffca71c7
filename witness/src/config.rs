//! The configuration. The comments of the fields of [`File`] are its reference,
//! `docs/config/witness.md`; the file that `init` writes tells what a new witness needs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candor_core::note::{Algorithm, Checkpoint, LogVerifier, VerifierKey};
use candor_host::keys::{KeyTable, KeyTableError, Keyring};
use candor_host::settings::{Environment, Program, Settings, SettingsError};
use candor_host::tls::{PlainText, TlsFiles};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::transport::Uri;

use crate::bastion::{self, Place, PlaceError};
use crate::cosigner::KEY_SLOTS;
use crate::dial::{self, LogAddress, TokenFileError};
use crate::gossip::{self, Peer, PeerError, Times};
use crate::lists::{LISTS_MAX, ListSource, ListSourceError};
use crate::logs::LOGS_MAX;
use crate::store::Paths;

/// Most keys of one log, so that a note with one ML-DSA-44 line of each fits beside ours.
pub const LOG_KEYS_MAX: usize = 8;

/// Longest wait for a map to be checked, in milliseconds: below the 10 s that a request may take.
const MAP_WAIT_MS_MAX: u64 = 8_000;

/// Shortest and longest time between two exchanges with a peer, in seconds.
const GOSSIP_INTERVAL_S_MIN: u64 = 1;
const GOSSIP_INTERVAL_S_MAX: u64 = 3_600;

/// Whose configuration it is. Its file has [`LOGS_MAX`] logs with 2 KiB of keys and names each.
pub const PROGRAM: Program = Program {
    name: "candor-witness",
    prefix: "CANDOR_WITNESS_",
    bytes_max: LOGS_MAX * 2048,
};

/// Why the configuration cannot be used. The operator is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// File and environment are no configuration; the message names the key and the place.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The `[key]` table names a key that there is not.
    #[error(transparent)]
    Keys(#[from] KeyTableError),
    /// A log's key cannot be read.
    #[error("log {log}, key {key}: {source}")]
    Vkey {
        /// Which `[[log]]`, counted from 1.
        log: usize,
        /// Which of its keys, counted from 1.
        key: usize,
        /// What is wrong with it.
        source: candor_core::note::VkeyError,
    },
    /// A log has no keys, or too many.
    #[error("log {log} has {count} keys instead of 1 to {LOG_KEYS_MAX}")]
    KeyCount {
        /// Which `[[log]]`, counted from 1.
        log: usize,
        /// Its keys.
        count: usize,
    },
    /// The keys of a log have different names, and no `origin` is given.
    #[error("the keys of log {log} have different names; say which log it is with `origin`")]
    KeyNames {
        /// Which `[[log]]`, counted from 1.
        log: usize,
    },
    /// A cosignature key (0x04) was given for a log.
    #[error("log {log}, key {key}: a cosignature key (type 0x04) does not sign logs")]
    CosignatureKey {
        /// Which `[[log]]`, counted from 1.
        log: usize,
        /// Which of its keys, counted from 1.
        key: usize,
    },
    /// The origin is none.
    #[error("log {log} has an impossible origin")]
    Origin {
        /// Which `[[log]]`, counted from 1.
        log: usize,
    },
    /// A log is configured twice.
    #[error("log {log} has the origin {origin} of an earlier one")]
    Repeated {
        /// Which `[[log]]`, counted from 1.
        log: usize,
        /// The origin.
        origin: String,
    },
    /// A log's gRPC address cannot be used.
    #[error("log {log}: the gRPC address must be http(s)://host[:port]")]
    Grpc {
        /// Which `[[log]]`, counted from 1.
        log: usize,
    },
    /// A log's token cannot be shown.
    #[error("log {log}: {source}")]
    GrpcToken {
        /// Which `[[log]]`, counted from 1.
        log: usize,
        /// What is wrong.
        source: TokenFileError,
    },
    /// A log's token would be sent where everybody on the way can read it.
    #[error("log {log}: grpc_token needs an https address, or one on loopback")]
    GrpcTokenInClear {
        /// Which `[[log]]`, counted from 1.
        log: usize,
    },
    /// A listener would speak plain text where it may not.
    #[error("{key} must be {}", PlainText::EXPECTED)]
    PlainText {
        /// The listener's key.
        key: &'static str,
    },
    /// More logs than a witness takes.
    #[error("{count} logs are more than {LOGS_MAX}")]
    LogCount {
        /// How many.
        count: usize,
    },
    /// A list is neither a file nor at an address that can be used.
    #[error("list {list}: {source}")]
    List {
        /// Which list, counted from 1.
        list: usize,
        /// What is wrong with it.
        source: ListSourceError,
    },
    /// More lists than a witness takes.
    #[error("{count} lists are more than {LISTS_MAX}")]
    ListCount {
        /// How many.
        count: usize,
    },
    /// A bastion cannot be used.
    #[error(transparent)]
    Bastion(#[from] PlaceError),
    /// A peer cannot be used.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A log's tiles are not at an address that can be used.
    #[error("log {log}: the url of its tiles must be http(s)://host[:port][/path]")]
    Tiles {
        /// Which `[[log]]`, counted from 1.
        log: usize,
    },
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// For machines.
    Json,
}

/// What file and environment say. [`Config`] is what follows from it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The name of the log witness, a URL without scheme; that of the map witness has `/map` behind
    /// it. Both are in the keys' vkeys, so a new name is a new witness.
    name: String,
    /// Where logs ask over HTTP (c2sp.org/tlog-witness), and where `/metrics` and the status page
    /// are. Without a table `tls` on a loopback address, see `plain_text`.
    #[serde(default = "default_http")]
    http: SocketAddr,
    /// Where logs ask over gRPC, and peers. Without a table `tls` on a loopback address.
    #[serde(default = "default_grpc")]
    grpc: SocketAddr,
    /// Where plain text may be spoken when there is no table `tls`.
    #[serde(default)]
    plain_text: PlainText,
    /// Certificates of both listeners. Changed files are taken up within seconds.
    tls: Option<TlsFiles>,
    /// Directory of the keys' plain files.
    #[serde(default = "default_keys")]
    keys: PathBuf,
    /// Places of keys that are not plain files in `keys`, by the keys' names. See
    /// [keys](../keys.md).
    #[serde(default)]
    key: KeyTable,
    /// Directory of the state: the database, what was added, the evidence. Restoring an old copy
    /// puts every log into quarantine.
    #[serde(default = "default_state")]
    state: PathBuf,
    /// File that says how far each log had come, apart from the database: where both differ, one of
    /// them came from a backup, and the log is in quarantine. Best on another disk. Without it, it
    /// is `anchor` in the state.
    anchor: Option<PathBuf>,
    /// How long a request waits for the check of the log's map before it is answered without the
    /// map's cosignatures. Longer for a log with large epochs.
    #[serde(default = "default_map_wait_ms")]
    #[schemars(range(max = MAP_WAIT_MS_MAX))]
    map_wait_ms: u64,
    /// How log lines are written.
    #[serde(default)]
    log_format: LogFormat,
    /// At most 16 lists of logs in the format `logs/v0` (witness-network.org/log-list-format):
    /// paths of files, or addresses with https. They only add logs, and change no keys.
    #[serde(default)]
    lists: Vec<String>,
    /// One section for each log to witness; further ones come from `lists` and `add-log`.
    #[serde(default)]
    log: Vec<LogFile>,
    /// One section for each bastion (c2sp.org/https-bastion) that passes requests on to a witness
    /// behind NAT, at most 16. Its operator needs the hash that `bastion-key` prints.
    #[serde(default)]
    bastion: Vec<bastion::Section>,
    /// How often each peer is asked, 15 without it. More often finds a fork sooner.
    #[schemars(range(min = GOSSIP_INTERVAL_S_MIN, max = GOSSIP_INTERVAL_S_MAX))]
    gossip_interval_s: Option<u64>,
    /// One section for each witness with which this one compares what logs showed them, at most 16.
    /// Both sides need the other's section.
    #[serde(default)]
    peer: Vec<gossip::Section>,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogFile {
    /// The log's origin, if its keys have another name.
    origin: Option<String>,
    /// The keys that it signs checkpoints with, 1 to 8, type 0x01 or 0x06.
    vkeys: Vec<String>,
    /// Address of a Candor log's gRPC, `http://host:port` or `https://host`, to check its map;
    /// without it only the log is witnessed.
    grpc: Option<String>,
    /// File of the token that the log wants to see with `grpc`, for its roles `lookup` and `audit`;
    /// read anew for each connection.
    grpc_token: Option<PathBuf>,
    /// Where its tiles are (c2sp.org/tlog-tiles), to have it prove that peers were shown the same
    /// history.
    url: Option<String>,
    /// How often it may grow a day; without it, as often as it likes.
    qpd: Option<NonZeroU32>,
}

fn default_http() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7380))
}

fn default_grpc() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7381))
}

fn default_keys() -> PathBuf {
    "keys".into()
}

fn default_state() -> PathBuf {
    "state".into()
}

const fn default_map_wait_ms() -> u64 {
    2_000
}

/// A log to witness.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The keys that it signs with.
    pub verifier: LogVerifier,
    /// Where it serves its audit feed, if its map is to be checked.
    pub grpc: Option<LogAddress>,
    /// Where its tiles are, without a slash at the end, if it is to be asked for proofs.
    pub tiles: Option<String>,
    /// How many requests it may make a day, if that is to be limited.
    pub qpd: Option<u32>,
}

/// A configuration that makes sense. Its paths do not depend on the working directory more than
/// the path of its file did.
#[derive(Clone, Debug)]
pub struct Config {
    /// The witness's name.
    pub name: String,
    /// Where it listens for HTTP.
    pub http: SocketAddr,
    /// Where it listens for gRPC.
    pub grpc: SocketAddr,
    /// The certificates of both, if they have some.
    pub tls: Option<TlsFiles>,
    /// Its keys.
    pub keys: Keyring,
    /// The directory of the keys' plain files.
    pub key_directory: PathBuf,
    /// The bastions through which it answers too.
    pub bastions: Vec<Place>,
    /// The witnesses with which it compares logs.
    pub peers: Vec<Peer>,
    /// How often and how patiently.
    pub gossip: Times,
    /// The files of its state.
    pub paths: Paths,
    /// The directory of contradictions.
    pub evidence: PathBuf,
    /// How long a request waits for the map to be checked.
    pub map_wait: Duration,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// The logs, by origin.
    pub logs: BTreeMap<String, LogConfig>,
    /// The lists from which logs are added.
    pub lists: Vec<ListSource>,
}

impl Config {
    /// Reads and checks the configuration at `path`, with the environment of this process over it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::of(Self::settings(path, &Environment::of_process())?, path)
    }

    /// Reads a configuration file with `environment` over it, as they are written.
    ///
    /// # Errors
    ///
    /// [`SettingsError`].
    pub fn settings(
        path: &Path,
        environment: &Environment,
    ) -> Result<Settings<File>, SettingsError> {
        PROGRAM.read(path, environment)
    }

    /// The configuration that was read from the file at `path`, checked, with paths from there.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn of(settings: Settings<File>, path: &Path) -> Result<Self, ConfigError> {
        let (file, directory) = (settings.value, path.parent().unwrap_or(Path::new("")));
        for (key, address) in [("http", file.http), ("grpc", file.grpc)] {
            if file.tls.is_none() && !file.plain_text.allows(address) {
                return Err(ConfigError::PlainText { key });
            }
        }
        let mut tls = file.tls;
        if let Some(tls) = &mut tls {
            tls.resolve(directory);
        }
        let state = directory.join(file.state);
        let key_directory = directory.join(file.keys);
        let anchor = file.anchor.map(|path| directory.join(path));
        Ok(Self {
            name: file.name,
            http: file.http,
            grpc: file.grpc,
            tls,
            keys: Keyring::new(&key_directory, file.key.resolve(directory, &KEY_SLOTS)?),
            key_directory,
            bastions: bastion::check(file.bastion, directory)?,
            peers: gossip::check(file.peer)?,
            gossip: times(file.gossip_interval_s),
            paths: Paths::new(&state, anchor.as_deref()),
            evidence: state.join("evidence"),
            map_wait: Duration::from_millis(file.map_wait_ms),
            log_format: file.log_format,
            logs: check_logs(file.log, directory)?,
            lists: check_lists(file.lists, directory)?,
        })
    }
}

fn times(interval_s: Option<u64>) -> Times {
    let mut times = Times::default();
    if let Some(interval_s) = interval_s {
        times.interval = Duration::from_secs(interval_s);
    }
    times
}

fn check_lists(lists: Vec<String>, directory: &Path) -> Result<Vec<ListSource>, ConfigError> {
    if lists.len() > LISTS_MAX {
        return Err(ConfigError::ListCount { count: lists.len() });
    }
    let checked = lists.iter().zip(1..).map(|(text, list)| {
        ListSource::new(text, directory).map_err(|source| ConfigError::List { list, source })
    });
    checked.collect()
}

fn check_logs(
    files: Vec<LogFile>,
    directory: &Path,
) -> Result<BTreeMap<String, LogConfig>, ConfigError> {
    if files.len() > LOGS_MAX {
        return Err(ConfigError::LogCount { count: files.len() });
    }
    let mut logs = BTreeMap::new();
    for (at, file) in files.into_iter().enumerate() {
        let number = at + 1;
        let log = check_log(number, file, directory)?;
        let origin = log.verifier.origin().to_owned();
        if logs.insert(origin.clone(), log).is_some() {
            return Err(ConfigError::Repeated {
                log: number,
                origin,
            });
        }
    }
    Ok(logs)
}

fn check_log(log: usize, file: LogFile, directory: &Path) -> Result<LogConfig, ConfigError> {
    if file.vkeys.is_empty() || file.vkeys.len() > LOG_KEYS_MAX {
        let count = file.vkeys.len();
        return Err(ConfigError::KeyCount { log, count });
    }
    let mut keys: Vec<VerifierKey> = Vec::with_capacity(file.vkeys.len());
    for (at, text) in file.vkeys.iter().enumerate() {
        let key = at + 1;
        let vkey: VerifierKey =
            text.parse()
                .map_err(|source| ConfigError::Vkey { log, key, source })?;
        if vkey.algorithm() == Algorithm::Ed25519Cosignature {
            return Err(ConfigError::CosignatureKey { log, key });
        }
        keys.push(vkey);
    }
    let name = keys[0].name().as_str().to_owned();
    let origin = match file.origin {
        Some(origin) => origin,
        None if keys.iter().all(|key| key.name().as_str() == name) => name,
        None => return Err(ConfigError::KeyNames { log }),
    };
    Checkpoint::new(&origin, 0, candor_core::Hash::EMPTY_LOG)
        .map_err(|_| ConfigError::Origin { log })?;
    let token = file.grpc_token.map(|path| directory.join(path));
    let address = |text: String| check_address(log, &text, token.as_deref());
    let grpc = file.grpc.map(address).transpose()?;
    let tiles = file.url.map(|text| check_tiles(log, &text)).transpose()?;
    Ok(LogConfig {
        verifier: LogVerifier::new(&origin, keys),
        grpc,
        tiles,
        qpd: file.qpd.map(NonZeroU32::get),
    })
}

fn check_address(log: usize, text: &str, token: Option<&Path>) -> Result<LogAddress, ConfigError> {
    let uri: Uri = text.parse().map_err(|_| ConfigError::Grpc { log })?;
    if !dial::is_address(&uri) {
        return Err(ConfigError::Grpc { log });
    }
    if token.is_some() && !dial::is_private(&uri) {
        return Err(ConfigError::GrpcTokenInClear { log });
    }
    // It is read for each connection; one that cannot be used is told at the start.
    let readable = token.map(dial::authorization).transpose();
    readable.map_err(|source| ConfigError::GrpcToken { log, source })?;
    let token = token.map(Path::to_owned);
    Ok(LogAddress { uri, token })
}

/// What tiles say is verified, so that the way they come does not matter.
fn check_tiles(log: usize, text: &str) -> Result<String, ConfigError> {
    let uri: Uri = text.parse().map_err(|_| ConfigError::Tiles { log })?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if is_http && uri.authority().is_some() && uri.query().is_none() {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(ConfigError::Tiles { log })
    }
}

#[cfg(test)]
mod tests;
