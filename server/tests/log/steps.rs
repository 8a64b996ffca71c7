//! A crash at each step of the crash order: whatever the last step was that happened, the process
//! that starts next takes the rest of the road, and the log has one history.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{KeyName, NoteSigner, SignError, SoftwareSigner, VerifierKey};
use candor_server::sequencer::FatalError;
use candor_server::sequencer::admission::SubmitError;
use candor_server::signer::LogSigner;
use candor_server::storage::CommitFault;

use super::harness::{EAGER, ORIGIN, Process, World, value};

const ALICE: &str = "acct:alice";

/// The last step of the epoch that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Last {
    Built,
    Committed,
    /// As `Committed`, but the process knows that it is.
    AboutToSign,
    Signed,
    Anchored,
    Published,
}

/// A signer that can be told to fail.
#[derive(Debug)]
struct Signer {
    signer: SoftwareSigner,
    fails: Arc<AtomicBool>,
}

impl NoteSigner for Signer {
    fn verifier_key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(SignError::Backend("injected fault".into()));
        }
        self.signer.sign_message(message)
    }
}

/// Lets the process come to `last` with Alice's version 1, and no further. Whether that was
/// acknowledged.
async fn crash_after(last: Last, world: &World, process: Process, fails: &AtomicBool) -> bool {
    let unknown = |written| CommitFault::OutcomeUnknown { written };
    let anchor = std::fs::read(&world.anchor_path).unwrap();
    match last {
        Last::Built => world.store.fail_commit(0, unknown(false)),
        Last::Committed => world.store.fail_commit(0, unknown(true)),
        Last::AboutToSign => fails.store(true, Ordering::Relaxed),
        // It is not where this process left it, so it is not moved.
        Last::Signed => std::fs::remove_file(&world.anchor_path).unwrap(),
        Last::Anchored => drop(process.publishing.send_replace(false)),
        Last::Published => {}
    }
    let answer = process.submit(ALICE, 1, &value(ALICE, 1)).await;
    if last >= Last::Anchored {
        assert_eq!(answer, Ok(3));
        let mut progress = process.published.progress();
        if last == Last::Published {
            progress.wait_for(|size| *size == 4).await.unwrap();
        }
        assert_eq!(world.anchor_size(), 4);
        process.halt.cancel();
        process.stop().await.unwrap();
        return true;
    }
    // Neither acknowledged nor refused: it may be in the log.
    assert_eq!(answer, Err(SubmitError::OutcomeUnknown), "{last:?}");
    assert_eq!(process.published.current().unwrap().signed.size, 3);
    assert_eq!(process.size(), 3, "no head left the sequencer");
    let error = process.ended().await.unwrap_err();
    let is_expected = match last {
        Last::AboutToSign => matches!(error, FatalError::Sign(_)),
        Last::Signed => matches!(error, FatalError::Anchor(_)),
        _ => matches!(error, FatalError::OutcomeUnknown(_)),
    };
    assert!(is_expected, "{last:?}: {error}");
    fails.store(false, Ordering::Relaxed);
    std::fs::write(&world.anchor_path, anchor).unwrap();
    assert_eq!(world.anchor_size(), 3);
    false
}

#[tokio::test]
async fn a_crash_after_any_step_goes_on_from_there() {
    for last in [
        Last::Built,
        Last::Committed,
        Last::AboutToSign,
        Last::Signed,
        Last::Anchored,
        Last::Published,
    ] {
        let mut world = World::empty();
        let fails = Arc::new(AtomicBool::new(false));
        let key = Ed25519SecretKey::from_seed(&[1; 32]);
        let signer = SoftwareSigner::ed25519(KeyName::new(ORIGIN).unwrap(), key);
        let failing = Signer {
            signer,
            fails: Arc::clone(&fails),
        };
        world.signer = Arc::new(LogSigner::new(ORIGIN, vec![Box::new(failing)]));
        world.create().unwrap();
        let mut process = world.start(EAGER);
        process.signed_size(2).await;
        process.submit(ALICE, 0, &value(ALICE, 0)).await.unwrap();
        process.published_size(3).await;

        let acknowledged = crash_after(last, &world, process, &fails).await;
        world.crash();
        let is_there = last >= Last::Committed;
        assert!(is_there || !acknowledged);

        // The next process signs, anchors and publishes what is stored, before anything new.
        let mut process = world.start(EAGER);
        let size = if is_there { 4 } else { 3 };
        process.signed_size(size).await;
        assert_eq!(process.size(), size, "{last:?}");
        assert_eq!(world.anchor_size(), size, "{last:?}");
        let next = u32::from(is_there) + 1;
        let greatest = Some(u32::from(is_there));
        let head = process.signed.borrow().clone().unwrap();
        let found = process.desk.look_up(&head, ALICE).unwrap();
        assert_eq!(found, (greatest, value(ALICE, next - 1)));
        let epoch = process.submit(ALICE, next, &value(ALICE, next)).await;
        assert_eq!(epoch, Ok(size), "{last:?}");
        process.stop().await.unwrap();
        assert_eq!(world.look_up(ALICE), (Some(next), value(ALICE, next)));
        world.audit();
        world.check_store();
    }
}
