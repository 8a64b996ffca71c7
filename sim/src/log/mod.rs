//! The log: honest with one history, or forking with two, each of which is shown to whom it likes.

mod branch;
mod publisher;
mod shared;

use candor_core::note::{Policy, ProvedBeginning};
use candor_server::sequencer::recovery::RecoveryError;
use candor_witness::gossip::Question;

use branch::Branch;
use publisher::Publisher;
use shared::Shared;

use crate::context::Context;
use crate::keys::policy;
use crate::message::{Answer, Message, Node, Tag};
use crate::mutation::Mutation;
use crate::world::Actor;

/// The log.
pub struct Log {
    branches: Vec<(Branch, Publisher)>,
    policy: Policy,
    /// Whether the store was exchanged with an old copy, and not yet back.
    is_rolled_back: bool,
}

impl Log {
    /// A new log, which does not run yet.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`]: a bug.
    pub fn new(policy: Policy) -> Result<Self, RecoveryError> {
        let branch = Branch::create(0, Shared::get())?;
        let publisher = Publisher::new(0, policy.clone());
        Ok(Self {
            branches: vec![(branch, publisher)],
            policy,
            is_rolled_back: false,
        })
    }

    /// The size that is published, of the first history.
    pub fn published_size(&self) -> u64 {
        let published = &self.branches[0].0.published;
        published.as_ref().map_or(0, |head| head.signed.size)
    }
}

impl Actor for Log {
    /// From now on there are two histories.
    fn fork(&mut self, cx: &mut Context<'_>) {
        let number = self.branches.len();
        let fork = self.branches[0].0.fork(number);
        cx.observer.branch();
        self.branches
            .push((fork, Publisher::new(number, self.policy.clone())));
        // It tries with one cosignature less than devices ask for, too.
        let fewer = policy(cx.scenario.witnesses, cx.scenario.quorum - 1);
        for (_, publisher) in &mut self.branches {
            publisher.publish_by(fewer.clone());
        }
    }

    /// Time passes: what does not run starts, what runs closes an epoch now and then, and asks the
    /// witnesses that it has to ask.
    fn tick(&mut self, cx: &mut Context<'_>) {
        for number in 0..self.branches.len() {
            let (branch, publisher) = &mut self.branches[number];
            let result = if branch.is_running() {
                // At any time, or in calm by a heartbeat.
                let is_due = if cx.is_chaos {
                    cx.rng.u32(0..3) == 0
                } else {
                    branch.is_due(cx)
                };
                if is_due { branch.close(cx) } else { Ok(()) }
            } else {
                publisher.forget();
                let started = branch.start(Shared::get(), cx);
                // An old copy that may go on is no older than what was signed.
                self.is_rolled_back &= started.is_err() || number != 0;
                started
            };
            let size = branch.head().map_or(0, |head| head.size);
            match result {
                Ok(()) => cx.log(format_args!("log {number} stands at {size}")),
                Err(error) => self.failed(number, &error, cx),
            }
            self.ask(number, cx);
        }
        if cx.rng.u32(0..8) == 0 && !self.is_rolled_back {
            self.branches[0].0.back_up();
        }
    }

    fn receive(&mut self, from: Node, message: Message, cx: &mut Context<'_>) {
        match (from, message) {
            (Node::Witness(witness), Message::Answer(tag, answer)) => {
                self.answered(witness, tag, answer, cx);
            }
            (Node::Device(_), Message::GetHead { verified_size }) => {
                let shown = self.shown_to(from, cx);
                self.show(from, shown, verified_size, cx);
            }
            (Node::Witness(_), Message::GetProof(question)) => {
                let shown = self.shown_to(from, cx);
                let beginning = self.prove(shown, &question, cx);
                cx.send(from, Message::Proof(question, beginning));
            }
            _ => {}
        }
    }

    /// All processes of the log end.
    fn crash(&mut self) {
        for (branch, _) in &mut self.branches {
            branch.crash();
        }
    }

    /// The store of the first history is replaced by its backup. The anchor is not in it, unless
    /// the log is broken on purpose.
    fn roll_back(&mut self, cx: &mut Context<'_>) {
        let branch = &mut self.branches[0].0;
        branch.crash();
        branch.exchange(cx.is_broken(Mutation::LogForgetsAnchor));
        self.is_rolled_back = true;
        cx.coverage.rollbacks += 1;
    }
}

impl Log {
    fn failed(&mut self, number: usize, error: &str, cx: &mut Context<'_>) {
        cx.log(format_args!("log {number} stops: {error}"));
        cx.coverage.crashes += 1;
        if self.is_rolled_back && number == 0 {
            cx.coverage.refused_starts += 1;
            // The operator finds the store that was lost.
            self.branches[0].0.exchange(false);
            self.is_rolled_back = false;
        }
    }

    fn ask(&mut self, number: usize, cx: &mut Context<'_>) {
        for witness in 0..cx.scenario.witnesses {
            if self.is_shown(Node::Witness(witness), number, cx) {
                let is_parted = cx.scenario.is_fork_parted && self.branches.len() > 1;
                let (branch, publisher) = &mut self.branches[number];
                let head = branch.head();
                let head = head.filter(|head| !is_parted || head.size % 2 == number as u64);
                if let (Some(head), Some(rows)) = (head, branch.rows()) {
                    publisher.ask(witness, &head, rows, cx);
                }
            }
        }
    }

    /// Whether a history is shown to a node. A log that forks keeps nodes to one history each, or
    /// tries them with the other now and then. Liars cosign everything, so they get everything.
    fn is_shown(&self, to: Node, number: usize, cx: &mut Context<'_>) -> bool {
        let number_of = match to {
            Node::Witness(witness) if cx.scenario.is_liar(witness) => return true,
            Node::Witness(witness) => witness,
            Node::Device(device) => device + 1,
            Node::Log => return false,
        };
        let is_own = number_of % self.branches.len() == number;
        let is_kept_apart = cx.scenario.is_fork_careful && matches!(to, Node::Witness(_));
        is_own || (!is_kept_apart && cx.rng.u32(0..4) == 0)
    }

    /// The history that a node is shown now.
    fn shown_to(&self, to: Node, cx: &mut Context<'_>) -> usize {
        let mut all = 0..self.branches.len();
        all.find(|number| self.is_shown(to, *number, cx))
            .unwrap_or(0)
    }

    /// What the tiles of a history prove, if they are there.
    fn prove(
        &self,
        number: usize,
        question: &Question,
        cx: &Context<'_>,
    ) -> Option<ProvedBeginning> {
        if self.branches.len() > 1 && cx.scenario.are_tiles_hidden {
            return None;
        }
        let rows = self.branches[number].0.rows()?;
        let (from, to) = (question.smaller.size, question.larger.size);
        Some(ProvedBeginning {
            root: rows.root(from).ok()?,
            proof: rows.consistency(from, to).ok()?,
        })
    }

    fn answered(&mut self, witness: usize, tag: Tag, answer: Answer, cx: &mut Context<'_>) {
        let Some((branch, publisher)) = self.branches.get_mut(tag.branch) else {
            return;
        };
        let Some(head) = branch.head().filter(|head| head.size == tag.size) else {
            return;
        };
        let is_conflict = matches!(answer, Answer::Conflict(_));
        if let Some(note) = publisher.answered(witness, &head, answer) {
            branch.published = Some(Publisher::publish(head, note, cx.clock_s()));
        } else if is_conflict
            && cx.rng.u32(0..4) > 0
            && let Some(rows) = branch.rows()
        {
            publisher.ask(witness, &head, rows, cx);
        }
    }

    /// Shows the published head of a history to a device. A device that knows more than the history
    /// has gets no proof.
    fn show(&self, to: Node, number: usize, verified_size: u64, cx: &mut Context<'_>) {
        let branch = &self.branches[number].0;
        let (Some(published), Some(rows)) = (&branch.published, branch.rows()) else {
            return;
        };
        let proof = rows.consistency(verified_size, published.signed.size);
        let head = candor_proto::head_from_wire(published.head(true).clone());
        let message = Message::Head {
            head: Box::new(head.expect("the log made it")),
            consistency: proof.unwrap_or_default(),
        };
        cx.send(to, message);
    }
}
