//! A log and devices in memory: the machine's questions are answered at once, by whatever the test
//! makes the server do.

use std::collections::BTreeMap;

use candor_core::Hash;
use candor_core::account::{AccountState, Device, DeviceKey, Label, VerifiedState, VerifiedValue};
use candor_core::crypto::{Commitment, Ed25519SecretKey, Opening};
use zeroize::Zeroizing;

use crate::device::*;
use crate::store::{MemoryStore, Store as _};

pub const ORIGIN: &str = "log.example";

pub fn label(text: &str) -> Label {
    Label::normalize(text).unwrap()
}

pub fn phone(id: u8) -> Device {
    Device {
        id: vec![id],
        name: format!("phone {id}"),
        platform: "ios".to_owned(),
        os_version: "17.2".to_owned(),
        capability: 1,
        added_ms: 0,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "encrypt".to_owned(),
            public_key: vec![id; 32],
        }],
    }
}

pub fn logged(version: u32, value: &VerifiedValue) -> Logged {
    let bytes = value.encode();
    let label = value.label().as_bytes();
    Logged {
        version,
        commitment: Commitment::new(&Opening([0; 16]), label, version, &bytes),
        value: Some(bytes),
    }
}

/// What the server does with questions.
#[derive(Default)]
pub struct Log {
    pub accounts: BTreeMap<Label, Vec<Logged>>,
    /// Answers this to everything.
    pub trouble: Option<Trouble>,
    /// Has ended, and says this of its successor.
    pub successor: Option<Hash>,
    /// Answers this to gossip.
    pub gossip: Option<Result<bool, Trouble>>,
    /// Finds this in every proof file.
    pub proof: Option<Result<(Label, Option<Logged>), Trouble>>,
    /// Accepts publications and does not show them.
    pub swallows: bool,
    /// Refuses publications with this code.
    pub refuses: Option<&'static str>,
    pub questions: usize,
}

impl Log {
    /// The newest value of a label.
    pub fn newest(&self, label: &Label) -> Option<VerifiedValue> {
        let newest = self.accounts.get(label)?.last()?;
        newest.value(label).ok().flatten()
    }

    pub fn state(&self, label: &Label) -> AccountState {
        match self.newest(label) {
            Some(VerifiedValue::State(state)) => state.state().clone(),
            other => panic!("no state: {other:?}"),
        }
    }

    /// Logs a value whatever it is, as an operator with the log's keys can.
    pub fn force(&mut self, value: &VerifiedValue) {
        let versions = self.accounts.entry(value.label().clone()).or_default();
        let version = u32::try_from(versions.len()).unwrap();
        versions.push(logged(version, value));
    }

    /// Erases what a version held.
    pub fn erase(&mut self, label: &Label, version: u32) {
        let versions = self.accounts.get_mut(label).unwrap();
        versions[version as usize].value = None;
    }

    pub fn answer(&mut self, question: Question) -> Answer {
        self.questions += 1;
        match question {
            Question::History { label, from } => Answer::History {
                versions: match &self.trouble {
                    Some(trouble) => Err(trouble.clone()),
                    None => Ok(self.history(&label, from)),
                },
                successor: self.successor,
            },
            Question::Publish { version, value } => Answer::Published(match &self.trouble {
                Some(trouble) => Err(trouble.clone()),
                None => self.publish(version, &value),
            }),
            Question::Proof(_) => {
                Answer::Proof(self.proof.clone().unwrap_or(Err(Trouble::Unproven)))
            }
            Question::Gossip(_) => Answer::Gossip(self.gossip.clone().unwrap_or(Ok(true))),
        }
    }

    fn history(&self, label: &Label, from: Option<u32>) -> Vec<Logged> {
        let versions = self.accounts.get(label).map_or(&[][..], |it| it);
        let first = from.map_or(versions.len().saturating_sub(1), |from| from as usize);
        versions.get(first..).unwrap_or_default().to_vec()
    }

    fn publish(&mut self, version: u32, value: &VerifiedValue) -> Result<bool, Trouble> {
        let versions = self.accounts.entry(value.label().clone()).or_default();
        if versions.len() != version as usize {
            return Err(Trouble::Refused {
                code: "version-conflict".to_owned(),
                is_retryable: false,
            });
        }
        if let Some(code) = self.refuses {
            return Err(Trouble::Refused {
                code: code.to_owned(),
                is_retryable: true,
            });
        }
        if self.swallows {
            return Ok(false);
        }
        versions.push(logged(version, value));
        Ok(true)
    }
}

/// A device of the tests: a machine with a store.
pub struct Phone {
    pub me: Identity,
    pub machine: Machine,
    pub store: MemoryStore,
    pub now_s: u64,
    pub events: Vec<Event>,
}

pub fn identity(account: &str, id: u8, seed: Option<u8>) -> Identity {
    let minimum_os = [("ios", "17.2"), ("macos", "14.2"), ("watchos", "9.2")];
    let minimum_os = minimum_os.map(|(platform, least)| (platform.to_owned(), least.to_owned()));
    Identity {
        origin: ORIGIN.to_owned(),
        label: label(account),
        identifiers: Vec::new(),
        device: phone(id),
        account_key: seed.map(|seed| Zeroizing::new([seed; 32])),
        requirements: Requirements {
            minimum_os: minimum_os.into(),
        },
        gossip_one_in: 1,
    }
}

impl Phone {
    pub fn new(me: Identity) -> Self {
        let store = MemoryStore::default();
        Self {
            machine: Machine::load(me.clone(), |key| store.read(key)).unwrap(),
            me,
            store,
            now_s: 1_000_000,
            events: Vec::new(),
        }
    }

    /// A phone whose account has verification on.
    pub fn enrolled(log: &mut Log, account: &str, id: u8, seed: u8) -> Self {
        let mut phone = Self::new(identity(account, id, Some(seed)));
        let facts = phone.facts();
        let outcome = phone.edit(log, Edit::TurnOn(facts));
        assert_eq!(outcome, Ok(Edited::Visible(phone.version(log))));
        assert!(phone.machine.is_on());
        phone
    }

    /// Begins an edit; the power fails with the publication on its way.
    pub fn lose_power_publishing(&mut self, log: &mut Log, edit: Edit) {
        self.machine.begin(self.now_s, Command::Edit(edit));
        loop {
            match self.machine.next_action().unwrap() {
                Action::Write(changes) => crate::Store::write(&self.store, &changes).unwrap(),
                Action::Ask(question @ Question::Publish { .. }) => {
                    log.answer(question);
                    break;
                }
                Action::Ask(question) => {
                    let answer = log.answer(question);
                    self.machine.answer(self.now_s, answer);
                }
                Action::Tell(_) | Action::Done(_) => {}
            }
        }
        self.restart();
    }

    /// The device is started again.
    pub fn restart(&mut self) {
        let store = &self.store;
        self.machine = Machine::load(self.me.clone(), |key| store.read(key)).unwrap();
    }

    pub fn facts(&self) -> AccountFacts {
        AccountFacts {
            has_two_factor: true,
            devices: (0..=255).map(|id| (vec![id], DeviceFacts::all())).collect(),
        }
    }

    pub fn version(&self, log: &Log) -> u32 {
        log.accounts[&self.me.label].last().unwrap().version
    }

    pub fn run(&mut self, log: &mut Log, command: Command) -> Outcome {
        self.machine.begin(self.now_s, command);
        self.drive(log).expect("each command has an outcome")
    }

    pub fn tick(&mut self, log: &mut Log) {
        while self.machine.tick(self.now_s) {
            self.drive(log);
        }
        self.drive(log);
    }

    pub fn drive(&mut self, log: &mut Log) -> Option<Outcome> {
        let mut outcome = None;
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Write(changes) => self.store.write(&changes).unwrap(),
                Action::Ask(question) => {
                    let answer = log.answer(question);
                    self.machine.answer(self.now_s, answer);
                }
                Action::Tell(event) => self.events.push(event),
                Action::Done(done) => outcome = Some(done),
            }
        }
        outcome
    }

    pub fn edit(&mut self, log: &mut Log, edit: Edit) -> Result<Edited, EditFailure> {
        match self.run(log, Command::Edit(edit)) {
            Outcome::Edited(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub fn check(&mut self, log: &mut Log, contact: &str) -> Result<ContactView, Trouble> {
        match self.run(log, Command::Check(label(contact))) {
            Outcome::Contact(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub fn self_check(&mut self, log: &mut Log) -> Result<bool, Trouble> {
        match self.run(log, Command::SelfCheck) {
            Outcome::SelfCheck(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub fn before_send(&mut self, log: &mut Log, to: &str, offered: &[Device]) -> Clearance {
        let offered = offered.iter().map(|device| OfferedDevice {
            id: device.id.clone(),
            keys: device.keys.clone(),
        });
        let command = Command::BeforeSend(label(to), offered.collect());
        match self.run(log, command) {
            Outcome::Clearance(clearance) => clearance,
            other => panic!("{other:?}"),
        }
    }

    /// Takes in what another device of the account shares.
    pub fn merge(&mut self, log: &mut Log, other: &Phone) {
        self.machine.merge(self.now_s, other.machine.shared());
        self.drive(log);
    }

    pub fn save(&mut self, log: &mut Log, contact: &str) {
        assert!(self.machine.save_contact(&label(contact)));
        self.drive(log);
    }

    /// The kinds of open alerts.
    pub fn alerts(&self) -> Vec<AlertKind> {
        self.machine
            .alerts()
            .iter()
            .map(|alert| alert.kind)
            .collect()
    }

    /// What the person was told since the last look.
    pub fn told(&mut self) -> Vec<AlertKind> {
        let events = std::mem::take(&mut self.events);
        let raised = events.into_iter().filter_map(|event| match event {
            Event::Raised(alert) => Some(alert.kind),
            _ => None,
        });
        raised.collect()
    }

    pub fn acknowledge(&mut self, log: &mut Log, subject: &Subject, kind: AlertKind) {
        self.machine.acknowledge(subject, kind);
        self.drive(log);
    }
}

/// Two phones that saved each other, both with verification on.
pub fn alice_and_bob(log: &mut Log) -> (Phone, Phone) {
    let mut alice = Phone::enrolled(log, ALICE, 1, 1);
    let mut bob = Phone::enrolled(log, BOB, 2, 2);
    alice.save(log, BOB);
    bob.save(log, ALICE);
    (alice, bob)
}

/// Both compare codes, and say whether they are equal.
pub fn verify_with(log: &mut Log, one: &mut Phone, other: &mut Phone, is_equal: bool) {
    let begin = |phone: &mut Phone, log: &mut Log, with: &Label| {
        let nonce = [phone.me.device.id[0]; 32];
        match phone.run(log, Command::Compare(with.clone(), nonce)) {
            Outcome::Compare(Ok(message)) => message,
            outcome => panic!("{outcome:?}"),
        }
    };
    let names = (one.me.label.clone(), other.me.label.clone());
    let from_one = begin(one, log, &names.1);
    let from_other = begin(other, log, &names.0);
    let receive = |phone: &mut Phone, from: &Label, message| {
        let received = phone.machine.compare_receive(phone.now_s, from, message);
        received.unwrap()
    };
    let one_reveals = receive(one, &names.1, &from_other).unwrap();
    let other_reveals = receive(other, &names.0, &from_one).unwrap();
    receive(one, &names.1, &other_reveals);
    receive(other, &names.0, &one_reveals);
    let code = one.machine.compare_code(&names.1).unwrap();
    assert_eq!(other.machine.compare_code(&names.0), Some(code));
    for (phone, with) in [(&mut *one, &names.1), (other, &names.0)] {
        let expected = match is_equal {
            true => Compared::Verified,
            false => Compared::Different,
        };
        assert_eq!(phone.machine.compare_finish(with, is_equal), expected);
        phone.drive(log);
    }
}

pub fn verify(log: &mut Log, one: &mut Phone, other: &mut Phone) {
    verify_with(log, one, other, true);
}

pub const ALICE: &str = "alice@example.org";
pub const BOB: &str = "bob@example.org";
pub const CAROL: &str = "carol@example.org";

pub fn key(seed: u8) -> Ed25519SecretKey {
    Ed25519SecretKey::from_seed(&[seed; 32])
}

pub fn newest_state(log: &Log, of: &str) -> VerifiedState {
    match log.newest(&label(of)) {
        Some(VerifiedValue::State(state)) => state,
        other => panic!("no state: {other:?}"),
    }
}

/// A state after the newest one, changed and signed by whoever has this seed.
pub fn forged(
    log: &Log,
    of: &str,
    seed: u8,
    change: impl FnOnce(&mut AccountState),
) -> VerifiedValue {
    let mut next = newest_state(log, of).successor().unwrap();
    change(&mut next);
    VerifiedValue::State(next.sign(&label(of), &key(seed)).unwrap())
}
