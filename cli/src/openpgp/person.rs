//! A person of a keyring, in the terms of an account.
//!
//! Every valid key is a device: its id is the fingerprint, its capability the key flags of RFC 9580
//! (section 5.2.3.29), its one key the public key material as the packet holds it, under the
//! algorithm as purpose. The account is not enrolled: an OpenPGP key cannot sign a Candor state.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use candor_core::account::{
    AccountState, Binding, Device, DeviceKey, Label, ValueError, VerifiedValue,
};
use candor_core::limits::{DEVICE_KEY_BYTES_MAX, DEVICES_MAX};
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{KeyFlags, Signature};
use pgp::types::KeyDetails;

use super::certificate::{Certificate, expires_s};
use super::packets::RawPacket;
use super::report::{Reason, Report};
use super::user_id;

/// What a certificate says of a person. It holds at least one address and one key.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    pub(super) emails: Vec<Label>,
    pub(super) fingerprint: Vec<u8>,
    name: Option<String>,
    devices: Vec<Device>,
}

impl Person {
    /// The addresses, all different, the primary one first and the others in the order of the file.
    pub fn emails(&self) -> &[Label] {
        &self.emails
    }

    /// The fingerprint of the primary key.
    pub fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }

    /// The name beside the primary address.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The valid keys, ascending by fingerprint.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The values to log: the first address holds the state, the others are bound to it.
    ///
    /// # Errors
    ///
    /// [`ValueError::State`] when the keys together are larger than a state can be.
    pub fn values(&self) -> Result<Vec<VerifiedValue>, ValueError> {
        let (primary, others) = self
            .emails
            .split_first()
            .expect("a person is only made with an address");
        let state = AccountState {
            devices: self.devices.clone(),
            ..AccountState::first()
        };
        let mut values = vec![VerifiedValue::State(state.without_signature(primary)?)];
        for label in others {
            values.push(VerifiedValue::Binding(Binding::new(
                label.clone(),
                primary.clone(),
            )?));
        }
        Ok(values)
    }

    pub(super) fn from_certificate(
        certificate: &Certificate<'_>,
        report: &mut Report,
    ) -> Result<Self, Reason> {
        let (emails, name) = addresses(certificate, report)?;
        let devices = devices(certificate, report)?;
        let fingerprint = certificate.primary.fingerprint().as_bytes().to_vec();
        let person = Self {
            emails,
            fingerprint,
            name,
            devices,
        };
        person.values().map_err(|_| Reason::TooLarge)?;
        Ok(person)
    }
}

/// The addresses, and the name beside the first.
///
/// The user id that is marked as primary comes first; of several, the one signed last.
fn addresses(
    certificate: &Certificate<'_>,
    report: &mut Report,
) -> Result<(Vec<Label>, Option<String>), Reason> {
    let mut user_ids: Vec<_> = certificate.user_ids.iter().collect();
    user_ids.sort_by_key(|part| {
        let signature = &part.signature.signature;
        let marked = signature
            .is_primary()
            .then(|| signature.created().map(|at| at.as_secs()));
        core::cmp::Reverse(marked)
    });
    let mut emails: Vec<Label> = Vec::new();
    let mut name = None;
    for part in user_ids {
        let text = part.value.as_str().unwrap_or_default();
        match user_id::address(text) {
            None => report.user_ids.skip(Reason::NoAddress),
            Some(label) if emails.contains(&label) => report.user_ids.skip(Reason::Duplicate),
            Some(label) => {
                if emails.is_empty() {
                    name = user_id::name(text);
                }
                report.user_ids.accepted += 1;
                emails.push(label);
            }
        }
    }
    if emails.is_empty() {
        Err(Reason::NoAddress)
    } else {
        Ok((emails, name))
    }
}

/// The primary key and the subkeys, the newest ones if there are too many.
fn devices(certificate: &Certificate<'_>, report: &mut Report) -> Result<Vec<Device>, Reason> {
    let decisive = certificate.self_signature().ok_or(Reason::Unverifiable)?;
    let flags = capability(&decisive.signature.key_flags()) | CERTIFY;
    let primary = device(
        &certificate.primary,
        certificate.primary_packet,
        &decisive.signature,
        flags,
    )?;
    let mut devices = BTreeMap::from([(primary.id.clone(), primary)]);
    let mut subkeys: Vec<_> = certificate.subkeys.iter().collect();
    subkeys.sort_by_key(|part| core::cmp::Reverse(part.value.created_at().as_secs()));
    for part in subkeys {
        let signature = &part.signature.signature;
        let flags = capability(&signature.key_flags());
        if devices.len() == DEVICES_MAX {
            report.keys.skip(Reason::TooMany);
            continue;
        }
        match device(&part.value, part.packet, signature, flags) {
            Err(reason) => report.keys.skip(reason),
            Ok(device) => match devices.entry(device.id.clone()) {
                Entry::Occupied(_) => report.keys.skip(Reason::Duplicate),
                Entry::Vacant(free) => {
                    free.insert(device);
                }
            },
        }
    }
    report.keys.accepted += devices.len() as u64;
    Ok(devices.into_values().collect())
}

fn device(
    key: &impl KeyDetails,
    packet: &RawPacket,
    decisive: &Signature,
    capability: u16,
) -> Result<Device, Reason> {
    if packet.body.len() > DEVICE_KEY_BYTES_MAX {
        return Err(Reason::TooLarge);
    }
    Ok(Device {
        id: key.fingerprint().as_bytes().to_vec(),
        name: device_name(capability),
        platform: "openpgp".to_owned(),
        os_version: String::new(),
        capability,
        added_ms: u64::from(key.created_at().as_secs()) * 1000,
        expires_ms: expires_s(key, decisive).unwrap_or(0) * 1000,
        keys: vec![DeviceKey {
            purpose: purpose(key.algorithm()),
            public_key: packet.body.clone(),
        }],
    })
}

/// The key flags as the first octet of RFC 9580 has them.
fn capability(flags: &KeyFlags) -> u16 {
    [
        (flags.certify(), CERTIFY),
        (flags.sign(), SIGN),
        (flags.encrypt_comms(), ENCRYPT_COMMUNICATIONS),
        (flags.encrypt_storage(), ENCRYPT_STORAGE),
        (flags.authentication(), AUTHENTICATE),
    ]
    .into_iter()
    .filter_map(|(set, bit)| set.then_some(bit))
    .sum()
}

fn device_name(capability: u16) -> String {
    let uses: Vec<_> = [
        (CERTIFY, "certify"),
        (SIGN, "sign"),
        (ENCRYPT_COMMUNICATIONS | ENCRYPT_STORAGE, "encrypt"),
        (AUTHENTICATE, "authenticate"),
    ]
    .into_iter()
    .filter_map(|(bits, name)| (capability & bits != 0).then_some(name))
    .collect();
    if uses.is_empty() {
        "use not stated".to_owned()
    } else {
        uses.join(", ")
    }
}

fn purpose(algorithm: PublicKeyAlgorithm) -> String {
    let name = match algorithm {
        PublicKeyAlgorithm::RSA | PublicKeyAlgorithm::RSAEncrypt | PublicKeyAlgorithm::RSASign => {
            "rsa"
        }
        PublicKeyAlgorithm::ElgamalEncrypt | PublicKeyAlgorithm::Elgamal => "elgamal",
        PublicKeyAlgorithm::DSA => "dsa",
        PublicKeyAlgorithm::ECDH => "ecdh",
        PublicKeyAlgorithm::ECDSA => "ecdsa",
        PublicKeyAlgorithm::EdDSALegacy => "eddsa",
        PublicKeyAlgorithm::X25519 => "x25519",
        PublicKeyAlgorithm::X448 => "x448",
        PublicKeyAlgorithm::Ed25519 => "ed25519",
        PublicKeyAlgorithm::Ed448 => "ed448",
        other => return format!("openpgp-{}", u8::from(other)),
    };
    format!("openpgp-{name}")
}

const CERTIFY: u16 = 0x01;
const SIGN: u16 = 0x02;
const ENCRYPT_COMMUNICATIONS: u16 = 0x04;
const ENCRYPT_STORAGE: u16 = 0x08;
const AUTHENTICATE: u16 = 0x20;
