//! What the person at a device has been told: held against what the machine holds.

use std::collections::{BTreeMap, BTreeSet};

use candor_sdk::device::{Alert, AlertKind, Subject};

use super::context::Context;
use super::invariants as must;

/// What a person was told and not yet untold.
#[derive(Debug, Default)]
pub struct Screen {
    open: BTreeMap<(Subject, AlertKind), u64>,
    /// Every version that was told of: each is told once, whatever happens.
    ever: BTreeSet<(Subject, AlertKind, u64)>,
    /// What the person has acted on.
    pub acknowledged: BTreeSet<(Subject, AlertKind)>,
}

impl Screen {
    /// The machine tells of an alert.
    pub fn raised(&mut self, alert: &Alert, phone: usize, cx: &mut Context) {
        let place = (alert.subject.clone(), alert.kind);
        let is_repeated = self.open.get(&place) == Some(&alert.cause);
        let told = (alert.subject.clone(), alert.kind, alert.cause);
        let is_version = matches!(
            alert.kind,
            AlertKind::ContactReset | AlertKind::ContactMoved | AlertKind::OwnUnexpectedVersion
        );
        let is_again = is_version && !self.ever.insert(told);
        if is_repeated || is_again {
            let detail = format!("phone {phone} tells {place:?} of {} again", alert.cause);
            cx.observer.violated(must::TOLD_ONCE, detail);
        }
        self.open.insert(place, alert.cause);
    }

    /// The machine tells that an alert is settled.
    pub fn resolved(&mut self, subject: &Subject, kind: AlertKind) {
        self.open.remove(&(subject.clone(), kind));
    }

    /// The person acts on an alert.
    pub fn acknowledge(&mut self, subject: &Subject, kind: AlertKind) {
        let place = (subject.clone(), kind);
        self.open.remove(&place);
        self.acknowledged.insert(place);
    }

    /// Whether the person acted on something about a contact, or the log.
    pub fn has_acted_on(&self, contact: &Subject) -> bool {
        let mut all = self.acknowledged.iter();
        all.any(|(subject, kind)| {
            let is_about = subject == contact || *subject == Subject::Log;
            is_about && *kind != AlertKind::ContactUnrecognisedDevice
        })
    }

    /// Whether the person was told of an alert and it is not settled.
    pub fn knows(&self, subject: &Subject, kind: AlertKind) -> bool {
        let place = (subject.clone(), kind);
        self.open.contains_key(&place) || self.acknowledged.contains(&place)
    }

    /// When all is told, what was told is what the machine holds.
    pub fn compare(&self, alerts: &[Alert], phone: usize, cx: &mut Context) {
        let held: BTreeMap<_, _> = alerts.iter().map(entry).collect();
        if held != self.open {
            let detail = format!("phone {phone} told {:?} and holds {held:?}", self.open);
            cx.observer.violated(must::STAYS, detail);
        }
    }

    /// The machine started again from its store: `held` before, `found` now. What was told and not
    /// settled is still there. Returns what the person had not seen.
    pub fn restart(
        &mut self,
        held: &[Alert],
        found: &[Alert],
        phone: usize,
        cx: &mut Context,
    ) -> Vec<Alert> {
        let held: BTreeMap<_, _> = held.iter().map(entry).collect();
        let there: BTreeMap<_, _> = found.iter().map(entry).collect();
        let mut told = self.open.iter();
        let is_gone = |(place, cause): &(&(Subject, AlertKind), &u64)| {
            // A newer application may have come: it says so again if not.
            place.1 != AlertKind::LogNeedsNewerClient
                && held.get(*place) == Some(*cause)
                && there.get(*place) != Some(*cause)
        };
        if let Some((place, cause)) = told.find(is_gone) {
            let detail = format!("phone {phone} forgot {place:?} of {cause}");
            cx.observer.violated(must::STAYS, detail);
        }
        let news = found.iter().filter(|alert| {
            let (place, cause) = entry(alert);
            self.open.get(&place) != Some(&cause)
        });
        let news: Vec<Alert> = news.cloned().collect();
        for alert in &news {
            let told = (alert.subject.clone(), alert.kind, alert.cause);
            self.ever.insert(told);
        }
        self.open = there;
        news
    }
}

fn entry(alert: &Alert) -> ((Subject, AlertKind), u64) {
    ((alert.subject.clone(), alert.kind), alert.cause)
}
