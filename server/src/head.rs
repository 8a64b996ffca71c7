//! Heads: signed by the log, and published with a quorum of cosignatures.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use candor_core::Hash;
use candor_core::epoch::Record;
use candor_core::log::{leaf_hash, verify_inclusion};
use candor_core::note::{SignatureLine, SignedNote, VerifierKey};
use candor_proto::{Bytes, hashes_to_wire, v1};
use thiserror::Error;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::ledger::{Ledger, LedgerError};
use crate::map::Skeleton;
use crate::sequencer::FatalError;
use crate::sequencer::epoch::Tip;
use crate::signer::LogSigner;

/// A head that the log has signed. Everything that it commits to is durable.
#[derive(Debug)]
pub struct SignedHead {
    /// Number of records.
    pub size: u64,
    /// Root of the log.
    pub root: Hash,
    /// Time of the newest record in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// The map after the newest record.
    pub skeleton: Skeleton,
    /// The checkpoint with the log's signatures.
    pub note: SignedNote,
    /// The bytes of the newest record.
    pub record: Vec<u8>,
    /// Its inclusion proof.
    pub inclusion: Vec<Hash>,
}

impl SignedHead {
    /// Signs the head of what is stored at `tip`.
    ///
    /// # Errors
    ///
    /// [`FatalError`]: nothing may be released then.
    pub fn sign(
        ledger: &Ledger,
        tip: &Tip,
        signer: &LogSigner,
        clock: &Clock,
    ) -> Result<Self, FatalError> {
        let root = tip.frontier.root();
        let note = signer.sign(tip.size, root, clock.now_s())?;
        Ok(Self::new(
            ledger,
            tip.size,
            root,
            tip.skeleton.clone(),
            note,
        )?)
    }

    /// Gathers what belongs to a signed checkpoint.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the environment is at fault.
    pub fn new(
        ledger: &Ledger,
        size: u64,
        root: Hash,
        skeleton: Skeleton,
        note: SignedNote,
    ) -> Result<Self, LedgerError> {
        let epoch = size.checked_sub(1).ok_or(LedgerError::OutOfRange)?;
        let record = ledger.record(epoch)?;
        let inclusion = ledger.inclusion(epoch, size)?;
        // What was written is read back before the signature is let out, so that a broken disk or
        // memory stops the log rather than showing in its answers.
        verify_inclusion(epoch, size, &leaf_hash(&record), &inclusion, &root)
            .map_err(|_| LedgerError::Damaged { table: "tiles" })?;
        let timestamp_ms = Record::decode(&record)
            .map_err(|_| LedgerError::Damaged { table: "records" })?
            .epoch
            .timestamp_ms;
        Ok(Self {
            size,
            root,
            timestamp_ms,
            skeleton,
            note,
            record,
            inclusion,
        })
    }

    /// The newest epoch that the head shows.
    pub const fn epoch(&self) -> u64 {
        self.size - 1
    }

    /// The head as devices get it, with these signatures.
    fn to_wire(&self, note: &SignedNote) -> v1::Head {
        v1::Head {
            checkpoint: note.to_bytes().into(),
            record: Bytes::copy_from_slice(&self.record),
            inclusion: hashes_to_wire(&self.inclusion),
        }
    }
}

/// The newest head that satisfies the second policy, for devices that ask for one.
#[derive(Debug)]
pub struct PublishedSecond {
    /// Number of records.
    pub size: u64,
    /// Number of signature lines.
    pub lines: usize,
    /// When its quorum was met, in POSIX seconds.
    pub published_s: u64,
    full: Bytes,
    compact: Bytes,
}

impl PublishedSecond {
    /// A head of `size` records; `large` as for [`Published::new`].
    pub fn new(size: u64, note: &SignedNote, large: &[VerifierKey], published_s: u64) -> Self {
        Self {
            size,
            lines: note.signatures().len(),
            published_s,
            full: note.to_bytes().into(),
            compact: without(note, large).to_bytes().into(),
        }
    }

    /// The note for a device, with or without post-quantum signatures.
    pub const fn checkpoint(&self, post_quantum: bool) -> &Bytes {
        if post_quantum {
            &self.full
        } else {
            &self.compact
        }
    }
}

/// A note without the lines of some keys, of which the log's are not all.
fn without(note: &SignedNote, keys: &[VerifierKey]) -> SignedNote {
    let is_kept = |line: &&SignatureLine| !keys.iter().any(|key| line.claims(key));
    let lines = note.signatures().iter().filter(is_kept).cloned().collect();
    SignedNote::new(note.text().to_owned(), lines)
        .expect("a part of a note within the limits is within them")
}

/// A head with the cosignatures that the witness policy asks for: what lookups are answered from.
#[derive(Clone, Debug)]
pub struct Published {
    /// The head.
    pub signed: Arc<SignedHead>,
    /// Its note with all signatures.
    pub note: SignedNote,
    /// The head for devices, with every signature, as messages carry it.
    full: v1::Head,
    /// The same without ML-DSA-44 lines, which are 3.3 KiB each.
    compact: v1::Head,
    /// Most recent time in seconds at which the log knew the quorum to be met.
    pub published_s: u64,
    /// The newest head of the second policy, of at most as many records.
    pub second: Option<Arc<PublishedSecond>>,
}

impl Published {
    /// A published head; `large` are the keys whose lines are left out of the compact form.
    pub fn new(
        signed: Arc<SignedHead>,
        note: SignedNote,
        large: &[VerifierKey],
        published_s: u64,
    ) -> Self {
        let compact = without(&note, large);
        let (full, compact) = (signed.to_wire(&note), signed.to_wire(&compact));
        Self {
            signed,
            note,
            full,
            compact,
            published_s,
            second: None,
        }
    }

    /// The same with a second head.
    #[must_use]
    pub fn with_second(mut self, second: Option<Arc<PublishedSecond>>) -> Self {
        self.second = second;
        self
    }

    /// The head for a device, with or without post-quantum signatures.
    pub const fn head(&self, post_quantum: bool) -> &v1::Head {
        if post_quantum {
            &self.full
        } else {
            &self.compact
        }
    }
}

/// The published head of the moment. Readers take it without a lock and keep what they took.
#[derive(Debug)]
pub struct PublishedHead {
    current: ArcSwapOption<Published>,
    progress: watch::Sender<u64>,
}

impl PublishedHead {
    /// Nothing is published yet, but the log starts from `size` records.
    pub fn starting_at(size: u64) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            progress: watch::Sender::new(size),
        }
    }

    /// The published head, if there is one.
    pub fn current(&self) -> Option<Arc<Published>> {
        self.current.load_full()
    }

    /// Publishes a head. Only the publisher calls this, and only forward.
    pub fn set(&self, published: Published) {
        let size = published.signed.size;
        self.current.store(Some(Arc::new(published)));
        self.progress.send_replace(size);
    }

    /// Sizes as they are published. A size may come again, with more cosignatures.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }
}

/// Whether a fresh head is published: what health and readiness promise.
#[derive(Clone)]
pub struct Freshness {
    published: Arc<PublishedHead>,
    clock: Clock,
    max_age: Duration,
}

/// Why no fresh head is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotFresh {
    /// None is.
    #[error("no head is published yet")]
    Unpublished,
    /// The published one is old.
    #[error("the published head is {age_s} s old")]
    Stale {
        /// Seconds since its publication.
        age_s: u64,
    },
}

impl Freshness {
    /// Heads count as fresh for `max_age` after their publication.
    pub const fn new(published: Arc<PublishedHead>, clock: Clock, max_age: Duration) -> Self {
        Self {
            published,
            clock,
            max_age,
        }
    }

    /// Checks that the published head is fresh.
    ///
    /// # Errors
    ///
    /// [`NotFresh`] if it is not.
    pub fn check(&self) -> Result<(), NotFresh> {
        let published = self.published.current().ok_or(NotFresh::Unpublished)?;
        let age_s = self.clock.now_s().saturating_sub(published.published_s);
        if age_s > self.max_age.as_secs() {
            return Err(NotFresh::Stale { age_s });
        }
        Ok(())
    }

    /// Sizes as they are published.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.published.progress()
    }
}
