//! What a crash or too many requests do to those who ask.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use candor_core::Hash;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{KeyName, LogVerifier, NoteSigner as _, SignedNote, SoftwareSigner};
use candor_host::keys::{KeyTable, Keyring};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::{self, Paths, WriterThread};

const ORIGIN: &str = "log.example";

fn log() -> SoftwareSigner {
    let name = KeyName::new(ORIGIN).unwrap();
    SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[1; 32]))
}

/// A request for size 1, which needs no proof from 0 or from 1.
fn request(old_size: u64) -> AddCheckpoint {
    let checkpoint = Checkpoint::new(ORIGIN, 1, Hash([1; 32])).unwrap();
    let line = log().sign(&checkpoint, 0).unwrap();
    AddCheckpoint {
        old_size,
        proof: vec![],
        note: SignedNote::new(checkpoint.to_text(), vec![line]).unwrap(),
    }
}

fn keyring(directory: &Path) -> Keyring {
    Keyring::new(directory, KeyTable::default())
}

fn witness(directory: &Path, crashes: bool) -> (Arc<Witness>, WriterThread) {
    let metrics = Metrics::default();
    let paths = Paths::new(directory, None);
    let hook = Box::new(move || !crashes);
    let (store, thread) =
        Store::open_with(&paths, &metrics, CancellationToken::new(), hook).unwrap();
    let verifier = LogVerifier::new(ORIGIN, vec![log().verifier_key().clone()]);
    let witness = Witness::new(
        Cosigner::load(&keyring(directory), "w.example").unwrap(),
        store,
        Evidence::open(&directory.join("evidence")).unwrap(),
        metrics,
        Duration::ZERO,
    );
    assert!(witness.add_log(Log::new(verifier, None)));
    (Arc::new(witness), thread)
}

#[tokio::test]
async fn after_a_crash_between_record_and_answer_the_client_is_told_where_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    Cosigner::create(keyring(directory.path()).loader(), "w.example").unwrap();
    store::create(&Paths::new(directory.path(), None)).unwrap();
    let (crashing, thread) = witness(directory.path(), true);
    let unanswered = crashing.add_checkpoint(request(0)).await;
    assert!(matches!(
        unanswered,
        Err(AddError::Store(ApplyError::Stopped))
    ));
    thread.join().unwrap().unwrap();
    assert!(!crashing.is_ready());
    drop(crashing);

    let (witness, thread) = witness(directory.path(), false);
    let told = witness.add_checkpoint(request(0)).await;
    assert!(matches!(
        told,
        Err(AddError::Refused(Refusal::Conflict { size: 1 }))
    ));
    assert_eq!(witness.add_checkpoint(request(1)).await.unwrap().len(), 2);
    drop(witness);
    thread.join().unwrap().unwrap();
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    Cosigner::create(keyring(directory.path()).loader(), "w.example").unwrap();
    store::create(&Paths::new(directory.path(), None)).unwrap();
    let (witness, thread) = witness(directory.path(), false);
    let all = u32::try_from(REQUESTS_MAX).unwrap();
    let others = Arc::clone(&witness.requests)
        .acquire_many_owned(all)
        .await
        .unwrap();
    let refused = witness.add_checkpoint(request(0)).await;
    assert!(matches!(refused, Err(AddError::Busy)));
    drop(others);
    assert!(witness.add_checkpoint(request(0)).await.is_ok());
    drop(witness);
    thread.join().unwrap().unwrap();
}
