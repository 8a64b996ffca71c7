//! What the machine tells: alerts raised, settled and acted on.

use super::stored::Entry;
use super::{Machine, THIS_VERSION, UNAVAILABLE_AFTER_S, has_passed};
use crate::device::alert::{Alert, AlertKind, Subject};
use crate::device::judge::Finding;
use crate::device::protocol::{Command, Event};
use crate::device::trouble::Trouble;

impl Machine {
    pub(super) fn raise(
        &mut self,
        subject: Subject,
        found: Finding,
        evidence: Option<Vec<u8>>,
        now_s: u64,
    ) {
        if let Some(alert) = self.board.raise(subject, found, evidence, now_s) {
            self.events.push(Event::Raised(alert));
            self.dirty.insert(Entry::Alerts);
        }
    }

    pub(super) fn resolve(&mut self, subject: &Subject, kind: AlertKind) {
        let Some(alert) = self.board.resolve(subject, kind) else {
            return;
        };
        self.dirty.insert(Entry::Alerts);
        if !alert.is_acknowledged {
            self.events.push(Event::Resolved(alert.subject, kind));
        }
    }

    /// A verified answer came, so these no longer hold.
    pub(super) fn resolve_of_log(&mut self) {
        for kind in [
            AlertKind::LogStale,
            AlertKind::LogPolicyNotMet,
            AlertKind::ClockWrong,
        ] {
            self.resolve(&Subject::Log, kind);
        }
    }

    /// What an answer of a log that has ended leads to, after what it shows: it looks back, and
    /// tells nothing of what holds now.
    pub(super) fn ended(&self) -> Option<Trouble> {
        let successor = self.successor?;
        Some(Trouble::Ended { successor })
    }

    /// Tells that the log has ended as soon as an answer does: the next one may not come.
    pub(super) fn tell_end(&mut self, now_s: u64, command: &Command) {
        let Some(trouble) = self.ended() else {
            return;
        };
        let is_watched = match command {
            Command::Check(label)
            | Command::BeforeSend(label, _)
            | Command::Compare(label, _)
            | Command::EnterCode(label, _) => {
                self.is_watching() || self.shared.verified(self.contact_id(label)).is_some()
            }
            Command::SelfCheck | Command::Edit(_) | Command::Gossip(_) | Command::Proof(..) => true,
        };
        if is_watched {
            self.trouble(now_s, Subject::Log, &trouble, now_s);
        }
    }

    /// If it comes again, the person is told again.
    pub(super) fn forget_acknowledged(&mut self, subject: &Subject, kind: AlertKind) {
        if self.board.forget_acknowledged(subject, kind) {
            self.dirty.insert(Entry::Alerts);
        }
    }

    /// What a person has to be told of a question without verified answer. `quiet_since_s` is since
    /// when there was none.
    pub(super) fn trouble(
        &mut self,
        now_s: u64,
        subject: Subject,
        trouble: &Trouble,
        quiet_since_s: u64,
    ) {
        use AlertKind as Kind;
        let is_own = subject == Subject::Own;
        let of = |own: AlertKind, contact: AlertKind| if is_own { own } else { contact };
        let (evidence, cause) = match trouble {
            Trouble::Fork { evidence } => (Some(evidence.clone()), 0),
            Trouble::Incompatible => (None, THIS_VERSION),
            Trouble::Ended { successor } => {
                let first = successor.0.first_chunk().copied();
                (None, u64::from_be_bytes(first.unwrap_or_default()))
            }
            _ => (None, 0),
        };
        let kind = match trouble {
            Trouble::Fork { .. } => Some(Kind::LogFork),
            Trouble::Stale => Some(Kind::LogStale),
            Trouble::PolicyNotMet => Some(Kind::LogPolicyNotMet),
            Trouble::Incompatible => Some(Kind::LogNeedsNewerClient),
            Trouble::Ended { .. } => Some(Kind::LogEnded),
            Trouble::ClockWrong => Some(Kind::ClockWrong),
            Trouble::HistoryChanged => {
                Some(of(Kind::OwnHistoryChanged, Kind::ContactHistoryChanged))
            }
            // Nobody but the account could have replaced its keys.
            Trouble::ValueInvalid => Some(of(Kind::OwnUnexpectedVersion, Kind::ContactCodeChanged)),
            Trouble::Unproven => Some(of(Kind::OwnProofFailed, Kind::ContactProofFailed)),
            _ => None,
        };
        let is_of_log = (20..40).contains(&kind.map_or(0, |kind| kind as u8));
        if let Some(kind) = kind {
            let about = if is_of_log {
                Subject::Log
            } else {
                subject.clone()
            };
            self.raise(about, Finding::plain(kind, cause), evidence, now_s);
        }
        // Whatever the reason: a check that does not succeed for long must not go unnoticed.
        let is_long =
            has_passed(now_s, quiet_since_s, UNAVAILABLE_AFTER_S) && now_s > quiet_since_s;
        if is_long && (is_own || !is_of_log) && subject != Subject::Log {
            let kind = of(Kind::OwnUnavailable, Kind::ContactUnavailable);
            self.raise(subject, Finding::plain(kind, 0), None, now_s);
        }
    }

    /// The alerts that the person has to see, the gravest first.
    pub fn alerts(&self) -> Vec<Alert> {
        self.board.open()
    }

    /// The person has acted on an alert. Another cause of the same kind is told again.
    pub fn acknowledge(&mut self, subject: &Subject, kind: AlertKind) {
        if !self.board.acknowledge(subject, kind) {
            return;
        }
        self.dirty.insert(Entry::Alerts);
        let is_of_versions = matches!(
            kind,
            AlertKind::OwnUnexpectedVersion | AlertKind::OwnHistoryErased
        );
        if is_of_versions {
            // For this device: at the others the person has not seen it yet.
            self.own.accepted = self.own.newest;
            self.own.unexplained_s = None;
            self.dirty.insert(Entry::Own);
        }
        self.flush();
    }
}
