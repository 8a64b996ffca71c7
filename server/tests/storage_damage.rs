//! The durable storage engines against files that are cut off or altered while nobody looks.
//!
//! What a store may say then: that it cannot be opened or read, or exactly the batches up to one
//! that it has. The second hides what came later: that is found by whoever compares the head with
//! the one that was signed. What it must not do is hold a part of a batch, or other bytes. One
//! exception is known, and asserted to be the only one: fjall's journal has the number that orders
//! a batch outside of the batch's checksum. If a bit of that is turned, all rows are as they were
//! written, but a batch stands before or after others than it was written; so older rows may hide
//! newer ones, the head's among them, or rows may be hidden.

#![allow(clippy::unwrap_used, clippy::panic)]

mod batches;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use batches::{Batches, Damage, next, options};
use candor_server::storage::Engine;

/// Small ones: all of them are in the engine's log.
const BATCHES: Batches = Batches { value_bytes: 256 };

const COMMITS: u64 = 8;

/// Places at which a log is cut off, and at which a bit of it is turned.
const CUTS: u64 = 16;
const TURNS: u64 = 40;

/// A store with some batches, as a crash leaves it: copied while it is open.
fn crashed(engine: Engine, directory: &Path) {
    let live = tempfile::tempdir().unwrap();
    let store = engine.create(&options(live.path())).unwrap();
    let mut head = None;
    for _ in 0..COMMITS {
        store.commit(BATCHES.batch(head)).unwrap();
        head = Some(next(head));
    }
    copy(live.path(), directory);
}

/// Copies files, without the zeros at the end of large ones: journals are mostly holes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
            continue;
        }
        let mut bytes = fs::read(entry.path()).unwrap();
        if bytes.len() > 16 << 20 {
            bytes.truncate(used(&bytes));
        }
        fs::write(&target, bytes).unwrap();
    }
}

/// The length without the zeros at the end.
fn used(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1)
}

/// The file that an engine appends batches to.
fn log(engine: Engine, directory: &Path) -> PathBuf {
    directory.join("store").join(match engine {
        Engine::Fjall => "fjall/0.jnl",
        Engine::Sled => "sled/db",
    })
}

/// What a damaged store does.
#[derive(Debug)]
enum Outcome {
    /// It is not opened, or not read.
    Refused,
    /// It holds exactly the batches up to this one.
    Whole(Option<u64>),
    /// It holds rows as they were written, but not whole batches, and does not know it.
    Mixed(String),
    /// It holds other rows and does not know it.
    Altered(String),
}

fn look(engine: Engine, directory: &Path) -> Outcome {
    // An engine that panics stops the process, which is a refusal too.
    let looked = catch_unwind(AssertUnwindSafe(|| {
        match engine.open(&options(directory)) {
            Err(_) => Outcome::Refused,
            Ok(store) => match BATCHES.check(&*store) {
                Ok(head) => Outcome::Whole(head),
                Err(Damage::Reported(_)) => Outcome::Refused,
                Err(Damage::Mixed(what)) => Outcome::Mixed(what),
                Err(Damage::Altered(what)) => Outcome::Altered(what),
            },
        }
    }));
    looked.unwrap_or(Outcome::Refused)
}

/// Cuts the log off at many places, as a crash of the system may that loses what was not synced:
/// either the file ends there, or the rest of it is zeros.
#[test]
fn a_torn_log_gives_whole_batches_or_none() {
    for engine in Engine::ALL {
        let original = tempfile::tempdir().unwrap();
        crashed(engine, original.path());
        let bytes = fs::read(log(engine, original.path())).unwrap();
        let length = used(&bytes) as u64;
        let (mut refused, mut prefixes) = (0, 0);
        for step in 0..CUTS {
            let cut = length * step / CUTS + step % 7;
            for zeros in [0, 100_000] {
                let copied = tempfile::tempdir().unwrap();
                copy(original.path(), copied.path());
                let file = log(engine, copied.path());
                let file = File::options().write(true).open(file).unwrap();
                file.set_len(cut).unwrap();
                file.set_len(cut + zeros).unwrap();
                drop(file);
                match look(engine, copied.path()) {
                    Outcome::Refused => refused += 1,
                    Outcome::Whole(head) if head < Some(COMMITS - 1) => prefixes += 1,
                    other => panic!("{engine:?} cut at {cut} of {length}: {other:?}"),
                }
            }
        }
        eprintln!("{engine:?}: {prefixes} times a prefix, {refused} times refused");
        assert!(prefixes > 0, "{engine:?}");
    }
}

/// Turns a bit at many places of every file.
#[test]
fn a_turned_bit_is_refused_or_leaves_whole_batches() {
    for engine in Engine::ALL {
        let original = tempfile::tempdir().unwrap();
        crashed(engine, original.path());
        let mut files = Vec::new();
        list(
            &original.path().join("store"),
            Path::new("store"),
            &mut files,
        );
        let (mut refused, mut prefixes, mut unharmed, mut mixed) = (0, 0, 0, 0);
        for file in files {
            let length = used(&fs::read(original.path().join(&file)).unwrap()) as u64;
            // The large file in many places, the small ones in some.
            let places = if length > 10_000 {
                TURNS
            } else {
                length.min(5)
            };
            for place in 0..places {
                let at = length * place / places + place % 11 * u64::from(length > 10_000);
                let copied = tempfile::tempdir().unwrap();
                copy(original.path(), copied.path());
                turn_bit(&copied.path().join(&file), at.min(length - 1), place % 8);
                match look(engine, copied.path()) {
                    Outcome::Refused => refused += 1,
                    Outcome::Whole(head) if head == Some(COMMITS - 1) => unharmed += 1,
                    Outcome::Whole(_) => prefixes += 1,
                    Outcome::Mixed(what) => {
                        // All batches are of one length, and begin with a tag, a count of 4 bytes
                        // and the number of 8.
                        let number = 5..13;
                        let within = at % (length / COMMITS);
                        let is_known = file.ends_with("0.jnl") && number.contains(&within);
                        assert!(is_known, "{engine:?} {} at {at}: {what}", file.display());
                        mixed += 1;
                    }
                    Outcome::Altered(what) => {
                        panic!("{engine:?} {} at {at}: {what}", file.display())
                    }
                }
            }
        }
        eprintln!(
            "{engine:?}: {refused} refused, {prefixes} a prefix, {mixed} mixed, {unharmed} unharmed"
        );
        assert!(refused + prefixes > 0, "{engine:?}");
    }
}

/// Turns bits of rows that fjall flushed from its journal to files of tables. (sled has one file
/// for both.) The store is open meanwhile, with a cache that is small beside the files.
#[test]
fn a_turned_bit_of_flushed_rows_is_reported() {
    let large = Batches {
        value_bytes: 32 << 10,
    };
    let directory = tempfile::tempdir().unwrap();
    let store = Engine::Fjall.create(&options(directory.path())).unwrap();
    let mut head = None;
    let flushed = loop {
        store.commit(large.batch(head)).unwrap();
        head = Some(next(head));
        let mut files = Vec::new();
        list(directory.path(), directory.path(), &mut files);
        files.retain(|file| file.components().any(|part| part.as_os_str() == "tables"));
        // Written by the engine's threads: at its full length when its successor's rows come.
        if files
            .iter()
            .any(|file| file.metadata().unwrap().len() > 16 << 20)
            && head > Some(80)
        {
            break files;
        }
        assert!(head < Some(500), "nothing is flushed");
    };
    let file = flushed
        .iter()
        .max_by_key(|file| file.metadata().unwrap().len());
    let file = file.unwrap();
    let length = file.metadata().unwrap().len();
    let mut reported = 0;
    for place in 0..8 {
        let at = length * place / 8 + 1000;
        turn_bit(file, at, place);
        match large.check(&*store) {
            Ok(found) => assert_eq!(found, head),
            Err(Damage::Reported(_)) => reported += 1,
            Err(other) => panic!("{at} of {length}: {other:?}"),
        }
        turn_bit(file, at, place);
    }
    assert!(reported > 0);
    assert_eq!(large.check(&*store).unwrap(), head);
}

/// The engine's files below a directory, by path from the copy's root.
fn list(directory: &Path, name: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = name.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), &name, files);
        } else if entry.metadata().unwrap().len() > 0 {
            files.push(name);
        }
    }
}

fn turn_bit(path: &Path, at: u64, bit: u64) {
    let mut bytes = fs::read(path).unwrap();
    let turned = bytes[at as usize] ^ 1 << bit;
    bytes.clear();
    let mut file = File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[turned]).unwrap();
}
