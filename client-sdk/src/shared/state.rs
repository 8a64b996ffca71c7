//! The state, what devices write in it, and how two of them become one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use candor_core::Hash;
use candor_core::account::{AccountKey, Label};
use candor_core::codec::Writer as _;
use candor_core::crypto::Commitment;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::register::{Register, join, join_entry};
use crate::monitor::PublishedVersion;

/// Most contacts that a device adds: with 89 bytes each, 1.4 MiB.
pub(super) const CONTACTS_MAX: usize = 16_384;

/// Most publications that a device adds without having looked for them in the log.
pub(super) const PUBLISHED_MAX: usize = 256;

/// Most devices that are remembered, those that were removed included.
pub(super) const DEVICES_MAX: usize = 1024;

/// A contact: a digest of its label and of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContactId(pub(super) [u8; 32]);

impl ContactId {
    /// The contact with this label at the log of that origin.
    pub fn of(origin: &str, label: &Label) -> Self {
        let mut input = b"candor-sdk contact".to_vec();
        input.opaque16(origin.as_bytes());
        input.extend_from_slice(label.as_bytes());
        Self(Sha256::digest(&input).into())
    }
}

/// A device: the beginning of a digest of its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceTag(pub(super) [u8; 16]);

impl DeviceTag {
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The device with this identifier, as the account's state has it.
    pub fn of(device_id: &[u8]) -> Self {
        let digest = Sha256::new_with_prefix(b"candor-sdk device").chain_update(device_id);
        let digest: [u8; 32] = digest.finalize().into();
        let (first, _) = digest.split_first_chunk().expect("16 of 32 bytes");
        Self(*first)
    }
}

/// The newest head of the log that a device verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenHead {
    /// Number of records.
    pub size: u64,
    /// Root of the log.
    pub root: Hash,
}

/// A version of the account that a device found in the log in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedVersion {
    /// The version.
    pub version: u32,
    /// What the map holds for it.
    pub commitment: Commitment,
}

/// Why something was not added. The caller is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SharedError {
    /// There is no room for another one.
    #[error("no more than {limit} {what} are shared")]
    Full {
        /// Of what.
        what: &'static str,
        /// The most.
        limit: usize,
    },
    /// The logical clock is at its end: a device of the account is broken or was taken over.
    #[error("the shared state cannot be changed any more")]
    ClockExhausted,
}

/// What a merge found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The other state had something that this one had not.
    pub learned: bool,
    /// The other state lacks something that this one has: it should be sent. If this device knows
    /// that the server had it, the server gave back an older state.
    pub lacks_ours: bool,
    /// Both found something else at the same place of the log: another commitment of one version,
    /// or another root of one size. The log showed the devices two histories.
    pub contradicts: bool,
}

/// What the devices of an account share.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SharedState {
    pub(super) enrolled: Option<Register<bool>>,
    /// Whether a device is one of ours.
    pub(super) devices: BTreeMap<DeviceTag, Register<bool>>,
    /// The hash of the account key that was verified; `None` where the mark was removed.
    pub(super) contacts: BTreeMap<ContactId, Register<Option<Hash>>>,
    /// None is older than `monitored`.
    pub(super) published: BTreeSet<PublishedVersion>,
    /// Greatest version found in order, and its commitment.
    pub(super) monitored: Option<(u32, [u8; 32])>,
    pub(super) heads: BTreeMap<DeviceTag, SeenHead>,
}

impl fmt::Debug for SharedState {
    /// Counts only: digests of contacts tell who knows whom to who can guess a label.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedState")
            .field("devices", &self.devices.len())
            .field("contacts", &self.contacts.len())
            .field("published", &self.published.len())
            .finish_non_exhaustive()
    }
}

impl SharedState {
    /// A state of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the account's devices hold verification to be on; `None` if no device said so.
    pub fn is_enrolled(&self) -> Option<bool> {
        self.enrolled.map(|enrolled| enrolled.value)
    }

    /// Device `by` turned verification on or off.
    ///
    /// # Errors
    ///
    /// [`SharedError::ClockExhausted`].
    pub fn set_enrolled(&mut self, by: DeviceTag, enrolled: bool) -> Result<(), SharedError> {
        self.enrolled = Some(self.stamp(by, enrolled)?);
        Ok(())
    }

    /// Whether a device is one that the account's devices added and did not remove.
    pub fn has_device(&self, device: DeviceTag) -> bool {
        self.devices.get(&device).is_some_and(|known| known.value)
    }

    /// Device `by` added `device` to the account, or removed it.
    ///
    /// # Errors
    ///
    /// [`SharedError`].
    pub fn set_device(
        &mut self,
        by: DeviceTag,
        device: DeviceTag,
        is_ours: bool,
    ) -> Result<(), SharedError> {
        let count = self.devices.len();
        room(
            self.devices.contains_key(&device),
            count,
            DEVICES_MAX,
            "devices",
        )?;
        let entry = self.stamp(by, is_ours)?;
        self.devices.insert(device, entry);
        Ok(())
    }

    /// The hash of the account key ([`AccountKey::hash`]) that was verified for a contact.
    pub fn verified(&self, contact: ContactId) -> Option<Hash> {
        self.contacts.get(&contact).and_then(|mark| mark.value)
    }

    /// At device `by` the person verified that the contact has this account key.
    ///
    /// # Errors
    ///
    /// [`SharedError`].
    pub fn set_verified(
        &mut self,
        by: DeviceTag,
        contact: ContactId,
        key: &AccountKey,
    ) -> Result<(), SharedError> {
        self.mark(by, contact, Some(key.hash()))
    }

    /// The contact's mark is void.
    ///
    /// # Errors
    ///
    /// [`SharedError`].
    pub fn clear_verified(&mut self, by: DeviceTag, contact: ContactId) -> Result<(), SharedError> {
        self.mark(by, contact, None)
    }

    fn mark(
        &mut self,
        by: DeviceTag,
        contact: ContactId,
        hash: Option<Hash>,
    ) -> Result<(), SharedError> {
        let count = self.contacts.len();
        room(
            self.contacts.contains_key(&contact),
            count,
            CONTACTS_MAX,
            "contacts",
        )?;
        let entry = self.stamp(by, hash)?;
        self.contacts.insert(contact, entry);
        Ok(())
    }

    /// What the account's devices published, from the version on that [`Self::monitored`] names.
    pub fn published(&self) -> impl Iterator<Item = &PublishedVersion> {
        self.published.iter()
    }

    /// A device is about to publish a version. To be shared as soon as it is published.
    ///
    /// # Errors
    ///
    /// [`SharedError::Full`].
    pub fn add_published(&mut self, version: PublishedVersion) -> Result<(), SharedError> {
        let is_known = self.published.contains(&version);
        room(
            is_known,
            self.published.len(),
            PUBLISHED_MAX,
            "publications",
        )?;
        self.published.insert(version);
        self.forget_monitored();
        Ok(())
    }

    /// The greatest version that a device of the account found in the log in order.
    pub fn monitored(&self) -> Option<LoggedVersion> {
        let (version, commitment) = self.monitored?;
        Some(LoggedVersion {
            version,
            commitment: Commitment(commitment),
        })
    }

    /// A device found every version up to this one in order.
    pub fn set_monitored(&mut self, logged: LoggedVersion) {
        join(&mut self.monitored, (logged.version, logged.commitment.0));
        self.forget_monitored();
    }

    /// The newest head that each device verified. They are of one log, so a device that cannot have
    /// two of them proved consistent has found a fork.
    pub fn heads(&self) -> impl Iterator<Item = SeenHead> {
        self.heads.values().copied()
    }

    /// Device `by` verified a head.
    ///
    /// # Errors
    ///
    /// [`SharedError::Full`].
    pub fn set_head(&mut self, by: DeviceTag, head: SeenHead) -> Result<(), SharedError> {
        room(
            self.heads.contains_key(&by),
            self.heads.len(),
            DEVICES_MAX,
            "heads",
        )?;
        join_entry(&mut self.heads, by, head);
        Ok(())
    }

    /// Takes in what another state knows.
    pub fn merge(&mut self, other: &Self) -> Merge {
        let mut merged = self.clone();
        merged.take(other);
        let found = Merge {
            contradicts: self.contradicts(other),
            learned: merged != *self,
            lacks_ours: merged != *other,
        };
        *self = merged;
        found
    }

    fn contradicts(&self, other: &Self) -> bool {
        let another_commitment = match (self.monitored, other.monitored) {
            (Some(ours), Some(theirs)) => ours.0 == theirs.0 && ours.1 != theirs.1,
            _ => false,
        };
        let another_root = |theirs: &SeenHead| {
            let mut ours = self.heads.values();
            ours.any(|ours| ours.size == theirs.size && ours.root != theirs.root)
        };
        another_commitment || other.heads.values().any(another_root)
    }

    fn take(&mut self, other: &Self) {
        if let Some(enrolled) = other.enrolled {
            join(&mut self.enrolled, enrolled);
        }
        for (device, entry) in &other.devices {
            join_entry(&mut self.devices, *device, *entry);
        }
        for (contact, entry) in &other.contacts {
            join_entry(&mut self.contacts, *contact, *entry);
        }
        self.published.extend(&other.published);
        if let Some(monitored) = other.monitored {
            join(&mut self.monitored, monitored);
        }
        self.forget_monitored();
        for (device, head) in &other.heads {
            join_entry(&mut self.heads, *device, *head);
        }
    }

    /// Of what was found in the log only the newest is needed.
    fn forget_monitored(&mut self) {
        if let Some((monitored, _)) = self.monitored {
            self.published.retain(|it| it.version >= monitored);
        }
    }

    /// A value that is later than all that this device has seen.
    fn stamp<T>(&self, by: DeviceTag, value: T) -> Result<Register<T>, SharedError> {
        let devices = self.devices.values().map(|entry| entry.clock);
        let contacts = self.contacts.values().map(|entry| entry.clock);
        let enrolled = self.enrolled.iter().map(|entry| entry.clock);
        let latest = devices.chain(contacts).chain(enrolled).max().unwrap_or(0);
        Ok(Register {
            clock: latest.checked_add(1).ok_or(SharedError::ClockExhausted)?,
            writer: by,
            value,
        })
    }
}

fn room(is_there: bool, count: usize, limit: usize, what: &'static str) -> Result<(), SharedError> {
    match is_there || count < limit {
        true => Ok(()),
        false => Err(SharedError::Full { what, limit }),
    }
}
