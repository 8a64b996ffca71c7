//! Whether a store is what its head says: everything is recomputed from the rows.
//!
//! The server checks at start what it will sign next to: the log's right edge and the map's root.
//! This checks the rest too, and says which row is wrong: that the records give the log's root and
//! the tiles, that each delta leads from root to root and its leaves are there, that the leaves
//! give the newest root, that each version is what the map commits to, follows the one before it
//! and lives where the VRF says, and that each account's greatest version is the greatest. It needs
//! no secret. What it cannot tell is whether the head is the newest that was signed, and whether
//! cosignatures are good: anchor, policy and witnesses tell, when the server starts. Nor whether a
//! search key of a version to come is right of which there is no proof yet.
//!
//! Each table is read once or twice, page by page; memory does not grow with the store. Nothing may
//! be written meanwhile. Where two rows disagree, the one is named that the signed history, or
//! else the map, speaks against.

mod accounts;
mod log;
mod map;
mod report;
mod root;
mod rows;
mod standing;
mod versions;

use std::num::NonZeroU64;

use candor_core::Hash;
use candor_core::crypto::VrfPublicKey;
use candor_core::epoch::{EpochRecord, LogConfig, Record};
use candor_core::note::{Checkpoint, LogVerifier, SignedNote};

pub use report::{FINDINGS_MAX, Finding, Problem, Report, RowKey};
pub use standing::Standing;

use crate::identity::Identity;
use crate::ledger::{FORMAT, HEAD, IDENTITY, Ledger, LedgerError, PUBLISHED, SECOND, StoredHead};
use crate::storage::{KeyRange, ReadError, Storage, Table, pages};

/// A published note as its row has it.
struct StoredNote {
    key: &'static [u8],
    note: SignedNote,
    head: StoredHead,
}

/// How far a check has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The table that is being read.
    pub table: Table,
    /// How many of its rows were read.
    pub rows: u64,
}

/// Checks the whole store. VRF proofs take most of the time; those of one row in `vrf_sample` are
/// verified, all if that is 1.
///
/// # Errors
///
/// [`ReadError`] if the store could not be read to the end; the environment is at fault.
pub fn check(
    ledger: &Ledger,
    vrf_sample: NonZeroU64,
    progress: &mut (dyn FnMut(Progress) + Send + Sync),
) -> Result<Report, ReadError> {
    let mut check = Check {
        store: ledger.store(),
        head: StoredHead {
            size: 0,
            root: Hash::EMPTY_LOG,
        },
        config: None,
        may_erase: false,
        vrf_sample,
        report: Report::default(),
        progress,
    };
    check.meta(ledger)?;
    let notes = check.notes()?;
    check.log(&notes)?;
    for note in &notes {
        check.signatures(note)?;
    }
    check.tiles()?;
    check.deltas()?;
    let leaves = check.leaves()?;
    check.versions()?;
    check.accounts(leaves)?;
    Ok(check.report)
}

/// A check under way.
struct Check<'a> {
    store: &'a dyn Storage,
    /// What the other rows are held against.
    head: StoredHead,
    /// Record 0 and the VRF key that it names.
    config: Option<(LogConfig, VrfPublicKey)>,
    /// Whether the store has the format of one that versions were erased from.
    may_erase: bool,
    /// One row in so many has its VRF proofs verified.
    vrf_sample: NonZeroU64,
    report: Report,
    progress: &'a mut (dyn FnMut(Progress) + Send + Sync),
}

impl Check<'_> {
    /// The rows of a table, page by page.
    fn pages(
        &mut self,
        table: Table,
        mut visit: impl FnMut(&mut Self, Vec<rows::Row>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        pages::pages(self.store, table, |page| {
            let rows = &mut self.report.rows[table as usize];
            *rows += page.len() as u64;
            let rows = *rows;
            (self.progress)(Progress { table, rows });
            visit(self, page)
        })
    }

    /// Head, identity and configuration.
    fn meta(&mut self, ledger: &Ledger) -> Result<(), ReadError> {
        let is_known = |key: &[u8]| key == HEAD || key == IDENTITY;
        self.only(Table::Meta, is_known)?;
        match ledger.head() {
            Ok(head) => self.head = head,
            Err(error) => {
                self.unreadable(Table::Meta, HEAD, error)?;
                // The rest is held against what the records say.
                let last = rows::last(self.store, Table::Records, &KeyRange::all())?;
                let last = last.and_then(|row| rows::index(&row.key));
                self.head.size = last.map_or(0, |last| last.saturating_add(1));
            }
        }
        let config = self.store.get(Table::Records, &0_u64.to_be_bytes())?;
        let config = config.and_then(|bytes| LogConfig::decode(&bytes).ok());
        self.config = config.and_then(|config| {
            let vrf = VrfPublicKey::from_bytes(&config.vrf_public_key).ok()?;
            Some((config, vrf))
        });
        let identity = self.store.get(Table::Meta, IDENTITY)?;
        self.may_erase = identity.is_some_and(|row| row.starts_with(&FORMAT.to_be_bytes()));
        match ledger.identity() {
            Ok(Some(keys)) => {
                if Identity::decode(&keys).is_none() {
                    self.report.row(Table::Meta, IDENTITY, Problem::Malformed);
                }
            }
            Ok(None) => {
                let missing = Problem::Missing { rows: 1 };
                self.report.row(Table::Meta, IDENTITY, missing);
            }
            Err(error) => self.unreadable(Table::Meta, IDENTITY, error)?,
        }
        Ok(())
    }

    /// The published notes, of which nothing is verified yet.
    fn notes(&mut self) -> Result<Vec<StoredNote>, ReadError> {
        let keys = [PUBLISHED, SECOND];
        self.only(Table::Checkpoints, |key| keys.contains(&key))?;
        let mut notes = Vec::new();
        for key in keys {
            let Some(bytes) = self.store.get(Table::Checkpoints, key)? else {
                continue; // Nothing was published yet, or the next round writes it again.
            };
            let parsed = SignedNote::parse(&bytes).ok().and_then(|note| {
                let checkpoint = Checkpoint::parse(note.text()).ok()?;
                let (size, root) = (checkpoint.size(), *checkpoint.root());
                let head = StoredHead { size, root };
                Some(StoredNote { key, note, head })
            });
            match parsed {
                Some(note) => notes.push(note),
                None => self.wrong_note(key),
            }
        }
        Ok(notes)
    }

    /// Whether a published note is signed by the log, whose keys and origin are known by now.
    fn signatures(&mut self, stored: &StoredNote) -> Result<(), ReadError> {
        let identity = self.store.get(Table::Meta, IDENTITY)?;
        let identity = identity.as_deref().and_then(|row| row.get(4..));
        let identity = identity.and_then(Identity::decode);
        let (Some((config, _)), Some(identity)) = (&self.config, identity) else {
            return Ok(());
        };
        let keys = identity.keys().cloned().collect();
        let verifier = LogVerifier::new(&config.origin, keys);
        if verifier.verify(&stored.note).is_err() {
            self.wrong_note(stored.key);
        }
        Ok(())
    }

    fn wrong_note(&mut self, key: &[u8]) {
        let table = Table::Checkpoints;
        self.report.row(table, key, Problem::Note);
    }

    /// Notes the rows of a small table that no one knows.
    fn only(&mut self, table: Table, is_known: impl Fn(&[u8]) -> bool) -> Result<(), ReadError> {
        self.pages(table, |check, page| {
            for row in page.iter().filter(|row| !is_known(&row.key)) {
                check.report.row(table, &row.key, Problem::Stray);
            }
            Ok(())
        })
    }

    /// Notes a row that the ledger could not read, unless the store failed.
    fn unreadable(
        &mut self,
        table: Table,
        key: &[u8],
        error: LedgerError,
    ) -> Result<(), ReadError> {
        let problem = match error {
            LedgerError::Read(error) => return Err(error),
            LedgerError::Missing { .. } => Problem::Missing { rows: 1 },
            _ => Problem::Malformed,
        };
        self.report.row(table, key, problem);
        Ok(())
    }

    /// Whether the head has this epoch.
    const fn has_epoch(&self, epoch: u64) -> bool {
        1 <= epoch && epoch < self.head.size
    }

    /// The record of an epoch, unless it is missing or was found to be wrong.
    fn record(&self, epoch: u64) -> Result<Option<EpochRecord>, ReadError> {
        let key = epoch.to_be_bytes();
        if self.report.names(Table::Records, &key) {
            return Ok(None);
        }
        let bytes = self.store.get(Table::Records, &key)?;
        Ok(bytes.and_then(|bytes| Record::decode(&bytes).ok().map(|record| record.epoch)))
    }
}

/// Whether the row with this number is one in `sample`.
const fn is_sampled(number: u64, sample: NonZeroU64) -> bool {
    number.is_multiple_of(sample.get())
}
