//! What a check found.

use std::fmt;

use candor_core::account::{RuleError, ValueError};
use candor_core::epoch::RecordOrderError;
use candor_core::map::DeltaError;
use thiserror::Error;

use crate::storage::Table;

/// Most findings that are kept. All are counted.
pub const FINDINGS_MAX: usize = 64;

/// How much was checked, and what is wrong.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows that were read, by table, in the order of [`Table::ALL`].
    pub rows: [u64; Table::ALL.len()],
    /// VRF proofs that were verified.
    pub vrf_proofs: u64,
    /// How many findings there are, those beyond [`FINDINGS_MAX`] too.
    pub count: u64,
    findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn is_clean(&self) -> bool {
        self.count == 0
    }

    /// The first findings, at most [`FINDINGS_MAX`].
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether a row was found to be wrong already: what follows from it is no finding of its own.
    pub(super) fn names(&self, table: Table, key: &[u8]) -> bool {
        let is_it = |finding: &Finding| finding.table == table && finding.key.0 == key;
        self.findings.iter().any(is_it)
    }

    /// Notes what is wrong with a row. Of one row only the first is a finding.
    pub(super) fn row(&mut self, table: Table, key: &[u8], problem: Problem) {
        if self.names(table, key) {
            return;
        }
        self.count += 1;
        if self.findings.len() < FINDINGS_MAX {
            let key = RowKey(key.to_vec());
            self.findings.push(Finding {
                table,
                key,
                problem,
            });
        }
    }

    /// Notes what is wrong with a table as a whole. No row has an empty key.
    pub(super) fn table(&mut self, table: Table, problem: Problem) {
        self.row(table, &[], problem);
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Finding {
    /// The table that is wrong.
    pub table: Table,
    /// The row; empty if it is the table as a whole.
    pub key: RowKey,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, problem) = (self.table.name(), &self.problem);
        if self.key.0.is_empty() {
            return write!(f, "{table}: {problem}");
        }
        match self.table {
            Table::Accounts | Table::Versions => {
                write!(f, "{table}: a row: {problem}")
            }
            _ => {
                write!(f, "{table}: row ")?;
                self.key.0.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
                write!(f, ": {problem}")
            }
        }
    }
}

/// The key of a row. It may name a person, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct RowKey(pub Vec<u8>);

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowKey({} bytes)", self.0.len())
    }
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// Rows that must be there are not; the key is the first one's.
    #[error("{rows} missing from here on")]
    Missing {
        /// How many.
        rows: u64,
    },
    /// The row has not the form that this program writes.
    #[error("malformed")]
    Malformed,
    /// Nothing that the store holds leads to this row: it is of a later epoch than the head, or no
    /// row of this program.
    #[error("no such row should be there")]
    Stray,
    /// The head row is not of the records.
    #[error("the head is not of the records")]
    Head,
    /// The log that the head is of holds another record.
    #[error("not the record that the log holds")]
    Record,
    /// The record cannot follow the one before it.
    #[error("{0}")]
    Order(RecordOrderError),
    /// The tile does not have the hashes of the log.
    #[error("not the hashes of the log")]
    Tile,
    /// The delta is not the one that the epoch's record names.
    #[error("not the delta that the record names")]
    Digest,
    /// The delta does not lead from the root before to the root after its epoch.
    #[error("the delta does not lead from root to root: {0}")]
    Delta(DeltaError),
    /// The leaf is not the one that its epoch inserted.
    #[error("not the leaf that its epoch inserted")]
    Leaf,
    /// The root of the leaves is not the one that the newest record states.
    #[error("the leaves do not have the root of the newest record")]
    MapRoot,
    /// There are more or fewer versions than leaves.
    #[error("{found} versions for {stated} leaves")]
    Count {
        /// How many leaves there are.
        stated: u64,
        /// Rows that are there.
        found: u64,
    },
    /// The search key or its proof is not that of the label-version.
    #[error("not the search key of the label-version, or no proof of it")]
    SearchKey,
    /// The map does not commit to this version, or not in this epoch.
    #[error("not what the map commits to")]
    Commitment,
    /// The version is of an earlier epoch than the one before it.
    #[error("of an earlier epoch than the version before")]
    Epoch,
    /// The value is none of the label.
    #[error("not a value of the label: {0}")]
    Value(ValueError),
    /// The value may not follow the version before.
    #[error("the value may not follow the one before: {0}")]
    Succession(RuleError),
    /// The account's greatest version is not the greatest that is there.
    #[error("not the greatest version of the account")]
    Greatest,
    /// A version that the account holds to come later is in the map.
    #[error("a version that should not exist yet is in the map")]
    Later,
    /// The store has versions that were erased, and the format of one without.
    #[error("not the format of a store with erased versions")]
    Format,
    /// The note is not signed by the log, or not for a head of this log.
    #[error("not a signed head of this log")]
    Note,
}
