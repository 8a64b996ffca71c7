//! The self check: what a look at the own account leads to.

use candor_core::account::{Label, VerifiedValue};

use super::stored::{Entry, OwnRecord};
use super::{Identifiers, Machine, Stage, UNEXPLAINED_AFTER_S, has_passed};
use crate::device::alert::{AlertKind, Subject};
use crate::device::edit::own_key;
use crate::device::judge::{Finding, Logged};
use crate::device::own::{OwnFindings, judge_own, record_tag};
use crate::device::protocol::{Command, Event, Outcome, Question};
use crate::device::requirements::{AccountFacts, DeviceFacts};
use crate::device::trouble::Trouble;
use crate::memory::value_hash;
use crate::shared::{DeviceTag, LoggedVersion};

/// Seconds after which a published version that the log does not show is missing.
const MISSING_AFTER_S: u64 = 3600;

/// Most identifiers of a person.
pub(super) const IDENTIFIERS_MAX: usize = 64;

impl Machine {
    pub(super) fn begin_self_check(&mut self, now_s: u64) {
        self.tried_s.insert(None, now_s);
        if self.own.first_s == 0 {
            self.own.first_s = now_s;
            self.dirty.insert(Entry::Own);
        }
        // Without what its other devices share, everything would look unexpected.
        if !self.has_synced() {
            return self.own_trouble(now_s, Trouble::NeedsSync);
        }
        self.ask_own(Command::SelfCheck, Stage::History);
    }

    /// Asks for the own account from the version on up to which all is explained.
    pub(super) fn ask_own(&mut self, command: Command, stage: Stage) {
        let question = Question::History {
            label: self.me.label.clone(),
            from: Some(self.base().map_or(0, |base| base.version)),
        };
        self.ask(command, stage, question);
    }

    /// Where a look at the own account begins.
    pub(super) fn base(&self) -> Option<LoggedVersion> {
        let both = [self.shared.monitored(), self.own.accepted]
            .into_iter()
            .flatten();
        both.max_by_key(|logged| logged.version)
    }

    pub(super) fn judge_own(
        &self,
        result: Result<Vec<Logged>, Trouble>,
    ) -> Result<(OwnFindings, Vec<Logged>), Trouble> {
        let logged = result?;
        let found = judge_own(&self.me.label, &self.shared, self.base(), &logged)?;
        Ok((found, logged))
    }

    /// Whether this device began the account, or knows what those share that did.
    pub(super) fn has_synced(&self) -> bool {
        self.shared.monitored().is_some() || self.shared.published().next().is_some()
    }

    fn is_in_order(&self) -> bool {
        self.own.unexplained_s.is_none() && self.board.open_about(&Subject::Own).next().is_none()
    }

    pub(super) fn on_own_history(
        &mut self,
        now_s: u64,
        stage: Stage,
        result: Result<Vec<Logged>, Trouble>,
    ) {
        if let Stage::Identifier(progress) = stage {
            return self.on_identifier(now_s, progress, result);
        }
        match self.judge_own(result) {
            Ok((found, logged)) => {
                self.settle_own(now_s, found, &logged);
                self.ask_identifier(
                    now_s,
                    Identifiers {
                        index: 0,
                        moved: 0,
                        trouble: None,
                    },
                );
            }
            Err(trouble) => self.own_trouble(now_s, trouble),
        }
    }

    fn own_trouble(&mut self, now_s: u64, trouble: Trouble) {
        let quiet_since_s = self.own.checked_s.max(self.own.first_s);
        self.trouble(now_s, Subject::Own, &trouble, quiet_since_s);
        self.done(Outcome::SelfCheck(Err(trouble)));
    }

    /// Takes up what a look at the own account found.
    pub(super) fn settle_own(&mut self, now_s: u64, found: OwnFindings, logged: &[Logged]) {
        self.looked_s = Some(now_s);
        self.resolve_of_log();
        self.settle_explained(&found);
        self.check_pending(now_s, logged, &found);
        self.settle_doubts(now_s, &found);
        let newest = found.newest.as_ref().map(|(logged, _)| *logged);
        if self.own.newest != newest {
            self.own.newest = newest;
            self.dirty.insert(Entry::Own);
        }
        // Nobody but a device of the person turns it off.
        let shows_on = found.state().is_some_and(|state| state.state().enrolled);
        let is_on = shows_on || (found.unexplained.is_some() && self.own.is_on);
        if is_on != self.own.is_on {
            self.own.is_on = is_on;
            self.dirty.insert(Entry::Own);
            self.events.push(Event::TurnedOn(is_on));
            if self.shared.set_enrolled(self.me.tag(), is_on).is_ok() {
                self.share();
            }
        }
    }

    /// What is explained need not be looked at again. What the person acknowledged at this device
    /// is not, at the others.
    fn settle_explained(&mut self, found: &OwnFindings) {
        let Some(explained) = found.explained else {
            return;
        };
        let shared = self.shared.monitored();
        if self.own.accepted.map(|it| it.version) > shared.map(|it| it.version) {
            self.own.accepted = Some(explained);
            self.dirty.insert(Entry::Own);
        } else if shared != Some(explained) {
            self.shared.set_monitored(explained);
            self.share();
        }
    }

    /// Tells what is unexplained, unless another device of the person may still explain it.
    fn settle_doubts(&mut self, now_s: u64, found: &OwnFindings) {
        let mut doubt = found.unexplained.clone();
        let [unexpected, erased] = [AlertKind::OwnUnexpectedVersion, AlertKind::OwnHistoryErased];
        // What this device saw before it was erased stays what it was.
        let open = self.board.open_about(&Subject::Own);
        let told = open
            .filter(|kind| *kind == unexpected)
            .find_map(|kind| self.board.cause(&Subject::Own, kind));
        if let (Some(doubt), Some(first)) = (&mut doubt, found.first_unexplained)
            && told.is_some_and(|version| version >= u64::from(first))
        {
            doubt.kind = unexpected;
        }
        let since_s = doubt
            .as_ref()
            .map(|_| self.own.unexplained_s.unwrap_or(now_s));
        if since_s != self.own.unexplained_s {
            self.own.unexplained_s = since_s;
            self.dirty.insert(Entry::Own);
        }
        // Before a reset is in the log, what is there is the lost key's, devices included.
        let key = found.state().and_then(|state| state.state().account_key);
        let is_lost = key.is_some() && key != self.me.key().map(|key| own_key(&key));
        let is_being_reset = is_lost && doubt.is_none() && self.own.pending.is_some();
        let strangers = found.strangers.clone().filter(|_| !is_being_reset);
        let doubt_of = |kind| doubt.clone().filter(|found| found.kind == kind);
        let found = [
            (unexpected, doubt_of(unexpected)),
            (erased, doubt_of(erased)),
            (AlertKind::OwnUnrecognisedDevice, strangers),
        ];
        for (kind, finding) in found {
            match (finding, since_s) {
                (None, _) => self.resolve_if_open(kind),
                (Some(_), Some(since_s)) if !has_passed(now_s, since_s, UNEXPLAINED_AFTER_S) => {}
                (Some(finding), _) => self.raise(Subject::Own, finding, None, now_s),
            }
        }
    }

    /// It is explained now. What the person acknowledged stays acknowledged.
    fn resolve_if_open(&mut self, kind: AlertKind) {
        if self
            .board
            .open_about(&Subject::Own)
            .any(|open| open == kind)
        {
            self.resolve(&Subject::Own, kind);
        }
    }

    /// What the application knows of the account's devices now: while verification is on, the
    /// person is told of a device that no longer meets the requirements.
    pub fn set_facts(&mut self, now_s: u64, facts: &AccountFacts) {
        let kind = AlertKind::OwnDeviceUnable;
        let this = std::slice::from_ref(&self.me.device);
        let is_unmet = !self.me.requirements.unmet(this, facts).is_empty();
        let is_lacking = facts
            .devices
            .values()
            .any(|device| *device != DeviceFacts::all());
        match is_unmet || is_lacking {
            true if self.own.is_on => {
                self.raise(Subject::Own, Finding::plain(kind, 0), None, now_s)
            }
            _ => self.resolve(&Subject::Own, kind),
        }
        self.flush();
    }

    /// Whether what this device published became the version that it was meant to be.
    fn check_pending(&mut self, now_s: u64, logged: &[Logged], found: &OwnFindings) {
        let Some(pending) = self.own.pending else {
            return;
        };
        let kind = AlertKind::OwnMissingUpdate;
        let of_version = logged.iter().find(|it| it.version == pending.version);
        let is_settled = match of_version {
            Some(it) => {
                let value = it.value.as_deref();
                value.is_some_and(|value| value_hash(value) == pending.value_hash)
            }
            // The base is what was seen before.
            None => logged
                .first()
                .is_some_and(|first| first.version > pending.version),
        };
        if is_settled {
            self.own.pending = None;
            self.dirty.insert(Entry::Own);
            // Another device may have added it again since.
            let listed = found
                .state()
                .map_or(&[][..], |state| &state.state().devices);
            let is_gone = |gone: &DeviceTag| !listed.iter().any(|it| record_tag(it) == *gone);
            if let Some(gone) = pending.gone.filter(is_gone) {
                self.share_device(gone, false);
            }
            if pending.accepts.is_some() {
                self.own.accepted = newer(self.own.accepted, pending.accepts);
            }
            self.resolve(&Subject::Own, kind);
            return;
        }
        let is_missing = match of_version {
            // Another version took its place; of one that was erased nobody can tell.
            Some(it) => it.value.is_some(),
            None => has_passed(now_s, pending.since_s, MISSING_AFTER_S),
        };
        if is_missing {
            let found = Finding::plain(kind, u64::from(pending.version));
            self.raise(Subject::Own, found, None, now_s);
        }
    }

    /// Looks where the next identifier of the person leads.
    fn ask_identifier(&mut self, now_s: u64, progress: Identifiers) {
        if let Some(label) = self.me.identifiers.get(progress.index).cloned()
            && progress.index < IDENTIFIERS_MAX
        {
            let from = self.own.identifiers.get(&label).copied();
            let question = Question::History { label, from };
            return self.ask(Command::SelfCheck, Stage::Identifier(progress), question);
        }
        if progress.moved != 0 {
            let found = Finding::plain(AlertKind::OwnIdentifierMoved, progress.moved);
            self.raise(Subject::Own, found, None, now_s);
        }
        if let Some(trouble) = progress.trouble {
            return self.own_trouble(now_s, trouble);
        }
        self.own.checked_s = now_s;
        self.dirty.insert(Entry::Own);
        for kind in [AlertKind::OwnProofFailed, AlertKind::OwnUnavailable] {
            self.resolve(&Subject::Own, kind);
        }
        self.forget_acknowledged(&Subject::Own, AlertKind::OwnHistoryChanged);
        match self.ended() {
            Some(trouble) => self.own_trouble(now_s, trouble),
            None => self.done(Outcome::SelfCheck(Ok(self.is_in_order()))),
        }
    }

    fn on_identifier(
        &mut self,
        now_s: u64,
        mut progress: Identifiers,
        result: Result<Vec<Logged>, Trouble>,
    ) {
        if let Some(label) = self.me.identifiers.get(progress.index).cloned() {
            let known = self.own.identifiers.get(&label).copied();
            let looked = result.and_then(|logged| look(&label, &self.me.label, known, &logged));
            match looked {
                Err(trouble) => progress.trouble = Some(trouble),
                Ok(Look { moved, leads }) => {
                    if let Some(version) = moved {
                        let number = ((progress.index as u64 + 1) << 32) | u64::from(version);
                        progress.moved = progress.moved.rotate_left(7) ^ number;
                    }
                    if let Some(version) = leads
                        && known != Some(version)
                    {
                        self.own.identifiers.insert(label, version);
                        self.dirty.insert(Entry::Own);
                    }
                }
            }
        }
        progress.index += 1;
        self.ask_identifier(now_s, progress);
    }
}

fn newer(one: Option<LoggedVersion>, other: Option<LoggedVersion>) -> Option<LoggedVersion> {
    let both = [one, other].into_iter().flatten();
    both.max_by_key(|logged| logged.version)
}

/// What the history of an identifier shows.
struct Look {
    /// The version at which it led to somebody else.
    moved: Option<u32>,
    /// The newest version, if that leads to us.
    leads: Option<u32>,
}

/// Where an identifier led, from the version on at which it was `known` to lead to us.
fn look(
    label: &Label,
    own: &Label,
    known: Option<u32>,
    logged: &[Logged],
) -> Result<Look, Trouble> {
    if known.is_some() && logged.first().map(|it| it.version) != known {
        return Err(Trouble::Behind);
    }
    let mut moved = None;
    let mut leads = None;
    for each in logged {
        // The first one was looked at before. What was erased since may have led elsewhere.
        let leads_to_us = match each.value(label)? {
            Some(VerifiedValue::Binding(binding)) => binding.primary() == own,
            Some(VerifiedValue::State(_)) => false,
            None => known == Some(each.version),
        };
        leads = leads_to_us.then_some(each.version);
        if !leads_to_us {
            moved = Some(each.version);
        }
    }
    Ok(Look { moved, leads })
}

impl OwnRecord {
    /// Forgets identifiers that are no longer the person's.
    pub(super) fn keep_identifiers(&mut self, identifiers: &[Label]) {
        self.identifiers
            .retain(|label, _| identifiers.contains(label));
    }
}
