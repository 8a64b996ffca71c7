//! Logs that grow, and what they ask of a witness, made in advance.

use candor_benches::Nodes;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::log::{leaf_hash, prove_consistency, root};
use candor_core::note::{
    AddCheckpoint, Checkpoint, KeyName, LogVerifier, NoteSigner as _, SignedNote, SoftwareSigner,
};
use rayon::prelude::*;

/// Entries of the smallest log at its first head; each log has one more than the one before.
const ENTRIES: u64 = 1_000;

/// Entries that each head adds.
const GROWTH: u64 = 37;

/// Logs of one witness.
pub struct Logs {
    pub verifiers: Vec<LogVerifier>,
    /// For each growth a request of each log; the first is that of a log still unknown.
    pub growths: Vec<Vec<AddCheckpoint>>,
}

impl Logs {
    /// So many logs that grow so many times.
    pub fn new(logs: u64, growths: usize) -> Self {
        let made: Vec<_> = (0..logs)
            .into_par_iter()
            .map(|log| requests(log, growths))
            .collect();
        let mut all = Self {
            verifiers: Vec::new(),
            growths: vec![Vec::new(); growths],
        };
        for (verifier, requests) in made {
            all.verifiers.push(verifier);
            for (growth, request) in all.growths.iter_mut().zip(requests) {
                growth.push(request);
            }
        }
        all
    }
}

fn requests(log: u64, growths: usize) -> (LogVerifier, Vec<AddCheckpoint>) {
    let origin = format!("log{log}.example/2026");
    let mut seed = [3; 32];
    seed[..8].copy_from_slice(&log.to_be_bytes());
    let key = Ed25519SecretKey::from_seed(&seed);
    let signer = SoftwareSigner::ed25519(KeyName::new(&origin).unwrap(), key);
    let verifier = LogVerifier::new(&origin, vec![signer.verifier_key().clone()]);
    let first = ENTRIES + log;
    let last = first + GROWTH * growths as u64;
    let entry = |index: u64| leaf_hash(&[log.to_be_bytes(), index.to_be_bytes()].concat());
    let nodes = Nodes::over((0..last).map(entry));
    let mut old_size = 0;
    let requests = (first..last).step_by(GROWTH as usize).map(|size| {
        let root = root(size, &nodes).unwrap();
        let checkpoint = Checkpoint::new(&origin, size, root).unwrap();
        let line = signer.sign(&checkpoint, 0).unwrap();
        let proof = prove_consistency(old_size, size, &nodes).unwrap();
        AddCheckpoint {
            old_size: std::mem::replace(&mut old_size, size),
            proof,
            note: SignedNote::new(checkpoint.to_text(), vec![line]).unwrap(),
        }
    });
    let requests = requests.collect();
    (verifier, requests)
}
