//! `vectors/gossip.json`.

use candor_core::Hash;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{
    Checkpoint, GossipHead, KeyName, LogVerifier, NoteSigner as _, SignedNote, SoftwareSigner,
    VerifierKey,
};
use serde_json::{Value, json};

use crate::case::{Case, Document, accept, reject};

const ORIGIN: &str = "log.example/candor";

pub fn document() -> Document {
    Document {
        description: "Heads that devices pass on. `receive` reads a message under the verifier key \
                      of a log, whose name is the log's origin, and gives the checkpoint and the \
                      note that the message stands for: texts as hexadecimal of UTF-8. The log's \
                      key is the seed 01.., each byte repeated 32 times.",
        source: "Candor protocol, section 19.2; c2sp.org/signed-note, tlog-checkpoint; computed by \
                 this implementation.",
        cases: [rejected(), accepted()].concat(),
    }
}

fn signer(origin: &str, seed: u8) -> SoftwareSigner {
    let name = KeyName::new(origin).unwrap();
    SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[seed; 32]))
}

fn message(signer: &SoftwareSigner, size: u64) -> Vec<u8> {
    let key = signer.verifier_key();
    let checkpoint = Checkpoint::new(key.name().as_str(), size, Hash([7; 32])).unwrap();
    let line = signer.sign(&checkpoint, 0).unwrap();
    let note = SignedNote::new(checkpoint.to_text(), vec![line]).unwrap();
    let log = LogVerifier::new(checkpoint.origin(), vec![key.clone()]);
    let head = GossipHead::new(&log, &note).unwrap().unwrap();
    head.encode().to_vec()
}

fn inputs(origin: &str, message: &[u8]) -> Value {
    let key = signer(origin, 1).verifier_key().to_string();
    json!({ "key": hex::encode(key), "message": hex::encode(message) })
}

fn rejected() -> Vec<Value> {
    let honest = message(&signer(ORIGIN, 1), 7);
    let sized = |size: u64| [&[1], &size.to_be_bytes()[..], &honest[9..]].concat();
    let changed = |at: usize| {
        let mut changed = honest.clone();
        changed[at] ^= 1;
        changed
    };
    // S plus the order of the group: the same signature to whoever does not compare with it.
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let mut twin = honest.clone();
    let mut carry = 0;
    for (byte, add) in twin[77..].iter_mut().zip(hex::decode(order).unwrap()) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        [*byte, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    [
        ("empty", Vec::new(), "no format"),
        (
            "one byte short",
            honest[..108].to_vec(),
            "the signature ends early",
        ),
        (
            "one byte more",
            [&honest[..], &[0]].concat(),
            "109 bytes are all",
        ),
        ("format 2", changed(0), "it is unknown"),
        ("size 0", sized(0), "there is nothing to compare"),
        ("size 1", sized(1), "a log without an epoch is never signed"),
        ("size 2^63", sized(1 << 63), "no log is that large"),
        ("another size", sized(8), "the log did not sign it"),
        ("another root", changed(9), "the log did not sign it"),
        ("another key id", changed(41), "the key is unknown"),
        ("another signature", changed(45), "it does not verify"),
        (
            "second spelling of S",
            twin,
            "S is not below the group order",
        ),
        (
            "another log",
            message(&signer("log.example/b", 1), 7),
            "its key has another id",
        ),
        (
            "another key",
            message(&signer(ORIGIN, 2), 7),
            "its key has another id",
        ),
    ]
    .map(|(name, message, reason)| reject(name, "receive", inputs(ORIGIN, &message), reason))
    .to_vec()
}

fn accepted() -> Vec<Value> {
    let longest = "o".repeat(255);
    [
        ("a head", ORIGIN, 7),
        ("the smallest log", ORIGIN, 2),
        ("the largest log", ORIGIN, (1 << 63) - 1),
        ("the longest origin", &longest, 7),
    ]
    .map(|(name, origin, size)| {
        let message = message(&signer(origin, 1), size);
        let key = signer(origin, 1).verifier_key().clone();
        let outputs = receive(key, &message).unwrap();
        accept(name, "receive", inputs(origin, &message), outputs)
    })
    .to_vec()
}

fn receive(key: VerifierKey, message: &[u8]) -> Result<Value, String> {
    let head = GossipHead::decode(message).map_err(|error| error.to_string())?;
    let log = LogVerifier::new(key.name().as_str(), vec![key.clone()]);
    let verified = head.verify(&log).map_err(|error| error.to_string())?;
    Ok(json!({
        "checkpoint": hex::encode(verified.checkpoint().to_text()),
        "note": hex::encode(verified.to_note().to_bytes()),
    }))
}

pub fn check(case: &Case) {
    match case.operation() {
        "receive" => {
            let key = String::from_utf8(case.bytes("key")).unwrap();
            case.assert_result(receive(key.parse().unwrap(), &case.bytes("message")));
        }
        _ => case.unknown_operation(),
    }
}
