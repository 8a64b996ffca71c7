//! What a device remembers: of the log, of each account, and of what it published itself.
//!
//! ```text
//! struct { uint8 format; KnownHead head; opaque config<0..2^16-1>;  // 2 or 4 with a second head,
//!          opaque checkpoint<0..2^32-1>;                            // 3 or 4 of a log that ended,
//!          select (format) { case 2, 4: opaque second<0..2^32-1>; };                    // else 1
//!          select (format) { case 3, 4: Successor successor; };
//!        } LogMemory;         // under 1 KiB, and as much for a second head, without ML-DSA-44
//! struct { uint8 format = 1; uint32 greatest; opaque commitment[32]; } AccountMemory;  // 37 bytes
//! struct { uint8 format = 1; optional<AccountMemory> monitored;
//!          uint8 count; struct { uint32 version; opaque value_hash[32]; } published[count];
//!        } OwnMemory;                    // published strictly ascending; versions may repeat
//! ```

use candor_core::Hash;
use candor_core::answer::{KnownHead, VerifiedAccount};
use candor_core::codec::{DecodeError, Reader, Writer as _};
use candor_core::crypto::Commitment;
use candor_core::epoch::{LogConfig, Successor};
use candor_core::limits::NOTE_BYTES_MAX;
use candor_core::note::{
    Algorithm, Policy, SignatureLine, SignedNote, VerifiedCheckpoint, VerifierKey,
};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::store::{Key, StoreError};

const FORMAT: u8 = 1;

/// What a second head adds to the format of a [`LogMemory`].
const WITH_SECOND: u8 = 1;

/// What a successor adds to the format of a [`LogMemory`].
const WITH_SUCCESSOR: u8 = 2;

/// Length of [`KnownHead::encode`] in bytes.
const KNOWN_HEAD_BYTES: usize = 88;

/// Most versions that a device remembers as published by itself and not yet monitored.
pub(crate) const PUBLISHED_MAX: usize = 128;

/// The kinds of entries, as their keys tell them apart.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Log = 1,
    Account = 2,
    Own = 3,
    Device = 4,
    Shared = 5,
    Uploaded = 6,
    Alerts = 7,
    Contacts = 8,
    Contact = 9,
}

/// The key of an entry: a digest over kind, log and label.
pub(crate) fn key(kind: Kind, origin: &str, label: &[u8]) -> Key {
    let mut input = b"candor-sdk entry".to_vec();
    input.push(kind as u8);
    input.opaque16(origin.as_bytes());
    input.extend_from_slice(label);
    Sha256::digest(&input).into()
}

/// What is remembered of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogMemory {
    pub(crate) known: KnownHead,
    pub(crate) config: LogConfig,
    /// The checkpoint of `known`, with the signatures that made it acceptable and no other.
    pub(crate) note: SignedNote,
    /// The second checkpoint, likewise, if one is asked for. `known` extends it.
    pub(crate) second: Option<SignedNote>,
    /// The log that this one goes on as, if the record of `known` ended it: nothing follows that.
    pub(crate) successor: Option<Successor>,
}

impl LogMemory {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let with = |is_there, what| if is_there { what } else { 0 };
        let second = with(self.second.is_some(), WITH_SECOND);
        let mut out = vec![FORMAT + second + with(self.successor.is_some(), WITH_SUCCESSOR)];
        out.extend(self.known.encode());
        out.opaque16(&self.config.encode());
        out.opaque32(&self.note.to_bytes());
        if let Some(second) = &self.second {
            out.opaque32(&second.to_bytes());
        }
        if let Some(successor) = &self.successor {
            successor.encode(&mut out);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader::new(bytes);
        let decoded = (|| {
            let parts = match reader.u8("format")?.checked_sub(FORMAT) {
                Some(parts) if parts <= WITH_SECOND | WITH_SUCCESSOR => parts,
                _ => return Err(DecodeError::Invalid { field: "format" }),
            };
            let known = KnownHead::decode(reader.bytes(KNOWN_HEAD_BYTES, "head")?)?;
            let config = LogConfig::decode(reader.opaque16(usize::from(u16::MAX), "config")?)?;
            let note = read_note(&mut reader, "checkpoint")?;
            let second = match parts & WITH_SECOND {
                0 => None,
                _ => Some(read_note(&mut reader, "second checkpoint")?),
            };
            let successor = match parts & WITH_SUCCESSOR {
                0 => None,
                _ => Some(Successor::decode_from(&mut reader)?),
            };
            reader.finish()?;
            Ok(Self {
                known,
                config,
                note,
                second,
                successor,
            })
        })();
        decoded.map_err(damaged)
    }
}

/// The greatest version of an account that was verified, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountMemory {
    pub(crate) greatest: u32,
    pub(crate) commitment: Commitment,
}

impl AccountMemory {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend(self.greatest.to_be_bytes());
        out.extend(self.commitment.0);
        out
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        check_format(reader)?;
        Ok(Self {
            greatest: reader.u32("greatest version")?,
            commitment: Commitment(reader.array("commitment")?),
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader::new(bytes);
        let decoded = Self::decode_from(&mut reader).and_then(|memory| {
            reader.finish()?;
            Ok(memory)
        });
        decoded.map_err(damaged)
    }

    /// Check 8 of the protocol: what is `remembered` is still there, unchanged. Returns what to
    /// remember now: the newest version, unless the answer did not open the remembered one, which
    /// then stays remembered so that its content will be compared.
    pub(crate) fn check(
        remembered: Option<Self>,
        account: &VerifiedAccount,
    ) -> Result<Option<Self>, Error> {
        let newest = account.newest().map(|newest| Self {
            greatest: newest.version(),
            commitment: *newest.commitment(),
        });
        let Some(remembered) = remembered else {
            return Ok(newest);
        };
        if account.greatest() < Some(remembered.greatest) {
            return Err(Error::VersionWentBack {
                remembered: remembered.greatest,
                greatest: account.greatest(),
            });
        }
        let mut opened = account.opened().iter();
        match opened.find(|version| version.version() == remembered.greatest) {
            Some(version) if *version.commitment() == remembered.commitment => Ok(newest),
            Some(version) => Err(Error::ContentChanged {
                version: version.version(),
            }),
            None => Ok(Some(remembered)),
        }
    }
}

/// What is remembered of an account of this device's owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnMemory {
    /// The newest version that monitoring found in order, or the person acknowledged.
    pub(crate) monitored: Option<AccountMemory>,
    /// What this device submitted since: version and SHA-256 of the value, strictly ascending. A
    /// version may have several values, when an attempt's outcome was unknown and another followed.
    pub(crate) published: Vec<(u32, Hash)>,
}

impl OwnMemory {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.present(self.monitored.is_some());
        if let Some(monitored) = &self.monitored {
            out.extend(monitored.encode());
        }
        out.push(u8::try_from(self.published.len()).expect("at most PUBLISHED_MAX"));
        for (version, hash) in &self.published {
            out.extend(version.to_be_bytes());
            out.extend(hash.0);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader::new(bytes);
        let decoded = (|| {
            check_format(&mut reader)?;
            let monitored = match reader.present("monitored")? {
                true => Some(AccountMemory::decode_from(&mut reader)?),
                false => None,
            };
            let count = usize::from(reader.u8("published")?);
            let mut published = Vec::with_capacity(count);
            for _ in 0..count {
                published.push((reader.u32("version")?, reader.hash("value hash")?));
            }
            let ascending = published.is_sorted_by(|a, b| a < b);
            if !ascending || count > PUBLISHED_MAX {
                return Err(DecodeError::Invalid { field: "published" });
            }
            reader.finish()?;
            Ok(Self {
                monitored,
                published,
            })
        })();
        decoded.map_err(damaged)
    }

    /// Remembers, before it is sent, that this device publishes a value. Returns whether that is
    /// new: it is not if an earlier attempt, whose outcome is unknown, was the same.
    pub(crate) fn publish(&mut self, version: u32, value: Hash) -> Result<bool, Error> {
        // A monitored version has its value for good: nothing published now can become it.
        if self.monitored.is_some_and(|it| version <= it.greatest) {
            return Ok(false);
        }
        let entry = (version, value);
        let Err(place) = self.published.binary_search(&entry) else {
            return Ok(false);
        };
        if self.published.len() >= PUBLISHED_MAX {
            return Err(Error::NotMonitored {
                limit: PUBLISHED_MAX,
            });
        }
        self.published.insert(place, entry);
        Ok(true)
    }

    /// Forgets a publication that was refused.
    pub(crate) fn withdraw(&mut self, version: u32, value: Hash) {
        self.published.retain(|entry| *entry != (version, value));
    }

    /// Monitoring is done up to this version.
    pub(crate) fn monitored_to(&mut self, newest: AccountMemory) {
        self.published.retain(|entry| entry.0 > newest.greatest);
        self.monitored = Some(newest);
    }
}

/// What a published value is remembered by.
pub(crate) fn value_hash(value: &[u8]) -> Hash {
    Hash(Sha256::digest(value).into())
}

/// The note with the fewest lines that satisfy the policy at the same time, the newest of each
/// witness that the quorum cannot do without, and that stay evidence if the policy drops one of the
/// log's keys later: those of the log, but for an ML-DSA-44 one that is as long as all the others.
pub(crate) fn fewest_lines(
    policy: &Policy,
    note: &SignedNote,
    verified: &VerifiedCheckpoint,
) -> SignedNote {
    let log_keys = policy.logs().iter().map(|log| log.key());
    let (long, short): (Vec<_>, Vec<_>) =
        log_keys.partition(|key| key.algorithm() == Algorithm::MlDsa44);
    let line_of = |key: &&VerifierKey| note.signatures().iter().find(|line| line.claims(key));
    let mut lines: Vec<SignatureLine> = short.iter().filter_map(line_of).cloned().collect();
    if lines.is_empty() {
        lines.extend(long.iter().find_map(line_of).cloned());
    }
    let since_s = verified.quorum_timestamp_s().unwrap_or(0);
    let mut needed: Vec<_> = verified
        .cosignatures()
        .iter()
        .filter(|each| each.timestamp_s() >= since_s)
        .map(|each| each.witness())
        .collect();
    for candidate in needed.clone() {
        let others = |witness: &candor_core::note::PolicyWitness| {
            witness.name() != candidate && needed.contains(&witness.name())
        };
        if policy.is_satisfied_by(others) {
            needed.retain(|name| *name != candidate);
        }
    }
    for witness in policy.witnesses() {
        if needed.contains(&witness.name()) {
            // All of these lines were verified, and begin with their time.
            let time_s = |line: &&SignatureLine| line.signature().first_chunk::<8>().copied();
            let claimed = note
                .signatures()
                .iter()
                .filter(|line| line.claims(witness.key()));
            lines.extend(claimed.max_by_key(time_s).cloned());
        }
    }
    SignedNote::new(note.text().to_owned(), lines).unwrap_or_else(|_| note.clone())
}

fn read_note(reader: &mut Reader<'_>, field: &'static str) -> Result<SignedNote, DecodeError> {
    let bytes = reader.opaque32(NOTE_BYTES_MAX, field)?;
    SignedNote::parse(bytes).map_err(|_| DecodeError::Invalid { field })
}

fn check_format(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.u8("format")? {
        FORMAT => Ok(()),
        _ => Err(DecodeError::Invalid { field: "format" }),
    }
}

fn damaged(_: DecodeError) -> StoreError {
    StoreError::Damaged {
        what: "malformed entry",
    }
}
