//! People who verify each other: codes read aloud, and public codes.

use candor_core::account::{Label, VerifiedValue};
use candor_core::verification::PublicCode;
use candor_sdk::device::{AlertKind, CodeEntered, Command, Compared, Outcome, Subject};

use super::invariants as must;
use super::names::account_label;
use super::observer::Scope;
use super::world::World;

impl World {
    /// Two people read codes to each other.
    pub(crate) fn compare(&mut self, number: usize, contact: &Label) {
        let Some(owner) = self.cx.observer.owners.get(contact).copied() else {
            return;
        };
        let Some(other) = self.somebody_of(owner) else {
            return;
        };
        let own = self.phones[number].account;
        let labels = self.phones[other].contacts();
        let leads_back = |label: &&Label| self.cx.observer.owners.get(*label) == Some(&own);
        let Some(back) = labels.iter().find(leads_back).cloned() else {
            return;
        };
        let sides = [(number, contact.clone()), (other, back)];
        let mut messages = Vec::new();
        for (side, label) in &sides {
            let nonce = std::array::from_fn(|_| self.cx.rng.u8(..));
            let command = Command::Compare(label.clone(), nonce);
            match self.phones[*side].run(command, &mut self.cx) {
                Some(Outcome::Compare(Ok(message))) => messages.push(message),
                _ => return,
            }
        }
        for _ in 0..2 {
            if messages.len() < 2 {
                break;
            }
            let mut replies = Vec::new();
            for (index, (side, label)) in sides.iter().enumerate() {
                let phone = &mut self.phones[*side];
                let now_s = phone.clock_s(&self.cx);
                let message = messages.get(1 - index);
                let reply =
                    message.map(|message| phone.machine.compare_receive(now_s, label, message));
                replies.extend(reply.and_then(Result::ok).flatten());
            }
            messages = replies;
        }
        let codes = sides
            .each_ref()
            .map(|(side, label)| self.phones[*side].machine.compare_code(label));
        let is_equal = codes[0].is_some() && codes[0] == codes[1];
        let keys = sides.each_ref().map(|(side, label)| {
            let others = if *side == number { other } else { number };
            let newest = self.offered(*side, label);
            let theirs = self.cx.observer.devices.clone();
            newest.iter().all(|device| {
                theirs
                    .get(&device.id)
                    .is_some_and(|(account, _)| *account == self.phones[others].account)
            })
        });
        match is_equal {
            true => self.cx.coverage.equal_codes += 1,
            false => self.cx.coverage.different_codes += 1,
        }
        if is_equal && keys.contains(&false) {
            let detail = format!("phones {number} and {other} see equal codes");
            self.cx.observer.violated(must::CODES, detail);
        }
        for (side, label) in &sides {
            let finished = self.phones[*side].change(&mut self.cx, |machine| {
                machine.compare_finish(label, is_equal)
            });
            self.cx.log(format_args!(
                "phone {side} compared {label:?}: {finished:?}"
            ));
            self.settle(*side, label);
            if finished == Compared::Verified && !is_equal {
                let detail = format!("phone {side} stored a key that was not compared");
                self.cx.observer.violated(must::CODES, detail);
            }
        }
    }

    /// A person enters the public code of a contact, or by mistake that of somebody else.
    pub(crate) fn enter_code(&mut self, number: usize, contact: &Label) {
        let Some(owner) = self.cx.observer.owners.get(contact).copied() else {
            return;
        };
        let mut whose = Some(owner);
        if self.cx.chance(15) {
            whose = self.somebody_else(owner).map(|it| self.phones[it].account);
            let kind = AlertKind::ContactCodeDiffers;
            let scope = Scope::Phone(number);
            self.cx.observer.deed(kind, Some(contact), scope);
        }
        let shown_by = whose.and_then(|account| self.somebody_of(account));
        let code = shown_by.and_then(|other| self.phones[other].machine.public_code());
        let Some(code) = code else {
            return;
        };
        // The contact may lose the key before it is in the log.
        let kind = AlertKind::ContactCodeDiffers;
        let scope = Scope::Phone(number);
        let has_key = self.has_key(owner, code);
        if !has_key {
            self.cx.observer.deed(kind, Some(contact), scope);
        }
        let command = Command::EnterCode(contact.clone(), code);
        let outcome = self.phones[number].run(command, &mut self.cx);
        self.settle(number, contact);
        match outcome {
            Some(Outcome::Code(Ok(CodeEntered::Matches))) => {
                self.cx.coverage.codes_matched += 1;
                if whose != Some(owner) {
                    let detail = format!("phone {number} took the code of somebody else");
                    self.cx.observer.violated(must::CODES, detail);
                }
            }
            Some(Outcome::Code(Ok(CodeEntered::Differs))) => self.cx.coverage.codes_differed += 1,
            Some(Outcome::Code(Ok(CodeEntered::Waits))) => self.cx.coverage.codes_waited += 1,
            _ => {}
        }
    }

    /// Who has just compared the key that the contact has now need not be told what it went
    /// through.
    fn settle(&mut self, number: usize, contact: &Label) {
        let mut contacts = self.phones[number].machine.contacts();
        if contacts.any(|(label, is_verified)| is_verified && label == contact) {
            let subject = Subject::Contact(contact.clone());
            let expected = &mut self.cx.observer.expected;
            expected.retain(|it| it.phone != number || it.subject != subject);
        }
    }

    fn has_key(&self, account: usize, code: PublicCode) -> bool {
        let newest = self
            .cx
            .log
            .newest(self.cx.log.head(0), &account_label(account));
        let Some(VerifiedValue::State(state)) = newest else {
            return false;
        };
        let key = state.state().account_key;
        key.is_some_and(|key| code.matches(&key.hash()))
    }
}
