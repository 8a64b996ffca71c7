//! Stores of every format that a program wrote can be opened, checked, served and gone on with.
//!
//! `tests/data/formats/` has one of each, as text: the anchor, then a row a line. The newest two
//! are written by `CANDOR_WRITE_FIXTURES=1 cargo test -p candor-server --test log every_format_is`.
//! Once a program was released that writes another format, the file of the one before is never
//! written again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use candor_core::account::Label;
use candor_core::answer::Query;
use candor_server::ledger::{FORMAT, FORMAT_MIN};
use candor_server::sequencer::erasure::Scope;
use candor_server::storage::{Batch, Engine, MemoryStorage, Storage, StoreOptions, Table};

use super::fsck::{ladder_stored, rows};
use super::harness::{EAGER, World, check_rows, value};

/// Accounts of the fixtures, with the number of their versions.
const ACCOUNTS: [(&str, u32); 3] = [("acct:alice", 5), ("acct:bob", 2), ("acct:carol", 1)];

/// In the newest format Alice's versions before this one are erased.
const ERASED: u32 = 3;

fn path(format: u32) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats");
    data.join(format!("{format}.rows"))
}

/// The rows of a store and the anchor of its log, as text.
fn dump(world: &World) -> String {
    let anchor = std::fs::read(&world.anchor_path).unwrap();
    let mut text = format!("anchor {}\n", hex(&anchor));
    for table in Table::ALL {
        for (key, value) in rows(&world.store, table) {
            writeln!(text, "{} {} {}", table.name(), hex(&key), hex(&value)).unwrap();
        }
    }
    text
}

/// The rows of a fixture, and its anchor.
fn read(format: u32) -> (Batch, Vec<u8>) {
    let text = std::fs::read_to_string(path(format)).unwrap();
    let (anchor, rows) = text.split_once('\n').unwrap();
    let mut batch = Batch::new();
    for row in rows.lines() {
        let mut parts = row.split(' ');
        let mut next = || parts.next().unwrap();
        let name = next();
        let table = Table::ALL.into_iter().find(|table| table.name() == name);
        batch.put(table.unwrap(), unhex(next()), unhex(next()));
    }
    (batch, unhex(anchor.strip_prefix("anchor ").unwrap()))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

/// A log that was written by this program, in a format.
async fn make(format: u32) -> World {
    let world = World::new();
    let process = world.start(EAGER);
    for (label, versions) in ACCOUNTS {
        for version in 0..versions {
            process
                .submit(label, version, &value(label, version))
                .await
                .unwrap();
        }
        ladder_stored(&world, label).await;
    }
    process.newest().await.unwrap();
    if format == FORMAT {
        let (label, _) = ACCOUNTS[0];
        let scope = Scope::Before(ERASED);
        process
            .eraser
            .erase(Label::parse(label).unwrap(), scope)
            .await
            .unwrap();
    }
    process.stop().await.unwrap();
    world
}

#[tokio::test]
async fn every_format_is_opened_checked_served_and_gone_on_with() {
    for format in FORMAT_MIN..=FORMAT {
        if std::env::var_os("CANDOR_WRITE_FIXTURES").is_some() {
            std::fs::create_dir_all(path(format).parent().unwrap()).unwrap();
            std::fs::write(path(format), dump(&make(format).await)).unwrap();
        }
        let (batch, anchor) = read(format);
        let store = MemoryStorage::new();
        store.commit(batch).unwrap();
        let identity = store.get(Table::Meta, b"identity").unwrap().unwrap();
        assert_eq!(identity[..4], format.to_be_bytes());
        let world = World::empty();
        std::fs::write(&world.anchor_path, anchor).unwrap();
        let world = world.with_store(store);
        world.check_store();
        world.audit();
        let process = world.start(EAGER);
        for (label, versions) in ACCOUNTS {
            process
                .submit(label, versions, &value(label, versions))
                .await
                .unwrap();
        }
        let published = process.newest().await.unwrap();
        for (label, versions) in ACCOUNTS {
            let answer = process
                .desk
                .ask_for(&published.signed, label, &Query::since(0));
            let account = answer.unwrap().unwrap();
            assert_eq!(account.greatest(), Some(versions));
            for (version, found) in (0..).zip(account.opened()) {
                let is_erased = format == FORMAT && label == ACCOUNTS[0].0 && version < ERASED;
                let expected = (!is_erased).then(|| value(label, version));
                assert_eq!(found.value(), expected.as_deref());
            }
        }
        process.stop().await.unwrap();
        world.check_store();
    }
}

#[tokio::test]
async fn every_engine_keeps_every_format() {
    for format in FORMAT_MIN..=FORMAT {
        for engine in Engine::ALL {
            let dir = tempfile::tempdir().unwrap();
            let options = StoreOptions {
                cache_bytes: 1 << 20,
                reserve_bytes: 0,
                ..StoreOptions::new(dir.path().join("store"))
            };
            let store = engine.create(&options).unwrap();
            store.commit(read(format).0).unwrap();
            drop(store);
            check_rows(engine.open(&options).unwrap());
        }
    }
}
