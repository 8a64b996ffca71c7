//! A device: the machine that devices run, a store that survives its end, and the person in front
//! of it, who sees what the machine tells and, when it starts again, what it still holds.

use std::collections::{BTreeMap, BTreeSet};

use candor_core::account::{Label, VerifiedValue};
use candor_sdk::device::{
    Action, Alert, AlertKind, Answer, Clearance, Command, Event, Identity, Machine, Outcome,
    Question, Trouble,
};
use candor_sdk::shared::{ContactId, SealedState, SharedKey, SharedState};
use candor_sdk::{MemoryStore, Store as _};

use super::cloud::Place;
use super::context::Context;
use super::invariants as must;
use super::log::{ClientMemory, Fate, Head, fork};
use super::mutation::Mutation;
use super::names::{ORIGIN, seed};
use super::observer::Scope;
use super::screen::Screen;

/// What a device's network is like in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Net {
    /// All is well.
    Well,
    /// Every question ends like this.
    Bad(Trouble),
    /// The server answers with an old head.
    Stale(usize),
}

/// How a device first saw a contact that it has watched since.
#[derive(Clone, Copy, Debug)]
pub struct FirstLook {
    /// When.
    pub at_s: u64,
    /// Whether its person had verified the contact's key by then.
    pub had_mark: bool,
}

/// A device.
pub struct Phone {
    /// Its number, which is its identifier too.
    pub number: usize,
    /// Whose it is.
    pub account: usize,
    /// Which of the account's keys it has.
    pub generation: u8,
    /// Who it is.
    pub me: Identity,
    /// The machine.
    pub machine: Machine,
    store: MemoryStore,
    client: ClientMemory,
    /// What its person sees.
    pub screen: Screen,
    /// How far its clock is ahead, in seconds.
    pub ahead_s: u64,
    /// Its network.
    pub net: Net,
    /// The history that it is shown.
    pub branch: usize,
    /// Whether it is in use no more.
    pub is_retired: bool,
    /// Whether its account's key has to be declared reset by it.
    pub has_to_reset: bool,
    /// Whether a question of this step had no answer, or the process ended.
    pub was_disturbed: bool,
    /// When it first saw each contact that it has watched since.
    pub first_looks: BTreeMap<Label, FirstLook>,
    /// Whether it saw each of its person's identifiers lead to the account.
    pub knows_identifiers: bool,
    /// The stranger's device that was offered last for each contact.
    pub ghosts: BTreeMap<Label, Vec<u8>>,
    /// Strangers' devices that the person accepted.
    pub accepted: BTreeSet<(Label, Vec<u8>)>,
    asked: Option<Label>,
}

impl Phone {
    /// A new device.
    pub fn new(number: usize, account: usize, generation: u8, me: Identity) -> Self {
        Self {
            number,
            account,
            generation,
            machine: start(&me, &MemoryStore::new()),
            me,
            store: MemoryStore::new(),
            client: ClientMemory::default(),
            screen: Screen::default(),
            ahead_s: 0,
            net: Net::Well,
            branch: 0,
            is_retired: false,
            has_to_reset: false,
            was_disturbed: false,
            first_looks: BTreeMap::new(),
            knows_identifiers: false,
            ghosts: BTreeMap::new(),
            accepted: BTreeSet::new(),
            asked: None,
        }
    }

    /// What its clock shows.
    pub const fn clock_s(&self, cx: &Context) -> u64 {
        cx.now_s + self.ahead_s
    }

    /// The newest head that its client verified.
    pub const fn head(&self) -> Option<Head> {
        self.client.head
    }

    /// Whether its person is told of changes of a contact.
    pub fn watches(&self, contact: &Label) -> bool {
        self.machine.is_on() || self.has_mark(contact)
    }

    fn has_mark(&self, contact: &Label) -> bool {
        let contact = ContactId::of(ORIGIN, contact);
        self.machine.shared().verified(contact).is_some()
    }

    /// Does a command. `None` if the process ended before the outcome was known.
    pub fn run(&mut self, command: Command, cx: &mut Context) -> Option<Outcome> {
        self.machine.begin(self.clock_s(cx), command);
        self.drive(cx)
    }

    /// Does everything that is due.
    pub fn tick(&mut self, cx: &mut Context) {
        if cx.is_broken(Mutation::SleepsThrough) {
            return;
        }
        while self.machine.tick(self.clock_s(cx)) {
            self.drive(cx);
        }
        self.drive(cx);
    }

    /// Changes something that asks for nothing.
    pub fn change<T>(&mut self, cx: &mut Context, change: impl FnOnce(&mut Machine) -> T) -> T {
        let result = change(&mut self.machine);
        self.drive(cx);
        result
    }

    fn drive(&mut self, cx: &mut Context) -> Option<Outcome> {
        let mut outcome = None;
        while let Some(action) = self.machine.next_action() {
            if cx.fault(cx.scenario.crashes) {
                self.crash(Some(action), cx);
                return None;
            }
            match action {
                Action::Write(changes) => {
                    let is_lost = cx.is_broken(Mutation::DropsWrites) && cx.chance(20);
                    if !is_lost && self.store.write(&changes).is_err() {
                        cx.observer
                            .violated(must::STORED, "a write failed".to_owned());
                    }
                }
                Action::Ask(question) => {
                    let answer = self.ask(question, cx);
                    self.machine.answer(self.clock_s(cx), answer);
                }
                Action::Tell(event) => self.hear(event, cx),
                Action::Done(done) => {
                    self.note_look(&done, cx);
                    outcome = Some(done);
                }
            }
        }
        self.screen.compare(&self.machine.alerts(), self.number, cx);
        outcome
    }

    /// Takes in what the account's devices share, adds what they lack, and tells what follows.
    pub fn sync(&mut self, cx: &mut Context) {
        self.share(cx);
        self.drive(cx);
    }

    /// Whether it knows what the account's other devices share.
    pub fn is_joined(&self) -> bool {
        let shared = self.machine.shared();
        shared.monitored().is_some() || shared.published().next().is_some()
    }

    /// Whom its person saved.
    pub fn contacts(&self) -> Vec<Label> {
        let contacts = self.machine.contacts();
        contacts.map(|(label, _)| label.clone()).collect()
    }

    /// The process ends before an action, and starts again.
    pub fn crash(&mut self, action: Option<Action>, cx: &mut Context) {
        cx.log(format_args!("phone {} ends and starts", self.number));
        cx.coverage.crashes += 1;
        self.was_disturbed = true;
        self.asked = None;
        // What it was about to publish is missing then, which is so.
        let kind = AlertKind::OwnMissingUpdate;
        cx.observer.deed(kind, None, Scope::Phone(self.number));
        match action {
            Some(Action::Tell(Event::Raised(_))) => cx.coverage.crashes_untold += 1,
            // The server may have it all the same.
            Some(Action::Ask(Question::Publish { version, value }))
                if self.has_network() && cx.chance(50) =>
            {
                let published = cx.log.publish(version, &value, Fate::Visible);
                cx.log(format_args!("its {version} arrives: {published:?}"));
            }
            _ => {}
        }
        let held = self.machine.alerts();
        self.machine = start(&self.me, &self.store);
        let found = self.machine.alerts();
        let news = self.screen.restart(&held, &found, self.number, cx);
        for alert in news {
            self.see(&alert, cx);
        }
    }

    fn hear(&mut self, event: Event, cx: &mut Context) {
        match event {
            Event::Raised(_) if cx.is_broken(Mutation::TellsNothing) => {}
            Event::Raised(alert) => {
                self.screen.raised(&alert, self.number, cx);
                self.see(&alert, cx);
            }
            Event::Resolved(subject, kind) => {
                cx.coverage.resolved += 1;
                self.screen.resolved(&subject, kind);
            }
            Event::CodeConfirmed(_) => cx.coverage.codes_confirmed += 1,
            // What is to be published next has to be where the other devices find it.
            Event::Share if !cx.is_broken(Mutation::SharesLate) => self.share(cx),
            _ => {}
        }
    }

    /// Its person sees an alert.
    fn see(&mut self, alert: &Alert, cx: &mut Context) {
        let (number, kind) = (self.number, alert.kind);
        let about = &alert.subject;
        cx.log(format_args!(
            "phone {number} tells {} of {about:?}, cause {}",
            kind.code(),
            alert.cause
        ));
        cx.coverage.told += 1;
        if !cx.observer.told(number, self.account, alert) {
            let detail = format!("phone {number} tells {} of {about:?}", kind.code());
            cx.observer.violated(must::NO_FALSE_ALERT, detail);
        }
    }

    fn ask(&mut self, question: Question, cx: &mut Context) -> Answer {
        let answer = match question {
            Question::History { label, from } => {
                self.asked.get_or_insert_with(|| label.clone());
                let from = from.filter(|_| !cx.is_broken(Mutation::AsksForTheNewest));
                Answer::History {
                    versions: self.history(&label, from, cx),
                    successor: None,
                }
            }
            Question::Publish { version, value } => {
                let fate = std::mem::replace(&mut cx.fate, Fate::Visible);
                let published = match &self.net {
                    Net::Bad(trouble) => Err(trouble.clone()),
                    _ => cx.log.publish(version, &value, fate),
                };
                cx.log(format_args!(
                    "phone {} publishes {version}, {fate:?}: {published:?}",
                    self.number
                ));
                Answer::Published(published)
            }
            // Nobody sends proofs here.
            Question::Proof(_) => Answer::Proof(Err(Trouble::Unproven)),
            Question::Gossip(message) => Answer::Gossip(self.gossip(&message, cx)),
        };
        let is_disturbed = match &answer {
            Answer::History { versions, .. } => versions.is_err(),
            Answer::Gossip(result) => result.is_err(),
            Answer::Published(_) | Answer::Proof(_) => false,
        };
        self.was_disturbed |= is_disturbed;
        answer
    }

    fn history(
        &mut self,
        label: &Label,
        from: Option<u32>,
        cx: &mut Context,
    ) -> Result<Vec<candor_sdk::device::Logged>, Trouble> {
        let newest = cx.log.head(self.branch);
        let served = match self.net {
            Net::Bad(ref trouble) => return Err(trouble.clone()),
            Net::Well => newest,
            Net::Stale(size) => Head {
                size: size.min(newest.size),
                ..newest
            },
        };
        if cx.is_broken(Mutation::ClientForgets) {
            self.client = ClientMemory::default();
            return self.client.take(&cx.log, served, label, from);
        }
        let known = self.client.clone();
        let answer = self.client.take(&cx.log, served, label, from);
        match (&self.net, answer) {
            // It follows what is known, and is too old all the same.
            (Net::Stale(_), Ok(_)) => {
                self.client = known;
                cx.coverage.stale += 1;
                Err(Trouble::Stale)
            }
            (Net::Stale(_), Err(trouble)) => {
                cx.coverage.behind += 1;
                Err(trouble)
            }
            (_, answer) => answer,
        }
    }

    /// Holds a head of somebody else's against the own: `Client::gossip_in` of the SDK.
    fn gossip(&mut self, message: &[u8], cx: &mut Context) -> Result<bool, Trouble> {
        let theirs = Head::decode(message).ok_or(Trouble::Fault("gossip-malformed"))?;
        let served = match &self.net {
            Net::Bad(trouble) => return Err(trouble.clone()),
            Net::Stale(_) => return Err(Trouble::Behind),
            Net::Well => cx.log.head(self.branch),
        };
        if cx.log.contradict(served, theirs) {
            // The log signed both, or shows no two heads of one size and proves nothing.
            return Err(match cx.scenario.is_fork_careful {
                true => Trouble::Unproven,
                false => fork(),
            });
        }
        Ok(theirs.size <= served.size)
    }

    fn note_look(&mut self, outcome: &Outcome, cx: &Context) {
        if let (Outcome::SelfCheck(Ok(_)), Some(head)) = (outcome, self.client.head) {
            let leads_home = |label: &Label| match cx.log.newest(head, label) {
                Some(VerifiedValue::Binding(binding)) => *binding.primary() == self.me.label,
                _ => false,
            };
            self.knows_identifiers |= self.me.identifiers.iter().all(leads_home);
        }
        let label = self.asked.take();
        let has_seen = match outcome {
            Outcome::Contact(result) => result.is_ok(),
            Outcome::Clearance(clearance) => !matches!(clearance, Clearance::Unknown(_)),
            Outcome::Code(result) => result.is_ok(),
            Outcome::Compare(result) => {
                !matches!(result, Err(candor_sdk::device::CompareFailure::Trouble(_)))
            }
            _ => false,
        };
        let has_account = |label: &Label| {
            let head = self.client.head;
            head.is_some_and(|head| !cx.log.history(head, label).is_empty())
        };
        if let Some(label) = label.filter(|label| has_seen && has_account(label)) {
            let look = FirstLook {
                at_s: cx.now_s,
                had_mark: self.has_mark(&label),
            };
            match self.watches(&label) {
                true => drop(self.first_looks.entry(label).or_insert(look)),
                // Nothing was promised to who did not watch: watching begins anew.
                false => drop(self.first_looks.remove(&label)),
            }
        }
    }

    const fn place(&self) -> Place {
        (self.account, self.generation)
    }

    fn key(&self) -> SharedKey {
        let seed = seed(self.account, self.generation);
        SharedKey::derive(&seed, ORIGIN, &self.me.label)
    }

    fn has_network(&self) -> bool {
        !matches!(self.net, Net::Bad(Trouble::Offline))
    }

    /// Takes in what the account's devices share, and adds what they lack.
    pub fn share(&mut self, cx: &mut Context) {
        if !self.has_network() {
            return;
        }
        let merged = self.merge(cx);
        let (known, theirs) = merged.map_or((None, None), |(it, state)| (Some(it), Some(state)));
        if theirs.as_ref() == Some(self.machine.shared()) {
            return;
        }
        let nonce = std::array::from_fn(|_| cx.rng.u8(..));
        let state = self.machine.export();
        let Ok(sealed) = SealedState::seal(&state, &self.key(), nonce) else {
            return;
        };
        if cx
            .cloud
            .put(self.place(), known, sealed.as_bytes().to_vec())
        {
            self.machine.uploaded();
        }
    }

    /// Takes in what is there. Returns its number and what it was.
    fn merge(&mut self, cx: &mut Context) -> Option<(usize, SharedState)> {
        let (number, blob) = cx.cloud.get(self.place())?;
        let state = SealedState::open(blob, &self.key()).ok()?;
        if !cx.is_broken(Mutation::SkipsMerges) {
            self.machine.merge(cx.now_s + self.ahead_s, &state);
            cx.coverage.merges += 1;
        }
        Some((number, state))
    }

    /// The server gives back something older.
    pub fn merge_old(&mut self, cx: &mut Context) {
        let choice = cx.rng.usize(..);
        let Some((number, blob)) = cx.cloud.get_old(self.place(), choice) else {
            return;
        };
        let Ok(state) = SealedState::open(blob, &self.key()) else {
            return;
        };
        cx.log(format_args!("phone {} gets old blob {number}", self.number));
        let kind = AlertKind::OwnStateRolledBack;
        cx.observer.deed(kind, None, Scope::Phone(self.number));
        let merged = self.machine.merge(self.clock_s(cx), &state);
        cx.coverage.old_blobs += u64::from(merged.lacks_ours);
        self.drive(cx);
    }
}

fn start(me: &Identity, store: &MemoryStore) -> Machine {
    let machine = Machine::load(me.clone(), |key| store.read(key));
    machine.expect("the store holds what the machine wrote")
}
