//! Search keys that are computed ahead: where they end up, and that every epoch finds its own.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use candor_core::account::Label;
use candor_server::ledger::{Account, Ledger};
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
            assert!(account.rung(version + 1).unwrap().key().is_some());
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
async fn every_epoch_finds_the_search_keys_of_its_ladder_in_the_rows() {
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
        for rung in account.rungs() {
            // Updates came too fast for all proofs, but every lookup finds where to look.
            assert!(rung.key().is_some(), "{} at {version}", rung.version());
            assert_eq!(rung.commitment().is_some(), rung.version() <= version);
        }
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

/// A log with accounts of one version, and the labels.
async fn accounts(world: &World, count: usize) -> Vec<String> {
    let process = world.start(EAGER);
    let mut labels: Vec<String> = (0..count).map(|at| format!("acct:user{at:03}")).collect();
    for label in &labels {
        process.submit(label, 0, &value(label, 0)).await.unwrap();
    }
    process.stop().await.unwrap();
    labels.sort();
    labels
}

#[tokio::test]
async fn a_lookup_of_an_account_that_is_not_in_memory_reads_one_row_of_it() {
    let world = World::new();
    let label = Label::parse(&accounts(&world, 1).await[0]).unwrap();
    let ledger = world.ledger();
    let before = world.store.reads();
    let account = ledger.account(&label).unwrap();
    assert_eq!(world.store.reads() - before, 1);
    assert_eq!(account.greatest(), Some(0));
    assert!(account.rung(1).is_some());
}

#[tokio::test]
async fn accounts_loaded_ahead_are_not_read_again() {
    let world = World::new();
    let labels = accounts(&world, 40).await;
    let ledger = Ledger::new(world.store.clone(), 1 << 20);
    let mut loaded = Vec::new();
    let mut visit = |account: &Arc<Account>| {
        loaded.push(account.label().as_str().to_owned());
        ControlFlow::Continue(())
    };
    ledger.load_accounts(&mut visit).unwrap();
    assert_eq!(loaded, labels);
    let reads = world.store.reads();
    for label in &labels {
        let account = ledger.account(&Label::parse(label).unwrap()).unwrap();
        assert_eq!(account.greatest(), Some(0));
    }
    assert_eq!(world.store.reads(), reads);
}

#[tokio::test]
async fn no_more_accounts_are_loaded_ahead_than_there_is_room_for() {
    let world = World::new();
    accounts(&world, 40).await;
    let load = |cache_bytes, most| {
        let ledger = Ledger::new(world.store.clone(), cache_bytes);
        let mut loaded = 0;
        let mut visit = |_: &Arc<Account>| {
            loaded += 1;
            if loaded < most {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        ledger.load_accounts(&mut visit).unwrap();
        loaded
    };
    assert_eq!(load(1 << 20, usize::MAX), 40);
    assert_eq!(load(1 << 20, 7), 7);
    let some = load(32 << 10, usize::MAX);
    assert!((1..40).contains(&some), "{some}");
    assert_eq!(load(0, usize::MAX), 0);
}
