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

/// Bytes of a version number, its search key and proof, in the row of an account.
const LATER_BYTES: usize = 4 + 32 + 80;

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
        }
    }
    process.signed_size(RECORDS).await;
    // Their ladders are complete, so that account rows have search keys.
    for label in LABELS.map(|label| Label::parse(label).unwrap()) {
        let deadline = tokio::time::Instant::now() + LONG;
        while !world.ledger().account(&label).unwrap().is_complete() {
            assert!(tokio::time::Instant::now() < deadline, "never stored");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let head = process.signed.borrow().clone().unwrap();
    process.stop().await.unwrap();
    let published = put_published(&head.note.to_bytes());
    world.store.commit(published).unwrap();
    world
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

/// How many search keys of later versions accounts have.
fn later_keys(world: &World) -> u64 {
    let rows = rows(&world.store, Table::Accounts).into_iter();
    rows.map(|(_, row)| (row.len() / LATER_BYTES) as u64).sum()
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
    assert_eq!(of(Table::Versions), 9);
    assert_eq!(of(Table::Accounts), 3);
    assert!(of(Table::Records) >= RECORDS);
    assert_eq!(of(Table::Deltas), of(Table::Records) - 1);
    assert_eq!(of(Table::Tiles), 3);
    assert_eq!(report.vrf_proofs, 9 + later_keys(&world));
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
        (Table::Accounts, b"acct:nobody", &[0; 4]),
    ] {
        let damaged = with(&world.store, table, key, Some(value.to_vec()));
        let report = check(&damaged, ALL);
        assert_named(&report, table, key, "a row too many");
        assert_eq!(report.findings()[0].problem, Problem::Stray);
    }
}

#[tokio::test]
async fn a_lost_account_is_missed_by_its_leaves() {
    let world = log().await;
    let store = world.store.crash();
    let mut batch = Batch::new();
    batch.remove(Table::Accounts, b"acct:carol");
    batch.remove_range(Table::Versions, KeyRange::prefix(b"\x0aacct:carol"));
    store.commit(batch).unwrap();
    let report = check(&store, ALL);
    let problems: Vec<_> = report
        .findings()
        .iter()
        .map(|found| &found.problem)
        .collect();
    let lost = Problem::Count {
        stated: 9,
        found: 8,
    };
    assert_eq!(problems, [&lost]);
}

#[tokio::test]
async fn every_byte_of_a_search_key_and_its_proof_is_checked() {
    let world = log().await;
    assert!(later_keys(&world) >= 3);
    let of_version = 8 + 16..8 + 16 + 32 + 80;
    for (key, value) in rows(&world.store, Table::Accounts) {
        for byte in 0..value.len() {
            let damaged = flipped(&world.store, Table::Accounts, &key, &value, byte);
            let report = check(&damaged, ALL);
            assert_named(&report, Table::Accounts, &key, &format!("byte {byte}"));
        }
    }
    let (key, value) = rows(&world.store, Table::Versions).swap_remove(4);
    for byte in of_version {
        let damaged = flipped(&world.store, Table::Versions, &key, &value, byte);
        let report = check(&damaged, ALL);
        assert_named(&report, Table::Versions, &key, &format!("byte {byte}"));
        assert_eq!(report.findings()[0].problem, Problem::SearchKey);
    }
}

#[tokio::test]
async fn later_versions_must_be_on_the_ladder_and_absent() {
    let world = log().await;
    let table = Table::Accounts;
    for (key, row) in rows(&world.store, table) {
        let (later, cut) = row.split_at(4).1.split_at(LATER_BYTES);
        // Workers complete what is missing.
        let incomplete = with(&world.store, table, &key, Some([&row[..4], cut].concat()));
        assert!(check(&incomplete, ALL).is_clean());
        // Twice what is no version to come: one that exists, and one that no ladder asks for.
        for version in [0, 1_000_000_u32] {
            let number = version.to_be_bytes();
            let other = [&row[..], &number, &later[4..]].concat();
            let report = check(&with(&world.store, table, &key, Some(other)), ALL);
            assert_named(&report, table, &key, "a version");
        }
        let leaf = [&[7; 32][..], &1_u64.to_be_bytes()].concat();
        let present = with(&world.store, Table::Leaves, &later[4..36], Some(leaf));
        let report = check(&present, ALL);
        let found = report.findings().iter().find(|found| found.table == table);
        assert_eq!(found.unwrap().problem, Problem::Later);
    }
}

#[tokio::test]
async fn a_sample_of_proofs_saves_time_and_misses_no_version() {
    let world = log().await;
    let third = NonZeroU64::new(3).unwrap();
    let report = check(&world.store, third);
    let accounts = rows(&world.store, Table::Accounts);
    let first = (accounts[0].1.len() / LATER_BYTES) as u64;
    assert_eq!(report.vrf_proofs, 3 + first);
    // Where a wrong search key leads there is no leaf.
    for (key, value) in rows(&world.store, Table::Versions) {
        let damaged = flipped(&world.store, Table::Versions, &key, &value, 8 + 16 + 5);
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
