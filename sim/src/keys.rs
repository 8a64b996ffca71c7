//! Names and keys. They are the same in every run, and secret to nobody.

use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{KeyName, LogVerifier, NoteSigner as _, Policy, SoftwareSigner};

/// The log's origin.
pub const ORIGIN: &str = "log.example";

/// The log's secret key.
pub fn log_secret() -> Ed25519SecretKey {
    Ed25519SecretKey::from_seed(&[1; 32])
}

/// The log's key, as a signer.
pub fn log_signer() -> SoftwareSigner {
    SoftwareSigner::ed25519(name(ORIGIN), log_secret())
}

/// Signs in the log's name with another key.
pub fn forger() -> SoftwareSigner {
    SoftwareSigner::ed25519(name(ORIGIN), Ed25519SecretKey::from_seed(&[2; 32]))
}

/// Verifies what the log signed.
pub fn log_verifier() -> LogVerifier {
    LogVerifier::new(ORIGIN, vec![log_signer().verifier_key().clone()])
}

/// The key of a witness, by number.
pub fn witness_signer(witness: usize) -> SoftwareSigner {
    let seed = [16 + u8::try_from(witness).unwrap_or(u8::MAX); 32];
    let name = name(&format!("w{witness}.example"));
    SoftwareSigner::ed25519_cosignature(name, Ed25519SecretKey::from_seed(&seed))
}

/// The log, and `quorum` of so many witnesses.
pub fn policy(witnesses: usize, quorum: usize) -> Policy {
    let mut text = format!("log {}\n", log_signer().verifier_key());
    let mut group = format!("group all {quorum}");
    for witness in 0..witnesses {
        text += &format!(
            "witness w{witness} {}\n",
            witness_signer(witness).verifier_key()
        );
        group += &format!(" w{witness}");
    }
    text += &format!("{group}\nquorum all\n");
    Policy::parse(text.as_bytes()).expect("the policy is well formed")
}

fn name(name: &str) -> KeyName {
    KeyName::new(name).expect("the names are key names")
}
