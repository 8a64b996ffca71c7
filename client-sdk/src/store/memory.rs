//! A store that forgets when the process ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Change, Key, Store, StoreError};

/// Keeps entries in memory: for tests, and for tools that verify without a past.
///
/// Each run trusts the first head that it verifies; a rollback between runs goes unseen.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: Mutex<BTreeMap<Key, Vec<u8>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// All entries, ascending by key.
    pub fn entries(&self) -> BTreeMap<Key, Vec<u8>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clone()
    }
}

impl Store for MemoryStore {
    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.get(key).cloned())
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        apply(&mut entries, changes);
        Ok(())
    }
}

/// Makes `changes` in `entries`.
pub(super) fn apply(entries: &mut BTreeMap<Key, Vec<u8>>, changes: &[Change]) {
    for (key, value) in changes {
        match value {
            Some(value) => entries.insert(*key, value.clone()),
            None => entries.remove(key),
        };
    }
}
