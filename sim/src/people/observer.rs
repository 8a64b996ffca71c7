//! Who sees everything: what was done to whom, what has to be told of it, and what was told.
//!
//! Each deed, honest or not, is entered with the alerts that it justifies; a danger without a deed
//! is a false alert. Each substitution is entered with the devices that have to be told.

use std::collections::{BTreeMap, BTreeSet};

use candor_core::account::{Device, Label};
use candor_sdk::device::{Alert, AlertKind, Severity, Subject};

/// Whose alerts a deed justifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    All,
    /// Those of one account's devices.
    Account(usize),
    /// Those of one device.
    Phone(usize),
}

/// Something that was done, and an alert that it justifies.
#[derive(Clone, Debug)]
struct Deed {
    kind: AlertKind,
    /// The label that the alert is about; `None` for the own account and the log.
    label: Option<Label>,
    scope: Scope,
}

/// A device that has to be told of a deed.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// The device.
    pub phone: usize,
    /// Whom the alert has to be about.
    pub subject: Subject,
    /// What has to be told: one of these.
    pub kinds: &'static [AlertKind],
    /// Of which version, or a later one, since one alert tells of all that one look found; `None`
    /// if the alert does not say.
    pub cause: Option<u32>,
    /// When it was done.
    pub since_s: u64,
}

/// Everything that was done and told.
#[derive(Debug, Default)]
pub struct Observer {
    deeds: Vec<Deed>,
    /// What is still to be told.
    pub expected: Vec<Expectation>,
    /// What was expected and told.
    pub met: u64,
    /// Substitutions: the label under which a victim would find other keys, and when.
    pub substituted: BTreeMap<Label, u64>,
    /// Whose each device is.
    pub devices: BTreeMap<Vec<u8>, (usize, Device)>,
    /// The account that each label leads to.
    pub owners: BTreeMap<Label, usize>,
    /// The first thing that went wrong: the invariant, and what was seen.
    pub wrong: Option<(&'static str, String)>,
    /// Whom somebody did something to, so that its owner acts no more.
    pub spoiled: BTreeSet<usize>,
}

impl Observer {
    /// Something was done that justifies an alert.
    pub fn deed(&mut self, kind: AlertKind, label: Option<&Label>, scope: Scope) {
        let label = label.cloned();
        self.deeds.push(Deed { kind, label, scope });
    }

    /// Notes what went wrong; the first counts.
    pub fn violated(&mut self, invariant: &'static str, detail: String) {
        self.wrong.get_or_insert((invariant, detail));
    }

    /// A person sees an alert. Returns whether something was done that justifies it.
    pub fn told(&mut self, phone: usize, account: usize, alert: &Alert) -> bool {
        let before = self.expected.len();
        self.expected.retain(|expected| {
            let is_met = expected.phone == phone
                && expected.subject == alert.subject
                && expected.kinds.contains(&alert.kind)
                && expected.cause.is_none_or(|it| u64::from(it) <= alert.cause);
            !is_met
        });
        self.met += (before - self.expected.len()) as u64;
        if !needs_deed(alert.kind) {
            return true;
        }
        let label = match &alert.subject {
            Subject::Contact(label) => Some(label),
            Subject::Own | Subject::Log => None,
        };
        self.deeds.iter().any(|deed| {
            let is_in_scope = match deed.scope {
                Scope::All => true,
                Scope::Account(of) => of == account,
                Scope::Phone(of) => of == phone,
            };
            deed.kind == alert.kind && deed.label.as_ref() == label && is_in_scope
        })
    }

    /// Whether a device and its keys are of the person that a label leads to.
    pub fn is_owners(&self, label: &Label, device: &Device) -> bool {
        let owner = self.devices.get(&device.id);
        owner.is_some_and(|(account, record)| {
            self.owners.get(label) == Some(account) && record.keys == device.keys
        })
    }
}

/// Alerts that accuse, and those that say that somebody did something.
fn needs_deed(kind: AlertKind) -> bool {
    kind.severity() == Severity::Danger
        || matches!(
            kind,
            AlertKind::ContactTurnedOff
                | AlertKind::ContactProofFailed
                | AlertKind::OwnProofFailed
                | AlertKind::OwnMissingUpdate
        )
}
