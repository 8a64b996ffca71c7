//! Search keys that are computed ahead: where they end up, and that every epoch finds its own.

use std::time::Duration;

use candor_core::account::Label;
use candor_server::ledger::Ledger;
use candor_server::sequencer::Pace;

use crate::harness::{EAGER, LONG, World, value};

const ALICE: &str = "acct:alice";

/// Waits until the rows alone give a complete ladder of this greatest version.
async fn stored_ladder(world: &World, version: u32) {
    let label = Label::parse(ALICE).unwrap();
    let deadline = tokio::time::Instant::now() + LONG;
    loop {
        let account = world.ledger().account(&label).unwrap();
        if account.greatest() == Some(version) && account.is_complete() {
            assert!(account.known(version + 1).is_some());
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "never stored");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn workers_complete_ladders_on_an_idle_log() {
    let mut world = World::new();
    let process = world.start(EAGER);
    for version in 0..3 {
        let value = value(ALICE, version);
        let submitted = process.submit(ALICE, version, &value);
        submitted.await.unwrap();
        stored_ladder(&world, version).await;
    }
    process.stop().await.unwrap();
    world.crash();
    stored_ladder(&world, 2).await;
    world.audit();
}

#[tokio::test]
async fn every_epoch_finds_its_ladder_in_the_rows() {
    let world = World::new();
    let process = world.start(EAGER);
    let mut epochs = Vec::new();
    for version in 0..40 {
        let value = value(ALICE, version);
        let submitted = process.submit(ALICE, version, &value);
        epochs.push(submitted.await.unwrap());
    }
    stored_ladder(&world, 39).await;
    process.stop().await.unwrap();
    let ledger: Ledger = world.ledger();
    let label = Label::parse(ALICE).unwrap();
    let before = ledger.account_at(&label, epochs[0] - 1).unwrap();
    assert_eq!(before.greatest(), None);
    assert!(before.is_complete());
    for (version, epoch) in (0..).zip(epochs) {
        let account = ledger.account_at(&label, epoch).unwrap();
        assert_eq!(account.greatest(), Some(version));
        assert!(account.is_complete(), "version {version}");
        let mut rungs = account.rungs().iter();
        assert!(rungs.all(|rung| rung.commitment().is_some() == (rung.version() <= version)));
    }
}

#[tokio::test]
async fn versions_that_come_close_together_are_admitted_in_order() {
    // All wait for one epoch: each is admitted before the one ahead of it is stored.
    let pace = Pace {
        epoch_interval: Duration::from_millis(300),
        ..EAGER
    };
    let mut world = World::new();
    let process = world.start(pace);
    process
        .submit("acct:first", 0, &value("acct:first", 0))
        .await
        .unwrap();
    let mut submissions = Vec::new();
    for version in 0..8 {
        let admission = process.admission.clone();
        let value = value(ALICE, version);
        submissions.push(tokio::spawn(async move {
            loop {
                // One that overtook its predecessor is refused, and comes again.
                match admission.submit(ALICE, version, &value).await {
                    Ok(epoch) => return epoch,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        }));
    }
    let mut epochs = Vec::new();
    for submission in submissions {
        epochs.push(
            tokio::time::timeout(LONG, submission)
                .await
                .unwrap()
                .unwrap(),
        );
    }
    assert!(epochs.is_sorted());
    process.stop().await.unwrap();
    world.crash();
    world.audit();
    assert_eq!(world.look_up(ALICE), (Some(7), value(ALICE, 7)));
}
