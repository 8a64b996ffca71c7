//! The alerts that a device holds: each cause once, until it is resolved or replaced.

use std::collections::BTreeMap;

use candor_core::account::Label;
use candor_core::codec::{DecodeError, Reader, Writer as _};

use super::alert::{Alert, AlertKind, CHANGES_MAX, Severity, Subject};
use super::judge::Finding;

/// Most alerts held with all that they show. Beyond it what is least grave, and of that the oldest,
/// goes; open dangers stay, of which there are at most some for each contact.
const ALERTS_MAX: usize = 256;

const FORMAT: u8 = 1;

/// All alerts, by what they are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Board(BTreeMap<(Subject, AlertKind), Alert>);

impl Board {
    /// Takes up what was found. Returns the alert if the person was not told of that cause before.
    pub(super) fn raise(
        &mut self,
        subject: Subject,
        found: Finding,
        evidence: Option<Vec<u8>>,
        now_s: u64,
    ) -> Option<Alert> {
        let place = (subject.clone(), found.kind);
        if self
            .0
            .get(&place)
            .is_some_and(|known| known.cause == found.cause)
        {
            return None;
        }
        let is_full = self.0.len() >= ALERTS_MAX;
        let alert = Alert {
            subject,
            kind: found.kind,
            since_s: now_s,
            cause: found.cause,
            changes: match is_full {
                true => Vec::new(),
                false => found.changes.into_iter().take(CHANGES_MAX).collect(),
            },
            evidence,
            is_acknowledged: false,
        };
        self.0.insert(place, alert.clone());
        if is_full {
            let rank = |alert: &Alert| (alert.kind.severity(), alert.since_s);
            let may_go =
                |alert: &&Alert| alert.is_acknowledged || alert.kind.severity() < Severity::Danger;
            let least = self
                .0
                .values()
                .filter(may_go)
                .min_by_key(|alert| rank(alert));
            let least = least.map(|alert| (alert.subject.clone(), alert.kind));
            least.and_then(|place| self.0.remove(&place));
        }
        Some(alert)
    }

    /// What an alert was about no longer holds. Returns the alert, if there was one.
    pub(super) fn resolve(&mut self, subject: &Subject, kind: AlertKind) -> Option<Alert> {
        self.0.remove(&(subject.clone(), kind))
    }

    /// What was acknowledged about it is over: if it comes again, the person is told again.
    pub(super) fn forget_acknowledged(&mut self, subject: &Subject, kind: AlertKind) -> bool {
        let place = (subject.clone(), kind);
        let is_over = self
            .0
            .get(&place)
            .is_some_and(|alert| alert.is_acknowledged);
        is_over && self.0.remove(&place).is_some()
    }

    /// What an alert was raised for.
    pub(super) fn cause(&self, subject: &Subject, kind: AlertKind) -> Option<u64> {
        Some(self.0.get(&(subject.clone(), kind))?.cause)
    }

    /// The person has acted on it. Returns whether there was such an open alert.
    pub(super) fn acknowledge(&mut self, subject: &Subject, kind: AlertKind) -> bool {
        let found = self.0.get_mut(&(subject.clone(), kind));
        let open = found.filter(|alert| !alert.is_acknowledged);
        open.map(|alert| alert.is_acknowledged = true).is_some()
    }

    /// Forgets everything about a contact.
    pub(super) fn forget(&mut self, contact: &Label) {
        let subject = Subject::Contact(contact.clone());
        self.0.retain(|(about, _), _| *about != subject);
    }

    /// The alerts that the person has to see, the gravest first.
    pub(super) fn open(&self) -> Vec<Alert> {
        let open = self.0.values().filter(|alert| !alert.is_acknowledged);
        let mut open: Vec<_> = open.cloned().collect();
        open.sort_by_key(|alert| std::cmp::Reverse(alert.kind.severity()));
        open
    }

    /// The kinds of open alerts about a subject.
    pub(super) fn open_about(&self, subject: &Subject) -> impl Iterator<Item = AlertKind> {
        self.0
            .values()
            .filter(move |alert| alert.subject == *subject && !alert.is_acknowledged)
            .map(|alert| alert.kind)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for alert in self.0.values() {
            let mut one = Vec::new();
            alert.encode(&mut one);
            out.opaque32(&one);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("format")? != FORMAT {
            return Err(DecodeError::Invalid { field: "format" });
        }
        let mut alerts = BTreeMap::new();
        while reader.remaining() > 0 {
            let mut one = Reader::new(reader.opaque32(1 << 20, "alert")?);
            let alert = Alert::decode(&mut one)?;
            one.finish()?;
            alerts.insert((alert.subject.clone(), alert.kind), alert);
        }
        Ok(Self(alerts))
    }
}
