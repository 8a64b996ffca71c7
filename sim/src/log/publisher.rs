//! Collecting cosignatures for one history: what each witness cosigned last as far as is known, and
//! the lines for the newest head. The server's publisher does this over HTTP.

use std::sync::Arc;

use candor_core::note::{
    AddCheckpoint, Checkpoint, Policy, SignatureLine, SignedNote, VerifierKey,
};
use candor_server::head::{Published, SignedHead};
use candor_server::ledger::Ledger;

use crate::context::Context;
use crate::message::{Answer, Message, Node, Tag};
use crate::mutation::Mutation;

/// How long an answer is waited for, in milliseconds.
const PATIENCE_MS: u64 = 4_000;

/// What is known of one witness.
#[derive(Clone, Debug, Default)]
struct Asked {
    known_size: u64,
    /// When it was asked last, by the log's clock.
    at_ms: Option<u64>,
    /// The size of the head that it cosigned last, and its lines.
    lines: (u64, Vec<SignatureLine>),
    has_failed: bool,
}

/// The publisher of one history.
pub struct Publisher {
    branch: usize,
    policy: Policy,
    keys: Vec<VerifierKey>,
    asked: Vec<Asked>,
}

impl Publisher {
    /// A publisher that asks all witnesses of `policy`.
    pub fn new(branch: usize, policy: Policy) -> Self {
        let keys: Vec<_> = policy
            .witnesses()
            .iter()
            .map(|each| each.key().clone())
            .collect();
        Self {
            branch,
            policy,
            asked: vec![Asked::default(); keys.len()],
            keys,
        }
    }

    /// Publishes by another policy from now on.
    pub fn publish_by(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// A restart forgets what was asked.
    pub fn forget(&mut self) {
        self.asked.fill(Asked::default());
    }

    /// Asks one witness, unless it has cosigned the head or an answer is awaited.
    pub fn ask(&mut self, witness: usize, head: &SignedHead, rows: &Ledger, cx: &mut Context<'_>) {
        let asked = &mut self.asked[witness];
        let is_waiting = asked
            .at_ms
            .is_some_and(|at_ms| cx.clock_ms.abs_diff(at_ms) < PATIENCE_MS);
        let has_given_up = asked.has_failed && cx.is_broken(Mutation::GivesUp);
        if asked.lines.0 == head.size || is_waiting || has_given_up {
            return;
        }
        if asked.at_ms.is_some() {
            asked.has_failed = true;
        }
        // A witness that claims to be ahead may be one that lies, or that a fork was shown to.
        let old_size = asked.known_size.min(head.size);
        let Ok(proof) = rows.consistency(old_size, head.size) else {
            return;
        };
        asked.at_ms = Some(cx.clock_ms);
        let note = head.note.clone();
        let body = AddCheckpoint {
            old_size,
            proof,
            note,
        };
        let tag = Tag {
            branch: self.branch,
            size: head.size,
        };
        let message = Message::AddCheckpoint(tag, body.to_bytes());
        cx.send(Node::Witness(witness), message);
    }

    /// Takes an answer on `head`. Returns the note to publish if the quorum is met with it.
    pub fn answered(
        &mut self,
        witness: usize,
        head: &SignedHead,
        answer: Answer,
    ) -> Option<SignedNote> {
        let asked = &mut self.asked[witness];
        asked.at_ms = None;
        match answer {
            Answer::Cosigned(lines) => {
                let checkpoint = Checkpoint::parse(head.note.text()).ok()?;
                let key = &self.keys[witness];
                let is_valid = |line: &SignatureLine| key.verify(&checkpoint, line).is_ok();
                if lines.is_empty() || !lines.iter().all(is_valid) {
                    return None;
                }
                asked.known_size = head.size;
                asked.lines = (head.size, lines);
                self.note(head)
            }
            Answer::Conflict(size) => {
                asked.known_size = size;
                None
            }
            Answer::Refused(_) => None,
        }
    }

    /// The note with all lines for `head`, each of which was verified, if they meet the quorum.
    fn note(&self, head: &SignedHead) -> Option<SignedNote> {
        let has_cosigned = |witness: usize| self.asked[witness].lines.0 == head.size;
        if !self.policy.is_satisfied_by(|witness| {
            let at = self.keys.iter().position(|key| key == witness.key());
            at.is_some_and(has_cosigned)
        }) {
            return None;
        }
        let mut note = head.note.clone();
        for asked in self.asked.iter().filter(|asked| asked.lines.0 == head.size) {
            for line in &asked.lines.1 {
                note.add(line.clone()).ok()?;
            }
        }
        Some(note)
    }

    /// A head with its cosignatures, for devices.
    pub fn publish(head: Arc<SignedHead>, note: SignedNote, now_s: u64) -> Arc<Published> {
        Arc::new(Published::new(head, note, &[], now_s))
    }
}
