//! `vectors/answer.json`: account proofs, heads and proof files as devices verify them.

use candor_core::Hash;
use candor_core::account::Label;
use candor_core::answer::{
    AccountProof, Disclosure, HeadProof, KnownHead, ProofFile, Query, Trust, VerifiedAccount,
};
use candor_core::crypto::{Commitment, VrfPublicKey};
use candor_core::note::Policy;
use serde_json::{Value, json};

use crate::case::{Case, Document, accept, reject};
use crate::map::{encode_optional, optional};
use crate::world::World;

const ALICE: &str = "acct:alice";

pub fn document() -> Document {
    let world = world();
    let mut cases = rejected_accounts(&world);
    cases.extend(rejected_heads(&world));
    cases.extend(rejected_files(&world));
    cases.extend(accepted(&world));
    Document {
        description: "Answers. `verify_account` checks an account proof at a map root; the \
                      `value` of an erased version is null; `from_version` and the claimed \
                      greatest version are encoded optional<uint32>, `max_versions` 0 stands \
                      for the limit. `verify_head` checks a head under a policy, whose map \
                      witness is M, against the known head, which is empty for none. \
                      `verify_file` checks a proof file offline. `policy`, `checkpoint` and \
                      `file` are texts as bytes.",
        source: "docs/protocol.md, What a device verifies; computed by this implementation.",
        cases,
    }
}

pub fn check(case: &Case) {
    match case.operation() {
        "verify_account" => {
            let query = Query {
                from_version: optional(&case.bytes("from_version")),
                max_versions: case.number("max_versions"),
            };
            let key = VrfPublicKey::from_bytes(&case.array("vrf_public_key")).unwrap();
            let root = Hash(case.array("root"));
            let proof = AccountProof::decode(&case.bytes("proof"));
            let result = proof.map_err(|error| error.to_string()).and_then(|proof| {
                let verified = proof.verify(&case.bytes("label"), &query, &key, &root);
                verified.map_err(|error| error.to_string())
            });
            case.assert_result(result.map(|verified| account(&verified)));
        }
        "verify_head" => {
            let known = case.bytes("known");
            let known = (!known.is_empty()).then(|| KnownHead::decode(&known).unwrap());
            let head = HeadProof {
                checkpoint: case.bytes("checkpoint"),
                record: case.bytes("record"),
                inclusion: hashes(&case.bytes("inclusion")),
            };
            let consistency = hashes(&case.bytes("consistency"));
            let now_s = case.number("now_s");
            let verified = head.verify(&trust(case), known.as_ref(), &consistency, now_s);
            let known = verified.map(|verified| verified.known());
            case.assert_result(known.map(|known| json!({ "known": hex::encode(known.encode()) })));
        }
        "verify_file" => {
            let file = ProofFile::parse(&case.bytes("file"));
            let verified = file.and_then(|file| {
                let label = file.label.clone();
                let verified = file.verify(&trust(case), None, case.number("now_s"))?;
                let mut outputs = account(&verified.account);
                outputs["label"] = label.as_str().into();
                Ok(outputs)
            });
            case.assert_result(verified);
        }
        _ => case.unknown_operation(),
    }
}

fn trust(case: &Case) -> Trust {
    Trust::new(Policy::parse(&case.bytes("policy")).unwrap(), ["M"]).unwrap()
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    assert!(rest.is_empty(), "a proof is whole hashes");
    hashes.iter().copied().map(Hash).collect()
}

fn concatenated(hashes: &[Hash]) -> String {
    hashes.iter().map(Hash::to_string).collect()
}

fn account(verified: &VerifiedAccount) -> Value {
    let opened = verified.opened().iter().map(|version| {
        json!({
            "version": version.version(),
            "commitment": hex::encode(version.commitment().0),
            "value": version.value().map(hex::encode),
        })
    });
    json!({
        "greatest": encode_optional(verified.greatest()),
        "opened": opened.collect::<Vec<_>>(),
    })
}

/// Bob's version 0, then Alice's 0, 1 and 2, one an epoch.
fn world() -> World {
    let mut world = World::new();
    world.add(&[("acct:bob", b"bob's 0")]);
    for version in 0..3 {
        world.add(&[(ALICE, format!("alice's {version}").as_bytes())]);
    }
    world
}

fn map_root(world: &World) -> Hash {
    let leaves = &world.epochs.last().unwrap().leaves;
    candor_core::map::Leaves::root(leaves).subtree_hash()
}

fn account_inputs(world: &World, label: &str, query: &Query, proof: &AccountProof) -> Value {
    json!({
        "label": hex::encode(label),
        "from_version": encode_optional(query.from_version),
        "max_versions": query.max_versions,
        "vrf_public_key": hex::encode(world.vrf.public_key().as_bytes()),
        "root": map_root(world).to_string(),
        "proof": hex::encode(proof.encode()),
    })
}

fn head_inputs(world: &World, head: &HeadProof, known: Option<u64>) -> Value {
    let known_head = known.map(|size| {
        let head = world
            .head(size)
            .verify(&world.trust(), None, &[], world.now_s);
        head.unwrap().known().encode()
    });
    let consistency = known.map(|size| world.consistency(size, world.size()));
    json!({
        "policy": hex::encode(world.policy()),
        "now_s": world.now_s,
        "known": hex::encode(known_head.unwrap_or_default()),
        "consistency": concatenated(&consistency.unwrap_or_default()),
        "checkpoint": hex::encode(&head.checkpoint),
        "record": hex::encode(&head.record),
        "inclusion": concatenated(&head.inclusion),
    })
}

fn file(world: &World) -> ProofFile {
    let size = world.size();
    ProofFile {
        head: world.head(size),
        second: None,
        config: world.config(size),
        label: Label::parse(ALICE).unwrap(),
        account: world.account(ALICE, &Query::GREATEST, size),
    }
}

fn file_inputs(world: &World, file: &ProofFile) -> Value {
    json!({
        "policy": hex::encode(world.policy()),
        "now_s": world.now_s,
        "file": hex::encode(file.to_bytes().unwrap()),
    })
}

fn rejected_accounts(world: &World) -> Vec<Value> {
    let query = Query::GREATEST;
    let size = world.size();
    let claimed = |name, greatest, reason| {
        let proof = world.account_claiming(ALICE, &query, size, greatest);
        reject(
            name,
            "verify_account",
            account_inputs(world, ALICE, &query, &proof),
            reason,
        )
    };
    let honest = world.account(ALICE, &query, size);
    let changed = |name, field: &str, value: &str, reason| {
        let mut inputs = account_inputs(world, ALICE, &query, &honest);
        inputs[field] = value.into();
        reject(name, "verify_account", inputs, reason)
    };
    let mut forged = honest.clone();
    forged.lookups[0].vrf_proof.0[40] ^= 1;
    let forged = account_inputs(world, ALICE, &query, &forged);
    let since_0 = Query::since(0);
    let said_erased = |name, place: usize, is_erased: bool, reason| {
        let mut proof = world.account_erased(ALICE, &since_0, 2);
        let version = since_0.lookups(Some(2))[place];
        proof.lookups[place].disclosure = match &proof.lookups[place].disclosure {
            Disclosure::Opened { opening, value } => {
                Disclosure::Erased(Commitment::new(opening, ALICE.as_bytes(), version, value))
            }
            Disclosure::Erased(commitment) if !is_erased => Disclosure::Committed(*commitment),
            _ => Disclosure::Erased(Commitment([0; 32])),
        };
        let inputs = account_inputs(world, ALICE, &since_0, &proof);
        reject(name, "verify_account", inputs, reason)
    };
    vec![
        claimed(
            "the newest version is hidden",
            Some(1),
            "version 2 is in the map",
        ),
        claimed("the account is hidden", None, "version 0 is in the map"),
        claimed(
            "a version too many is claimed",
            Some(3),
            "version 3 is not in the map",
        ),
        changed(
            "another label",
            "label",
            &hex::encode("acct:bob"),
            "the search keys differ",
        ),
        changed(
            "another root",
            "root",
            &"00".repeat(32),
            "the tree is another one",
        ),
        changed(
            "another query",
            "from_version",
            "0100000000",
            "versions 0 and 1 are not opened",
        ),
        reject(
            "a forged search key",
            "verify_account",
            forged,
            "a VRF proof does not verify",
        ),
        // The lookups of greatest version 2 are 0, 1, 3, 2.
        said_erased(
            "the greatest version is said to be erased",
            3,
            true,
            "it is always opened",
        ),
        said_erased(
            "a version that does not exist is said to be erased",
            2,
            true,
            "version 3 is above the greatest",
        ),
        said_erased(
            "an erased version with another commitment",
            0,
            true,
            "the map holds another commitment",
        ),
        said_erased(
            "a version that was to be opened is not",
            1,
            false,
            "it is neither opened nor said to be erased",
        ),
    ]
}

fn rejected_heads(world: &World) -> Vec<Value> {
    let size = world.size();
    let rejected = |name, head: &HeadProof, known, reason| {
        reject(name, "verify_head", head_inputs(world, head, known), reason)
    };
    let mut fork = World::new();
    while fork.size() < size {
        fork.add(&[(ALICE, b"mallory's")]);
    }
    let stale_s = world.now_s - 24 * 60 * 60 - 1;
    let older_record = HeadProof {
        record: world.head(size - 1).record,
        ..world.head(size)
    };
    let mut no_proof = head_inputs(world, &world.head(size), Some(3));
    no_proof["consistency"] = "".into();
    vec![
        rejected(
            "no map witness",
            &world.head_by(size, &[0, 1], world.now_s),
            None,
            "no quorum",
        ),
        rejected(
            "a stale head",
            &world.head_by(size, &[0, 2], stale_s),
            None,
            "over 24 hours old",
        ),
        rejected(
            "a split view",
            &fork.head(size),
            Some(size),
            "one size, two roots",
        ),
        rejected(
            "a rewritten log",
            &fork.head(size),
            Some(3),
            "it does not extend the known one",
        ),
        rejected(
            "an older record",
            &older_record,
            None,
            "the record is not the last leaf",
        ),
        reject(
            "no consistency proof",
            "verify_head",
            no_proof,
            "growth is not shown",
        ),
    ]
}

fn rejected_files(world: &World) -> Vec<Value> {
    let honest = file(world);
    let bytes = honest.to_bytes().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let index = file_inputs(world, &honest);
    let changed = |name, from: &str, to: &str, reason| {
        let mut inputs = index.clone();
        inputs["file"] = hex::encode(text.replacen(from, to, 1)).into();
        reject(name, "verify_file", inputs, reason)
    };
    let other_label = ProofFile {
        label: Label::parse("acct:bob").unwrap(),
        ..honest.clone()
    };
    vec![
        changed(
            "another index",
            "index 4",
            "index 3",
            "the newest record is the last",
        ),
        changed(
            "line ends of another system",
            "\n",
            "\r\n",
            "there is one spelling",
        ),
        reject(
            "another label in a file",
            "verify_file",
            file_inputs(world, &other_label),
            "the search keys differ",
        ),
    ]
}

fn accepted(world: &World) -> Vec<Value> {
    let size = world.size();
    let few = Query {
        from_version: Some(1),
        max_versions: 1,
    };
    let mut cases = Vec::new();
    for (name, label, query) in [
        ("the greatest version", ALICE, Query::GREATEST),
        ("all versions", ALICE, Query::since(0)),
        ("one version and the greatest", ALICE, few),
        ("no account", "acct:nobody", Query::GREATEST),
    ] {
        let proof = world.account(label, &query, size);
        let inputs = account_inputs(world, label, &query, &proof);
        let key = world.vrf.public_key();
        let verified = proof.verify(label.as_bytes(), &query, key, &map_root(world));
        cases.push(accept(
            name,
            "verify_account",
            inputs,
            account(&verified.unwrap()),
        ));
    }
    let query = Query::since(0);
    let proof = world.account_erased(ALICE, &query, 2);
    let inputs = account_inputs(world, ALICE, &query, &proof);
    let key = world.vrf.public_key();
    let verified = proof.verify(ALICE.as_bytes(), &query, key, &map_root(world));
    cases.push(accept(
        "all versions, of which two were erased",
        "verify_account",
        inputs,
        account(&verified.unwrap()),
    ));
    for (name, known) in [
        ("a first head", None),
        ("a later head", Some(3)),
        ("the same head", Some(size)),
    ] {
        let head = world.head(size);
        let verified = head.verify(&world.trust(), None, &[], world.now_s).unwrap();
        let outputs = json!({ "known": hex::encode(verified.known().encode()) });
        cases.push(accept(
            name,
            "verify_head",
            head_inputs(world, &head, known),
            outputs,
        ));
    }
    let honest = file(world);
    let inputs = file_inputs(world, &honest);
    let verified = honest.verify(&world.trust(), None, world.now_s).unwrap();
    let mut outputs = account(&verified.account);
    outputs["label"] = ALICE.into();
    cases.push(accept("a file", "verify_file", inputs, outputs));
    cases
}
