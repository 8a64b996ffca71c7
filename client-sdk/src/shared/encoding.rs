//! The encoding of a shared state.
//!
//! ```text
//! struct { uint64 clock; opaque writer[16]; T value; } Register<T>;
//! struct {
//!   uint8 format = 1;
//!   optional<Register<uint8>> enrolled;                       // 0 or 1
//!   struct { opaque device[16]; Register<uint8> ours; } devices<0..2^32-1>;
//!   struct { opaque contact[32]; Register<optional<opaque[32]>> key_hash; } contacts<0..2^32-1>;
//!   struct { uint32 version; opaque value_hash[32]; } published<0..2^32-1>;
//!   optional<struct { uint32 version; opaque commitment[32]; }> monitored;
//!   struct { opaque device[16]; uint64 size; opaque root[32]; } heads<0..2^32-1>;
//! } SharedState;               // all lists strictly ascending by their first field or fields
//! ```

use candor_core::codec::{DecodeError, Reader, Writer as _};

use super::register::Register;
use super::state::{ContactId, DeviceTag, SeenHead, SharedState};
use crate::monitor::PublishedVersion;

const FORMAT: u8 = 1;

/// Longest encoding in bytes: twice what a device at all its limits makes.
pub(super) const STATE_BYTES_MAX: usize = 4 << 20;

impl SharedState {
    /// Whether it can be read again.
    pub(crate) fn fits(&self) -> bool {
        self.encode().len() <= STATE_BYTES_MAX
    }

    /// The encoding: of equal states the same.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.present(self.enrolled.is_some());
        if let Some(enrolled) = &self.enrolled {
            put_register(&mut out, enrolled);
            out.present(enrolled.value);
        }
        list(&mut out, &self.devices, |out, (device, ours)| {
            out.extend(device.0);
            put_register(out, ours);
            out.present(ours.value);
        });
        list(&mut out, &self.contacts, |out, (contact, mark)| {
            out.extend(contact.0);
            put_register(out, mark);
            out.present(mark.value.is_some());
            out.extend(mark.value.iter().flat_map(|hash| hash.0));
        });
        list(&mut out, &self.published, |out, published| {
            out.extend(published.version.to_be_bytes());
            out.extend(published.value_hash.0);
        });
        out.present(self.monitored.is_some());
        if let Some((version, commitment)) = &self.monitored {
            out.extend(version.to_be_bytes());
            out.extend(commitment);
        }
        list(&mut out, &self.heads, |out, (device, head)| {
            out.extend(device.0);
            out.extend(head.size.to_be_bytes());
            out.extend(head.root.0);
        });
        out
    }

    /// Reads what [`Self::encode`] made.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; a device of the account is at fault, or what kept the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > STATE_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                field: "shared state",
                limit: STATE_BYTES_MAX,
            });
        }
        let mut reader = Reader::new(bytes);
        if reader.u8("format")? != FORMAT {
            return Err(DecodeError::Invalid { field: "format" });
        }
        let mut state = Self::new();
        if reader.present("enrolled")? {
            state.enrolled = Some(register(&mut reader, |r| r.present("enrolled"))?);
        }
        let devices = entries(&mut reader, "devices", |reader| {
            let device = device(reader)?;
            Ok((device, register(reader, |r| r.present("device"))?))
        })?;
        state.devices = ascending(devices, |entry| entry.0, "devices")?;
        let contacts = entries(&mut reader, "contacts", |reader| {
            let contact = ContactId(reader.array("contact")?);
            let mark = register(reader, |reader| {
                let is_marked = reader.present("mark")?;
                is_marked.then(|| reader.hash("key hash")).transpose()
            })?;
            Ok((contact, mark))
        })?;
        state.contacts = ascending(contacts, |entry| entry.0, "contacts")?;
        let published = entries(&mut reader, "published", |reader| {
            Ok(PublishedVersion {
                version: reader.u32("version")?,
                value_hash: reader.hash("value hash")?,
            })
        })?;
        state.published = ascending(published, |entry| *entry, "published")?;
        if reader.present("monitored")? {
            state.monitored = Some((reader.u32("version")?, reader.array("commitment")?));
        }
        let heads = entries(&mut reader, "heads", |reader| {
            let device = device(reader)?;
            let (size, root) = (reader.u64("size")?, reader.hash("root")?);
            Ok((device, SeenHead { size, root }))
        })?;
        state.heads = ascending(heads, |entry| entry.0, "heads")?;
        reader.finish()?;
        let monitored = state.monitored.map_or(0, |(version, _)| version);
        match state.published.first() {
            Some(first) if first.version < monitored => {
                Err(DecodeError::Invalid { field: "published" })
            }
            _ => Ok(state),
        }
    }
}

fn put_register<T>(out: &mut Vec<u8>, register: &Register<T>) {
    out.extend(register.clock.to_be_bytes());
    out.extend(register.writer.0);
}

fn list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, put: impl Fn(&mut Vec<u8>, T)) {
    let mut encoded = Vec::new();
    for item in items {
        put(&mut encoded, item);
    }
    out.opaque32(&encoded);
}

fn device(reader: &mut Reader<'_>) -> Result<DeviceTag, DecodeError> {
    reader.array("device").map(DeviceTag)
}

fn register<T>(
    reader: &mut Reader<'_>,
    value: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Register<T>, DecodeError> {
    Ok(Register {
        clock: reader.u64("clock")?,
        writer: device(reader)?,
        value: value(reader)?,
    })
}

/// The entries of a list. What they take in memory is bounded by their bytes.
fn entries<T>(
    reader: &mut Reader<'_>,
    field: &'static str,
    entry: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut inner = Reader::new(reader.opaque32(STATE_BYTES_MAX, field)?);
    let mut entries = Vec::new();
    while inner.remaining() > 0 {
        entries.push(entry(&mut inner)?);
    }
    Ok(entries)
}

fn ascending<T, K: Ord, C: FromIterator<T>>(
    entries: Vec<T>,
    key: impl Fn(&T) -> K,
    field: &'static str,
) -> Result<C, DecodeError> {
    match entries.is_sorted_by(|a, b| key(a) < key(b)) {
        true => Ok(entries.into_iter().collect()),
        false => Err(DecodeError::Invalid { field }),
    }
}
