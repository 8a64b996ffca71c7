//! Answers from memory: the same bytes as from the rows, or none.

use std::sync::Arc;

use candor_core::account::Label;
use candor_core::answer::Query;
use candor_server::head::SignedHead;
use candor_server::ledger::{Ledger, LedgerError};
use candor_server::lookup::prove_account;
use candor_server::sequencer::ladders::Ladders;

use crate::harness::{EAGER, LONG, World, value};

const LABELS: [&str; 4] = ["acct:alice", "acct:bob", "acct:carol", "acct:dave"];

/// The answer as it is sent; nothing if it is not in memory.
fn answer(
    ledger: &Ledger,
    ladders: &Ladders,
    head: &SignedHead,
    label: &str,
    query: &Query,
) -> Option<Vec<u8>> {
    let label = Label::parse(label).unwrap();
    match prove_account(ledger, ladders, head, &label, query) {
        Ok(proof) => Some(proof.encode()),
        Err(error) if error.is_not_in_memory() => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn what_is_answered_from_memory_is_what_the_rows_answer() {
    let mut world = World::new();
    world.cache_bytes = 16 << 20;
    let mut process = world.start(EAGER);
    let mut heads: Vec<Arc<SignedHead>> = Vec::new();
    for version in 0..6 {
        for label in LABELS {
            let value = value(label, version);
            process.submit(label, version, &value).await.unwrap();
        }
        process.signed_size(process.size()).await;
        heads.extend(process.signed.borrow().clone());
    }
    let (warm, ladders) = (&process.desk.ledger, &process.desk.ladders);
    let newest = heads.last().unwrap();
    let deadline = tokio::time::Instant::now() + LONG;
    for label in LABELS {
        let label = Label::parse(label).unwrap();
        while !warm.account(&label).unwrap().is_complete() {
            assert!(tokio::time::Instant::now() < deadline, "never completed");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    let memory = warm.in_memory();
    // Looked up once, what does not exist is in memory too; before it is not.
    let nobody = "acct:nobody";
    assert_eq!(
        answer(&memory, ladders, newest, nobody, &Query::GREATEST),
        None
    );
    answer(warm, ladders, newest, nobody, &Query::GREATEST).unwrap();

    let (mut found, mut missing) = (0, 0);
    let queries = [
        Query::GREATEST,
        Query::since(5),
        Query::since(2),
        Query::since(9),
    ];
    for head in &heads {
        for label in LABELS.into_iter().chain([nobody]) {
            for query in &queries {
                // With nothing in memory: from the rows.
                let stored = answer(&world.ledger(), ladders, head, label, query).unwrap();
                match answer(&memory, ladders, head, label, query) {
                    Some(answered) => {
                        assert_eq!(answered, stored, "{label} {query:?}");
                        found += 1;
                    }
                    None => missing += 1,
                }
            }
        }
    }
    // At the newest head all but older versions; at earlier heads what did not exist there.
    assert!(found > 3 * LABELS.len(), "{found}");
    assert!(missing > 0);
    let all = LABELS.into_iter().chain([nobody]);
    for label in all {
        assert!(answer(&memory, ladders, newest, label, &Query::GREATEST).is_some());
    }
    process.stop().await.unwrap();
}

#[test]
fn a_log_of_which_nothing_is_in_memory_answers_nothing() {
    let world = World::new();
    let memory = world.ledger().in_memory();
    assert!(memory.is_memory_only());
    let label = Label::parse(LABELS[0]).unwrap();
    let refused: [LedgerError; 4] = [
        memory.account(&label).err().unwrap(),
        memory.version(&label, 0).err().unwrap(),
        memory.record(0).unwrap_err(),
        memory.consistency(1, 2).unwrap_err(),
    ];
    for error in refused {
        assert!(error.is_not_in_memory(), "{error}");
    }
}
