//! The order in which changes become durable, apart from what they are written to.
//!
//! Database, then anchor; then the caller's memory, then the answer. A crash after any of them
//! loses nothing that an asker was told, and an asker who was told nothing finds out by asking
//! again.

use super::agreement::Agreement;
use super::anchor::Anchor;
use super::{ApplyError, Change};

/// What a witness writes to: a database and, apart from it, an anchor. When a call returns, what it
/// wrote is durable. After an error nobody knows whether it is, and nothing more may be written.
pub trait Disk {
    /// The environment failed.
    type Error;

    /// Makes those of `changes` that are not stale, in one transaction, and in the same sets the
    /// generation to that of [`Anchor::after`] them, if a log moved.
    ///
    /// # Errors
    ///
    /// The environment's fault.
    fn commit(
        &mut self,
        changes: &[(&str, &Change)],
        anchor: &Anchor,
    ) -> Result<Committed, Self::Error>;

    /// Brings the database to an agreement, in one transaction.
    ///
    /// # Errors
    ///
    /// The environment's fault.
    fn agree(&mut self, agreement: &Agreement) -> Result<(), Self::Error>;

    /// Replaces the anchor.
    ///
    /// # Errors
    ///
    /// The environment's fault.
    fn write_anchor(&mut self, anchor: &Anchor) -> Result<(), Self::Error>;
}

/// What became of a group of changes.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Of each change.
    pub results: Vec<Result<(), ApplyError>>,
    /// The anchor after them; `None` if no log moved.
    pub anchor: Option<Anchor>,
}

/// Makes changes durable, and moves the anchor on. `None` if `goes_on`, which is asked between the
/// two, says to end there.
///
/// # Errors
///
/// The environment's fault.
pub fn commit<D: Disk>(
    disk: &mut D,
    anchor: &mut Anchor,
    changes: &[(&str, &Change)],
    goes_on: impl FnOnce() -> bool,
) -> Result<Option<Vec<Result<(), ApplyError>>>, D::Error> {
    let Committed {
        results,
        anchor: next,
    } = disk.commit(changes, anchor)?;
    if !goes_on() {
        return Ok(None);
    }
    if let Some(next) = next {
        disk.write_anchor(&next)?;
        *anchor = next;
    }
    Ok(Some(results))
}

/// Makes database and anchor agree.
///
/// # Errors
///
/// The environment's fault.
pub fn agree<D: Disk>(disk: &mut D, agreement: &Agreement) -> Result<(), D::Error> {
    disk.agree(agreement)?;
    disk.write_anchor(&agreement.anchor)
}

/// The changes of a group that were made.
pub fn made<'a>(
    changes: &'a [(&'a str, &'a Change)],
    results: &'a [Result<(), ApplyError>],
) -> impl Iterator<Item = (&'a str, &'a Change)> {
    let pairs = changes.iter().zip(results);
    pairs
        .filter(|(_, made)| made.is_ok())
        .map(|(change, _)| *change)
}
