//! A directory that stands for the messenger's own servers: plain files, nothing encrypted.
//!
//! ```text
//! LABEL/devices/ID.json         a device that the messenger offers: what others encrypt to
//! LABEL/inbox/ID/NAME.json      a message to that device
//! LABEL/shared/CODE             what the devices of an account key share, sealed
//! LABEL/compare/FROM/NAME       a message of a comparison of codes, to LABEL
//! ```
//!
//! Whoever writes there plays the messenger's servers: a file in `devices` is enough to add a
//! device to somebody's account as a server could.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_core::account::{Device, DeviceKey, Label};
use candor_core::limits::DEVICE_KEY_BYTES_MAX;
use candor_core::verification::PublicCode;
use candor_host::durable::{self, InstanceLock, LockError};
use candor_sdk::device::OfferedDevice;
use serde::{Deserialize, Serialize};

use crate::device::hexadecimal;
use crate::failure::Failure;
use crate::output::Exit;
use crate::view::hex;

/// Longest file in bytes: what the devices of an account share.
const FILE_BYTES_MAX: usize = 16 << 20;

/// How long another phone may hold what all of them share.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// The directory.
#[derive(Clone, Debug)]
pub struct Mailbox(PathBuf);

/// A message as it lies there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// The sender's label.
    pub from: String,
    pub sent_ms: u64,
    pub text: String,
    /// A head of the log that the sender has, in base64.
    pub gossip: Option<String>,
    /// The sender's own lookup proof, in base64.
    pub proof: Option<String>,
}

/// A device as the messenger offers it.
#[derive(Serialize, Deserialize)]
struct Offer {
    /// Public keys in base64, by purpose.
    keys: BTreeMap<String, String>,
}

impl Mailbox {
    pub const fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Offers a device to everybody who writes to `label`.
    pub fn offer(&self, label: &Label, device: &Device) -> Result<(), Failure> {
        let keys = device.keys.iter();
        let keys = keys.map(|key| (key.purpose.clone(), STANDARD.encode(&key.public_key)));
        let offer = Offer {
            keys: keys.collect(),
        };
        let path = self.directory(&[&place(label), "devices"])?;
        let path = path.join(format!("{}.json", hex(&device.id)));
        Ok(durable::replace(&path, &json(&offer))?)
    }

    /// No longer offers a device.
    pub fn withdraw(&self, label: &Label, id: &[u8]) -> Result<(), Failure> {
        let directory = self.0.join(place(label)).join("devices");
        remove(&directory.join(format!("{}.json", hex(id))))
    }

    /// The devices that the messenger offers.
    pub fn offered(&self, label: &Label) -> Result<Vec<OfferedDevice>, Failure> {
        let mut offered = Vec::new();
        for path in files(&self.0.join(place(label)).join("devices"))? {
            let id = path
                .file_stem()
                .and_then(|name| hexadecimal(name.to_str()?));
            let offer: Option<Offer> = serde_json::from_slice(&read(&path)?).ok();
            let device = id.zip(offer).and_then(|(id, offer)| offer.device(id));
            offered.push(device.ok_or_else(|| damaged(&path))?);
        }
        Ok(offered)
    }

    /// Puts a message into the inbox of one device.
    pub fn send(&self, to: &Label, device: &[u8], message: &Message) -> Result<(), Failure> {
        let directory = self.directory(&[&place(to), "inbox", &hex(device)])?;
        let path = directory.join(format!("{}.json", unique()?));
        Ok(durable::replace(&path, &json(message))?)
    }

    /// The messages in the inbox of one device, the oldest first, each with its file; `None` where
    /// the file is no message.
    pub fn inbox(
        &self,
        label: &Label,
        device: &[u8],
    ) -> Result<Vec<(PathBuf, Option<Message>)>, Failure> {
        let directory = self.0.join(place(label)).join("inbox").join(hex(device));
        let read = |path: PathBuf| {
            let message = serde_json::from_slice(&read(&path)?).ok();
            Ok((path, message))
        };
        files(&directory)?.into_iter().map(read).collect()
    }

    /// What the devices of an account key share, sealed.
    pub fn shared(&self, label: &Label, code: PublicCode) -> Result<Option<Vec<u8>>, Failure> {
        let path = self
            .0
            .join(place(label))
            .join("shared")
            .join(code.to_text());
        match path.exists() {
            true => read(&path).map(Some),
            false => Ok(None),
        }
    }

    /// Replaces it. The caller holds [`Self::lock_shared`].
    pub fn put_shared(
        &self,
        label: &Label,
        code: PublicCode,
        sealed: &[u8],
    ) -> Result<(), Failure> {
        let path = self.directory(&[&place(label), "shared"])?;
        Ok(durable::replace(&path.join(code.to_text()), sealed)?)
    }

    /// One phone at a time reads, merges and replaces what is shared.
    pub async fn lock_shared(&self, label: &Label) -> Result<InstanceLock, Failure> {
        let path = self.directory(&[&place(label)])?.join("shared.lock");
        let acquire = async {
            loop {
                match InstanceLock::acquire(&path) {
                    Err(LockError::Held { .. }) => tokio::time::sleep(LOCK_POLL).await,
                    other => return other,
                }
            }
        };
        match tokio::time::timeout(LOCK_WAIT, acquire).await {
            Ok(Ok(lock)) => Ok(lock),
            Ok(Err(error)) => Err(unusable(error)),
            Err(_) => Err(unusable("another phone holds what the phones share")),
        }
    }

    /// Sends a message of a comparison.
    pub fn compare_send(&self, from: &Label, to: &Label, bytes: &[u8]) -> Result<(), Failure> {
        let directory = self.directory(&[&place(to), "compare", &place(from)])?;
        Ok(durable::replace(&directory.join(unique()?), bytes)?)
    }

    /// Takes the messages of a comparison that have come, the oldest first.
    pub fn compare_take(&self, from: &Label, to: &Label) -> Result<Vec<Vec<u8>>, Failure> {
        let mut messages = Vec::new();
        for path in files(&self.comparison(from, to))? {
            messages.push(read(&path)?);
            remove(&path)?;
        }
        Ok(messages)
    }

    /// Takes back what has not been taken yet.
    pub fn compare_clear(&self, from: &Label, to: &Label) -> Result<(), Failure> {
        let paths = files(&self.comparison(from, to))?;
        paths.iter().try_for_each(|path| remove(path))
    }

    /// Whether somebody waits to compare codes.
    pub fn compare_waits(&self, from: &Label, to: &Label) -> Result<bool, Failure> {
        Ok(!files(&self.comparison(from, to))?.is_empty())
    }

    fn comparison(&self, from: &Label, to: &Label) -> PathBuf {
        let directory = self.0.join(place(to)).join("compare");
        directory.join(place(from))
    }

    /// The directory of that place, made if need be.
    fn directory(&self, parts: &[&str]) -> Result<PathBuf, Failure> {
        let path = parts
            .iter()
            .fold(self.0.clone(), |path, part| path.join(part));
        fs::create_dir_all(&path).map_err(unusable)?;
        Ok(path)
    }
}

impl Offer {
    fn device(self, id: Vec<u8>) -> Option<OfferedDevice> {
        let keys = self.keys.into_iter().map(|(purpose, key)| {
            let public_key = STANDARD.decode(key).ok()?;
            (public_key.len() <= DEVICE_KEY_BYTES_MAX).then_some(DeviceKey {
                purpose,
                public_key,
            })
        });
        let keys = keys.collect::<Option<_>>()?;
        Some(OfferedDevice { id, keys })
    }
}

/// A label as the name of a file: what could lead elsewhere is written by its number.
fn place(label: &Label) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@:+._-".contains(&byte);
    label
        .as_bytes()
        .iter()
        .fold(String::new(), |name, byte| match plain(*byte) {
            true => name + &char::from(*byte).to_string(),
            false => name + &format!("%{byte:02X}"),
        })
}

/// A name that sorts by time and does not meet another.
fn unique() -> Result<String, Failure> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(unusable)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since_us = since.map_or(0, |since| since.as_micros());
    Ok(format!("{since_us:018}-{}", hex(&random)))
}

/// The files of a directory by name; none if there is no directory. What is being written has a
/// name with a dot in front.
fn files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unusable)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unusable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with('.') && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(durable::read_bounded(path, FILE_BYTES_MAX)?)
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unusable(error)),
        _ => Ok(()),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("a plain structure is JSON")
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Local,
        "mailbox",
        error,
        "check the directory that `mailbox` in phone.toml names",
    )
}

fn damaged(path: &Path) -> Failure {
    unusable(format_args!("{} is not a device's file", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_name_and_leads_nowhere_else() {
        for (label, name) in [
            ("acct:alice", "acct:alice"),
            ("+1 555 123 4567", "tel:+15551234567"),
            ("mailto:a/b@example.org", "mailto:a%2Fb@example.org"),
            ("acct:zo%C3", "acct:zo%25c3"),
        ] {
            assert_eq!(place(&Label::normalize(label).unwrap()), name);
        }
    }

    #[test]
    fn what_is_offered_reads_back_and_what_is_no_device_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::new(directory.path().join("mailbox"));
        let label = Label::normalize("acct:bob").unwrap();
        assert_eq!(mailbox.offered(&label).unwrap(), []);
        let offer = Offer {
            keys: BTreeMap::from([("encrypt".to_owned(), "AAEC".to_owned())]),
        };
        let devices = mailbox.directory(&[&place(&label), "devices"]).unwrap();
        fs::write(devices.join("0a.json"), json(&offer)).unwrap();
        let offered = mailbox.offered(&label).unwrap();
        assert_eq!(offered[0].id, [10]);
        assert_eq!(offered[0].keys[0].public_key, [0, 1, 2]);
        mailbox.withdraw(&label, &[10]).unwrap();
        assert_eq!(mailbox.offered(&label).unwrap(), []);
        fs::write(devices.join("0g.json"), json(&offer)).unwrap();
        assert!(mailbox.offered(&label).is_err());
    }
}
