//! How far a map was checked, and the check of the next epoch.

use candor_core::Hash;
use candor_core::codec::{DecodeError, Reader};
use candor_core::epoch::{LogConfig, MapState, Record, RecordOrderError};
use candor_core::log::{Frontier, LogFull, leaf_hash};
use candor_core::map::{AuditDelta, DeltaError};
use thiserror::Error;

const FORMAT: u8 = 1;

/// The format of the progress of a log that has ended.
const FORMAT_ENDED: u8 = 2;

/// Why an epoch, or the log's configuration, was refused. The log is at fault, or whoever speaks
/// for it on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MapFault {
    /// Record 0 is no configuration.
    #[error("record 0 is refused: {0}")]
    Config(DecodeError),
    /// Record 0 names another log.
    #[error("record 0 names another log")]
    OtherLog,
    /// The epoch's record is none.
    #[error("record {epoch} is refused: {source}")]
    Record {
        /// The epoch.
        epoch: u64,
        /// What is wrong.
        source: DecodeError,
    },
    /// The record does not follow the one before.
    #[error("record {epoch} is refused: {source}")]
    Order {
        /// The epoch.
        epoch: u64,
        /// What is wrong.
        source: RecordOrderError,
    },
    /// The record states another digest than that of the delta.
    #[error("the delta of epoch {epoch} is not the one of its record")]
    Digest {
        /// The epoch.
        epoch: u64,
    },
    /// The delta does not lead from the old map to the new one by insertions.
    #[error("the delta of epoch {epoch} is refused: {source}")]
    Delta {
        /// The epoch.
        epoch: u64,
        /// What is wrong.
        source: DeltaError,
    },
    /// The log has more entries than a log can have.
    #[error(transparent)]
    Full(#[from] LogFull),
}

/// All that is needed to check the next epoch; its length does not depend on the map's.
///
/// ```text
/// struct { uint8 format; opaque root[32]; uint64 leaves; uint64 timestamp_ms;
///          Frontier frontier; } MapProgress;          // format 1, or 2 if the log has ended
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapProgress {
    state: MapState,
    frontier: Frontier,
    /// The newest record was the last one.
    has_ended: bool,
}

impl MapProgress {
    /// Starts from record 0. A wrong one leads to roots that the log did not sign.
    ///
    /// # Errors
    ///
    /// [`MapFault`].
    pub fn start(origin: &str, record: &[u8]) -> Result<Self, MapFault> {
        let config = LogConfig::decode(record).map_err(MapFault::Config)?;
        if config.origin != origin {
            return Err(MapFault::OtherLog);
        }
        let mut frontier = Frontier::new();
        frontier.append(leaf_hash(record))?;
        Ok(Self {
            state: config.start(),
            frontier,
            has_ended: false,
        })
    }

    /// Entries of the log up to which the map was checked; also the number of the next epoch.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Versions in the map.
    pub const fn leaves(&self) -> u64 {
        self.state.leaves
    }

    /// Root of the log at that size, if the log is what the feed says.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Checks the next epoch of the log with this origin and returns what is known after it.
    ///
    /// # Errors
    ///
    /// [`MapFault`].
    pub fn after(
        &self,
        origin: &str,
        record_bytes: &[u8],
        delta: &AuditDelta,
    ) -> Result<Self, MapFault> {
        let epoch = self.size();
        let order = |source| MapFault::Order { epoch, source };
        if self.has_ended {
            return Err(order(RecordOrderError::Ended));
        }
        let record = Record::decode_of(origin, record_bytes);
        let record = record.map_err(|source| MapFault::Record { epoch, source })?;
        if record.epoch.audit_digest != delta.digest() {
            return Err(MapFault::Digest { epoch });
        }
        let verified = delta
            .verify(&self.state.root, &record.epoch.prefix_tree)
            .map_err(|source| MapFault::Delta { epoch, source })?;
        let inserts = verified.inserts().len();
        record.check_inserts(&self.state, inserts).map_err(order)?;
        let mut frontier = self.frontier.clone();
        frontier.append(leaf_hash(record_bytes))?;
        Ok(Self {
            state: record.epoch.state(),
            frontier,
            has_ended: record.successor.is_some(),
        })
    }

    /// The encoding at rest.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![match self.has_ended {
            false => FORMAT,
            true => FORMAT_ENDED,
        }];
        out.extend(self.state.root.0);
        out.extend(self.state.leaves.to_be_bytes());
        out.extend(self.state.timestamp_ms.to_be_bytes());
        out.extend(self.frontier.encode());
        out
    }

    /// Reads what [`Self::encode`] made.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the storage is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let has_ended = match reader.u8("format")? {
            FORMAT => false,
            FORMAT_ENDED => true,
            _ => return Err(DecodeError::Invalid { field: "format" }),
        };
        let state = MapState {
            root: reader.hash("map root")?,
            leaves: reader.u64("leaves")?,
            timestamp_ms: reader.u64("timestamp")?,
        };
        let rest = reader.remaining();
        let frontier = Frontier::decode(reader.bytes(rest, "frontier")?)?;
        Ok(Self {
            state,
            frontier,
            has_ended,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use candor_core::crypto::{Commitment, Ed25519SecretKey, SearchKey};
    use candor_core::epoch::{EpochRecord, Successor};
    use candor_core::map::{Leaf, Leaves};
    use candor_core::note::{KeyName, VerifierKey};

    const ORIGIN: &str = "log.example";

    fn start() -> MapProgress {
        let config = LogConfig {
            origin: ORIGIN.to_owned(),
            vrf_public_key: [3; 32],
            created_ms: 4,
        };
        MapProgress::start(ORIGIN, &config.encode()).unwrap()
    }

    const LEAF: Leaf = Leaf {
        key: SearchKey([1; 32]),
        commitment: Commitment([2; 32]),
    };

    /// The first epoch of a map: one leaf.
    fn first() -> (EpochRecord, AuditDelta) {
        let leaf = LEAF;
        let delta = AuditDelta::build(&Leaves::root(&[]), &[leaf]).unwrap();
        let record = EpochRecord {
            timestamp_ms: 5,
            prefix_tree: Leaves::root(&[leaf]).subtree_hash(),
            leaves: 1,
            audit_digest: delta.digest(),
        };
        (record, delta)
    }

    #[test]
    fn an_honest_epoch_is_accepted_and_the_state_reads_back() {
        let (record, delta) = first();
        let after = start().after(ORIGIN, &record.encode(), &delta).unwrap();
        assert_eq!(after.size(), 2);
        for progress in [start(), after] {
            let bytes = progress.encode();
            assert_eq!(MapProgress::decode(&bytes), Ok(progress));
            for length in 0..bytes.len() {
                assert!(MapProgress::decode(&bytes[..length]).is_err());
            }
        }
    }

    /// The last record of a log: an epoch without insertions after `before`.
    fn last(before: &EpochRecord, leaf: &Leaf) -> (Record, AuditDelta) {
        let delta = AuditDelta::build(&Leaves::root(&[*leaf]), &[]).unwrap();
        let name = KeyName::new("next.example").unwrap();
        let key = VerifierKey::ed25519(name, Ed25519SecretKey::from_seed(&[1; 32]).public_key());
        let config = LogConfig {
            origin: "next.example".to_owned(),
            vrf_public_key: [5; 32],
            created_ms: 6,
        };
        let record = Record {
            epoch: EpochRecord {
                audit_digest: delta.digest(),
                ..*before
            },
            successor: Some(Successor::new(&config, &[key]).unwrap()),
        };
        (record, delta)
    }

    #[test]
    fn nothing_follows_the_last_record_and_it_inserts_nothing() {
        let (record, delta) = first();
        let ending = last(&record, &LEAF).0.successor;
        let inserting = Record {
            epoch: record,
            successor: ending,
        };
        let refused = start()
            .after(ORIGIN, &inserting.encode(), &delta)
            .unwrap_err();
        let source = RecordOrderError::LeafCount;
        assert_eq!(refused, MapFault::Order { epoch: 1, source });

        let before = start().after(ORIGIN, &record.encode(), &delta).unwrap();
        let (end, empty) = last(&record, &LEAF);
        let heartbeat = Record {
            successor: None,
            ..end.clone()
        };
        // It cannot go on as itself.
        let itself = before.after("next.example", &end.encode(), &empty);
        let source = DecodeError::Invalid { field: "successor" };
        assert_eq!(itself, Err(MapFault::Record { epoch: 2, source }));
        let ended = before.after(ORIGIN, &end.encode(), &empty).unwrap();
        // Not after a restart either.
        let ended = MapProgress::decode(&ended.encode()).unwrap();
        for record in [heartbeat, end] {
            let refused = ended.after(ORIGIN, &record.encode(), &empty).unwrap_err();
            let source = RecordOrderError::Ended;
            assert_eq!(refused, MapFault::Order { epoch: 3, source });
        }
    }

    #[test]
    fn every_other_epoch_is_refused() {
        let (record, delta) = first();
        let refused =
            |record: EpochRecord| start().after(ORIGIN, &record.encode(), &delta).unwrap_err();
        let other_digest = EpochRecord {
            audit_digest: Hash::ZERO,
            ..record
        };
        assert_eq!(refused(other_digest), MapFault::Digest { epoch: 1 });
        let other_root = EpochRecord {
            prefix_tree: Hash::ZERO,
            ..record
        };
        assert!(matches!(
            refused(other_root),
            MapFault::Delta { epoch: 1, .. }
        ));
        for record in [
            EpochRecord {
                leaves: 2,
                ..record
            },
            EpochRecord {
                timestamp_ms: 3,
                ..record
            },
        ] {
            assert!(matches!(refused(record), MapFault::Order { epoch: 1, .. }));
        }
        let garbage = start().after(ORIGIN, &record.encode()[1..], &delta);
        assert!(matches!(garbage, Err(MapFault::Record { epoch: 1, .. })));
        let again = start().after(ORIGIN, &record.encode(), &delta).unwrap();
        assert!(again.after(ORIGIN, &record.encode(), &delta).is_err());
    }

    #[test]
    fn the_configuration_must_be_of_the_log() {
        let config = LogConfig {
            origin: ORIGIN.to_owned(),
            vrf_public_key: [3; 32],
            created_ms: 4,
        };
        let bytes = config.encode();
        assert_eq!(MapProgress::start("other", &bytes), Err(MapFault::OtherLog));
        assert!(matches!(
            MapProgress::start(ORIGIN, &bytes[1..]),
            Err(MapFault::Config(_))
        ));
    }
}
