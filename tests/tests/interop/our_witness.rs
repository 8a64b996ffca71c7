//! Our witness, with a log of others.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{KeyName, VerifierKey};
use candor_tests::system::create_witness;

use crate::tools::{cosigners, find, run};

const ORIGIN: &str = "tessera.example/log";

const SEED: [u8; 32] = [9; 32];

/// The log's keys: the public one, and the secret one as Go's notes have it.
fn keys() -> (String, String) {
    let secret = Ed25519SecretKey::from_seed(&SEED);
    let name = KeyName::new(ORIGIN).unwrap();
    let public = VerifierKey::ed25519(name, secret.public_key()).to_string();
    let id = public.split('+').nth(1).unwrap();
    let seed = BASE64_STANDARD.encode([&[1][..], &SEED].concat());
    let secret = format!("PRIVATE+KEY+{ORIGIN}+{id}+{seed}");
    (public, secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn our_witness_cosigns_a_log_of_tessera() {
    let Some(log) = find("posix-oneshot") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (public, secret) = keys();
    let home = folder.path().join("witness");
    let (mut witness, lines) = create_witness(
        &home,
        "witness.example",
        std::slice::from_ref(&public),
        None,
    )
    .unwrap();
    witness.start().await.unwrap();
    // Tessera knows witnesses by Ed25519 only.
    let is_plain = |line: &&str| line.starts_with("witness ") && line.contains("/ed25519 ");
    let line = lines
        .lines()
        .filter(|line| !line.contains("/map/"))
        .find(is_plain);
    let line = line.unwrap_or_else(|| panic!("no such witness in {lines}"));
    let name = line.split_whitespace().nth(1).unwrap();
    let policy = format!("log {public}\n{line}\ngroup witnesses all {name}\nquorum witnesses\n");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("policy"), &policy).unwrap();
    std::fs::write(path("secret"), &secret).unwrap();
    let mut size = 0;
    for round in 0..3_u64 {
        // Tessera adds the entries, and publishes nothing without our cosignature.
        for entry in 0..=round {
            std::fs::write(path(&format!("entry-{round}-{entry}")), "an entry").unwrap();
        }
        let entries = path(&format!("entry-{round}-*"));
        let (policy_file, secret_file, storage) = (path("policy"), path("secret"), path("log"));
        let mut arguments = vec!["--storage_dir", &storage, "--entries", &entries];
        arguments.extend(["--private_key", &secret_file]);
        arguments.extend(["--witness_policy_file", &policy_file]);
        run(&log, &arguments);
        let checkpoint = std::fs::read(Path::new(&storage).join("checkpoint")).unwrap();
        let (grown, names) = cosigners(&policy, &checkpoint);
        assert_eq!(names, [name]);
        assert!(grown > size);
        size = grown;
    }
}
