//! A check of the whole store: a log's own is clean, and every damage is found and named.

use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use candor_core::account::Label;
use candor_server::fsck::{self, FINDINGS_MAX, Problem, Report};
use candor_server::ledger::{Ledger, put_published};
use candor_server::sequencer::Pace;
use candor_server::storage::{Batch, KeyRange, MemoryStorage, Order, Storage as _, Table};

use super::harness::{EAGER, LONG, World, value};

/// Enough records for a full tile, the tile above it, and the next one.
const RECORDS: u64 = 259;

const LABELS: [&str; 3] = ["acct:alice", "acct:bob", "acct:carol"];

/// Bytes before the search key in the row of a version.
const VERSION_BYTES: usize = 8 + 16 + 1;

/// Bytes before the ladder in the row of an account.
const ACCOUNT_BYTES: usize = 4 + 8 + 16;

/// Bytes of a search key and its proof in a row, and of the byte that says that they are there.
const PROVEN_BYTES: usize = 1 + 32 + 80;

const ALL: NonZeroU64 = NonZeroU64::MIN;

fn check(store: &MemoryStorage, sample: NonZeroU64) -> Report {
    let ledger = Ledger::new(Arc::new(store.crash()), 0);
    fsck::check(&ledger, sample, &mut |_| {}).unwrap()
}

/// A log with three accounts, of five, three and one versions, and a published note.
async fn log() -> World {
    let world = World::new();
    let pace = Pace {
        heartbeat: Duration::from_millis(1),
        ..EAGER
    };
    let mut process = world.start(pace);
    for (label, versions) in LABELS.into_iter().zip([5, 3, 1]) {
        for version in 0..versions {
            let value = value(label, version);
            process.submit(label, version, &value).await.unwrap();
            if version == 0 {
                // So that some versions are proved before they are followed, and most are not.
                ladder_stored(&world, label).await;
            }
        }
    }
    process.signed_size(RECORDS).await;
    // Their ladders are complete, so that account rows have search keys.
    for label in LABELS {
        ladder_stored(&world, label).await;
    }
    let head = process.signed.borrow().clone().unwrap();
    process.stop().await.unwrap();
    let published = put_published(&head.note.to_bytes());
    world.store.commit(published).unwrap();
    world
}

/// Waits until the rows have all search keys of a label's ladder, with their proofs.
pub async fn ladder_stored(world: &World, label: &str) {
    let label = Label::parse(label).unwrap();
    let deadline = tokio::time::Instant::now() + LONG;
    while !world.ledger().account(&label).unwrap().is_complete() {
        assert!(tokio::time::Instant::now() < deadline, "never stored");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

pub fn rows(store: &MemoryStorage, table: Table) -> Rows {
    let mut rows = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    let all = KeyRange::all();
    store
        .scan(table, &all, Order::Ascending, &mut visit)
        .unwrap();
    rows
}

/// All rows of a short table, some of a long one: the first, some in the middle, the last.
pub fn some(rows: Rows) -> Rows {
    let count = rows.len();
    let is_chosen = |at: usize| at < 20 || at == 100 || at == 255 || at + 2 >= count;
    let rows = rows.into_iter().enumerate();
    rows.filter(|(at, _)| is_chosen(*at))
        .map(|(_, row)| row)
        .collect()
}

/// How many versions the ladder of a label has.
fn rungs(world: &World, label: &str) -> u64 {
    let label = Label::parse(label).unwrap();
    world.ledger().account(&label).unwrap().rungs().len() as u64
}

/// Which version rows have a proof: those whose search key was proved before the next update came.
fn proved(world: &World) -> Vec<bool> {
    let rows = rows(&world.store, Table::Versions).into_iter();
    rows.map(|(_, row)| row[VERSION_BYTES - 1] == 2).collect()
}

/// The store with one row replaced or removed.
fn with(store: &MemoryStorage, table: Table, key: &[u8], value: Option<Vec<u8>>) -> MemoryStorage {
    let store = store.crash();
    let mut batch = Batch::new();
    match value {
        Some(value) => batch.put(table, key, value),
        None => batch.remove(table, key),
    }
    store.commit(batch).unwrap();
    store
}

/// The store with a bit of one row inverted.
fn flipped(
    store: &MemoryStorage,
    table: Table,
    key: &[u8],
    value: &[u8],
    byte: usize,
) -> MemoryStorage {
    let mut value = value.to_vec();
    value[byte] ^= 0x04;
    with(store, table, key, Some(value))
}

fn assert_named(report: &Report, table: Table, key: &[u8], what: &str) {
    let named = report.findings().iter();
    let is_named = named
        .clone()
        .any(|finding| finding.table == table && finding.key.0 == key);
    assert!(
        is_named,
        "{what} of {} in row {key:x?} is not named: {:?}",
        table.name(),
        report.findings()
    );
    // What was not touched is not called wrong, whatever follows from it.
    for other in named.filter(|finding| !finding.key.0.is_empty()) {
        let is_it = other.table == table && other.key.0 == key;
        assert!(is_it, "{what} of {} names {other}", table.name());
    }
}

#[tokio::test]
async fn a_logs_own_store_is_clean() {
    let fresh = World::new();
    assert!(check(&fresh.store, ALL).is_clean());
    let world = log().await;
    let report = check(&world.store, ALL);
    assert!(report.is_clean(), "{:?}", report.findings());
    let of = |table: Table| report.rows[table as usize];
    assert_eq!(of(Table::Leaves), 9);
    assert_eq!(of(Table::Versions), 6);
    assert_eq!(of(Table::Accounts), 3);
    assert!(of(Table::Records) >= RECORDS);
    assert_eq!(of(Table::Deltas), of(Table::Records) - 1);
    assert_eq!(of(Table::Tiles), 3);
    let ladders: u64 = LABELS.iter().map(|label| rungs(&world, label)).sum();
    let versions = proved(&world).into_iter().map(u64::from).sum::<u64>();
    assert_eq!(report.vrf_proofs, versions + ladders);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_found_and_named() {
    let world = log().await;
    for table in Table::ALL {
        for (key, value) in some(rows(&world.store, table)) {
            for byte in [0, value.len() / 2, value.len() - 1] {
                let damaged = flipped(&world.store, table, &key, &value, byte);
                let report = check(&damaged, ALL);
                assert_named(&report, table, &key, &format!("byte {byte}"));
            }
        }
    }
}

#[tokio::test]
async fn a_missing_or_a_cut_row_is_found_and_named() {
    let world = log().await;
    for table in Table::ALL {
        for (key, mut value) in some(rows(&world.store, table)) {
            value.pop();
            let cut = with(&world.store, table, &key, Some(value));
            assert_named(&check(&cut, ALL), table, &key, "the end");
            let report = check(&with(&world.store, table, &key, None), ALL);
            match table {
                // As before the first publication; the next one writes it.
                Table::Checkpoints => assert!(report.is_clean()),
                // Nothing else in the store names it.
                Table::Accounts if key == b"acct:carol" => assert_one_version_lost(&report),
                _ => assert_named(&report, table, &key, "the whole"),
            }
        }
    }
}

#[tokio::test]
async fn rows_beyond_the_head_are_found() {
    let world = log().await;
    let size = world.ledger().head().unwrap().size;
    let later = size.to_be_bytes();
    let any = [7; 32];
    for (table, key, value) in [
        (Table::Records, &later[..], &any[..]),
        (Table::Deltas, &later, &any),
        (Table::Leaves, &any, &[&any[..], &later].concat()),
        (Table::Tiles, &[&[0][..], &later].concat(), &any),
        (Table::Meta, b"more", &any),
        (Table::Checkpoints, b"more", &any),
    ] {
        let damaged = with(&world.store, table, key, Some(value.to_vec()));
        let report = check(&damaged, ALL);
        assert_named(&report, table, key, "a row too many");
        assert_eq!(report.findings()[0].problem, Problem::Stray);
    }
    // An account that the map knows nothing of.
    let (table, key) = (Table::Accounts, b"acct:nobody");
    let row = [&[0; ACCOUNT_BYTES][..], &[1], &[7; 32], &[0]].concat();
    let report = check(&with(&world.store, table, key, Some(row)), ALL);
    assert_named(&report, table, key, "a row too many");
    assert_eq!(report.findings()[0].problem, Problem::SearchKey);
}

#[tokio::test]
async fn a_lost_account_is_missed_by_its_leaves() {
    let world = log().await;
    let store = world.store.crash();
    let mut batch = Batch::new();
    batch.remove(Table::Accounts, b"acct:carol");
    store.commit(batch).unwrap();
    let report = check(&store, ALL);
    assert_one_version_lost(&report);
}

/// Nobody can say which leaf was the lost version's own; only that there is one too many.
fn assert_one_version_lost(report: &Report) {
    let findings = report.findings().iter();
    let problems: Vec<_> = findings.map(|found| &found.problem).collect();
    let lost = Problem::Count {
        stated: 9,
        found: 8,
    };
    assert_eq!(problems, [&lost]);
}

#[tokio::test]
async fn every_byte_of_a_search_key_and_its_proof_is_checked() {
    let world = log().await;
    let of_version = VERSION_BYTES..VERSION_BYTES + 32 + 80;
    for (key, value) in rows(&world.store, Table::Accounts) {
        for byte in 0..value.len() {
            let damaged = flipped(&world.store, Table::Accounts, &key, &value, byte);
            let report = check(&damaged, ALL);
            assert_named(&report, Table::Accounts, &key, &format!("byte {byte}"));
        }
    }
    let at = proved(&world).into_iter().position(|proved| proved);
    let (key, value) = rows(&world.store, Table::Versions).swap_remove(at.unwrap());
    for byte in of_version {
        let damaged = flipped(&world.store, Table::Versions, &key, &value, byte);
        let report = check(&damaged, ALL);
        assert_named(&report, Table::Versions, &key, &format!("byte {byte}"));
        assert_eq!(report.findings()[0].problem, Problem::SearchKey);
    }
}

#[tokio::test]
async fn later_versions_may_be_unknown_but_must_be_absent() {
    let world = log().await;
    let (table, key) = (Table::Accounts, b"acct:carol");
    let row = world.store.get(table, key).unwrap().unwrap();
    let (before, rest) = row.split_at(ACCOUNT_BYTES + PROVEN_BYTES);
    let (later, value) = rest.split_at(PROVEN_BYTES);
    let (search_key, _) = later[1..].split_first_chunk::<32>().unwrap();
    // Workers complete what is missing.
    for known in [&[0][..], &[&[1], &search_key[..]].concat()] {
        let row = [before, known, value].concat();
        assert!(check(&with(&world.store, table, key, Some(row)), ALL).is_clean());
    }
    let leaf = [&[7; 32][..], &1_u64.to_be_bytes()].concat();
    let present = with(&world.store, Table::Leaves, search_key, Some(leaf));
    let report = check(&present, ALL);
    let found = report.findings().iter().find(|found| found.table == table);
    assert_eq!(found.unwrap().problem, Problem::Later);
}

#[tokio::test]
async fn an_account_row_of_the_past_is_found() {
    let world = World::new();
    let process = world.start(EAGER);
    let (table, key) = (Table::Accounts, LABELS[0].as_bytes());
    let mut past = Vec::new();
    for version in 0..3 {
        let value = value(LABELS[0], version);
        process.submit(LABELS[0], version, &value).await.unwrap();
        past.push(world.store.get(table, key).unwrap().unwrap());
    }
    process.stop().await.unwrap();
    assert!(check(&world.store, ALL).is_clean());
    for row in &past[..2] {
        let rolled_back = with(&world.store, table, key, Some(row.clone()));
        let report = check(&rolled_back, ALL);
        assert_named(&report, table, key, "the whole");
    }
}

#[tokio::test]
async fn a_sample_of_proofs_saves_time_and_misses_no_version() {
    let world = log().await;
    let third = NonZeroU64::new(3).unwrap();
    let report = check(&world.store, third);
    let versions = proved(&world).into_iter().step_by(3);
    let versions = versions.map(u64::from).sum::<u64>();
    assert_eq!(report.vrf_proofs, versions + rungs(&world, LABELS[0]));
    // Where a wrong search key leads there is no leaf.
    for (key, value) in rows(&world.store, Table::Versions) {
        let damaged = flipped(
            &world.store,
            Table::Versions,
            &key,
            &value,
            VERSION_BYTES + 5,
        );
        let report = check(&damaged, third);
        assert_named(&report, Table::Versions, &key, "the search key");
    }
}

#[tokio::test]
async fn findings_are_bounded_and_name_nobody() {
    let world = log().await;
    let store = world.store.crash();
    let mut batch = Batch::new();
    for table in [Table::Deltas, Table::Versions, Table::Accounts] {
        for (key, _) in rows(&store, table) {
            batch.put(table, key, [0]);
        }
    }
    store.commit(batch).unwrap();
    let report = check(&store, ALL);
    assert_eq!(report.findings().len(), FINDINGS_MAX);
    assert!(report.count > RECORDS);
    let damaged = with(&world.store, Table::Accounts, b"acct:alice", None);
    for report in [report, check(&damaged, ALL)] {
        let mut shown = format!("{report:?}");
        for finding in report.findings() {
            shown.push_str(&finding.to_string());
        }
        assert!(!shown.contains("alice"), "{shown}");
    }
}
