//! What a witness and its peers tell each other. Who drives the state machine is simulated; what it
//! decides is the witness's own code. That a peer is who it says is taken for granted.

use std::collections::BTreeMap;
use std::time::Duration;

use candor_core::note::{Checkpoint, Evidence, LogVerifier, ProvedBeginning, SignedNote};
use candor_witness::decision::Recorded;
use candor_witness::gossip::{
    Action, Answer, Content, Gossip, PeerId, Question, Request, Times, What,
};
use candor_witness::store::{Change, Entry};
use candor_witness::witness::AddError;

use super::disk::{Crashed, Platter, Writing};
use super::{Failure, Witness};
use crate::context::Context;
use crate::keys::ORIGIN;
use crate::message::{Message, Node};
use crate::mutation::Mutation;

/// As long as things take elsewhere, in a world in which faults last a minute.
const TIMES: Times = Times {
    interval: Duration::from_secs(4),
    grace: Duration::from_secs(1),
    retry: Duration::from_secs(4),
    patience: Duration::from_secs(10),
};

/// How long a peer may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// What a running witness knows of peers.
pub struct Peers {
    pub machine: Gossip,
    exchanges: BTreeMap<PeerId, Exchange>,
    /// What is to be done since before the start.
    left_over: Vec<Action>,
}

/// An exchange with a peer, the last one.
struct Exchange {
    began: Duration,
    /// The number of the question, while it is open.
    question: Option<u64>,
}

impl Peers {
    /// At a start: as `remind_gossip` has it.
    pub fn remind(
        platter: &Platter,
        entry: &Entry,
        verifier: &LogVerifier,
        has_source: bool,
    ) -> Self {
        let mut machine = Gossip::new(TIMES);
        machine.add_log(verifier.clone(), has_source);
        let mut left_over = Vec::new();
        for bytes in &platter.evidence {
            let Ok(evidence) = Evidence::receive(bytes, verifier) else {
                continue;
            };
            if entry.fork.is_none() {
                left_over.push(Action::Stop {
                    origin: ORIGIN.to_owned(),
                    evidence: evidence.clone(),
                });
            }
            machine.forked(ORIGIN, evidence);
        }
        let state = entry.state.as_ref();
        if let Some(checkpoint) = state.and_then(|state| verifier.verify(state.log_note()).ok()) {
            machine.cosigned(&checkpoint);
        }
        Self {
            machine,
            exchanges: BTreeMap::new(),
            left_over,
        }
    }

    /// Whether this is the answer that is awaited from a peer; it is no more.
    fn is_awaited(&mut self, peer: PeerId, number: u64) -> bool {
        let exchange = self.exchanges.get_mut(&peer);
        exchange.is_some_and(|exchange| exchange.question.take_if(|own| *own == number).is_some())
    }
}

/// Time since the start of the world: peers and logs are waited for by a clock that does not jump.
const fn now(cx: &Context<'_>) -> Duration {
    Duration::from_millis(cx.now_ms)
}

impl Witness {
    /// Whether the log may grow here to `next`, as peers have it.
    pub fn may_grow(&self, now: Duration, next: &Recorded) -> bool {
        let process = self.process.as_ref();
        process.is_none_or(|process| process.peers.machine.may_grow(now, ORIGIN, next))
    }

    /// Whether peers have a head of the log that it has not shown to be consistent for too long.
    pub fn is_unreconciled(&self, now: Duration) -> bool {
        self.process.as_ref().is_some_and(|process| {
            let mut waiting = process.peers.machine.waiting(now, ORIGIN).into_iter();
            waiting.any(|waiting| waiting.is_overdue)
        })
    }

    /// Asks peers and the log for what is due.
    pub(super) fn gossip(&mut self, cx: &mut Context<'_>) -> Result<(), Crashed> {
        let number = self.number;
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let peers = &mut process.peers;
        let mut actions = std::mem::take(&mut peers.left_over);
        actions.extend(peers.machine.tick(now(cx)));
        let is_asking = cx.scenario.has_peers && !cx.is_broken(Mutation::GossipIsSilent);
        let witnesses = if is_asking { cx.scenario.witnesses } else { 0 };
        for peer in (0..witnesses).filter(|peer| *peer != number) {
            let peer = PeerId(peer);
            let may_begin = peers.exchanges.get(&peer).is_none_or(|last| {
                let is_waiting = last.question.is_some();
                let pause = if is_waiting {
                    ANSWER_TIMEOUT
                } else {
                    TIMES.interval
                };
                now(cx).saturating_sub(last.began) >= pause
            });
            if may_begin {
                let request = peers.machine.begin(peer);
                actions.push(Action::Ask { peer, request });
            }
        }
        self.carry_out(actions, cx)
    }

    /// Answers a peer.
    pub(super) fn answer(&self, from: Node, number: u64, body: &[u8], cx: &mut Context<'_>) {
        let (Some(process), Ok(request)) = (&self.process, Request::decode(body)) else {
            return;
        };
        let answer = process.peers.machine.answer(&request);
        cx.send(from, Message::Told(number, answer.encode()));
    }

    /// Takes the answer of a peer, if it is awaited.
    pub(super) fn told(
        &mut self,
        from: Node,
        number: u64,
        body: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), Crashed> {
        let (Some(process), Node::Witness(peer)) = (&mut self.process, from) else {
            return Ok(());
        };
        let (peers, peer) = (&mut process.peers, PeerId(peer));
        if !peers.is_awaited(peer, number) {
            return Ok(());
        }
        let Ok(mut answer) = Answer::decode(body) else {
            cx.coverage.gossip_lies += 1;
            return Ok(());
        };
        cx.coverage.exchanges += 1;
        let unproved = unproved_head(&answer).filter(|_| cx.is_broken(Mutation::GossipBelieves));
        if cx.is_broken(Mutation::GossipDropsEvidence)
            && let Answer::Items(items) = &mut answer
        {
            items.retain(|item| item.content.what() != What::Evidence);
        }
        let actions = peers.machine.on_answer(now(cx), peer, answer);
        if let Some(checkpoint) = unproved {
            self.believe(&checkpoint, cx)
                .or_else(Failure::unless_crashed)?;
        }
        self.carry_out(actions, cx)
    }

    /// Takes the log's answer to a question.
    pub(super) fn proved(
        &mut self,
        question: &Question,
        beginning: Option<ProvedBeginning>,
        cx: &mut Context<'_>,
    ) -> Result<(), Crashed> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let machine = &mut process.peers.machine;
        let mut actions = machine.on_proof(question, beginning);
        actions.extend(machine.tick(now(cx)));
        self.carry_out(actions, cx)
    }

    fn carry_out(&mut self, actions: Vec<Action>, cx: &mut Context<'_>) -> Result<(), Crashed> {
        for action in actions {
            match action {
                Action::Ask { peer, request } => self.ask(peer, &request, cx),
                Action::Prove(question) => cx.send(Node::Log, Message::GetProof(question)),
                Action::Stop { evidence, .. } => {
                    cx.coverage.gossip_evidence += 1;
                    self.convict(&evidence, cx)
                        .or_else(Failure::unless_crashed)?;
                }
                Action::Unreconciled { is_raised, .. } => {
                    cx.coverage.unreconciled += u64::from(is_raised);
                    let number = self.number;
                    cx.log(format_args!("witness {number} unreconciled: {is_raised}"));
                }
                Action::Dropped { .. } => cx.coverage.gossip_lies += 1,
            }
        }
        Ok(())
    }

    fn ask(&mut self, peer: PeerId, request: &Request, cx: &mut Context<'_>) {
        let Some(process) = &mut self.process else {
            return;
        };
        let number = cx.rng.u64(..);
        let exchange = Exchange {
            began: now(cx),
            question: Some(number),
        };
        process.peers.exchanges.insert(peer, exchange);
        cx.send(
            Node::Witness(peer.0),
            Message::Ask(number, request.encode()),
        );
    }

    /// Stops a log that gossip convicts by what it signed for this witness.
    pub(super) fn stop_convicted(
        &mut self,
        actions: Vec<Action>,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        for action in actions {
            if let Action::Stop { evidence, .. } = action {
                cx.coverage.gossip_evidence += 1;
                self.convict(&evidence, cx)?;
                return Err(Failure::Refused(AddError::Forked));
            }
        }
        Ok(())
    }

    /// Keeps evidence, and then stops the log.
    pub(super) fn convict(
        &mut self,
        evidence: &Evidence,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let number = self.number;
        cx.log(format_args!("witness {number} has proof of a fork"));
        cx.coverage.two_size_evidence += u64::from(evidence.beginning().is_some());
        let (earlier, later) = evidence.checkpoints();
        let [one, other] = [earlier, later].map(|each| (each.size(), *each.root()));
        cx.observer
            .accused(&format!("witness {number}"), one, other);
        // A witness that crashes before it wrote the alarm was told nothing for good.
        if cx.is_broken(Mutation::DropsEvidence) {
            cx.observer.met(number);
            return Ok(());
        }
        let platter = &mut self.platter;
        Writing { platter, cx }.keep(&evidence.to_bytes())?;
        let reason = "two signed checkpoints".to_owned();
        self.apply(&Change::Fork { reason }, cx)?;
        cx.observer.met(number);
        Ok(())
    }

    /// Broken on purpose: takes a head that nobody verified for the log's word.
    pub(super) fn believe(
        &mut self,
        checkpoint: &Checkpoint,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let recorded = self.recorded();
        let [one, other] = [
            (recorded.size, recorded.root),
            (checkpoint.size(), *checkpoint.root()),
        ];
        if one.0 != other.0 || one.1 == other.1 {
            return Ok(());
        }
        cx.observer
            .accused(&format!("witness {}", self.number), one, other);
        let reason = "two checkpoints".to_owned();
        self.apply(&Change::Fork { reason }, cx)
    }
}

/// The first head among what a peer gave.
fn unproved_head(answer: &Answer) -> Option<Checkpoint> {
    let Answer::Items(items) = answer else {
        return None;
    };
    let heads = items.iter().filter_map(|item| match &item.content {
        Content::Head(bytes) => SignedNote::parse(bytes).ok(),
        Content::Evidence(_) => None,
    });
    heads
        .filter_map(|note| Checkpoint::parse(note.text()).ok())
        .next()
}
