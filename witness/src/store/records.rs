//! What the database holds, and what changes make of it: functions of values, which the database,
//! the copy in memory and simulations share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::anchor::Anchor;
use super::durability::{Committed, made};
use super::quarantine::{Quarantine, Row};
use super::{ApplyError, Change, Entry};
use crate::decision::Recorded;

/// Everything that is known of every log.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// How many groups of changes moved a log, when this was read.
    pub generation: u64,
    /// What is known, by origin.
    pub entries: BTreeMap<String, Entry>,
    /// What is known of a log that has no entry.
    pub unknown: Entry,
}

impl Records {
    /// What is known of log `origin`.
    pub fn entry(&self, origin: &str) -> &Entry {
        self.entries.get(origin).unwrap_or(&self.unknown)
    }

    /// What is known of log `origin`, to be changed.
    pub fn entry_mut(&mut self, origin: &str) -> &mut Entry {
        let entry = self.entries.entry(origin.to_owned());
        entry.or_insert_with(|| self.unknown.clone())
    }

    /// Makes a change.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Stale`], as [`Change::check`] says.
    pub fn apply(&mut self, origin: &str, change: &Change) -> Result<(), ApplyError> {
        let entry = self.entry(origin);
        change.check(&entry.recorded(), entry.quarantine, entry.fork.is_some())?;
        let entry = self.entry_mut(origin);
        match change {
            Change::Advance { next, .. } => {
                entry.state = Some(Arc::clone(next));
                entry.quarantine = None;
            }
            Change::Quarantine(quarantine) => entry.quarantine = Some(*quarantine),
            Change::Fork { reason } => entry.fork = Some(reason.clone()),
            Change::MapAlarm { reason } => entry.map_alarm = Some(reason.clone()),
            Change::MapProgress(_) => {}
        }
        Ok(())
    }

    /// Makes a group of changes at once, as a database does in one transaction.
    pub fn commit(&mut self, changes: &[(&str, &Change)], anchor: &Anchor) -> Committed {
        let results: Vec<_> = changes
            .iter()
            .map(|(origin, change)| self.apply(origin, change))
            .collect();
        let anchor = anchor.after(made(changes, &results));
        if let Some(anchor) = &anchor {
            self.generation = anchor.generation;
        }
        Committed { results, anchor }
    }

    /// Puts a log in quarantine, or releases it.
    pub(super) fn put_row(&mut self, origin: &str, row: Row) {
        self.entry_mut(origin).quarantine = row.quarantine();
    }

    /// What the database would have the anchor say.
    pub fn anchor(&self) -> Anchor {
        let recorded = self
            .entries
            .iter()
            .filter_map(|(origin, entry)| Some((origin.clone(), largest(entry)?)));
        Anchor {
            generation: self.generation,
            logs: recorded.collect(),
        }
    }
}

impl Change {
    /// Checks that the change was decided on what there is.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Stale`] if it was not.
    pub fn check(
        &self,
        recorded: &Recorded,
        in_quarantine: Option<Quarantine>,
        is_forked: bool,
    ) -> Result<(), ApplyError> {
        let Self::Advance {
            expected,
            quarantine,
            ..
        } = self
        else {
            return Ok(());
        };
        // The decision may be older than what suspends the log.
        if is_forked || expected != recorded || *quarantine != in_quarantine {
            return Err(ApplyError::Stale);
        }
        Ok(())
    }
}

impl Anchor {
    /// The anchor after a group of changes; `None` if no log moved.
    pub fn after<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, &'a Change)>,
    ) -> Option<Self> {
        let mut further = BTreeMap::new();
        for (origin, change) in changes {
            if let Change::Advance { next, .. } = change
                && self.logs.get(origin) != Some(&next.recorded())
            {
                further.insert(origin.to_owned(), next.recorded());
            }
        }
        if further.is_empty() {
            return None;
        }
        let mut next = self.clone();
        next.generation += 1;
        next.logs.extend(further);
        Some(next)
    }
}

/// The largest tree that the database knows to be cosigned: in quarantine, that may be the floor.
/// An anchor that is made from the record alone would forget it, and the next old database would
/// agree with it.
pub(super) fn largest(entry: &Entry) -> Option<Recorded> {
    let floor = entry.quarantine.and_then(|quarantine| quarantine.floor);
    let record = entry.state.as_ref().map(|state| state.recorded());
    floor
        .into_iter()
        .chain(record)
        .max_by_key(|known| known.size)
}
