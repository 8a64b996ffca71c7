//! What is done about a state that may not be the newest: at the start, and by the operator.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use candor_host::durable::{InstanceLock, ReadError};
use redb::{Database, WriteTransaction};

use super::anchor::{self, Anchor, AnchorError};
use super::quarantine::{self, AnchorKept, Quarantine, Row};
use super::tables::{self, Loaded};
use super::{Entry, Paths, StoreError};
use crate::decision::Recorded;

/// Holds the database against the anchor, puts what differs in quarantine, and makes both agree.
/// The anchor is only ever moved on. Returns it as it is then.
pub fn reconcile(
    database: &Database,
    anchor_path: &Path,
    anchor: Anchor,
) -> Result<Anchor, StoreError> {
    let loaded = tables::load(database)?;
    let known = known(&loaded);
    let Some(Agreement {
        quarantines,
        anchor,
    }) = agree(&known, &anchor)
    else {
        return Ok(anchor);
    };
    let transaction = tables::begin(database)?;
    for (origin, found) in &quarantines {
        tracing::error!(origin, reason = %found, "log in quarantine");
        put_stricter(&transaction, &loaded, origin, found)?;
    }
    tables::set_generation(&transaction, anchor.generation)?;
    transaction.commit()?;
    anchor::write(anchor_path, &anchor)?;
    Ok(anchor)
}

/// What a start makes of database and anchor that differ.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// What is put in quarantine, by origin.
    pub quarantines: BTreeMap<String, Quarantine>,
    /// What the anchor says afterwards. The database has its generation too.
    pub anchor: Anchor,
}

/// How database and anchor are made to agree; `None` if they do.
pub fn agree(known: &Anchor, anchor: &Anchor) -> Option<Agreement> {
    let quarantines = quarantine::compare(known, anchor);
    let agreed = larger_of_each(known, anchor);
    let is_agreed = agreed == *anchor && known.generation == anchor.generation;
    (!quarantines.is_empty() || !is_agreed).then_some(Agreement {
        quarantines,
        anchor: agreed,
    })
}

/// Puts a log in quarantine, unless it is in a stricter one.
fn put_stricter(
    transaction: &WriteTransaction,
    loaded: &Loaded,
    origin: &str,
    found: &Quarantine,
) -> Result<(), StoreError> {
    let entry = loaded.entries.get(origin);
    let earlier = entry.and_then(|entry| entry.quarantine);
    if is_stricter(found, earlier.as_ref()) {
        tables::put_row(transaction, origin, Row::Quarantined(*found))?;
    }
    Ok(())
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

/// The largest tree that the database knows to be cosigned: in quarantine, that may be the floor.
/// An anchor that is made from the record alone would forget it, and the next old database would
/// agree with it.
pub fn largest(entry: &Entry) -> Option<Recorded> {
    let floor = entry.quarantine.and_then(|quarantine| quarantine.floor);
    let record = entry.state.as_ref().map(|state| state.recorded());
    floor
        .into_iter()
        .chain(record)
        .max_by_key(|known| known.size)
}

/// What the database would have the anchor say.
fn known(loaded: &Loaded) -> Anchor {
    let recorded = loaded
        .entries
        .iter()
        .filter_map(|(origin, entry)| Some((origin.clone(), largest(entry)?)));
    Anchor {
        generation: loaded.generation,
        logs: recorded.collect(),
    }
}

/// The state of a witness that is not running.
struct Stopped {
    database: Database,
    /// `None` if there is no such file.
    anchor: Option<Anchor>,
    _lock: InstanceLock,
}

impl Stopped {
    fn open(paths: &Paths) -> Result<Self, StoreError> {
        let lock = InstanceLock::acquire(&paths.lock)?;
        let anchor = match anchor::read(&paths.anchor) {
            Ok(anchor) => Some(anchor),
            Err(AnchorError::Read(ReadError::Io { source, .. }))
                if source.kind() == ErrorKind::NotFound =>
            {
                None
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            database: Database::open(&paths.database)?,
            anchor,
            _lock: lock,
        })
    }
}

/// What [`restore`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The quarantines, by origin.
    pub quarantines: BTreeMap<String, Quarantine>,
    /// Whether logs of which nothing is known are in quarantine too.
    pub is_blind: bool,
}

/// Marks a state as restored from a backup: every log goes into quarantine, and only the operator
/// ends that. If the anchor was kept, as `anchor` says, and is newer than the database, it tells
/// from where each log has to prove that it grew. A missing anchor is made.
///
/// # Errors
///
/// [`StoreError`]: the witness is running, there is no database, the anchor is damaged, or the
/// environment fails.
pub fn restore(paths: &Paths, kept: AnchorKept) -> Result<Restored, StoreError> {
    let stopped = Stopped::open(paths)?;
    let loaded = tables::load(&stopped.database)?;
    let known = known(&loaded);
    let anchor = stopped.anchor.as_ref();
    let (quarantines, is_blind) = quarantine::restored(&known, anchor, kept);
    let mut agreed = larger_of_each(&known, anchor.unwrap_or(&known));
    agreed.generation = agreed.generation.saturating_add(1);
    let transaction = tables::begin(&stopped.database)?;
    for (origin, quarantine) in &quarantines {
        put_stricter(&transaction, &loaded, origin, quarantine)?;
    }
    if is_blind {
        tables::set_blind(&transaction)?;
    }
    tables::set_generation(&transaction, agreed.generation)?;
    transaction.commit()?;
    anchor::write(&paths.anchor, &agreed)?;
    Ok(Restored {
        quarantines,
        is_blind,
    })
}

/// Why log `origin` is in quarantine, if it is. For a witness that is not running.
///
/// # Errors
///
/// [`StoreError`]: the witness is running, or the environment fails.
pub fn quarantine_of(paths: &Paths, origin: &str) -> Result<Option<Quarantine>, StoreError> {
    let stopped = Stopped::open(paths)?;
    let loaded = tables::load(&stopped.database)?;
    let entry = loaded.entries.get(origin).unwrap_or(&loaded.unknown);
    if entry.quarantine.is_some() {
        return Ok(entry.quarantine);
    }
    let anchor = stopped.anchor.unwrap_or_default();
    let found = quarantine::compare(&known(&loaded), &anchor);
    Ok(found.get(origin).copied())
}

/// Ends the quarantine of log `origin`: what the database holds counts from now on, whatever the
/// anchor says.
///
/// # Errors
///
/// [`StoreError`]: the witness is running, there is no anchor, or the environment fails.
pub fn release(paths: &Paths, origin: &str) -> Result<(), StoreError> {
    let stopped = Stopped::open(paths)?;
    let loaded = tables::load(&stopped.database)?;
    let known = known(&loaded);
    let anchor = anchor::read(&paths.anchor)?;
    let mut agreed = anchor::read(&paths.anchor)?;
    let entry = loaded.entries.get(origin);
    match entry.and_then(|entry| entry.state.as_ref()) {
        Some(state) => agreed.logs.insert(origin.to_owned(), state.recorded()),
        None => agreed.logs.remove(origin),
    };
    let transaction = tables::begin(&stopped.database)?;
    // What else differs is found now, because both agree on the generation afterwards.
    for (other, found) in quarantine::compare(&known, &anchor) {
        if other != origin {
            put_stricter(&transaction, &loaded, &other, &found)?;
        }
    }
    tables::put_row(&transaction, origin, Row::Released)?;
    agreed.generation = known.generation.max(anchor.generation).saturating_add(1);
    tables::set_generation(&transaction, agreed.generation)?;
    transaction.commit()?;
    anchor::write(&paths.anchor, &agreed)?;
    Ok(())
}
