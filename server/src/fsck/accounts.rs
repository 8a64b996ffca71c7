//! Accounts: their newest version, and their ladder.

use candor_core::account::{Label, check_successor};
use rayon::prelude::*;

use super::report::Problem;
use super::rows::{self, Row};
use super::versions::{Blame, value};
use super::{Check, is_sampled};
use crate::ledger::{Account, Rung, Version};
use crate::storage::{ReadError, Table};

/// What is wrong around an account row.
enum Wrong {
    /// The row itself, or a leaf.
    Here(Blame),
    /// Versions of the label are missing, from the first to before the second.
    Versions(Label, u32, u32),
}

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Self {
        Self::Here(Blame::Row(problem))
    }
}

impl Check<'_> {
    /// Every account against its versions and the map, which has `leaves`.
    pub(super) fn accounts(&mut self, leaves: u64) -> Result<(), ReadError> {
        self.pages(Table::Accounts, |check, page| {
            let first = check.report.rows[Table::Accounts as usize] - page.len() as u64;
            let this = &*check;
            let read: Result<Vec<_>, ReadError> = page
                .par_iter()
                .enumerate()
                .map(|(at, row)| {
                    let verified = is_sampled(first + at as u64, this.vrf_sample);
                    let mut proofs = 0;
                    let wrong = this.account(row, verified, &mut proofs)?;
                    Ok((wrong, proofs))
                })
                .collect();
            for (row, (wrong, proofs)) in page.iter().zip(read?) {
                check.report.vrf_proofs += proofs;
                match wrong {
                    Err(Wrong::Here(Blame::Row(problem))) => {
                        check.report.row(Table::Accounts, &row.key, problem);
                    }
                    Err(Wrong::Here(Blame::Leaf(key, problem))) => {
                        check.report.row(Table::Leaves, &key.0, problem);
                    }
                    Err(Wrong::Versions(label, from, to)) => {
                        check.missing_versions(&label, from, to);
                    }
                    Ok(()) => {}
                }
            }
            Ok(())
        })?;
        // The newest versions are with their accounts.
        let rows = &self.report.rows;
        let found = rows[Table::Versions as usize] + rows[Table::Accounts as usize];
        if found != leaves {
            let stated = leaves;
            let problem = Problem::Count { stated, found };
            self.report.table(Table::Versions, problem);
        }
        Ok(())
    }

    /// What is wrong with an account. Counts the proofs that were verified to tell.
    fn account(
        &self,
        row: &Row,
        verified: bool,
        proofs: &mut u64,
    ) -> Result<Result<(), Wrong>, ReadError> {
        let Some(account) = rows::account(&row.key, &row.value) else {
            return Ok(Err(Problem::Malformed.into()));
        };
        let Some((greatest, newest)) = account.newest() else {
            return Ok(Err(Problem::Malformed.into()));
        };
        for rung in account.rungs() {
            *proofs += u64::from(verified && rung.proof().is_some());
            if let Err(blame) = self.rung(&account, *greatest, newest, rung, verified)? {
                return Ok(Err(Wrong::Here(blame)));
            }
        }
        self.newest(account.label(), *greatest, newest)
    }

    /// A version on the ladder against the map and the VRF.
    fn rung(
        &self,
        account: &Account,
        greatest: u32,
        newest: &Version,
        rung: &Rung,
        verified: bool,
    ) -> Result<Result<(), Blame>, ReadError> {
        let label = account.label();
        if rung.version() == greatest {
            return self.committed(label, rung, newest.epoch, verified);
        }
        let Some(key) = rung.key() else {
            return Ok(Ok(())); // Workers complete what is missing.
        };
        let wrong = |problem| Ok(Err(Blame::Row(problem)));
        if verified && self.is_search_key(label, rung) == Some(false) {
            return wrong(Problem::SearchKey);
        }
        match (self.leaf(&key)?, rung.commitment()) {
            (Ok((found, _)), Some(commitment)) if found == commitment => Ok(Ok(())),
            (Err(Problem::Missing { .. }), None) => Ok(Ok(())),
            // Lookups show that it is absent.
            (_, None) => wrong(Problem::Later),
            // Its own row says more of a leaf that is lost.
            (Err(Problem::Leaf), Some(_)) => Ok(Ok(())),
            (Err(Problem::Missing { .. }), Some(_))
                if self.is_search_key(label, rung) == Some(true) =>
            {
                Ok(Ok(()))
            }
            (_, Some(_)) => wrong(Problem::Commitment),
        }
    }

    /// The newest version against the one before it, which is the last that has a row of its own.
    fn newest(
        &self,
        label: &Label,
        greatest: u32,
        newest: &Version,
    ) -> Result<Result<(), Wrong>, ReadError> {
        let value = match value(label, &newest.value) {
            Ok(value) => value,
            Err(problem) => return Ok(Err(problem.into())),
        };
        let range = rows::versions_of(label);
        let Some(row) = rows::last(self.store, Table::Versions, &range)? else {
            return Ok(match greatest {
                0 => check_successor(None, &value)
                    .map(|_| ())
                    .map_err(|error| Problem::Succession(error).into()),
                _ => Err(Wrong::Versions(label.clone(), 0, greatest)),
            });
        };
        let Some((_, last, before)) = rows::version(&row) else {
            return Ok(Ok(())); // It was named.
        };
        if last >= greatest {
            return Ok(Err(Problem::Greatest.into()));
        }
        if last + 1 < greatest {
            return Ok(Err(Wrong::Versions(label.clone(), last + 1, greatest)));
        }
        if self.report.names(Table::Versions, &row.key) {
            return Ok(Ok(()));
        }
        if newest.epoch < before.epoch {
            return Ok(Err(Problem::Epoch.into()));
        }
        let Some(Ok(before)) = before.kept.map(|it| self::value(label, &it.value)) else {
            return Ok(Ok(())); // It was named, or erased.
        };
        Ok(check_successor(Some(&before), &value)
            .map(|_| ())
            .map_err(|error| Problem::Succession(error).into()))
    }
}
