//! The durable storage engines against what kills processes and fills disks.
//!
//! A *writer* commits numbered batches, each spread over several tables and large enough that
//! write buffers are flushed meanwhile, and says after each commit that it is acknowledged. It is
//! this test binary once more, told by environment variables where the store is and of what engine.
//! After whatever happened to it the store must hold every acknowledged batch whole, and the next
//! one whole or not at all.

#![allow(clippy::unwrap_used, clippy::panic)]

mod batches;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use batches::{Batches, next, options};
use candor_server::storage::{
    CommitError, Engine, NotCommitted, ReadError, Storage, StoreOptions, Table,
};

/// The directory in which a writer has its store, and the store's engine.
const DIRECTORY: &str = "CANDOR_TEST_DIRECTORY";
const ENGINE: &str = "CANDOR_TEST_ENGINE";

const BATCHES: Batches = Batches {
    value_bytes: 32 << 10,
};

/// What this process is to write to, if it is a writer.
fn writer() -> Option<(PathBuf, Engine)> {
    let directory = std::env::var_os(DIRECTORY)?;
    let name = std::env::var(ENGINE).unwrap();
    let engine = Engine::ALL.into_iter().find(|engine| engine.name() == name);
    Some((directory.into(), engine.unwrap()))
}

#[test]
fn kill_leaves_whole_batches() {
    match writer() {
        Some((directory, engine)) => write_until_killed(engine, &directory),
        None => Engine::ALL.into_iter().for_each(kill_and_check),
    }
}

fn kill_and_check(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    drop(engine.create(&options).unwrap());
    let mut acknowledged = None;
    for round in 0..5 {
        let commits = 1 + getrandom::u32().unwrap() % 20;
        acknowledged = run_and_kill(engine, directory.path(), commits).or(acknowledged);
        let store = engine.open(&options).unwrap();
        let found = check(&*store);
        assert!(
            found == acknowledged || found == Some(next(acknowledged)),
            "{engine:?}, round {round}: {acknowledged:?} acknowledged, {found:?} found"
        );
        // A batch that was not acknowledged and is there now must be there for good.
        acknowledged = found;
    }
}

/// Runs a writer, and kills it once it has acknowledged so many commits: it is writing the next
/// one then. Returns the last number that it acknowledged.
fn run_and_kill(engine: Engine, directory: &Path, commits: u32) -> Option<u64> {
    let mut writer = Writer(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill_leaves_whole_batches", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(ENGINE, engine.name())
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

fn write_until_killed(engine: Engine, directory: &Path) {
    let store = engine.open(&options(directory)).unwrap();
    let mut head = check(&*store);
    loop {
        store.commit(BATCHES.batch(head)).unwrap();
        let number = next(head);
        eprintln!("{number}");
        head = Some(number);
    }
}

/// The disk fills up with the journal: the store refuses commits until there is space again.
#[test]
fn full_disk_refuses_commits_and_loses_nothing() {
    let Some((disk, engine)) = writer() else {
        return on_small_disk("40m", "full_disk_refuses_commits_and_loses_nothing");
    };
    let options = StoreOptions {
        // sled writes several times what a batch has, partly in the background; fjall does not, and
        // must do without a reserve.
        reserve_bytes: if engine == Engine::Sled { 16 << 20 } else { 0 },
        ..options(&disk)
    };
    let store = engine.create(&options).unwrap();
    let (acknowledged, error) = write_until_error(&*store);
    let CommitError::NotCommitted(error @ NotCommitted::DiskFull { .. }) = error else {
        panic!("{error:?}")
    };
    assert!(error.is_retryable());
    assert_eq!(check(&*store), acknowledged);
    grow(&disk);
    store.commit(BATCHES.batch(acknowledged)).unwrap();
    assert_eq!(check(&*store), Some(next(acknowledged)));
}

/// The disk fills up while write buffers are flushed in the background, for there is no reserve.
/// Whether the flush or a commit meets the end first is chance; nothing hangs or is lost.
#[test]
fn full_disk_in_the_background_loses_nothing() {
    let Some((disk, engine)) = writer() else {
        return on_small_disk("130m", "full_disk_in_the_background_loses_nothing");
    };
    let options = options(&disk);
    let store = engine.create(&options).unwrap();
    let (acknowledged, error) = write_until_error(&*store);
    drop(store);
    grow(&disk);
    let store = engine.open(&options).unwrap();
    let found = check(&*store);
    let may_be_there = matches!(error, CommitError::OutcomeUnknown(_));
    assert!(found == acknowledged || may_be_there && found == Some(next(acknowledged)));
    store.commit(BATCHES.batch(found)).unwrap();
    assert_eq!(check(&*store), Some(next(found)));
}

/// Runs `test` in another process, with a disk of `size`: a file system in memory that only that
/// process sees. Not every system allows for one.
fn on_small_disk(size: &str, test: &str) {
    let is_possible = Command::new("unshare").args(["-rm", "true"]).status();
    if !is_possible.is_ok_and(|status| status.success()) {
        eprintln!("skipped: the system lets this user make no mount namespace");
        return;
    }
    Engine::ALL.into_iter().for_each(|engine| {
        let disk = tempfile::tempdir().unwrap();
        let mut writer = Command::new("unshare");
        writer
            .args(["-rm", "sh", "-c"])
            .arg(r#"mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@""#)
            .args(["sh", size])
            .arg(disk.path())
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(DIRECTORY, disk.path())
            .env(ENGINE, engine.name());
        run(writer);
    });
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
    match writer() {
        Some((directory, engine)) => fail_to_write(engine, &options(&directory)),
        None => Engine::ALL.into_iter().for_each(fail_and_check),
    }
}

fn fail_and_check(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
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
        .env(DIRECTORY, directory.path())
        .env(ENGINE, engine.name());
    run(writer);
    // The writer checked that its last acknowledged batch is there; here is no limit any more.
    let store = engine.open(&options).unwrap();
    let head = check(&*store);
    assert!(head.is_some());
    store.commit(BATCHES.batch(head)).unwrap();
    assert_eq!(check(&*store), Some(next(head)));
}

fn fail_to_write(engine: Engine, options: &StoreOptions) {
    let store = engine.create(options).unwrap();
    let (acknowledged, error) = write_until_error(&*store);
    assert!(matches!(error, CommitError::OutcomeUnknown(_)), "{error:?}");
    assert!(matches!(
        store.get(Table::Meta, b"head"),
        Err(ReadError::Stopped)
    ));
    let again = store.commit(BATCHES.batch(acknowledged)).unwrap_err();
    assert!(
        matches!(again, CommitError::NotCommitted(NotCommitted::Stopped)),
        "{again:?}"
    );
    drop(store);
    let found = check(&*engine.open(options).unwrap());
    assert!(
        found == acknowledged || found == Some(next(acknowledged)),
        "{found:?}"
    );
}

fn write_until_error(store: &dyn Storage) -> (Option<u64>, CommitError) {
    let mut acknowledged = None;
    loop {
        match store.commit(BATCHES.batch(acknowledged)) {
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

fn check(store: &dyn Storage) -> Option<u64> {
    BATCHES.check(store).unwrap()
}
