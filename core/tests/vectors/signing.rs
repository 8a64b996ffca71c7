//! `vectors/signing.json`.

use candor_core::crypto::{
    Ed25519PublicKey, Ed25519SecretKey, MlDsa44PublicKey, MlDsa44SecretKey, SignatureError,
};
use serde_json::{Value, json};

use crate::case::{Case, Document, accept, reject};

/// Seed and message of TEST 1, 2 and 3; the file holds their keys and signatures.
const RFC_8032_TESTS: [(&str, &str, &str); 3] = [
    (
        "rfc8032-1",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
    ),
    (
        "rfc8032-2",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
    ),
    (
        "rfc8032-3",
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
    ),
];

const MESSAGE: &[u8] = b"message";

pub fn document() -> Document {
    Document {
        description: "Signatures. `ed25519.public_key` validates a key; `ed25519.verify` and \
                      `ml-dsa-44.verify` check a signature; `ed25519.sign` and `ml-dsa-44.sign` \
                      give public key and signature of a seed. ML-DSA-44 is pure, with an empty \
                      context, and deterministic; its seed is the xi of key generation.",
        source: "RFC 8032 (tests: section 7.1), FIPS 204",
        cases: [
            ed25519_rejected(),
            ml_dsa_rejected(),
            ed25519_signed(),
            ml_dsa_signed(),
        ]
        .concat(),
    }
}

fn verify_inputs(public_key: &[u8], message: &[u8], signature: &[u8]) -> Value {
    json!({
        "public_key": hex::encode(public_key),
        "message": hex::encode(message),
        "signature": hex::encode(signature),
    })
}

fn ed25519_rejected() -> Vec<Value> {
    let secret = Ed25519SecretKey::from_seed(&[1; 32]);
    let other = Ed25519SecretKey::from_seed(&[2; 32]).public_key();
    let (public, signature) = (secret.public_key(), secret.sign(MESSAGE));
    let key_cases = [
        ("identity", 0x01, 0x00, 0x00, "the key has small order"),
        (
            "non-canonical",
            0xee,
            0xff,
            0x7f,
            "a second encoding of the identity",
        ),
        ("negative-zero", 0x01, 0x00, 0x80, "x = 0 with its sign set"),
        ("no-point", 0x02, 0x00, 0x00, "no point has y = 2"),
    ]
    .map(|(name, first, middle, last, reason)| {
        let mut key = [middle; 32];
        (key[0], key[31]) = (first, last);
        let inputs = json!({ "public_key": hex::encode(key) });
        reject(
            &format!("ed25519-key-{name}"),
            "ed25519.public_key",
            inputs,
            reason,
        )
    });
    let mut flipped = signature;
    flipped[0] ^= 1;
    let mut unreduced = signature;
    unreduced[63] |= 0xe0;
    let mut small_nonce = [0; 64];
    small_nonce[0] = 1;
    let signature_cases = [
        ("flipped", public, MESSAGE, flipped, "one bit of R differs"),
        (
            "scalar-unreduced",
            public,
            MESSAGE,
            unreduced,
            "S is not below the order",
        ),
        (
            "nonce-small-order",
            public,
            MESSAGE,
            small_nonce,
            "R has small order",
        ),
        (
            "other-message",
            public,
            b"massage",
            signature,
            "made over another message",
        ),
        (
            "other-key",
            other,
            MESSAGE,
            signature,
            "made by another key",
        ),
    ]
    .map(|(name, key, message, signature, reason)| {
        let inputs = verify_inputs(key.as_bytes(), message, &signature);
        reject(&format!("ed25519-{name}"), "ed25519.verify", inputs, reason)
    });
    [&key_cases[..], &signature_cases].concat()
}

fn ml_dsa_rejected() -> Vec<Value> {
    let secret = MlDsa44SecretKey::from_seed(&[1; 32]);
    let (public, signature) = (secret.public_key(), secret.sign(MESSAGE));
    let other = MlDsa44SecretKey::from_seed(&[2; 32]).public_key();
    let mut flipped = signature;
    flipped[0] ^= 1;
    let mut trailing = signature;
    // Below the 4 counts that end a signature lie 80 hint positions; the last is not in use here.
    assert_eq!(trailing[2415], 0);
    trailing[2415] = 1;
    [
        (
            "flipped",
            &public,
            MESSAGE,
            flipped,
            "one bit of the challenge differs",
        ),
        (
            "hint-trailing",
            &public,
            MESSAGE,
            trailing,
            "an unused hint position is not zero",
        ),
        (
            "other-message",
            &public,
            b"massage",
            signature,
            "made over another message",
        ),
        (
            "other-key",
            &other,
            MESSAGE,
            signature,
            "made by another key",
        ),
    ]
    .map(|(name, key, message, signature, reason)| {
        let inputs = verify_inputs(&key.to_bytes(), message, &signature);
        reject(
            &format!("ml-dsa-44-{name}"),
            "ml-dsa-44.verify",
            inputs,
            reason,
        )
    })
    .to_vec()
}

fn ed25519_signed() -> Vec<Value> {
    RFC_8032_TESTS
        .map(|(name, seed, message)| {
            let inputs = json!({ "seed": seed, "message": message });
            let outputs =
                ed25519_sign(&hex::decode(seed).unwrap(), &hex::decode(message).unwrap()).unwrap();
            accept(name, "ed25519.sign", inputs, outputs)
        })
        .to_vec()
}

fn ml_dsa_signed() -> Vec<Value> {
    let inputs = json!({ "seed": hex::encode([1; 32]), "message": hex::encode(MESSAGE) });
    let outputs = ml_dsa_sign(&[1; 32], MESSAGE).unwrap();
    vec![accept("ml-dsa-44", "ml-dsa-44.sign", inputs, outputs)]
}

fn ed25519_sign(seed: &[u8], message: &[u8]) -> Result<Value, SignatureError> {
    let secret = Ed25519SecretKey::from_seed(seed.try_into().unwrap());
    let (public, signature) = (secret.public_key(), secret.sign(message));
    public.verify(message, &signature)?;
    Ok(json!({
        "public_key": hex::encode(public.as_bytes()),
        "signature": hex::encode(signature),
    }))
}

fn ml_dsa_sign(seed: &[u8], message: &[u8]) -> Result<Value, SignatureError> {
    let secret = MlDsa44SecretKey::from_seed(seed.try_into().unwrap());
    let (public, signature) = (secret.public_key(), secret.sign(message));
    public.verify(message, &signature)?;
    Ok(json!({
        "public_key": hex::encode(public.to_bytes()),
        "signature": hex::encode(signature),
    }))
}

pub fn check(case: &Case) {
    let message = || case.bytes("message");
    match case.operation() {
        "ed25519.public_key" => {
            let key = Ed25519PublicKey::from_bytes(&case.array("public_key"));
            case.assert_result(key.map(|_| json!({})));
        }
        "ed25519.verify" => {
            let key = Ed25519PublicKey::from_bytes(&case.array("public_key")).unwrap();
            let verified = key.verify(&message(), &case.array("signature"));
            case.assert_result(verified.map(|()| json!({})));
        }
        "ml-dsa-44.verify" => {
            let key = MlDsa44PublicKey::from_bytes(&case.array("public_key"));
            let verified = key.verify(&message(), &case.array("signature"));
            case.assert_result(verified.map(|()| json!({})));
        }
        "ed25519.sign" => case.assert_result(ed25519_sign(&case.bytes("seed"), &message())),
        "ml-dsa-44.sign" => case.assert_result(ml_dsa_sign(&case.bytes("seed"), &message())),
        _ => case.unknown_operation(),
    }
}
