//! The state machine with a clock, a key and peers, for whoever drives or asks it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use candor_core::note::{Evidence, LogCheckpoint, ProvedBeginning};

use super::identity::{GossipKey, Guard, Question as Asked, Refused, SKEW};
use super::peers::{Peer, PeerError};
use super::{Action, Answer, Gossip, PeerId, Question, Request, Times, Waiting};
use crate::decision::Recorded;
use crate::logs::Log;

/// What this witness and its peers know of logs.
#[derive(Debug)]
pub struct Node {
    machine: Mutex<Gossip>,
    started: Instant,
    key: GossipKey,
    times: Times,
    peers: Vec<Known>,
    /// What is to be done since before the start.
    left_over: Mutex<Vec<Action>>,
}

#[derive(Debug)]
struct Known {
    peer: Peer,
    guard: Mutex<Guard>,
    /// The time of the last question to it, in POSIX milliseconds.
    asked_ms: AtomicU64,
    /// When an exchange with it succeeded last, in POSIX seconds; 0 for never.
    exchanged_s: AtomicU64,
}

/// Why a question of a peer is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// Who asks is no peer.
    #[error("unknown peer")]
    Unknown,
    /// It is not, or no longer, the peer's question.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The peer signed nonsense.
    #[error("malformed question")]
    Malformed,
}

impl Node {
    /// Compares with `peers`, which know this witness by `key`.
    ///
    /// # Errors
    ///
    /// [`PeerError::Own`].
    pub fn new(key: GossipKey, peers: Vec<Peer>, times: Times) -> Result<Self, PeerError> {
        if let Some(own) = peers.iter().find(|peer| peer.key == key.public()) {
            return Err(PeerError::Own {
                url: own.url.clone(),
            });
        }
        let known = |peer| Known {
            peer,
            guard: Mutex::default(),
            asked_ms: AtomicU64::default(),
            exchanged_s: AtomicU64::default(),
        };
        Ok(Self {
            machine: Mutex::new(Gossip::new(times)),
            started: Instant::now(),
            key,
            times,
            peers: peers.into_iter().map(known).collect(),
            left_over: Mutex::default(),
        })
    }

    /// The peers, in their order.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        let peers = self.peers.iter().map(|known| &known.peer);
        peers.enumerate().map(|(at, peer)| (PeerId(at), peer))
    }

    /// What a peer is called: its address.
    pub fn name(&self, peer: PeerId) -> &str {
        let known = self.peers.get(peer.0);
        known.map_or("unknown", |known| known.peer.url.as_str())
    }

    /// When an exchange with a peer succeeded last, in POSIX seconds.
    pub fn exchanged_s(&self, peer: PeerId) -> Option<u64> {
        let known = self.peers.get(peer.0)?;
        Some(known.exchanged_s.load(Ordering::Relaxed)).filter(|time_s| *time_s != 0)
    }

    pub(super) fn set_exchanged_s(&self, peer: PeerId, now_s: u64) {
        if let Some(known) = self.peers.get(peer.0) {
            known.exchanged_s.store(now_s, Ordering::Relaxed);
        }
    }

    pub(super) const fn times(&self) -> &Times {
        &self.times
    }

    /// Begins to compare a log.
    pub(crate) fn add_log(&self, log: &Log) {
        let has_source = log.tiles.is_some();
        self.machine().add_log(log.verifier.clone(), has_source);
    }

    pub(crate) fn dismiss(&self, origin: &str, contradiction: candor_core::Hash) {
        self.machine().dismiss(origin, contradiction);
    }

    pub(crate) fn cosigned(&self, checkpoint: &LogCheckpoint) -> Vec<Action> {
        self.machine().cosigned(checkpoint)
    }

    pub(crate) fn submitted(&self, checkpoint: &LogCheckpoint) -> Vec<Action> {
        self.machine().submitted(checkpoint)
    }

    pub(crate) fn forked(&self, origin: &str, evidence: Evidence) {
        self.machine().forked(origin, evidence);
    }

    /// Takes evidence from before the start; the log is still to be stopped unless `is_stopped`.
    pub(crate) fn remind(&self, origin: &str, evidence: Evidence, is_stopped: bool) {
        if !is_stopped {
            let action = Action::Stop {
                origin: origin.to_owned(),
                evidence: evidence.clone(),
            };
            lock(&self.left_over).push(action);
        }
        self.forked(origin, evidence);
    }

    pub(crate) fn may_grow(&self, origin: &str, next: &Recorded) -> bool {
        self.machine().may_grow(self.now(), origin, next)
    }

    pub(crate) fn waiting(&self, origin: &str) -> Vec<Waiting> {
        self.machine().waiting(self.now(), origin)
    }

    pub(super) fn begin(&self, peer: PeerId) -> Request {
        self.machine().begin(peer)
    }

    pub(super) fn tick(&self) -> Vec<Action> {
        let mut actions = std::mem::take(&mut *lock(&self.left_over));
        actions.extend(self.machine().tick(self.now()));
        actions
    }

    pub(super) fn on_proof(
        &self,
        question: &Question,
        beginning: Option<ProvedBeginning>,
    ) -> Vec<Action> {
        self.machine().on_proof(question, beginning)
    }

    /// Item by item, so that nobody waits while many signatures are verified.
    pub(super) fn on_answer(&self, peer: PeerId, answer: Answer) -> Vec<Action> {
        match answer {
            Answer::Items(items) => {
                let one = |item| {
                    let answer = Answer::Items(vec![item]);
                    self.machine().on_answer(self.now(), peer, answer)
                };
                items.into_iter().flat_map(one).collect()
            }
            digests => self.machine().on_answer(self.now(), peer, digests),
        }
    }

    /// A signed question to a peer, later than the one before.
    pub(super) fn ask(&self, peer: PeerId, nonce: [u8; 16], request: &Request) -> Option<Asked> {
        let known = self.peers.get(peer.0)?;
        let time_ms = question_time_ms(now_ms(), known.asked_ms.load(Ordering::Relaxed));
        known.asked_ms.store(time_ms, Ordering::Relaxed);
        Some(
            self.key
                .ask(&known.peer.key, time_ms, nonce, request.encode()),
        )
    }

    /// The signed answer to a peer's question. Nothing of the question is parsed before its
    /// signature was verified.
    ///
    /// # Errors
    ///
    /// [`Rejected`].
    pub fn reply(&self, question: &Asked) -> Result<(Vec<u8>, [u8; 64]), Rejected> {
        let known = self
            .peers
            .iter()
            .find(|known| *known.peer.key.as_bytes() == question.sender);
        let known = known.ok_or(Rejected::Unknown)?;
        lock(&known.guard).admit(&self.key.public(), &known.peer.key, now_ms(), question)?;
        let request = Request::decode(&question.body).map_err(|_| Rejected::Malformed)?;
        let body = self.machine().answer(&request).encode();
        let signature = self.key.answer(question, &body);
        Ok((body, signature))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn machine(&self) -> MutexGuard<'_, Gossip> {
        lock(&self.machine)
    }
}

/// The time of the next question: after that of the last one, unless no peer can have admitted that
/// one, because the clock was far ahead then.
fn question_time_ms(now_ms: u64, last_ms: u64) -> u64 {
    let skew_ms = u64::try_from(SKEW.as_millis()).unwrap_or(u64::MAX);
    if last_ms > now_ms.saturating_add(2 * skew_ms) {
        return now_ms;
    }
    now_ms.max(last_ms.saturating_add(1))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// POSIX milliseconds; 0 for a clock before 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_in_order_and_a_clock_that_was_ahead_ends_none() {
        let hour_ms = 3_600_000;
        assert_eq!(question_time_ms(hour_ms, 0), hour_ms);
        assert_eq!(question_time_ms(hour_ms, hour_ms), hour_ms + 1);
        assert_eq!(question_time_ms(hour_ms, hour_ms + 5), hour_ms + 6);
        assert_eq!(question_time_ms(hour_ms, 3 * hour_ms), hour_ms);
        assert_eq!(question_time_ms(0, u64::MAX), 0);
    }
}
