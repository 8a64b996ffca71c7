//! What is known of one log: own heads, heads of peers that wait, and evidence.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use candor_core::Hash;
use candor_core::log::verify_consistency;
use candor_core::note::{Evidence, LogVerifier, ProvedBeginning};

use super::head::{Head, contradiction_id};
use super::{PeerId, Times};
use crate::decision::Recorded;

/// Most own heads of a log that are held, to convict it by if a peer that lags has another.
pub const OWN_HEADS_MAX: usize = 4;

/// Most further heads of which size and root are remembered, since ours begin with them: older own
/// ones, and those that the log proved.
const CONSISTENT_MAX: usize = 16;

/// A head of peers that is not yet shown to be consistent with ours.
#[derive(Clone, Debug)]
struct Pending {
    head: Head,
    since: Duration,
    /// How often the log was asked about it.
    asked: u32,
    peers: BTreeSet<PeerId>,
    /// The own head that the log proved it to follow. It may not follow the next one.
    follows: Option<Recorded>,
}

impl Pending {
    /// Whether it is proved to follow our newest head, so that there is nothing to ask for until
    /// we have another.
    fn is_ahead_of(&self, newest: Option<Recorded>) -> bool {
        newest.is_some() && self.follows == newest
    }

    fn is_overdue(&self, now: Duration, times: &Times) -> bool {
        self.since.saturating_add(times.patience) <= now
    }
}

/// A head of peers that waits, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Size and root that the log signed.
    pub recorded: Recorded,
    /// Who has it.
    pub peers: Vec<PeerId>,
    /// How long it has waited.
    pub age: Duration,
    /// Whether that is too long.
    pub is_overdue: bool,
}

/// A question to the log that is not answered.
#[derive(Clone, Debug)]
struct Asked {
    /// From which size and root to which.
    question: (Recorded, Recorded),
    /// The one of both that is ours.
    own: Head,
    /// The other.
    pending: Recorded,
    at: Duration,
}

/// One log.
#[derive(Debug)]
pub struct Ledger {
    verifier: LogVerifier,
    has_source: bool,
    /// The newest last.
    own: VecDeque<Head>,
    consistent: VecDeque<Recorded>,
    /// The oldest first; each peer is in one of them at most.
    pending: Vec<Pending>,
    fork: Option<(Hash, Evidence)>,
    dismissed: BTreeSet<Hash>,
    asked: Option<Asked>,
    next_question: Duration,
    pub is_unreconciled: bool,
}

impl Ledger {
    pub const fn new(verifier: LogVerifier, has_source: bool) -> Self {
        Self {
            verifier,
            has_source,
            own: VecDeque::new(),
            consistent: VecDeque::new(),
            pending: Vec::new(),
            fork: None,
            dismissed: BTreeSet::new(),
            asked: None,
            next_question: Duration::ZERO,
            is_unreconciled: false,
        }
    }

    pub const fn verifier(&self) -> &LogVerifier {
        &self.verifier
    }

    pub const fn fork(&self) -> Option<&(Hash, Evidence)> {
        self.fork.as_ref()
    }

    pub fn newest(&self) -> Option<&Head> {
        self.own.back()
    }

    /// Whether an own head of this size is held.
    pub fn has_own_at(&self, size: u64) -> bool {
        self.own.iter().any(|own| own.size() == size)
    }

    /// Whether this is a head that ours begin with.
    pub fn is_consistent(&self, head: &Recorded) -> bool {
        let mut own = self.own.iter().map(Head::recorded);
        own.any(|own| own == *head) || self.consistent.contains(head)
    }

    fn add_consistent(&mut self, head: Recorded) {
        if self.consistent.len() == CONSISTENT_MAX {
            self.consistent.pop_front();
        }
        self.consistent.push_back(head);
    }

    pub fn has_pending_of(&self, peer: PeerId) -> bool {
        let mut pending = self.pending.iter();
        pending.any(|pending| pending.peers.contains(&peer))
    }

    pub fn is_dismissed(&self, id: &Hash) -> bool {
        self.dismissed.contains(id)
    }

    pub fn dismiss(&mut self, id: Hash) {
        self.dismissed.insert(id);
    }

    /// The log is stopped: nothing else of it matters.
    pub fn set_fork(&mut self, id: Hash, evidence: Evidence) {
        self.fork = Some((id, evidence));
        self.pending.clear();
        self.asked = None;
    }

    /// A checkpoint of ours: what waits at its size is settled.
    pub fn add_own(&mut self, head: Head) -> Option<Evidence> {
        if self.newest().map(Head::recorded) == Some(head.recorded()) {
            return None;
        }
        let evidence = self.compare(&head);
        let size = head.size();
        self.pending.retain(|pending| pending.head.size() != size);
        self.own.push_back(head);
        if self.own.len() > OWN_HEADS_MAX
            && let Some(oldest) = self.own.pop_front()
        {
            self.add_consistent(oldest.recorded());
        }
        evidence
    }

    /// The contradiction of a signed head with one that is held, unless it was dismissed.
    pub fn compare(&self, head: &Head) -> Option<Evidence> {
        let pending = self.pending.iter().map(|pending| &pending.head);
        let others = self.own.iter().chain(pending);
        // Both were verified with the same keys, so that it is evidence.
        others
            .filter(|other| other.contradicts(head))
            .filter_map(|other| Evidence::new(&self.verifier, other.note(), head.note()).ok())
            .find(|evidence| !self.is_dismissed(&contradiction_id(evidence)))
    }

    /// A peer's head waits, unless another of that peer does.
    pub fn wait(&mut self, now: Duration, peer: PeerId, head: Head) {
        if self.has_pending_of(peer) {
            return;
        }
        let recorded = head.recorded();
        let same = |pending: &&mut Pending| pending.head.recorded() == recorded;
        match self.pending.iter_mut().find(same) {
            Some(pending) => {
                pending.peers.insert(peer);
            }
            None => self.pending.push(Pending {
                head,
                since: now,
                asked: 0,
                peers: BTreeSet::from([peer]),
                follows: None,
            }),
        }
    }

    /// A peer has a head that we have: what it showed before led there.
    pub fn agree(&mut self, peer: PeerId) {
        for pending in &mut self.pending {
            pending.peers.remove(&peer);
        }
        self.pending.retain(|pending| !pending.peers.is_empty());
    }

    /// Gives up a question that nobody answered. A head that is proved to follow our newest has
    /// not begun to wait.
    pub fn expire(&mut self, now: Duration, times: &Times) {
        let newest = self.newest().map(Head::recorded);
        for pending in &mut self.pending {
            if pending.is_ahead_of(newest) {
                pending.since = now;
            }
        }
        let asked = self.asked.take();
        self.asked = asked.filter(|asked| now < asked.at.saturating_add(times.retry));
    }

    /// Whether a question to the log is open.
    pub const fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// The proof to ask the log for now, if there is one: from the smaller to the larger.
    pub fn question(&mut self, now: Duration, times: &Times) -> Option<(Recorded, Recorded)> {
        if !self.has_source || self.is_asking() || now < self.next_question {
            return None;
        }
        let own = self.own.back()?.clone();
        let newest = Some(own.recorded());
        let is_due = |pending: &&mut Pending| {
            pending.since.saturating_add(times.grace) <= now && !pending.is_ahead_of(newest)
        };
        let due = self.pending.iter_mut().filter(is_due);
        // The one that was asked about least, so that neither one that cannot be proved nor peers
        // that come and go hold up another.
        let next = due.min_by_key(|pending| pending.asked)?;
        next.asked = next.asked.saturating_add(1);
        let pending = next.head.recorded();
        self.next_question = now.saturating_add(times.retry);
        let recorded = own.recorded();
        let question = if pending.size < recorded.size {
            (pending, recorded)
        } else {
            (recorded, pending)
        };
        self.asked = Some(Asked {
            question,
            own,
            pending,
            at: now,
        });
        Some(question)
    }

    /// Takes the log's answer to the open question, if it has any. Evidence, if it shows a
    /// contradiction that was not dismissed. What proves nothing is asked for again later.
    pub fn answered(
        &mut self,
        question: (Recorded, Recorded),
        beginning: Option<ProvedBeginning>,
    ) -> Option<Evidence> {
        let asked = self.asked.take_if(|asked| asked.question == question)?;
        let Asked { own, pending, .. } = asked;
        let beginning = beginning?;
        let waiting = self.pending.iter();
        let other = waiting
            .map(|pending| &pending.head)
            .find(|head| head.recorded() == pending)?;
        let (smaller, larger) = if other.size() < own.size() {
            (other, &own)
        } else {
            (&own, other)
        };
        let is_ahead = larger.recorded() == pending;
        let Recorded { size, root } = larger.recorded();
        verify_consistency(
            smaller.size(),
            &beginning.root,
            size,
            &root,
            &beginning.proof,
        )
        .ok()?;
        let is_consistent = beginning.root == smaller.recorded().root;
        let evidence =
            Evidence::over_two_sizes(&self.verifier, smaller.note(), larger.note(), beginning);
        if is_consistent && is_ahead {
            let mut waiting = self.pending.iter_mut();
            if let Some(other) = waiting.find(|other| other.head.recorded() == pending) {
                other.follows = Some(own.recorded());
            }
        } else if is_consistent {
            self.add_consistent(pending);
        }
        if is_consistent {
            // A log that proves is asked on, so that it is not held back for as many pauses as
            // there are heads.
            self.next_question = Duration::ZERO;
        }
        if (is_consistent && !is_ahead) || evidence.is_ok() {
            self.pending
                .retain(|other| other.head.recorded() != pending);
        }
        evidence
            .ok()
            .filter(|evidence| !self.is_dismissed(&contradiction_id(evidence)))
    }

    /// Whether the log has failed to show consistency for too long.
    pub fn is_overdue(&self, now: Duration, times: &Times) -> bool {
        let newest = self.newest().map(Head::recorded);
        let mut pending = self.pending.iter();
        pending.any(|pending| !pending.is_ahead_of(newest) && pending.is_overdue(now, times))
    }

    /// Whether the log may be cosigned at `next`: not once it is convicted, nor while it was asked
    /// about a head and did not show that it is consistent, unless `next` is that head.
    pub fn may_grow(&self, now: Duration, times: &Times, next: &Recorded) -> bool {
        let newest = self.newest().map(Head::recorded);
        let mut pending = self.pending.iter();
        let is_held_back = |other: &Pending| {
            let is_asked = self.has_source && other.asked > 0;
            let is_overdue = other.is_overdue(now, times) && !other.is_ahead_of(newest);
            is_asked && is_overdue && other.head.recorded() != *next
        };
        self.fork.is_none() && !pending.any(is_held_back)
    }

    /// What waits.
    pub fn waiting(&self, now: Duration, times: &Times) -> Vec<Waiting> {
        let newest = self.newest().map(Head::recorded);
        let waiting = self.pending.iter();
        let waiting = waiting.filter(|pending| !pending.is_ahead_of(newest));
        let waiting = waiting.map(|pending| Waiting {
            recorded: pending.head.recorded(),
            peers: pending.peers.iter().copied().collect(),
            age: now.saturating_sub(pending.since),
            is_overdue: pending.is_overdue(now, times),
        });
        waiting.collect()
    }
}
