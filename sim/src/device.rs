//! A device: it asks for the head, verifies it with the code that devices run, and remembers it.

use candor_core::Hash;
use candor_core::answer::{HeadError, HeadProof, KnownHead, Trust};
use candor_core::note::{Checkpoint, Evidence, SignedNote};

use crate::context::Context;
use crate::keys::{log_verifier, policy};
use crate::message::{Message, Node};
use crate::mutation::Mutation;
use crate::scenario::Scenario;
use crate::world::Actor;

/// A device.
pub struct Device {
    number: usize,
    trust: Trust,
    /// What it stored, encoded, and the note that it got it from.
    memory: Option<(Vec<u8>, Vec<u8>)>,
}

impl Device {
    /// A device that knows nothing yet.
    pub fn new(number: usize, scenario: &Scenario, mutation: Option<Mutation>) -> Self {
        let lowered = usize::from(mutation == Some(Mutation::DeviceLowersQuorum));
        let policy = policy(scenario.witnesses, scenario.quorum - lowered);
        let trust = Trust::danger_without_map_witnesses(policy);
        Self {
            number,
            trust: trust.expect("the policy has one log"),
            memory: None,
        }
    }

    /// What it remembers.
    pub fn known(&self) -> Option<KnownHead> {
        let (known, _) = self.memory.as_ref()?;
        KnownHead::decode(known).ok()
    }
}

impl Actor for Device {
    /// It asks.
    fn tick(&mut self, cx: &mut Context<'_>) {
        let verified_size = self.known().map_or(0, |known| known.size);
        cx.send(Node::Log, Message::GetHead { verified_size });
    }

    fn receive(&mut self, _: Node, message: Message, cx: &mut Context<'_>) {
        let Message::Head { head, consistency } = message else {
            return;
        };
        let known = self.known();
        let mut trusted = known.as_ref();
        if cx.is_broken(Mutation::DeviceSkipsConsistency) {
            trusted = None;
        }
        match head.verify(&self.trust, trusted, &consistency, cx.clock_s()) {
            Ok(verified) => {
                let known = verified.known();
                cx.observer.accepted(self.number, (known.size, known.root));
                cx.coverage.accepted += 1;
                self.memory = Some((known.encode(), head.checkpoint));
            }
            Err(error) => {
                cx.log(format_args!("device {} refuses: {error}", self.number));
                cx.coverage.refused += 1;
                self.accuse(&error, &head, cx);
            }
        }
    }
}

impl Device {
    /// Two heads of one size are evidence: both notes are here.
    fn accuse(&self, error: &HeadError, head: &HeadProof, cx: &mut Context<'_>) {
        let (HeadError::SplitView { .. }, Some((_, earlier))) = (error, &self.memory) else {
            return;
        };
        let notes = [earlier, &head.checkpoint].map(|bytes| SignedNote::parse(bytes));
        if let [Ok(earlier), Ok(later)] = &notes
            && Evidence::new(&log_verifier(), earlier, later).is_ok()
            && let [Some(one), Some(other)] = [earlier, later].map(head_of)
        {
            let by = format!("device {}", self.number);
            cx.observer.accused(&by, one, other);
        }
    }
}

fn head_of(note: &SignedNote) -> Option<(u64, Hash)> {
    let checkpoint = Checkpoint::parse(note.text()).ok()?;
    Some((checkpoint.size(), *checkpoint.root()))
}
