//! The own account: self checks, changes, gossip, and what the person's devices share.

use candor_core::account::{Label, VerifiedValue};

use super::stored::Entry;
use super::{Machine, Stage, UNAVAILABLE_AFTER_S};
use crate::device::alert::{AlertKind, Subject};
use crate::device::edit::{Account, Edit};
use crate::device::judge::{Finding, Logged};
use crate::device::own::{OwnFindings, judge_own};
use crate::device::protocol::{Command, EditFailure, Edited, Event, Outcome, Question};
use crate::device::requirements::{AccountFacts, DeviceFacts};
use crate::device::trouble::Trouble;
use crate::memory::value_hash;
use crate::monitor::PublishedVersion;
use crate::shared::{DeviceTag, Merge, SharedState};

/// How often a change is tried when another device of the person was faster.
const ATTEMPTS_MAX: u8 = 3;

/// Seconds after which a published version that the log does not show is missing.
const MISSING_AFTER_S: u64 = 3600;

/// How often in a row the stored state may lack what this device stored: two devices that store at
/// the same moment do that to each other, but not again and again.
const ROLLBACKS_MAX: u8 = 3;

/// The server's code for a version that is there already.
const VERSION_CONFLICT: &str = "version-conflict";

impl Machine {
    pub(super) fn begin_self_check(&mut self, now_s: u64) {
        self.tried_s.insert(None, now_s);
        // Without what its other devices share, everything would look unexpected.
        if !self.has_synced() {
            return self.done(Outcome::SelfCheck(Ok(self.is_in_order())));
        }
        self.ask_own(Command::SelfCheck, Stage::History);
    }

    fn ask_own(&mut self, command: Command, stage: Stage) {
        let monitored = self.shared.monitored();
        let question = Question::History {
            label: self.me.label.clone(),
            from: Some(monitored.map_or(0, |monitored| monitored.version)),
        };
        self.ask(command, stage, question);
    }

    /// Whether this device began the account, or knows what those share that did.
    fn has_synced(&self) -> bool {
        self.shared.monitored().is_some() || self.shared.published().next().is_some()
    }

    fn is_in_order(&self) -> bool {
        self.board.open_about(&Subject::Own).next().is_none()
    }

    pub(super) fn on_own_history(
        &mut self,
        now_s: u64,
        stage: Stage,
        result: Result<Vec<Logged>, Trouble>,
    ) {
        if let Stage::Identifier { index, moved } = stage {
            return self.on_identifier(now_s, index, moved, result);
        }
        let judged = result.and_then(|logged| judge_own(&self.me.label, &self.shared, &logged));
        match judged {
            Ok(found) => {
                self.settle_own(now_s, found);
                self.ask_identifier(now_s, 0, 0);
            }
            Err(trouble) => self.own_trouble(now_s, trouble),
        }
    }

    fn own_trouble(&mut self, now_s: u64, trouble: Trouble) {
        self.trouble(now_s, Subject::Own, &trouble, self.own.checked_s);
        self.done(Outcome::SelfCheck(Err(trouble)));
    }

    /// Takes up what a look at the own account found.
    fn settle_own(&mut self, now_s: u64, found: OwnFindings) {
        self.own.checked_s = now_s;
        self.dirty.insert(Entry::Own);
        for kind in [AlertKind::OwnProofFailed, AlertKind::OwnUnavailable] {
            self.resolve(&Subject::Own, kind);
        }
        self.resolve_of_log();
        let kinds = found.findings.iter().map(|found| found.kind);
        if !kinds
            .into_iter()
            .any(|kind| kind == AlertKind::OwnUnrecognisedDevice)
        {
            self.resolve(&Subject::Own, AlertKind::OwnUnrecognisedDevice);
        }
        let is_on = found.state().is_some_and(|state| state.state().enrolled);
        let newest = found.newest.as_ref().map(|(logged, _)| *logged);
        for finding in found.findings {
            self.raise(Subject::Own, finding, None, now_s);
        }
        if let Some(newest) = newest
            && self.shared.monitored() != Some(newest)
        {
            self.shared.set_monitored(newest);
            self.share();
        }
        self.check_missing(now_s, newest.map(|newest| newest.version));
        if is_on != self.own.is_on {
            self.own.is_on = is_on;
            self.events.push(Event::TurnedOn(is_on));
            if self.shared.set_enrolled(self.me.tag(), is_on).is_ok() {
                self.share();
            }
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
                let found = Finding {
                    kind,
                    cause: 0,
                    changes: Vec::new(),
                };
                self.raise(Subject::Own, found, None, now_s);
            }
            _ => self.resolve(&Subject::Own, kind),
        }
        self.flush();
    }

    fn check_missing(&mut self, now_s: u64, newest: Option<u32>) {
        let Some((version, since_s)) = self.own.pending else {
            return;
        };
        let kind = AlertKind::OwnMissingUpdate;
        if newest >= Some(version) {
            self.own.pending = None;
            self.resolve(&Subject::Own, kind);
        } else if now_s.saturating_sub(since_s) >= MISSING_AFTER_S {
            let found = Finding {
                kind,
                cause: u64::from(version),
                changes: Vec::new(),
            };
            self.raise(Subject::Own, found, None, now_s);
        }
    }

    /// Looks where the next identifier of the person leads. `moved` has a bit for each of the first
    /// 64 that lead elsewhere.
    fn ask_identifier(&mut self, now_s: u64, index: usize, moved: u64) {
        if let Some(label) = self.me.identifiers.get(index).cloned() {
            let stage = Stage::Identifier { index, moved };
            let question = Question::History { label, from: None };
            return self.ask(Command::SelfCheck, stage, question);
        }
        let kind = AlertKind::OwnIdentifierMoved;
        match moved {
            0 => self.resolve(&Subject::Own, kind),
            cause => {
                let changes = Vec::new();
                let found = Finding {
                    kind,
                    cause,
                    changes,
                };
                self.raise(Subject::Own, found, None, now_s);
            }
        }
        self.done(Outcome::SelfCheck(Ok(self.is_in_order())));
    }

    fn on_identifier(
        &mut self,
        now_s: u64,
        index: usize,
        moved: u64,
        result: Result<Vec<Logged>, Trouble>,
    ) {
        let leads_to_us = result.and_then(|logged| match self.me.identifiers.get(index) {
            Some(label) => leads_to_us(label, &self.me.label, &logged),
            None => Ok(true),
        });
        match leads_to_us {
            Err(trouble) => self.own_trouble(now_s, trouble),
            Ok(leads_to_us) => {
                let bit = if leads_to_us { 0 } else { 1 << (index % 64) };
                self.ask_identifier(now_s, index + 1, moved | bit);
            }
        }
    }

    /// A change begins with a look at what the account is.
    pub(super) fn begin_edit(&mut self, command: Command, attempt: u8) {
        self.ask_own(command, Stage::Edit { attempt });
    }

    pub(super) fn on_edit_history(
        &mut self,
        now_s: u64,
        command: Command,
        stage: Stage,
        result: Result<Vec<Logged>, Trouble>,
    ) {
        let judged = result.and_then(|logged| judge_own(&self.me.label, &self.shared, &logged));
        let found = match judged {
            Ok(found) => found,
            Err(trouble) => {
                self.trouble(now_s, Subject::Own, &trouble, self.own.checked_s);
                let outcome = match stage {
                    // It is visible already; only the check after it failed.
                    Stage::Published { version } => Ok(Edited::Visible(version)),
                    _ => Err(EditFailure::Trouble(trouble)),
                };
                return self.done(Outcome::Edited(outcome));
            }
        };
        let attempt = match stage {
            Stage::Edit { attempt } => attempt,
            Stage::Published { version } => {
                self.settle_own(now_s, found);
                return self.done(Outcome::Edited(Ok(Edited::Visible(version))));
            }
            _ => 0,
        };
        let Command::Edit(edit) = &command else {
            return self.done(Outcome::Edited(Ok(Edited::Unchanged)));
        };
        if !self.has_synced() {
            match (edit, &found.newest) {
                (_, None) => {}
                // A person who lost every device has nothing to merge, and starts over from here.
                (Edit::Reset, Some((newest, _))) => self.shared.set_monitored(*newest),
                (_, Some(_)) => {
                    return self.done(Outcome::Edited(Err(EditFailure::NeedsSync)));
                }
            }
        } else {
            self.settle_own(now_s, found.clone());
        }
        self.publish_edit(
            now_s,
            command,
            found.newest.as_ref().map(|it| (it.0.version, &it.1)),
            attempt,
        );
    }

    fn publish_edit(
        &mut self,
        now_s: u64,
        command: Command,
        newest: Option<(u32, &VerifiedValue)>,
        attempt: u8,
    ) {
        let Command::Edit(edit) = &command else {
            return;
        };
        let key = self.me.key();
        let account = Account {
            label: &self.me.label,
            device: &self.me.device,
            key: key.as_ref(),
            requirements: &self.me.requirements,
            shared: &self.shared,
        };
        let value = match account.apply(newest.map(|(_, value)| value), edit) {
            Err(error) => return self.done(Outcome::Edited(Err(EditFailure::Edit(error)))),
            Ok(None) => {
                self.share_devices(edit.clone());
                return self.done(Outcome::Edited(Ok(Edited::Unchanged)));
            }
            Ok(Some(value)) => value,
        };
        let version = newest.map_or(Some(0), |(version, _)| version.checked_add(1));
        let Some(version) = version else {
            let trouble = Trouble::Fault("versions-exhausted");
            return self.done(Outcome::Edited(Err(EditFailure::Trouble(trouble))));
        };
        let published = PublishedVersion {
            version,
            value_hash: value_hash(&value.encode()),
        };
        // What is published is shared first, so that no device takes it for a stranger's.
        if self.shared.add_published(published).is_err() || !self.share_devices(edit.clone()) {
            return self.done(Outcome::Edited(Err(EditFailure::Full)));
        }
        self.share();
        self.own.pending = Some((version, now_s));
        self.dirty.insert(Entry::Own);
        let stage = Stage::Publish { version, attempt };
        self.ask(command, stage, Question::Publish { version, value });
    }

    /// Tells the person's other devices which devices are theirs.
    fn share_devices(&mut self, edit: Edit) -> bool {
        let by = self.me.tag();
        let (device, is_ours) = match edit {
            Edit::Publish | Edit::TurnOn(_) | Edit::Reset => (by, true),
            Edit::AddDevice(device) => (DeviceTag::of(&device.id), true),
            Edit::RemoveDevice(id) => (DeviceTag::of(&id), false),
            Edit::TurnOff => return true,
        };
        if self.shared.has_device(device) == is_ours {
            return true;
        }
        let added = self.shared.set_device(by, device, is_ours);
        self.share();
        added.is_ok()
    }

    pub(super) fn on_published(
        &mut self,
        now_s: u64,
        command: Command,
        version: u32,
        attempt: u8,
        result: Result<bool, Trouble>,
    ) {
        let failed = |trouble| Outcome::Edited(Err(EditFailure::Trouble(trouble)));
        match result {
            Ok(true) => self.ask_own(command, Stage::Published { version }),
            Ok(false) => self.done(Outcome::Edited(Ok(Edited::Accepted(version)))),
            Err(Trouble::Refused { code, .. })
                if code == VERSION_CONFLICT && attempt + 1 < ATTEMPTS_MAX =>
            {
                self.settle_pending(version);
                self.begin_edit(command, attempt + 1);
            }
            Err(trouble @ Trouble::Refused { .. }) => {
                self.settle_pending(version);
                self.done(failed(trouble));
            }
            Err(trouble) => {
                self.trouble(now_s, Subject::Own, &trouble, self.own.checked_s);
                self.done(failed(trouble));
            }
        }
    }

    /// Nothing is on its way any more.
    fn settle_pending(&mut self, version: u32) {
        if self.own.pending.is_some_and(|pending| pending.0 == version) {
            self.own.pending = None;
            self.dirty.insert(Entry::Own);
        }
    }

    pub(super) fn on_gossip(
        &mut self,
        now_s: u64,
        command: Command,
        result: Result<bool, Trouble>,
    ) {
        let Command::Gossip(message) = command else {
            return;
        };
        let waiting = self.own.gossip.clone();
        let since_s = waiting
            .filter(|(_, known)| *known == message)
            .map(|(since_s, _)| since_s);
        let is_open = match &result {
            Ok(belongs) => !belongs,
            Err(Trouble::Fork { .. }) => {
                let trouble = result.clone().expect_err("matched");
                self.trouble(now_s, Subject::Log, &trouble, 0);
                false
            }
            // The message itself is none: whoever sent it is at fault.
            Err(Trouble::Fault(_)) => false,
            Err(_) => true,
        };
        let kind = AlertKind::LogProofMissing;
        if is_open {
            let first_s = since_s.unwrap_or(now_s);
            // One at a time: the oldest, which is the first to be told of.
            if self.own.gossip.is_none() {
                self.own.gossip = Some((now_s, message.clone()));
                self.dirty.insert(Entry::Own);
            }
            // Only what the server had the occasion to prove: being offline is no refusal.
            let could_prove = !matches!(result, Err(Trouble::Offline));
            if could_prove && now_s.saturating_sub(first_s) >= UNAVAILABLE_AFTER_S {
                let found = Finding {
                    kind,
                    cause: first_s,
                    changes: Vec::new(),
                };
                self.raise(Subject::Log, found, Some(message), now_s);
            }
        } else if since_s.is_some() {
            self.own.gossip = None;
            self.dirty.insert(Entry::Own);
            self.resolve(&Subject::Log, kind);
        }
        self.done(Outcome::Gossip(result));
    }

    /// What the person's devices share, as this one knows it.
    pub const fn shared(&self) -> &SharedState {
        &self.shared
    }

    /// The exported state was stored for the other devices: what comes back must hold it.
    pub fn uploaded(&mut self) {
        self.uploaded = Some(self.shared.clone());
        self.dirty.insert(Entry::Uploaded);
        self.flush();
    }

    /// Takes in what another device of the person shares.
    pub fn merge(&mut self, now_s: u64, other: &SharedState) -> Merge {
        let merged = self.shared.merge(other);
        if merged.learned {
            self.dirty.insert(Entry::Shared);
        }
        if merged.contradicts {
            self.trouble(now_s, Subject::Own, &Trouble::HistoryChanged, 0);
        }
        let lacks_uploaded = self.uploaded.as_ref().is_some_and(|uploaded| {
            let mut both = other.clone();
            both.merge(uploaded).learned
        });
        self.rollbacks = match lacks_uploaded {
            true => self.rollbacks.saturating_add(1),
            false => 0,
        };
        if self.rollbacks >= ROLLBACKS_MAX {
            let found = Finding {
                kind: AlertKind::OwnStateRolledBack,
                cause: 0,
                changes: Vec::new(),
            };
            self.raise(Subject::Own, found, None, now_s);
        }
        if merged.lacks_ours {
            self.events.push(Event::Share);
        }
        self.flush();
        merged
    }

    pub(super) fn share(&mut self) {
        self.dirty.insert(Entry::Shared);
        if !self.events.contains(&Event::Share) {
            self.events.push(Event::Share);
        }
    }
}

/// Whether an identifier of the person still leads to the own account.
fn leads_to_us(label: &Label, own: &Label, logged: &[Logged]) -> Result<bool, Trouble> {
    match logged
        .last()
        .map(|newest| newest.value(label))
        .transpose()?
    {
        Some(VerifiedValue::Binding(binding)) => Ok(binding.primary() == own),
        Some(VerifiedValue::State(_)) => Ok(false),
        None => Ok(false),
    }
}
