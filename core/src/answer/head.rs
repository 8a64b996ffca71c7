//! The head of an answer: the checkpoint, its newest record, and how it follows what the device
//! knew before.

use thiserror::Error;

use super::trust::Trust;
use crate::Hash;
use crate::codec::{DecodeError, Reader};
use crate::epoch::{EpochRecord, MapState, Record, RecordOrderError, Successor};
use crate::log::{ProofError, leaf_hash, verify_consistency, verify_inclusion};
use crate::note::{FreshnessError, NoteError, PolicyError, SignedNote, VerifiedCheckpoint};

/// A head as it came: a note, the record of its last leaf, and that leaf's inclusion proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadProof {
    /// The signed and cosigned checkpoint, as bytes of a note.
    pub checkpoint: Vec<u8>,
    /// The bytes of the newest record.
    pub record: Vec<u8>,
    /// Its inclusion proof, from the leaf's sibling upwards.
    pub inclusion: Vec<Hash>,
}

/// What a device remembers of the newest head it verified: 88 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownHead {
    /// Number of records of the log.
    pub size: u64,
    /// Root of the log.
    pub root: Hash,
    /// The map after the newest record.
    pub map: MapState,
}

impl KnownHead {
    /// The encoding, for a device's store.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(88);
        out.extend(self.size.to_be_bytes());
        out.extend(self.root.0);
        out.extend(self.map.root.0);
        out.extend(self.map.leaves.to_be_bytes());
        out.extend(self.map.timestamp_ms.to_be_bytes());
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the device's store is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let head = Self {
            size: reader.u64("size")?,
            root: reader.hash("root")?,
            map: MapState {
                root: reader.hash("map root")?,
                leaves: reader.u64("leaves")?,
                timestamp_ms: reader.u64("timestamp")?,
            },
        };
        reader.finish()?;
        Ok(head)
    }
}

/// Why a head was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The checkpoint is no signed note. The server is at fault.
    #[error("malformed checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint does not satisfy the policy.
    #[error("checkpoint refused: {0}")]
    Policy(#[from] PolicyError),
    /// The checkpoint is too old, or in the future.
    #[error("checkpoint refused: {0}")]
    Freshness(#[from] FreshnessError),
    /// The log is smaller than it was: the server answers from an old state.
    #[error("the log has {size} records, fewer than the {known} seen before")]
    RolledBack {
        /// Records of the refused checkpoint.
        size: u64,
        /// Records that were seen before.
        known: u64,
    },
    /// At the size known before, the log has another root: two histories were signed. The log lies,
    /// and the two notes are evidence.
    #[error("the log shows another history at {size} records")]
    SplitView {
        /// The size.
        size: u64,
    },
    /// The proof that the log only grew is missing or wrong.
    #[error("no proof that the log only grew since {known} records: {source}")]
    Inconsistent {
        /// Records that were seen before.
        known: u64,
        /// What is wrong with the proof.
        source: ProofError,
    },
    /// The log holds nothing but its configuration.
    #[error("the log has no epoch yet")]
    NoEpoch,
    /// The newest record is no record of an epoch.
    #[error("malformed record: {0}")]
    Record(#[from] DecodeError),
    /// The record is not the log's last leaf.
    #[error("the record is not the log's newest: {0}")]
    NotNewest(ProofError),
    /// The record contradicts an earlier one.
    #[error("record refused: {0}")]
    Order(#[from] RecordOrderError),
    /// The log has ended, and says so: everything else about the head is right. Nobody is at fault.
    /// Trust in the successor is not this device's to draw from that.
    #[error("the log has ended; it goes on as {}", .0.origin())]
    Ended(Box<Successor>),
}

/// A head that satisfies the device's trust and follows what it knew before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedHead {
    checkpoint: VerifiedCheckpoint,
    record: Record,
}

impl VerifiedHead {
    /// The checkpoint with its cosignatures.
    pub const fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// The newest record.
    pub const fn record(&self) -> &EpochRecord {
        &self.record.epoch
    }

    /// The log that this one goes on as, if the newest record ended it.
    pub const fn successor(&self) -> Option<&Successor> {
        self.record.successor.as_ref()
    }

    /// For whom the newest head has to tell what holds now: an ended log cannot, for what it maps
    /// labels to can no more be replaced there.
    ///
    /// # Errors
    ///
    /// [`HeadError::Ended`].
    pub fn living(self) -> Result<Self, HeadError> {
        match self.record.successor {
            Some(successor) => Err(HeadError::Ended(Box::new(successor))),
            None => Ok(self),
        }
    }

    /// The newest epoch: the index of the newest record.
    pub const fn epoch(&self) -> u64 {
        self.checkpoint.checkpoint().size() - 1
    }

    /// What to remember of it.
    pub const fn known(&self) -> KnownHead {
        let checkpoint = self.checkpoint.checkpoint();
        KnownHead {
            size: checkpoint.size(),
            root: *checkpoint.root(),
            map: self.record.epoch.state(),
        }
    }
}

impl HeadProof {
    /// Checks the head: the signatures and their age (check 1 of the protocol), that it follows
    /// what was `known` before by `consistency` (2), and its newest record (3).
    ///
    /// `now_s` is the device's time in POSIX seconds. The head of a log that has ended may have any
    /// age: it stays the newest one. [`VerifiedHead::living`] is for those to whom that matters.
    /// That nothing follows a head which ended the log is for who remembers that it did.
    ///
    /// # Errors
    ///
    /// [`HeadError`]; each case says who is at fault.
    pub fn verify(
        &self,
        trust: &Trust,
        known: Option<&KnownHead>,
        consistency: &[Hash],
        now_s: u64,
    ) -> Result<VerifiedHead, HeadError> {
        let note = SignedNote::parse(&self.checkpoint)?;
        let verified = trust.policy().verify_checkpoint(&note)?;
        let checkpoint = verified.checkpoint();
        let record = Record::decode_of(checkpoint.origin(), &self.record);
        let has_ended = matches!(&record, Ok(record) if record.successor.is_some());
        match verified.check_freshness(now_s, trust.max_age_s(), trust.skew_s()) {
            // A policy without witnesses has to be asked for by its name; it knows no time.
            Ok(()) | Err(FreshnessError::NoTimestamp) => {}
            // The head of a log that has ended stays its newest one.
            Err(FreshnessError::Stale { .. }) if has_ended => {}
            Err(error) => return Err(error.into()),
        }
        let (size, root) = (checkpoint.size(), checkpoint.root());
        if let Some(known) = known {
            check_follows(known, size, root, consistency)?;
        }
        if size < 2 {
            return Err(HeadError::NoEpoch);
        }
        let record = record?;
        verify_inclusion(
            size - 1,
            size,
            &leaf_hash(&self.record),
            &self.inclusion,
            root,
        )
        .map_err(HeadError::NotNewest)?;
        if let Some(known) = known {
            record.epoch.check_follows(&known.map)?;
        }
        Ok(VerifiedHead {
            checkpoint: verified,
            record,
        })
    }
}

fn check_follows(
    known: &KnownHead,
    size: u64,
    root: &Hash,
    consistency: &[Hash],
) -> Result<(), HeadError> {
    if size < known.size {
        return Err(HeadError::RolledBack {
            size,
            known: known.size,
        });
    }
    if size == known.size && *root != known.root {
        return Err(HeadError::SplitView { size });
    }
    verify_consistency(known.size, &known.root, size, root, consistency).map_err(|source| {
        HeadError::Inconsistent {
            known: known.size,
            source,
        }
    })
}
