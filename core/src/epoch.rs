//! The records of the log: what each leaf of the log of epochs says.
//!
//! Record 0 is the log's configuration, so that the keys by which the log is read are themselves in
//! the log and no two devices can be given different ones. Record e > 0 binds the map after epoch e
//! to its time, its size and its audit delta. One record follows another only by
//! [`EpochRecord::check_follows`]; devices and witnesses use the same rule.
//!
//! ```text
//! struct { uint8 kind = 0; uint16 suite; opaque origin<1..255>; opaque vrf_public_key[32];
//!          uint64 created_ms; } LogConfig;
//! struct { uint8 kind = 1; uint64 timestamp_ms; opaque prefix_tree[32]; uint64 leaves;
//!          opaque audit_digest[32]; } EpochRecord;
//! struct { uint8 kind = 2; uint64 timestamp_ms; opaque prefix_tree[32]; uint64 leaves;
//!          opaque audit_digest[32]; Successor successor; } EndRecord;
//! struct { opaque origin<1..255>; opaque config[32]; uint8 count; opaque keys[count][32]; }
//!        Successor;
//! ```
//!
//! The last kind is the last record of a log: it inserts nothing, and nothing follows it.

mod end;

pub use end::{Record, Successor, SuccessorError};

use thiserror::Error;

use crate::Hash;
use crate::codec::{DecodeError, Reader, Writer as _};
use crate::crypto::suite::CIPHER_SUITE;
use crate::limits::{EPOCH_INSERTS_MAX, KEY_NAME_BYTES_MAX};

const CONFIG: u8 = 0;
const EPOCH: u8 = 1;

/// Record 0: the log's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The log's origin, as in its checkpoints.
    pub origin: String,
    /// The VRF public key that maps label-versions to search keys, encoded, not validated here.
    pub vrf_public_key: [u8; 32],
    /// When the log was created, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

impl LogConfig {
    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![CONFIG];
        out.extend(CIPHER_SUITE.to_be_bytes());
        out.opaque8(self.origin.as_bytes());
        out.extend(self.vrf_public_key);
        out.extend(self.created_ms.to_be_bytes());
        out
    }

    /// Reads a configuration record.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the bytes are no configuration record, or one of a suite that this version
    /// does not know (field `suite`).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("record kind")? != CONFIG {
            return Err(DecodeError::Invalid {
                field: "record kind",
            });
        }
        if reader.u16("suite")? != CIPHER_SUITE {
            return Err(DecodeError::Invalid { field: "suite" });
        }
        let origin = reader.opaque8(KEY_NAME_BYTES_MAX, "origin")?;
        let origin =
            str::from_utf8(origin).map_err(|_| DecodeError::Invalid { field: "origin" })?;
        if origin.is_empty() {
            return Err(DecodeError::Invalid { field: "origin" });
        }
        let config = Self {
            origin: origin.to_owned(),
            vrf_public_key: reader.array("vrf public key")?,
            created_ms: reader.u64("creation time")?,
        };
        reader.finish()?;
        Ok(config)
    }

    /// The state of the map that the first epoch starts from.
    pub const fn start(&self) -> MapState {
        MapState {
            root: Hash::ZERO,
            leaves: 0,
            timestamp_ms: self.created_ms,
        }
    }
}

/// Record e > 0: one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// When the epoch was closed, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Root of the map after the epoch.
    pub prefix_tree: Hash,
    /// Number of label-versions in the map after the epoch.
    pub leaves: u64,
    /// Digest of the epoch's audit delta.
    pub audit_digest: Hash,
}

/// What is known of the map after some record: all that the next record is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapState {
    /// Root of the map.
    pub root: Hash,
    /// Number of label-versions in the map.
    pub leaves: u64,
    /// Time of the record, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
}

/// Why a record cannot follow an earlier one. The log is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordOrderError {
    /// The time went back.
    #[error("the record's time is before that of an earlier record")]
    TimeWentBack,
    /// The map became smaller.
    #[error("the map holds fewer label-versions than before")]
    LeavesWentBack,
    /// The map has another number of leaves than the epoch's insertions give.
    #[error("the number of label-versions does not follow from the insertions")]
    LeafCount,
    /// The log has ended.
    #[error("the log had ended before this record")]
    Ended,
}

impl EpochRecord {
    /// Length of the encoding in bytes.
    pub const BYTES: usize = 1 + 8 + 32 + 8 + 32;

    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES);
        out.push(EPOCH);
        out.extend(self.timestamp_ms.to_be_bytes());
        out.extend(self.prefix_tree.0);
        out.extend(self.leaves.to_be_bytes());
        out.extend(self.audit_digest.0);
        out
    }

    /// Reads an epoch's record.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the bytes are no record of an epoch.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("record kind")? != EPOCH {
            return Err(DecodeError::Invalid {
                field: "record kind",
            });
        }
        let record = Self::decode_fields(&mut reader)?;
        reader.finish()?;
        Ok(record)
    }

    /// Reads what all kinds of records but record 0 have behind their kind.
    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            timestamp_ms: reader.u64("timestamp")?,
            prefix_tree: reader.hash("prefix tree root")?,
            leaves: reader.u64("leaves")?,
            audit_digest: reader.hash("audit digest")?,
        })
    }

    /// The state of the map after this record.
    pub const fn state(&self) -> MapState {
        MapState {
            root: self.prefix_tree,
            leaves: self.leaves,
            timestamp_ms: self.timestamp_ms,
        }
    }

    /// Checks what must hold between any earlier state of the map and this record.
    ///
    /// # Errors
    ///
    /// [`RecordOrderError`]: time or size went back; the log is at fault.
    pub const fn check_follows(&self, earlier: &MapState) -> Result<(), RecordOrderError> {
        if self.timestamp_ms < earlier.timestamp_ms {
            return Err(RecordOrderError::TimeWentBack);
        }
        if self.leaves < earlier.leaves {
            return Err(RecordOrderError::LeavesWentBack);
        }
        Ok(())
    }

    /// Checks what must hold between the state just before this record, the insertions of the
    /// epoch, and this record.
    ///
    /// # Errors
    ///
    /// [`RecordOrderError`]; the log is at fault.
    pub fn check_inserts(&self, before: &MapState, count: usize) -> Result<(), RecordOrderError> {
        self.check_follows(before)?;
        debug_assert!(count <= EPOCH_INSERTS_MAX);
        if before.leaves.checked_add(count as u64) != Some(self.leaves) {
            return Err(RecordOrderError::LeafCount);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record() -> EpochRecord {
        EpochRecord {
            timestamp_ms: 5,
            prefix_tree: Hash([1; 32]),
            leaves: 7,
            audit_digest: Hash([2; 32]),
        }
    }

    #[test]
    fn records_round_trip_and_have_one_encoding() {
        let config = LogConfig {
            origin: "log.example".into(),
            vrf_public_key: [3; 32],
            created_ms: 4,
        };
        assert_eq!(LogConfig::decode(&config.encode()).unwrap(), config);
        assert_eq!(EpochRecord::decode(&record().encode()).unwrap(), record());
        assert_eq!(record().encode().len(), EpochRecord::BYTES);
        assert!(EpochRecord::decode(&config.encode()).is_err());
        assert!(LogConfig::decode(&record().encode()).is_err());
        for bytes in [config.encode(), record().encode()] {
            let longer = [&bytes[..], &[0]].concat();
            for damaged in [&bytes[..bytes.len() - 1], &longer] {
                assert!(LogConfig::decode(damaged).is_err());
                assert!(EpochRecord::decode(damaged).is_err());
            }
        }
    }

    #[test]
    fn a_configuration_needs_a_known_suite_and_an_origin() {
        let config = LogConfig {
            origin: "log.example".into(),
            vrf_public_key: [3; 32],
            created_ms: 4,
        };
        let mut bytes = config.encode();
        bytes[2] = 1;
        assert_eq!(
            LogConfig::decode(&bytes),
            Err(DecodeError::Invalid { field: "suite" })
        );
        let nameless = LogConfig {
            origin: String::new(),
            ..config
        };
        let refused = Err(DecodeError::Invalid { field: "origin" });
        assert_eq!(LogConfig::decode(&nameless.encode()), refused);
    }

    #[test]
    fn neither_time_nor_size_goes_back() {
        let state = record().state();
        assert_eq!(record().check_follows(&state), Ok(()));
        let earlier = EpochRecord {
            timestamp_ms: 4,
            ..record()
        };
        assert_eq!(
            earlier.check_follows(&state),
            Err(RecordOrderError::TimeWentBack)
        );
        let smaller = EpochRecord {
            leaves: 6,
            ..record()
        };
        assert_eq!(
            smaller.check_follows(&state),
            Err(RecordOrderError::LeavesWentBack)
        );
    }

    #[test]
    fn the_leaf_count_follows_from_the_insertions() {
        let before = MapState {
            leaves: 5,
            ..record().state()
        };
        assert_eq!(record().check_inserts(&before, 2), Ok(()));
        assert_eq!(
            record().check_inserts(&before, 1),
            Err(RecordOrderError::LeafCount)
        );
        let full = MapState {
            leaves: u64::MAX,
            ..record().state()
        };
        let after = EpochRecord {
            leaves: u64::MAX,
            ..record()
        };
        assert_eq!(
            after.check_inserts(&full, 1),
            Err(RecordOrderError::LeafCount)
        );
    }
}
