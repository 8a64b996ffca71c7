//! Inclusion and consistency proofs of the log.

use candor_core::Hash;
use candor_core::log::{
    NodeSource, leaf_hash, node_hash, prove_consistency, prove_inclusion, root, verify_consistency,
    verify_inclusion,
};
use serde_json::{Value, json};

use crate::case::{Case, Document, accept, reject};

pub fn document() -> Document {
    let mut cases = rejected_inclusions();
    cases.extend(rejected_consistencies());
    for (index, size) in [(0, 1), (0, 7), (6, 7), (3, 8), (8, 11)] {
        let name = format!("entry {index} of {size}");
        cases.push(accept(
            &name,
            "verify_inclusion",
            inclusion(index, size),
            json!({}),
        ));
    }
    for (old, new) in [(0, 7), (1, 7), (4, 7), (6, 7), (7, 7), (3, 11), (8, 11)] {
        let name = format!("from {old} to {new}");
        cases.push(accept(
            &name,
            "verify_consistency",
            consistency(old, new),
            json!({}),
        ));
    }
    Document {
        description: "Proofs in a log whose entry i is the one byte i. `proof` is the hashes one \
                      after the other, in the order of RFC 6962.",
        source: "RFC 6962, sections 2.1.1 and 2.1.2; computed by this implementation.",
        cases,
    }
}

pub fn check(case: &Case) {
    let hash = |field| Hash(case.array(field));
    let proof = case.bytes("proof");
    let (proof, rest) = proof.as_chunks::<32>();
    assert!(rest.is_empty(), "a proof is whole hashes");
    let proof: Vec<Hash> = proof.iter().copied().map(Hash).collect();
    let result = match case.operation() {
        "verify_inclusion" => {
            let (index, size) = (case.number("index"), case.number("size"));
            verify_inclusion(index, size, &hash("leaf"), &proof, &hash("root"))
        }
        "verify_consistency" => {
            let (old, new) = (case.number("old_size"), case.number("new_size"));
            verify_consistency(old, &hash("old_root"), new, &hash("new_root"), &proof)
        }
        _ => case.unknown_operation(),
    };
    case.assert_result(result.map(|()| json!({})));
}

fn rejected_inclusions() -> Vec<Value> {
    let changed = |field: &str, value: Value| {
        let mut inputs = inclusion(3, 7);
        inputs[field] = value;
        inputs
    };
    let proof = inclusion(3, 7)["proof"].as_str().unwrap().to_owned();
    let rejected = |name, inputs, reason| reject(name, "verify_inclusion", inputs, reason);
    vec![
        rejected(
            "index beyond the log",
            changed("index", json!(7)),
            "there is no entry 7 of 7",
        ),
        rejected(
            "another index",
            changed("index", json!(2)),
            "the path is that of entry 3",
        ),
        rejected(
            "size above 2^63-1",
            changed("size", json!(1_u64 << 63)),
            "no log may be that large",
        ),
        rejected(
            "one hash less",
            changed("proof", json!(proof[64..])),
            "the length follows from index and size",
        ),
        rejected(
            "one hash more",
            changed("proof", json!(proof.clone() + &"00".repeat(32))),
            "the length follows from index and size",
        ),
        rejected(
            "hashes in another order",
            changed(
                "proof",
                json!(format!(
                    "{}{}{}",
                    &proof[64..128],
                    &proof[..64],
                    &proof[128..]
                )),
            ),
            "the leaf's sibling comes first",
        ),
        rejected(
            "another leaf",
            changed("leaf", json!("00".repeat(32))),
            "it is not in the log",
        ),
    ]
}

fn rejected_consistencies() -> Vec<Value> {
    let changed = |old, new, field: &str, value: Value| {
        let mut inputs = consistency(old, new);
        inputs[field] = value;
        inputs
    };
    let other = json!("00".repeat(32));
    let rejected = |name, inputs, reason| reject(name, "verify_consistency", inputs, reason);
    vec![
        rejected(
            "another old root",
            changed(3, 7, "old_root", other.clone()),
            "the log was rewritten",
        ),
        rejected(
            "another new root",
            changed(3, 7, "new_root", other.clone()),
            "it is a fork",
        ),
        rejected(
            "one size with two roots",
            changed(7, 7, "new_root", other.clone()),
            "it is a fork",
        ),
        rejected(
            "a proof where none is needed",
            changed(7, 7, "proof", other.clone()),
            "equal sizes take no proof",
        ),
        rejected(
            "a proof from the empty log",
            changed(0, 7, "proof", other.clone()),
            "the empty log is consistent with every log",
        ),
        rejected(
            "an empty log with another root",
            changed(0, 7, "old_root", other),
            "the empty log has one root, SHA-256 of nothing",
        ),
        rejected(
            "a log that shrinks",
            changed(7, 7, "new_size", json!(6)),
            "a log only grows",
        ),
    ]
}

fn inclusion(index: u64, size: u64) -> Value {
    json!({
        "index": index,
        "size": size,
        "leaf": leaf(index).to_string(),
        "root": root(size, &Entries).unwrap().to_string(),
        "proof": concatenated(&prove_inclusion(index, size, &Entries).unwrap()),
    })
}

fn consistency(old: u64, new: u64) -> Value {
    json!({
        "old_size": old,
        "old_root": root(old, &Entries).unwrap().to_string(),
        "new_size": new,
        "new_root": root(new, &Entries).unwrap().to_string(),
        "proof": concatenated(&prove_consistency(old, new, &Entries).unwrap()),
    })
}

fn concatenated(hashes: &[Hash]) -> String {
    hashes.iter().map(Hash::to_string).collect()
}

fn leaf(index: u64) -> Hash {
    leaf_hash(&[u8::try_from(index).unwrap()])
}

/// The log whose entry i is the byte i.
struct Entries;

impl NodeSource for Entries {
    type Error = core::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        match level {
            0 => Ok(leaf(index)),
            _ => Ok(node_hash(
                &self.node(level - 1, 2 * index)?,
                &self.node(level - 1, 2 * index + 1)?,
            )),
        }
    }
}
