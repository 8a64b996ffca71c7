//! Policies, verified checkpoints and offline proofs, against everything that must be refused.

#![allow(clippy::unwrap_used, clippy::panic)]

mod evidence;
mod grammar;
mod head_gossip;
mod offline;
mod verification;

use candor_core::Hash;
use candor_core::crypto::{Ed25519SecretKey, MlDsa44SecretKey};
use candor_core::note::{Checkpoint, KeyName, NoteSigner, Policy, SignedNote, SoftwareSigner};

const ORIGIN: &str = "log.example/candor";

fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

fn log_key(seed: u8) -> SoftwareSigner {
    SoftwareSigner::ed25519(name(ORIGIN), Ed25519SecretKey::from_seed(&[seed; 32]))
}

fn log_pq_key() -> SoftwareSigner {
    SoftwareSigner::ml_dsa_44(name(ORIGIN), MlDsa44SecretKey::from_seed(&[1; 32]))
}

fn witness(seed: u8) -> SoftwareSigner {
    let name = name(&format!("witness.example/{seed}"));
    SoftwareSigner::ed25519_cosignature(name, Ed25519SecretKey::from_seed(&[seed; 32]))
}

fn vkey(signer: &SoftwareSigner) -> String {
    signer.verifier_key().to_string()
}

/// One log with two keys, four witnesses A to D, and `rest`.
fn policy_with(rest: &str) -> Policy {
    let mut file = format!("log {}\nlog {}\n", vkey(&log_key(1)), vkey(&log_pq_key()));
    for (letter, seed) in ["A", "B", "C", "D"].iter().zip(11..) {
        file.push_str(&format!("witness {letter} {}\n", vkey(&witness(seed))));
    }
    Policy::parse((file + rest).as_bytes()).unwrap()
}

/// Two of A, B, C.
fn policy() -> Policy {
    policy_with("group two 2 A B C\nquorum two\n")
}

fn checkpoint(size: u64, root: Hash) -> Checkpoint {
    Checkpoint::new(ORIGIN, size, root).unwrap()
}

fn note(checkpoint: &Checkpoint, signers: &[(&SoftwareSigner, u64)]) -> SignedNote {
    let sign =
        |(signer, time_s): &(&SoftwareSigner, u64)| signer.sign(checkpoint, *time_s).unwrap();
    SignedNote::new(checkpoint.to_text(), signers.iter().map(sign).collect()).unwrap()
}

fn honest() -> Checkpoint {
    checkpoint(7, Hash([9; 32]))
}
