//! The state machine. What it is given and what it gives is in the module's documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use candor_core::Hash;
use candor_core::note::{Evidence, LogCheckpoint, LogVerifier, ProvedBeginning, SignedNote};

use super::head::{Head, contradiction_id};
use super::ledger::{Ledger, Waiting};
use super::message::{Answer, Content, Digest, Item, LogId, Request, WANTED_MAX, Wanted, What};
use super::{PeerId, Times};
use crate::decision::Recorded;

/// Most questions to logs that are open at a time.
pub const QUESTIONS_MAX: usize = 8;

/// A question to a log: the proof that its tree `larger` begins with all of some tree of the size
/// of `smaller`, and the root of that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The log.
    pub origin: String,
    /// What is to be found at the beginning.
    pub smaller: Recorded,
    /// Where.
    pub larger: Recorded,
}

/// Why something of a peer's was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody asked for it.
    Unasked,
    /// It is no checkpoint that the log signed.
    Head,
    /// It is no evidence against the log.
    Evidence,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the peer, then call [`Gossip::on_answer`].
    Ask {
        /// Whom.
        peer: PeerId,
        /// What.
        request: Request,
    },
    /// Ask the log, then call [`Gossip::on_proof`].
    Prove(Question),
    /// Keep this evidence and cosign nothing of the log any more.
    Stop {
        /// The log.
        origin: String,
        /// What convicts it.
        evidence: Evidence,
    },
    /// Raise or lower the alarm that a log is not shown to be consistent.
    Unreconciled {
        /// The log.
        origin: String,
        /// Whether it is raised.
        is_raised: bool,
    },
    /// Count what was dropped.
    Dropped {
        /// Whose it was.
        peer: PeerId,
        /// Why.
        fault: Fault,
    },
}

/// What a witness knows of its logs from itself and its peers.
#[derive(Debug)]
pub struct Gossip {
    times: Times,
    logs: BTreeMap<LogId, Ledger>,
    /// What each peer was asked for and has not given.
    wanted: BTreeMap<PeerId, BTreeSet<Wanted>>,
    /// Where the next fetch from each peer begins.
    next: BTreeMap<PeerId, LogId>,
    /// The log that was asked last.
    asked: Option<LogId>,
}

impl Gossip {
    /// Knows no logs yet.
    pub const fn new(times: Times) -> Self {
        Self {
            times,
            logs: BTreeMap::new(),
            wanted: BTreeMap::new(),
            next: BTreeMap::new(),
            asked: None,
        }
    }

    /// Compares this log, too. `has_source` if it can be asked for proofs: it may not grow here
    /// then while it fails to give one. A log that is known stays as it is.
    pub fn add_log(&mut self, verifier: LogVerifier, has_source: bool) {
        let log = LogId::of(verifier.origin());
        let ledger = || Ledger::new(verifier, has_source);
        self.logs.entry(log).or_insert_with(ledger);
    }

    /// What this evidence says raises no alarm any more: the operator has cleared it.
    pub fn dismiss(&mut self, origin: &str, contradiction: Hash) {
        if let Some(ledger) = self.logs.get_mut(&LogId::of(origin)) {
            ledger.dismiss(contradiction);
        }
    }

    /// This witness cosigned a checkpoint, durably, after checking that it follows the one before.
    pub fn cosigned(&mut self, checkpoint: &LogCheckpoint) -> Vec<Action> {
        let log = LogId::of(checkpoint.checkpoint().origin());
        let head = Head::new(checkpoint);
        let Some(ledger) = self.open(log).filter(|_| head.size() > 0) else {
            return Vec::new();
        };
        let evidence = ledger.add_own(head);
        self.stop(log, evidence)
    }

    /// A checkpoint that the log signed was submitted, whatever becomes of it.
    pub fn submitted(&mut self, checkpoint: &LogCheckpoint) -> Vec<Action> {
        let log = LogId::of(checkpoint.checkpoint().origin());
        let head = Head::new(checkpoint);
        let evidence = self.open(log).and_then(|ledger| ledger.compare(&head));
        self.stop(log, evidence)
    }

    /// This witness holds evidence, which it found itself or remembers. Peers will be told.
    pub fn forked(&mut self, origin: &str, evidence: Evidence) {
        if let Some(ledger) = self.open(LogId::of(origin)) {
            ledger.set_fork(contradiction_id(&evidence), evidence);
        }
    }

    /// The question that begins an exchange with a peer.
    pub fn begin(&mut self, peer: PeerId) -> Request {
        self.wanted.remove(&peer);
        Request::Digests
    }

    /// The answer to a peer's question.
    pub fn answer(&self, request: &Request) -> Answer {
        match request {
            Request::Digests => Answer::Digests(self.logs.iter().filter_map(digest).collect()),
            Request::Fetch(wanted) => Answer::of_items(wanted.iter().filter_map(|wanted| {
                let ledger = self.logs.get(&wanted.log)?;
                let content = match wanted.what {
                    What::Head => Content::Head(ledger.newest()?.note().to_bytes()),
                    What::Evidence => Content::Evidence(ledger.fork()?.1.to_bytes()),
                };
                let log = wanted.log;
                Some(Item { log, content })
            })),
        }
    }

    /// Takes a peer's answer.
    pub fn on_answer(&mut self, now: Duration, peer: PeerId, answer: Answer) -> Vec<Action> {
        match answer {
            Answer::Digests(digests) => self.on_digests(peer, &digests),
            Answer::Items(items) => {
                let mut actions = Vec::new();
                for item in items {
                    actions.extend(self.on_item(now, peer, &item));
                }
                actions
            }
        }
    }

    /// Takes a log's answer to [`Action::Prove`]; `None` if there is none.
    pub fn on_proof(
        &mut self,
        question: &Question,
        beginning: Option<ProvedBeginning>,
    ) -> Vec<Action> {
        let log = LogId::of(&question.origin);
        let Some(ledger) = self.logs.get_mut(&log) else {
            return Vec::new();
        };
        let evidence = ledger.answered((question.smaller, question.larger), beginning);
        self.stop(log, evidence)
    }

    /// Asks logs for proofs that are due, and raises and lowers alarms. To be called every second
    /// or so.
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        for ledger in self.logs.values_mut() {
            ledger.expire(now, &self.times);
            let is_raised = ledger.is_overdue(now, &self.times);
            // One that is convicted has its own alarm.
            if ledger.is_unreconciled != is_raised && ledger.fork().is_none() {
                ledger.is_unreconciled = is_raised;
                let origin = ledger.verifier().origin().to_owned();
                actions.push(Action::Unreconciled { origin, is_raised });
            }
        }
        let open = self.logs.values().filter(|log| log.is_asking()).count();
        let mut room = QUESTIONS_MAX.saturating_sub(open);
        // Round and round, so that many logs that cannot prove do not hold up the others.
        let after = self.asked.map_or(Bound::Unbounded, Bound::Excluded);
        let logs: Vec<LogId> = self
            .logs
            .range((after, Bound::Unbounded))
            .chain(self.logs.iter())
            .take(self.logs.len())
            .map(|(log, _)| *log)
            .collect();
        for log in logs {
            if room == 0 {
                break;
            }
            let Some(ledger) = self.logs.get_mut(&log) else {
                continue;
            };
            if let Some((smaller, larger)) = ledger.question(now, &self.times) {
                let origin = ledger.verifier().origin().to_owned();
                actions.push(Action::Prove(Question {
                    origin,
                    smaller,
                    larger,
                }));
                self.asked = Some(log);
                room -= 1;
            }
        }
        actions
    }

    /// Whether a log may be cosigned at `next`, beyond what it was: one that was asked for a proof
    /// and does not give it may not, nor may one that is convicted.
    pub fn may_grow(&self, now: Duration, origin: &str, next: &Recorded) -> bool {
        let ledger = self.logs.get(&LogId::of(origin));
        ledger.is_none_or(|ledger| ledger.may_grow(now, &self.times, next))
    }

    /// The heads of peers that wait, for people.
    pub fn waiting(&self, now: Duration, origin: &str) -> Vec<Waiting> {
        let ledger = self.logs.get(&LogId::of(origin));
        ledger.map_or_else(Vec::new, |ledger| ledger.waiting(now, &self.times))
    }

    /// What is known of a log that was not stopped.
    fn open(&mut self, log: LogId) -> Option<&mut Ledger> {
        let ledger = self.logs.get_mut(&log);
        ledger.filter(|ledger| ledger.fork().is_none())
    }

    fn stop(&mut self, log: LogId, evidence: Option<Evidence>) -> Vec<Action> {
        let (Some(evidence), Some(ledger)) = (evidence, self.open(log)) else {
            return Vec::new();
        };
        ledger.set_fork(contradiction_id(&evidence), evidence.clone());
        let origin = ledger.verifier().origin().to_owned();
        vec![Action::Stop { origin, evidence }]
    }

    fn on_digests(&mut self, peer: PeerId, digests: &[Digest]) -> Vec<Action> {
        let mut wanted = BTreeSet::new();
        for digest in digests {
            let log = digest.log;
            let Some(ledger) = self.open(log) else {
                continue;
            };
            if let Some(what) = missing(ledger, peer, digest) {
                wanted.insert(Wanted { log, what });
            }
        }
        let wanted = self.turn_of(peer, wanted);
        if wanted.is_empty() {
            return Vec::new();
        }
        self.wanted.insert(peer, wanted.iter().copied().collect());
        let request = Request::Fetch(wanted);
        vec![Action::Ask { peer, request }]
    }

    /// As much as one fetch may ask for: evidence first, then heads, from where the last fetch
    /// ended.
    fn turn_of(&mut self, peer: PeerId, wanted: BTreeSet<Wanted>) -> Vec<Wanted> {
        let next = self.next.get(&peer).copied();
        let mut wanted: Vec<Wanted> = wanted.into_iter().collect();
        wanted.sort_by_key(|wanted| {
            let is_later = next.is_some_and(|next| wanted.log < next);
            (wanted.what == What::Head, is_later, wanted.log)
        });
        if let Some(first) = wanted.get(WANTED_MAX) {
            self.next.insert(peer, first.log);
        }
        wanted.truncate(WANTED_MAX);
        wanted
    }

    fn on_item(&mut self, now: Duration, peer: PeerId, item: &Item) -> Vec<Action> {
        let log = item.log;
        let what = item.content.what();
        let wanted = self.wanted.get_mut(&peer);
        let is_wanted = wanted.is_some_and(|wanted| wanted.remove(&Wanted { log, what }));
        let dropped = |fault| vec![Action::Dropped { peer, fault }];
        if !is_wanted {
            return dropped(Fault::Unasked);
        }
        let Some(ledger) = self.open(log) else {
            return Vec::new();
        };
        let evidence = match &item.content {
            Content::Evidence(bytes) => match Evidence::receive(bytes, ledger.verifier()) {
                Ok(evidence) => {
                    let is_known = ledger.is_dismissed(&contradiction_id(&evidence));
                    (!is_known).then_some(evidence)
                }
                Err(_) => return dropped(Fault::Evidence),
            },
            Content::Head(bytes) => {
                let note = SignedNote::parse(bytes).ok();
                let checkpoint = note.and_then(|note| ledger.verifier().verify(&note).ok());
                match checkpoint.map(|checkpoint| Head::new(&checkpoint)) {
                    Some(head) if head.size() > 0 => on_head(ledger, now, peer, head),
                    _ => return dropped(Fault::Head),
                }
            }
        };
        self.stop(log, evidence)
    }
}

/// The contradiction of a peer's head with what is held; without one it agrees, or waits.
fn on_head(ledger: &mut Ledger, now: Duration, peer: PeerId, head: Head) -> Option<Evidence> {
    let evidence = ledger.compare(&head);
    if ledger.is_consistent(&head.recorded()) {
        ledger.agree(peer);
    } else if !ledger.has_own_at(head.size()) {
        ledger.wait(now, peer, head);
    }
    evidence
}

/// What to ask for after a digest; what agrees is noted.
fn missing(ledger: &mut Ledger, peer: PeerId, digest: &Digest) -> Option<What> {
    if digest.fork.is_some_and(|id| !ledger.is_dismissed(&id)) {
        return Some(What::Evidence);
    }
    // Nothing can contradict the empty tree, nor what is not there.
    let Digest { size, root, .. } = *digest;
    if size == 0 || ledger.newest().is_none() {
        return None;
    }
    if ledger.is_consistent(&Recorded { size, root }) {
        ledger.agree(peer);
        return None;
    }
    let is_of_use = ledger.has_own_at(size) || !ledger.has_pending_of(peer);
    is_of_use.then_some(What::Head)
}

fn digest((log, ledger): (&LogId, &Ledger)) -> Option<Digest> {
    let fork = ledger.fork().map(|(id, _)| *id);
    let newest = ledger.newest().map(Head::recorded);
    if newest.is_none() && fork.is_none() {
        return None;
    }
    let Recorded { size, root } = newest.unwrap_or(Recorded::NOTHING);
    Some(Digest {
        log: *log,
        size,
        root,
        fork,
    })
}
