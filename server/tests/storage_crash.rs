//! The default storage engine against what kills processes and fills disks.
//!
//! A *writer* commits numbered batches, each spread over several tables and large enough that
//! write buffers are flushed meanwhile, and says after each commit that it is acknowledged. It is
//! this test binary once more, told by an environment variable where the store is. After whatever
//! happened to it the store must hold every acknowledged batch whole, and the next one whole or not
//! at all.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use candor_server::storage::{
    Batch, CommitError, FjallOptions, FjallStorage, KeyRange, NotCommitted, Order, ReadError,
    Storage, Table,
};

const STORE: &str = "CANDOR_TEST_STORE";
const ROWS: u64 = 20;
const VALUE_BYTES: usize = 32 << 10;
const TABLES: [Table; 3] = [Table::Leaves, Table::Versions, Table::Tiles];

#[test]
fn kill_leaves_whole_batches() {
    if let Some(path) = std::env::var_os(STORE) {
        write_until_killed(&options(path.into()));
    }
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path().join("store"));
    drop(FjallStorage::create(&options).unwrap());
    let mut acknowledged = None;
    for round in 0..5 {
        let commits = 1 + getrandom::u32().unwrap() % 20;
        acknowledged = run_and_kill(&options.path, commits).or(acknowledged);
        let store = FjallStorage::open(&options).unwrap();
        let found = check(&store);
        assert!(
            found == acknowledged || found == Some(next(acknowledged)),
            "round {round}: {acknowledged:?} acknowledged, {found:?} found"
        );
        // A batch that was not acknowledged and is there now must be there for good.
        acknowledged = found;
    }
}

/// Runs a writer, and kills it once it has acknowledged so many commits: it is writing the next
/// one then. Returns the last number that it acknowledged.
fn run_and_kill(store: &Path, commits: u32) -> Option<u64> {
    let mut writer = Writer(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill_leaves_whole_batches", "--nocapture"])
            .env(STORE, store)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(writer.0.stderr.take().unwrap()).lines();
    let number = |line: std::io::Result<String>| line.unwrap().parse::<u64>().unwrap();
    let mut last = None;
    for _ in 0..commits {
        last = Some(number(lines.next().expect("the writer ended by itself")));
    }
    writer.0.kill().unwrap();
    // What it acknowledged before the signal reached it counts too.
    lines.map(number).last().or(last)
}

/// Never outlives the test that started it.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write_until_killed(options: &FjallOptions) -> ! {
    let store = FjallStorage::open(options).unwrap();
    let mut head = check(&store);
    loop {
        store.commit(batch(head)).unwrap();
        let number = next(head);
        eprintln!("{number}");
        head = Some(number);
    }
}

/// The disk fills up with the journal: the store refuses commits until there is space again.
#[test]
fn full_disk_refuses_commits_and_loses_nothing() {
    let Some(disk) = std::env::var_os(STORE) else {
        return on_small_disk("20m", "full_disk_refuses_commits_and_loses_nothing");
    };
    let store = FjallStorage::create(&options(Path::new(&disk).join("store"))).unwrap();
    let (acknowledged, error) = write_until_error(&store);
    let CommitError::NotCommitted(error @ NotCommitted::DiskFull { .. }) = error else {
        panic!("{error:?}")
    };
    assert!(error.is_retryable());
    assert_eq!(check(&store), acknowledged);
    grow(Path::new(&disk));
    store.commit(batch(acknowledged)).unwrap();
    assert_eq!(check(&store), Some(next(acknowledged)));
}

/// The disk fills up while write buffers are flushed in the background, for there is no reserve.
/// Whether the flush or a commit meets the end first is chance; nothing hangs or is lost.
#[test]
fn full_disk_in_the_background_loses_nothing() {
    let Some(disk) = std::env::var_os(STORE) else {
        return on_small_disk("130m", "full_disk_in_the_background_loses_nothing");
    };
    let options = options(Path::new(&disk).join("store"));
    let store = FjallStorage::create(&options).unwrap();
    let (acknowledged, error) = write_until_error(&store);
    drop(store);
    grow(Path::new(&disk));
    let store = FjallStorage::open(&options).unwrap();
    let found = check(&store);
    let may_be_there = matches!(error, CommitError::OutcomeUnknown(_));
    assert!(found == acknowledged || may_be_there && found == Some(next(acknowledged)));
    store.commit(batch(found)).unwrap();
    assert_eq!(check(&store), Some(next(found)));
}

/// Runs `test` in another process, with a disk of `size`: a file system in memory that only that
/// process sees. Not every system allows for one.
fn on_small_disk(size: &str, test: &str) {
    let is_possible = Command::new("unshare").args(["-rm", "true"]).status();
    if !is_possible.is_ok_and(|status| status.success()) {
        eprintln!("skipped: the system lets this user make no mount namespace");
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let mut writer = Command::new("unshare");
    writer
        .args(["-rm", "sh", "-c"])
        .arg(r#"mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@""#)
        .args(["sh", size])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(STORE, disk.path());
    run(writer);
}

fn grow(disk: &Path) {
    let status = Command::new("mount")
        .args(["-o", "remount,size=500m"])
        .arg(disk)
        .status();
    assert!(status.unwrap().success());
}

/// The system refuses to let a file grow, which no look at the free space foretells: the journal
/// fails in the middle of a write.
#[test]
fn failed_write_stops_the_store_and_leaves_whole_batches() {
    if let Some(path) = std::env::var_os(STORE) {
        return fail_to_write(&options(path.into()));
    }
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path().join("store"));
    let mut writer = Command::new("sh");
    writer
        // In blocks of 512 bytes: 64 MiB, to which the engine extends its journal at once.
        .args(["-c", r#"trap "" XFSZ; ulimit -f 131072; exec "$@""#, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "failed_write_stops_the_store_and_leaves_whole_batches",
            "--nocapture",
        ])
        .env(STORE, &options.path);
    run(writer);
    // The writer checked that its last acknowledged batch is there; here is no limit any more.
    let store = FjallStorage::open(&options).unwrap();
    let head = check(&store);
    assert!(head.is_some());
    store.commit(batch(head)).unwrap();
    assert_eq!(check(&store), Some(next(head)));
}

fn fail_to_write(options: &FjallOptions) {
    let store = FjallStorage::create(options).unwrap();
    let (acknowledged, error) = write_until_error(&store);
    assert!(matches!(error, CommitError::OutcomeUnknown(_)), "{error:?}");
    assert!(matches!(
        store.get(Table::Meta, b"head"),
        Err(ReadError::Stopped)
    ));
    let again = store.commit(batch(acknowledged)).unwrap_err();
    assert!(
        matches!(again, CommitError::NotCommitted(NotCommitted::Stopped)),
        "{again:?}"
    );
    drop(store);
    let found = check(&FjallStorage::open(options).unwrap());
    assert!(
        found == acknowledged || found == Some(next(acknowledged)),
        "{found:?}"
    );
}

fn write_until_error(store: &dyn Storage) -> (Option<u64>, CommitError) {
    let mut acknowledged = None;
    loop {
        match store.commit(batch(acknowledged)) {
            Ok(()) => acknowledged = Some(next(acknowledged)),
            Err(error) => {
                eprintln!("after {acknowledged:?}: {error:?}");
                return (acknowledged, error);
            }
        }
    }
}

/// Runs a writer that ends by itself, and shows what it said.
fn run(mut writer: Command) {
    let output = writer.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    eprint!("{text}");
    assert!(output.status.success(), "{}: {text}", output.status);
}

fn options(path: PathBuf) -> FjallOptions {
    FjallOptions {
        cache_bytes: 1 << 20,
        reserve_bytes: 0,
        ..FjallOptions::new(path)
    }
}

/// The batch that follows `head`.
fn batch(head: Option<u64>) -> Batch {
    let number = next(head);
    let mut batch = Batch::new();
    batch.require_meta("head", head.map(|head| head.to_be_bytes().to_vec()));
    batch.put(Table::Meta, "head", number.to_be_bytes());
    for table in TABLES {
        for row in 0..ROWS {
            batch.put(table, key(number, row), value(number, row));
        }
    }
    batch
}

/// Checks that the store holds exactly the batches up to its head, each whole, and returns the
/// head.
fn check(store: &dyn Storage) -> Option<u64> {
    let head = store.get(Table::Meta, b"head").unwrap();
    let head = head.map(|head| u64::from_be_bytes(head.try_into().unwrap()));
    for table in TABLES {
        let mut expected =
            (0..=head.unwrap_or(0)).flat_map(|number| (0..ROWS).map(move |row| (number, row)));
        if head.is_none() {
            expected.by_ref().for_each(drop);
        }
        store
            .scan(
                table,
                &KeyRange::all(),
                Order::Ascending,
                &mut |found_key, found_value| {
                    let (number, row) = expected.next().expect("a row of a batch beyond the head");
                    assert_eq!(found_key, key(number, row));
                    assert!(
                        found_value == value(number, row),
                        "batch {number}, row {row}"
                    );
                    ControlFlow::Continue(())
                },
            )
            .unwrap();
        assert_eq!(
            expected.next(),
            None,
            "a row of a committed batch is missing"
        );
    }
    head
}

fn next(head: Option<u64>) -> u64 {
    head.map_or(0, |head| head + 1)
}

fn key(number: u64, row: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&row.to_be_bytes());
    key
}

fn value(number: u64, row: u64) -> Vec<u8> {
    let mut value = (number * ROWS + row).to_be_bytes().repeat(VALUE_BYTES / 8);
    // An empty and an odd one among them.
    value.truncate(if row == 0 { 0 } else { VALUE_BYTES - 1 });
    value
}
