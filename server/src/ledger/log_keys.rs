//! Whose log the rows are, as they say themselves.

use candor_core::epoch::LogConfig;
use candor_core::note::LogVerifier;

use super::read::{Ledger, LedgerError};
use super::{IDENTITY, damaged};
use crate::identity::Identity;
use crate::storage::{Batch, Table};

impl Ledger {
    /// The log that the store was made for: what verifies its heads without any secret. That it is
    /// the log that was meant, the caller's configuration tells.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn verifier(&self) -> Result<LogVerifier, LedgerError> {
        let config = LogConfig::decode(&self.record(0)?).map_err(|_| damaged(Table::Records))?;
        let lines = self.identity()?.ok_or(LedgerError::Missing {
            table: Table::Meta.name(),
        })?;
        let identity = Identity::decode(&lines).ok_or_else(|| damaged(Table::Meta))?;
        let keys = identity.keys().cloned().collect();
        Ok(LogVerifier::new(&config.origin, keys))
    }

    /// Rows that change the log's keys, in the format that the store has. The batch fails if the
    /// keys are not these any more when it is committed.
    ///
    /// # Errors
    ///
    /// [`LedgerError`], also if the store has other keys than `before` now.
    pub fn change_identity(
        &self,
        before: &Identity,
        after: &Identity,
    ) -> Result<Batch, LedgerError> {
        let row = self.store().get(Table::Meta, IDENTITY)?;
        let row = row.ok_or_else(|| damaged(Table::Meta))?;
        let parts = row.split_first_chunk::<4>();
        let (format, _) = parts
            .filter(|(_, keys)| *keys == before.encode())
            .ok_or_else(|| damaged(Table::Meta))?;
        let changed = [&format[..], &after.encode()].concat();
        let mut batch = Batch::new();
        batch.require_meta(IDENTITY, Some(row));
        batch.put(Table::Meta, IDENTITY, changed);
        Ok(batch)
    }
}
