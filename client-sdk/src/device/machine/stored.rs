//! What the machine keeps in the store, and how it begins from there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use candor_core::account::Label;
use candor_core::codec::{DecodeError, Reader, Writer as _};
use candor_core::limits::LABEL_BYTES_MAX;

use super::{CONTACTS_MAX, Identity, Machine};
use crate::device::alert::{AlertKind, Subject};
use crate::device::board::Board;
use crate::device::contact::ContactRecord;
use crate::memory::{Kind, key};
use crate::shared::SharedState;
use crate::store::{Change, Key, StoreError};

const FORMAT: u8 = 1;

/// Longest gossip that waits, in bytes.
const GOSSIP_BYTES_MAX: usize = 255;

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

/// What this device keeps of its own account, apart from what it shares.
///
/// ```text
/// struct {
///   uint8 format = 1; uint8 on; uint64 checked_s;
///   optional<struct { uint32 version; uint64 since_s; }> pending;
///   optional<struct { uint64 since_s; opaque message<1..255>; }> gossip;
/// } OwnRecord;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnRecord {
    /// Whether the account had verification on at the last check.
    pub(super) is_on: bool,
    /// When the last self check succeeded; 0 if none did.
    pub(super) checked_s: u64,
    /// A version that this device published and has not seen in the log, and when.
    pub(super) pending: Option<(u32, u64)>,
    /// A head that somebody else has and the log has not proved yet, and when it came.
    pub(super) gossip: Option<(u64, Vec<u8>)>,
}

impl OwnRecord {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.present(self.is_on);
        out.extend(self.checked_s.to_be_bytes());
        out.present(self.pending.is_some());
        if let Some((version, since_s)) = self.pending {
            out.extend(version.to_be_bytes());
            out.extend(since_s.to_be_bytes());
        }
        out.present(self.gossip.is_some());
        if let Some((since_s, message)) = &self.gossip {
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
            checked_s: reader.u64("time of the check")?,
            ..Self::default()
        };
        if reader.present("pending")? {
            record.pending = Some((reader.u32("version")?, reader.u64("time")?));
        }
        if reader.present("gossip")? {
            let since_s = reader.u64("time")?;
            let message = reader.opaque8(GOSSIP_BYTES_MAX, "gossip")?.to_vec();
            record.gossip = Some((since_s, message));
        }
        reader.finish()?;
        Ok(record)
    }
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
            rollbacks: 0,
            levels: BTreeMap::new(),
            tried_s: BTreeMap::new(),
            queue: VecDeque::new(),
            running: None,
            dirty: BTreeSet::new(),
            events: Vec::new(),
            outbox: VecDeque::new(),
            me,
        };
        // It may be a newer version that starts; if not, the next check says so again.
        machine.resolve(&Subject::Log, AlertKind::LogNeedsNewerClient);
        machine.events.clear();
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
    let invalid = DecodeError::Invalid { field: "contact" };
    let mut reader = Reader::new(bytes);
    if reader.u8("format")? != FORMAT {
        return Err(DecodeError::Invalid { field: "format" });
    }
    let mut labels = Vec::new();
    while reader.remaining() > 0 {
        let text = str::from_utf8(reader.opaque8(LABEL_BYTES_MAX, "contact")?);
        let label = text.ok().and_then(|text| Label::parse(text).ok());
        if labels.len() >= CONTACTS_MAX {
            return Err(invalid);
        }
        labels.push(label.ok_or(invalid)?);
    }
    Ok(labels)
}

fn damaged(_: DecodeError) -> StoreError {
    StoreError::Damaged {
        what: "malformed entry",
    }
}
