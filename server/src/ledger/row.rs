//! The forms of account rows and version rows: one encoding for each, and nothing that follows from
//! the rest of the row.
//!
//! ```text
//! struct {                                 struct {
//!   uint32 greatest;                         uint64 epoch;
//!   uint64 epoch;                            opaque opening[16];
//!   opaque opening[16];                      KnownKey key;
//!   Rung ladder[L];                          opaque value[rest];
//!   opaque value[rest];                    } VersionRow;
//! } AccountRow;
//!                                          struct {
//! struct {                                   uint8 erased = 1;
//!   KnownKey key;                            uint56 epoch;
//!   optional commitment[32];                 opaque commitment[32];
//! } Rung;                                    KnownKey key;
//!                                          } ErasedRow;
//! struct {
//!   uint8 known;  /* 0 nothing, 1 key, 2 both */
//!   optional key[32];
//!   optional proof[80];
//! } KnownKey;
//! ```
//!
//! The first byte of a `VersionRow` is 0: no log has 2^56 epochs. So rows of versions that were
//! written before there were erased ones are what they were.
//!
//! The ladder is that of `greatest`, so its versions are not written. A version that exists has a
//! key, and its commitment follows, except that of `greatest`: opening and value give it.

use candor_core::account::Label;
use candor_core::codec::{DecodeError, Reader};
use candor_core::crypto::{Commitment, Opening, SearchKey, VrfProof};
use candor_core::map::ladder::search_ladder;

use super::account::{Account, Earlier, ProvenKey, Rung, Version};

/// The row of an account; none for a label without versions.
pub(super) fn encode_account(account: &Account) -> Option<Vec<u8>> {
    let (greatest, version) = account.newest()?;
    let rungs = account.rungs();
    let mut row = Vec::with_capacity(28 + rungs.len() * 145 + version.value.len());
    row.extend(greatest.to_be_bytes());
    row.extend(version.epoch.to_be_bytes());
    row.extend(version.opening.0);
    for rung in rungs {
        put_key(&mut row, rung);
        if let Some(commitment) = rung.commitment().filter(|_| rung.version() < *greatest) {
            row.extend(commitment.0);
        }
    }
    row.extend(&version.value);
    Some(row)
}

/// The account of a row.
pub(crate) fn decode_account(label: Label, row: &[u8]) -> Result<Account, DecodeError> {
    let mut reader = Reader::new(row);
    let greatest = reader.u32("greatest")?;
    let epoch = reader.u64("epoch")?;
    let opening = Opening(reader.array("opening")?);
    let mut rungs = Vec::new();
    for number in search_ladder(Some(greatest)) {
        let known = Known::read(&mut reader, number <= greatest)?;
        let commitment = if number < greatest {
            Some(Commitment(reader.array("commitment")?))
        } else {
            None
        };
        rungs.push((number, known, commitment));
    }
    let version = Version {
        epoch,
        opening,
        value: reader.bytes(reader.remaining(), "value")?.to_vec(),
    };
    let rung = |(number, known, commitment): (u32, Known, Option<Commitment>)| {
        let is_newest = number == greatest;
        known.rung(
            number,
            commitment.or_else(|| is_newest.then(|| version.commitment(&label, greatest))),
        )
    };
    let rungs = rungs.into_iter().map(rung).collect();
    Ok(Account::new(label, Some((greatest, version)), rungs))
}

/// The row of a version that is not the newest any more.
pub(super) fn encode_version(rung: &Rung, version: &Version) -> Vec<u8> {
    let mut row = Vec::with_capacity(137 + version.value.len());
    row.extend(version.epoch.to_be_bytes());
    row.extend(version.opening.0);
    put_key(&mut row, rung);
    row.extend(&version.value);
    row
}

/// The row of a version whose opening and value are erased. `None` if there can be no such row: a
/// version that exists has a search key and a commitment, and no log has 2^56 epochs.
pub(super) fn encode_erased(epoch: u64, rung: &Rung) -> Option<Vec<u8>> {
    let ([0, epoch @ ..], commitment) = (epoch.to_be_bytes(), rung.commitment()?) else {
        return None;
    };
    rung.key()?;
    let mut row = Vec::with_capacity(153);
    row.push(ERASED);
    row.extend(epoch);
    row.extend(commitment.0);
    put_key(&mut row, rung);
    Some(row)
}

/// The version of a row.
pub(crate) fn decode_version(
    label: &Label,
    number: u32,
    row: &[u8],
) -> Result<Earlier, DecodeError> {
    if let Some((&ERASED, row)) = row.split_first() {
        return decode_erased(number, row);
    }
    let mut reader = Reader::new(row);
    let epoch = reader.u64("epoch")?;
    let opening = Opening(reader.array("opening")?);
    let known = Known::read(&mut reader, true)?;
    let version = Version {
        epoch,
        opening,
        value: reader.bytes(reader.remaining(), "value")?.to_vec(),
    };
    let rung = known.rung(number, Some(version.commitment(label, number)));
    Ok(Earlier {
        epoch,
        rung,
        kept: Some(version),
    })
}

/// What follows the first byte of an erased version's row.
fn decode_erased(number: u32, row: &[u8]) -> Result<Earlier, DecodeError> {
    let mut reader = Reader::new(row);
    let mut epoch = [0; 8];
    epoch[1..].copy_from_slice(&reader.array::<7>("epoch")?);
    let commitment = Commitment(reader.array("commitment")?);
    let known = Known::read(&mut reader, true)?;
    reader.finish()?;
    Ok(Earlier {
        epoch: u64::from_be_bytes(epoch),
        rung: known.rung(number, Some(commitment)),
        kept: None,
    })
}

fn put_key(row: &mut Vec<u8>, rung: &Rung) {
    match (rung.key(), rung.proof()) {
        (Some(key), Some(proof)) => {
            row.push(BOTH);
            row.extend(key.0);
            row.extend(proof.0);
        }
        (Some(key), None) => {
            row.push(KEY);
            row.extend(key.0);
        }
        (None, _) => row.push(NOTHING),
    }
}

/// What a row has of a search key.
enum Known {
    Nothing,
    Key(SearchKey),
    Both(ProvenKey),
}

impl Known {
    fn read(reader: &mut Reader<'_>, exists: bool) -> Result<Self, DecodeError> {
        let field = "search key";
        match reader.u8(field)? {
            NOTHING if !exists => Ok(Self::Nothing),
            KEY => Ok(Self::Key(SearchKey(reader.array(field)?))),
            BOTH => Ok(Self::Both(ProvenKey {
                key: SearchKey(reader.array(field)?),
                proof: VrfProof(reader.array("VRF proof")?),
            })),
            _ => Err(DecodeError::Invalid { field }),
        }
    }

    fn rung(self, number: u32, commitment: Option<Commitment>) -> Rung {
        let rung = Rung::new(number, commitment);
        match self {
            Self::Nothing => {}
            Self::Key(key) => rung.learn_key(key),
            Self::Both(proven) => rung.learn(proven),
        }
        rung
    }
}

/// The first byte of an erased version's row.
const ERASED: u8 = 1;

const NOTHING: u8 = 0;
const KEY: u8 = 1;
const BOTH: u8 = 2;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const VALUE: &[u8] = b"value";

    fn label() -> Label {
        Label::parse("acct:alice").unwrap()
    }

    fn version() -> Version {
        Version {
            epoch: 7,
            opening: Opening([3; 16]),
            value: VALUE.to_vec(),
        }
    }

    fn proven(version: u32) -> ProvenKey {
        let byte = u8::try_from(version).unwrap();
        ProvenKey {
            key: SearchKey([byte; 32]),
            proof: VrfProof([byte; 80]),
        }
    }

    /// An account at version 1, whose ladder is 0, 1, 3, 2: both known, a key, both, nothing.
    fn account() -> Account {
        let version = version();
        let rung = |number| Rung::new(number, Some(version.commitment(&label(), number)));
        let rungs = vec![rung(0), rung(1), Rung::new(3, None), Rung::new(2, None)];
        rungs[0].learn(proven(0));
        rungs[1].learn_key(proven(1).key);
        rungs[2].learn(proven(3));
        Account::new(label(), Some((1, version)), rungs)
    }

    #[test]
    fn accounts_come_back_as_they_were() {
        let row = encode_account(&account()).unwrap();
        let ladder = (1 + 32 + 80 + 32) + (1 + 32) + (1 + 32 + 80) + 1;
        assert_eq!(row.len(), 28 + ladder + VALUE.len());
        let decoded = decode_account(label(), &row).unwrap();
        assert_eq!(encode_account(&decoded).unwrap(), row);
        for (rung, before) in decoded.rungs().iter().zip(account().rungs()) {
            assert_eq!(rung.version(), before.version());
            assert_eq!(rung.commitment(), before.commitment());
            assert_eq!(rung.key(), before.key());
            assert_eq!(rung.proof(), before.proof());
        }
        assert!(encode_account(&Account::absent(label())).is_none());
    }

    #[test]
    fn versions_come_back_as_they_were() {
        for rung in account().rungs().iter().filter(|rung| rung.key().is_some()) {
            let row = encode_version(rung, &version());
            let earlier = decode_version(&label(), rung.version(), &row).unwrap();
            assert_eq!(earlier.epoch, version().epoch);
            assert_eq!(encode_version(&earlier.rung, &earlier.kept.unwrap()), row);
        }
    }

    #[test]
    fn erased_versions_come_back_without_what_opens_them() {
        let epoch = 0x00ff_ffff_ffff_ffff;
        for rung in account().rungs().iter().filter(|it| it.version() < 2) {
            let row = encode_erased(epoch, rung).unwrap();
            for erased in [VALUE, &version().opening.0] {
                assert!(!row.windows(erased.len()).any(|part| part == erased));
            }
            let earlier = decode_version(&label(), rung.version(), &row).unwrap();
            assert!(earlier.kept.is_none());
            assert_eq!(earlier.rung.commitment(), rung.commitment());
            assert_eq!(encode_erased(earlier.epoch, &earlier.rung).unwrap(), row);
            for length in 0..row.len() {
                assert!(
                    decode_version(&label(), 0, &row[..length]).is_err(),
                    "{length}"
                );
            }
            let longer = [&row[..], &[0]].concat();
            assert!(decode_version(&label(), 0, &longer).is_err());
            for first in 2..=255 {
                let other = [&[first], &row[1..]].concat();
                let kept = decode_version(&label(), 0, &other).map(|it| it.kept.is_some());
                assert_ne!(kept, Ok(false), "{first} does not say that it is erased");
            }
        }
        assert!(encode_erased(epoch + 1, &account().rungs()[0]).is_none());
        assert!(encode_erased(epoch, &account().rungs()[2]).is_none());
    }

    #[test]
    fn a_version_that_exists_has_a_search_key() {
        let row = encode_account(&account()).unwrap();
        let [first, newest] = [28, 28 + 145];
        for at in [first, newest] {
            let nothing = [&row[..at], &[NOTHING], &row[at + 1..]].concat();
            assert!(decode_account(label(), &nothing).is_err());
        }
        let row = encode_version(&Rung::new(0, None), &version());
        assert!(decode_version(&label(), 0, &row).is_err());
    }

    #[test]
    fn other_marks_and_short_rows_are_refused() {
        let row = encode_account(&account()).unwrap();
        for at in [28, 28 + 145, 28 + 145 + 33, 28 + 145 + 33 + 113] {
            for mark in [3, 4, 255] {
                let marked = [&row[..at], &[mark], &row[at + 1..]].concat();
                assert!(decode_account(label(), &marked).is_err(), "{mark} at {at}");
            }
        }
        for length in 0..row.len() - VALUE.len() {
            assert!(decode_account(label(), &row[..length]).is_err(), "{length}");
        }
        let row = encode_version(&account().rungs()[0], &version());
        for length in 0..row.len() - VALUE.len() {
            assert!(
                decode_version(&label(), 0, &row[..length]).is_err(),
                "{length}"
            );
        }
    }
}
