//! A witness that lies: it cosigns whatever it gets, at any time, claims any size, and sends forged
//! heads in the log's name to others, also as gossip.

use std::collections::VecDeque;

use candor_core::Hash;
use candor_core::note::{AddCheckpoint, Checkpoint, NoteSigner as _, SignedNote, SoftwareSigner};

use super::slander;
use crate::context::Context;
use crate::keys::{ORIGIN, forger, witness_signer};
use crate::message::{Answer, Message, Node, Tag};
use crate::world::Actor;

/// Most heads that a liar keeps to tell others about.
const HEADS_MAX: usize = 6;

/// A witness that lies.
pub struct Liar {
    signer: SoftwareSigner,
    /// Greatest size it was shown.
    seen: u64,
    /// The last heads, of any history.
    heads: VecDeque<SignedNote>,
}

impl Liar {
    /// The liar of this number.
    pub fn new(number: usize) -> Self {
        Self {
            signer: witness_signer(number),
            seen: 0,
            heads: VecDeque::new(),
        }
    }
}

impl Actor for Liar {
    /// Now and then a forged head goes to an honest witness.
    fn tick(&mut self, cx: &mut Context<'_>) {
        let honest = cx.scenario.witnesses - cx.scenario.liars;
        if honest > 0 && cx.rng.bool() {
            let to = Node::Witness(cx.rng.usize(0..honest));
            let (number, body) = (cx.rng.u64(..), slander::question(cx.rng));
            cx.send(to, Message::Ask(number, body));
        }
        if honest == 0 || self.seen == 0 || cx.rng.u32(0..4) > 0 {
            return;
        }
        let size = cx.rng.u64(self.seen.saturating_sub(2)..=self.seen + 1);
        let root = Hash([cx.rng.u8(..); 32]);
        let Ok(checkpoint) = Checkpoint::new(ORIGIN, size, root) else {
            return;
        };
        // By a key that is not the log's, or with a line of the log's for another head.
        let Ok(forged) = forger().sign(&checkpoint, cx.clock_s()) else {
            return;
        };
        let line = self
            .heads
            .back()
            .and_then(|head| head.signatures().first().cloned())
            .filter(|_| cx.rng.bool())
            .unwrap_or(forged);
        let Ok(note) = SignedNote::new(checkpoint.to_text(), vec![line]) else {
            return;
        };
        let request = AddCheckpoint {
            old_size: cx.rng.u64(0..=size),
            proof: vec![root; cx.rng.usize(0..4)],
            note,
        };
        cx.coverage.forgeries += 1;
        let to = Node::Witness(cx.rng.usize(0..honest));
        let tag = Tag { branch: 0, size };
        cx.send(to, Message::AddCheckpoint(tag, request.to_bytes()));
    }

    fn receive(&mut self, from: Node, message: Message, cx: &mut Context<'_>) {
        let (tag, body) = match message {
            Message::AddCheckpoint(tag, body) => (tag, body),
            Message::Ask(number, body) => return self.lie(from, number, &body, cx),
            _ => return,
        };
        let Ok(request) = AddCheckpoint::parse(&body) else {
            return;
        };
        self.seen = self.seen.max(tag.size);
        if self.heads.len() == HEADS_MAX {
            self.heads.pop_front();
        }
        self.heads.push_back(request.note.clone());
        let answer = match cx.rng.u32(0..10) {
            0 if cx.is_chaos => Answer::Conflict(cx.rng.u64(0..20)),
            1 if cx.is_chaos => Answer::Refused("no".to_owned()),
            _ => self.cosign(&request, cx),
        };
        cx.send(from, Message::Answer(tag, answer));
    }
}

impl Liar {
    /// Answers a peer once, twice, not at all, or something else.
    fn lie(&mut self, from: Node, number: u64, body: &[u8], cx: &mut Context<'_>) {
        for _ in 0..cx.rng.u32(0..3) {
            let answer = slander::answer(body, self.heads.make_contiguous(), cx.rng);
            let number = if cx.rng.u32(0..8) == 0 {
                cx.rng.u64(..)
            } else {
                number
            };
            cx.send(from, Message::Told(number, answer));
        }
    }

    fn cosign(&self, request: &AddCheckpoint, cx: &mut Context<'_>) -> Answer {
        let Ok(checkpoint) = Checkpoint::parse(request.note.text()) else {
            return Answer::Refused("no checkpoint".to_owned());
        };
        let time_s = cx.clock_s() - cx.rng.u64(0..100);
        match self.signer.sign(&checkpoint, time_s) {
            Ok(line) => Answer::Cosigned(vec![line]),
            Err(_) => Answer::Refused("no key".to_owned()),
        }
    }
}
