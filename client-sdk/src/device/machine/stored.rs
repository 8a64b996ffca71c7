//! What the machine keeps in the store, and how it begins from there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use candor_core::Hash;
use candor_core::account::Label;
use candor_core::codec::{DecodeError, Reader, Writer as _};
use candor_core::crypto::Commitment;
use candor_core::limits::LABEL_BYTES_MAX;
use candor_core::note::GossipHead;

use super::{CONTACTS_MAX, Identity, Machine, THIS_VERSION};
use crate::device::alert::{AlertKind, Subject};
use crate::device::board::Board;
use crate::device::contact::ContactRecord;
use crate::memory::{Kind, key};
use crate::shared::{DeviceTag, LoggedVersion, SharedState};
use crate::store::{Change, Key, StoreError};

const FORMAT: u8 = 1;

/// An entry of the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    Own,
    Shared,
    Uploaded,
    Alerts,
    /// The labels of all contacts.
    Index,
    Contact(Label),
}

/// A version that this device published and has not seen in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) version: u32,
    pub(super) value_hash: Hash,
    pub(super) since_s: u64,
    /// The device, with its keys, that is no longer one of the account's then.
    pub(super) gone: Option<DeviceTag>,
    /// What the person then starts over from, by a reset.
    pub(super) accepts: Option<LoggedVersion>,
}

/// What this device keeps of its own account, apart from what it shares.
///
/// ```text
/// struct { uint32 version; opaque commitment[32]; } Logged;
/// struct {
///   uint8 format = 1; uint8 on; uint64 first_s; uint64 checked_s;
///   optional<Logged> newest; optional<Logged> accepted; optional<uint64> unexplained_s;
///   optional<struct {
///     uint32 version; opaque value_hash[32]; uint64 since_s;
///     optional<opaque gone[16]>; optional<Logged> accepts;
///   }> pending;
///   uint8 lost_uploads;
///   struct { opaque label<1..255>; uint32 version; } identifiers<0..2^8-1>;      // a count
///   struct { uint64 since_s; opaque message<1..255>; } gossip<0..2^8-1>;         // likewise
/// } OwnRecord;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnRecord {
    /// Whether the account had verification on at the last check.
    pub(super) is_on: bool,
    /// When a self check was tried first; 0 before.
    pub(super) first_s: u64,
    /// When the last self check succeeded; 0 if none did.
    pub(super) checked_s: u64,
    /// The newest version at the last look.
    pub(super) newest: Option<LoggedVersion>,
    /// The version up to which the person acknowledged what was unexplained, at this device.
    pub(super) accepted: Option<LoggedVersion>,
    /// Since when there are unexplained versions.
    pub(super) unexplained_s: Option<u64>,
    pub(super) pending: Option<Pending>,
    /// How often in a row what was stored for the other devices was lost.
    pub(super) lost_uploads: u8,
    /// The version at which each identifier led to this account last.
    pub(super) identifiers: BTreeMap<Label, u32>,
    /// Heads that somebody else has and the log has not proved, and since when it could have; 0 if
    /// it could not yet.
    pub(super) gossip: Vec<(u64, Vec<u8>)>,
}

impl OwnRecord {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.present(self.is_on);
        out.extend(self.first_s.to_be_bytes());
        out.extend(self.checked_s.to_be_bytes());
        encode_logged(&mut out, self.newest);
        encode_logged(&mut out, self.accepted);
        out.present(self.unexplained_s.is_some());
        out.extend(
            self.unexplained_s
                .iter()
                .flat_map(|since_s| since_s.to_be_bytes()),
        );
        out.present(self.pending.is_some());
        if let Some(pending) = &self.pending {
            out.extend(pending.version.to_be_bytes());
            out.extend(pending.value_hash.0);
            out.extend(pending.since_s.to_be_bytes());
            out.present(pending.gone.is_some());
            out.extend(pending.gone.iter().flat_map(DeviceTag::as_bytes));
            encode_logged(&mut out, pending.accepts);
        }
        out.push(self.lost_uploads);
        out.push(u8::try_from(self.identifiers.len()).expect("at most IDENTIFIERS_MAX"));
        for (label, version) in &self.identifiers {
            out.opaque8(label.as_bytes());
            out.extend(version.to_be_bytes());
        }
        out.push(u8::try_from(self.gossip.len()).expect("at most GOSSIP_MAX"));
        for (since_s, message) in &self.gossip {
            out.extend(since_s.to_be_bytes());
            out.opaque8(message);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("format")? != FORMAT {
            return Err(DecodeError::Invalid { field: "format" });
        }
        let mut record = Self {
            is_on: reader.present("on")?,
            first_s: reader.u64("time of the first check")?,
            checked_s: reader.u64("time of the check")?,
            newest: decode_logged(&mut reader)?,
            accepted: decode_logged(&mut reader)?,
            ..Self::default()
        };
        if reader.present("unexplained")? {
            record.unexplained_s = Some(reader.u64("time")?);
        }
        if reader.present("pending")? {
            record.pending = Some(Pending {
                version: reader.u32("version")?,
                value_hash: reader.hash("value hash")?,
                since_s: reader.u64("time")?,
                gone: match reader.present("gone")? {
                    false => None,
                    true => Some(DeviceTag::from_bytes(reader.array("gone")?)),
                },
                accepts: decode_logged(&mut reader)?,
            });
        }
        record.lost_uploads = reader.u8("lost uploads")?;
        for _ in 0..reader.u8("identifiers")? {
            let label = decode_label(&mut reader)?;
            record.identifiers.insert(label, reader.u32("version")?);
        }
        for _ in 0..reader.u8("gossip")? {
            let since_s = reader.u64("time")?;
            let message = reader.opaque8(GossipHead::BYTES, "gossip")?.to_vec();
            record.gossip.push((since_s, message));
        }
        reader.finish()?;
        Ok(record)
    }
}

fn encode_logged(out: &mut Vec<u8>, logged: Option<LoggedVersion>) {
    out.present(logged.is_some());
    if let Some(logged) = logged {
        out.extend(logged.version.to_be_bytes());
        out.extend(logged.commitment.0);
    }
}

fn decode_logged(reader: &mut Reader<'_>) -> Result<Option<LoggedVersion>, DecodeError> {
    if !reader.present("logged version")? {
        return Ok(None);
    }
    Ok(Some(LoggedVersion {
        version: reader.u32("version")?,
        commitment: Commitment(reader.array("commitment")?),
    }))
}

fn decode_label(reader: &mut Reader<'_>) -> Result<Label, DecodeError> {
    let text = str::from_utf8(reader.opaque8(LABEL_BYTES_MAX, "label")?);
    let label = text.ok().and_then(|text| Label::parse(text).ok());
    label.ok_or(DecodeError::Invalid { field: "label" })
}

impl Machine {
    /// Begins from what the store holds, of which `read` gives the entry under a key.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of `read`, or [`StoreError::Damaged`].
    pub fn load(
        me: Identity,
        mut read: impl FnMut(&Key) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Self, StoreError> {
        let mut entry = |entry: &Entry| read(&entry_key(&me, entry));
        let own = entry(&Entry::Own)?;
        let own = own.map_or(Ok(OwnRecord::default()), |it| OwnRecord::decode(&it));
        let shared = entry(&Entry::Shared)?;
        let shared = shared.map_or(Ok(SharedState::new()), |it| SharedState::decode(&it));
        let uploaded = entry(&Entry::Uploaded)?;
        let uploaded = uploaded.map(|it| SharedState::decode(&it)).transpose();
        let board = entry(&Entry::Alerts)?;
        let board = board.map_or(Ok(Board::default()), |it| Board::decode(&it));
        let index = entry(&Entry::Index)?;
        let labels = index.map_or(Ok(Vec::new()), |it| decode_index(&it));
        let mut contacts = BTreeMap::new();
        for label in labels.map_err(damaged)? {
            let record = entry(&Entry::Contact(label.clone()))?;
            let record = record.map_or(Ok(ContactRecord::default()), |it| {
                ContactRecord::decode(&it)
            });
            contacts.insert(label, record.map_err(damaged)?);
        }
        let mut machine = Self {
            own: own.map_err(damaged)?,
            shared: shared.map_err(damaged)?,
            uploaded: uploaded.map_err(damaged)?,
            contacts,
            board: board.map_err(damaged)?,
            sessions: BTreeMap::new(),
            exported: None,
            looked_s: None,
            gossip_tried_s: None,
            levels: BTreeMap::new(),
            successor: None,
            tried_s: BTreeMap::new(),
            queue: VecDeque::new(),
            running: None,
            dirty: BTreeSet::new(),
            events: Vec::new(),
            outbox: VecDeque::new(),
            me,
        };
        machine.own.keep_identifiers(&machine.me.identifiers);
        // It may be a newer version that starts.
        let kind = AlertKind::LogNeedsNewerClient;
        if machine.board.cause(&Subject::Log, kind) != Some(THIS_VERSION) {
            machine.resolve(&Subject::Log, kind);
        }
        Ok(machine)
    }

    /// The entries that have changed.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let dirty = std::mem::take(&mut self.dirty);
        let changes = dirty.into_iter().map(|entry| {
            let value = match &entry {
                Entry::Own => Some(self.own.encode()),
                Entry::Shared => Some(self.shared.encode()),
                Entry::Uploaded => self.uploaded.as_ref().map(SharedState::encode),
                Entry::Alerts => Some(self.board.encode()),
                Entry::Index => Some(encode_index(self.contacts.keys())),
                Entry::Contact(label) => self.contacts.get(label).map(ContactRecord::encode),
            };
            (entry_key(&self.me, &entry), value)
        });
        changes.collect()
    }
}

fn entry_key(me: &Identity, entry: &Entry) -> Key {
    let own = me.label.as_bytes();
    let (kind, label) = match entry {
        Entry::Own => (Kind::Device, own),
        Entry::Shared => (Kind::Shared, own),
        Entry::Uploaded => (Kind::Uploaded, own),
        Entry::Alerts => (Kind::Alerts, own),
        Entry::Index => (Kind::Contacts, own),
        Entry::Contact(label) => (Kind::Contact, label.as_bytes()),
    };
    key(kind, &me.origin, label)
}

fn encode_index<'a>(labels: impl Iterator<Item = &'a Label>) -> Vec<u8> {
    let mut out = vec![FORMAT];
    labels.for_each(|label| out.opaque8(label.as_bytes()));
    out
}

fn decode_index(bytes: &[u8]) -> Result<Vec<Label>, DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.u8("format")? != FORMAT {
        return Err(DecodeError::Invalid { field: "format" });
    }
    let mut labels = Vec::new();
    while reader.remaining() > 0 {
        if labels.len() >= CONTACTS_MAX {
            return Err(DecodeError::Invalid { field: "contacts" });
        }
        labels.push(decode_label(&mut reader)?);
    }
    Ok(labels)
}

fn damaged(_: DecodeError) -> StoreError {
    StoreError::Damaged {
        what: "malformed entry",
    }
}
