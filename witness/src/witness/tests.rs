//! What a crash or too many requests do to those who ask.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use candor_core::Hash;
use candor_core::note::{LogVerifier, NoteSigner as _, SignedNote};
use candor_host::keys::{KeyTable, Keyring};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::{self, Paths, WriterThread};
use crate::trees::{ORIGIN, log_signer};

mod stalls;

const OTHER: &str = "other.example";

/// A request for size 1, which needs no proof from 0 or from 1.
fn request_of(origin: &str, old_size: u64) -> AddCheckpoint {
    let checkpoint = Checkpoint::new(origin, 1, Hash([1; 32])).unwrap();
    let line = log_signer(origin).sign(&checkpoint, 0).unwrap();
    AddCheckpoint {
        old_size,
        proof: vec![],
        note: SignedNote::new(checkpoint.to_text(), vec![line]).unwrap(),
    }
}

fn request(old_size: u64) -> AddCheckpoint {
    request_of(ORIGIN, old_size)
}

fn keyring(directory: &Path) -> Keyring {
    Keyring::new(directory, KeyTable::default())
}

fn create(directory: &Path) {
    Cosigner::create(keyring(directory).loader(), "w.example").unwrap();
    store::create(&Paths::new(directory, None)).unwrap();
}

fn witness(directory: &Path, hook: Hook) -> (Arc<Witness>, WriterThread) {
    let metrics = Metrics::default();
    let paths = Paths::new(directory, None);
    let (store, thread) =
        Store::open_with(&paths, &metrics, CancellationToken::new(), hook.clone()).unwrap();
    let mut witness = Witness::new(
        Cosigner::load(&keyring(directory), "w.example").unwrap(),
        store,
        Evidence::open(&directory.join("evidence")).unwrap(),
        metrics,
        Duration::ZERO,
    );
    witness.hook = hook;
    for origin in [ORIGIN, OTHER] {
        let verifier = LogVerifier::new(origin, vec![log_signer(origin).verifier_key().clone()]);
        assert!(witness.add_log(Log::new(verifier, None)));
    }
    (Arc::new(witness), thread)
}

#[tokio::test]
async fn after_a_crash_between_record_and_answer_the_client_is_told_where_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    create(directory.path());
    let crash = Hook::new(|point, _| point != Point::Anchored);
    let (crashing, thread) = witness(directory.path(), crash);
    let unanswered = crashing.add_checkpoint(request(0)).await;
    assert!(matches!(
        unanswered,
        Err(AddError::Store(ApplyError::Stopped))
    ));
    thread.join().unwrap().unwrap();
    assert!(!crashing.is_ready());
    drop(crashing);

    let (witness, thread) = witness(directory.path(), Hook::default());
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
    create(directory.path());
    let (witness, thread) = witness(directory.path(), Hook::default());
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
