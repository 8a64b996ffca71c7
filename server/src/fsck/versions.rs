//! Versions: against the map, against where the VRF says that they are, and against each other.

use candor_core::account::{Label, UnverifiedValue, VerifiedValue, check_successor};
use candor_core::crypto::{Commitment, SearchKey, VrfProof, vrf::vrf_input};
use rayon::prelude::*;

use super::report::Problem;
use super::rows::{self, Row};
use super::{Check, is_sampled};
use crate::ledger::{ProvenKey, version_key};
use crate::storage::{ReadError, Table};

/// The account whose versions are being read.
struct Account {
    label: Label,
    /// The version that comes next.
    next: u32,
    /// The epoch of the last one.
    epoch: u64,
    /// The last value, unless it is missing or wrong.
    value: Option<VerifiedValue>,
}

/// A version row on its own: what needs no other version of the label.
struct Version {
    label: Label,
    version: u32,
    epoch: u64,
    value: Option<VerifiedValue>,
    wrong: Option<Wrong>,
}

/// A row that is wrong, by table and key, and how.
type Wrong = (Table, Vec<u8>, Problem);

impl Check<'_> {
    /// Every version against the leaf that commits to it, and against the version before. The map
    /// has so many leaves.
    pub(super) fn versions(&mut self, leaves: u64) -> Result<(), ReadError> {
        let mut account = None;
        self.pages(Table::Versions, |check, page| {
            let first = check.report.rows[Table::Versions as usize] - page.len() as u64;
            let this = &*check;
            let is_verified = |at| is_sampled(first + at as u64, this.vrf_sample);
            let read: Result<Vec<_>, ReadError> = page
                .par_iter()
                .enumerate()
                .map(|(at, row)| this.version(row, is_verified(at)))
                .collect();
            let verified = (0..page.len()).filter(|at| is_verified(*at)).count();
            check.report.vrf_proofs += verified as u64;
            for (row, version) in page.iter().zip(read?) {
                match version {
                    Some(version) => check.follow(&mut account, &row.key, version)?,
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
        let found = self.report.rows[Table::Versions as usize];
        if found != leaves {
            let stated = leaves;
            let problem = Problem::Count { stated, found };
            self.report.table(Table::Versions, problem);
        }
        Ok(())
    }

    /// A version row and the leaf that commits to it; `None` if the row is malformed. The proof of
    /// its search key is verified if `verified`, or if there is no leaf.
    fn version(&self, row: &Row, verified: bool) -> Result<Option<Version>, ReadError> {
        let decoded = rows::label_version(&row.key).zip(rows::version(&row.value));
        let Some(((label, version), stored)) = decoded else {
            return Ok(None);
        };
        let ProvenKey { key, proof } = &stored.proven;
        let is_key = || self.is_search_key(&label, version, key, proof);
        let wrong_row = |problem| (Table::Versions, row.key.clone(), problem);
        let bytes = stored.value;
        let commitment = Commitment::new(&stored.opening, label.as_bytes(), version, bytes);
        let wrong = if verified && !is_key() {
            Some(wrong_row(Problem::SearchKey))
        } else {
            match self.leaf(key)? {
                Ok(found) if found == (commitment, stored.epoch) => None,
                Ok(_) => Some(wrong_row(Problem::Commitment)),
                Err(Problem::Missing { .. }) if !is_key() => Some(wrong_row(Problem::SearchKey)),
                Err(problem) => Some((Table::Leaves, key.0.to_vec(), problem)),
            }
        };
        let value = UnverifiedValue::decode(bytes).map_err(|_| Problem::Malformed);
        let value = value.and_then(|value| value.verify(&label).map_err(Problem::Value));
        let (value, wrong) = match (value, wrong) {
            (Ok(value), None) => (Some(value), None),
            (Err(problem), None) => (None, Some(wrong_row(problem))),
            (_, wrong) => (None, wrong),
        };
        Ok(Some(Version {
            label,
            version,
            epoch: stored.epoch,
            value,
            wrong,
        }))
    }

    /// Whether the VRF says so.
    pub(super) fn is_search_key(
        &self,
        label: &Label,
        version: u32,
        key: &SearchKey,
        proof: &VrfProof,
    ) -> bool {
        // Without the VRF's key the records are wrong, and say so.
        self.config.as_ref().is_none_or(|(_, vrf)| {
            let proved = vrf.verify(&vrf_input(label.as_bytes(), version), proof);
            proved.is_ok_and(|proved| proved == *key)
        })
    }

    /// What the map holds under a search key: commitment and epoch, or what is wrong with the leaf.
    fn leaf(&self, key: &SearchKey) -> Result<Result<(Commitment, u64), Problem>, ReadError> {
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
