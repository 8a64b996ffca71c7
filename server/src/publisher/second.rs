//! Rounds of the second policy: heads on their way to witnesses that accept one only so often.
//!
//! Such witnesses are ready at different times, so a round of theirs takes as long as the longest
//! of their intervals, and its head is that of a round of the first policy: witnesses of both
//! policies are asked for it too, when they are asked at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use candor_core::note::{Policy, SignatureLine, SignedNote};
use tokio::time::Instant;

use super::{ROUND, WitnessNode, add_lines, is_satisfied};

/// The rounds of a second policy.
pub(super) struct SecondRounds {
    pub policy: Arc<Policy>,
    /// How long a round takes.
    period: Duration,
    /// When the next one begins.
    next: Instant,
    /// The notes that gather lines: that of the round, and those not published yet.
    notes: BTreeMap<u64, SignedNote>,
}

impl SecondRounds {
    pub fn new(policy: Arc<Policy>, witnesses: &[WitnessNode]) -> Self {
        let asked = witnesses.iter().filter(|witness| witness.is_second());
        let longest = asked.map(WitnessNode::interval).max();
        Self {
            policy,
            period: longest.unwrap_or_default().max(ROUND),
            next: Instant::now(),
            notes: BTreeMap::new(),
        }
    }

    /// Begins a round with the head of `size` if it is time; returns whether it was.
    pub fn begin(&mut self, size: u64, note: &SignedNote, published: u64) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + self.period;
        self.notes.retain(|size, _| *size > published);
        self.notes.entry(size).or_insert_with(|| note.clone());
        true
    }

    /// Adds lines to the head of `size`, if it is one of these.
    pub fn add(&mut self, size: u64, lines: &[SignatureLine]) {
        if let Some(note) = self.notes.get_mut(&size) {
            add_lines(note, &self.policy, lines);
        }
    }

    /// The newest head of at most `published` records that satisfies the policy.
    pub fn newest(&self, published: u64) -> Option<(u64, &SignedNote)> {
        let mut reached = self.notes.range(..=published).rev();
        let newest = reached.find(|(_, note)| is_satisfied(&self.policy, note));
        newest.map(|(size, note)| (*size, note))
    }
}
