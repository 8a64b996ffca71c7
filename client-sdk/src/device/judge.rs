//! What follows from a contact's verified history: how far it is verified, and what the person has
//! to be told. Functions of values; nothing here asks, stores or knows the time.
//!
//! Every version since the last check is looked at, in order, by the rules that the server has to
//! keep too ([`check_successor`]). So what happened and was undone between two checks is seen, and
//! each version is told once, because what was seen moves on with it.

use candor_core::Hash;
use candor_core::account::{
    Change, Label, Standing, VerifiedState, VerifiedValue, check_successor,
};
use candor_core::answer::VerifiedVersion;
use candor_core::crypto::Commitment;

use super::alert::{AlertKind, DeviceChange, device_changes};
use super::contact::{PrimaryTag, Seen};
use super::trouble::Trouble;
use crate::error::ContentError;
use crate::lookup::content;

/// A version of a label that is in the log, as the client verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The version.
    pub version: u32,
    /// The commitment under which the map holds it.
    pub commitment: Commitment,
    /// The value's encoding, which opens the commitment.
    pub value: Vec<u8>,
}

impl From<&VerifiedVersion> for Logged {
    fn from(version: &VerifiedVersion) -> Self {
        Self {
            version: version.version(),
            commitment: *version.commitment(),
            value: version.value().to_vec(),
        }
    }
}

impl Logged {
    pub(super) fn value(&self, label: &Label) -> Result<VerifiedValue, Trouble> {
        content(label, &self.value).map_err(|error| match error {
            ContentError::Unknown(_) => Trouble::Incompatible,
            ContentError::Invalid(_) => Trouble::ValueInvalid,
        })
    }
}

/// How far a contact is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The label has no account.
    NoAccount,
    /// What the log holds is verified, and nothing says more: verification is not on at both.
    LoggedOnly {
        /// Whether the person's own account has it on.
        is_own_on: bool,
        /// Whether the contact's has.
        is_contact_on: bool,
        /// Whether an account key signed the devices; else they are the server's word.
        is_signed: bool,
    },
    /// Both have it on: the account key signed every device, and follows from what was seen before.
    Automatic,
    /// And the person compared that account key with the contact.
    Verified,
}

/// A cause of an alert that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: AlertKind,
    pub(super) cause: u64,
    pub(super) changes: Vec<DeviceChange>,
}

/// What is known of a contact before its history is judged.
pub(super) struct Known<'a> {
    pub(super) label: &'a Label,
    pub(super) seen: Option<&'a Seen>,
    /// Hash of the account key that the person verified.
    pub(super) mark: Option<Hash>,
    pub(super) is_own_on: bool,
}

/// What was judged of a contact.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) seen: Option<Seen>,
    pub(super) level: Level,
    pub(super) state: Option<VerifiedState>,
    pub(super) findings: Vec<Finding>,
    pub(super) is_mark_void: bool,
}

/// Where the newest version of a contact's label leads.
pub(super) fn leads_to(label: &Label, logged: &[Logged]) -> Result<Option<Label>, Trouble> {
    match logged
        .last()
        .map(|newest| newest.value(label))
        .transpose()?
    {
        Some(VerifiedValue::Binding(binding)) => Ok(Some(binding.primary().clone())),
        Some(VerifiedValue::State(_)) | None => Ok(None),
    }
}

/// Judges what the log holds of a contact: `asked` is the history of its label from the seen
/// version on, or its newest version; `primary` likewise of the account that it is bound to.
pub(super) fn judge(
    known: &Known<'_>,
    asked: &[Logged],
    primary: Option<(&Label, &[Logged])>,
) -> Result<Judged, Trouble> {
    let seen_bound = known.seen.and_then(|seen| seen.bound);
    let mut watch = Watch::new(known);
    let first = known.seen.map(|seen| seen.version);
    let mut last = watch.walk(known.label, first, asked)?;
    let mut bound = None;
    if let Some((label, logged)) = primary {
        let tag = PrimaryTag::of(label);
        let first = seen_bound.filter(|seen| seen.0 == tag).map(|seen| seen.1);
        last = watch.walk(label, first, logged)?;
        bound = logged.last().map(|newest| (tag, newest.version));
    }
    let Some(newest) = asked.last() else {
        return Ok(watch.finish(None, None));
    };
    let state = match last {
        Some(VerifiedValue::State(state)) => Some(state),
        // A binding to a binding, or to a label without account.
        Some(VerifiedValue::Binding(_)) => return Err(Trouble::Unproven),
        None => None,
    };
    let key = state.as_ref().and_then(|state| state.state().account_key);
    let seen = Seen {
        version: newest.version,
        bound,
        key_hash: key.map(|key| key.hash()),
        is_enrolled: state.as_ref().is_some_and(|state| state.state().enrolled),
    };
    Ok(watch.finish(Some(seen), state))
}

/// Collects what is found on the way.
struct Watch<'a> {
    known: &'a Known<'a>,
    findings: Vec<Finding>,
    is_mark_void: bool,
}

impl<'a> Watch<'a> {
    const fn new(known: &'a Known<'a>) -> Self {
        Self {
            known,
            findings: Vec::new(),
            is_mark_void: false,
        }
    }

    /// Looks at each version, and returns the newest value. `first` is the version that was seen
    /// before, with which `logged` then begins.
    fn walk(
        &mut self,
        label: &Label,
        first: Option<u32>,
        logged: &[Logged],
    ) -> Result<Option<VerifiedValue>, Trouble> {
        if first.is_some() && logged.first().map(|it| it.version) != first {
            return Err(Trouble::Unproven);
        }
        let mut previous: Option<VerifiedValue> = None;
        for each in logged {
            let value = each.value(label)?;
            if let Some(previous) = &previous {
                self.step(each.version, previous, &value);
            }
            previous = Some(value);
        }
        Ok(previous)
    }

    fn step(&mut self, version: u32, previous: &VerifiedValue, next: &VerifiedValue) {
        let was_on = matches!(previous, VerifiedValue::State(it) if it.state().enrolled);
        let matters = was_on || self.known.mark.is_some();
        let kind = match check_successor(Some(previous), next) {
            Err(_) => AlertKind::ContactCodeChanged,
            Ok(Change::Reset) if matters => AlertKind::ContactReset,
            Ok(Change::Moved) => AlertKind::ContactMoved,
            Ok(Change::Disenrolled) => AlertKind::ContactTurnedOff,
            Ok(_) => return,
        };
        self.is_mark_void |= kind != AlertKind::ContactTurnedOff;
        let changes = match (previous, next) {
            (VerifiedValue::State(before), VerifiedValue::State(now)) => {
                device_changes(Some(before.state()), now.state())
            }
            _ => Vec::new(),
        };
        self.find(kind, version, changes);
    }

    fn find(&mut self, kind: AlertKind, version: u32, changes: Vec<DeviceChange>) {
        self.findings.push(Finding {
            kind,
            cause: u64::from(version),
            changes,
        });
    }

    fn finish(mut self, seen: Option<Seen>, state: Option<VerifiedState>) -> Judged {
        let is_contact_on = seen.is_some_and(|seen| seen.is_enrolled);
        let key_hash = seen.and_then(|seen| seen.key_hash);
        let mark = self.known.mark.filter(|_| !self.is_mark_void);
        if mark.is_some() && mark != key_hash {
            // Another device of the person marked a key that is not the account's.
            self.is_mark_void = true;
            let version = seen.map_or(0, |seen| seen.bound.map_or(seen.version, |it| it.1));
            self.find(AlertKind::ContactCodeChanged, version, Vec::new());
        }
        let is_own_on = self.known.is_own_on;
        let level = match &state {
            None => Level::NoAccount,
            Some(_) if is_own_on && is_contact_on => match mark {
                Some(mark) if Some(mark) == key_hash => Level::Verified,
                _ => Level::Automatic,
            },
            Some(state) => Level::LoggedOnly {
                is_own_on,
                is_contact_on,
                is_signed: state.standing() == Standing::AccountSigned,
            },
        };
        // Nobody who has it off, and compared nothing, is told of what only those watch who have.
        if !is_own_on && self.known.mark.is_none() {
            self.findings.clear();
        }
        Judged {
            seen,
            level,
            state,
            findings: self.findings,
            is_mark_void: self.is_mark_void && self.known.mark.is_some(),
        }
    }
}
