//! The last record of a log that goes on as another one.

use thiserror::Error;

use super::{EpochRecord, LogConfig, MapState, RecordOrderError};
use crate::Hash;
use crate::codec::{DecodeError, Reader, Writer as _};
use crate::limits::{KEY_NAME_BYTES_MAX, SUCCESSOR_KEYS_MAX};
use crate::log::leaf_hash;
use crate::note::{KeyName, VerifierKey};
use sha2::{Digest as _, Sha256};

const END: u8 = 2;

/// A record e > 0: an epoch, or the last one, which inserts nothing and names the log's successor.
/// No record follows that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it says as the record of an epoch.
    pub epoch: EpochRecord,
    /// The log that this one goes on as, if this is its last record.
    pub successor: Option<Successor>,
}

/// The log that another one goes on as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    origin: String,
    config: Hash,
    keys: Vec<Hash>,
}

/// Why a log is not the successor that was named. Who says that it is, is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SuccessorError {
    /// Record 0 is another one.
    #[error("the log's configuration is not that of the successor")]
    Config,
    /// The key is none of those that the successor began with.
    #[error("the key is none of those that the successor began with")]
    Key,
    /// A successor has at least one key, and at most [`SUCCESSOR_KEYS_MAX`].
    #[error("a successor has 1 to {SUCCESSOR_KEYS_MAX} keys")]
    KeyCount,
    /// The origin is no key name, or holds characters that a terminal obeys.
    #[error("a successor's origin is a key name without control characters")]
    Origin,
}

impl Successor {
    /// The log with this configuration, which begins to sign with these keys.
    ///
    /// # Errors
    ///
    /// [`SuccessorError::KeyCount`] or [`SuccessorError::Origin`]; the caller is at fault.
    pub fn new(config: &LogConfig, keys: &[VerifierKey]) -> Result<Self, SuccessorError> {
        let mut keys: Vec<Hash> = keys.iter().map(key_hash).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() || keys.len() > SUCCESSOR_KEYS_MAX {
            return Err(SuccessorError::KeyCount);
        }
        if !is_origin(&config.origin) {
            return Err(SuccessorError::Origin);
        }
        Ok(Self {
            origin: config.origin.clone(),
            config: leaf_hash(&config.encode()),
            keys,
        })
    }

    /// The successor's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Hash of the encoding: tells successors apart.
    pub fn hash(&self) -> Hash {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        Hash(Sha256::digest(bytes).into())
    }

    /// Checks that a log with this configuration is the successor.
    ///
    /// # Errors
    ///
    /// [`SuccessorError::Config`].
    pub fn check_config(&self, config: &LogConfig) -> Result<(), SuccessorError> {
        match leaf_hash(&config.encode()) == self.config {
            true => Ok(()),
            false => Err(SuccessorError::Config),
        }
    }

    /// Checks that the successor began with this key, before it is trusted for the log.
    ///
    /// # Errors
    ///
    /// [`SuccessorError::Key`].
    pub fn check_key(&self, key: &VerifierKey) -> Result<(), SuccessorError> {
        match self.keys.contains(&key_hash(key)) {
            true => Ok(()),
            false => Err(SuccessorError::Key),
        }
    }

    /// Appends the encoding, as it is in the last record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.opaque8(self.origin.as_bytes());
        out.extend(self.config.0);
        out.push(u8::try_from(self.keys.len()).expect("a successor has few keys"));
        for key in &self.keys {
            out.extend(key.0);
        }
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the bytes are no successor.
    pub fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let invalid = |field| DecodeError::Invalid { field };
        let origin = reader.opaque8(KEY_NAME_BYTES_MAX, "successor")?;
        let origin = str::from_utf8(origin).map_err(|_| invalid("successor"))?;
        if !is_origin(origin) {
            return Err(invalid("successor"));
        }
        let config = reader.hash("successor's configuration")?;
        let count = usize::from(reader.u8("successor's keys")?);
        if count == 0 || count > SUCCESSOR_KEYS_MAX {
            return Err(invalid("successor's keys"));
        }
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(reader.hash("successor's keys")?);
        }
        if !keys.is_sorted_by(|a, b| a < b) {
            return Err(invalid("successor's keys"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            config,
            keys,
        })
    }
}

/// What origins are made of, and nothing that is unsafe to show.
fn is_origin(text: &str) -> bool {
    KeyName::new(text).is_ok() && !text.contains(char::is_control)
}

fn key_hash(key: &VerifierKey) -> Hash {
    Hash(Sha256::digest(key.to_string()).into())
}

impl Record {
    /// Length of the longest encoding in bytes.
    pub const BYTES_MAX: usize =
        EpochRecord::BYTES + 1 + KEY_NAME_BYTES_MAX + 32 + 1 + SUCCESSOR_KEYS_MAX * 32;

    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.epoch.encode();
        if let Some(successor) = &self.successor {
            out[0] = END;
            successor.encode(&mut out);
        }
        out
    }

    /// Reads a record other than record 0.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the bytes are no such record.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.first() != Some(&END) {
            let epoch = EpochRecord::decode(bytes)?;
            return Ok(Self {
                epoch,
                successor: None,
            });
        }
        let mut reader = Reader::new(&bytes[1..]);
        let epoch = EpochRecord::decode_fields(&mut reader)?;
        let successor = Some(Successor::decode_from(&mut reader)?);
        reader.finish()?;
        Ok(Self { epoch, successor })
    }

    /// Checks what must hold between the state just before this record, the insertions of the
    /// epoch, and this record: [`EpochRecord::check_inserts`], and that the last one has none.
    ///
    /// # Errors
    ///
    /// [`RecordOrderError`]; the log is at fault.
    pub fn check_inserts(&self, before: &MapState, count: usize) -> Result<(), RecordOrderError> {
        self.epoch.check_inserts(before, count)?;
        match self.successor.is_some() && count > 0 {
            true => Err(RecordOrderError::LeafCount),
            false => Ok(()),
        }
    }

    /// Reads a record of the log with this origin, which cannot go on as itself.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the bytes are no such record.
    pub fn decode_of(origin: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let record = Self::decode(bytes)?;
        match &record.successor {
            Some(successor) if successor.origin == origin => {
                Err(DecodeError::Invalid { field: "successor" })
            }
            _ => Ok(record),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::Ed25519SecretKey;

    fn config(origin: &str) -> LogConfig {
        LogConfig {
            origin: origin.to_owned(),
            vrf_public_key: [3; 32],
            created_ms: 4,
        }
    }

    fn key(seed: u8) -> VerifierKey {
        let name = KeyName::new("next.example").unwrap();
        let secret = Ed25519SecretKey::from_seed(&[seed; 32]);
        VerifierKey::ed25519(name, secret.public_key())
    }

    fn last() -> Record {
        let keys = [key(1), key(2)];
        Record {
            epoch: EpochRecord {
                timestamp_ms: 5,
                prefix_tree: Hash([1; 32]),
                leaves: 7,
                audit_digest: Hash([2; 32]),
            },
            successor: Some(Successor::new(&config("next.example"), &keys).unwrap()),
        }
    }

    #[test]
    fn a_last_record_is_no_epoch_and_has_one_encoding() {
        let bytes = last().encode();
        assert!(EpochRecord::decode(&bytes).is_err());
        assert!(LogConfig::decode(&bytes).is_err());
        for length in 0..bytes.len() {
            assert!(Record::decode(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Record::decode(&[&bytes[..], &[0]].concat()).is_err());
        let keys_at = bytes.len() - 2 * 32 - 1;
        let mut swapped = bytes.clone();
        swapped[keys_at + 1..].rotate_left(32);
        let mut twice = bytes.clone();
        twice.copy_within(keys_at + 1..keys_at + 33, keys_at + 33);
        let mut none = bytes[..=keys_at].to_vec();
        none[keys_at] = 0;
        let mut many = bytes.clone();
        many[keys_at] = 5;
        many.extend([0xff; 3 * 32]);
        let mut nameless = bytes[..EpochRecord::BYTES].to_vec();
        nameless.push(0);
        nameless.extend(&bytes[EpochRecord::BYTES + 1 + "next.example".len()..]);
        for refused in [swapped, twice, none, many, nameless] {
            assert!(Record::decode(&refused).is_err());
        }
        assert_eq!(Record::decode(&bytes).unwrap(), last());
        assert!(bytes.len() <= Record::BYTES_MAX);
        let epoch = Record {
            successor: None,
            ..last()
        };
        assert_eq!(epoch.encode(), epoch.epoch.encode());
        assert_eq!(Record::decode(&epoch.encode()).unwrap(), epoch);
    }

    #[test]
    fn an_origin_that_is_unsafe_to_show_is_refused() {
        let bytes = last().encode();
        let with_origin = |origin: &str| {
            let mut other = bytes[..EpochRecord::BYTES].to_vec();
            other.opaque8(origin.as_bytes());
            other.extend(&bytes[EpochRecord::BYTES + 1 + "next.example".len()..]);
            Record::decode(&other)
        };
        assert_eq!(with_origin("next.example").unwrap(), last());
        assert_eq!(Record::decode_of("log.example", &bytes).unwrap(), last());
        let own = Record::decode_of("next.example", &bytes);
        assert_eq!(own, Err(DecodeError::Invalid { field: "successor" }));
        for character in [
            '\0', '\n', '\u{1b}', '\u{7f}', '\u{80}', '\u{9b}', ' ', '+', '\u{2028}',
        ] {
            let refused = with_origin(&format!("next{character}example"));
            assert!(refused.is_err(), "{character:?}");
        }
    }

    #[test]
    fn only_the_log_that_was_named_is_the_successor() {
        let successor = last().successor.unwrap();
        let config_error = Err(SuccessorError::Config);
        assert_eq!(
            successor.check_config(&config("other.example")),
            config_error
        );
        let other_vrf = LogConfig {
            vrf_public_key: [4; 32],
            ..config("next.example")
        };
        assert_eq!(successor.check_config(&other_vrf), config_error);
        assert_eq!(successor.check_key(&key(3)), Err(SuccessorError::Key));
        assert_eq!(successor.check_config(&config("next.example")), Ok(()));
        assert_eq!(successor.check_key(&key(2)), Ok(()));
        let shown = Successor::new(&config("a\u{1b}[2J"), &[key(1)]);
        assert_eq!(shown, Err(SuccessorError::Origin));
        let none = Successor::new(&config("next.example"), &[]);
        assert_eq!(none, Err(SuccessorError::KeyCount));
    }
}
