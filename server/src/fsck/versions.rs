//! Versions: against the map, against where the VRF says that they are, and against each other.
//! The newest version of a label is in its account's row.

use candor_core::account::{Label, UnverifiedValue, VerifiedValue, check_successor};
use candor_core::crypto::{Commitment, SearchKey, vrf::vrf_input};
use rayon::prelude::*;

use super::report::Problem;
use super::rows::{self, Row};
use super::{Check, is_sampled};
use crate::ledger::{Earlier, IDENTITY, Rung, version_key};
use crate::storage::{ReadError, Table};

/// The account whose versions are being read.
struct Account {
    label: Label,
    /// The version that comes next.
    next: u32,
    /// The epoch of the last one.
    epoch: u64,
    /// The last value, unless it is missing, wrong or erased.
    value: Option<VerifiedValue>,
}

/// A version row on its own: what needs no other version of the label.
struct Version {
    label: Label,
    version: u32,
    epoch: u64,
    /// None also if it was erased.
    value: Option<VerifiedValue>,
    is_erased: bool,
    wrong: Option<Wrong>,
    /// Proofs that were verified.
    proofs: u64,
}

/// A row that is wrong, by table and key, and how.
type Wrong = (Table, Vec<u8>, Problem);

/// What is wrong where a version and the map do not agree.
pub(super) enum Blame {
    /// The version's row.
    Row(Problem),
    /// The leaf with this key.
    Leaf(SearchKey, Problem),
}

/// A value that was verified for its label, or why it was not.
pub(super) fn value(label: &Label, bytes: &[u8]) -> Result<VerifiedValue, Problem> {
    let value = UnverifiedValue::decode(bytes).map_err(|_| Problem::Malformed)?;
    value.verify(label).map_err(Problem::Value)
}

impl Check<'_> {
    /// Every version that is not the newest, against the leaf that commits to it, and against the
    /// version before.
    pub(super) fn versions(&mut self) -> Result<(), ReadError> {
        let mut account = None;
        self.pages(Table::Versions, |check, page| {
            let first = check.report.rows[Table::Versions as usize] - page.len() as u64;
            let this = &*check;
            let read: Result<Vec<_>, ReadError> = page
                .par_iter()
                .enumerate()
                .map(|(at, row)| this.version(row, is_sampled(first + at as u64, this.vrf_sample)))
                .collect();
            for (row, version) in page.iter().zip(read?) {
                match version {
                    Some(version) => {
                        if version.is_erased && !check.may_erase {
                            check.report.row(Table::Meta, IDENTITY, Problem::Format);
                        }
                        check.follow(&mut account, &row.key, version)?;
                    }
                    None => {
                        let malformed = Problem::Malformed;
                        check.report.row(Table::Versions, &row.key, malformed);
                    }
                }
            }
            Ok(())
        })?;
        if let Some(account) = account {
            self.end(&account)?;
        }
        Ok(())
    }

    /// A version row and the leaf that commits to it; `None` if the row is malformed. The proof of
    /// its search key is verified if `verified`, or if there is no leaf.
    fn version(&self, row: &Row, verified: bool) -> Result<Option<Version>, ReadError> {
        let Some((label, number, Earlier { epoch, rung, kept })) = rows::version(row) else {
            return Ok(None);
        };
        let wrong_row = |problem| (Table::Versions, row.key.clone(), problem);
        let committed = self.committed(&label, &rung, epoch, verified)?;
        let is_erased = kept.is_none();
        let value = kept
            .map(|version| value(&label, &version.value))
            .transpose();
        let (value, wrong) = match (value, committed) {
            (Ok(value), Ok(())) => (value, None),
            (Err(problem), Ok(())) => (None, Some(wrong_row(problem))),
            (_, Err(Blame::Row(problem))) => (None, Some(wrong_row(problem))),
            (_, Err(Blame::Leaf(key, problem))) => {
                (None, Some((Table::Leaves, key.0.to_vec(), problem)))
            }
        };
        let proofs = u64::from(verified && rung.proof().is_some());
        Ok(Some(Version {
            label,
            version: number,
            epoch,
            value,
            is_erased,
            wrong,
            proofs,
        }))
    }

    /// Whether the map commits to a version that exists, since this epoch, where the VRF says. The
    /// proof of its search key is verified if `verified`, or if there is no leaf.
    pub(super) fn committed(
        &self,
        label: &Label,
        rung: &Rung,
        epoch: u64,
        verified: bool,
    ) -> Result<Result<(), Blame>, ReadError> {
        let Some(key) = rung.key() else {
            return Ok(Err(Blame::Row(Problem::Malformed)));
        };
        if verified && self.is_search_key(label, rung) == Some(false) {
            return Ok(Err(Blame::Row(Problem::SearchKey)));
        }
        Ok(match self.leaf(&key)? {
            Ok((commitment, at)) if Some(commitment) == rung.commitment() && at == epoch => Ok(()),
            Ok(_) => Err(Blame::Row(Problem::Commitment)),
            // A leaf that its epoch's delta misses has been named; this key may be the wrong one.
            Err(Problem::Missing { .. }) if self.is_search_key(label, rung) != Some(true) => {
                Err(Blame::Row(Problem::SearchKey))
            }
            Err(problem) => Err(Blame::Leaf(key, problem)),
        })
    }

    /// Whether the VRF says that the search key is that of the label-version; `None` if there is no
    /// proof of it yet. Without the VRF's key the records are wrong, and say so.
    pub(super) fn is_search_key(&self, label: &Label, rung: &Rung) -> Option<bool> {
        let (key, proof) = rung.key().zip(rung.proof())?;
        Some(self.config.as_ref().is_none_or(|(_, vrf)| {
            let proved = vrf.verify(&vrf_input(label.as_bytes(), rung.version()), &proof);
            proved.is_ok_and(|proved| proved == key)
        }))
    }

    /// What the map holds under a search key: commitment and epoch, or what is wrong with the leaf.
    pub(super) fn leaf(
        &self,
        key: &SearchKey,
    ) -> Result<Result<(Commitment, u64), Problem>, ReadError> {
        if self.report.names(Table::Leaves, &key.0) {
            return Ok(Err(Problem::Leaf));
        }
        let Some(found) = self.store.get(Table::Leaves, &key.0)? else {
            return Ok(Err(Problem::Missing { rows: 1 }));
        };
        let leaf = rows::leaf(&key.0, &found).ok_or(Problem::Malformed);
        Ok(leaf.map(|(leaf, epoch)| (leaf.commitment, epoch)))
    }

    /// Notes what is wrong with a version, on its own or after the one before.
    fn follow(
        &mut self,
        account: &mut Option<Account>,
        key: &[u8],
        found: Version,
    ) -> Result<(), ReadError> {
        self.report.vrf_proofs += found.proofs;
        if account
            .as_ref()
            .is_some_and(|account| account.label != found.label)
            && let Some(ended) = account.take()
        {
            self.end(&ended)?;
        }
        let account = account.get_or_insert_with(|| Account {
            label: found.label.clone(),
            next: 0,
            epoch: 0,
            value: None,
        });
        let is_first = found.version == 0;
        if found.version > account.next {
            self.missing_versions(&account.label, account.next, found.version);
            account.value = None;
        }
        if let Some((table, key, problem)) = found.wrong {
            self.report.row(table, &key, problem);
        } else {
            if found.epoch < account.epoch {
                self.report.row(Table::Versions, key, Problem::Epoch);
            }
            account.epoch = found.epoch;
        }
        if let Some(value) = &found.value
            && (is_first || account.value.is_some())
            && let Err(error) = check_successor(account.value.as_ref(), value)
        {
            let problem = Problem::Succession(error);
            self.report.row(Table::Versions, key, problem);
        }
        account.next = found.version.saturating_add(1);
        account.value = found.value;
        Ok(())
    }

    /// Notes that versions of a label are missing, from `from` to before `to`.
    pub(super) fn missing_versions(&mut self, label: &Label, from: u32, to: u32) {
        let rows = u64::from(to - from);
        let key = version_key(label, from);
        self.report
            .row(Table::Versions, &key, Problem::Missing { rows });
    }

    /// What has versions has an account; all accounts are read later.
    fn end(&mut self, account: &Account) -> Result<(), ReadError> {
        let key = account.label.as_bytes();
        if self.store.get(Table::Accounts, key)?.is_none() {
            let missing = Problem::Missing { rows: 1 };
            self.report.row(Table::Accounts, key, missing);
        }
        Ok(())
    }
}
