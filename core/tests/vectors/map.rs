//! `vectors/map.json`: ladders, prefix tree proofs, audit deltas, and the records of the log.

use candor_core::Hash;
use candor_core::codec::{DecodeError, Reader};
use candor_core::crypto::{Commitment, Ed25519SecretKey, SearchKey};
use candor_core::epoch::{EpochRecord, LogConfig, Record, Successor};
use candor_core::map::ladder::search_ladder;
use candor_core::map::{AuditDelta, Expectation, Leaf, Leaves, PrefixProof, Proved, prove};
use candor_core::note::{KeyName, VerifierKey};
use serde_json::{Value, json};

use crate::case::{Case, Document, accept, reject};
use crate::world::World;

pub fn document() -> Document {
    let mut cases = rejected_proofs();
    cases.extend(rejected_deltas());
    cases.extend(rejected_records());
    cases.extend(accepted());
    Document {
        description: "The map. `search_ladder` gives the versions to look up for a greatest \
                      version, an encoded optional<uint32>. `verify_prefix_proof` takes the \
                      lookups in order, each a search key, then 01 and the commitment that must \
                      be there, or 00 if the key must be absent. `verify_delta` gives the \
                      inserted leaves. `decode_config` and `decode_record` read records 0 and \
                      above; a last record names its `successor`.",
        source: "draft-ietf-keytrans-protocol, Binary Ladder and Prefix Tree; docs/protocol.md, \
                 audit delta and records; computed by this implementation.",
        cases,
    }
}

pub fn check(case: &Case) {
    let hash = |field| Hash(case.array(field));
    match case.operation() {
        "search_ladder" => {
            let ladder = search_ladder(optional(&case.bytes("greatest")));
            case.assert_result::<()>(Ok(json!({ "versions": ladder })));
        }
        "verify_prefix_proof" => {
            let lookups = decode_lookups(&case.bytes("lookups")).unwrap();
            let proof = case.bytes("proof");
            let mut reader = Reader::new(&proof);
            let decoded = PrefixProof::decode_from(&mut reader)
                .and_then(|proof| reader.finish().map(|()| proof));
            let result = decoded
                .map_err(|error| error.to_string())
                .and_then(|proof| {
                    let verified = proof.verify(&lookups, &hash("root"));
                    verified.map_err(|error| error.to_string())
                });
            case.assert_result(result.map(|()| json!({})));
        }
        "verify_delta" => {
            let delta = AuditDelta::from_bytes(case.bytes("delta")).unwrap();
            let digest = delta.digest().to_string();
            let verified = delta.verify(&hash("old_root"), &hash("new_root"));
            case.assert_result(verified.map(|verified| {
                let inserts = verified.inserts().iter();
                let inserts: String = inserts.map(encode_leaf).collect();
                json!({ "inserts": inserts, "digest": digest })
            }));
        }
        "decode_config" => case.assert_result(LogConfig::decode(&case.bytes("record")).map(config)),
        "decode_record" => {
            case.assert_result(Record::decode(&case.bytes("record")).map(|it| record(&it)));
        }
        _ => case.unknown_operation(),
    }
}

/// Reads an encoded optional<uint32>.
pub fn optional(bytes: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(bytes);
    let present = reader.present("optional").unwrap();
    let value = present.then(|| reader.u32("optional").unwrap());
    reader.finish().unwrap();
    value
}

/// Encodes an optional<uint32>.
pub fn encode_optional(value: Option<u32>) -> String {
    value.map_or_else(|| "00".to_owned(), |value| format!("01{value:08x}"))
}

fn decode_lookups(bytes: &[u8]) -> Result<Vec<Expectation>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut lookups = Vec::new();
    while reader.remaining() > 0 {
        let key = SearchKey(reader.array("key")?);
        lookups.push(match reader.present("commitment")? {
            true => Expectation::Included(key, Commitment(reader.array("commitment")?)),
            false => Expectation::Absent(key),
        });
    }
    Ok(lookups)
}

fn encode_leaf(leaf: &Leaf) -> String {
    hex::encode(leaf.key.0) + &hex::encode(leaf.commitment.0)
}

fn config(config: LogConfig) -> Value {
    json!({
        "origin": config.origin,
        "vrf_public_key": hex::encode(config.vrf_public_key),
        "created_ms": config.created_ms,
    })
}

fn record(record: &Record) -> Value {
    let epoch = &record.epoch;
    let mut outputs = json!({
        "timestamp_ms": epoch.timestamp_ms,
        "prefix_tree": epoch.prefix_tree.to_string(),
        "leaves": epoch.leaves,
        "audit_digest": epoch.audit_digest.to_string(),
    });
    if let Some(successor) = &record.successor {
        outputs["successor"] = successor.origin().into();
    }
    outputs
}

/// The last record of a log whose newest one is `before`.
fn last(before: &[u8]) -> Vec<u8> {
    let config = LogConfig {
        origin: "next.example".to_owned(),
        vrf_public_key: [7; 32],
        created_ms: 1,
    };
    let name = KeyName::new("next.example").unwrap();
    let keys = [1, 2].map(|seed| {
        let secret = Ed25519SecretKey::from_seed(&[seed; 32]);
        VerifierKey::ed25519(name.clone(), secret.public_key())
    });
    let record = Record {
        epoch: EpochRecord::decode(before).unwrap(),
        successor: Some(Successor::new(&config, &keys).unwrap()),
    };
    record.encode()
}

fn key(first: u8) -> SearchKey {
    let mut key = [first; 32];
    key[31] = 0x55;
    SearchKey(key)
}

fn leaf(first: u8) -> Leaf {
    Leaf {
        key: key(first),
        commitment: Commitment([!first; 32]),
    }
}

/// Keys 00.., 40.., 41.. and c0..: the two in the middle part at their eighth bit.
fn leaves() -> Vec<Leaf> {
    [0x00, 0x40, 0x41, 0xc0].map(leaf).to_vec()
}

/// The honest proof for two included and two absent keys: one ends at a leaf, one at nothing.
fn proof() -> Value {
    let keys = [0x41, 0x42, 0x00, 0x60].map(key);
    let Ok(Proved { proof, .. }) = prove(&Leaves::root(&leaves()), &keys);
    let mut bytes = Vec::new();
    proof.encode_to(&mut bytes);
    let included = |first| format!("01{}", hex::encode(leaf(first).commitment.0));
    let outcomes = [included(0x41), "00".into(), included(0x00), "00".into()];
    let lookups = keys.iter().zip(&outcomes);
    let lookups: String = lookups.map(|(key, end)| hex::encode(key.0) + end).collect();
    json!({
        "root": Leaves::root(&leaves()).subtree_hash().to_string(),
        "lookups": lookups,
        "proof": hex::encode(bytes),
    })
}

fn rejected_proofs() -> Vec<Value> {
    let honest = proof();
    let text = |field: &str| honest[field].as_str().unwrap().to_owned();
    let rejected = |name, field: &str, value: String, reason| {
        let mut inputs = honest.clone();
        inputs[field] = value.into();
        reject(name, "verify_prefix_proof", inputs, reason)
    };
    let (proof, lookups) = (text("proof"), text("lookups"));
    vec![
        rejected(
            "another root",
            "root",
            "00".repeat(32),
            "the tree is another one",
        ),
        rejected(
            "another commitment",
            "lookups",
            lookups.replace(&hex::encode(leaf(0x41).commitment.0), &"77".repeat(32)),
            "the leaf holds something else",
        ),
        rejected(
            "absence of a key that is there",
            "lookups",
            lookups.replace(&format!("01{}", hex::encode(leaf(0x41).commitment.0)), "00"),
            "the search ends in inclusion",
        ),
        rejected(
            "one lookup less",
            "lookups",
            lookups[..lookups.len() - 66].to_owned(),
            "the proof answers four lookups",
        ),
        rejected(
            "a byte after the end",
            "proof",
            proof.clone() + "00",
            "there is one encoding",
        ),
        rejected(
            "a byte less",
            "proof",
            proof[..proof.len() - 2].to_owned(),
            "the last hash is cut",
        ),
    ]
}

fn delta() -> Value {
    let inserts = [0x42, 0x80].map(leaf);
    let Ok(delta) = AuditDelta::build(&Leaves::root(&leaves()), &inserts);
    let mut after = leaves();
    after.extend(inserts);
    after.sort_by_key(|leaf| leaf.key);
    json!({
        "old_root": Leaves::root(&leaves()).subtree_hash().to_string(),
        "new_root": Leaves::root(&after).subtree_hash().to_string(),
        "delta": hex::encode(delta.as_bytes()),
    })
}

fn rejected_deltas() -> Vec<Value> {
    let honest = delta();
    let bytes = honest["delta"].as_str().unwrap().to_owned();
    let rejected = |name, field: &str, value: String, reason| {
        let mut inputs = honest.clone();
        inputs[field] = value.into();
        reject(name, "verify_delta", inputs, reason)
    };
    // The count, then two leaves of 64 bytes.
    let (first, second) = (&bytes[8..136], &bytes[136..264]);
    let swapped = format!("{}{second}{first}{}", &bytes[..8], &bytes[264..]);
    vec![
        rejected(
            "another old root",
            "old_root",
            "00".repeat(32),
            "it starts elsewhere",
        ),
        rejected(
            "another new root",
            "new_root",
            "00".repeat(32),
            "it leads elsewhere",
        ),
        rejected(
            "leaves out of order",
            "delta",
            swapped,
            "they are strictly ascending",
        ),
        rejected(
            "a byte after the end",
            "delta",
            bytes.clone() + "00",
            "there is one encoding",
        ),
        rejected(
            "something without an insertion",
            "delta",
            format!("00000000{}", &bytes[264..]),
            "an empty delta has no walk",
        ),
    ]
}

fn rejected_records() -> Vec<Value> {
    let mut world = World::new();
    world.add(&[]);
    let (config, record) = (&world.epochs[0].record, &world.epochs[1].record);
    let rejected = |name, operation, bytes: &[u8], reason| {
        reject(
            name,
            operation,
            json!({ "record": hex::encode(bytes) }),
            reason,
        )
    };
    let mut suite = config.clone();
    suite[2] = 0xff;
    let last = last(record);
    let mut unordered = last.clone();
    let keys_at = last.len() - 2 * 32;
    unordered[keys_at..].rotate_left(32);
    let mut keyless = last[..keys_at].to_vec();
    keyless[keys_at - 1] = 0;
    let mut kind = record.to_vec();
    kind[0] = 2;
    vec![
        rejected(
            "a last record without a successor",
            "decode_record",
            &kind,
            "its kind is 2",
        ),
        rejected(
            "a successor without keys",
            "decode_record",
            &keyless,
            "a log has a key",
        ),
        rejected(
            "a successor's keys out of order",
            "decode_record",
            &unordered,
            "there is one encoding",
        ),
        rejected(
            "a last record less a byte",
            "decode_record",
            &last[..last.len() - 1],
            "it is cut",
        ),
        rejected(
            "an epoch as configuration",
            "decode_config",
            record,
            "its kind is 1",
        ),
        rejected(
            "a configuration as epoch",
            "decode_record",
            config,
            "its kind is 0",
        ),
        rejected(
            "an unknown suite",
            "decode_config",
            &suite,
            "only one suite is known",
        ),
        rejected(
            "a record and a byte",
            "decode_record",
            &[record, &[0][..]].concat(),
            "there is one encoding",
        ),
        rejected(
            "a record less a byte",
            "decode_record",
            &record[..80],
            "it is cut",
        ),
    ]
}

fn accepted() -> Vec<Value> {
    let mut cases = vec![accept(
        "a batch of four",
        "verify_prefix_proof",
        proof(),
        json!({}),
    )];
    let inputs = delta();
    let made = AuditDelta::from_bytes(hex::decode(inputs["delta"].as_str().unwrap()).unwrap());
    let inserts = [0x42, 0x80].map(|first| encode_leaf(&leaf(first))).concat();
    let outputs = json!({
        "inserts": inserts,
        "digest": made.unwrap().digest().to_string(),
    });
    cases.push(accept("two insertions", "verify_delta", inputs, outputs));
    let mut world = World::new();
    world.add(&[("acct:alice", b"alice's")]);
    let (first, second) = (&world.epochs[0].record, &world.epochs[1].record);
    cases.push(accept(
        "a configuration",
        "decode_config",
        json!({ "record": hex::encode(first) }),
        config(LogConfig::decode(first).unwrap()),
    ));
    cases.push(accept(
        "an epoch",
        "decode_record",
        json!({ "record": hex::encode(second) }),
        record(&Record::decode(second).unwrap()),
    ));
    let end = last(second);
    cases.push(accept(
        "the last record of a log",
        "decode_record",
        json!({ "record": hex::encode(&end) }),
        record(&Record::decode(&end).unwrap()),
    ));
    let greatest = [0, 1, 2, 5, 6, 7, 1000, u32::MAX - 1, u32::MAX].map(Some);
    for greatest in [None].into_iter().chain(greatest) {
        let name = greatest.map_or_else(|| "no version".into(), |t| format!("greatest {t}"));
        let inputs = json!({ "greatest": encode_optional(greatest) });
        let outputs = json!({ "versions": search_ladder(greatest) });
        cases.push(accept(&name, "search_ladder", inputs, outputs));
    }
    cases
}
