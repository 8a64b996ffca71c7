//! `vectors/account.json`.

use candor_core::Hash;
use candor_core::account::{
    AccountKey, AccountState, Binding, Device, DeviceKey, Label, Standing, UnverifiedValue,
    VerifiedState, VerifiedValue, check_successor,
};
use candor_core::crypto::Ed25519SecretKey;
use serde_json::{Value, json};

use crate::case::{Case, Document, accept, reject};

pub fn document() -> Document {
    Document {
        description: "Labels, account values, and which value may follow which. \
                      `label.normalize` makes the label of what a person typed; `label.parse` \
                      accepts normal forms alone; `value.verify` decodes a value and verifies it \
                      for a label; `successor` verifies two values of a label and tells the \
                      change. Typed text is hexadecimal UTF-8; `state_hash` is what the next \
                      state names as `previous`.",
        source: "docs/protocol.md, accounts; RFC 8032 for the signatures; UTS 46 for domains",
        cases: [
            labels_rejected(),
            values_rejected(),
            successors_rejected(),
            labels_accepted(),
            values_accepted(),
            successors_accepted(),
        ]
        .concat(),
    }
}

fn alice() -> Label {
    Label::parse("acct:alice").unwrap()
}

fn key(seed: u8) -> Ed25519SecretKey {
    Ed25519SecretKey::from_seed(&[seed; 32])
}

fn account_key(seed: u8) -> AccountKey {
    AccountKey(*key(seed).public_key().as_bytes())
}

fn draft(enrolled: bool) -> AccountState {
    let device = |id| Device {
        id: vec![id],
        name: "phone".to_owned(),
        platform: "ios".to_owned(),
        os_version: "17.2".to_owned(),
        capability: 1,
        added_ms: 1_700_000_000_000,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "encrypt".to_owned(),
            public_key: vec![id; 32],
        }],
    };
    AccountState {
        enrolled,
        devices: vec![device(1), device(2)],
        ..AccountState::first()
    }
}

fn unsigned() -> VerifiedState {
    draft(false).without_signature(&alice()).unwrap()
}

fn enrolled() -> VerifiedState {
    draft(true).sign(&alice(), &key(1)).unwrap()
}

fn bound(primary: &str) -> VerifiedValue {
    VerifiedValue::Binding(Binding::new(alice(), Label::parse(primary).unwrap()).unwrap())
}

fn label_inputs(text: &str) -> Value {
    json!({ "text": hex::encode(text) })
}

fn value_inputs(label: &str, value: &[u8]) -> Value {
    json!({ "label": hex::encode(label), "value": hex::encode(value) })
}

fn successor_inputs(previous: &VerifiedValue, next: &VerifiedValue) -> Value {
    json!({
        "label": hex::encode(alice().as_bytes()),
        "previous": hex::encode(previous.encode()),
        "next": hex::encode(next.encode()),
    })
}

fn labels_rejected() -> Vec<Value> {
    let parsed = [
        (
            "upper-case",
            "mailto:Alice@example.org",
            "the local part is not lower-case",
        ),
        ("bare", "alice@example.org", "the kind is missing"),
        (
            "unicode-domain",
            "mailto:a@b\u{fc}cher.example",
            "the domain is not in ASCII",
        ),
        ("decomposed", "acct:jose\u{301}", "the name is not in NFC"),
        (
            "separators",
            "tel:+1-555-123-4567",
            "the number has separators",
        ),
    ]
    .map(|(name, text, reason)| {
        reject(
            &format!("label-{name}"),
            "label.parse",
            label_inputs(text),
            reason,
        )
    });
    let typed = [
        ("number-short", "+123456", "fewer than 7 digits"),
        ("number-long", "+1234567890123456", "more than 15 digits"),
        (
            "number-zero",
            "+05551234567",
            "the country code begins with 0",
        ),
        (
            "number-foreign-digits",
            "+\u{661}234567",
            "a digit is not ASCII",
        ),
        (
            "zero-width",
            "al\u{200d}ice@example.org",
            "an invisible character",
        ),
        (
            "bidi",
            "al\u{202e}ice@example.org",
            "a character that changes direction",
        ),
        ("two-dots", "al..ice@example.org", "an empty atom"),
        (
            "underscore-domain",
            "alice@exa_mple.org",
            "STD3 does not allow it in a domain",
        ),
        ("root-dot", "alice@example.org.", "the domain ends in a dot"),
    ]
    .map(|(name, text, reason)| {
        reject(
            &format!("label-{name}"),
            "label.normalize",
            label_inputs(text),
            reason,
        )
    });
    [&parsed[..], &typed].concat()
}

fn values_rejected() -> Vec<Value> {
    let signed = VerifiedValue::State(enrolled()).encode();
    let plain = VerifiedValue::State(unsigned()).encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = signed.clone();
        bytes[at] ^= byte;
        bytes
    };
    let mut trailing = plain.clone();
    trailing.push(0);
    let mut unsigned_enrolled = plain.clone();
    unsigned_enrolled[3] = 1;
    let mut itself = vec![2, 10];
    itself.extend_from_slice(b"acct:alice");
    let last = signed.len() - 1;
    [
        ("kind", with(0, 0x02), "the kind is neither 1 nor 2"),
        ("format", with(1, 0x02), "the format is not 1"),
        (
            "presence",
            with(2, 0x02),
            "a presence byte is neither 0 nor 1",
        ),
        ("key", with(3, 0x01), "the state names another account key"),
        (
            "signature",
            with(last - 63, 0x01),
            "one bit of the signature differs",
        ),
        (
            "truncated",
            signed[..last].to_vec(),
            "the signature is cut off",
        ),
        ("trailing", trailing, "a byte follows"),
        (
            "unsigned-enrolled",
            unsigned_enrolled,
            "enrolled without an account key",
        ),
        ("bound-to-itself", itself, "a label cannot lead to itself"),
    ]
    .map(|(name, value, reason)| {
        let inputs = value_inputs("acct:alice", &value);
        reject(&format!("value-{name}"), "value.verify", inputs, reason)
    })
    .into_iter()
    .chain([reject(
        "value-other-label",
        "value.verify",
        value_inputs("acct:mallory", &signed),
        "signed for another label",
    )])
    .collect()
}

fn successors_rejected() -> Vec<Value> {
    let one = enrolled();
    let next = one.successor().unwrap();
    let sign = |draft: AccountState, seed| draft.sign(&alice(), &key(seed)).unwrap();
    let off = AccountState {
        enrolled: false,
        ..next.clone()
    };
    let reset_off = AccountState {
        reset: Some(account_key(1)),
        ..off.clone()
    };
    let reset_other = AccountState {
        reset: Some(account_key(3)),
        ..next.clone()
    };
    let fork = AccountState {
        previous: Hash([1; 32]),
        ..next.clone()
    };
    let skipped = AccountState {
        sequence: 2,
        ..next.clone()
    };
    [
        (
            "replay",
            VerifiedValue::State(one.clone()),
            "the sequence is not the next",
        ),
        (
            "skipped",
            VerifiedValue::State(sign(skipped, 1)),
            "the sequence is not the next",
        ),
        (
            "fork",
            VerifiedValue::State(sign(fork, 1)),
            "another state is named as previous",
        ),
        (
            "unsigned",
            VerifiedValue::State(off.without_signature(&alice()).unwrap()),
            "an enrolled account answers to its key",
        ),
        (
            "key-changed",
            VerifiedValue::State(sign(next, 2)),
            "no reset is declared",
        ),
        (
            "reset-other-key",
            VerifiedValue::State(sign(reset_other, 2)),
            "the reset names another key than the one before",
        ),
        (
            "reset-disenrolls",
            VerifiedValue::State(sign(reset_off, 2)),
            "only the account key turns verification off",
        ),
        ("binding", bound("acct:mallory"), "the account is enrolled"),
    ]
    .map(|(name, next, reason)| {
        let inputs = successor_inputs(&VerifiedValue::State(one.clone()), &next);
        reject(&format!("successor-{name}"), "successor", inputs, reason)
    })
    .to_vec()
}

fn labels_accepted() -> Vec<Value> {
    [
        ("number", " +1 (555) 123-4567 "),
        ("address", "Alice@Example.ORG"),
        ("address-unicode", "Jose\u{301}@B\u{fc}cher.example"),
        ("name", "acct:\u{3a3}\u{3a3}"),
        ("name-domain", "Acct:Alice@Example.org"),
    ]
    .map(|(name, text)| {
        let label = Label::normalize(text).unwrap();
        accept(
            &format!("label-{name}"),
            "label.normalize",
            label_inputs(text),
            json!({ "label": hex::encode(label.as_bytes()) }),
        )
    })
    .to_vec()
}

fn values_accepted() -> Vec<Value> {
    [
        ("unsigned", VerifiedValue::State(unsigned())),
        ("enrolled", VerifiedValue::State(enrolled())),
        ("binding", bound("acct:bob")),
    ]
    .map(|(name, value)| {
        let inputs = value_inputs("acct:alice", &value.encode());
        accept(
            &format!("value-{name}"),
            "value.verify",
            inputs,
            value_outputs(&value),
        )
    })
    .to_vec()
}

fn successors_accepted() -> Vec<Value> {
    let one = enrolled();
    let next = one.successor().unwrap();
    let off = AccountState {
        enrolled: false,
        ..next.clone()
    };
    let reset = AccountState {
        reset: Some(account_key(1)),
        ..next.clone()
    };
    let sign =
        |draft: AccountState, seed| VerifiedValue::State(draft.sign(&alice(), &key(seed)).unwrap());
    let on = AccountState {
        enrolled: true,
        ..unsigned().successor().unwrap()
    };
    let signed = VerifiedValue::State(one);
    [
        ("updated", signed.clone(), sign(next, 1)),
        ("enrolled", VerifiedValue::State(unsigned()), sign(on, 1)),
        ("disenrolled", signed.clone(), sign(off, 1)),
        ("reset", signed, sign(reset, 2)),
        ("moved", bound("acct:bob"), bound("acct:carol")),
    ]
    .map(|(name, previous, next)| {
        let change = check_successor(Some(&previous), &next).unwrap();
        accept(
            &format!("successor-{name}"),
            "successor",
            successor_inputs(&previous, &next),
            json!({ "change": format!("{change:?}") }),
        )
    })
    .to_vec()
}

fn value_outputs(value: &VerifiedValue) -> Value {
    match value {
        VerifiedValue::Binding(binding) => {
            json!({ "primary": hex::encode(binding.primary().as_bytes()) })
        }
        VerifiedValue::State(state) => json!({
            "state_hash": hex::encode(state.hash().as_bytes()),
            "account_signed": state.standing() == Standing::AccountSigned,
            "account_key_hash": state.state().account_key.map(|key| key.hash().to_string()),
        }),
    }
}

fn text(case: &Case, field: &str) -> String {
    String::from_utf8(case.bytes(field)).unwrap()
}

fn verify(case: &Case, field: &str) -> Result<VerifiedValue, String> {
    let label = Label::parse(&text(case, "label")).map_err(|error| error.to_string())?;
    let value = UnverifiedValue::decode(&case.bytes(field)).map_err(|error| error.to_string())?;
    value.verify(&label).map_err(|error| error.to_string())
}

pub fn check(case: &Case) {
    let label = |label: Label| json!({ "label": hex::encode(label.as_bytes()) });
    match case.operation() {
        "label.normalize" => case.assert_result(Label::normalize(&text(case, "text")).map(label)),
        "label.parse" => case.assert_result(Label::parse(&text(case, "text")).map(label)),
        "value.verify" => case.assert_result(verify(case, "value").map(|v| value_outputs(&v))),
        "successor" => {
            let (previous, next) = (verify(case, "previous"), verify(case, "next").unwrap());
            let change = check_successor(Some(&previous.unwrap()), &next);
            case.assert_result(change.map(|change| json!({ "change": format!("{change:?}") })));
        }
        _ => case.unknown_operation(),
    }
}
