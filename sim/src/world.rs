//! The world: one queue of events, ordered by time and then by when they were made, one source of
//! chance, and everybody who takes part.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use fastrand::Rng;

use crate::context::{Context, START_MS};
use crate::coverage::Coverage;
use crate::device::Device;
use crate::invariants::{self, Violation};
use crate::keys::policy;
use crate::log::Log;
use crate::message::{Message, Node};
use crate::mutation::Mutation;
use crate::network::Network;
use crate::observer::{Head, Observer};
use crate::scenario::{CHAOS_MS, CLOCK_OFF_MS, Scenario};
use crate::trace::Trace;
use crate::witness::Witness;
use crate::witness::liar::Liar;

/// When it is calm, in milliseconds: long enough after the healing for every clock to have caught
/// up with what it said when it was off.
const CALM_AT_MS: u64 = CHAOS_MS + 2 * CLOCK_OFF_MS;

/// The end of a run with an honest log, in milliseconds.
const END_MS: u64 = CALM_AT_MS + 45_000;

/// When what witnesses hold is noted in a run with a log that forks, in milliseconds: when they are
/// up again, and when they had time to compare.
const LOOKED_AT_MS: [u64; 2] = [CALM_AT_MS + 18_000, CALM_AT_MS + 40_000];

/// The end of a run with a log that forks, in milliseconds: when it would have grown again.
const END_OF_FORK_MS: u64 = CALM_AT_MS + 65_000;

/// When operators look after quarantines that did not end by themselves, in milliseconds.
pub const OPERATORS_AT_MS: u64 = CALM_AT_MS + 15_000;

/// Something that happens.
#[derive(Debug)]
pub enum Event {
    /// A message arrives.
    Deliver(Node, Node, Message),
    /// A node's time comes.
    Tick(Node),
    /// A process ends, and starts again some milliseconds later.
    Crash(Node, u64),
    /// A partition begins, for some milliseconds.
    Divide(u64),
    /// A partition ends.
    Unite(usize),
    /// A clock is off by so much, in milliseconds.
    ClockJump(Node, i64),
    /// The disk of a node is replaced by an older copy.
    RollBack(Node),
    /// The log begins to show two histories.
    Fork,
    /// No faults any more.
    Heal,
    /// Somebody notes what honest witnesses hold.
    Look,
    /// The end.
    End,
}

/// A witness of either kind.
pub enum AnyWitness {
    /// One that runs the witness's code.
    Honest(Box<Witness>),
    /// One that lies.
    Liar(Box<Liar>),
}

/// Everything.
pub struct World {
    pub(crate) scenario: Scenario,
    pub(crate) log: Log,
    pub(crate) witnesses: Vec<AnyWitness>,
    pub(crate) devices: Vec<Device>,
    pub(crate) observer: Observer,
    pub(crate) published_at_healing: u64,
    /// What honest witnesses held at each [`Event::Look`].
    pub(crate) looks: Vec<Vec<Standing>>,
    pub(crate) rng: Rng,
    pub(crate) network: Network,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Trace,
    mutation: Option<Mutation>,
    now_ms: u64,
    is_chaos: bool,
    /// How far each clock is off, in milliseconds.
    clocks_ms: BTreeMap<Node, i64>,
    /// Until when a process that crashed stays down.
    down_until_ms: BTreeMap<Node, u64>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    next_event: u64,
}

impl World {
    /// The world of a seed.
    ///
    /// # Errors
    ///
    /// Why the log could not be made: a bug.
    pub fn new(seed: u64, mutation: Option<Mutation>) -> Result<Self, String> {
        let mut rng = Rng::with_seed(seed);
        let scenario = Scenario::new(&mut rng);
        let log = Log::new(policy(scenario.witnesses, scenario.quorum));
        let mut observer = Observer::default();
        observer.branch();
        let witness = |number| {
            if scenario.is_liar(number) {
                AnyWitness::Liar(Box::new(Liar::new(number)))
            } else {
                AnyWitness::Honest(Box::new(Witness::new(number)))
            }
        };
        let device = |number| Device::new(number, &scenario, mutation);
        let mut world = Self {
            log: log.map_err(|error| error.to_string())?,
            witnesses: (0..scenario.witnesses).map(witness).collect(),
            devices: (0..scenario.devices).map(device).collect(),
            scenario,
            observer,
            published_at_healing: 0,
            looks: Vec::new(),
            rng,
            network: Network::default(),
            coverage: Coverage::default(),
            trace: Trace::default(),
            mutation,
            now_ms: 0,
            is_chaos: true,
            clocks_ms: BTreeMap::new(),
            down_until_ms: BTreeMap::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next_event: 0,
        };
        world.plan();
        if world.scenario.fork_at_ms.is_none() {
            world.schedule(END_MS, Event::End);
        } else if !world.scenario.has_peers {
            world.schedule(CHAOS_MS, Event::End);
        } else {
            for at_ms in LOOKED_AT_MS {
                world.schedule(at_ms, Event::Look);
            }
            world.schedule(END_OF_FORK_MS, Event::End);
        }
        Ok(world)
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let witnesses = (0..self.witnesses.len()).map(Node::Witness);
        let devices = (0..self.devices.len()).map(Node::Device);
        std::iter::once(Node::Log)
            .chain(witnesses)
            .chain(devices)
            .collect()
    }

    pub(crate) fn schedule(&mut self, at_ms: u64, event: Event) {
        self.queue.push(Reverse((at_ms, self.next_event)));
        self.events.insert(self.next_event, event);
        self.next_event += 1;
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// The first violation.
    pub fn run(&mut self) -> Result<(), Violation> {
        while let Some(Reverse((at_ms, number))) = self.queue.pop() {
            let Some(event) = self.events.remove(&number) else {
                continue;
            };
            self.now_ms = at_ms;
            if matches!(event, Event::End) || self.is_fork_over() {
                break;
            }
            self.happen(event);
            invariants::check(&invariants::ALWAYS, self)?;
        }
        invariants::check(&invariants::AT_THE_END, self)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver(from, to, message) => {
                self.note(format_args!("{from} to {to}: {message}"));
                self.with(to, |node, cx| node.receive(from, message, cx));
            }
            Event::Tick(node) => self.tick(node),
            Event::Crash(node, down_ms) => {
                self.note(format_args!("{node} crashes"));
                self.coverage.crashes += 1;
                self.down_until_ms.insert(node, self.now_ms + down_ms);
                self.with(node, |node, _| node.crash());
            }
            Event::Divide(length_ms) => {
                let all = self.nodes();
                let side = all.into_iter().filter(|_| self.rng.bool()).collect();
                self.note(format_args!("a partition begins: {side:?}"));
                let partition = self.network.divide(side);
                self.schedule(self.now_ms + length_ms, Event::Unite(partition));
            }
            Event::Unite(partition) => {
                self.note(format_args!("partition {partition} ends"));
                self.network.unite(partition);
            }
            Event::ClockJump(node, off_ms) => {
                self.note(format_args!("the clock of {node} is off by {off_ms} ms"));
                self.coverage.clock_jumps += 1;
                self.clocks_ms.insert(node, off_ms);
            }
            Event::RollBack(node) => {
                self.note(format_args!("the disk of {node} is an older copy"));
                if let Node::Witness(number) = node {
                    self.observer.forgets(number);
                }
                self.with(node, |node, cx| node.roll_back(cx));
            }
            Event::Fork => {
                self.note(format_args!("the log forks"));
                self.with(Node::Log, |log, cx| log.fork(cx));
            }
            Event::Heal => {
                self.note(format_args!("all heals"));
                self.is_chaos = false;
                self.clocks_ms.clear();
                self.down_until_ms.clear();
                self.network.heal();
                self.published_at_healing = self.log.published_size();
            }
            Event::Look => self.looks.push(self.honest().map(Standing::of).collect()),
            Event::End => {}
        }
    }

    fn tick(&mut self, node: Node) {
        let down_until_ms = self.down_until_ms.get(&node).copied().unwrap_or(0);
        if self.now_ms >= down_until_ms {
            self.with(node, |node, cx| node.tick(cx));
        }
        let pause_ms = match node {
            Node::Log => 1_500..2_500,
            Node::Witness(_) => 2_000..4_000,
            Node::Device(_) => 6_000..12_000,
        };
        let mut next_ms = self.now_ms + self.rng.u64(pause_ms);
        if self.now_ms < CHAOS_MS && next_ms >= CHAOS_MS {
            next_ms += CALM_AT_MS - CHAOS_MS;
        }
        self.schedule(next_ms, Event::Tick(node));
    }

    fn note(&mut self, event: std::fmt::Arguments<'_>) {
        self.trace.add(self.now_ms, event);
    }

    /// Lets a node handle something, and sends what it says.
    fn with(&mut self, at: Node, handle: impl FnOnce(&mut dyn Actor, &mut Context<'_>)) {
        let mut outbox = Vec::new();
        let off_ms = self.clocks_ms.get(&at).copied().unwrap_or(0);
        let mut cx = Context {
            now_ms: self.now_ms,
            clock_ms: (START_MS + self.now_ms).saturating_add_signed(off_ms),
            is_chaos: self.is_chaos,
            rng: &mut self.rng,
            scenario: &self.scenario,
            mutation: self.mutation,
            observer: &mut self.observer,
            coverage: &mut self.coverage,
            trace: &mut self.trace,
            outbox: &mut outbox,
        };
        match at {
            Node::Log => handle(&mut self.log, &mut cx),
            Node::Witness(number) => match &mut self.witnesses[number] {
                AnyWitness::Honest(witness) => handle(&mut **witness, &mut cx),
                AnyWitness::Liar(liar) => handle(&mut **liar, &mut cx),
            },
            Node::Device(number) => handle(&mut self.devices[number], &mut cx),
        }
        for (to, message) in outbox {
            let (scenario, coverage) = (&self.scenario, &mut self.coverage);
            let link = (at, to);
            let delays =
                self.network
                    .deliveries(link, self.is_chaos, scenario, &mut self.rng, coverage);
            for delay_ms in delays {
                let event = Event::Deliver(at, to, message.clone());
                self.schedule(self.now_ms + delay_ms, event);
            }
        }
    }

    /// Whether all honest witnesses have proof of a fork, and had time to lose it.
    fn is_fork_over(&self) -> bool {
        let all_know = |look: &Vec<Standing>| look.iter().all(|standing| standing.has_alarm);
        self.looks.first().is_some_and(all_know)
    }

    /// Time since the start.
    pub(crate) const fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }

    /// The witnesses that run the witness's code.
    pub(crate) fn honest(&self) -> impl Iterator<Item = &Witness> {
        self.witnesses.iter().filter_map(|witness| match witness {
            AnyWitness::Honest(witness) => Some(&**witness),
            AnyWitness::Liar(_) => None,
        })
    }

    /// Whether an honest witness has no alarm.
    pub(crate) fn has_no_alarm(&self, number: usize) -> bool {
        matches!(&self.witnesses[number], AnyWitness::Honest(witness) if !witness.has_alarm())
    }

    /// Whether the log must go on: it is honest, and enough honest witnesses are left.
    pub(crate) fn must_live(&self) -> bool {
        let working = self
            .honest()
            .filter(|witness| !witness.is_retired())
            .count();
        !self.observer.is_forked()
            && self.scenario.fork_at_ms.is_none()
            && working >= self.scenario.quorum
    }
}

/// What an honest witness holds.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Size and root that it cosigned last.
    pub head: Head,
    /// Whether it holds that the log forked.
    pub has_alarm: bool,
}

impl Standing {
    /// That of a witness now.
    pub fn of(witness: &Witness) -> Self {
        let recorded = witness.recorded();
        Self {
            head: (recorded.size, recorded.root),
            has_alarm: witness.has_alarm(),
        }
    }
}

/// What the world does with every node.
pub trait Actor {
    /// A message arrives.
    fn receive(&mut self, from: Node, message: Message, cx: &mut Context<'_>);
    /// The node's time comes.
    fn tick(&mut self, cx: &mut Context<'_>);
    /// The process ends; what is durable stays.
    fn crash(&mut self) {}
    /// What is durable is replaced by an older copy.
    fn roll_back(&mut self, _: &mut Context<'_>) {}
    /// The node shows two histories from now on.
    fn fork(&mut self, _: &mut Context<'_>) {}
}
