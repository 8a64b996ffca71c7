//! The configuration file. Every key is documented in the file that `init` writes.

mod access;
mod template;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candor_core::limits::{EPOCH_INSERTS_MAX, POLICY_BYTES_MAX};
use candor_core::note::{KeyName, Policy, PolicyParseError};
use candor_host::durable;
use candor_host::keys::{KeyTable, KeyTableError, Keyring, parse_toml};
use candor_host::tls::{PlainText, TlsFiles};
use serde::Deserialize;
use thiserror::Error;

pub use self::access::{AccessTable, ClientTable, IssuerTable};
pub use self::template::template;
use crate::clock::Clock;
use crate::init::KEY_SLOTS;
use crate::publisher::Intervals;
use crate::sequencer::Pace;
use crate::sequencer::enrolment::EnrolmentRules;
use crate::storage::Engine;

/// Longest configuration file in bytes.
const CONFIG_BYTES_MAX: usize = 64 << 10;

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
    /// The file is no configuration; the message names the key and the place.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, on one line.
        message: String,
    },
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

/// The configuration, as the file has it. Paths are relative to the file's directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The log's name, for ever.
    pub origin: String,
    /// Directory of the store.
    pub store: PathBuf,
    /// What keeps the store.
    pub engine: Engine,
    /// File of the newest signed checkpoint.
    pub anchor: PathBuf,
    /// Directory of the keys' plain files.
    pub keys: PathBuf,
    /// Other places of keys.
    #[serde(default)]
    pub key: KeyTable,
    /// The witness policy (c2sp.org/tlog-policy).
    pub policy: PathBuf,
    /// A second witness policy, of witnesses that accept heads only so often.
    #[serde(default)]
    pub second_policy: Option<PathBuf>,
    /// Where gRPC is served.
    pub grpc_listen: SocketAddr,
    /// Where tiles, health and metrics are served.
    pub http_listen: SocketAddr,
    /// Where plain text is spoken when there is no table `[tls]`.
    #[serde(default)]
    pub plain_text: PlainText,
    /// Certificates of both listeners.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// Who may do what.
    #[serde(default)]
    pub access: AccessTable,
    /// Least time between two epochs in milliseconds.
    pub epoch_interval_ms: u64,
    /// Time after which an empty epoch is appended, in milliseconds.
    pub heartbeat_ms: u64,
    /// Most updates of an epoch.
    pub epoch_updates_max: usize,
    /// Least time between two resets of an account's key in seconds; 0 is none.
    pub reset_cooldown_s: u64,
    /// Least capability of each device of an enrolled account.
    pub enrolled_capability: u16,
    /// Memory for what is read often, in mebibytes.
    pub cache_mib: u64,
    /// Free disk space below which updates are refused, in mebibytes.
    pub disk_reserve_mib: u64,
    /// Least time between two submissions to a witness in seconds, by its name in the policy.
    #[serde(default)]
    pub witness_interval_s: BTreeMap<String, u64>,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; the operator is at fault.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let syntax = |message: String| ConfigError::Syntax {
            path: path.to_owned(),
            message,
        };
        let bytes = durable::read_bounded(path, CONFIG_BYTES_MAX)?;
        let text = str::from_utf8(&bytes).map_err(|error| syntax(error.to_string()))?;
        let mut config: Self = parse_toml(text).map_err(syntax)?;
        let base = path.parent().unwrap_or(Path::new("."));
        let Self {
            store,
            anchor,
            keys,
            policy,
            second_policy,
            ..
        } = &mut config;
        let files = [store, anchor, keys, policy];
        for file in files.into_iter().chain(second_policy) {
            *file = base.join(&*file);
        }
        config.key = std::mem::take(&mut config.key).resolve(base, &KEY_SLOTS)?;
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
        let interval = self.epoch_interval_ms <= 60_000;
        within("epoch_interval_ms", interval, "at most 60000")?;
        let heartbeat = (1_000..=3_600_000).contains(&self.heartbeat_ms)
            && self.heartbeat_ms >= self.epoch_interval_ms;
        within(
            "heartbeat_ms",
            heartbeat,
            "1000 to 3600000 and at least epoch_interval_ms",
        )?;
        let updates = (1..=EPOCH_INSERTS_MAX).contains(&self.epoch_updates_max);
        within("epoch_updates_max", updates, "1 to 65536")?;
        let cooldown = self.reset_cooldown_s <= RESET_COOLDOWN_S_MAX;
        within("reset_cooldown_s", cooldown, "at most 2592000")?;
        within(
            "cache_mib",
            (8..=1 << 20).contains(&self.cache_mib),
            "8 to 1048576",
        )?;
        within(
            "disk_reserve_mib",
            self.disk_reserve_mib <= 1 << 20,
            "at most 1048576",
        )?;
        let mut intervals = self.witness_interval_s.values();
        let intervals = intervals.all(|seconds| (1..=86_400).contains(seconds));
        within(
            "witness_interval_s",
            intervals,
            "1 to 86400 for each witness",
        )
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

fn read_policy(path: &Path) -> Result<Policy, ConfigError> {
    let bytes = durable::read_bounded(path, POLICY_BYTES_MAX)?;
    Policy::parse(&bytes).map_err(|source| ConfigError::Policy {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    fn text() -> String {
        let any = "127.0.0.1:0".parse().unwrap();
        template("log.example", any, any, Engine::Fjall, "")
    }

    #[test]
    fn the_template_is_a_valid_configuration() {
        let config = read(&text()).unwrap();
        assert_eq!(config.origin, "log.example");
        assert!(config.store.is_absolute());
    }

    #[test]
    fn unknown_missing_and_senseless_keys_are_refused() {
        assert!(matches!(
            read(&(text() + "colour = 1\n")),
            Err(ConfigError::Syntax { .. })
        ));
        for key in [
            "anchor = \"anchor\"",
            "reset_cooldown_s = 86400",
            "enrolled_capability = 0",
        ] {
            let error = read(&text().replace(key, "")).unwrap_err().to_string();
            let (name, _) = key.split_once(' ').unwrap();
            assert!(
                error.contains(&format!("missing field `{name}`")),
                "{error}"
            );
        }
        let unknown = text().replace("fjall\"\n", "rocksdb\"\n");
        assert!(matches!(read(&unknown), Err(ConfigError::Syntax { .. })));
        for (from, to) in [
            ("log.example", "a+b"),
            ("heartbeat_ms = 60000", "heartbeat_ms = 10"),
            ("epoch_updates_max = 16384", "epoch_updates_max = 65537"),
            ("reset_cooldown_s = 86400", "reset_cooldown_s = 2592001"),
            ("cache_mib = 256", "cache_mib = 0"),
            ("127.0.0.1:0", "192.0.2.1:0"),
            (
                "# [witness_interval_s]",
                "[witness_interval_s]\nw = 86401\n#",
            ),
        ] {
            let changed = text().replace(from, to);
            assert!(
                matches!(read(&changed), Err(ConfigError::Value { .. })),
                "{to}"
            );
        }
    }
}
