//! The map: deltas from record to record, and the leaves that they inserted.

use candor_core::epoch::{EpochRecord, MapState};
use candor_core::map::AuditDelta;

use super::report::Problem;
use super::root::RootOfLeaves;
use super::{Check, rows};
use crate::storage::{ReadError, Table};

impl Check<'_> {
    /// Each delta against its record, the root before it, and the leaves that it inserted.
    pub(super) fn deltas(&mut self) -> Result<(), ReadError> {
        let mut next = 1;
        self.pages(Table::Deltas, |check, page| {
            for row in page {
                let epoch = rows::index(&row.key).filter(|epoch| check.has_epoch(*epoch));
                let Some(epoch) = epoch else {
                    check.report.row(Table::Deltas, &row.key, Problem::Stray);
                    continue;
                };
                check.missing_deltas(next, epoch);
                next = epoch + 1;
                check.delta(epoch, row.value)?;
            }
            Ok(())
        })?;
        self.missing_deltas(next, self.head.size);
        Ok(())
    }

    fn missing_deltas(&mut self, from: u64, to: u64) {
        if from < to {
            let missing = Problem::Missing { rows: to - from };
            self.report.row(Table::Deltas, &from.to_be_bytes(), missing);
        }
    }

    fn delta(&mut self, epoch: u64, bytes: Vec<u8>) -> Result<(), ReadError> {
        let key = epoch.to_be_bytes();
        let Some(record) = self.record(epoch)? else {
            if self.store.get(Table::Records, &key)?.is_some() {
                self.report.row(Table::Records, &key, Problem::Malformed);
            }
            return Ok(());
        };
        let delta = AuditDelta::from_bytes(bytes).ok();
        let Some(delta) = delta.filter(|delta| delta.digest() == record.audit_digest) else {
            self.report.row(Table::Deltas, &key, Problem::Digest);
            return Ok(());
        };
        let Some(before) = self.state_before(epoch)? else {
            return Ok(());
        };
        let verified = match delta.verify(&before.root, &record.prefix_tree) {
            Ok(verified) => verified,
            Err(error) => {
                let problem = Problem::Delta(error);
                self.report.row(Table::Deltas, &key, problem);
                return Ok(());
            }
        };
        if let Err(error) = record.check_inserts(&before, verified.inserts().len()) {
            self.report.row(Table::Records, &key, Problem::Order(error));
        }
        for insert in verified.inserts() {
            let row = self.store.get(Table::Leaves, &insert.key.0)?;
            let problem = match row.map(|row| rows::leaf(&insert.key.0, &row)) {
                Some(Some(found)) if found == (*insert, epoch) => continue,
                Some(_) => Problem::Leaf,
                None => Problem::Missing { rows: 1 },
            };
            self.report.row(Table::Leaves, &insert.key.0, problem);
        }
        Ok(())
    }

    /// The state that an epoch starts from, if it is known.
    fn state_before(&self, epoch: u64) -> Result<Option<MapState>, ReadError> {
        match epoch {
            1 => Ok(self.config.as_ref().map(|(config, _)| config.start())),
            _ => Ok(self.record(epoch - 1)?.as_ref().map(EpochRecord::state)),
        }
    }

    /// The leaves against the newest record. How many there are.
    pub(super) fn leaves(&mut self) -> Result<u64, ReadError> {
        let mut root = RootOfLeaves::default();
        let mut leaves = 0;
        self.pages(Table::Leaves, |check, page| {
            for row in page {
                match rows::leaf(&row.key, &row.value) {
                    Some((leaf, epoch)) if check.has_epoch(epoch) => {
                        root.push(leaf);
                        leaves += 1;
                    }
                    Some(_) => check.report.row(Table::Leaves, &row.key, Problem::Stray),
                    None => check
                        .report
                        .row(Table::Leaves, &row.key, Problem::Malformed),
                }
            }
            Ok(())
        })?;
        let newest = match self.head.size {
            0 => None,
            size => self.state_before(size)?,
        };
        if newest.is_some_and(|newest| root.finish() != newest.root) {
            self.report.table(Table::Leaves, Problem::MapRoot);
        }
        Ok(leaves)
    }
}
