//! Accounts that are kept in memory.
//!
//! An entry is what the store holds, or what the sequencer stored last: the sequencer replaces the
//! entries of an epoch's labels after its commit. A reader that loaded an account meanwhile does
//! not put the older one back, because its place in the cache was taken from it.

use std::sync::Arc;

use candor_core::account::Label;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::account::Account;
use super::read::CacheUse;
use crate::metrics::tally::Tally;

/// Memory that the cache itself takes for an entry, in bytes, beside the account.
const ENTRY_BYTES: usize = 128;

/// What an account weighs before any was seen, to size the cache's table.
const TYPICAL_BYTES: u64 = 1_000;

/// Recently used accounts, up to a number of bytes.
pub(super) struct AccountCache {
    accounts: Cache<Label, Arc<Account>, ByBytes>,
    asked: Tally,
    missed: Tally,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Label, Arc<Account>> for ByBytes {
    fn weight(&self, label: &Label, account: &Arc<Account>) -> u64 {
        (account.bytes() + label.as_bytes().len() + ENTRY_BYTES) as u64
    }
}

impl AccountCache {
    /// A cache of at most this many bytes.
    pub fn new(bytes: u64) -> Self {
        let accounts = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self {
            accounts: Cache::with_weighter(accounts, bytes, ByBytes),
            asked: Tally::default(),
            missed: Tally::default(),
        }
    }

    /// The account of a label, loaded if it is not here.
    pub fn get<E>(
        &self,
        label: &Label,
        load: impl FnOnce() -> Result<Account, E>,
    ) -> Result<Arc<Account>, E> {
        self.asked.add();
        self.accounts.get_or_insert_with(label, || {
            self.missed.add();
            load().map(Arc::new)
        })
    }

    /// How the cache is used.
    pub fn used(&self) -> CacheUse {
        let misses = self.missed.count();
        CacheUse {
            name: "accounts",
            hits: self.asked.count().saturating_sub(misses),
            misses,
            bytes: self.accounts.weight(),
        }
    }

    /// The account of a label, if it is here. Waits for nobody.
    pub fn known(&self, label: &Label) -> Option<Arc<Account>> {
        self.accounts.get(label)
    }

    /// Whether another account can be kept without letting one go. The last part is left free: the
    /// cache divides its bytes, and one of its parts may be full before the others.
    pub fn has_room(&self) -> bool {
        let capacity = self.accounts.capacity();
        self.accounts.weight() < capacity - capacity / 16
    }

    /// Replaces an account by the one that was stored.
    pub fn replace(&self, account: Arc<Account>) {
        // An account that is too large to be kept takes no one's place; a reader's goes all the
        // same.
        self.accounts.remove(account.label());
        self.accounts.insert(account.label().clone(), account);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;

    use candor_core::crypto::Opening;

    use super::super::account::{Rung, Version};
    use super::*;

    /// An account at version 0.
    fn account(label: &Label, value_bytes: usize) -> Arc<Account> {
        let version = Version {
            epoch: 1,
            opening: Opening([0; 16]),
            value: vec![0; value_bytes],
        };
        let exists = Some(version.commitment(label, 0));
        let rungs = vec![Rung::new(0, exists), Rung::new(1, None)];
        Arc::new(Account::new(label.clone(), Some((0, version)), rungs))
    }

    #[test]
    fn what_a_reader_loaded_before_a_commit_is_not_kept_after_it() {
        let label = Label::parse("acct:alice").unwrap();
        // One that fits the cache, and one that is too large for it.
        for value_bytes in [32, 60 << 10] {
            let cache = AccountCache::new(32 << 10);
            let stored = account(&label, value_bytes);
            let loaded = cache.get(&label, || {
                cache.replace(Arc::clone(&stored));
                Ok::<_, Infallible>(Account::absent(label.clone()))
            });
            assert!(loaded.is_ok());
            // What is there now is the stored one, or nothing: then it is read again.
            let found = cache.get(&label, || Err("read again"));
            match value_bytes {
                32 => assert_eq!(found.ok().unwrap().greatest(), Some(0)),
                _ => assert_eq!(found.err(), Some("read again")),
            }
        }
    }
}
