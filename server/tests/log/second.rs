//! The second policy: witnesses that accept heads only so often.

use std::sync::Arc;
use std::time::Duration;

use candor_core::note::{Policy, SignedNote};
use candor_server::fsck;
use candor_server::head::PublishedSecond;
use candor_server::ledger::put_second;
use candor_server::publisher::{Intervals, WitnessNode};
use candor_server::storage::Storage as _;

use super::harness::{EAGER, LONG, World};
use super::publisher::Log;
use super::witnesses::{Mode, Witness, policy};

/// Waits until a second head like this is kept, and checks its cosignatures.
async fn kept(
    log: &Log,
    policy: &Policy,
    is: impl Fn(&PublishedSecond) -> bool,
) -> Arc<PublishedSecond> {
    let polled = async {
        loop {
            let published = log.process.published.current();
            let second = published.and_then(|published| published.second.clone());
            if let Some(second) = second.filter(|second| is(second)) {
                return second;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let second = tokio::time::timeout(LONG, polled).await.unwrap();
    let note = SignedNote::parse(second.checkpoint(false)).unwrap();
    let verified = policy.verify_checkpoint(&note).unwrap();
    assert_eq!(verified.checkpoint().size(), second.size);
    // Who is not in the policy is of no use to its readers.
    let lines = note.signatures().len();
    assert_eq!(lines, policy.logs().len() + verified.cosignatures().len());
    second
}

#[tokio::test]
async fn slow_witnesses_agree_on_one_head_while_others_are_published() {
    let world = World::new();
    let prompt = Witness::start(&world, 1, Mode::Honest).await;
    let slow = [
        Witness::start(&world, 2, Mode::Honest).await,
        Witness::start(&world, 3, Mode::Down).await,
    ];
    let first = policy(&world, &[&prompt], "quorum w1");
    let both = policy(
        &world,
        &[&slow[0], &slow[1]],
        "group both all w2 w3\nquorum both",
    );
    let second = Some(Arc::clone(&both));
    let log = Log::start_with(&world, first, second, &Intervals::new());
    for version in 0..3 {
        let epoch = log.submit(version).await;
        log.published(epoch + 1).await;
    }
    let published = log.process.published.current().unwrap();
    assert!(published.second.is_none(), "one of the two is missing");
    slow[1].set(Mode::Honest);
    let kept = kept(&log, &both, |_| true).await;
    assert!(kept.size <= published.signed.size);
    let stored = world.ledger().second().unwrap().unwrap();
    assert_eq!(stored, *kept.checkpoint(true));
    // The slow witnesses' lines are no part of what is published.
    let published = log.process.published.current().unwrap();
    for witness in &slow {
        let mut lines = published.note.signatures().iter();
        assert!(!lines.any(|line| line.claims(witness.key())));
    }
    log.stop().await;
    world.audit();
}

#[tokio::test]
async fn a_witness_of_both_policies_is_asked_for_every_head() {
    let world = World::new();
    let witness = Witness::start(&world, 1, Mode::Honest).await;
    let policy = policy(&world, &[&witness], "quorum w1");
    let second = Some(Arc::clone(&policy));
    let log = Log::start_with(&world, Arc::clone(&policy), second, &Intervals::new());
    log.published(2).await;
    let kept = kept(&log, &policy, |second| second.size == 2).await;
    let epoch = log.submit(0).await;
    log.published(epoch + 1).await;
    // The published head goes on with the second one of its round.
    let published = log.process.published.current().unwrap();
    assert_eq!(published.second.as_ref().unwrap().size, kept.size);
    assert_eq!(witness.newest.lock().unwrap().0, epoch + 1);
    log.stop().await;
}

#[tokio::test]
async fn no_second_head_is_beyond_the_published_one() {
    let world = World::new();
    let first = Witness::start(&world, 1, Mode::Down).await;
    let other = Witness::start(&world, 2, Mode::Honest).await;
    let (policies, second) = (
        policy(&world, &[&first], "quorum w1"),
        policy(&world, &[&other], "quorum w2"),
    );
    let log = Log::start_with(
        &world,
        policies,
        Some(Arc::clone(&second)),
        &Intervals::new(),
    );
    log.status(1, |status| status.size == 2).await;
    assert!(log.process.published.current().is_none());
    assert_eq!(world.ledger().second().unwrap(), None);
    // As soon as the first quorum has caught up, the second one's head is there.
    first.set(Mode::Honest);
    log.published(2).await;
    kept(&log, &second, |second| second.size >= 2).await;
    log.stop().await;
}

#[tokio::test]
async fn intervals_decide_who_is_asked_when() {
    let world = World::new();
    let witness = Witness::start(&world, 1, Mode::Honest).await;
    let policy = policy(&world, &[&witness], "quorum w1");
    let hour = Intervals::from([("w1".to_owned(), Duration::from_secs(3600))]);
    let is_second = |second: Option<&Policy>, intervals: &Intervals| {
        let nodes = WitnessNode::of_policies(&policy, second, intervals).unwrap();
        nodes.iter().map(WitnessNode::is_second).collect::<Vec<_>>()
    };
    let none = Intervals::new();
    assert_eq!(is_second(None, &none), [false]);
    assert_eq!(is_second(None, &hour), [false]);
    assert_eq!(is_second(Some(&policy), &none), [false]);
    assert_eq!(is_second(Some(&policy), &hour), [true]);
}

#[tokio::test]
async fn a_damaged_second_head_is_found() {
    let world = World::new();
    let mut process = world.start(EAGER);
    process.signed_size(2).await;
    let head = process.signed.borrow().clone().unwrap();
    process.stop().await.unwrap();
    let findings = || {
        let every = std::num::NonZeroU64::MIN;
        let report = fsck::check(&world.ledger(), every, &mut |_| {}).unwrap();
        let rows = report.findings().iter();
        rows.map(|finding| format!("{finding}")).collect::<Vec<_>>()
    };
    world
        .store
        .commit(put_second(&head.note.to_bytes()))
        .unwrap();
    assert_eq!(findings(), Vec::<String>::new());
    let forged = world.signer.sign(2, candor_core::Hash([7; 32]), 0).unwrap();
    for wrong in [b"garbage".to_vec(), forged.to_bytes()] {
        world.store.commit(put_second(&wrong)).unwrap();
        assert_eq!(findings().len(), 1, "{:?}", findings());
    }
}
