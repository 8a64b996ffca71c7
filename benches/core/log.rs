//! Proofs of the log, and signatures on its checkpoints.

use std::hint::black_box;

use candor_benches::Nodes;
use candor_core::Hash;
use candor_core::crypto::{Ed25519SecretKey, MlDsa44SecretKey};
use candor_core::log::{
    NodeSource, leaf_hash, prove_consistency, prove_inclusion, root, verify_consistency,
    verify_inclusion,
};
use candor_core::note::{Checkpoint, KeyName, LogVerifier, NoteSigner, SignedNote, SoftwareSigner};

use super::Operation;

/// Records of the log.
const RECORDS: u64 = 100_000;

/// Records when the device saw it last.
const RECORDS_BEFORE: u64 = 65_537;

const ORIGIN: &str = "log.example";

pub fn operations() -> Vec<Operation> {
    let nodes = Nodes::over((0..RECORDS).map(|i| leaf_hash(&i.to_be_bytes())));
    let [old_root, new_root] = [RECORDS_BEFORE, RECORDS].map(|size| root(size, &nodes).unwrap());
    let index = RECORDS / 3;
    let leaf = nodes.node(0, index).unwrap();
    let inclusion = prove_inclusion(index, RECORDS, &nodes).unwrap();
    let consistency = prove_consistency(RECORDS_BEFORE, RECORDS, &nodes).unwrap();
    let mut operations = vec![
        Operation::new("log", "verify inclusion", move || {
            verify_inclusion(index, RECORDS, &leaf, black_box(&inclusion), &new_root).unwrap();
        }),
        Operation::new("log", "verify consistency", move || {
            let proof = black_box(&consistency);
            verify_consistency(RECORDS_BEFORE, &old_root, RECORDS, &new_root, proof).unwrap();
        }),
    ];
    operations.extend(signatures(new_root));
    operations
}

fn signatures(root: Hash) -> Vec<Operation> {
    let name = || KeyName::new(ORIGIN).unwrap();
    let ed25519 = || Ed25519SecretKey::from_seed(&[1; 32]);
    let log = SoftwareSigner::ed25519(name(), ed25519());
    let checkpoint = Checkpoint::new(ORIGIN, RECORDS, root).unwrap();
    let line = log.sign(&checkpoint, 0).unwrap();
    let note = SignedNote::new(checkpoint.to_text(), vec![line]).unwrap();
    let verifier = LogVerifier::new(ORIGIN, vec![log.verifier_key().clone()]);
    let cosignature = |name: &'static str, signer: SoftwareSigner| {
        let line = signer.sign(&checkpoint, 1_700_000_000).unwrap();
        let (key, checkpoint) = (signer.verifier_key().clone(), checkpoint.clone());
        Operation::new("note", name, move || {
            key.verify(&checkpoint, black_box(&line)).unwrap()
        })
    };
    let ml_dsa = MlDsa44SecretKey::from_seed(&[2; 32]);
    vec![
        cosignature(
            "verify an Ed25519 cosignature",
            SoftwareSigner::ed25519_cosignature(name(), ed25519()),
        ),
        cosignature(
            "verify an ML-DSA-44 cosignature",
            SoftwareSigner::ml_dsa_44(name(), ml_dsa),
        ),
        Operation::new("note", "verify a log's checkpoint", move || {
            verifier.verify(black_box(&note)).unwrap()
        }),
    ]
}
