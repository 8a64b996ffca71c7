//! What the server and its operator do to people: each act with the alerts that it justifies, and
//! with who has to be told of it.

use candor_core::account::{AccountState, Binding, VerifiedState, VerifiedValue};
use candor_sdk::device::{AlertKind, Subject};

use super::log::{Fate, Head};
use super::names::{STRANGERS, account_label, record, stranger_key, stranger_label};
use super::observer::{Expectation, Scope};
use super::world::World;

/// An act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A version that nobody signed, with a device more.
    Unsigned,
    /// A version in the account's name whose signature does not verify.
    WronglySigned,
    /// A version under another key, without a declared reset.
    Swap,
    /// The same, and at once a version under the old key again.
    SwapBack,
    /// A version under another key that declares a reset.
    Reset,
    /// An identifier leads to the account of whoever attacks.
    Move,
    /// One device is shown a history in which the account has another key.
    Split,
    /// The next publication is accepted and never shown.
    Withhold,
    /// A device gets back old shared state.
    OldBlob,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 9] = [
        Self::Unsigned,
        Self::WronglySigned,
        Self::Swap,
        Self::SwapBack,
        Self::Reset,
        Self::Move,
        Self::Split,
        Self::Withhold,
        Self::OldBlob,
    ];
}

const CHANGED: &[AlertKind] = &[AlertKind::ContactCodeChanged];

impl World {
    /// Does it to somebody, if there is somebody to whom it can be done.
    pub(crate) fn act(&mut self, act: Act) {
        let count = self.accounts.len();
        let account = self.cx.rng.usize(0..count);
        let label = account_label(account);
        let newest = self.cx.log.newest(self.cx.log.head(0), &label);
        let Some(VerifiedValue::State(state)) = newest else {
            return;
        };
        if self.cx.observer.spoiled.contains(&account) {
            return;
        }
        let is_on = state.state().enrolled;
        let done = match act {
            Act::Withhold => self.withhold(account),
            Act::OldBlob => self.old_blob(account),
            Act::Move => self.move_identifier(account),
            Act::Split => is_on && self.split(account, &state),
            Act::Reset => {
                state.state().account_key.is_some() && {
                    let mut next = successor(&state);
                    next.reset = state.state().account_key;
                    let kinds: &[_] = &[AlertKind::ContactReset];
                    self.force(account, signed(next, &state), kinds, is_on);
                    true
                }
            }
            Act::Unsigned => {
                let mut next = successor(&state);
                next.enrolled = false;
                let unsigned = next.without_signature(&label);
                let unsigned = unsigned.expect("a state without key");
                let value = VerifiedValue::State(unsigned).encode();
                self.force(account, value, CHANGED, is_on);
                true
            }
            Act::WronglySigned => {
                is_on && {
                    let mut value = signed(successor(&state), &state);
                    let key = state.state().account_key.expect("it is on");
                    // Kind, format and presence come before the key.
                    value[3..35].copy_from_slice(&key.0);
                    // Who saw the contact before is told that its keys were replaced, who did not
                    // that nothing is proved.
                    let kinds: &[_] = &[
                        AlertKind::ContactCodeChanged,
                        AlertKind::ContactHistoryChanged,
                    ];
                    self.force(account, value, kinds, true);
                    let mut labels = self.accounts[account].identifiers.clone();
                    labels.push(account_label(account));
                    for label in labels {
                        let unproved = AlertKind::ContactProofFailed;
                        self.cx.observer.deed(unproved, Some(&label), Scope::All);
                    }
                    true
                }
            }
            Act::Swap => {
                self.force(account, signed(successor(&state), &state), CHANGED, is_on);
                true
            }
            Act::SwapBack => {
                let back = VerifiedValue::State(state.clone()).encode();
                self.force(account, signed(successor(&state), &state), CHANGED, is_on);
                self.force(account, back, CHANGED, true);
                true
            }
        };
        if done {
            self.cx
                .log(format_args!("{act:?} against person {account}"));
            self.cx.coverage.act(act);
        }
    }

    /// Logs a version in the name of an account.
    fn force(&mut self, account: usize, value: Vec<u8>, kinds: &'static [AlertKind], told: bool) {
        let label = account_label(account);
        let version = self.cx.log.force(&label, value);
        self.cx.observer.spoiled.insert(account);
        for kind in [
            AlertKind::OwnUnexpectedVersion,
            AlertKind::OwnUnrecognisedDevice,
        ] {
            self.cx.observer.deed(kind, None, Scope::Account(account));
        }
        for phone in &self.phones {
            let is_joined = phone.is_joined();
            if phone.account == account && !phone.is_retired && is_joined {
                self.cx.observer.expected.push(Expectation {
                    phone: phone.number,
                    subject: Subject::Own,
                    kinds: &[AlertKind::OwnUnexpectedVersion],
                    cause: Some(version),
                    since_s: self.cx.now_s,
                });
            }
        }
        let labels = self.accounts[account].identifiers.clone();
        for label in std::iter::once(label).chain(labels) {
            // A key that the person marked and that is gone is a code that changed.
            self.expect_of_contacts(&label, kinds, told.then_some(version), None);
            let changed = AlertKind::ContactCodeChanged;
            self.cx.observer.deed(changed, Some(&label), Scope::All);
        }
    }

    /// Everybody who knew the contact before has to be told; or one device alone.
    fn expect_of_contacts(
        &mut self,
        label: &candor_core::account::Label,
        kinds: &'static [AlertKind],
        version: Option<u32>,
        only: Option<usize>,
    ) {
        let scope = only.map_or(Scope::All, Scope::Phone);
        let observer = &mut self.cx.observer;
        for kind in kinds {
            observer.deed(*kind, Some(label), scope);
        }
        let since_s = self.cx.now_s;
        observer.substituted.entry(label.clone()).or_insert(since_s);
        for phone in &self.phones {
            let is_meant = only.is_none_or(|only| only == phone.number) && !phone.is_retired;
            if version.is_some() && is_meant && phone.first_looks.contains_key(label) {
                let is_version = !kinds.contains(&AlertKind::ContactHistoryChanged);
                observer.expected.push(Expectation {
                    phone: phone.number,
                    subject: Subject::Contact(label.clone()),
                    kinds,
                    cause: version.filter(|_| is_version),
                    since_s,
                });
            }
        }
    }

    fn move_identifier(&mut self, account: usize) -> bool {
        let Some(label) = self.accounts[account].identifiers.first().cloned() else {
            return false;
        };
        let binding = Binding::new(label.clone(), stranger_label()).expect("they differ");
        let value = VerifiedValue::Binding(binding).encode();
        let version = self.cx.log.force(&label, value);
        self.cx.observer.spoiled.insert(account);
        let kind = AlertKind::OwnIdentifierMoved;
        self.cx.observer.deed(kind, None, Scope::Account(account));
        for phone in &self.phones {
            let is_joined = phone.knows_identifiers;
            if phone.account == account && !phone.is_retired && is_joined {
                self.cx.observer.expected.push(Expectation {
                    phone: phone.number,
                    subject: Subject::Own,
                    kinds: &[AlertKind::OwnIdentifierMoved],
                    cause: None,
                    since_s: self.cx.now_s,
                });
            }
        }
        let kinds: &[_] = &[AlertKind::ContactMoved];
        self.expect_of_contacts(&label, kinds, Some(version), None);
        true
    }

    fn split(&mut self, account: usize, state: &VerifiedState) -> bool {
        let Some(victim) = self.somebody_else(account) else {
            return false;
        };
        if self.cx.log.is_forked() {
            return false;
        }
        let label = account_label(account);
        let value = signed(successor(state), state);
        let version = self.cx.log.fork(&label, value);
        self.phones[victim].branch = 1;
        self.cx.observer.spoiled.insert(account);
        for kind in [AlertKind::LogFork, AlertKind::LogProofMissing] {
            self.cx.observer.deed(kind, None, Scope::All);
        }
        let labels = self.accounts[account].identifiers.clone();
        for label in std::iter::once(label).chain(labels) {
            self.expect_of_contacts(&label, CHANGED, Some(version), Some(victim));
        }
        true
    }

    fn withhold(&mut self, account: usize) -> bool {
        self.cx.fate = Fate::Withheld;
        let edited = self.publish_something(account);
        self.cx.fate = Fate::Visible;
        if let Some(phone) = edited {
            self.cx.observer.spoiled.insert(account);
            let kind = AlertKind::OwnMissingUpdate;
            self.cx.observer.deed(kind, None, Scope::Phone(phone));
            self.cx.observer.expected.push(Expectation {
                phone,
                subject: Subject::Own,
                kinds: &[AlertKind::OwnMissingUpdate],
                cause: None,
                since_s: self.cx.now_s,
            });
        }
        edited.is_some()
    }

    fn old_blob(&mut self, account: usize) -> bool {
        let Some(phone) = self.somebody_of(account) else {
            return false;
        };
        self.phones[phone].merge_old(&mut self.cx);
        true
    }

    /// The account of whoever attacks.
    pub(crate) fn log_stranger(&mut self) {
        let mut stranger = AccountState::first();
        stranger.devices = vec![record(STRANGERS)];
        let label = stranger_label();
        let stranger = stranger.sign(&label, &stranger_key()).expect("a state");
        let value = VerifiedValue::State(stranger).encode();
        self.cx.log.force(&label, value);
    }

    /// Identifiers are bound once there is an account.
    pub(crate) fn bind_identifiers(&mut self) {
        let head = self.cx.log.head(0);
        for (number, account) in self.accounts.iter().enumerate() {
            let primary = account_label(number);
            let has_account = !self.cx.log.history(head, &primary).is_empty();
            for label in account.identifiers.iter().filter(|_| has_account) {
                if self.cx.log.history(head, label).is_empty() {
                    let binding = Binding::new(label.clone(), primary.clone());
                    let value = VerifiedValue::Binding(binding.expect("they differ"));
                    self.cx.log.force(label, value.encode());
                }
            }
        }
    }

    /// What a messenger offers to encrypt to: what the log holds, and perhaps a device more.
    pub(crate) fn newest_head(&self, phone: usize) -> Head {
        self.cx.log.head(self.phones[phone].branch)
    }
}

/// The next state with a stranger's device.
fn successor(state: &VerifiedState) -> AccountState {
    let mut next = state.successor().expect("not so many states");
    next.devices.push(record(STRANGERS + 1));
    next
}

fn signed(next: AccountState, state: &VerifiedState) -> Vec<u8> {
    let signed = next.sign(state.label(), &stranger_key());
    VerifiedValue::State(signed.expect("the state is well formed")).encode()
}
