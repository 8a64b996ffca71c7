//! The publisher: asks every witness to cosign signed heads, and publishes a head when the quorum
//! of the witness policy is met.
//!
//! It works in rounds. A round has one head; every witness is asked for it at once, each by a task
//! of its own, so a slow or dead witness delays nobody. When the quorum is met the head is stored
//! with its cosignatures and published, and the next round takes the newest signed head. Lines that
//! come later are still added to the published head. If the quorum is not met the round goes on
//! with retries, updates keep their place in the log, and the sequencer stops a few epochs ahead;
//! everything continues by itself when witnesses come back. What this rules out: a quorum that
//! never meets because each witness cosigns another size, and publication that waits for witnesses
//! that the quorum does not need.
//!
//! With a second policy, of witnesses that accept heads only so often, some heads are also shown to
//! those, in rounds of their own. The newest that they cosigned is kept with the published head.

mod asker;
mod pace;
mod second;
mod status;
mod witness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use candor_core::note::{Policy, SignatureLine, SignedNote, VerifierKey};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::second::SecondRounds;
pub use self::status::{Alarm, Clears, Status, StatusBoard, WitnessStatus};
use self::witness::Target;
pub use self::witness::{Comparison, Failure, HeldHead, Intervals, WitnessNode};
use crate::clock::Clock;
use crate::head::{Published, PublishedHead, PublishedSecond, SignedHead};
use crate::ledger::{Ledger, put_published, put_second};
use crate::metrics::Metrics;
use crate::signer::LogSigner;
use crate::storage::{Batch, CommitError};

/// How long a round tries for its head before it takes a newer one.
const ROUND: Duration = Duration::from_secs(5);

/// Why publication stopped for good.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublisherError {
    /// A witness holds a checkpoint that this log signed and that the store does not know, or
    /// contradicts: the store was rolled back, or two instances sign.
    #[error("witness {url} holds a checkpoint of this log that the store contradicts ({what})")]
    StoreContradicted {
        /// The witness.
        url: String,
        /// What it holds.
        what: &'static str,
    },
    /// The published head could not be stored.
    #[error("the published head could not be stored: {0}")]
    Store(#[from] CommitError),
    /// The task that stores the published head was interrupted: a bug.
    #[error("the published head could not be stored: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Lines that a witness returned for the head of one size.
struct Cosigned {
    size: u64,
    lines: Vec<SignatureLine>,
}

/// The head that every witness is asked for at the moment.
struct Round {
    size: u64,
    /// When a newer head takes its place.
    until: Instant,
}

/// Everything that the publisher works with.
pub struct Publisher {
    /// The rows, for consistency proofs and the published note.
    pub ledger: Ledger,
    /// Which witnesses to ask, and what their quorum is.
    pub policy: Arc<Policy>,
    /// The second policy, if there is one.
    pub second_policy: Option<Arc<Policy>>,
    /// The log's keys.
    pub signer: Arc<LogSigner>,
    /// The witnesses, one for each address of the policies.
    pub witnesses: Vec<WitnessNode>,
    /// How publication is doing, with the witnesses in the order of `witnesses`.
    pub board: StatusBoard,
    /// Heads as they are signed.
    pub signed: watch::Receiver<Option<Arc<SignedHead>>>,
    /// Where heads are published.
    pub published: Arc<PublishedHead>,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Ends publication.
    pub shutdown: CancellationToken,
}

impl Publisher {
    /// Publishes until shutdown, or until a witness shows that this log must not go on.
    ///
    /// # Errors
    ///
    /// [`PublisherError`]; an operator has to look.
    pub async fn run(mut self) -> Result<(), PublisherError> {
        let (target, _) = watch::channel(None::<Arc<Target>>);
        let (second_target, _) = watch::channel(None::<Arc<Target>>);
        let second_policy = self.second_policy.clone();
        let mut second = second_policy.map(|policy| SecondRounds::new(policy, &self.witnesses));
        let (answers, mut cosigned) = mpsc::channel(64);
        let (stops, mut stopped) = mpsc::channel(1);
        let mut tasks = tokio::task::JoinSet::new();
        for (index, witness) in std::mem::take(&mut self.witnesses).into_iter().enumerate() {
            let asker = asker::Asker {
                target: match witness.is_second() {
                    true => second_target.subscribe(),
                    false => target.subscribe(),
                },
                witness,
                index,
                ledger: self.ledger.clone(),
                verifier: self.signer.verifier(),
                answers: answers.clone(),
                stops: stops.clone(),
                board: self.board.clone(),
                clock: self.clock.clone(),
                metrics: Arc::clone(&self.metrics),
            };
            tasks.spawn(asker.run());
        }
        // Lines by size, for the round's head and the one published last.
        let mut notes: BTreeMap<u64, (Arc<SignedHead>, SignedNote)> = BTreeMap::new();
        let mut round: Option<Round> = None;
        loop {
            let published = self.published.current().map_or(0, |head| head.signed.size);
            if round.as_ref().is_some_and(|round| round.size <= published) {
                round = None;
            }
            if round
                .as_ref()
                .is_some_and(|round| round.until <= Instant::now())
            {
                self.quorum_is_lost();
                round = None;
            }
            if round.is_none() {
                let newest = self.signed.borrow_and_update().clone();
                if let Some(head) = newest.filter(|head| head.size > published) {
                    let size = head.size;
                    notes.retain(|size, _| *size >= published);
                    let entry = || (Arc::clone(&head), head.note.clone());
                    notes.entry(size).or_insert_with(entry);
                    let note = head.note.clone();
                    let asked = Some(Arc::new(Target {
                        size,
                        time_s: head.timestamp_ms / 1000,
                        note,
                    }));
                    if let Some(second) = &mut second
                        && second.begin(size, &head.note, published)
                    {
                        second_target.send_replace(asked.clone());
                    }
                    target.send_replace(asked);
                    round = Some(Round {
                        size,
                        until: Instant::now() + ROUND,
                    });
                    // A quorum of none is met at once.
                    self.publish_if_met(&notes, size).await?;
                    continue;
                }
            }
            let until = round
                .as_ref()
                .map_or_else(Instant::now, |round| round.until);
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(()),
                Some(error) = stopped.recv() => return Err(error),
                Some(Cosigned { size, lines }) = cosigned.recv() => {
                    if let Some((_, note)) = notes.get_mut(&size) {
                        add_lines(note, &self.policy, &lines);
                        self.publish_if_met(&notes, size).await?;
                    }
                    if let Some(second) = &mut second {
                        second.add(size, &lines);
                        self.publish_second(second).await?;
                    }
                }
                () = tokio::time::sleep_until(until), if round.is_some() => {}
                changed = self.signed.changed(), if round.is_none() => {
                    if changed.is_err() {
                        self.shutdown.cancelled().await;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Stores a published note, for the next start. Lines that come later are not stored: the next
    /// round has new ones. Without space the note is published all the same, since everything that
    /// it commits to is durable, and the next start begins with an earlier head.
    async fn store(&self, rows: Batch) -> Result<(), PublisherError> {
        let ledger = self.ledger.clone();
        let commit = move || ledger.store().commit(rows);
        match tokio::task::spawn_blocking(commit).await? {
            Ok(()) => Ok(()),
            Err(CommitError::NotCommitted(error)) if error.is_retryable() => {
                tracing::warn!(%error, "the published head was not stored");
                self.metrics.commit_failures.inc();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Publishes the head of `size` if its quorum is met, or again if it has more lines now.
    async fn publish_if_met(
        &self,
        notes: &BTreeMap<u64, (Arc<SignedHead>, SignedNote)>,
        size: u64,
    ) -> Result<(), PublisherError> {
        let Some((head, note)) = notes.get(&size) else {
            return Ok(());
        };
        let current = self.published.current();
        let newer = current
            .as_ref()
            .is_none_or(|published| published.signed.size < size);
        let grown = current.as_ref().is_some_and(|published| {
            published.signed.size == size
                && published.note.signatures().len() < note.signatures().len()
        });
        if !(newer || grown) || !is_satisfied(&self.policy, note) {
            return Ok(());
        }
        if newer {
            let storing = self.store(put_published(&note.to_bytes()));
            let span = tracing::info_span!("publish", size);
            storing.instrument(span).await?;
        }
        let now_s = self.clock.now_s();
        let large = large_keys(&self.signer, &self.policy);
        let second = current.and_then(|published| published.second.clone());
        let published = Published::new(Arc::clone(head), note.clone(), &large, now_s);
        self.published.set(published.with_second(second));
        self.metrics.published(head, newer, self.clock.now_ms());
        if newer {
            self.quorum_is_met();
        }
        Ok(())
    }

    /// Keeps the newest head of the second policy that the published head extends.
    async fn publish_second(&self, second: &SecondRounds) -> Result<(), PublisherError> {
        let Some(published) = self.published.current() else {
            return Ok(());
        };
        let Some((size, note)) = second.newest(published.signed.size) else {
            return Ok(());
        };
        let lines = note.signatures().len();
        let is_newer = |current: &Arc<PublishedSecond>| {
            current.size < size || current.size == size && current.lines < lines
        };
        if !published.second.as_ref().is_none_or(is_newer) {
            return Ok(());
        }
        self.store(put_second(&note.to_bytes())).await?;
        let large = large_keys(&self.signer, &second.policy);
        let now_s = self.clock.now_s();
        let second = Arc::new(PublishedSecond::new(size, note, &large, now_s));
        self.metrics.second_published(&second);
        let published = Published::clone(&published);
        self.published.set(published.with_second(Some(second)));
        Ok(())
    }

    /// A round ended without a quorum: says so, once.
    fn quorum_is_lost(&self) {
        let mut status = self.board.lock();
        if status.quorum_lost_s.is_some() {
            return;
        }
        status.quorum_lost_s = Some(self.clock.now_s());
        let failing = status.witnesses.iter().filter(|it| it.failure.is_some());
        let failing: Vec<&str> = failing.map(|it| it.url.as_str()).collect();
        tracing::error!(
            ?failing,
            "the quorum of witnesses is lost: nothing new is published"
        );
    }

    /// A head was published: says so, if the quorum was lost before.
    fn quorum_is_met(&self) {
        if let Some(since_s) = self.board.lock().quorum_lost_s.take() {
            let lost_s = self.clock.now_s().saturating_sub(since_s);
            tracing::info!(
                lost_s,
                "the quorum of witnesses is back: heads are published"
            );
        }
    }
}

/// Whether a note has the lines that a policy asks for. They were verified when they came.
fn is_satisfied(policy: &Policy, note: &SignedNote) -> bool {
    let cosigned = |key: &VerifierKey| note.signatures().iter().any(|line| line.claims(key));
    policy.is_satisfied_by(|witness| cosigned(witness.key()))
}

/// Adds the lines to a note that are by witnesses of the policy: others are of no use to its
/// readers.
fn add_lines(note: &mut SignedNote, policy: &Policy, lines: &[SignatureLine]) {
    let is_known = |line: &&SignatureLine| {
        let mut witnesses = policy.witnesses().iter();
        witnesses.any(|witness| line.claims(witness.key()))
    };
    for line in lines.iter().filter(is_known) {
        if let Err(error) = note.add(line.clone()) {
            tracing::warn!(%error, "a cosignature does not fit the note");
        }
    }
}

/// The keys whose lines devices leave out unless they ask for them.
pub fn large_keys(signer: &LogSigner, policy: &Policy) -> Vec<VerifierKey> {
    let witnesses = policy
        .witnesses()
        .iter()
        .map(|witness| witness.key().clone());
    let all = signer.keys().into_iter().chain(witnesses);
    all.filter(|key| key.algorithm() == candor_core::note::Algorithm::MlDsa44)
        .collect()
}
