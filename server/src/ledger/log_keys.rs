//! Whose log the rows are, as they say themselves.

use candor_core::epoch::LogConfig;
use candor_core::note::LogVerifier;

use super::damaged;
use super::read::{Ledger, LedgerError};
use crate::storage::Table;

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
        let keys = str::from_utf8(&lines).ok().and_then(|lines| {
            let lines = lines.strip_suffix('\n')?.split('\n');
            lines.map(|line| line.parse().ok()).collect()
        });
        let keys = keys.ok_or_else(|| damaged(Table::Meta))?;
        Ok(LogVerifier::new(&config.origin, keys))
    }
}
