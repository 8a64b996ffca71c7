//! A phone's directory: a profile, and beside it who the phone is and its account's key.
//!
//! ```text
//! client.toml, policy.txt, device.store    as every profile
//! phone.toml                               the phone, as its account lists it; nothing secret
//! account.key                              the account key's seed, for its owner alone
//! next-account.key                         while a reset is under way
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_core::account::{Device, DeviceKey, Label};
use candor_host::durable::{self, ReadError};
use candor_host::key_file::{self, KeyFileError, KeyKind, SecretSeed};
use candor_sdk::device::{Identity, Requirements};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::device::hexadecimal;
use crate::failure::Failure;
use crate::profile::Profile;
use crate::view::hex;

const PHONE_FILE: &str = "phone.toml";
const KEY_FILE: &str = "account.key";
const NEXT_KEY_FILE: &str = "next-account.key";

/// Longest `phone.toml` in bytes: 16 keys of 4 KiB in base64.
const PHONE_BYTES_MAX: usize = 128 << 10;

const HEADER: &str = "\
# A phone of `candor device`, as its account lists it. After an update of its system, change
# os_version and publish it again.

";

/// What `phone.toml` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhoneFile {
    /// The account.
    pub label: String,
    /// The directory that stands for the messenger's servers.
    pub mailbox: PathBuf,
    pub device: DeviceFile,
    /// The least version of each platform with which verification can be turned on.
    pub minimum_os: BTreeMap<String, String>,
}

/// A device as an account lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFile {
    /// Hexadecimal.
    pub id: String,
    pub name: String,
    pub platform: String,
    pub os_version: String,
    pub added_ms: u64,
    /// Public keys in base64, by purpose.
    pub keys: BTreeMap<String, String>,
}

impl PhoneFile {
    /// Reads the file of a phone, or of another one that wants to join.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = durable::read_bounded(path, PHONE_BYTES_MAX)?;
        toml::from_slice(&bytes).map_err(|error| {
            let message = error.to_string().trim_end().replace('\n', "; ");
            invalid(format_args!("{}: {message}", path.display()))
        })
    }

    /// The account.
    pub fn label(&self) -> Result<Label, Failure> {
        Label::normalize(&self.label).map_err(invalid)
    }

    /// The device.
    pub fn device(&self) -> Result<Device, Failure> {
        let file = &self.device;
        let keys = file.keys.iter().map(|(purpose, key)| {
            let public_key = STANDARD.decode(key).map_err(invalid)?;
            Ok(DeviceKey {
                purpose: purpose.clone(),
                public_key,
            })
        });
        Ok(Device {
            id: hexadecimal(&file.id).ok_or_else(|| invalid("the id is not hexadecimal"))?,
            name: file.name.clone(),
            platform: file.platform.clone(),
            os_version: file.os_version.clone(),
            capability: 1,
            added_ms: file.added_ms,
            expires_ms: 0,
            keys: keys.collect::<Result<_, Failure>>()?,
        })
    }
}

impl From<&Device> for DeviceFile {
    fn from(device: &Device) -> Self {
        let keys = device.keys.iter();
        let keys = keys.map(|key| (key.purpose.clone(), STANDARD.encode(&key.public_key)));
        Self {
            id: hex(&device.id),
            name: device.name.clone(),
            platform: device.platform.clone(),
            os_version: device.os_version.clone(),
            added_ms: device.added_ms,
            keys: keys.collect(),
        }
    }
}

/// An opened phone's directory.
pub struct Home {
    pub profile: Profile,
    pub file: PhoneFile,
}

impl Home {
    /// Makes a phone that asks the same server as `profile` does.
    pub fn create(
        directory: &Path,
        profile: &Profile,
        file: PhoneFile,
        makes_key: bool,
    ) -> Result<Self, Failure> {
        if directory.exists() {
            let message = format!("{} exists already", directory.display());
            let help = "a phone is made once: use it with --profile, or choose another directory";
            return Err(Failure::profile(message, help));
        }
        let profile = profile.copy_to(directory)?;
        let home = Self { profile, file };
        if makes_key {
            key_file::create(&home.path(KEY_FILE), KeyKind::Ed25519, &generate()?)?;
        }
        let text = toml::to_string(&home.file).expect("a plain structure is TOML");
        // Last, so that it stands for a whole phone.
        durable::create_new(&home.path(PHONE_FILE), format!("{HEADER}{text}").as_bytes())?;
        Ok(home)
    }

    /// Opens the phone in a profile's directory.
    pub fn open(profile: Profile) -> Result<Self, Failure> {
        let path = profile.directory().join(PHONE_FILE);
        if !path.exists() {
            return Err(Failure::profile(
                format_args!("{} is no phone", profile.directory().display()),
                "`candor device init DIR` makes one; name it with --profile",
            ));
        }
        let file = PhoneFile::read(&path)?;
        Ok(Self { profile, file })
    }

    /// Who the phone is. It has no account key before it joined.
    pub fn identity(&self) -> Result<Identity, Failure> {
        let seed = match key_file::read(&self.path(KEY_FILE), KeyKind::Ed25519) {
            Ok(seed) => Some(seed),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(error.into()),
        };
        self.identity_with(seed.as_ref())
    }

    /// Who the phone will be once the account key is replaced. The key is kept before anybody sees
    /// it, and a reset whose outcome was unknown goes on with the same.
    pub fn next_identity(&self) -> Result<Identity, Failure> {
        let path = self.path(NEXT_KEY_FILE);
        if !path.exists() {
            key_file::create(&path, KeyKind::Ed25519, &generate()?)?;
        }
        let seed = key_file::read(&path, KeyKind::Ed25519)?;
        self.identity_with(Some(&seed))
    }

    fn identity_with(&self, seed: Option<&SecretSeed>) -> Result<Identity, Failure> {
        Ok(Identity {
            origin: self.profile.trust().origin().to_owned(),
            label: self.file.label()?,
            identifiers: Vec::new(),
            device: self.file.device()?,
            account_key: seed.map(|seed| Zeroizing::new(*seed.expose())),
            requirements: Requirements {
                minimum_os: self.file.minimum_os.clone(),
            },
            gossip_one_in: 1,
        })
    }

    /// The next account key is now the account's.
    pub fn adopt_next_key(&self) -> Result<(), Failure> {
        fs::rename(self.path(NEXT_KEY_FILE), self.path(KEY_FILE)).map_err(Failure::system)
    }

    /// The next account key will not be the account's.
    pub fn discard_next_key(&self) -> Result<(), Failure> {
        fs::remove_file(self.path(NEXT_KEY_FILE)).map_err(Failure::system)
    }

    /// Writes the account key for another phone of the person.
    pub fn export_key(&self, path: &Path) -> Result<(), Failure> {
        let seed = key_file::read(&self.path(KEY_FILE), KeyKind::Ed25519)?;
        Ok(key_file::create(path, KeyKind::Ed25519, &seed)?)
    }

    /// Takes the account key that another phone of the person wrote, and removes the file.
    pub fn import_key(&self, path: &Path) -> Result<(), Failure> {
        let seed = key_file::read(path, KeyKind::Ed25519)?;
        let next = self.path(NEXT_KEY_FILE);
        key_file::create(&next, KeyKind::Ed25519, &seed)?;
        self.adopt_next_key()?;
        fs::remove_file(path).map_err(Failure::system)
    }

    /// The file that another phone needs to let this one join.
    pub fn request(&self) -> PathBuf {
        self.path(PHONE_FILE)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.profile.directory().join(name)
    }
}

fn generate() -> Result<SecretSeed, Failure> {
    SecretSeed::generate().map_err(|error| Failure::system(IoError::other(error.to_string())))
}

fn is_missing(error: &KeyFileError) -> bool {
    matches!(error, KeyFileError::Read(ReadError::Io { source, .. })
        if source.kind() == ErrorKind::NotFound)
}

fn invalid(error: impl std::fmt::Display) -> Failure {
    Failure::profile(error, "correct phone.toml, or make another phone")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_file_reads_back() {
        let device = Device {
            id: vec![0, 171],
            name: "Ann's \"phone\"".to_owned(),
            platform: "ios".to_owned(),
            os_version: "17.2".to_owned(),
            capability: 1,
            added_ms: 7,
            expires_ms: 0,
            keys: vec![DeviceKey {
                purpose: "encrypt".to_owned(),
                public_key: vec![1; 32],
            }],
        };
        let file = PhoneFile {
            label: "acct:ann".to_owned(),
            mailbox: "/a b".into(),
            device: DeviceFile::from(&device),
            minimum_os: BTreeMap::from([("ios".to_owned(), "17.2".to_owned())]),
        };
        let text = toml::to_string(&file).unwrap();
        let read: PhoneFile = toml::from_str(&text).unwrap();
        assert!(read.device().unwrap() == device);
        assert_eq!(read.label().unwrap().as_str(), "acct:ann");
        for (good, bad) in [("acct:ann", "ann"), ("00ab", "00xx"), ("AQEB", "?")] {
            let wrong: PhoneFile = toml::from_str(&text.replace(good, bad)).unwrap();
            assert!(wrong.device().is_err() || wrong.label().is_err(), "{bad}");
        }
    }
}
