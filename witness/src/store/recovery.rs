//! What is done about a state that may not be the newest: at the start, and by the operator.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use candor_host::durable::{InstanceLock, ReadError};
use redb::Database;

use super::agreement::Agreement;
use super::anchor::{self, Anchor, AnchorError};
use super::files::Files;
use super::quarantine::{self, AnchorKept, Quarantine};
use super::{Paths, StoreError, durability, tables};

/// Holds the database against the anchor, puts what differs in quarantine, and makes both agree.
/// Returns the anchor as it is then.
pub fn reconcile(files: &mut Files, anchor: Anchor) -> Result<Anchor, StoreError> {
    let Some(agreement) = Agreement::at_start(&tables::load(&files.database)?, &anchor) else {
        return Ok(anchor);
    };
    for (origin, found) in &agreement.rows {
        if let Some(found) = found.quarantine() {
            tracing::error!(origin, reason = %found, "log in quarantine");
        }
    }
    durability::agree(files, &agreement)?;
    Ok(agreement.anchor)
}

/// The state of a witness that is not running.
struct Stopped {
    files: Files,
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
        let database = Arc::new(Database::open(&paths.database)?);
        tables::check_format(&database)?;
        Ok(Self {
            files: Files {
                database,
                anchor: anchor::AnchorFile::new(paths.anchor.clone()),
            },
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
    let mut stopped = Stopped::open(paths)?;
    let known = tables::load(&stopped.files.database)?;
    let (agreement, quarantines) = Agreement::at_restore(&known, stopped.anchor.as_ref(), kept);
    durability::agree(&mut stopped.files, &agreement)?;
    Ok(Restored {
        quarantines,
        is_blind: agreement.is_blind,
    })
}

/// Why log `origin` is in quarantine, if it is. For a witness that is not running.
///
/// # Errors
///
/// [`StoreError`]: the witness is running, or the environment fails.
pub fn quarantine_of(paths: &Paths, origin: &str) -> Result<Option<Quarantine>, StoreError> {
    let stopped = Stopped::open(paths)?;
    let known = tables::load(&stopped.files.database)?;
    let quarantine = known.entry(origin).quarantine;
    if quarantine.is_some() {
        return Ok(quarantine);
    }
    let anchor = stopped.anchor.unwrap_or_default();
    let found = quarantine::compare(&known.anchor(), &anchor);
    Ok(found.get(origin).copied())
}

/// Ends the quarantine of log `origin`: what the database holds counts from now on, whatever the
/// anchor says.
///
/// # Errors
///
/// [`StoreError`]: the witness is running, there is no anchor, or the environment fails.
pub fn release(paths: &Paths, origin: &str) -> Result<(), StoreError> {
    let mut stopped = Stopped::open(paths)?;
    let known = tables::load(&stopped.files.database)?;
    let anchor = anchor::read(&paths.anchor)?;
    let agreement = Agreement::at_release(&known, &anchor, origin);
    durability::agree(&mut stopped.files, &agreement)
}
