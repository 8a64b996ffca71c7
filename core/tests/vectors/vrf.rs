//! `vectors/vrf.json`.

use candor_core::crypto::vrf::vrf_input;
use candor_core::crypto::{VrfProof, VrfPublicKey, VrfSecretKey};
use serde_json::{Value, json};

use crate::case::{Case, Document, accept, reject};

/// Seed and input of examples 16, 17 and 18; the file holds all their outputs.
const RFC_EXAMPLES: [(&str, &str, &str); 3] = [
    (
        "example-16",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
    ),
    (
        "example-17",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
    ),
    (
        "example-18",
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
    ),
];

/// The points of order 1, 2, 4, 4, 8, 8, 8 and 8.
const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

/// Second encodings of the points of order 1, 2 and 4, and one of a point of large order.
const NON_CANONICAL: [&str; 7] = [
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

const NO_POINT: &str = "0200000000000000000000000000000000000000000000000000000000000000";

/// The order of the group, little-endian.
const GROUP_ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

pub fn document() -> Document {
    Document {
        description: "ECVRF-EDWARDS25519-SHA512-TAI. `public_key` validates a key; `verify` checks \
                      a proof and gives the search key, the first 32 bytes of the output; `prove` \
                      gives public key, proof and the whole output; `input` encodes a \
                      label-version as VRF input.",
        source: "RFC 9381 (examples: appendix B.3); draft-ietf-keytrans-protocol, Verifiable \
                 Random Function, for search key and input",
        cases: [rejected_keys(), rejected_proofs(), proved(), encoded()].concat(),
    }
}

fn rejected_keys() -> Vec<Value> {
    let small = SMALL_ORDER.map(|key| ("key-small-order", key, "the key has small order"));
    let second = NON_CANONICAL.map(|key| ("key-non-canonical", key, "a second encoding"));
    let none = [("key-no-point", NO_POINT, "no point has y = 2")];
    [&small[..], &second, &none]
        .concat()
        .into_iter()
        .enumerate()
        .map(|(index, (name, key, reason))| {
            let inputs = json!({ "public_key": key });
            reject(&format!("{name}-{index}"), "public_key", inputs, reason)
        })
        .collect()
}

fn rejected_proofs() -> Vec<Value> {
    let secret = VrfSecretKey::from_seed(&[1; 32]);
    let other = VrfSecretKey::from_seed(&[2; 32]);
    let alpha = vrf_input(b"tel:+15551234567", 3);
    let proof = secret.prove(&alpha).1.0;
    let replaced = |start: usize, bytes: &[u8]| {
        let mut changed = proof;
        changed[start..start + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let point = |text| replaced(0, &hex::decode(text).unwrap());
    let flipped = |index: usize| replaced(index, &[proof[index] ^ 1]);
    let malleated = replaced(48, &plus_group_order(&proof[48..]));
    let key = secret.public_key();
    [
        (
            "scalar-plus-order",
            key,
            &alpha[..],
            malleated,
            "s + q, not below the order q",
        ),
        (
            "scalar-all-ones",
            key,
            &alpha,
            replaced(48, &[0xff; 32]),
            "s is not below the order",
        ),
        (
            "gamma-identity",
            key,
            &alpha,
            point(SMALL_ORDER[0]),
            "Gamma has small order",
        ),
        (
            "gamma-order-8",
            key,
            &alpha,
            point(SMALL_ORDER[4]),
            "Gamma has small order",
        ),
        (
            "gamma-non-canonical",
            key,
            &alpha,
            point(NON_CANONICAL[6]),
            "Gamma's y is not below p",
        ),
        (
            "gamma-negative-zero",
            key,
            &alpha,
            point(NON_CANONICAL[0]),
            "x = 0 with its sign set",
        ),
        (
            "gamma-no-point",
            key,
            &alpha,
            point(NO_POINT),
            "Gamma is no point",
        ),
        (
            "gamma-flipped",
            key,
            &alpha,
            flipped(0),
            "one bit of Gamma differs",
        ),
        (
            "challenge-flipped",
            key,
            &alpha,
            flipped(32),
            "one bit of c differs",
        ),
        (
            "scalar-flipped",
            key,
            &alpha,
            flipped(48),
            "one bit of s differs",
        ),
        ("all-zero", key, &alpha, [0; 80], "no proof at all"),
        (
            "other-key",
            other.public_key(),
            &alpha,
            proof,
            "proved by another key",
        ),
        (
            "other-input",
            key,
            &alpha[1..],
            proof,
            "proved for another input",
        ),
    ]
    .map(|(name, key, alpha, proof, reason)| {
        let inputs = json!({
            "public_key": hex::encode(key.as_bytes()),
            "alpha": hex::encode(alpha),
            "proof": hex::encode(proof),
        });
        reject(name, "verify", inputs, reason)
    })
    .to_vec()
}

fn plus_group_order(scalar: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let sum = scalar
        .iter()
        .zip(hex::decode(GROUP_ORDER).unwrap())
        .map(|(&byte, addend)| {
            carry += u16::from(byte) + u16::from(addend);
            let [low, high] = carry.to_le_bytes();
            carry = u16::from(high);
            low
        });
    sum.collect()
}

fn proved() -> Vec<Value> {
    let cases = RFC_EXAMPLES.map(|(name, seed, alpha)| (name, seed.to_owned(), alpha.to_owned()));
    let version = |name, version| {
        let alpha = vrf_input(b"mailto:alice@example.com", version);
        (name, hex::encode([1; 32]), hex::encode(alpha))
    };
    [
        &cases[..],
        &[version("version-0", 0), version("version-1", 1)],
    ]
    .concat()
    .into_iter()
    .map(|(name, seed, alpha)| {
        let outputs = prove(&hex::decode(&seed).unwrap(), &hex::decode(&alpha).unwrap());
        accept(
            name,
            "prove",
            json!({ "seed": seed, "alpha": alpha }),
            outputs,
        )
    })
    .collect()
}

fn prove(seed: &[u8], alpha: &[u8]) -> Value {
    let secret = VrfSecretKey::from_seed(seed.try_into().unwrap());
    let (search_key, proof) = secret.prove(alpha);
    assert_eq!(secret.evaluate(alpha), search_key);
    let public = VrfPublicKey::from_bytes(secret.public_key().as_bytes()).unwrap();
    assert_eq!(public.verify(alpha, &proof), Ok(search_key));
    json!({
        "public_key": hex::encode(public.as_bytes()),
        "proof": hex::encode(proof.0),
        "output": hex::encode(secret.output(alpha)),
        "search_key": hex::encode(search_key.0),
    })
}

fn encoded() -> Vec<Value> {
    [
        ("input-usual", &b"mailto:alice@example.com"[..], 5),
        ("input-long", &[7; 255], u32::MAX),
    ]
    .map(|(name, label, version)| {
        let inputs = json!({ "label": hex::encode(label), "version": version });
        let outputs = json!({ "alpha": hex::encode(vrf_input(label, version)) });
        accept(name, "input", inputs, outputs)
    })
    .to_vec()
}

pub fn check(case: &Case) {
    match case.operation() {
        "public_key" => {
            let key = VrfPublicKey::from_bytes(&case.array("public_key"));
            case.assert_result(key.map(|_| json!({})));
        }
        "verify" => {
            let key = VrfPublicKey::from_bytes(&case.array("public_key")).unwrap();
            let verified = key.verify(&case.bytes("alpha"), &VrfProof(case.array("proof")));
            case.assert_result(verified.map(|key| json!({ "search_key": hex::encode(key.0) })));
        }
        "prove" => {
            case.assert_result::<()>(Ok(prove(&case.bytes("seed"), &case.bytes("alpha"))));
        }
        "input" => {
            let alpha = vrf_input(&case.bytes("label"), case.number("version"));
            case.assert_result::<()>(Ok(json!({ "alpha": hex::encode(alpha) })));
        }
        _ => case.unknown_operation(),
    }
}
