//! Writing out the accounts of a backup, so that another log can take them.
//!
//! Every version of a label is written, not the newest alone: account states are a chain from the
//! first one on, and no log or device takes one without those before it. An account that has erased
//! versions is therefore written, and no other log will take it.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use candor_core::account::{AccountFileHeader, AccountLine, Label, UnverifiedValue, VerifiedValue};
use candor_host::durable::WriteError;

use super::verify;
use super::{BackupError, Told};
use crate::fsck::Progress;
use crate::ledger::row::decode_account;
use crate::ledger::{Account, Ledger, LedgerError, damaged};
use crate::storage::Table;
use crate::storage::pages::pages;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Labels: accounts and bindings.
    pub labels: u64,
    /// Their versions.
    pub versions: u64,
    /// Labels that have erased versions.
    pub erased: u64,
}

/// Writes all accounts of the backup in the directory `from` to a new account file
/// ([`AccountLine`]) that only its owner can read.
///
/// # Errors
///
/// [`BackupError`]; then there is no file, unless the process ended.
pub fn export(from: &Path, to: &Path, told: Told<'_>) -> Result<Exported, BackupError> {
    let (manifest, ledger) = verify::open(from)?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(to);
    let mut export = Export {
        out: BufWriter::new(file.map_err(|error| not_written(to, error))?),
        to,
        ledger: &ledger,
        exported: Exported::default(),
    };
    let header = AccountFileHeader {
        origin: manifest.origin,
        size: manifest.size,
    };
    match export.all(&header, told) {
        Ok(()) => Ok(export.exported),
        Err(error) => {
            // It is ours, and not whole.
            let _ = fs::remove_file(to);
            Err(error)
        }
    }
}

/// A file that is being written.
struct Export<'a> {
    out: BufWriter<File>,
    to: &'a Path,
    ledger: &'a Ledger,
    exported: Exported,
}

impl Export<'_> {
    fn all(&mut self, header: &AccountFileHeader, told: Told<'_>) -> Result<(), BackupError> {
        self.line(header)?;
        let mut bindings = Vec::new();
        let mut rows = 0;
        pages(self.ledger.store(), Table::Accounts, |page| {
            rows += page.len() as u64;
            for row in page {
                let account = decode(&row.key, &row.value)?;
                match self.was_binding(&account)? {
                    // What it leads to has to come before it.
                    true => bindings.push(account.label().clone()),
                    false => self.account(&account)?,
                }
            }
            told(Progress {
                table: Table::Accounts,
                rows,
            });
            Ok::<_, BackupError>(())
        })?;
        for label in bindings {
            let account = self.ledger.account(&label)?;
            self.account(&account)?;
        }
        let synced = self
            .out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all());
        Ok(synced.map_err(|error| not_written(self.to, error))?)
    }

    fn was_binding(&self, account: &Account) -> Result<bool, LedgerError> {
        for number in numbers(account) {
            if let Some(VerifiedValue::Binding(_)) = self.value(account, number)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn account(&mut self, account: &Account) -> Result<(), BackupError> {
        let mut has_erased = false;
        for version in numbers(account) {
            let value = self.value(account, version)?;
            has_erased |= value.is_none();
            self.line(AccountLine {
                label: account.label().clone(),
                version,
                value,
            })?;
            self.exported.versions += 1;
        }
        self.exported.labels += 1;
        self.exported.erased += u64::from(has_erased);
        Ok(())
    }

    /// The value of a version that exists; `None` if it was erased.
    fn value(&self, account: &Account, number: u32) -> Result<Option<VerifiedValue>, LedgerError> {
        let label = account.label();
        match account.newest() {
            Some((newest, version)) if *newest == number => {
                verified(label, &version.value, Table::Accounts).map(Some)
            }
            _ => {
                let kept = self.ledger.version(label, number)?.kept;
                let value = kept.map(|version| verified(label, &version.value, Table::Versions));
                value.transpose()
            }
        }
    }

    fn line(&mut self, line: impl Display) -> Result<(), BackupError> {
        let written = writeln!(self.out, "{line}");
        Ok(written.map_err(|error| not_written(self.to, error))?)
    }
}

fn numbers(account: &Account) -> impl Iterator<Item = u32> + use<> {
    let newest = account.newest().map(|(number, _)| *number);
    newest.into_iter().flat_map(|newest| 0..=newest)
}

fn decode(key: &[u8], row: &[u8]) -> Result<Account, LedgerError> {
    let label = str::from_utf8(key).ok();
    let label = label.and_then(|text| Label::parse(text).ok());
    let account = label.and_then(|label| decode_account(label, row).ok());
    account.ok_or(damaged(Table::Accounts))
}

fn verified(label: &Label, bytes: &[u8], table: Table) -> Result<VerifiedValue, LedgerError> {
    let value = UnverifiedValue::decode(bytes).ok();
    let value = value.and_then(|value| value.verify(label).ok());
    value.ok_or(damaged(table))
}

fn not_written(path: &Path, source: io::Error) -> WriteError {
    WriteError::NotWritten {
        path: path.to_owned(),
        source,
    }
}
