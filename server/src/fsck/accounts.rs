//! Accounts: their greatest version, and the search keys of versions that do not exist yet.

use candor_core::account::Label;
use candor_core::map::ladder::search_ladder;
use rayon::prelude::*;

use super::report::Problem;
use super::rows::{self, Row};
use super::{Check, is_sampled};
use crate::ledger::ProvenKey;
use crate::storage::{ReadError, Table};

/// What is wrong around an account row.
enum Wrong {
    /// The row itself.
    Row(Problem),
    /// Versions of the label are missing, from the first to before the second.
    Versions(Label, u32, u32),
}

impl Check<'_> {
    /// Every account against its versions and the map, which has `leaves`.
    pub(super) fn accounts(&mut self, leaves: u64) -> Result<(), ReadError> {
        // A lost version takes its search key with it, so nobody can say which leaf was its own;
        // only that there is one too many.
        let lost_versions = self.report.rows[Table::Versions as usize] < leaves;
        self.pages(Table::Accounts, |check, page| {
            let first = check.report.rows[Table::Accounts as usize] - page.len() as u64;
            let this = &*check;
            let read: Result<Vec<_>, ReadError> = page
                .par_iter()
                .enumerate()
                .map(|(at, row)| {
                    let verified = is_sampled(first + at as u64, this.vrf_sample);
                    this.account(row, lost_versions, verified)
                })
                .collect();
            for (row, (wrong, proofs)) in page.iter().zip(read?) {
                check.report.vrf_proofs += proofs;
                match wrong {
                    Some(Wrong::Row(problem)) => {
                        check.report.row(Table::Accounts, &row.key, problem);
                    }
                    Some(Wrong::Versions(label, from, to)) => {
                        check.missing_versions(&label, from, to);
                    }
                    None => {}
                }
            }
            Ok(())
        })
    }

    /// What is wrong with an account, and how many proofs were verified to tell.
    fn account(
        &self,
        row: &Row,
        lost_versions: bool,
        verified: bool,
    ) -> Result<(Option<Wrong>, u64), ReadError> {
        let wrong = |problem| Ok((Some(Wrong::Row(problem)), 0));
        let Some(account) = rows::account(&row.key, &row.value) else {
            return wrong(Problem::Malformed);
        };
        let rows::Account {
            label,
            greatest,
            later,
        } = account;
        let last = self.last_version(&label)?;
        if last != Some(greatest) {
            if lost_versions && last < Some(greatest) {
                let from = last.map_or(0, |last| last + 1);
                let missing = Wrong::Versions(label, from, greatest.saturating_add(1));
                return Ok((Some(missing), 0));
            }
            return wrong(last.map_or(Problem::Stray, |_| Problem::Greatest));
        }
        let ladder = search_ladder(Some(greatest));
        let mut proofs = 0;
        for (version, ProvenKey { key, proof }) in &later {
            if *version <= greatest || !ladder.contains(version) {
                return wrong(Problem::Malformed);
            }
            proofs += u64::from(verified);
            if verified && !self.is_search_key(&label, *version, key, proof) {
                return Ok((Some(Wrong::Row(Problem::SearchKey)), proofs));
            }
            // Lookups show that it is absent.
            if self.store.get(Table::Leaves, &key.0)?.is_some() {
                return Ok((Some(Wrong::Row(Problem::Later)), proofs));
            }
        }
        Ok((None, proofs))
    }

    /// The greatest version of a label that has a row.
    fn last_version(&self, label: &Label) -> Result<Option<u32>, ReadError> {
        let key = rows::last_key(self.store, Table::Versions, &rows::versions_of(label))?;
        let version = key.and_then(|key| rows::label_version(&key));
        Ok(version.map(|(_, version)| version))
    }
}
