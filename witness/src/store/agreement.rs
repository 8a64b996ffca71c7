//! What makes database and anchor agree again: at the start, and by the operator's commands.
//! Functions of what both hold; `recovery.rs` reads and writes the files.

use std::collections::BTreeMap;

use super::anchor::Anchor;
use super::quarantine::{self, AnchorKept, Quarantine, Row};
use super::records::Records;

/// What is written so that database and anchor agree: to the database at once, then to the anchor.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// Quarantines that begin or end, by origin.
    pub(super) rows: BTreeMap<String, Row>,
    /// Whether logs of which nothing is known go into quarantine too.
    pub(super) is_blind: bool,
    /// What the anchor says then. Its generation is the database's too.
    pub anchor: Anchor,
}

impl Agreement {
    /// What follows when a witness starts; `None` if database and anchor agree. What differs by
    /// more than a crash explains goes into quarantine, and the anchor is only ever moved on.
    pub fn at_start(known: &Records, anchor: &Anchor) -> Option<Self> {
        let (quarantines, agreed) = agree(&known.anchor(), anchor)?;
        Some(Self {
            rows: stricter(known, &quarantines),
            is_blind: false,
            anchor: agreed,
        })
    }

    /// What follows when the operator says that the state was restored from a backup, with the
    /// quarantine of each log. `anchor` is what is left of it.
    pub fn at_restore(
        known: &Records,
        anchor: Option<&Anchor>,
        kept: AnchorKept,
    ) -> (Self, BTreeMap<String, Quarantine>) {
        let own = known.anchor();
        let (quarantines, is_blind) = quarantine::restored(&own, anchor, kept);
        let mut agreed = larger_of_each(&own, anchor.unwrap_or(&own));
        agreed.generation = agreed.generation.saturating_add(1);
        let agreement = Self {
            rows: stricter(known, &quarantines),
            is_blind,
            anchor: agreed,
        };
        (agreement, quarantines)
    }

    /// What follows when the operator ends the quarantine of log `origin`: what the database holds
    /// of it counts from now on, whatever the anchor says.
    pub fn at_release(known: &Records, anchor: &Anchor, origin: &str) -> Self {
        let own = known.anchor();
        let mut agreed = larger_of_each(&own, anchor);
        match &known.entry(origin).state {
            Some(state) => agreed.logs.insert(origin.to_owned(), state.recorded()),
            None => agreed.logs.remove(origin),
        };
        agreed.generation = own.generation.max(anchor.generation).saturating_add(1);
        // What else differs is found now, because both agree on the generation afterwards.
        let mut others = quarantine::compare(&own, anchor);
        others.remove(origin);
        let mut rows = stricter(known, &others);
        rows.insert(origin.to_owned(), Row::Released);
        Self {
            rows,
            is_blind: false,
            anchor: agreed,
        }
    }

    /// What the database holds with it.
    pub fn apply_to(&self, records: &mut Records) {
        for (origin, row) in &self.rows {
            records.put_row(origin, *row);
        }
        if self.is_blind {
            records.unknown.quarantine = Some(Quarantine::BLIND);
        }
        records.generation = self.anchor.generation;
    }
}

/// What a start makes of database and anchor that differ: what is put in quarantine, by origin, and
/// what both say afterwards. `None` if they agree.
pub fn agree(known: &Anchor, anchor: &Anchor) -> Option<(BTreeMap<String, Quarantine>, Anchor)> {
    let quarantines = quarantine::compare(known, anchor);
    let agreed = larger_of_each(known, anchor);
    let is_agreed = agreed == *anchor && known.generation == anchor.generation;
    (!quarantines.is_empty() || !is_agreed).then_some((quarantines, agreed))
}

/// Those of `quarantines` that are stricter than what there is.
fn stricter(known: &Records, quarantines: &BTreeMap<String, Quarantine>) -> BTreeMap<String, Row> {
    let is_new = |(origin, found): &(&String, &Quarantine)| {
        let entry = known.entries.get(*origin);
        is_stricter(found, entry.and_then(|entry| entry.quarantine).as_ref())
    };
    let new = quarantines.iter().filter(is_new);
    new.map(|(origin, found)| (origin.clone(), Row::Quarantined(*found)))
        .collect()
}

/// A quarantine that only the operator ends stays one, and a floor never sinks.
pub fn is_stricter(found: &Quarantine, earlier: Option<&Quarantine>) -> bool {
    let Some(earlier) = earlier else { return true };
    match (earlier.floor, found.floor) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(earlier), Some(found)) => found.size > earlier.size,
    }
}

/// The larger record of each log, and a generation that both files can have.
pub fn larger_of_each(known: &Anchor, anchor: &Anchor) -> Anchor {
    let mut agreed = anchor.clone();
    for (origin, recorded) in &known.logs {
        let anchored = agreed.logs.entry(origin.clone()).or_insert(*recorded);
        if recorded.size > anchored.size {
            *anchored = *recorded;
        }
    }
    agreed.generation = known.generation.max(anchor.generation);
    agreed
}
