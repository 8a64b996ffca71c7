//! Contacts: saved ones, and what their checks lead to.

use std::collections::BTreeSet;

use candor_core::account::{AccountKey, Device, Label, VerifiedState, VerifiedValue};
use candor_core::verification::PublicCode;
use sha2::{Digest as _, Sha256};

use super::stored::Entry;
use super::{CONTACTS_MAX, Machine, Stage};
use crate::device::alert::{AlertKind, Severity, Subject};
use crate::device::contact::{ContactRecord, PrimaryTag};
use crate::device::judge::{Finding, Judged, Known, Level, Logged, judge, leads_to};
use crate::device::own::{digest, number};
use crate::device::protocol::{
    Clearance, CodeEntered, Command, CompareFailure, ContactView, Event, OfferedDevice, Outcome,
    Question,
};
use crate::device::trouble::Trouble;

impl Machine {
    /// Saves a contact. Returns `false` if there is no room for another.
    pub fn save_contact(&mut self, label: &Label) -> bool {
        if self.contacts.contains_key(label) {
            return true;
        }
        if self.contacts.len() >= CONTACTS_MAX {
            return false;
        }
        self.contacts
            .insert(label.clone(), ContactRecord::default());
        self.dirty.insert(Entry::Index);
        self.dirty.insert(Entry::Contact(label.clone()));
        self.flush();
        true
    }

    /// Forgets a contact, its mark and its alerts.
    pub fn forget_contact(&mut self, label: &Label) {
        if self.contacts.remove(label).is_none() {
            return;
        }
        self.void_mark(label);
        self.sessions.remove(label);
        self.tried_s.remove(&Some(label.clone()));
        self.board.forget(label);
        self.dirty
            .extend([Entry::Index, Entry::Contact(label.clone()), Entry::Alerts]);
        self.flush();
    }

    /// The saved contacts, and whether the person verified each one's key.
    pub fn contacts(&self) -> impl Iterator<Item = (&Label, bool)> {
        self.contacts.iter().map(|(label, record)| {
            let mark = self.shared.verified(self.contact_id(label));
            let key = record.seen.and_then(|seen| seen.key_hash);
            let is_on = record.seen.is_some_and(|seen| seen.is_enrolled);
            (label, is_on && mark.is_some() && mark == key)
        })
    }

    pub(super) fn begin_contact(&mut self, now_s: u64, command: Command, label: &Label) {
        let Some(record) = self.contacts.get_mut(label) else {
            return self.done(Outcome::NotSaved);
        };
        if record.first_s == 0 {
            record.first_s = now_s;
            self.dirty.insert(Entry::Contact(label.clone()));
        }
        let from = record.seen.map(|seen| seen.version);
        self.tried_s.insert(Some(label.clone()), now_s);
        let question = Question::History {
            label: label.clone(),
            from,
        };
        self.ask(command, Stage::History, question);
    }

    pub(super) fn on_contact_history(
        &mut self,
        now_s: u64,
        command: Command,
        label: &Label,
        stage: Stage,
        result: Result<Vec<Logged>, Trouble>,
    ) {
        let judged = match (stage, result) {
            (_, Err(trouble)) => Err(trouble),
            (Stage::Bound { primary, asked }, Ok(logged)) => {
                self.judge_contact(label, &asked, Some((&primary, &logged)))
            }
            (_, Ok(asked)) => match leads_to(label, &asked) {
                Err(trouble) => Err(trouble),
                Ok(None) => self.judge_contact(label, &asked, None),
                Ok(Some(primary)) => {
                    let seen = self.contacts.get(label).and_then(|record| record.seen);
                    let bound = seen.and_then(|seen| seen.bound);
                    let tag = PrimaryTag::of(&primary);
                    let from = bound.filter(|bound| bound.0 == tag).map(|bound| bound.1);
                    let question = Question::History {
                        label: primary.clone(),
                        from,
                    };
                    return self.ask(command, Stage::Bound { primary, asked }, question);
                }
            },
        };
        match judged {
            Ok(judged) => self.on_judged(now_s, command, label, judged),
            Err(trouble) => self.on_contact_trouble(now_s, command, label, trouble),
        }
    }

    fn judge_contact(
        &self,
        label: &Label,
        asked: &[Logged],
        primary: Option<(&Label, &[Logged])>,
    ) -> Result<Judged, Trouble> {
        let record = self.contacts.get(label).copied().unwrap_or_default();
        let known = Known {
            label,
            seen: record.seen.as_ref(),
            mark: self.shared.verified(self.contact_id(label)),
            is_own_on: self.is_watching(),
        };
        judge(&known, asked, primary)
    }

    fn on_judged(&mut self, now_s: u64, command: Command, label: &Label, judged: Judged) {
        let subject = Subject::Contact(label.clone());
        let Some(record) = self.contacts.get_mut(label) else {
            // Forgotten while it was asked for.
            return self.done(Outcome::NotSaved);
        };
        record.seen = judged.seen;
        record.checked_s = now_s;
        self.dirty.insert(Entry::Contact(label.clone()));
        if judged.is_mark_void {
            self.void_mark(label);
        }
        for kind in [AlertKind::ContactProofFailed, AlertKind::ContactUnavailable] {
            self.resolve(&subject, kind);
        }
        self.resolve_of_log();
        self.forget_acknowledged(&subject, AlertKind::ContactHistoryChanged);
        let mut level = judged.level;
        // What the person compared holds, here or at another device.
        if level == Level::Verified {
            self.resolve_of_keys(&subject);
        }
        for found in judged.findings {
            self.raise(subject.clone(), found, None, now_s);
        }
        if judged.seen.is_some_and(|seen| seen.is_enrolled) {
            // It is on again: that it was off is what the person was told.
            self.resolve(&subject, AlertKind::ContactTurnedOff);
        }
        if let Some(trouble) = self.ended() {
            return self.on_contact_trouble(now_s, command, label, trouble);
        }
        self.check_waiting_code(now_s, label, judged.state.as_ref(), &mut level);
        if self.levels.insert(label.clone(), level) != Some(level) {
            self.events.push(Event::LevelChanged(label.clone(), level));
        }
        let state = judged.state;
        match command {
            Command::Check(_) => {
                let view = self.view(now_s, level, state.as_ref(), &subject);
                self.done(Outcome::Contact(Ok(view)));
            }
            Command::BeforeSend(_, offered) => {
                let clearance = self.clear(now_s, &subject, level, state.as_ref(), offered);
                self.done(Outcome::Clearance(clearance));
            }
            Command::Compare(_, nonce) => {
                let key = state.as_ref().and_then(|state| state.state().account_key);
                self.begin_session(now_s, label, key, nonce);
            }
            Command::EnterCode(_, code) => self.enter_code(label, state.as_ref(), code),
            Command::SelfCheck | Command::Edit(_) | Command::Gossip(_) | Command::Proof(..) => {}
        }
    }

    fn view(
        &self,
        now_s: u64,
        level: Level,
        state: Option<&VerifiedState>,
        subject: &Subject,
    ) -> ContactView {
        ContactView {
            level,
            devices: current_devices(now_s, state),
            alerts: self.board.open_about(subject).collect(),
        }
    }

    fn clear(
        &mut self,
        now_s: u64,
        subject: &Subject,
        level: Level,
        state: Option<&VerifiedState>,
        offered: Vec<OfferedDevice>,
    ) -> Clearance {
        let devices = current_devices(now_s, state);
        // One that has expired is the contact's, and is not among those to be encrypted to.
        let listed = state.map_or(&[][..], |state| &state.state().devices);
        let is_listed = |offered: &OfferedDevice| {
            let is_same = |device: &Device| {
                let mut keys = offered.keys.iter();
                device.id == offered.id && keys.all(|key| device.keys.contains(key))
            };
            !offered.keys.is_empty() && listed.iter().any(is_same)
        };
        let mut unlisted = offered;
        unlisted.retain(|offered| !is_listed(offered));
        let kind = AlertKind::ContactUnrecognisedDevice;
        let is_stranger =
            matches!(level, Level::Automatic | Level::Verified) && !unlisted.is_empty();
        if is_stranger {
            let found = Finding::plain(kind, number_of(&unlisted));
            self.raise(subject.clone(), found, None, now_s);
        } else {
            self.resolve(subject, kind);
        }
        let subjects = [subject, &Subject::Log].into_iter();
        let open = subjects.flat_map(|subject| self.board.open_about(subject));
        let mut alerts: Vec<_> = open
            .filter(|kind| kind.severity() == Severity::Danger)
            .collect();
        // A person may have seen the alert, and still nothing is encrypted to the device.
        if is_stranger && !alerts.contains(&kind) {
            alerts.push(kind);
        }
        match alerts.is_empty() {
            true => Clearance::Yes {
                level,
                devices,
                unlisted,
            },
            false => Clearance::No { alerts, devices },
        }
    }

    fn on_contact_trouble(
        &mut self,
        now_s: u64,
        command: Command,
        label: &Label,
        trouble: Trouble,
    ) {
        let subject = Subject::Contact(label.clone());
        let record = self.contacts.get(label).copied().unwrap_or_default();
        let trouble = match trouble {
            Trouble::ValueInvalid if record.seen.is_none() => Trouble::Unproven,
            other => other,
        };
        let has_mark = self.shared.verified(self.contact_id(label)).is_some();
        let is_watched = self.is_watching() || has_mark;
        // Who has it off, and compared nothing, is told only what is proved.
        if is_watched || matches!(trouble, Trouble::Fork { .. } | Trouble::HistoryChanged) {
            let quiet_since_s = record.checked_s.max(record.first_s);
            self.trouble(now_s, subject, &trouble, quiet_since_s);
        }
        self.done(match command {
            Command::BeforeSend(..) => Outcome::Clearance(Clearance::Unknown(trouble)),
            Command::Compare(..) => Outcome::Compare(Err(CompareFailure::Trouble(trouble))),
            Command::EnterCode(..) => Outcome::Code(Err(trouble)),
            _ => Outcome::Contact(Err(trouble)),
        });
    }

    /// A proof from the contact itself shows its keys if they are those seen before: the same
    /// account key signed them. Anything else is for a check, which sees what happened between.
    pub(super) fn on_proof(
        &mut self,
        now_s: u64,
        command: &Command,
        result: Result<(Label, Option<Logged>), Trouble>,
    ) {
        let Command::Proof(label, _) = command else {
            return;
        };
        let outcome = match result {
            Ok((about, newest)) => self.recognise(now_s, label, &about, newest.as_ref()),
            Err(trouble) => {
                if matches!(trouble, Trouble::Fork { .. } | Trouble::HistoryChanged) {
                    self.trouble(now_s, Subject::Contact(label.clone()), &trouble, now_s);
                }
                Err(trouble)
            }
        };
        self.done(Outcome::Proof(outcome));
    }

    fn recognise(
        &self,
        now_s: u64,
        label: &Label,
        about: &Label,
        newest: Option<&Logged>,
    ) -> Result<Option<ContactView>, Trouble> {
        let seen = self.contacts.get(label).and_then(|record| record.seen);
        let (Some(seen), Some(newest)) = (seen, newest) else {
            return Ok(None);
        };
        let is_theirs = match seen.bound {
            None => about == label,
            Some((tag, _)) => tag == PrimaryTag::of(about),
        };
        let Some(VerifiedValue::State(state)) = newest.value(about)? else {
            return Ok(None);
        };
        let key_hash = state.state().account_key.map(|key| key.hash());
        let is_same = key_hash.is_some() && key_hash == seen.key_hash;
        let is_on = state.state().enrolled && seen.is_enrolled && self.is_watching();
        // A device that was removed since must not come back.
        let least = seen.bound.map_or(seen.version, |bound| bound.1);
        if !is_theirs || !is_same || !is_on || newest.version < least {
            return Ok(None);
        }
        let level = match self.shared.verified(self.contact_id(label)) {
            None => Level::Automatic,
            mark if mark == key_hash => Level::Verified,
            // Another key was compared at another device.
            Some(_) => return Ok(None),
        };
        let subject = Subject::Contact(label.clone());
        Ok(Some(self.view(now_s, level, Some(&state), &subject)))
    }

    fn enter_code(&mut self, label: &Label, state: Option<&VerifiedState>, code: PublicCode) {
        let key = state.and_then(|state| state.state().account_key);
        let entered = match key {
            Some(key) if code.matches(&key.hash()) => match self.mark(label, &key) {
                true => CodeEntered::Matches,
                false => CodeEntered::Full,
            },
            Some(_) => CodeEntered::Differs,
            None => {
                if let Some(record) = self.contacts.get_mut(label) {
                    record.code = Some(code);
                    self.dirty.insert(Entry::Contact(label.clone()));
                }
                CodeEntered::Waits
            }
        };
        self.done(Outcome::Code(Ok(entered)));
    }

    /// A code was entered before the contact had a key; now it has one.
    fn check_waiting_code(
        &mut self,
        now_s: u64,
        label: &Label,
        state: Option<&VerifiedState>,
        level: &mut Level,
    ) {
        let key = state.and_then(|state| state.state().account_key);
        let Some(record) = self.contacts.get_mut(label) else {
            return;
        };
        let (Some(key), Some(code)) = (key, record.code) else {
            return;
        };
        record.code = None;
        if code.matches(&key.hash()) {
            if self.mark(label, &key) {
                self.events.push(Event::CodeConfirmed(label.clone()));
                if *level == Level::Automatic {
                    *level = Level::Verified;
                }
            }
        } else {
            let cause = number(Sha256::digest(code.to_text()).into());
            let found = Finding::plain(AlertKind::ContactCodeDiffers, cause);
            self.raise(Subject::Contact(label.clone()), found, None, now_s);
        }
    }

    /// The person verified that the contact has this account key: what was found before about its
    /// keys is settled.
    /// Returns `false` if no more contacts can be marked.
    pub(super) fn mark(&mut self, label: &Label, key: &AccountKey) -> bool {
        let contact = self.contact_id(label);
        if self
            .shared
            .set_verified(self.me.tag(), contact, key)
            .is_err()
        {
            return false;
        }
        self.share();
        self.resolve_of_keys(&Subject::Contact(label.clone()));
        true
    }

    fn resolve_of_keys(&mut self, subject: &Subject) {
        for kind in [
            AlertKind::ContactCodeChanged,
            AlertKind::ContactReset,
            AlertKind::ContactMoved,
            AlertKind::ContactHistoryErased,
            AlertKind::ContactCodeDiffers,
        ] {
            self.resolve(subject, kind);
        }
    }

    fn void_mark(&mut self, label: &Label) {
        let contact = self.contact_id(label);
        if self.shared.verified(contact).is_some()
            && self.shared.clear_verified(self.me.tag(), contact).is_ok()
        {
            self.share();
        }
    }
}

/// The devices of a state that may be used now.
fn current_devices(now_s: u64, state: Option<&VerifiedState>) -> Vec<Device> {
    let devices = state.map_or(&[][..], |state| &state.state().devices);
    let is_current = |device: &&Device| device.expires_ms == 0 || device.expires_ms / 1000 > now_s;
    devices.iter().filter(is_current).cloned().collect()
}

/// A number that tells one set of offered devices from another, in whatever order.
fn number_of(offered: &[OfferedDevice]) -> u64 {
    let each = offered
        .iter()
        .map(|device| digest(&device.id, &device.keys));
    let each: BTreeSet<_> = each.collect();
    let all = each
        .iter()
        .fold(Sha256::new(), |all, one| all.chain_update(one));
    number(all.finalize().into())
}
