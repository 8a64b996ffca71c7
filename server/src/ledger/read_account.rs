//! Reading accounts: rows put together to what a label was at some epoch.

use std::ops::ControlFlow;
use std::sync::Arc;

use candor_core::account::Label;

use super::account::{Account, Earlier};
use super::read::{Ledger, LedgerError};
use super::row::{decode_account, decode_version};
use super::{damaged, version_key};
use crate::storage::{KeyRange, Order, ReadError, Table};

/// Labels that are read at a time when accounts are loaded ahead.
const PAGE_LABELS: usize = 1024;

impl Ledger {
    /// A label with everything that was stored of it.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn account(&self, label: &Label) -> Result<Arc<Account>, LedgerError> {
        if self.is_memory_only {
            // Not from the cache with a loader: that would wait for whoever is loading it.
            let known = self.caches.accounts.known(label);
            return known.ok_or(LedgerError::Read(ReadError::NotInMemory));
        }
        self.caches.accounts.get(label, || {
            let row = self.store.get(Table::Accounts, label.as_bytes())?;
            match row {
                Some(row) => {
                    decode_account(label.clone(), &row).map_err(|_| damaged(Table::Accounts))
                }
                None => Ok(Account::absent(label.clone())),
            }
        })
    }

    /// A label as it was after `epoch`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn account_at(&self, label: &Label, epoch: u64) -> Result<Arc<Account>, LedgerError> {
        let account = self.account(label)?;
        let Some((newest, _)) = account.newest().filter(|(_, it)| it.epoch > epoch) else {
            return Ok(account);
        };
        // Go back over what is newer than asked: at most what was stored since `epoch`.
        let mut before = None;
        for number in (0..*newest).rev() {
            let earlier = self.version(label, number)?;
            if earlier.epoch <= epoch {
                // Newest at a head that was replaced since: only then may it have been erased.
                before = Some((number, earlier.kept.ok_or(LedgerError::Erased)?));
                break;
            }
        }
        let account = account.as_of(before, |number| self.version(label, number))?;
        Ok(Arc::new(account))
    }

    /// Takes note of accounts that an epoch stored. Only the sequencer calls this, after the
    /// commit.
    pub fn remember(&self, accounts: &[Arc<Account>]) {
        for account in accounts {
            self.caches.accounts.replace(Arc::clone(account));
        }
    }

    /// A version that exists and is not the newest.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn version(&self, label: &Label, number: u32) -> Result<Earlier, LedgerError> {
        let row = self.required(Table::Versions, &version_key(label, number))?;
        decode_version(label, number, &row).map_err(|_| damaged(Table::Versions))
    }

    /// The first version before `end` that is not erased, or `end`. Versions are erased from the
    /// first on, so few have to be read.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn first_kept(&self, label: &Label, end: u32) -> Result<u32, LedgerError> {
        let (mut first, mut end) = (0, end);
        while first < end {
            let middle = first + (end - first) / 2;
            match self.version(label, middle)?.kept {
                Some(_) => end = middle,
                None => first = middle + 1,
            }
        }
        Ok(first)
    }

    /// Loads accounts into memory, as many as there is room for, and hands each to `visit`, until
    /// it breaks. A lookup finds them there then, as before a restart.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn load_accounts(
        &self,
        visit: &mut dyn FnMut(&Arc<Account>) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let mut next = KeyRange::all();
        loop {
            let mut labels = Vec::with_capacity(PAGE_LABELS);
            let mut end = Vec::new();
            self.store
                .scan(Table::Accounts, &next, Order::Ascending, &mut |key, _| {
                    end = [key, &[0]].concat();
                    let label = str::from_utf8(key).ok();
                    labels.extend(label.and_then(|text| Label::parse(text).ok()));
                    match labels.len() {
                        PAGE_LABELS => ControlFlow::Break(()),
                        _ => ControlFlow::Continue(()),
                    }
                })?;
            if end.is_empty() {
                return Ok(());
            }
            for label in labels {
                if !self.caches.accounts.has_room() {
                    return Ok(());
                }
                // Not from the row at hand: the sequencer may have stored a newer one.
                if visit(&self.account(&label)?).is_break() {
                    return Ok(());
                }
            }
            next = KeyRange::from(end);
        }
    }
}
