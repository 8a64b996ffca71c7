//! The world: everybody, step by step.

use candor_core::account::Label;
use candor_sdk::device::Trouble;
use fastrand::Rng;

use super::cloud::Cloud;
use super::context::Context;
use super::coverage::Coverage;
use super::invariants;
use super::log::{Fate, Log};
use super::mutation::Mutation;
use super::names::{account_label, identifier, identity, record};
use super::observer::Observer;
use super::operator::Act;
use super::phone::{Net, Phone};
use super::scenario::Scenario;
use super::{START_S, STEP_S};
use crate::invariants::Violation;
use crate::trace::Trace;

/// Steps in which everything may happen.
const CHAOS_STEPS: usize = 30;

/// Steps after them, in which everybody has network: more than a day.
const CALM_STEPS: usize = 8;

/// A person.
#[derive(Debug)]
pub(crate) struct Account {
    /// Further identifiers.
    pub(crate) identifiers: Vec<Label>,
    /// How often the account key was replaced.
    pub(crate) generation: u8,
}

/// Everything.
pub struct World {
    pub(crate) cx: Context,
    pub(crate) accounts: Vec<Account>,
    pub(crate) phones: Vec<Phone>,
    /// When the operator acts.
    acts: Vec<(usize, Act)>,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let scenario = Scenario::new(&mut rng);
        let account = |number: usize| Account {
            identifiers: (0..number % 3)
                .map(|it| identifier(3 * number + it))
                .collect(),
            generation: 0,
        };
        let accounts = (0..scenario.people).map(account).collect();
        let acts = (0..scenario.acts).map(|_| {
            let act = Act::ALL[rng.usize(0..Act::ALL.len())];
            (rng.usize(6..CHAOS_STEPS), act)
        });
        let acts = acts.collect();
        let cx = Context {
            now_s: START_S,
            is_chaos: true,
            fate: Fate::Visible,
            log: Log::new(),
            cloud: Cloud::default(),
            rng,
            scenario,
            mutation,
            observer: Observer::default(),
            coverage: Coverage::default(),
            trace: Trace::default(),
        };
        let mut world = Self {
            cx,
            accounts,
            phones: Vec::new(),
            acts,
        };
        world.log_stranger();
        for account in 0..world.accounts.len() {
            let mut labels = world.accounts[account].identifiers.clone();
            labels.push(account_label(account));
            let labels = labels.into_iter().map(|label| (label, account));
            world.cx.observer.owners.extend(labels);
            let phone = world.new_phone(account);
            world.save_contacts(phone);
        }
        world
    }

    /// A new device of a person. Returns its number.
    pub(crate) fn new_phone(&mut self, account: usize) -> usize {
        let number = self.phones.len();
        let id = u8::try_from(number).expect("not so many devices");
        let person = &self.accounts[account];
        let generation = person.generation;
        let me = identity(account, generation, id, person.identifiers.clone());
        let owner = (account, record(id));
        self.cx.observer.devices.insert(vec![id], owner);
        self.phones
            .push(Phone::new(number, account, generation, me));
        number
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// The first violation.
    pub fn run(&mut self) -> Result<(), Violation> {
        for step in 0..CHAOS_STEPS + CALM_STEPS {
            self.cx.is_chaos = step < CHAOS_STEPS;
            self.step(step);
            invariants::check(self, false)?;
        }
        for _ in 0..2 {
            for number in self.in_use() {
                self.phones[number].sync(&mut self.cx);
            }
        }
        invariants::check(self, true)
    }

    fn step(&mut self, step: usize) {
        self.cx.now_s += STEP_S;
        self.cx.log.release();
        self.bind_identifiers();
        for number in self.in_use() {
            self.weather(number);
        }
        if self.cx.is_chaos {
            let due = self.acts.iter().filter(|(at, _)| *at == step);
            let due: Vec<_> = due.map(|(_, act)| *act).collect();
            for act in due {
                self.act(act);
            }
            self.live();
        }
        let mut order = self.in_use();
        self.cx.rng.shuffle(&mut order);
        for number in order {
            self.phones[number].sync(&mut self.cx);
            self.phones[number].tick(&mut self.cx);
        }
        self.forget_moot();
    }

    /// What a device's step is like.
    fn weather(&mut self, number: usize) {
        let newest = self.newest_head(number).size;
        let scenario = self.cx.scenario.clone();
        let net = match self.cx.rng.u32(0..100) {
            _ if !self.cx.is_chaos => Net::Well,
            luck if luck < scenario.offline => Net::Bad(match self.cx.rng.u32(0..8) {
                0 => Trouble::Behind,
                1 => Trouble::PolicyNotMet,
                2 => Trouble::ClockWrong,
                _ => Trouble::Offline,
            }),
            luck if luck < scenario.offline + scenario.stale => {
                Net::Stale(newest.saturating_sub(self.cx.rng.usize(1..12)))
            }
            _ => Net::Well,
        };
        let phone = &mut self.phones[number];
        phone.net = net;
        phone.was_disturbed = false;
        if self.cx.fault(scenario.clock_jumps) {
            phone.ahead_s += self.cx.rng.u64(1..10 * 86_400);
            self.cx.coverage.clock_jumps += 1;
        }
        if self.cx.fault(scenario.crashes) {
            phone.crash(None, &mut self.cx);
        }
    }

    /// Whether a device has no good network in this step.
    pub(crate) fn is_away(&self, number: usize) -> bool {
        self.phones[number].net != Net::Well
    }

    pub(crate) fn in_use(&self) -> Vec<usize> {
        let all = self.phones.iter().filter(|phone| !phone.is_retired);
        all.map(|phone| phone.number).collect()
    }

    /// Who does not watch a contact any more need not be told of it.
    fn forget_moot(&mut self) {
        let mut expected = std::mem::take(&mut self.cx.observer.expected);
        let before = expected.len();
        expected.retain(|it| !invariants::is_moot(self, it.phone, &it.subject));
        self.cx.coverage.moot += (before - expected.len()) as u64;
        self.cx.observer.expected = expected;
    }
}
