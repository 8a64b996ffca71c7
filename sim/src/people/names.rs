//! Names and keys of persons and devices. They are the same in every run, and secret to nobody.

use candor_core::account::{Device, DeviceKey, Label};
use candor_core::crypto::Ed25519SecretKey;
use candor_sdk::device::{AccountFacts, DeviceFacts, Identity, Requirements};
use zeroize::Zeroizing;

/// The log's origin.
pub const ORIGIN: &str = "log.example";

/// Devices of whoever attacks have identifiers from here on.
pub const STRANGERS: u8 = 200;

/// The label of an account.
pub fn account_label(account: usize) -> Label {
    label(&format!("person{account}@example.org"))
}

/// A further identifier.
pub fn identifier(number: usize) -> Label {
    label(&format!("+1 555 000 {:04}", 1000 + number))
}

/// The account of whoever attacks.
pub fn stranger_label() -> Label {
    label("stranger@example.org")
}

fn label(text: &str) -> Label {
    Label::normalize(text).expect("the names are labels")
}

/// A device's record.
pub fn record(id: u8) -> Device {
    Device {
        id: vec![id],
        name: format!("phone {id}"),
        platform: "ios".to_owned(),
        os_version: "17.2".to_owned(),
        capability: 1,
        added_ms: 0,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "encrypt".to_owned(),
            public_key: vec![id; 32],
        }],
    }
}

/// The seed of an account key: an account gets another one by a reset.
pub fn seed(account: usize, generation: u8) -> [u8; 32] {
    let mut seed = [generation; 32];
    seed[0] = u8::try_from(account).unwrap_or(u8::MAX);
    seed
}

/// The key of whoever attacks.
pub fn stranger_key() -> Ed25519SecretKey {
    Ed25519SecretKey::from_seed(&[0xee; 32])
}

/// Whose a device is.
pub fn identity(account: usize, generation: u8, id: u8, identifiers: Vec<Label>) -> Identity {
    let minimum_os = [("ios".to_owned(), "17.2".to_owned())];
    Identity {
        origin: ORIGIN.to_owned(),
        label: account_label(account),
        identifiers,
        device: record(id),
        account_key: Some(Zeroizing::new(seed(account, generation))),
        requirements: Requirements {
            minimum_os: minimum_os.into(),
        },
        gossip_one_in: 1,
    }
}

/// Devices of persons meet everything.
pub fn facts() -> AccountFacts {
    AccountFacts {
        has_two_factor: true,
        devices: (0..STRANGERS)
            .map(|id| (vec![id], DeviceFacts::all()))
            .collect(),
    }
}
