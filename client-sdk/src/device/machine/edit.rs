//! Changes of the own account: look, publish, look again.

use candor_core::account::VerifiedValue;

use super::stored::{Entry, Pending};
use super::{Machine, Stage};
use crate::device::alert::Subject;
use crate::device::edit::{Account, Edit};
use crate::device::judge::Logged;
use crate::device::own::{OwnFindings, record_tag};
use crate::device::protocol::{Command, EditFailure, Edited, Outcome, Question};
use crate::device::trouble::Trouble;
use crate::memory::value_hash;
use crate::monitor::PublishedVersion;
use crate::shared::DeviceTag;

/// How often a change is tried when another device of the person was faster.
const ATTEMPTS_MAX: u8 = 3;

/// The server's code for a version that is there already.
const VERSION_CONFLICT: &str = "version-conflict";

impl Machine {
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
        let judged = self.judge_own(result);
        match (stage, judged) {
            (Stage::Published { version }, judged) => {
                // Visible, whatever the look at it finds.
                match judged {
                    Ok((found, logged)) => self.settle_own(now_s, found, &logged),
                    Err(trouble) => self.trouble(now_s, Subject::Own, &trouble, now_s),
                }
                self.done(Outcome::Edited(Ok(Edited::Visible(version))));
            }
            (_, Err(trouble)) => {
                self.trouble(now_s, Subject::Own, &trouble, now_s);
                self.done(failed(EditFailure::Trouble(trouble)));
            }
            (Stage::Edit { attempt }, Ok((found, logged))) => {
                if self.has_synced() {
                    self.settle_own(now_s, found.clone(), &logged);
                }
                if let Some(trouble) = self.ended() {
                    return self.done(failed(EditFailure::Trouble(trouble)));
                }
                self.publish_edit(now_s, command, &found, attempt);
            }
            _ => self.done(failed(EditFailure::Trouble(Trouble::Fault("stage")))),
        }
    }

    fn publish_edit(&mut self, now_s: u64, command: Command, found: &OwnFindings, attempt: u8) {
        let Command::Edit(edit) = &command else {
            return;
        };
        let is_reset = matches!(edit, Edit::Reset);
        let newest = found.newest.as_ref();
        if newest.is_some() && !self.has_synced() && !is_reset {
            return self.done(failed(EditFailure::NeedsSync));
        }
        // What is not known to be the person's is not built upon.
        if found.unexplained.is_some() && self.has_synced() && !is_reset {
            return self.done(failed(EditFailure::Unexplained));
        }
        let key = self.me.key();
        let account = Account {
            label: &self.me.label,
            device: &self.me.device,
            key: key.as_ref(),
            requirements: &self.me.requirements,
            shared: &self.shared,
        };
        let value = match account.apply(newest.map(|(_, value)| value), edit) {
            Err(error) => return self.done(failed(EditFailure::Edit(error))),
            Ok(None) => {
                self.share_added(edit);
                return self.done(Outcome::Edited(Ok(Edited::Unchanged)));
            }
            Ok(Some(value)) => value,
        };
        let version = newest.map_or(Some(0), |(logged, _)| logged.version.checked_add(1));
        let Some(version) = version else {
            let trouble = Trouble::Fault("versions-exhausted");
            return self.done(failed(EditFailure::Trouble(trouble)));
        };
        let gone = replaced(edit, newest.map(|(_, value)| value), &self.me.device);
        let mut accepts = None;
        if let (true, Some((newest, _))) = (is_reset, newest) {
            // The person starts over from what is there; who knew something before, once it is so.
            match self.has_synced() {
                true => accepts = Some(*newest),
                false => self.shared.set_monitored(*newest),
            }
        }
        let edit = edit.clone();
        let value_hash = value_hash(&value.encode());
        if !self.add_published(version, value_hash) || !self.share_added(&edit) {
            return self.done(failed(EditFailure::Full));
        }
        self.own.pending = Some(Pending {
            version,
            value_hash,
            since_s: now_s,
            gone,
            accepts,
        });
        self.dirty.insert(Entry::Own);
        let stage = Stage::Publish { version, attempt };
        self.ask(command, stage, Question::Publish { version, value });
    }

    /// Shares that this device is about to publish a version.
    fn add_published(&mut self, version: u32, value_hash: candor_core::Hash) -> bool {
        let published = PublishedVersion {
            version,
            value_hash,
        };
        let mut added = self.shared.add_published(published);
        if let (Err(_), Some(accepted)) = (&added, self.own.accepted) {
            // The other devices had the time of all these versions to see what is unexplained.
            self.shared.set_monitored(accepted);
            added = self.shared.add_published(published);
        }
        self.share();
        added.is_ok()
    }

    /// Tells the person's other devices of the one that a change adds, before it does.
    fn share_added(&mut self, edit: &Edit) -> bool {
        match edit {
            Edit::Publish | Edit::TurnOn(_) | Edit::Reset => {
                self.share_device(record_tag(&self.me.device), true)
            }
            Edit::AddDevice(device) => self.share_device(record_tag(device), true),
            Edit::RemoveDevice(_) | Edit::TurnOff => true,
        }
    }

    pub(super) fn share_device(&mut self, device: DeviceTag, is_ours: bool) -> bool {
        if self.shared.has_device(device) == is_ours {
            return true;
        }
        let changed = self.shared.set_device(self.me.tag(), device, is_ours);
        self.share();
        changed.is_ok()
    }

    pub(super) fn on_published(
        &mut self,
        now_s: u64,
        command: Command,
        version: u32,
        attempt: u8,
        result: Result<bool, Trouble>,
    ) {
        let pending = self
            .own
            .pending
            .filter(|pending| pending.version == version);
        if let (Ok(_), Some(accepts)) = (&result, pending.and_then(|pending| pending.accepts)) {
            self.own.accepted = Some(accepts);
            self.dirty.insert(Entry::Own);
        }
        match result {
            Ok(true) => self.ask_own(command, Stage::Published { version }),
            Ok(false) => self.done(Outcome::Edited(Ok(Edited::Accepted(version)))),
            Err(Trouble::Refused { code, .. })
                if code == VERSION_CONFLICT && attempt + 1 < ATTEMPTS_MAX =>
            {
                self.forget_pending(version);
                self.begin_edit(command, attempt + 1);
            }
            Err(trouble) => {
                if matches!(trouble, Trouble::Refused { .. }) {
                    self.forget_pending(version);
                }
                self.trouble(now_s, Subject::Own, &trouble, now_s);
                self.done(failed(EditFailure::Trouble(trouble)));
            }
        }
    }

    /// Nothing is on its way any more.
    fn forget_pending(&mut self, version: u32) {
        if self
            .own
            .pending
            .is_some_and(|pending| pending.version == version)
        {
            self.own.pending = None;
            self.dirty.insert(Entry::Own);
        }
    }
}

const fn failed(failure: EditFailure) -> Outcome {
    Outcome::Edited(Err(failure))
}

/// The device, with its keys, that is no longer one of the account's once a change is made.
fn replaced(
    edit: &Edit,
    newest: Option<&VerifiedValue>,
    own: &candor_core::account::Device,
) -> Option<DeviceTag> {
    let Some(VerifiedValue::State(state)) = newest else {
        return None;
    };
    let (id, now) = match edit {
        Edit::RemoveDevice(id) => (id, None),
        Edit::AddDevice(device) => (&device.id, Some(record_tag(device))),
        Edit::Publish | Edit::TurnOn(_) => (&own.id, Some(record_tag(own))),
        Edit::TurnOff | Edit::Reset => return None,
    };
    let before = state
        .state()
        .devices
        .iter()
        .find(|device| device.id == *id)?;
    Some(record_tag(before)).filter(|before| Some(*before) != now)
}
