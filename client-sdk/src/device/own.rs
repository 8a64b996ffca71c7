//! The self check: is the own account what the person's devices made of it?
//!
//! Every version since the last check of any of the devices is held against what they say that they
//! published, and against the rules of accounts. A function of values.

use std::collections::BTreeSet;

use candor_core::account::{Label, VerifiedState, VerifiedValue, check_successor};

use super::alert::{AlertKind, device_changes};
use super::judge::{Finding, Logged};
use super::trouble::Trouble;
use crate::memory::value_hash;
use crate::monitor::PublishedVersion;
use crate::shared::{DeviceTag, LoggedVersion, SharedState};

/// What a self check found.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnFindings {
    pub(super) findings: Vec<Finding>,
    /// The newest version, and what it holds.
    pub(super) newest: Option<(LoggedVersion, VerifiedValue)>,
}

impl OwnFindings {
    /// The state, if the newest version is one.
    pub(super) fn state(&self) -> Option<&VerifiedState> {
        match &self.newest {
            Some((_, VerifiedValue::State(state))) => Some(state),
            _ => None,
        }
    }
}

/// Judges the history of the own label from the version on that `shared` names as monitored.
pub(super) fn judge_own(
    label: &Label,
    shared: &SharedState,
    logged: &[Logged],
) -> Result<OwnFindings, Trouble> {
    let expected: BTreeSet<_> = shared.published().copied().collect();
    let monitored = shared.monitored();
    let mut found = OwnFindings::default();
    let mut previous: Option<VerifiedValue> = None;
    if let Some(monitored) = monitored {
        // Another device of the person saw this version: a log without it is behind, one with
        // other content lied to one of them.
        let again = logged.first().ok_or(Trouble::Behind)?;
        if again.version != monitored.version {
            return Err(Trouble::Behind);
        }
        if again.commitment != monitored.commitment {
            return Err(Trouble::HistoryChanged);
        }
    }
    for (index, each) in logged.iter().enumerate() {
        let is_known = index == 0 && monitored.is_some();
        // One that is no value of the label is shown, and what follows is judged all the same.
        let value = match each.value(label) {
            Ok(value) => Some(value),
            Err(Trouble::Incompatible) => return Err(Trouble::Incompatible),
            Err(_) => None,
        };
        let identity = PublishedVersion {
            version: each.version,
            value_hash: value_hash(&each.value),
        };
        let follows = value
            .as_ref()
            .is_some_and(|value| check_successor(previous.as_ref(), value).is_ok());
        let is_ours = follows && expected.contains(&identity);
        if !is_known && !is_ours {
            found.findings.push(Finding {
                kind: AlertKind::OwnUnexpectedVersion,
                cause: u64::from(each.version),
                changes: match (&previous, &value) {
                    (before, Some(VerifiedValue::State(now))) => {
                        let before = match before {
                            Some(VerifiedValue::State(before)) => Some(before.state()),
                            _ => None,
                        };
                        device_changes(before, now.state())
                    }
                    _ => Vec::new(),
                },
            });
        }
        if let Some(value) = value {
            let logged = LoggedVersion {
                version: each.version,
                commitment: each.commitment,
            };
            found.newest = Some((logged, value.clone()));
            previous = Some(value);
        }
    }
    if let Some(state) = found.state() {
        let strangers = state.state().devices.iter();
        let strangers = strangers.filter(|it| !shared.has_device(DeviceTag::of(&it.id)));
        let changes: Vec<_> = strangers
            .map(|device| {
                super::alert::DeviceChange::new(super::alert::DeviceDifference::Added, device)
            })
            .collect();
        if !changes.is_empty() {
            let version = found.newest.as_ref().map_or(0, |it| it.0.version);
            found.findings.push(Finding {
                kind: AlertKind::OwnUnrecognisedDevice,
                cause: u64::from(version),
                changes,
            });
        }
    }
    Ok(found)
}
