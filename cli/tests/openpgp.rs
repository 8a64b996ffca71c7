//! Imports of the sample keyring: what real certificates give, and what tampered ones do not.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Write;

use candor::openpgp::packets::{Certificates, RawCertificate, RawPacket};
use candor::openpgp::{KeyringError, Person, Reason, Report, Tally, read_keyring};
use candor_core::account::{Change, UnverifiedValue, VerifiedValue, check_successor};
use candor_core::limits::VALUE_BYTES_MAX;
use pgp::armor::{self, BlockType};
use pgp::packet::PacketHeader;
use pgp::ser::Serialize;
use pgp::types::Tag;

const SAMPLE: &[u8] = include_bytes!("../../tests/data/debian-keyring-sample.pgp");

/// 2022-12-24 00:00 UTC, when the sample was published.
const THEN_S: u32 = 1_671_840_000;

fn read(keyring: &[u8]) -> (Vec<Person>, Report) {
    read_at(keyring, THEN_S)
}

fn read_at(keyring: &[u8], now_s: u32) -> (Vec<Person>, Report) {
    let mut people = Vec::new();
    let report = read_keyring(keyring, now_s, |person| people.push(person)).unwrap();
    assert_eq!(report.certificates.accepted, people.len() as u64);
    (people, report)
}

fn read_error(keyring: &[u8]) -> KeyringError {
    read_keyring(keyring, THEN_S, |_| {}).unwrap_err()
}

fn certificates(count: usize) -> Vec<RawCertificate> {
    Certificates::new(SAMPLE)
        .take(count)
        .collect::<Result<_, _>>()
        .unwrap()
}

fn write(certificates: &[RawCertificate]) -> Vec<u8> {
    let mut out = Vec::new();
    for RawPacket { header, body } in certificates.iter().flat_map(|c| &c.packets) {
        let length = u32::try_from(body.len()).unwrap();
        PacketHeader::new_fixed(header.tag(), length)
            .to_writer(&mut out)
            .unwrap();
        out.extend_from_slice(body);
    }
    out
}

/// The packets of `tag` and the signatures that follow them.
fn parts(certificate: &RawCertificate, tag: Tag) -> Vec<RawPacket> {
    let mut wanted = false;
    let keep = |packet: &&RawPacket| {
        wanted = packet.tag() == tag || wanted && packet.tag() == Tag::Signature;
        wanted
    };
    certificate.packets.iter().filter(keep).cloned().collect()
}

#[test]
fn the_sample_holds_226_people() {
    let (people, report) = read(SAMPLE);
    assert_eq!(people.len(), 226);
    let total = |count: fn(&Person) -> usize| people.iter().map(count).sum::<usize>() as u64;
    let tally = |accepted| Tally {
        accepted,
        skipped: BTreeMap::new(),
    };
    assert_eq!(report.certificates, tally(226));
    assert_eq!(report.keys, tally(total(|person| person.devices().len())));
    assert_eq!(report.keys.accepted, 469);
    assert_eq!(
        report.user_ids.accepted,
        total(|person| person.emails().len())
    );
    assert_eq!(report.user_ids.accepted, 526);
    let skipped = BTreeMap::from([(Reason::NoAddress, 4), (Reason::Duplicate, 7)]);
    assert_eq!(report.user_ids.skipped, skipped);
    assert_eq!(report.conflicts, []);
    assert_eq!(total(|person| usize::from(person.name().is_some())), 225);
}

#[test]
fn every_value_verifies_and_may_be_the_first_of_its_label() {
    for person in read(&write(&certificates(24))).0 {
        let values = person.values().unwrap();
        assert_eq!(values.len(), person.emails().len());
        for (at, (value, label)) in values.iter().zip(person.emails()).enumerate() {
            let bytes = value.encode();
            assert!(bytes.len() <= VALUE_BYTES_MAX);
            let verified = UnverifiedValue::decode(&bytes)
                .unwrap()
                .verify(label)
                .unwrap();
            assert!(verified == *value);
            let change = check_successor(None, &verified).unwrap();
            match verified {
                VerifiedValue::State(state) => {
                    assert_eq!((at, change), (0, Change::Created));
                    assert_eq!(state.state().devices, person.devices());
                }
                VerifiedValue::Binding(binding) => {
                    assert_eq!((at > 0, change), (true, Change::Bound));
                    assert_eq!(binding.primary(), &person.emails()[0]);
                }
            }
        }
    }
}

#[test]
fn armor_makes_no_difference() {
    struct Bytes(Vec<u8>);
    impl Serialize for Bytes {
        fn to_writer<W: Write>(&self, writer: &mut W) -> pgp::errors::Result<()> {
            Ok(writer.write_all(&self.0)?)
        }
        fn write_len(&self) -> usize {
            self.0.len()
        }
    }
    let binary = write(&certificates(12));
    let mut armored = Vec::new();
    armor::write(
        &Bytes(binary.clone()),
        BlockType::PublicKey,
        &mut armored,
        None,
        true,
    )
    .unwrap();
    armored.extend_from_slice(b"\n\n");
    assert!(read(&armored) == read(&binary));

    let twice = [&armored[..], &armored[..]].concat();
    assert!(matches!(read_error(&twice), KeyringError::SecondBlock));
    let cut = &armored[..armored.len() / 2];
    assert!(read_keyring(cut, THEN_S, |_| {}).is_err());
    let mut secret = Vec::new();
    armor::write(
        &Bytes(binary),
        BlockType::PrivateKey,
        &mut secret,
        None,
        true,
    )
    .unwrap();
    assert!(matches!(read_error(&secret), KeyringError::NotPublicKeys));
}

#[test]
fn nobody_gets_a_part_of_somebody_else() {
    let [one, other] = &certificates(2)[..] else {
        panic!("the sample has two certificates")
    };
    let (expected, _) = read(&write(std::slice::from_ref(one)));
    for tag in [Tag::UserId, Tag::PublicSubkey] {
        let mut stolen = one.clone();
        stolen.packets.extend(parts(other, tag));
        let (people, report) = read(&write(&[stolen]));
        assert!(people == expected);
        let tally = if tag == Tag::UserId {
            report.user_ids
        } else {
            report.keys
        };
        assert!(tally.skipped[&Reason::Unverifiable] > 0);
    }
}

#[test]
fn a_damaged_certificate_fails_alone() {
    let mut keyring = certificates(3);
    for packet in &mut keyring[1].packets {
        if packet.tag() == Tag::Signature {
            *packet.body.last_mut().unwrap() ^= 1;
        }
    }
    let (people, report) = read(&write(&keyring));
    assert_eq!(people.len(), 2);
    assert_eq!(
        report.certificates.skipped,
        BTreeMap::from([(Reason::Unverifiable, 1)])
    );
    keyring[1].packets[0].body.truncate(5);
    let (people, report) = read(&write(&keyring));
    assert_eq!(people.len(), 2);
    assert_eq!(
        report.certificates.skipped,
        BTreeMap::from([(Reason::Unsupported, 1)])
    );
}

#[test]
fn an_oversize_certificate_fails_alone() {
    let mut keyring = certificates(2);
    let mut photo = keyring[0].packets[0].clone();
    photo.header = PacketHeader::new_fixed(Tag::UserId, 0);
    photo.body = vec![b'a'; 9 << 20];
    keyring[0].packets.push(photo);
    let (people, report) = read(&write(&keyring));
    assert_eq!(people.len(), 1);
    assert_eq!(
        report.certificates.skipped,
        BTreeMap::from([(Reason::TooLarge, 1)])
    );
}

#[test]
fn an_address_stays_with_the_first_who_claims_it() {
    let mut keyring = certificates(3);
    keyring.push(keyring[0].clone());
    let (people, report) = read(&write(&keyring));
    assert_eq!(people.len(), 3);
    assert_eq!(
        report.certificates.skipped,
        BTreeMap::from([(Reason::AddressTaken, 1)])
    );
    let refused: Vec<_> = report
        .conflicts
        .iter()
        .map(|conflict| &conflict.address)
        .collect();
    assert_eq!(refused, people[0].emails().iter().collect::<Vec<_>>());
    assert!(
        report
            .conflicts
            .iter()
            .all(|conflict| conflict.kept == people[0].fingerprint())
    );
}

#[test]
fn keys_are_valid_from_their_creation_to_their_expiry() {
    let keyring = write(&certificates(24));
    let (people, report) = read_at(&keyring, 1);
    assert!(people.is_empty());
    assert_eq!(
        report.certificates.skipped,
        BTreeMap::from([(Reason::Unverifiable, 24)])
    );
    let (people, _) = read(&keyring);
    let person = people.iter().find(|person| expiry_s(person) > 0).unwrap();
    let alone = |now_s| {
        let (people, report) = read_at(&keyring, now_s);
        let found = people
            .iter()
            .any(|other| other.fingerprint() == person.fingerprint());
        (
            found,
            report
                .certificates
                .skipped
                .get(&Reason::Expired)
                .copied()
                .unwrap_or(0),
        )
    };
    let expiry_s = expiry_s(person);
    assert!(alone(expiry_s - 1).0);
    let (found, expired) = alone(expiry_s);
    assert!(!found && expired > 0);
}

/// When the primary key expires, 0 for never.
fn expiry_s(person: &Person) -> u32 {
    let primary = person
        .devices()
        .iter()
        .find(|device| device.id == person.fingerprint());
    u32::try_from(primary.unwrap().expires_ms / 1000).unwrap()
}

#[test]
fn a_broken_file_is_told_and_not_guessed_at() {
    let two = write(&certificates(2));
    for length in [two.len() - 1, two.len() / 2] {
        let broken = matches!(read_error(&two[..length]), KeyringError::Framing { .. });
        assert!(broken, "{length}");
    }
    assert!(matches!(read_error(b"hello"), KeyringError::Armor { .. }));
    let mut headless = certificates(1);
    headless[0].packets.remove(0);
    assert!(matches!(
        read_error(&write(&headless)),
        KeyringError::NotPublicKeys
    ));
    let (people, report) = read(b"");
    assert!(people.is_empty() && report == Report::default());
}
