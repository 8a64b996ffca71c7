//! Where a device keeps what it must not forget: small entries, changed together or not at all.
//!
//! What a device remembers is what makes a lie visible, so a store never starts over by itself: a
//! damaged one is an error that a person has to decide about. One [`crate::Client`] at a time uses
//! a store; the client serializes its own accesses, so an implementation needs no isolation of its
//! own, only atomicity and durability. An application can keep the entries in one table of its
//! database.

mod file;
mod memory;

use std::error::Error as StdError;

use thiserror::Error;

pub use file::FileStore;
pub use memory::MemoryStore;

/// What an entry is filed under: a digest, which tells nothing of a label but to who guesses it.
pub type Key = [u8; 32];

/// One change of an entry: its key, and its new value or `None` to remove it.
pub type Change = (Key, Option<Vec<u8>>);

/// Keeps a device's memory. Calls come from a thread on which blocking is allowed.
pub trait Store: Send + Sync + 'static {
    /// The value under `key`, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the environment is at fault.
    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// Makes all `changes` or none, durably: once it returns, no crash undoes them.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the environment is at fault. Whether the changes were made may be unknown,
    /// but never is only a part of them.
    fn write(&self, changes: &[Change]) -> Result<(), StoreError>;
}

/// Why a store cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store holds what this library did not write. Whatever it remembered is in doubt: the
    /// person has to decide whether to start over.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// Another process uses the store. The caller is at fault.
    #[error("another process uses the store")]
    Locked,
    /// What keeps the entries failed.
    #[error("the store failed")]
    Failed(#[source] Box<dyn StdError + Send + Sync>),
}

impl StoreError {
    /// Wraps the error of a database or keychain.
    pub fn failed(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}
