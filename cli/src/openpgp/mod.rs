//! Reads the people of an OpenPGP keyring: an existing, real directory of identities and keys.
//!
//! A keyring is a stream of certificates (RFC 9580, section 10.1). It is read front to back in
//! bounded memory, a batch of certificates at a time, and each is judged for itself on all
//! processors ([`certificate`]): only what its own primary key signed counts, so a keyring can
//! neither add an address to a person nor a key. What is not imported is counted by reason in the
//! [`Report`], never dropped silently. An address that two certificates claim stays with the first:
//! a later one in the same file must not take it over.

pub mod certificate;
pub mod packets;
mod person;
mod report;
mod user_id;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, BufRead, BufReader};

use candor_core::account::Label;
use pgp::armor::{BlockType, Dearmor, DearmorOptions};
use rayon::prelude::*;
use thiserror::Error;

use self::certificate::Certificate;
use self::packets::{Certificates, RawCertificate};
pub use self::person::Person;
pub use self::report::{Conflict, Reason, Report, Tally};

/// Reads a keyring, binary or as one armored block, and passes on the people it names, in the
/// order of the file.
///
/// `now_s` is the time in seconds since the Unix epoch at which keys and signatures must be valid.
///
/// # Errors
///
/// [`KeyringError`] when the file cannot be read on; the people before that were passed on.
pub fn read_keyring<R: BufRead>(
    mut input: R,
    now_s: u32,
    each: impl FnMut(Person),
) -> Result<Report, KeyringError> {
    // The first byte of a packet has its highest bit set; armor is ASCII.
    if input
        .fill_buf()?
        .first()
        .is_none_or(|byte| byte & 0x80 != 0)
    {
        return read_binary(&mut input, now_s, each);
    }
    let options = DearmorOptions::new().set_limit(ARMOR_HEADER_BYTES_MAX);
    let mut dearmor = Dearmor::with_options(input, options);
    dearmor
        .read_header()
        .map_err(|source| KeyringError::Armor { source })?;
    if dearmor.typ != Some(BlockType::PublicKey) {
        return Err(KeyringError::NotPublicKeys);
    }
    let mut body = BufReader::new(dearmor);
    let report = read_binary(&mut body, now_s, each)?;
    let (.., mut rest) = body.into_inner().into_parts();
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(report);
        }
        if !bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(KeyringError::SecondBlock);
        }
        let length = bytes.len();
        rest.consume(length);
    }
}

/// Why a keyring cannot be read on. The file is at fault, or the disk.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Reading failed, or the armor is damaged.
    #[error("reading the keyring failed")]
    Io(#[from] io::Error),
    /// The armor does not begin as one.
    #[error("the file is neither a binary nor an armored keyring")]
    Armor {
        /// What is wrong with it.
        source: pgp::errors::Error,
    },
    /// The armor, or a packet, holds something else than public keys.
    #[error("the file holds something else than public keys")]
    NotPublicKeys,
    /// Something follows the armored block; a keyring is one block.
    #[error("the file holds something after its armored block")]
    SecondBlock,
    /// A packet's header is invalid, or its body is cut off, so what follows cannot be found.
    #[error("the packets are broken after {certificates} certificates")]
    Framing {
        /// How many certificates were read whole before.
        certificates: u64,
    },
}

fn read_binary(
    input: &mut dyn BufRead,
    now_s: u32,
    mut each: impl FnMut(Person),
) -> Result<Report, KeyringError> {
    let mut certificates = Certificates::new(input);
    let mut report = Report::default();
    let mut addresses = HashMap::new();
    loop {
        let batch: Vec<RawCertificate> = certificates
            .by_ref()
            .take(BATCH_CERTIFICATES)
            .collect::<Result<_, _>>()?;
        if batch.is_empty() {
            return Ok(report);
        }
        let judged: Vec<_> = batch.par_iter().map(|raw| judge(raw, now_s)).collect();
        for (person, part) in judged {
            report.merge(part);
            let person = person.and_then(|person| claim(person, &mut addresses, &mut report));
            match person {
                Ok(person) => {
                    report.certificates.accepted += 1;
                    each(person);
                }
                Err(reason) => report.certificates.skip(reason),
            }
        }
    }
}

/// What one certificate says of a person, and what of it was skipped.
fn judge(raw: &RawCertificate, now_s: u32) -> (Result<Person, Reason>, Report) {
    let mut report = Report::default();
    let person = Certificate::read(raw, now_s, &mut report)
        .and_then(|certificate| Person::from_certificate(&certificate, &mut report));
    (person, report)
}

/// Leaves the person the addresses that no certificate before claimed.
fn claim(
    mut person: Person,
    addresses: &mut HashMap<Label, Vec<u8>>,
    report: &mut Report,
) -> Result<Person, Reason> {
    person
        .emails
        .retain(|address| match addresses.entry(address.clone()) {
            Entry::Vacant(free) => {
                free.insert(person.fingerprint.clone());
                true
            }
            Entry::Occupied(taken) => {
                report.conflicts.push(Conflict {
                    address: address.clone(),
                    kept: taken.get().clone(),
                    refused: person.fingerprint.clone(),
                });
                false
            }
        });
    if person.emails.is_empty() {
        Err(Reason::AddressTaken)
    } else {
        Ok(person)
    }
}

/// Certificates that are held and judged together: enough to keep the processors busy, while 64 of
/// the largest are 512 MiB at worst and 2 MiB in a usual keyring.
const BATCH_CERTIFICATES: usize = 64;

/// Longest armor header in bytes, with the text before it.
const ARMOR_HEADER_BYTES_MAX: usize = 64 << 10;
