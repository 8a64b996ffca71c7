//! What goes between devices: heads of contacts, and what the person's own devices share.

use super::stored::Entry;
use super::{Machine, UNAVAILABLE_AFTER_S, has_passed};
use crate::device::alert::{AlertKind, Subject};
use crate::device::judge::Finding;
use crate::device::own::number;
use crate::device::protocol::{Command, Event, Outcome};
use crate::device::trouble::Trouble;
use crate::shared::{Merge, SeenHead, SharedState};
use sha2::{Digest as _, Sha256};

/// Most heads that wait for a proof. The log signed each, so who floods has that many signed.
const GOSSIP_MAX: usize = 8;

/// How often in a row what was stored for the other devices may be lost: two devices that store at
/// the same moment do that to each other, but not again and again.
const LOST_UPLOADS_MAX: u8 = 3;

impl Machine {
    pub(super) fn on_gossip(
        &mut self,
        now_s: u64,
        command: Command,
        result: Result<bool, Trouble>,
    ) {
        let Command::Gossip(message) = command else {
            return;
        };
        if let Err(trouble @ Trouble::Fork { .. }) = &result {
            let trouble = trouble.clone();
            self.trouble(now_s, Subject::Log, &trouble, now_s);
        }
        let is_open = match &result {
            Ok(belongs) => !belongs,
            // The message itself is none: whoever sent it is at fault.
            Err(Trouble::Fault("gossip-malformed" | "gossip-unsigned")) => false,
            Err(Trouble::Fork { .. }) => false,
            Err(_) => true,
        };
        // Only an answer that could have been a proof counts against the log.
        let is_unproved = matches!(
            result,
            Ok(false) | Err(Trouble::Unproven | Trouble::HistoryChanged)
        );
        match is_open {
            true => self.wait_for_proof(now_s, message, is_unproved),
            false => self.forget_gossip(&message),
        }
        self.done(Outcome::Gossip(result));
    }

    fn wait_for_proof(&mut self, now_s: u64, message: Vec<u8>, is_unproved: bool) {
        let known = self
            .own
            .gossip
            .iter()
            .position(|(_, known)| *known == message);
        let place = match known {
            Some(place) => place,
            None if self.own.gossip.len() >= GOSSIP_MAX => return,
            None => {
                self.own.gossip.push((0, message.clone()));
                self.dirty.insert(Entry::Own);
                self.own.gossip.len() - 1
            }
        };
        let (since_s, _) = &mut self.own.gossip[place];
        if is_unproved && *since_s == 0 {
            *since_s = now_s;
            self.dirty.insert(Entry::Own);
        } else if is_unproved && has_passed(now_s, *since_s, UNAVAILABLE_AFTER_S) {
            let cause = number(Sha256::digest(&message).into());
            let found = Finding::plain(AlertKind::LogProofMissing, cause);
            self.raise(Subject::Log, found, Some(message), now_s);
        }
    }

    fn forget_gossip(&mut self, message: &[u8]) {
        let before = self.own.gossip.len();
        self.own.gossip.retain(|(_, known)| known != message);
        if self.own.gossip.len() < before {
            self.dirty.insert(Entry::Own);
            let cause = number(Sha256::digest(message).into());
            let kind = AlertKind::LogProofMissing;
            if self.board.cause(&Subject::Log, kind) == Some(cause) {
                self.resolve(&Subject::Log, kind);
            }
        }
    }

    /// This device verified a head, which its other devices may compare with theirs.
    pub fn saw_head(&mut self, head: SeenHead) {
        let is_known = self.shared.heads().any(|known| known == head);
        if !is_known && self.shared.set_head(self.me.tag(), head).is_ok() {
            self.dirty.insert(Entry::Shared);
            self.flush();
        }
    }

    /// What the person's devices share, as this one knows it.
    pub const fn shared(&self) -> &SharedState {
        &self.shared
    }

    /// What the person's devices share, to be stored for the others.
    pub fn export(&mut self) -> SharedState {
        self.exported = Some(self.shared.clone());
        self.shared.clone()
    }

    /// What was exported last is stored for the other devices: what comes back must hold it.
    pub fn uploaded(&mut self) {
        let Some(exported) = self.exported.take() else {
            return;
        };
        self.uploaded = Some(exported);
        self.dirty.insert(Entry::Uploaded);
        self.flush();
    }

    /// Takes in what is stored for the person's devices.
    pub fn merge(&mut self, now_s: u64, stored: &SharedState) -> Merge {
        let mut both = self.shared.clone();
        let merged = both.merge(stored);
        // More than all devices together can have is not theirs.
        if !both.fits() {
            return Merge {
                learned: false,
                lacks_ours: false,
                contradicts: false,
            };
        }
        self.shared = both;
        if merged.learned {
            self.dirty.insert(Entry::Shared);
        }
        if merged.contradicts {
            self.trouble(now_s, Subject::Own, &Trouble::HistoryChanged, now_s);
        }
        self.check_upload(now_s, stored);
        if merged.lacks_ours {
            self.share();
        }
        self.flush();
        merged
    }

    /// Counts each upload that is not there once.
    fn check_upload(&mut self, now_s: u64, stored: &SharedState) {
        let Some(uploaded) = self.uploaded.take() else {
            return;
        };
        let mut both = stored.clone();
        if !both.merge(&uploaded).learned {
            self.uploaded = Some(uploaded);
            if self.own.lost_uploads > 0 {
                self.own.lost_uploads = 0;
                self.dirty.insert(Entry::Own);
            }
            return;
        }
        self.own.lost_uploads = self.own.lost_uploads.saturating_add(1);
        self.dirty.extend([Entry::Own, Entry::Uploaded]);
        if self.own.lost_uploads >= LOST_UPLOADS_MAX {
            let found = Finding::plain(AlertKind::OwnStateRolledBack, now_s / 86_400);
            self.raise(Subject::Own, found, None, now_s);
        }
    }

    pub(super) fn share(&mut self) {
        self.dirty.insert(Entry::Shared);
        if !self.events.contains(&Event::Share) {
            self.events.push(Event::Share);
        }
    }
}
