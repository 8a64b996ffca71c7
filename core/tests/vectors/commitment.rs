//! `vectors/commitment.json`.

use candor_core::crypto::{Commitment, Opening};
use serde_json::{Value, json};

use crate::case::{Case, Document, accept, reject};

const OPENING: Opening = Opening(*b"opening: 16 byte");
const LABEL: &[u8] = b"mailto:alice@example.com";
const VALUE: &[u8] = b"the value of version 5";

pub fn document() -> Document {
    Document {
        description: "Commitments to the value of a label-version. `commit` gives the commitment; \
                      `verify` accepts if the commitment opens to label, version and value.",
        source: "draft-ietf-keytrans-protocol, Commitment: HMAC-SHA256(Kc, opening || \
                 label<0..2^8-1> || uint32 version || value<0..2^32-1>), \
                 Kc = d821f8790d97709796b4d7903357c3f5",
        cases: [rejected(), accepted()].concat(),
    }
}

fn inputs(opening: &Opening, label: &[u8], version: u32, value: &[u8]) -> Value {
    json!({
        "opening": hex::encode(opening.0),
        "label": hex::encode(label),
        "version": version,
        "value": hex::encode(value),
    })
}

fn rejected() -> Vec<Value> {
    let commitment = Commitment::new(&OPENING, LABEL, 5, VALUE);
    let mut flipped = commitment;
    flipped.0[31] ^= 1;
    let other = Opening(*b"opening: another");
    let (shorter, longer) = (&LABEL[..LABEL.len() - 1], [b"m", VALUE].concat());
    [
        (
            "commitment-flipped",
            flipped,
            inputs(&OPENING, LABEL, 5, VALUE),
            "one bit differs",
        ),
        (
            "other-opening",
            commitment,
            inputs(&other, LABEL, 5, VALUE),
            "made with another opening",
        ),
        (
            "other-label",
            commitment,
            inputs(&OPENING, b"tel:+1", 5, VALUE),
            "made for another label",
        ),
        (
            "other-version",
            commitment,
            inputs(&OPENING, LABEL, 6, VALUE),
            "made for version 5",
        ),
        (
            "other-value",
            commitment,
            inputs(&OPENING, LABEL, 5, b""),
            "made for another value",
        ),
        (
            "boundary-moved",
            commitment,
            inputs(&OPENING, shorter, 5, &longer),
            "the last byte of the label is moved to the value",
        ),
    ]
    .map(|(name, commitment, mut inputs, reason)| {
        inputs["commitment"] = hex::encode(commitment.0).into();
        reject(name, "verify", inputs, reason)
    })
    .to_vec()
}

fn accepted() -> Vec<Value> {
    [
        ("usual", LABEL, 5, VALUE),
        ("empty-value", LABEL, 0, b""),
        (
            "longest-label-greatest-version",
            &[0xff; 255],
            u32::MAX,
            &[0; 300],
        ),
    ]
    .map(|(name, label, version, value): (_, &[u8], _, &[u8])| {
        let commitment = Commitment::new(&OPENING, label, version, value);
        let outputs = json!({ "commitment": hex::encode(commitment.0) });
        accept(
            name,
            "commit",
            inputs(&OPENING, label, version, value),
            outputs,
        )
    })
    .to_vec()
}

pub fn check(case: &Case) {
    let opening = Opening(case.array("opening"));
    let (label, value) = (case.bytes("label"), case.bytes("value"));
    let version = case.number("version");
    match case.operation() {
        "commit" => {
            let commitment = Commitment::new(&opening, &label, version, &value);
            assert_eq!(commitment.verify(&opening, &label, version, &value), Ok(()));
            let outputs = json!({ "commitment": hex::encode(commitment.0) });
            case.assert_result::<()>(Ok(outputs));
        }
        "verify" => {
            let commitment = Commitment(case.array("commitment"));
            let verified = commitment.verify(&opening, &label, version, &value);
            case.assert_result(verified.map(|()| json!({})));
        }
        _ => case.unknown_operation(),
    }
}
