//! Reading accounts: rows put together to what a label was at some epoch.

use std::sync::Arc;

use candor_core::account::Label;
use candor_core::codec::{DecodeError, Reader};
use candor_core::crypto::{Opening, SearchKey, VrfProof};
use candor_core::map::ladder::search_ladder;

use super::account::{Account, ProvenKey, Rung, Version};
use super::read::{Ledger, LedgerError};
use super::{damaged, version_key};
use crate::storage::Table;

impl Ledger {
    /// A label with everything that was stored of it.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn account(&self, label: &Label) -> Result<Arc<Account>, LedgerError> {
        self.caches.accounts.get(label, || {
            let row = self.account_row(label)?;
            self.assemble(label, &row, row.greatest)
        })
    }

    /// A label as it was after `epoch`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn account_at(&self, label: &Label, epoch: u64) -> Result<Arc<Account>, LedgerError> {
        let account = self.account(label)?;
        let Some(newest) = account.newest().filter(|newest| newest.epoch > epoch) else {
            return Ok(account);
        };
        // Go back over what is newer than asked: at most what was stored since `epoch`.
        let mut version_epoch = newest.epoch;
        let mut greatest = account.greatest();
        while let Some(version) = greatest
            && version_epoch > epoch
        {
            greatest = version.checked_sub(1);
            if let Some(earlier) = greatest {
                version_epoch = self.version(label, earlier)?.epoch;
            }
        }
        let row = self.account_row(label)?;
        Ok(Arc::new(self.assemble(label, &row, greatest)?))
    }

    /// Takes note of accounts that an epoch stored. Only the sequencer calls this, after the
    /// commit.
    pub fn remember(&self, accounts: &[Arc<Account>]) {
        for account in accounts {
            self.caches.accounts.replace(Arc::clone(account));
        }
    }

    /// A version of a label that exists.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn version(&self, label: &Label, version: u32) -> Result<Version, LedgerError> {
        let row = self.required(Table::Versions, &version_key(label, version))?;
        let mut reader = Reader::new(&row);
        let read = |reader: &mut Reader<'_>| -> Result<Version, _> {
            let epoch = reader.u64("epoch")?;
            let opening = Opening(reader.array("opening")?);
            let proven = proven_key(reader)?;
            let value = reader.bytes(reader.remaining(), "value")?.to_vec();
            Ok::<_, DecodeError>(Version {
                epoch,
                opening,
                proven,
                value,
            })
        };
        read(&mut reader).map_err(|_| damaged(Table::Versions))
    }

    fn account_row(&self, label: &Label) -> Result<AccountRow, LedgerError> {
        let Some(row) = self.store.get(Table::Accounts, label.as_bytes())? else {
            return Ok(AccountRow::default());
        };
        let mut reader = Reader::new(&row);
        let read = |reader: &mut Reader<'_>| {
            let mut account = AccountRow {
                greatest: Some(reader.u32("greatest")?),
                later: Vec::with_capacity(reader.remaining() / 116),
            };
            while reader.remaining() > 0 {
                let version = reader.u32("version")?;
                account.later.push((version, proven_key(reader)?));
            }
            Ok::<_, DecodeError>(account)
        };
        read(&mut reader).map_err(|_| damaged(Table::Accounts))
    }

    /// A label when `greatest` was its greatest version.
    fn assemble(
        &self,
        label: &Label,
        row: &AccountRow,
        greatest: Option<u32>,
    ) -> Result<Account, LedgerError> {
        let newest = match greatest {
            Some(number) => Some((number, self.version(label, number)?)),
            None => None,
        };
        let mut rungs = Vec::new();
        for number in search_ladder(greatest) {
            let stored;
            let version = match &newest {
                Some((newest, version)) if *newest == number => Some(version),
                _ if Some(number) <= row.greatest => {
                    stored = self.version(label, number)?;
                    Some(&stored)
                }
                _ => None,
            };
            let proven = match version {
                Some(version) => Some(version.proven),
                None => {
                    let mut later = row.later.iter();
                    later
                        .find(|(later, _)| *later == number)
                        .map(|(_, key)| *key)
                }
            };
            let exists = version.filter(|_| Some(number) <= greatest);
            let commitment = exists.map(|version| version.commitment(label, number));
            rungs.push(Rung::new(number, proven, commitment));
        }
        Ok(Account::new(label.clone(), newest, rungs))
    }
}

/// The row of a label; without a greatest version if there is none.
#[derive(Default)]
struct AccountRow {
    greatest: Option<u32>,
    /// Search keys of versions that do not exist yet.
    later: Vec<(u32, ProvenKey)>,
}

fn proven_key(reader: &mut Reader<'_>) -> Result<ProvenKey, DecodeError> {
    Ok(ProvenKey {
        key: SearchKey(reader.array("search key")?),
        proof: VrfProof(reader.array("VRF proof")?),
    })
}
