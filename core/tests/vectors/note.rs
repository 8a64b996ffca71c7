//! Policies and cosigned checkpoints.

use candor_core::Hash;
use candor_core::crypto::{Ed25519SecretKey, MlDsa44SecretKey};
use candor_core::note::{
    Checkpoint, KeyName, NoteSigner as _, Policy, SignatureLine, SignedNote, SoftwareSigner,
};
use serde_json::{Value, json};

use crate::case::{Case, Document, accept, reject};

const ORIGIN: &str = "log.example/candor";

pub fn document() -> Document {
    let mut cases = rejected_policies();
    cases.extend(rejected_notes());
    cases.push(accept(
        "policy",
        "parse_policy",
        policy_inputs(&policy()),
        json!({}),
    ));
    let stranger = ed25519_cosigner("stranger.example", 9);
    let mut lines = honest_lines();
    lines.push(stranger.sign(&checkpoint(7), 50).unwrap());
    for (name, lines) in [
        ("quorum", honest_lines()),
        ("quorum and an unknown key", lines),
    ] {
        let outputs = json!({
            "origin": ORIGIN,
            "size": 7,
            "root": Hash([7; 32]).to_string(),
            "quorum_timestamp_s": 90,
        });
        cases.push(accept(
            name,
            "verify_checkpoint",
            inputs(&note(lines)),
            outputs,
        ));
    }
    Document {
        description: "Policies, and notes verified under them: texts as hexadecimal of UTF-8. \
                      Ed25519 keys are the seeds 01.. (log), 02.. (witness A) and the ML-DSA-44 \
                      key of witness B is the seed 03.., each byte repeated 32 times.",
        source: "c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy; computed \
                 by this implementation.",
        cases,
    }
}

pub fn check(case: &Case) {
    let policy = Policy::parse(&case.bytes("policy"));
    match case.operation() {
        "parse_policy" => case.assert_result(policy.map(|_| json!({}))),
        "verify_checkpoint" => {
            let result = SignedNote::parse(&case.bytes("note"))
                .map_err(|error| error.to_string())
                .and_then(|note| {
                    policy
                        .unwrap()
                        .verify_checkpoint(&note)
                        .map_err(|error| error.to_string())
                });
            case.assert_result(result.map(|verified| {
                json!({
                    "origin": verified.checkpoint().origin(),
                    "size": verified.checkpoint().size(),
                    "root": verified.checkpoint().root().to_string(),
                    "quorum_timestamp_s": verified.quorum_timestamp_s(),
                })
            }));
        }
        _ => case.unknown_operation(),
    }
}

fn log() -> SoftwareSigner {
    let name = KeyName::new(ORIGIN).unwrap();
    SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[1; 32]))
}

fn ed25519_cosigner(name: &str, seed: u8) -> SoftwareSigner {
    let secret = Ed25519SecretKey::from_seed(&[seed; 32]);
    SoftwareSigner::ed25519_cosignature(KeyName::new(name).unwrap(), secret)
}

fn witness_a() -> SoftwareSigner {
    ed25519_cosigner("witness.example/a", 2)
}

fn witness_b() -> SoftwareSigner {
    let name = KeyName::new("witness.example/b").unwrap();
    SoftwareSigner::ml_dsa_44(name, MlDsa44SecretKey::from_seed(&[3; 32]))
}

fn policy() -> String {
    let (log, a, b) = (log(), witness_a(), witness_b());
    let (log, a, b) = (log.verifier_key(), a.verifier_key(), b.verifier_key());
    format!("log {log}\nwitness A {a}\nwitness B {b}\ngroup both all A B\nquorum both\n")
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint::new(ORIGIN, size, Hash([7; 32])).unwrap()
}

fn honest_lines() -> Vec<SignatureLine> {
    let sign = |signer: &SoftwareSigner, time_s| signer.sign(&checkpoint(7), time_s).unwrap();
    vec![
        sign(&log(), 0),
        sign(&witness_a(), 100),
        sign(&witness_b(), 90),
    ]
}

fn note(lines: Vec<SignatureLine>) -> String {
    SignedNote::new(checkpoint(7).to_text(), lines)
        .unwrap()
        .to_string()
}

fn policy_inputs(policy: &str) -> Value {
    json!({ "policy": hex::encode(policy) })
}

fn inputs(note: &str) -> Value {
    json!({ "policy": hex::encode(policy()), "note": hex::encode(note) })
}

fn rejected_policies() -> Vec<Value> {
    let changed = |from: &str, to: &str| policy_inputs(&policy().replacen(from, to, 1));
    let rejected = |name, inputs, reason| reject(name, "parse_policy", inputs, reason);
    vec![
        rejected(
            "no quorum",
            changed("quorum both\n", ""),
            "a policy has one quorum line",
        ),
        rejected(
            "two quorums",
            changed("quorum", "quorum none\nquorum"),
            "and only one",
        ),
        rejected(
            "no last newline",
            changed("quorum both\n", "quorum both"),
            "lines end in LF",
        ),
        rejected(
            "carriage return",
            changed("both\n", "both\r\n"),
            "octet 0x0d is not allowed",
        ),
        rejected(
            "empty group",
            changed("all A B", "all"),
            "a group has at least one member",
        ),
        rejected(
            "threshold 0",
            changed("all A B", "0 A B"),
            "it would hold without witnesses",
        ),
        rejected(
            "threshold 3 of 2",
            changed("all A B", "3 A B"),
            "it could never hold",
        ),
        rejected(
            "member twice",
            changed("all A B", "any A A"),
            "a name is a member once at most",
        ),
        rejected(
            "forward reference",
            changed("both all A B", "both all A C"),
            "C is not defined",
        ),
        rejected(
            "inline comment",
            changed("quorum both", "quorum both # x"),
            "there are none",
        ),
        rejected(
            "witness key as log",
            changed("witness A", "log"),
            "type 0x04 is for witnesses",
        ),
        rejected(
            "wrong key id",
            changed("candor+", "candour+"),
            "the id follows from the name",
        ),
    ]
}

fn rejected_notes() -> Vec<Value> {
    let rejected =
        |name, note: &str, reason| reject(name, "verify_checkpoint", inputs(note), reason);
    let with = |at: usize, line: Option<SignatureLine>| {
        let mut lines = honest_lines();
        lines.splice(at..=at, line);
        note(lines)
    };
    let honest = note(honest_lines());
    let moved = |signer: SoftwareSigner| Some(signer.sign(&checkpoint(8), 90).unwrap());
    vec![
        rejected("no log signature", &with(0, None), "no log vouches for it"),
        rejected("no witness A", &with(1, None), "the quorum is both"),
        rejected("no witness B", &with(2, None), "the quorum is both"),
        rejected(
            "log signature of another size",
            &with(0, moved(log())),
            "it does not verify",
        ),
        rejected(
            "A's signature of another size",
            &with(1, moved(witness_a())),
            "it is known",
        ),
        rejected(
            "B's signature of another size",
            &with(2, moved(witness_b())),
            "it is known",
        ),
        rejected(
            "another size",
            &honest.replacen("\n7\n", "\n8\n", 1),
            "nobody signed it",
        ),
        rejected(
            "another origin",
            &honest.replacen("log.", "lag.", 1),
            "the log is unknown",
        ),
        rejected(
            "leading zero",
            &honest.replacen("\n7\n", "\n07\n", 1),
            "it is a second spelling",
        ),
        rejected(
            "extension line",
            &honest.replacen("\n\n", "\nx\n\n", 1),
            "not all keys cover it",
        ),
        rejected(
            "carriage return",
            &honest.replacen('\n', "\r\n", 1),
            "control characters",
        ),
        rejected(
            "text after the lines",
            &(honest + "\n"),
            "the last blank line separates",
        ),
    ]
}
