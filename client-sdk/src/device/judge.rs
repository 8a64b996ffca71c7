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
    /// The value's encoding, which opens the commitment, unless the log erased it. The newest
    /// version always has one.
    pub value: Option<Vec<u8>>,
}

impl From<&VerifiedVersion> for Logged {
    fn from(version: &VerifiedVersion) -> Self {
        Self {
            version: version.version(),
            commitment: *version.commitment(),
            value: version.value().map(<[u8]>::to_vec),
        }
    }
}

impl Logged {
    /// The value, verified; `None` if it was erased.
    pub(super) fn value(&self, label: &Label) -> Result<Option<VerifiedValue>, Trouble> {
        let value = self.value.as_deref().map(|value| content(label, value));
        value.transpose().map_err(|error| match error {
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

impl Finding {
    /// One that its kind and cause tell everything of.
    pub(super) const fn plain(kind: AlertKind, cause: u64) -> Self {
        Self {
            kind,
            cause,
            changes: Vec::new(),
        }
    }
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
    let newest = logged.last().map(|newest| newest.value(label));
    match newest.transpose()?.flatten() {
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
    let seen_on = known.seen.filter(|seen| seen.is_enrolled);
    let seen_on = seen_on.and_then(|seen| seen.key_hash);
    let mut watch = Watch::new(known);
    let first = known.seen.map(|seen| seen.version);
    let before = Before {
        on: seen_on.filter(|_| seen_bound.is_none()),
        is_bound: seen_bound.is_some(),
    };
    let mut last = watch.walk(known.label, first, before, asked)?;
    let mut bound = None;
    if let Some((label, logged)) = primary {
        let tag = PrimaryTag::of(label);
        watch.account = tag.number();
        let first = seen_bound.filter(|seen| seen.0 == tag).map(|seen| seen.1);
        let before = Before {
            on: first.and(seen_on),
            is_bound: false,
        };
        last = watch.walk(label, first, before, logged)?;
        bound = logged.last().map(|newest| (tag, newest.version));
    }
    let Some(newest) = asked.last() else {
        return Ok(watch.finish(None));
    };
    let state = match last {
        Some(VerifiedValue::State(state)) => state,
        // A binding to a binding leads nowhere, and one to an account that is not there not yet.
        Some(VerifiedValue::Binding(_)) => return Err(Trouble::Unproven),
        None => return Err(Trouble::Behind),
    };
    Ok(watch.finish(Some(Newest {
        version: newest.version,
        bound,
        state: &state,
    })))
}

/// What a contact's label leads to now.
struct Newest<'a> {
    version: u32,
    bound: Option<(PrimaryTag, u32)>,
    state: &'a VerifiedState,
}

/// What is known of the value before versions that were erased.
#[derive(Clone, Copy)]
struct Before {
    /// Hash of the account key, if it was a state that had verification on.
    on: Option<Hash>,
    /// Whether it was a binding.
    is_bound: bool,
}

impl Before {
    fn of(value: &VerifiedValue) -> Self {
        match value {
            VerifiedValue::State(state) => {
                let state = state.state();
                let key = state.account_key.filter(|_| state.enrolled);
                Self {
                    on: key.map(|key| key.hash()),
                    is_bound: false,
                }
            }
            VerifiedValue::Binding(_) => Self {
                on: None,
                is_bound: true,
            },
        }
    }
}

/// Whether a finding says that other keys may have come in between: what was compared before is
/// no longer known to hold.
fn voids(kind: AlertKind) -> bool {
    kind == AlertKind::ContactHistoryErased || OF_KEYS.contains(&kind)
}

/// What tells how an account came to other keys.
const OF_KEYS: [AlertKind; 3] = [
    AlertKind::ContactCodeChanged,
    AlertKind::ContactReset,
    AlertKind::ContactMoved,
];

/// Collects what is found on the way: one finding of each kind.
struct Watch<'a> {
    known: &'a Known<'a>,
    /// Tells versions of an account that the contact is bound to from those of its own label.
    account: u64,
    findings: Vec<Finding>,
}

impl<'a> Watch<'a> {
    const fn new(known: &'a Known<'a>) -> Self {
        Self {
            known,
            account: 0,
            findings: Vec::new(),
        }
    }

    /// Looks at each version, and returns the newest value. `first` is the version that was seen
    /// before, with which `logged` then begins, and `before` what is known of it.
    fn walk(
        &mut self,
        label: &Label,
        first: Option<u32>,
        mut before: Before,
        logged: &[Logged],
    ) -> Result<Option<VerifiedValue>, Trouble> {
        // A log that does not reach what was seen is behind.
        if first.is_some() && logged.first().map(|it| it.version) != first {
            return Err(Trouble::Behind);
        }
        let mut previous: Option<VerifiedValue> = None;
        let mut is_erased = false;
        for (index, each) in logged.iter().enumerate() {
            match each.value(label) {
                Ok(None) => {
                    is_erased = true;
                    previous = None;
                }
                Ok(Some(value)) => {
                    if is_erased && index > 0 {
                        self.step_over_erased(each.version, before, &value);
                    } else if let Some(previous) = &previous {
                        self.step(each.version, previous, &value);
                    }
                    is_erased = false;
                    before = Before::of(&value);
                    previous = Some(value);
                }
                Err(trouble) if index + 1 == logged.len() => return Err(trouble),
                // Nothing tells any more how what follows came about.
                Err(_) => self.find(AlertKind::ContactCodeChanged, each.version, Vec::new()),
            }
        }
        Ok(previous)
    }

    fn step(&mut self, version: u32, previous: &VerifiedValue, next: &VerifiedValue) {
        let was_on = matches!(previous, VerifiedValue::State(it) if it.state().enrolled);
        let was_ever_on = self.known.seen.is_some_and(|seen| seen.is_trusted);
        let matters = was_on || was_ever_on || self.known.mark.is_some();
        let kind = match check_successor(Some(previous), next) {
            Err(_) => AlertKind::ContactCodeChanged,
            Ok(Change::Reset) if matters => AlertKind::ContactReset,
            Ok(Change::Moved) => AlertKind::ContactMoved,
            Ok(Change::Disenrolled) => AlertKind::ContactTurnedOff,
            Ok(_) => return,
        };
        let changes = match (previous, next) {
            (VerifiedValue::State(before), VerifiedValue::State(now)) => {
                device_changes(Some(before.state()), now.state())
            }
            _ => Vec::new(),
        };
        self.find(kind, version, changes);
    }

    /// The steps to an erased version and from it cannot be judged. An erasure makes nothing less
    /// grave: what consent cannot be seen for is told as if there was none.
    fn step_over_erased(&mut self, version: u32, before: Before, next: &VerifiedValue) {
        let was_ever_on = self.known.seen.is_some_and(|seen| seen.is_trusted);
        let was_known = before.on.is_some() || before.is_bound;
        let now = Before::of(next);
        let is_known = now.on.is_some() || now.is_bound;
        if was_ever_on || self.known.mark.is_some() || was_known || is_known {
            self.find(AlertKind::ContactHistoryErased, version, Vec::new());
        }
        let kind = match (before, next) {
            // Whatever was before it: a binding never follows the same one.
            (_, VerifiedValue::Binding(_)) | (Before { is_bound: true, .. }, _) => {
                AlertKind::ContactMoved
            }
            (Before { on: None, .. }, _) => return,
            (Before { on, .. }, VerifiedValue::State(state)) => {
                let state = state.state();
                match state.account_key.map(|key| key.hash()) == on {
                    true if state.enrolled => return,
                    true => AlertKind::ContactTurnedOff,
                    false => AlertKind::ContactCodeChanged,
                }
            }
        };
        self.find(kind, version, Vec::new());
    }

    fn find(&mut self, kind: AlertKind, version: u32, changes: Vec<DeviceChange>) {
        let cause = self.account << 32 | u64::from(version);
        match self.findings.iter_mut().find(|found| found.kind == kind) {
            Some(found) => {
                found.cause = cause;
                found.changes.extend(changes);
            }
            None => self.findings.push(Finding {
                kind,
                cause,
                changes,
            }),
        }
    }

    /// Whether what the person compared before is void by what was found.
    fn found_void(&self) -> bool {
        self.findings.iter().any(|found| voids(found.kind))
    }

    /// Whether it was found how the account came to other keys.
    fn found_other_keys(&self) -> bool {
        let mut kinds = self.findings.iter().map(|found| found.kind);
        kinds.any(|kind| OF_KEYS.contains(&kind))
    }

    fn finish(mut self, newest: Option<Newest<'_>>) -> Judged {
        let Known {
            seen,
            mark,
            is_own_on,
            ..
        } = *self.known;
        let Some(newest) = newest else {
            return self.judged(None, Level::NoAccount, None, false);
        };
        let state = newest.state.state();
        let key_hash = state.account_key.map(|key| key.hash());
        let before = seen.and_then(|seen| seen.key_hash);
        let was_trusted = seen.is_some_and(|seen| seen.is_trusted);
        let version = newest.bound.map_or(newest.version, |bound| bound.1);
        // The key that had verification on is held against the next that has, whatever was between.
        let is_replaced = was_trusted && state.enrolled && key_hash != before;
        if is_replaced && !self.found_other_keys() {
            self.find(AlertKind::ContactCodeChanged, version, Vec::new());
        }
        let is_mark_void = mark.is_some() && mark == before && self.found_void();
        if mark.is_some() && mark == key_hash && !is_mark_void {
            // Another device of the person saw all this before, and the person compared codes.
            self.findings.retain(|found| !voids(found.kind));
        } else if mark.is_some() && mark != key_hash && !self.found_other_keys() {
            self.find(AlertKind::ContactCodeChanged, version, Vec::new());
        }
        let is_kept = was_trusted && !state.enrolled;
        let now = Seen {
            version: newest.version,
            bound: newest.bound,
            key_hash: if is_kept { before } else { key_hash },
            is_trusted: was_trusted || state.enrolled,
            is_enrolled: state.enrolled,
        };
        let level = if is_own_on && state.enrolled {
            match mark.is_some() && mark == key_hash && !is_mark_void {
                true => Level::Verified,
                false => Level::Automatic,
            }
        } else {
            Level::LoggedOnly {
                is_own_on,
                is_contact_on: state.enrolled,
                is_signed: newest.state.standing() == Standing::AccountSigned,
            }
        };
        let state = newest.state.clone();
        self.judged(Some(now), level, Some(state), is_mark_void)
    }

    fn judged(
        mut self,
        seen: Option<Seen>,
        level: Level,
        state: Option<VerifiedState>,
        is_mark_void: bool,
    ) -> Judged {
        // Nobody who has it off, and compared nothing, is told of what only those watch who have.
        if !self.known.is_own_on && self.known.mark.is_none() {
            self.findings.clear();
        }
        Judged {
            seen,
            level,
            state,
            findings: self.findings,
            is_mark_void,
        }
    }
}
