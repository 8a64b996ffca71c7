//! Verifying a backup without restoring it.

use std::num::NonZeroU64;
use std::path::Path;

use candor_core::epoch::LogConfig;
use candor_core::note::SignedNote;
use thiserror::Error;

use super::{BackupError, Manifest, STORE, Told, options};
use crate::fsck::{self, Report};
use crate::ledger::{Ledger, LedgerError};

/// What was found in a backup.
pub struct Verified {
    /// What the backup states.
    pub manifest: Manifest,
    /// What is wrong with the store in it.
    pub report: Report,
    /// Where the manifest states something else than the store holds.
    pub mismatches: Vec<Mismatch>,
    /// The rows, to compare them with anchor and witnesses.
    pub ledger: Ledger,
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.report.is_clean() && self.mismatches.is_empty()
    }
}

/// Where the manifest and the store of a backup do not agree.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// A value of the manifest is not that of the store.
    #[error("the manifest states {what} {stated}, the store holds {found}")]
    Value {
        /// The key of the manifest.
        what: &'static str,
        /// What the manifest has.
        stated: String,
        /// What the store has.
        found: String,
    },
    /// The signed note of the manifest is not signed by the log's keys.
    #[error("the note of the manifest is not signed by the log: {0}")]
    Note(String),
    /// The signed note is of a head that the store does not hold.
    #[error("the store does not hold the head of {size} records that the manifest's note signs")]
    Head {
        /// The size that the note states.
        size: u64,
    },
}

/// A backup whose manifest was read and whose store is open.
pub(super) fn open(directory: &Path) -> Result<(Manifest, Ledger), BackupError> {
    let manifest = Manifest::read(directory)?;
    let store = manifest.engine.open(&options(directory.join(STORE)))?;
    Ok((manifest, Ledger::new(store, 0)))
}

/// Verifies a backup: everything is recomputed from its rows, and compared with its manifest. Of
/// the VRF's proofs those of one row in `vrf_sample` are verified.
///
/// # Errors
///
/// [`BackupError`] if the backup could not be read to its end.
pub fn verify(
    directory: &Path,
    vrf_sample: NonZeroU64,
    told: Told<'_>,
) -> Result<Verified, BackupError> {
    let (manifest, ledger) = open(directory)?;
    let report = fsck::check(&ledger, vrf_sample, told)?;
    let mismatches = mismatches(&manifest, &ledger, &report)?;
    Ok(Verified {
        manifest,
        report,
        mismatches,
        ledger,
    })
}

/// Where the manifest states something else than the store holds, whose rows were counted.
pub(super) fn mismatches(
    manifest: &Manifest,
    ledger: &Ledger,
    report: &Report,
) -> Result<Vec<Mismatch>, BackupError> {
    let mut wrong = Vec::new();
    let mut compare = |what, stated: String, found: String| {
        if stated != found {
            wrong.push(Mismatch::Value {
                what,
                stated,
                found,
            });
        }
    };
    let rows: u64 = report.rows.iter().sum();
    compare("rows", manifest.rows.to_string(), rows.to_string());
    // What cannot be read the check has named.
    if let Some(head) = readable(ledger.head())? {
        compare("size", manifest.size.to_string(), head.size.to_string());
        compare("root", manifest.root.clone(), head.root.to_string());
    }
    if let Some(record) = readable(ledger.record(0))?
        && let Ok(config) = LogConfig::decode(&record)
    {
        compare("origin", manifest.origin.clone(), config.origin);
    }
    if let Some(note) = &manifest.note {
        wrong.extend(wrong_note(note.as_bytes(), ledger)?);
    }
    Ok(wrong)
}

/// What is wrong with the manifest's note, by the keys that the store was made with.
fn wrong_note(note: &[u8], ledger: &Ledger) -> Result<Option<Mismatch>, BackupError> {
    let note = match SignedNote::parse(note) {
        Ok(note) => note,
        Err(error) => return Ok(Some(Mismatch::Note(error.to_string()))),
    };
    let Some(verifier) = readable(ledger.verifier())? else {
        return Ok(None);
    };
    let signed = match verifier.verify(&note) {
        Ok(signed) => signed,
        Err(error) => return Ok(Some(Mismatch::Note(error.to_string()))),
    };
    let (size, root) = (signed.checkpoint().size(), *signed.checkpoint().root());
    let Some(head) = readable(ledger.head())? else {
        return Ok(None);
    };
    let is_held = size <= head.size && readable(ledger.root(size))? == Some(root);
    Ok((!is_held).then_some(Mismatch::Head { size }))
}

/// What a damaged row does not say; a store that fails ends the verification.
fn readable<T>(read: Result<T, LedgerError>) -> Result<Option<T>, BackupError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(LedgerError::Read(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}
