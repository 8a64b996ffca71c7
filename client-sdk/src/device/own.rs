//! The self check: is the own account what the person's devices made of it?
//!
//! Every version since the last one found in order is held against what the devices say that they
//! published, and against the rules of accounts. What does not fit stays *unexplained*: another
//! device of the person may have made it and not shared it yet, so the next check looks again. A
//! function of values.

use std::collections::BTreeSet;

use candor_core::account::{
    Device, DeviceKey, Label, VerifiedState, VerifiedValue, check_successor,
};
use sha2::{Digest as _, Sha256};

use super::alert::{AlertKind, DeviceChange, DeviceDifference, device_changes};
use super::judge::{Finding, Logged};
use super::trouble::Trouble;
use crate::memory::value_hash;
use crate::monitor::PublishedVersion;
use crate::shared::{DeviceTag, LoggedVersion, SharedState};

/// What a look at the own account found.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnFindings {
    /// Versions that none of the person's devices is known to have published.
    pub(super) unexplained: Option<Finding>,
    /// The first of them.
    pub(super) first_unexplained: Option<u32>,
    /// Devices that none of the person's devices is known to have added.
    pub(super) strangers: Option<Finding>,
    /// The newest version up to which everything is explained.
    pub(super) explained: Option<LoggedVersion>,
    /// The newest version, and what it holds.
    pub(super) newest: Option<(LoggedVersion, VerifiedValue)>,
}

impl OwnFindings {
    /// The state, if the newest version is one.
    pub(super) fn state(&self) -> Option<&VerifiedState> {
        match &self.newest {
            Some((_, VerifiedValue::State(state))) => Some(state),
            _ => None,
        }
    }
}

/// Stands for a device with its keys: with other keys it is another device.
pub(super) fn record_tag(device: &Device) -> DeviceTag {
    DeviceTag::of(&digest(&device.id, &device.keys))
}

/// A digest of a device and its keys, of whatever length.
pub(super) fn digest(id: &[u8], keys: &[DeviceKey]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    put(id);
    for key in keys {
        put(key.purpose.as_bytes());
        put(&key.public_key);
    }
    hash.finalize().into()
}

/// A number that tells one digest from another.
pub(super) fn number(digest: [u8; 32]) -> u64 {
    let (first, _) = digest.split_first_chunk().expect("8 of 32 bytes");
    u64::from_be_bytes(*first)
}

/// Judges the history of the own label from `base` on: the version up to which everything was
/// explained, or the person acknowledged it.
pub(super) fn judge_own(
    label: &Label,
    shared: &SharedState,
    base: Option<LoggedVersion>,
    logged: &[Logged],
) -> Result<OwnFindings, Trouble> {
    if let Some(base) = base {
        // A device of the person saw this version: a log without it is behind, one with other
        // content lied to one of them.
        let again = logged.first().ok_or(Trouble::Behind)?;
        if again.version != base.version {
            return Err(Trouble::Behind);
        }
        if again.commitment != base.commitment {
            return Err(Trouble::HistoryChanged);
        }
    }
    let expected: BTreeSet<_> = shared.published().copied().collect();
    let mut found = OwnFindings::default();
    let mut recognised: Option<VerifiedValue> = None;
    for (index, each) in logged.iter().enumerate() {
        let is_published = each.value.as_deref().is_some_and(|value| {
            expected.contains(&PublishedVersion {
                version: each.version,
                value_hash: value_hash(value),
            })
        });
        // One that cannot be read is shown, and what follows is judged all the same.
        let value = match each.value(label) {
            Err(Trouble::Incompatible) if is_published => return Err(Trouble::Incompatible),
            value => value.ok().flatten(),
        };
        let previous = found.newest.as_ref().map(|(_, value)| value);
        // After an erased version the rules cannot be checked. What a device of the person made
        // followed what that device knew.
        let is_after_erased = index > 0 && logged[index - 1].value.is_none();
        let follows = value
            .as_ref()
            .is_some_and(|value| is_after_erased || check_successor(previous, value).is_ok());
        let is_known = index == 0 && base.is_some();
        let logged = LoggedVersion {
            version: each.version,
            commitment: each.commitment,
        };
        if is_known || (follows && is_published) {
            if found.unexplained.is_none() {
                found.explained = Some(logged);
                recognised.clone_from(&value);
            }
        } else {
            found.first_unexplained.get_or_insert(each.version);
            // That somebody else made a version is graver than that nobody can tell.
            let kind = match (&each.value, &found.unexplained) {
                (None, None) => AlertKind::OwnHistoryErased,
                (None, Some(before)) => before.kind,
                (Some(_), _) => AlertKind::OwnUnexpectedVersion,
            };
            let cause = u64::from(each.version);
            found.unexplained = Some(Finding::plain(kind, cause));
        }
        if let Some(value) = value {
            found.newest = Some((logged, value));
        }
    }
    if let (Some(unexplained), Some(VerifiedValue::State(now))) = (
        &mut found.unexplained,
        found.newest.as_ref().map(|it| &it.1),
    ) {
        let before = match &recognised {
            Some(VerifiedValue::State(before)) => Some(before.state()),
            _ => None,
        };
        unexplained.changes = device_changes(before, now.state());
    }
    found.strangers = strangers(&found, shared);
    Ok(found)
}

fn strangers(found: &OwnFindings, shared: &SharedState) -> Option<Finding> {
    let state = found.state()?;
    let devices = state.state().devices.iter();
    let strangers = devices.filter(|device| !shared.has_device(record_tag(device)));
    let mut all = Sha256::new();
    let mut changes = Vec::new();
    for device in strangers {
        all.update(digest(&device.id, &device.keys));
        changes.push(DeviceChange::new(DeviceDifference::Added, device));
    }
    (!changes.is_empty()).then(|| Finding {
        kind: AlertKind::OwnUnrecognisedDevice,
        cause: number(all.finalize().into()),
        changes,
    })
}
