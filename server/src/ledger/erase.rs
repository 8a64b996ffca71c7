//! Erasing what opens versions: the rows stay, without opening and value.
//!
//! What is left of a version is what the map and the log show of it anyway: that it exists, since
//! which epoch, and its commitment. A row is rewritten only if it still opens the leaf that the map
//! has, so that no damage is sealed in as an erasure.

use candor_core::account::Label;
use candor_core::crypto::{Commitment, SearchKey};

use super::read::{Ledger, LedgerError, StoredHead};
use super::row::encode_erased;
use super::{FORMAT, HEAD, IDENTITY, damaged, version_key};
use crate::storage::{Batch, Table};

/// Most versions that one batch erases: some megabytes of rows.
pub const ERASED_AT_ONCE_MAX: u32 = 16 * 1024;

/// A batch that erases versions of a label, and how far it goes.
pub struct Erasing {
    /// To be committed; nothing is to be done if there is no version to erase.
    pub batch: Batch,
    /// How many versions it erases; those that were erased before do not count.
    pub versions: u32,
    /// All versions before this one are erased with it.
    pub up_to: u32,
}

impl Ledger {
    /// Prepares to erase the versions of a label from `first` to before `end`, at most
    /// [`ERASED_AT_ONCE_MAX`]; none of them may be the newest. The batch fails if the store has
    /// another head than `head` when it is committed.
    ///
    /// # Errors
    ///
    /// [`LedgerError`], also if one of the versions is not what the map holds.
    pub fn erase(
        &self,
        head: &StoredHead,
        label: &Label,
        first: u32,
        end: u32,
    ) -> Result<Erasing, LedgerError> {
        let mut batch = Batch::new();
        batch.require_meta(HEAD, Some(head.encode()));
        let up_to = end.min(first.saturating_add(ERASED_AT_ONCE_MAX));
        let mut versions = 0;
        for number in first..up_to {
            let earlier = self.version(label, number)?;
            if earlier.kept.is_none() {
                continue;
            }
            let key = earlier.rung.key().ok_or(damaged(Table::Versions))?;
            if earlier.rung.commitment() != Some(self.committed(&key)?) {
                return Err(damaged(Table::Versions));
            }
            let row = encode_erased(earlier.epoch, &earlier.rung);
            let row = row.ok_or(damaged(Table::Versions))?;
            batch.put(Table::Versions, version_key(label, number), row);
            versions += 1;
        }
        // Programs that do not know erased rows must not open the store any more.
        let keys = self.identity()?.ok_or(damaged(Table::Meta))?;
        let identity = [&FORMAT.to_be_bytes()[..], &keys].concat();
        batch.put(Table::Meta, IDENTITY, identity);
        Ok(Erasing {
            batch,
            versions,
            up_to,
        })
    }

    /// The commitment that the map holds at a search key.
    fn committed(&self, key: &SearchKey) -> Result<Commitment, LedgerError> {
        let row = self.required(Table::Leaves, &key.0)?;
        let (commitment, _) = row.split_first_chunk().ok_or(damaged(Table::Leaves))?;
        Ok(Commitment(*commitment))
    }
}
