//! What reports are made of: devices, heads, and what was checked, for programs and for people.

use std::fmt::{self, Write as _};

use candor_core::account::{AccountKey, Change, Device, VerifiedState};
use candor_core::answer::KnownHead;
use candor_core::note::VerifiedCheckpoint;
use candor_sdk::{Client, Error, Store};
use comfy_table::Table;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::output::{FAINT, GOOD, STRONG, WARN, paint, table, visible, write_table};
use crate::profile::Profile;
use crate::time::{ago, date, date_time, now_ms};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// The first eight bytes of a digest, in groups that people can compare.
pub fn short(digest: &str) -> String {
    let groups: Vec<_> = digest.as_bytes().chunks(4).take(4).collect();
    String::from_utf8_lossy(&groups.join(&b' ')).into_owned()
}

/// A device of an account.
#[derive(Serialize)]
pub struct DeviceView {
    /// Hexadecimal.
    pub id: String,
    pub name: String,
    pub platform: String,
    pub os_version: String,
    pub capability: u16,
    pub added_ms: u64,
    /// `null`: never.
    pub expires_ms: Option<u64>,
    pub keys: Vec<KeyView>,
}

/// A key of a device.
#[derive(Serialize)]
pub struct KeyView {
    pub purpose: String,
    /// SHA-256 of the public key, in hexadecimal.
    pub fingerprint: String,
}

impl From<&Device> for DeviceView {
    fn from(device: &Device) -> Self {
        let keys = device.keys.iter().map(|key| KeyView {
            purpose: key.purpose.clone(),
            fingerprint: hex(&Sha256::digest(&key.public_key)),
        });
        Self {
            id: hex(&device.id),
            name: device.name.clone(),
            platform: device.platform.clone(),
            os_version: device.os_version.clone(),
            capability: device.capability,
            added_ms: device.added_ms,
            expires_ms: (device.expires_ms > 0).then_some(device.expires_ms),
            keys: keys.collect(),
        }
    }
}

/// The devices of a state.
pub fn devices(state: &VerifiedState) -> Vec<DeviceView> {
    state.state().devices.iter().map(DeviceView::from).collect()
}

/// Writes devices as a table, a line for each key.
pub fn write_devices(out: &mut String, devices: &[DeviceView]) -> fmt::Result {
    if devices.is_empty() {
        return writeln!(out, "  {}", paint(WARN, "no devices"));
    }
    let mut table: Table = table([
        "device",
        "name",
        "platform",
        "capability",
        "expires",
        "keys",
    ]);
    let now_ms = now_ms();
    for device in devices {
        let expires = match device.expires_ms {
            None => "never".to_owned(),
            Some(at_ms) if at_ms <= now_ms => format!("expired {}", date(at_ms)),
            Some(at_ms) => date(at_ms),
        };
        let width = device.keys.iter().map(|key| key.purpose.len()).max();
        let width = width.unwrap_or(0);
        let keys = device.keys.iter();
        let keys = keys.map(|key| format!("{:width$}  {}", key.purpose, short(&key.fingerprint)));
        let platform = format!(
            "{} {}",
            visible(&device.platform),
            visible(&device.os_version)
        );
        table.add_row([
            device.id.chars().take(8).collect::<String>(),
            visible(&device.name),
            platform.trim().to_owned(),
            device.capability.to_string(),
            expires,
            keys.collect::<Vec<_>>().join("\n"),
        ]);
    }
    write_table(out, &table)
}

/// A verified head, and who vouches for it.
#[derive(Serialize)]
pub struct HeadView {
    pub origin: String,
    /// Index of the newest record.
    pub epoch: u64,
    /// Number of records.
    pub size: u64,
    pub timestamp_ms: u64,
    /// Root of the log, in hexadecimal.
    pub root: String,
    /// Root of the map, in hexadecimal.
    pub map_root: String,
    /// Versions of all accounts in the map.
    pub map_leaves: u64,
    /// Every cosigner of the policy's witnesses.
    pub witnesses: Vec<WitnessView>,
    /// Whether the policy asks for witnesses at all.
    pub quorum: bool,
    /// The log that this one goes on as, if this head ended it.
    pub successor: Option<String>,
}

/// A cosigner of the policy, by the name in its keys.
#[derive(Serialize)]
pub struct WitnessView {
    pub name: String,
    /// Whether it checks every change of the map besides the log.
    pub checks_map: bool,
    /// When it cosigned; `null` if this checkpoint lacks its cosignature.
    pub cosigned_s: Option<u64>,
}

impl HeadView {
    pub fn new(profile: &Profile, head: &KnownHead, checkpoint: &VerifiedCheckpoint) -> Self {
        let mut witnesses: Vec<WitnessView> = Vec::new();
        for witness in profile.trust().policy().witnesses() {
            let cosigned = checkpoint
                .cosignatures()
                .iter()
                .find(|each| each.witness() == witness.name())
                .map(|each| each.timestamp_s());
            let checks_map = profile.checks_map(witness.name());
            // A cosigner may sign with several algorithms, each a line of the policy.
            let name = witness.key().name().as_str();
            match witnesses.iter_mut().find(|view| view.name == name) {
                Some(view) => {
                    view.cosigned_s = view.cosigned_s.max(cosigned);
                    view.checks_map |= checks_map;
                }
                None => witnesses.push(WitnessView {
                    name: name.to_owned(),
                    checks_map,
                    cosigned_s: cosigned,
                }),
            }
        }
        Self {
            origin: profile.trust().origin().to_owned(),
            epoch: head.size - 1,
            size: head.size,
            timestamp_ms: head.map.timestamp_ms,
            root: hex(&head.root.0),
            map_root: hex(&head.map.root.0),
            map_leaves: head.map.leaves,
            witnesses,
            quorum: checkpoint.quorum_timestamp_s().is_some(),
            successor: None,
        }
    }

    /// With the log that this one goes on as.
    pub fn with_successor(self, successor: Option<String>) -> Self {
        Self { successor, ..self }
    }

    /// One line: which epoch, of when.
    pub fn line(&self) -> String {
        let (at, ago) = (
            date_time(self.timestamp_ms),
            ago(self.timestamp_ms, now_ms()),
        );
        format!("epoch {}, {at} ({ago})", self.epoch)
    }

    /// That the log and its witnesses vouch for the head.
    pub fn checks(&self) -> Vec<Check> {
        let log = Check::good("log signature", format!("by {}", self.origin));
        let names = self.witnesses.iter().filter_map(|witness| {
            let at_s = witness.cosigned_s?;
            let is_named = witness.name.ends_with("/map");
            let map = if witness.checks_map && !is_named {
                " (map)"
            } else {
                ""
            };
            Some(format!(
                "{}{map} {}",
                visible(&witness.name),
                ago(at_s * 1000, now_ms())
            ))
        });
        let names: Vec<_> = names.collect();
        let witnesses = match self.quorum {
            true => {
                let (count, all) = (names.len(), self.witnesses.len());
                Check::good("witnesses", format!("{count}/{all}: {}", names.join(", ")))
            }
            false => Check::warn(
                "witnesses",
                "none: the policy asks for none, so the log could show others something else"
                    .to_owned(),
            ),
        };
        let ended = self.successor.as_ref();
        let ended = ended.map(|next| Check::warn("log", has_ended(next)));
        [log, witnesses].into_iter().chain(ended).collect()
    }
}

/// That a log goes on as another one.
fn has_ended(successor: &str) -> String {
    format!("has ended, and goes on as {}", visible(successor))
}

/// Writes that the log goes on as another one, if it does.
pub fn write_end(out: &mut String, successor: Option<&String>) -> fmt::Result {
    match successor {
        Some(successor) => write_field(out, "log", paint(WARN, has_ended(successor))),
        None => Ok(()),
    }
}

/// The log that this one goes on as, if the head that was verified last ended it.
pub async fn successor<S: Store>(client: &Client<S>) -> Result<Option<String>, Error> {
    let successor = client.successor().await?;
    Ok(successor.map(|successor| successor.origin().to_owned()))
}

/// One thing that was checked.
#[derive(Serialize)]
pub struct Check {
    pub name: &'static str,
    /// Whether it gives what it can give; `false` is a weakness, not an attack.
    pub full: bool,
    pub detail: String,
}

impl Check {
    pub const fn good(name: &'static str, detail: String) -> Self {
        let full = true;
        Self { name, full, detail }
    }

    pub const fn warn(name: &'static str, detail: String) -> Self {
        let full = false;
        Self { name, full, detail }
    }
}

/// Writes what was checked.
pub fn write_checks(out: &mut String, checks: &[Check]) -> fmt::Result {
    writeln!(out, "{}", paint(FAINT, "checked"))?;
    for Check { name, full, detail } in checks {
        let mark = if *full {
            paint(GOOD, "✓")
        } else {
            paint(WARN, "!")
        };
        writeln!(out, "  {mark} {name:<17} {detail}")?;
    }
    Ok(())
}

/// Writes a line of a report: a faint name, and what it is.
pub fn write_field(out: &mut String, name: &str, what: impl fmt::Display) -> fmt::Result {
    writeln!(out, "  {} {what}", paint(FAINT, format_args!("{name:<10}")))
}

/// Writes what a report is about.
pub fn write_title(out: &mut String, title: impl fmt::Display) -> fmt::Result {
    writeln!(out, "{}", paint(STRONG, title))
}

/// The digest of an account key that people compare, in hexadecimal.
pub fn account_key(key: &AccountKey) -> String {
    hex(&key.hash().0)
}

/// A step of an account, for programs.
pub const fn change(change: Change) -> &'static str {
    match change {
        Change::Created => "created",
        Change::Bound => "bound",
        Change::Updated => "updated",
        Change::Enrolled => "enrolled",
        Change::Disenrolled => "disenrolled",
        Change::Reset => "reset",
        Change::Moved => "moved",
        _ => "unknown",
    }
}

/// What changed among the devices, for people.
pub fn device_changes(before: &[Device], after: &[Device]) -> Vec<String> {
    let find = |devices: &'_ [Device], id: &[u8]| devices.iter().position(|each| each.id == id);
    let named = |device: &Device| {
        format!(
            "{} {}",
            &hex(&device.id[..device.id.len().min(4)]),
            visible(&device.name)
        )
    };
    let mut changes = Vec::new();
    for device in after {
        match find(before, &device.id) {
            None => changes.push(format!("added {}", named(device))),
            Some(at) if before[at].keys != device.keys => {
                changes.push(format!("changed keys of {}", named(device)));
            }
            Some(at) if before[at] != *device => changes.push(format!("changed {}", named(device))),
            Some(_) => {}
        }
    }
    let removed = before
        .iter()
        .filter(|device| find(after, &device.id).is_none());
    changes.extend(removed.map(|device| format!("removed {}", named(device))));
    changes
}
