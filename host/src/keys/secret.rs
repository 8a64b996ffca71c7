//! Passphrases and PINs, and where they are read from: never from an argument or the environment,
//! which other processes can see.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::durable::{self, ReadError};
use crate::key_file;

/// Longest passphrase or PIN in bytes.
const SECRET_BYTES_MAX: usize = 1024;

/// Where systemd puts the credentials of a service (`LoadCredential=`).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// A passphrase or PIN, erased from memory when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes `bytes` as a secret.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The secret bytes. Do not copy them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where a passphrase or PIN is read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// `prompt`: typed at the terminal.
    Prompt,
    /// `file:PATH`: the first line of a file that its owner alone may access.
    File(PathBuf),
    /// `credential:NAME`: the first line of a credential that systemd hands to the service.
    Credential(String),
    /// `fd:N`: the first line of what an inherited file descriptor holds.
    Descriptor(u16),
    /// What the configuration has is no source, but perhaps the secret itself. It is forgotten, so
    /// that no error of the configuration's parser shows it, and refused when it is to be read.
    Unknown,
}

/// The text names no source of a secret; who wrote it is at fault. The text is not repeated: it
/// may be the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret comes from `prompt`, `file:PATH`, `credential:NAME` or `fd:N`")]
pub struct SecretSourceError;

impl FromStr for SecretSource {
    type Err = SecretSourceError;

    fn from_str(text: &str) -> Result<Self, SecretSourceError> {
        let source = match text.split_once(':') {
            None if text == "prompt" => Self::Prompt,
            Some(("file", path)) if !path.is_empty() => Self::File(path.into()),
            Some(("credential", name)) if is_file_name(name) => Self::Credential(name.to_owned()),
            Some(("fd", number)) => {
                Self::Descriptor(number.parse().map_err(|_| SecretSourceError)?)
            }
            _ => return Err(SecretSourceError),
        };
        Ok(source)
    }
}

/// A name that does not lead out of the credentials' directory.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for SecretSource {
    fn schema_name() -> Cow<'static, str> {
        "SecretSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Takes any text or number: parsers repeat what they refuse.
        struct Any;

        impl Visitor<'_> for Any {
            type Value = SecretSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{SecretSourceError}")
            }

            fn visit_str<E>(self, text: &str) -> Result<SecretSource, E> {
                Ok(text.parse().unwrap_or(SecretSource::Unknown))
            }

            fn visit_i64<E>(self, _: i64) -> Result<SecretSource, E> {
                Ok(SecretSource::Unknown)
            }

            fn visit_u64<E>(self, _: u64) -> Result<SecretSource, E> {
                Ok(SecretSource::Unknown)
            }

            fn visit_f64<E>(self, _: f64) -> Result<SecretSource, E> {
                Ok(SecretSource::Unknown)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt => f.write_str("prompt"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::Descriptor(number) => write!(f, "fd:{number}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Why a secret was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file is exposed to others (the operator's fault), or cannot be read.
    #[error(transparent)]
    File(#[from] key_file::KeyFileError),
    /// The source cannot be read, or is too long.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The process was not started by systemd with credentials.
    #[error("there is no credential {name}: {CREDENTIALS_DIRECTORY} is not set")]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
    /// The configuration names no source.
    #[error("{purpose}: {source}")]
    Source {
        /// What the secret is for.
        purpose: String,
        /// What there is.
        source: SecretSourceError,
    },
    /// There is no terminal to ask at.
    #[error("could not ask for {purpose} at the terminal: {source}")]
    Prompt {
        /// What the secret is for.
        purpose: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The first line is empty.
    #[error("{purpose} is empty")]
    Empty {
        /// What the secret is for.
        purpose: String,
    },
    /// What was typed the second time differs.
    #[error("the two passphrases differ")]
    Differ,
}

/// The secrets that were read while keys are opened, by source and purpose: each once, because a
/// descriptor can be read only once and nobody wants to be asked twice. A passphrase never serves
/// as a PIN, even if both are typed.
#[derive(Debug, Default)]
pub struct Secrets(HashMap<(SecretSource, String), Secret>);

/// The purpose of the one passphrase of all key files with one source.
pub(super) const PASSPHRASE: &str = "the passphrase of the keys";

impl Secrets {
    /// Reads the secret of `source`. `purpose` says at the terminal what is asked for.
    ///
    /// # Errors
    ///
    /// [`SecretError`].
    pub fn read(&mut self, source: &SecretSource, purpose: &str) -> Result<&Secret, SecretError> {
        self.read_with(source, purpose, ask)
    }

    /// As [`Self::read`] for what will be the passphrase of new files: asked for twice.
    ///
    /// # Errors
    ///
    /// [`SecretError`].
    pub fn choose(&mut self, source: &SecretSource) -> Result<&Secret, SecretError> {
        self.read_with(source, PASSPHRASE, |purpose| {
            let first = ask(purpose)?;
            let second = ask("it again")?;
            match first.expose() == second.expose() {
                true => Ok(first),
                false => Err(SecretError::Differ),
            }
        })
    }

    fn read_with(
        &mut self,
        source: &SecretSource,
        purpose: &str,
        prompt: impl FnOnce(&str) -> Result<Secret, SecretError>,
    ) -> Result<&Secret, SecretError> {
        // Not the entry API: nothing is kept of a source that failed.
        let known = (source.clone(), purpose.to_owned());
        if !self.0.contains_key(&known) {
            let secret = match source {
                SecretSource::Prompt => prompt(purpose)?,
                SecretSource::Unknown => {
                    return Err(SecretError::Source {
                        purpose: purpose.to_owned(),
                        source: SecretSourceError,
                    });
                }
                SecretSource::File(path) => {
                    let file = key_file::open_private(path)?;
                    first_line(durable::read_file_bounded(&file, path, SECRET_BYTES_MAX)?)
                }
                // systemd guards the directory; the mode of the files differs between versions.
                SecretSource::Credential(name) => {
                    let directory = std::env::var_os(CREDENTIALS_DIRECTORY);
                    let directory = directory
                        .ok_or_else(|| SecretError::NoCredentials { name: name.clone() })?;
                    let path = Path::new(&directory).join(name);
                    first_line(durable::read_bounded(&path, SECRET_BYTES_MAX)?)
                }
                SecretSource::Descriptor(number) => {
                    let path = PathBuf::from(format!("/dev/fd/{number}"));
                    let file = File::open(&path).map_err(|source| ReadError::Io {
                        path: path.clone(),
                        source,
                    })?;
                    first_line(durable::read_file_bounded(&file, &path, SECRET_BYTES_MAX)?)
                }
            };
            if secret.expose().is_empty() {
                return Err(SecretError::Empty {
                    purpose: purpose.to_owned(),
                });
            }
            self.0.insert(known.clone(), secret);
        }
        Ok(&self.0[&known])
    }
}

fn ask(purpose: &str) -> Result<Secret, SecretError> {
    let typed = rpassword::prompt_password(format!("Type {purpose}: "));
    let typed = typed.map_err(|source| SecretError::Prompt {
        purpose: purpose.to_owned(),
        source,
    })?;
    Ok(Secret::new(typed.into_bytes()))
}

/// What editors and `echo` put behind a line does not belong to the secret.
fn first_line(bytes: Vec<u8>) -> Secret {
    let mut bytes = Zeroizing::new(bytes);
    let end = bytes.iter().position(|&byte| matches!(byte, b'\n' | b'\r'));
    // The allocation, which is cleared as a whole, stays the same.
    let length = end.unwrap_or(bytes.len());
    bytes.truncate(length);
    Secret(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn sources_have_one_spelling_and_a_secret_is_none() {
        for text in ["prompt", "file:a/b", "file:/a:b", "credential:x", "fd:3"] {
            let source: SecretSource = text.parse().unwrap();
            assert_eq!(source.to_string(), text);
        }
        for text in [
            "",
            "hunter2",
            "file",
            "file:",
            "fd:",
            "fd:-1",
            "fd:65536",
            "prompt:",
            "credential:",
            "credential:../x",
            "credential:..",
            "env:X",
            "pass:x",
        ] {
            let error = text.parse::<SecretSource>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_file_is_read_once_to_the_end_of_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let source = SecretSource::File(path.clone());
        for text in ["two words", "two words\n", "two words\r\nmore"] {
            let _ = fs::remove_file(&path);
            durable::create_new(&path, text.as_bytes()).unwrap();
            let mut secrets = Secrets::default();
            let secret = secrets.read(&source, "x").unwrap();
            assert_eq!(secret.expose(), b"two words");
            assert_eq!(format!("{secret:?}"), "Secret(..)");
            fs::remove_file(&path).unwrap();
            assert!(secrets.read(&source, "x").is_ok());
            assert!(secrets.read(&source, "another purpose").is_err());
            assert!(!format!("{secrets:?}").contains("words"));
        }
    }

    #[test]
    fn exposed_empty_long_and_missing_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let read = |text: &[u8], mode| {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let source = SecretSource::File(path.clone());
            Secrets::default().read(&source, "the passphrase").cloned()
        };
        assert_eq!(read(&[b'a'; 1024], 0o400).unwrap().expose().len(), 1024);
        assert!(matches!(
            read(b"a", 0o640),
            Err(SecretError::File(key_file::KeyFileError::Exposed { .. }))
        ));
        assert!(matches!(
            read(&[b'a'; 1025], 0o600),
            Err(SecretError::Read(ReadError::TooLong { .. }))
        ));
        for empty in [&b""[..], b"\n", b"\r\nx"] {
            assert!(matches!(read(empty, 0o600), Err(SecretError::Empty { .. })));
        }
        let absent = SecretSource::File(directory.path().join("absent"));
        assert!(Secrets::default().read(&absent, "x").is_err());
        let closed = SecretSource::Descriptor(999);
        assert!(Secrets::default().read(&closed, "x").is_err());
    }
}
