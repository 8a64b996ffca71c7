//! A store in one file, which is replaced as a whole.
//!
//! ```text
//! struct {
//!   opaque magic[16] = "candor-sdk-store";
//!   uint8 format = 1;
//!   uint32 count;
//!   struct { opaque key[32]; opaque value<0..2^32-1>; } entries[count];   // ascending by key
//!   opaque checksum[32];             // SHA-256 of all before it
//! } StoreFile;
//! ```
//!
//! A contact costs about 110 bytes, so the file of a thousand is written in one go of 110 KiB. The
//! checksum finds decay, not tampering: who can write the file can write its checksum.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candor_core::codec::{DecodeError, Reader, Writer as _};
use candor_host::durable::{self, InstanceLock, LockError, ReadError, WriteError};
use sha2::{Digest as _, Sha256};

use super::memory::apply;
use super::{Change, Key, Store, StoreError};

const MAGIC: &[u8; 16] = b"candor-sdk-store";
const FORMAT: u8 = 1;

/// Longest file in bytes: half a million contacts.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Longest value in bytes: what an account's devices share, of as many contacts as there can be.
const VALUE_BYTES_MAX: usize = 16 << 20;

type Entries = BTreeMap<Key, Vec<u8>>;

/// Keeps entries in a file, durably. One process at a time can open it.
pub struct FileStore {
    path: PathBuf,
    /// `None` after a write of which nobody knows whether it happened.
    entries: Mutex<Option<Entries>>,
    _lock: InstanceLock,
}

impl FileStore {
    /// Creates an empty store at `path`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] if there is a file already (the caller is at fault) or it cannot be
    /// written; [`StoreError::Locked`].
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let entries = Entries::new();
        durable::create_new(path, &encode(&entries)).map_err(StoreError::failed)?;
        Ok(Self::new(path, entries, lock))
    }

    /// Opens the store at `path`, which must exist: a store that is gone is a memory that is lost.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] unless the file is exactly what this type wrote;
    /// [`StoreError::Failed`] if it cannot be read or is not there; [`StoreError::Locked`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let bytes = durable::read_bounded(path, FILE_BYTES_MAX).map_err(|error| match error {
            ReadError::TooLong { .. } => StoreError::Damaged { what: "too long" },
            other => StoreError::failed(other),
        })?;
        Ok(Self::new(path, decode(&bytes)?, lock))
    }

    fn new(path: &Path, entries: Entries, lock: InstanceLock) -> Self {
        Self {
            path: path.to_owned(),
            entries: Mutex::new(Some(entries)),
            _lock: lock,
        }
    }
}

impl Store for FileStore {
    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        match entries.as_ref() {
            Some(entries) => Ok(entries.get(key).cloned()),
            None => Err(outcome_unknown()),
        }
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = entries.clone().ok_or_else(outcome_unknown)?;
        apply(&mut changed, changes);
        // What could not be read again must not be written.
        let longest = changed.values().map(Vec::len).max().unwrap_or(0);
        let bytes = encode(&changed);
        if bytes.len() > FILE_BYTES_MAX || longest > VALUE_BYTES_MAX {
            return Err(StoreError::failed(std::io::Error::from(
                ErrorKind::FileTooLarge,
            )));
        }
        match durable::replace(&self.path, &bytes) {
            Ok(()) => *entries = Some(changed),
            Err(error) => {
                if matches!(error, WriteError::OutcomeUnknown { .. }) {
                    *entries = None;
                }
                return Err(StoreError::failed(error));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").finish_non_exhaustive()
    }
}

fn outcome_unknown() -> StoreError {
    StoreError::failed("an earlier write may or may not have happened; open the store again")
}

fn lock(path: &Path) -> Result<InstanceLock, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    InstanceLock::acquire(Path::new(&name)).map_err(|error| match error {
        LockError::Held { .. } => StoreError::Locked,
        other => StoreError::failed(other),
    })
}

fn encode(entries: &Entries) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + entries.len() * 128);
    out.extend_from_slice(MAGIC);
    out.push(FORMAT);
    let count = u32::try_from(entries.len()).expect("a file of 64 MiB holds fewer than 2^32");
    out.extend_from_slice(&count.to_be_bytes());
    for (key, value) in entries {
        out.extend_from_slice(key);
        out.opaque32(value);
    }
    let checksum = Sha256::digest(&out);
    out.extend_from_slice(&checksum);
    out
}

fn decode(bytes: &[u8]) -> Result<Entries, StoreError> {
    let damaged = |what| StoreError::Damaged { what };
    let (body, checksum) = bytes
        .split_last_chunk::<32>()
        .ok_or_else(|| damaged("too short"))?;
    if Sha256::digest(body).as_slice() != checksum {
        return Err(damaged("wrong checksum"));
    }
    decode_body(body).map_err(|_| damaged("malformed"))
}

fn decode_body(body: &[u8]) -> Result<Entries, DecodeError> {
    let mut reader = Reader::new(body);
    if reader.array("magic")? != *MAGIC || reader.u8("format")? != FORMAT {
        return Err(DecodeError::Invalid { field: "format" });
    }
    let mut entries = Entries::new();
    for _ in 0..reader.u32("entries")? {
        let key: Key = reader.array("key")?;
        let value = reader.opaque32(VALUE_BYTES_MAX, "value")?.to_vec();
        if entries
            .last_key_value()
            .is_some_and(|(last, _)| *last >= key)
        {
            return Err(DecodeError::Invalid { field: "key" });
        }
        entries.insert(key, value);
    }
    reader.finish()?;
    Ok(entries)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn entries_outlive_the_process_and_one_process_holds_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let store = FileStore::create(&path).unwrap();
        store
            .write(&[([1; 32], Some(vec![7])), ([2; 32], Some(vec![8]))])
            .unwrap();
        store.write(&[([1; 32], None)]).unwrap();
        assert!(matches!(FileStore::open(&path), Err(StoreError::Locked)));
        drop(store);
        let store = FileStore::open(&path).unwrap();
        assert_eq!(store.read(&[1; 32]).unwrap(), None);
        assert_eq!(store.read(&[2; 32]).unwrap(), Some(vec![8]));
    }

    #[test]
    fn a_store_never_starts_over_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        assert!(matches!(FileStore::open(&path), Err(StoreError::Failed(_))));
        drop(FileStore::create(&path).unwrap());
        assert!(matches!(
            FileStore::create(&path),
            Err(StoreError::Failed(_))
        ));
        assert!(FileStore::open(&path).is_ok());
    }

    #[test]
    fn every_damage_is_refused() {
        let entries = Entries::from([([1; 32], vec![7]), ([2; 32], vec![])]);
        let bytes = encode(&entries);
        assert_eq!(decode(&bytes).unwrap(), entries);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(matches!(decode(&damaged), Err(StoreError::Damaged { .. })));
            }
            assert!(decode(&bytes[..at]).is_err());
        }
    }

    #[test]
    fn there_is_one_encoding_even_with_a_right_checksum() {
        let mut body = encode(&Entries::from([([1; 32], vec![]), ([2; 32], vec![])]));
        body.truncate(body.len() - 32);
        // Exchange the two keys.
        let (first, second) = (21..53, 57..89);
        body[first].fill(2);
        body[second].fill(1);
        assert!(decode_body(&body).is_err());
        body.push(0);
        assert!(decode_body(&body).is_err());
    }
}
