//! What people do.

use candor_core::account::{Device, Label, VerifiedValue};
use candor_sdk::device::{
    AlertKind, Clearance, Command, Edit, EditFailure, Edited, Level, OfferedDevice, Outcome,
    Subject,
};

use super::invariants as must;
use super::log::Fate;
use super::mutation::Mutation;
use super::names::{STRANGERS, account_label, facts, record};
use super::observer::{Expectation, Scope};
use super::world::World;

/// Most devices in a world.
const PHONES_MAX: usize = 14;

impl World {
    /// Everybody does something, or nothing.
    pub(crate) fn live(&mut self) {
        for number in self.in_use() {
            // Somebody may have been lost or removed meanwhile.
            if self.phones[number].is_retired {
                continue;
            }
            if self.phones[number].has_to_reset {
                self.reset(number);
            } else if self.cx.chance(self.cx.scenario.activity) {
                self.change_account(number);
            }
            if self.cx.chance(self.cx.scenario.acknowledges) {
                self.acknowledge(number);
            }
            let contacts: Vec<_> = self.phones[number].contacts();
            if contacts.is_empty() || self.phones[number].is_retired {
                continue;
            }
            let contact = contacts[self.cx.rng.usize(0..contacts.len())].clone();
            if self.cx.chance(self.cx.scenario.activity) {
                match self.cx.rng.u32(0..8) {
                    0 => self.compare(number, &contact),
                    1 => self.enter_code(number, &contact),
                    _ => self.send(number, &contact),
                }
            }
        }
    }

    /// A device in use of a person that its other devices know.
    pub(crate) fn somebody_of(&mut self, account: usize) -> Option<usize> {
        let mut all = self.in_use();
        all.retain(|number| self.phones[*number].account == account);
        self.cx.rng.choice(all)
    }

    /// A device of anybody else.
    pub(crate) fn somebody_else(&mut self, account: usize) -> Option<usize> {
        let mut all = self.in_use();
        all.retain(|number| self.phones[*number].account != account);
        self.cx.rng.choice(all)
    }

    /// A new device knows some of the others, under one of their labels.
    pub(crate) fn save_contacts(&mut self, number: usize) {
        let own = self.phones[number].account;
        for account in (0..self.accounts.len()).filter(|it| *it != own) {
            if self.cx.chance(70) {
                let mut labels = self.accounts[account].identifiers.clone();
                labels.push(account_label(account));
                let label = labels.swap_remove(self.cx.rng.usize(0..labels.len()));
                self.phones[number].change(&mut self.cx, |machine| machine.save_contact(&label));
            }
        }
    }

    fn change_account(&mut self, number: usize) {
        let account = self.phones[number].account;
        if self.cx.observer.spoiled.contains(&account) {
            return;
        }
        if self.cx.chance(20) {
            self.cx.fate = Fate::Late;
        }
        match self.cx.rng.u32(0..12) {
            0..6 => drop(self.edit(number, Edit::TurnOn(facts()))),
            6 => drop(self.edit(number, Edit::Publish)),
            7 => self.turn_off(number),
            8 | 9 => self.add_phone(number),
            10 => self.remove_phone(number),
            _ => self.lose_everything(number),
        }
        self.cx.fate = Fate::Visible;
    }

    fn edit(&mut self, number: usize, edit: Edit) -> Option<Result<Edited, EditFailure>> {
        // Applications take in what is shared before they change anything.
        self.phones[number].sync(&mut self.cx);
        let outcome = self.phones[number].run(Command::Edit(edit), &mut self.cx);
        let Some(Outcome::Edited(edited)) = outcome else {
            return None;
        };
        match &edited {
            Ok(_) => self.cx.coverage.edits += 1,
            Err(_) => self.cx.coverage.edits_failed += 1,
        }
        Some(edited)
    }

    /// A change that certainly makes a version. Returns the device that made it, if the server
    /// accepted it.
    pub(crate) fn publish_something(&mut self, account: usize) -> Option<usize> {
        let number = self.somebody_of(account)?;
        let label = account_label(account);
        let is_on = match self.cx.log.newest(self.cx.log.head(0), &label) {
            Some(VerifiedValue::State(state)) => state.state().enrolled,
            _ => false,
        };
        if is_on {
            return None;
        }
        let edited = self.edit(number, Edit::TurnOn(facts()))?;
        matches!(edited, Ok(Edited::Accepted(_))).then_some(number)
    }

    fn turn_off(&mut self, number: usize) {
        let account = self.phones[number].account;
        self.justify(account, AlertKind::ContactTurnedOff);
        self.edit(number, Edit::TurnOff);
    }

    /// An honest act that contacts are told of.
    fn justify(&mut self, account: usize, kind: AlertKind) {
        let mut labels = self.accounts[account].identifiers.clone();
        labels.push(account_label(account));
        for label in labels {
            self.cx.observer.deed(kind, Some(&label), Scope::All);
        }
    }

    fn add_phone(&mut self, number: usize) {
        let phone = &self.phones[number];
        let is_joined = phone.is_joined();
        if self.phones.len() >= PHONES_MAX || !is_joined {
            return;
        }
        let account = phone.account;
        let added = self.new_phone(account);
        let device = self.phones[added].me.device.clone();
        match self.edit(number, Edit::AddDevice(device)) {
            Some(Ok(_)) => {
                self.cx.coverage.added += 1;
                self.save_contacts(added);
                self.phones[added].sync(&mut self.cx);
            }
            _ => self.phones[added].is_retired = true,
        }
    }

    fn remove_phone(&mut self, number: usize) {
        let account = self.phones[number].account;
        let other = self.somebody_of(account).filter(|other| *other != number);
        let Some(other) = other else {
            return;
        };
        let id = self.phones[other].me.device.id.clone();
        if let Some(Ok(_)) = self.edit(number, Edit::RemoveDevice(id)) {
            self.phones[other].is_retired = true;
            self.cx.coverage.removed += 1;
        }
    }

    /// A person loses all devices and with them the key, and begins with a new one.
    fn lose_everything(&mut self, number: usize) {
        let account = self.phones[number].account;
        let has_key = match self
            .cx
            .log
            .newest(self.cx.log.head(0), &account_label(account))
        {
            Some(VerifiedValue::State(state)) => state.state().account_key.is_some(),
            _ => false,
        };
        if self.phones.len() >= PHONES_MAX || !has_key || self.cx.chance(50) {
            return;
        }
        for other in self.in_use() {
            self.phones[other].is_retired |= self.phones[other].account == account;
        }
        self.accounts[account].generation += 1;
        let new = self.new_phone(account);
        self.phones[new].has_to_reset = true;
        self.save_contacts(new);
        self.justify(account, AlertKind::ContactReset);
        // Who verified the old key, and was not there to see the reset.
        self.justify(account, AlertKind::ContactCodeChanged);
        self.reset(new);
    }

    fn reset(&mut self, number: usize) {
        let edited = self.edit(number, Edit::Reset);
        if let Some(Ok(_)) = edited {
            self.phones[number].has_to_reset = false;
            self.cx.coverage.resets += 1;
        }
    }

    fn acknowledge(&mut self, number: usize) {
        let alerts = self.phones[number].machine.alerts();
        let Some(alert) = self.cx.rng.choice(alerts) else {
            return;
        };
        self.cx.coverage.acknowledged += 1;
        let phone = &mut self.phones[number];
        phone.screen.acknowledge(&alert.subject, alert.kind);
        if let (Subject::Contact(label), AlertKind::ContactUnrecognisedDevice) =
            (&alert.subject, alert.kind)
            && let Some(ghost) = phone.ghosts.get(label)
        {
            phone.accepted.insert((label.clone(), ghost.clone()));
        }
        if alert.kind == AlertKind::OwnUnexpectedVersion {
            // The person acted on it at one device: the others need not tell.
            let account = phone.account;
            let (phones, expected) = (&self.phones, &mut self.cx.observer.expected);
            expected.retain(|it| {
                let is_known = it
                    .cause
                    .is_some_and(|cause| u64::from(cause) <= alert.cause);
                phones[it.phone].account != account || it.subject != Subject::Own || !is_known
            });
        }
        let phone = &mut self.phones[number];
        phone.change(&mut self.cx, |machine| {
            machine.acknowledge(&alert.subject, alert.kind);
        });
    }

    /// What a messenger's own servers offer to encrypt to: what the log holds.
    pub(crate) fn offered(&self, number: usize, contact: &Label) -> Vec<OfferedDevice> {
        let head = self.newest_head(number);
        let value = match self.cx.log.newest(head, contact) {
            Some(VerifiedValue::Binding(binding)) => self.cx.log.newest(head, binding.primary()),
            value => value,
        };
        let Some(VerifiedValue::State(state)) = value else {
            return Vec::new();
        };
        let devices = state.state().devices.iter();
        devices
            .map(|device| OfferedDevice {
                id: device.id.clone(),
                keys: device.keys.clone(),
            })
            .collect()
    }

    fn send(&mut self, number: usize, contact: &Label) {
        let mut offered = self.offered(number, contact);
        let has_ghost = self.cx.scenario.has_ghosts && self.cx.chance(20);
        if has_ghost {
            // One of a few strangers.
            let ghost = record(STRANGERS + 2 + self.cx.rng.u8(0..4));
            let place = (contact.clone(), ghost.id.clone());
            self.phones[number].ghosts.insert(place.0, place.1);
            offered.push(OfferedDevice {
                id: ghost.id,
                keys: ghost.keys,
            });
            self.cx.coverage.ghosts += 1;
            let kind = AlertKind::ContactUnrecognisedDevice;
            let scope = Scope::Phone(number);
            self.cx.observer.deed(kind, Some(contact), scope);
        }
        let named = match self.cx.is_broken(Mutation::OffersNothing) {
            true => Vec::new(),
            false => offered.clone(),
        };
        let command = Command::BeforeSend(contact.clone(), named);
        let outcome = self.phones[number].run(command, &mut self.cx);
        self.cx
            .log(format_args!("phone {number} to {contact:?}: {outcome:?}"));
        let Some(Outcome::Clearance(clearance)) = outcome else {
            return;
        };
        match clearance {
            Clearance::Unknown(_) => {}
            Clearance::No { .. } => self.cx.coverage.held += 1,
            Clearance::Yes {
                level: Level::Automatic | Level::Verified,
                devices,
                unlisted,
            } => {
                self.cx.coverage.cleared += 1;
                let accepted = &self.phones[number].accepted;
                let mut strangers = offered.iter().chain(&unlisted);
                let is_accepted = |it: &OfferedDevice| {
                    it.id[0] < STRANGERS + 2 || accepted.contains(&(contact.clone(), it.id.clone()))
                };
                if !strangers.all(is_accepted) {
                    self.cleared_falsely(number, contact);
                }
                self.check_clearance(number, contact, &devices);
            }
            Clearance::Yes { .. } => self.cx.coverage.cleared_logged += 1,
        }
        self.pass_head(number, contact);
    }

    fn check_clearance(&mut self, number: usize, contact: &Label, devices: &[Device]) {
        let phone = &self.phones[number];
        let observer = &self.cx.observer;
        let are_owners = devices.iter().all(|it| observer.is_owners(contact, it));
        let has_acted = phone
            .screen
            .has_acted_on(&Subject::Contact(contact.clone()));
        if has_acted || are_owners {
            return;
        }
        // The whole key was replaced before this device met the contact, and nobody compared it.
        let since_s = observer.substituted.get(contact).copied();
        let look = phone.first_looks.get(contact);
        let is_first_use = look.is_some_and(|look| {
            !look.had_mark && since_s.is_some_and(|since_s| since_s <= look.at_s)
        });
        match is_first_use {
            true => self.cx.coverage.first_use += 1,
            false => self.cleared_falsely(number, contact),
        }
    }

    fn cleared_falsely(&mut self, number: usize, contact: &Label) {
        let detail = format!("phone {number} may encrypt to strangers as {contact:?}");
        self.cx.observer.violated(must::NO_FALSE_CLEARANCE, detail);
    }

    /// The message carries the sender's head to a device of the contact.
    fn pass_head(&mut self, number: usize, contact: &Label) {
        let owner = self.cx.observer.owners.get(contact).copied();
        let receiver = owner.and_then(|owner| self.somebody_of(owner));
        let (Some(head), Some(receiver)) = (self.phones[number].head(), receiver) else {
            return;
        };
        let own = self.newest_head(receiver);
        let is_fork = self.cx.log.contradict(own, head) && !self.is_away(receiver);
        self.cx.coverage.gossip += 1;
        self.cx.coverage.forks += u64::from(is_fork);
        let has_forked = |world: &Self| {
            let screen = &world.phones[receiver].screen;
            screen.knows(&Subject::Log, AlertKind::LogFork)
        };
        if is_fork && !self.cx.scenario.is_fork_careful && !has_forked(self) {
            self.cx.observer.expected.push(Expectation {
                phone: receiver,
                subject: Subject::Log,
                kinds: &[AlertKind::LogFork],
                cause: None,
                since_s: self.cx.now_s,
            });
        }
        if !self.cx.is_broken(Mutation::IgnoresGossip) {
            let outcome = self.phones[receiver].run(Command::Gossip(head.encode()), &mut self.cx);
            if outcome.is_none() {
                // Its process ended, and the message with it.
                let expected = &mut self.cx.observer.expected;
                expected.retain(|it| it.phone != receiver || it.subject != Subject::Log);
            }
        }
    }
}
