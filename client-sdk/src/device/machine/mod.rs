//! The device's side of contact key verification as a state machine without I/O.
//!
//! It takes the time, what the store holds, commands and verified answers, and gives actions in the
//! order in which they are to be done. Commands are done one after another, with at most one
//! question open. Everything that a step changes is one [`Action::Write`], which comes before
//! whatever tells of it: so a crash never loses an alert that was shown, nor shows twice what was
//! settled, and a version is remembered as ours before it is published. What it rules out: an
//! answer that was not verified (the client does that), a clock or network of its own, and two
//! places that decide what a person is told.

mod alerts;
mod contact;
mod edit;
mod own;
mod sessions;
mod sharing;
mod stored;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use candor_core::Hash;
use candor_core::account::{Device, Label};
use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::GossipHead;
use candor_core::verification::PublicCode;
use zeroize::Zeroizing;

use super::board::Board;
use super::contact::ContactRecord;
use super::edit::own_key;
use super::judge::{Level, Logged};
use super::protocol::{Action, Answer, Command, Event, Outcome, Question};
use super::requirements::Requirements;
use super::trouble::Trouble;
use crate::shared::{ContactId, DeviceTag, SharedState};
pub use sessions::Compared;
use sessions::Session;
use stored::{Entry, OwnRecord};

/// Seconds between two checks of the own account, and of a contact.
pub const CHECK_INTERVAL_S: u64 = 86_400;

/// Seconds before a check that failed is due again.
const RETRY_S: u64 = 900;

/// Seconds without a successful check after which the person is told. Shorter absences are usual.
const UNAVAILABLE_AFTER_S: u64 = 2 * 86_400;

/// Seconds during which an unexplained version of the own account may be one that another device of
/// the person made and has not shared yet.
const UNEXPLAINED_AFTER_S: u64 = 600;

/// Tells this version of the library from others.
const THIS_VERSION: u64 = version_number(env!("CARGO_PKG_VERSION").as_bytes());

/// Most contacts that one [`Machine::tick`] checks, so that other commands need not wait long.
const CHECKS_PER_TICK: usize = 16;

/// Most contacts saved: as many as the devices of an account can share marks of.
const CONTACTS_MAX: usize = 16_384;

/// Whose device this is.
#[derive(Clone)]
pub struct Identity {
    /// The log's origin.
    pub origin: String,
    /// The label of the account.
    pub label: Label,
    /// Further labels that are bound to it: at most 64.
    pub identifiers: Vec<Label>,
    /// This device, as the account's state is to list it.
    pub device: Device,
    /// The seed of the account key; `None` if this device does not have it yet.
    pub account_key: Option<Zeroizing<[u8; 32]>>,
    /// What devices must meet before verification can be turned on.
    pub requirements: Requirements,
    /// One message in this many carries the newest head: 1 for each, 0 for none.
    pub gossip_one_in: u32,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    fn key(&self) -> Option<Ed25519SecretKey> {
        let seed = self.account_key.as_ref()?;
        Some(Ed25519SecretKey::from_seed(seed))
    }

    fn tag(&self) -> DeviceTag {
        DeviceTag::of(&self.device.id)
    }
}

/// The state machine of a device.
pub struct Machine {
    me: Identity,
    own: OwnRecord,
    shared: SharedState,
    contacts: BTreeMap<Label, ContactRecord>,
    board: Board,
    sessions: BTreeMap<Label, Session>,
    /// What was stored for the person's other devices last.
    uploaded: Option<SharedState>,
    /// What was exported last, and may be stored by now.
    exported: Option<SharedState>,
    /// When the own account was looked at last.
    looked_s: Option<u64>,
    /// When heads that wait for a proof were tried last.
    gossip_tried_s: Option<u64>,
    /// How far each contact was verified at its last check since the start.
    levels: BTreeMap<Label, Level>,
    /// Hash of what the log said of its successor with the last answer.
    successor: Option<Hash>,
    /// When something was tried last: a contact, or `None` for the own account.
    tried_s: BTreeMap<Option<Label>, u64>,
    queue: VecDeque<Command>,
    running: Option<Running>,
    dirty: BTreeSet<Entry>,
    events: Vec<Event>,
    outbox: VecDeque<Action>,
}

impl std::fmt::Debug for Machine {
    /// Counts only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("contacts", &self.contacts.len())
            .field("alerts", &self.board.open().len())
            .finish_non_exhaustive()
    }
}

/// A command that waits for an answer.
struct Running {
    command: Command,
    stage: Stage,
}

/// Which answer a command waits for.
enum Stage {
    /// The history of a contact's label, or of the own.
    History,
    /// That of the account that the label is bound to.
    Bound { primary: Label, asked: Vec<Logged> },
    /// That of the own account, which is to be changed. Counts the attempts.
    Edit { attempt: u8 },
    /// The outcome of a publication.
    Publish { version: u32, attempt: u8 },
    /// That of the own account after a publication.
    Published { version: u32 },
    /// The newest version of an identifier of the person.
    Identifier(Identifiers),
    /// Whether a head belongs to the log.
    Gossip,
    /// What a proof file holds.
    Proof,
}

/// How far the look at the person's identifiers is.
struct Identifiers {
    index: usize,
    /// Tells one set of moves from another; 0 without any.
    moved: u64,
    /// Why one of them could not be looked at.
    trouble: Option<Trouble>,
}

impl Machine {
    /// Asks for something.
    pub fn begin(&mut self, now_s: u64, command: Command) {
        self.queue.push_back(command);
        self.advance(now_s);
    }

    /// Begins what is due: with the own account, then the contacts that waited longest. Returns
    /// whether more is, so that other commands can come between.
    pub fn tick(&mut self, now_s: u64) -> bool {
        // What was unexplained is looked at again when nothing can explain it any more.
        let tried_s = self.tried_s.get(&None).copied();
        let is_in_doubt = self.own.unexplained_s.is_some_and(|since_s| {
            let then_s = since_s.saturating_add(UNEXPLAINED_AFTER_S);
            has_passed(now_s, since_s, UNEXPLAINED_AFTER_S)
                && self.looked_s.is_none_or(|looked_s| looked_s < then_s)
                && tried_s.is_none_or(|tried_s| has_passed(now_s, tried_s, UNEXPLAINED_AFTER_S))
        });
        if self.is_due(None, self.own.checked_s, now_s) || is_in_doubt {
            self.queue.push_back(Command::SelfCheck);
        }
        if self
            .gossip_tried_s
            .is_none_or(|it| has_passed(now_s, it, RETRY_S))
        {
            self.gossip_tried_s = Some(now_s);
            let waiting = self.own.gossip.iter();
            let again = waiting.map(|(_, message)| Command::Gossip(message.clone()));
            self.queue.extend(again.collect::<Vec<_>>());
        }
        let mut due: Vec<_> = self.contacts.iter().collect();
        due.retain(|(label, record)| self.is_due(Some(label), record.checked_s, now_s));
        let tried_s = |label: &Label| self.tried_s.get(&Some(label.clone())).copied();
        due.sort_by_key(|(label, record)| tried_s(label).unwrap_or(0).max(record.checked_s));
        let is_more = due.len() > CHECKS_PER_TICK;
        let due = due.into_iter().take(CHECKS_PER_TICK);
        let checks: Vec<_> = due
            .map(|(label, _)| Command::Check(label.clone()))
            .collect();
        self.queue.extend(checks);
        self.advance(now_s);
        is_more
    }

    /// What to do next; `None` if an answer is awaited or nothing is to be done.
    pub fn next_action(&mut self) -> Option<Action> {
        self.outbox.pop_front()
    }

    /// Takes the answer to the open question. One that was not asked for is ignored.
    pub fn answer(&mut self, now_s: u64, answer: Answer) {
        let Some(running) = self.running.take() else {
            return;
        };
        match (running.stage, answer) {
            (Stage::Gossip, Answer::Gossip(result)) => {
                self.on_gossip(now_s, running.command, result);
            }
            (Stage::Publish { version, attempt }, Answer::Published(result)) => {
                self.on_published(now_s, running.command, version, attempt, result);
            }
            (Stage::Proof, Answer::Proof(result)) => {
                self.on_proof(now_s, &running.command, result);
            }
            (
                stage,
                Answer::History {
                    versions,
                    successor,
                },
            ) => {
                self.successor = successor;
                self.tell_end(now_s, &running.command);
                self.on_history(now_s, running.command, stage, versions);
            }
            (stage, _) => {
                let result = Err(Trouble::Fault("answer-of-another-kind"));
                self.on_history(now_s, running.command, stage, result);
            }
        }
        self.advance(now_s);
    }

    /// Gives up the open question, as if there were no network: whoever asked went away.
    pub fn abandon(&mut self, now_s: u64) {
        let Some(stage) = self.running.as_ref().map(|running| &running.stage) else {
            return;
        };
        let answer = match stage {
            Stage::Gossip => Answer::Gossip(Err(Trouble::Offline)),
            Stage::Proof => Answer::Proof(Err(Trouble::Offline)),
            Stage::Publish { .. } => Answer::Published(Err(Trouble::OutcomeUnknown)),
            _ => Answer::History {
                versions: Err(Trouble::Offline),
                successor: None,
            },
        };
        self.queue.clear();
        self.answer(now_s, answer);
    }

    fn on_history(
        &mut self,
        now_s: u64,
        command: Command,
        stage: Stage,
        result: Result<Vec<Logged>, Trouble>,
    ) {
        match &command {
            Command::SelfCheck => self.on_own_history(now_s, stage, result),
            Command::Edit(_) => self.on_edit_history(now_s, command, stage, result),
            Command::Check(label)
            | Command::BeforeSend(label, _)
            | Command::Compare(label, _)
            | Command::EnterCode(label, _) => {
                let label = label.clone();
                self.on_contact_history(now_s, command, &label, stage, result);
            }
            Command::Gossip(_) => self.done(Outcome::Gossip(Err(Trouble::Offline))),
            Command::Proof(..) => self.done(Outcome::Proof(Err(Trouble::Offline))),
        }
    }

    /// Begins commands until one asks.
    fn advance(&mut self, now_s: u64) {
        while self.running.is_none() {
            let Some(command) = self.queue.pop_front() else {
                break;
            };
            match &command {
                Command::SelfCheck => self.begin_self_check(now_s),
                Command::Edit(_) => self.begin_edit(command, 0),
                Command::Gossip(message) if message.len() != GossipHead::BYTES => {
                    let malformed = Trouble::Fault("gossip-malformed");
                    self.done(Outcome::Gossip(Err(malformed)));
                }
                Command::Gossip(message) => {
                    let question = Question::Gossip(message.clone());
                    self.ask(command, Stage::Gossip, question);
                }
                Command::Proof(label, file) => {
                    let question = Question::Proof(file.clone());
                    match self.contacts.contains_key(label) {
                        true => self.ask(command, Stage::Proof, question),
                        false => self.done(Outcome::NotSaved),
                    }
                }
                Command::Check(label)
                | Command::BeforeSend(label, _)
                | Command::Compare(label, _)
                | Command::EnterCode(label, _) => {
                    let label = label.clone();
                    self.begin_contact(now_s, command, &label);
                }
            }
        }
        self.flush();
    }

    fn ask(&mut self, command: Command, stage: Stage, question: Question) {
        self.flush();
        self.running = Some(Running { command, stage });
        self.outbox.push_back(Action::Ask(question));
    }

    fn done(&mut self, outcome: Outcome) {
        self.flush();
        self.outbox.push_back(Action::Done(outcome));
    }

    /// First what must not be forgotten, then what tells of it.
    fn flush(&mut self) {
        let changes = self.take_changes();
        if !changes.is_empty() {
            self.outbox.push_back(Action::Write(changes));
        }
        let events = std::mem::take(&mut self.events);
        self.outbox.extend(events.into_iter().map(Action::Tell));
    }

    fn is_due(&self, what: Option<&Label>, checked_s: u64, now_s: u64) -> bool {
        let tried_s = self.tried_s.get(&what.cloned());
        has_passed(now_s, checked_s, CHECK_INTERVAL_S)
            && tried_s.is_none_or(|tried_s| has_passed(now_s, *tried_s, RETRY_S))
    }

    /// Whether verification is on for the own account.
    pub const fn is_on(&self) -> bool {
        self.own.is_on
    }

    /// The code that stands for the own account key; `None` without one.
    pub fn public_code(&self) -> Option<PublicCode> {
        let key = self.me.key()?;
        Some(PublicCode::of(&own_key(&key)))
    }

    /// Whether the person is told of contacts: as long as this device has not looked itself, what
    /// the others share counts.
    fn is_watching(&self) -> bool {
        self.own.is_on || (self.own.checked_s == 0 && self.shared.is_enrolled() == Some(true))
    }

    fn contact_id(&self, label: &Label) -> ContactId {
        ContactId::of(&self.me.origin, label)
    }
}

/// Whether so many seconds have passed. A time in the future comes from a clock that was wrong.
fn has_passed(now_s: u64, since_s: u64, wait_s: u64) -> bool {
    now_s
        .checked_sub(since_s)
        .is_none_or(|age_s| age_s >= wait_s)
}

/// FNV-1a: a version's name as a number.
const fn version_number(name: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut index = 0;
    while index < name.len() {
        hash = (hash ^ name[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    hash
}
