//! The configuration. The comments of its fields are its reference, `docs/config/server.md`; the
//! file that `init` writes tells what a new log needs.

mod access;
mod limits;
mod template;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candor_core::limits::{EPOCH_INSERTS_MAX, POLICY_BYTES_MAX};
use candor_core::note::{KeyName, Policy, PolicyParseError};
use candor_host::durable;
use candor_host::keys::{KeyTable, KeyTableError, Keyring};
use candor_host::settings::{Environment, Program, Settings, SettingsError};
use candor_host::tls::{PlainText, TlsFiles};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::access::{AccessTable, ClientTable, IssuerTable};
pub use self::limits::Limits;
pub use self::template::template;
use crate::clock::Clock;
use crate::init::{KEY_SLOTS, NEXT_KEY_SLOTS};
use crate::publisher::Intervals;
use crate::sequencer::Pace;
use crate::sequencer::enrolment::EnrolmentRules;
use crate::storage::Engine;

/// Whose configuration it is.
pub const PROGRAM: Program = Program {
    name: "candor-server",
    prefix: "CANDOR_SERVER_",
    bytes_max: 64 << 10,
};

/// How long updates wait for witnesses before they are refused: as long as a round of the
/// publisher.
const PUBLICATION_PATIENCE: Duration = Duration::from_secs(5);

/// Longest time between two resets that can be asked for, in seconds: 30 days.
const RESET_COOLDOWN_S_MAX: u64 = 30 * 86_400;

/// Why the configuration cannot be used. The operator is at fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] durable::ReadError),
    /// File and environment are no configuration; the message names the key and the place.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The policy file is no policy.
    #[error("{}: {source}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PolicyParseError,
    },
    /// The `[key]` table names a key that there is not.
    #[error(transparent)]
    Keys(#[from] KeyTableError),
    /// A value is outside what makes sense.
    #[error("{key} must be {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// The configuration, as file and environment have it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The log's name, in every checkpoint, for ever: 1 to 255 bytes without spaces and plus signs.
    /// Devices and witnesses know the log by it. Another name is another log.
    pub origin: String,
    /// Directory of the store. Losing it is losing the log; restoring an old copy is refused, see
    /// `anchor`. It needs a local disk that keeps its promises.
    pub store: PathBuf,
    /// What keeps the store. A store is opened by the engine that made it only.
    pub engine: Engine,
    /// File of the newest signed checkpoint. It keeps a store that was restored from a backup from
    /// signing a second history. Put it on another disk than the store, and never restore it from a
    /// backup.
    pub anchor: PathBuf,
    /// Directory of the secret keys' plain files: `log-ed25519`, `log-ml-dsa-44`, `vrf`.
    pub keys: PathBuf,
    /// Places of keys that are not plain files in `keys`, by the keys' names. See
    /// [keys](../keys.md).
    #[serde(default)]
    pub key: KeyTable,
    /// File of the witness policy (c2sp.org/tlog-policy): the witnesses that are asked, and the
    /// quorum that publication needs.
    pub policy: PathBuf,
    /// File of a second witness policy, of witnesses that accept heads only so often. Devices may
    /// ask for the newest head that satisfies it, beside the published one.
    #[serde(default)]
    pub second_policy: Option<PathBuf>,
    /// The socket on which the operator's commands reach the running server, for its own user only.
    /// The server makes it: its directory must be one that the server may write to.
    #[serde(default = "default_control_socket")]
    pub control_socket: PathBuf,
    /// Where devices, registrars, auditors and witnesses connect: gRPC. Without a table `tls` on a
    /// loopback address, see `plain_text`.
    pub grpc_listen: SocketAddr,
    /// Where tiles, `/checkpoint`, `/livez`, `/readyz`, `/metrics` and the status page are served:
    /// HTTP. Without a table `tls` on a loopback address, see `plain_text`.
    pub http_listen: SocketAddr,
    /// Where plain text may be spoken when there is no table `tls`.
    #[serde(default)]
    pub plain_text: PlainText,
    /// Certificates of both listeners. Changed files are taken up within seconds.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// Who may do what. Without this table nobody may do anything.
    #[serde(default)]
    pub access: AccessTable,
    /// Least time between two epochs. An update on an idle log does not wait for it. A longer one
    /// gathers more updates into an epoch, which costs fewer signatures and rounds of witnesses.
    #[schemars(range(max = 60_000))]
    pub epoch_interval_ms: u64,
    /// An epoch without updates is appended after this time, so that heads stay fresh. At least
    /// `epoch_interval_ms`. Devices refuse heads that are older than they allow: change both.
    #[schemars(range(min = 1_000, max = 3_600_000))]
    pub heartbeat_ms: u64,
    /// Most updates of an epoch. Fewer make epochs under load shorter, and updates wait longer.
    #[schemars(range(min = 1, max = EPOCH_INSERTS_MAX))]
    pub epoch_updates_max: usize,
    /// Least time between two resets of an account's key; 0 is none. An account's devices check it
    /// every day: a reset that stays for a day is seen by all of them.
    #[schemars(range(max = RESET_COOLDOWN_S_MAX))]
    pub reset_cooldown_s: u64,
    /// Least capability of every device of an account that has verification on; 0 asks for
    /// nothing. What the numbers mean is the application's affair.
    pub enrolled_capability: u16,
    /// Memory for what is read often: accounts, parts of the tree, rows; about 1 KiB an account and
    /// 200 bytes a label-version keep all of it in memory. The upper part of the tree and write
    /// buffers come on top, see [operating](../operating.md).
    #[schemars(range(min = 8, max = 1 << 20))]
    pub cache_mib: u64,
    /// Free disk space below which updates are refused. The engine needs it to tidy up.
    #[schemars(range(max = 1 << 20))]
    pub disk_reserve_mib: u64,
    /// Least time between two submissions to a witness, 1 to 86400, for witnesses that accept only
    /// so many a day: by the name that the policy gives the witness. Others are asked for every
    /// head.
    #[serde(default)]
    pub witness_interval_s: BTreeMap<String, u64>,
    /// How much callers get.
    #[serde(default)]
    pub limits: Limits,
}

impl Config {
    /// Reads and checks a configuration file, with the environment of this process over it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; the operator is at fault.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let settings = Self::settings(path, &Environment::of_process())?;
        Self::of(settings, path)
    }

    /// Reads a configuration file with `environment` over it: paths as they are written, and what
    /// keys have to do with each other not looked at.
    ///
    /// # Errors
    ///
    /// [`SettingsError`]; the operator is at fault.
    pub fn settings(
        path: &Path,
        environment: &Environment,
    ) -> Result<Settings<Self>, SettingsError> {
        PROGRAM.read(path, environment)
    }

    /// The configuration that was read from the file at `path`, checked, with paths from there.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; the operator is at fault.
    pub fn of(settings: Settings<Self>, path: &Path) -> Result<Self, ConfigError> {
        let mut config = settings.value;
        let base = path.parent().unwrap_or(Path::new("."));
        let Self {
            store,
            anchor,
            keys,
            policy,
            second_policy,
            control_socket,
            ..
        } = &mut config;
        let files = [store, anchor, keys, policy];
        let files = files.into_iter().chain(second_policy);
        for file in files.chain([control_socket]) {
            *file = base.join(&*file);
        }
        let slots = [&KEY_SLOTS[..], &NEXT_KEY_SLOTS].concat();
        config.key = std::mem::take(&mut config.key).resolve(base, &slots)?;
        if let Some(tls) = &mut config.tls {
            tls.resolve(base);
        }
        config.check()?;
        Ok(config)
    }

    /// Where the keys are.
    pub fn keyring(&self) -> Keyring {
        Keyring::new(&self.keys, self.key.clone())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let within = |key, fits: bool, expected| match fits {
            true => Ok(()),
            false => Err(ConfigError::Value { key, expected }),
        };
        let name = "a name of 1 to 255 bytes without spaces and plus signs";
        within("origin", KeyName::new(&self.origin).is_ok(), name)?;
        for (key, address) in [
            ("grpc_listen", self.grpc_listen),
            ("http_listen", self.http_listen),
        ] {
            let fits = self.tls.is_some() || self.plain_text.allows(address);
            within(key, fits, PlainText::EXPECTED)?;
        }
        self.access.access(&self.origin, Clock::system())?;
        let heartbeat = self.heartbeat_ms >= self.epoch_interval_ms;
        within("heartbeat_ms", heartbeat, "at least epoch_interval_ms")?;
        let mut intervals = self.witness_interval_s.values();
        let intervals = intervals.all(|seconds| (1..=86_400).contains(seconds));
        within(
            "witness_interval_s",
            intervals,
            "1 to 86400 for each witness",
        )?;
        self.limits.check()
    }

    /// How seldom witnesses are asked.
    pub fn intervals(&self) -> Intervals {
        let intervals = self.witness_interval_s.iter();
        intervals
            .map(|(name, seconds)| (name.clone(), Duration::from_secs(*seconds)))
            .collect()
    }

    /// Reads the witness policy.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; the operator is at fault.
    pub fn read_policy(&self) -> Result<Policy, ConfigError> {
        read_policy(&self.policy)
    }

    /// Reads the second witness policy, if there is one.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; the operator is at fault.
    pub fn read_second_policy(&self) -> Result<Option<Policy>, ConfigError> {
        self.second_policy.as_deref().map(read_policy).transpose()
    }

    /// When epochs are closed.
    pub const fn pace(&self) -> Pace {
        Pace {
            epoch_interval: Duration::from_millis(self.epoch_interval_ms),
            heartbeat: Duration::from_millis(self.heartbeat_ms),
            epoch_updates_max: self.epoch_updates_max,
            publication_patience: PUBLICATION_PATIENCE,
        }
    }

    /// What is asked of accounts.
    pub const fn enrolment_rules(&self) -> EnrolmentRules {
        EnrolmentRules {
            reset_cooldown: Duration::from_secs(self.reset_cooldown_s),
            enrolled_capability: self.enrolled_capability,
        }
    }
}

fn default_control_socket() -> PathBuf {
    "control.sock".into()
}

fn read_policy(path: &Path) -> Result<Policy, ConfigError> {
    let bytes = durable::read_bounded(path, POLICY_BYTES_MAX)?;
    Policy::parse(&bytes).map_err(|source| ConfigError::Policy {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
