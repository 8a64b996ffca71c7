//! Where the configuration says that a key is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::openssh::OpensshKey;
use super::secret::SecretSource;
use super::{KeySlot, encrypted};

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum KeyReference {
    /// In a plain file that its owner alone may access.
    File {
        /// The file.
        path: PathBuf,
    },
    /// In a file that a passphrase opens.
    EncryptedFile {
        /// The file.
        path: PathBuf,
        /// Where the passphrase is read from, never the passphrase itself: `prompt`, `file:PATH`,
        /// `credential:NAME` or `fd:N`.
        passphrase: SecretSource,
    },
    /// In an ssh-agent. Ed25519 only.
    SshAgent {
        /// The agent's socket; the one of `SSH_AUTH_SOCK` if there is none here.
        #[serde(skip_serializing_if = "Option::is_none")]
        socket: Option<PathBuf>,
        /// Which of the agent's keys it is.
        public_key: OpensshKey,
    },
    /// In a PKCS#11 token. Ed25519 only.
    Pkcs11 {
        /// The token's module, a shared library.
        module: PathBuf,
        /// The token's label.
        token: String,
        /// The key's label.
        label: String,
        /// Where the user's PIN is read from, as a passphrase.
        pin: SecretSource,
        /// Which key it must be. Without it the key is not used, but named in an error, so that
        /// the operator can write it here.
        #[serde(skip_serializing_if = "Option::is_none")]
        public_key: Option<OpensshKey>,
    },
}

impl KeyReference {
    /// Makes relative paths relative to `base`. Modules have absolute paths.
    fn resolve(&mut self, base: &Path) {
        let join = |path: &mut PathBuf| *path = base.join(&*path);
        let join_secret = |source: &mut SecretSource| {
            if let SecretSource::File(path) = source {
                *path = base.join(&*path);
            }
        };
        match self {
            Self::File { path } => join(path),
            Self::EncryptedFile { path, passphrase } => {
                join(path);
                join_secret(passphrase);
            }
            Self::SshAgent { socket, .. } => {
                socket.as_mut().map(join);
            }
            Self::Pkcs11 { pin, .. } => join_secret(pin),
        }
    }
}

/// The keys that are not plain files in the directory of keys, by name: the `[key]` table of a
/// configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct KeyTable(BTreeMap<String, KeyReference>);

/// Why a table of keys is none. The operator is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTableError {
    /// A line is not of the form `name = { kind = "…", … }`.
    #[error("{0}")]
    Line(String),
    /// There is no working directory; the environment is at fault.
    #[error("the path of the passphrase has no beginning: {0}")]
    Path(#[from] std::io::Error),
    /// The program has no such key.
    #[error("there is no key {name}; keys are {}", known.join(", "))]
    Unknown {
        /// The name in the configuration.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
}

/// Reads a configuration, or says what is wrong with it and in which line, without repeating the
/// line: a secret may stand there in the place of its source.
///
/// # Errors
///
/// What is wrong; the operator is at fault.
fn parse_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| 1 + before.matches('\n').count());
        let message = error.message().replace('\n', "; ");
        format!("line {line}: {message}")
    })
}

impl KeyTable {
    /// The table of a program that is being made: `lines` as they will stand in it, and with a
    /// passphrase all other keys in encrypted files in `directory`, which is relative to the
    /// configuration.
    ///
    /// # Errors
    ///
    /// [`KeyTableError`].
    pub fn plan(
        lines: &[String],
        passphrase: Option<&SecretSource>,
        directory: &Path,
        slots: &[KeySlot],
    ) -> Result<Self, KeyTableError> {
        let mut table: Self = parse_toml(&lines.join("\n")).map_err(KeyTableError::Line)?;
        let Some(passphrase) = passphrase else {
            return Ok(table);
        };
        // Who types a relative path means the working directory, not the configuration's.
        let passphrase = match passphrase {
            SecretSource::File(path) => SecretSource::File(std::path::absolute(path)?),
            other => other.clone(),
        };
        for slot in slots {
            let place = table.0.entry(slot.name.to_owned());
            place.or_insert_with(|| KeyReference::EncryptedFile {
                path: encrypted::beside(&directory.join(slot.file)),
                passphrase: passphrase.clone(),
            });
        }
        Ok(table)
    }

    /// Makes relative paths relative to `base`, and refuses names that no key of `slots` has.
    ///
    /// # Errors
    ///
    /// [`KeyTableError::Unknown`].
    pub fn resolve(mut self, base: &Path, slots: &[KeySlot]) -> Result<Self, KeyTableError> {
        for (name, reference) in &mut self.0 {
            if slots.iter().all(|slot| slot.name != name) {
                return Err(KeyTableError::Unknown {
                    name: name.clone(),
                    known: slots.iter().map(|slot| slot.name).collect(),
                });
            }
            reference.resolve(base);
        }
        Ok(self)
    }

    /// The table as the configuration has it; empty if there is nothing in it.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (name, reference) in &self.0 {
            let fields = toml::to_string(reference).expect("strings and paths can be written");
            text.push_str(&format!("\n[key.{name}]\n{fields}"));
        }
        text
    }

    pub(super) fn get(&self, slot: &KeySlot) -> Option<&KeyReference> {
        self.0.get(slot.name)
    }
}
