//! States of every format that a program wrote can be opened, and those of a newer one are refused.
//!
//! `tests/data/formats/` has one of each, as text: the anchor, then a row a line. The newest is
//! written by `CANDOR_WRITE_FIXTURES=1 cargo test -p candor-witness --lib formats`; once a program
//! was released that writes another format, the file of the one before is never written again.

use std::fmt::Write as _;
use std::path::PathBuf;

use redb::{ReadableDatabase, ReadableTable, TableDefinition};

use super::*;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The tables of bytes and of texts, by the names that they have at rest.
const BYTES: [&str; 3] = ["logs", "maps", "quarantines"];
const TEXTS: [&str; 2] = ["forks", "map_alarms"];

/// Logs of the fixture: one that was cosigned, one that forked, one in quarantine.
const FORKED: &str = "forked.example";
const IN_DOUBT: &str = "doubt.example";

fn bytes(name: &'static str) -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(name)
}

fn texts(name: &'static str) -> TableDefinition<'static, &'static str, &'static str> {
    TableDefinition::new(name)
}

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats/1.rows")
}

fn hex(bytes: &[u8]) -> String {
    let digits = |text: String, byte: &u8| text + &format!("{byte:02x}");
    bytes.iter().fold(String::new(), digits)
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(byte).collect()
}

/// A state as this program writes it.
async fn make(paths: &Paths) {
    create(paths).unwrap();
    let (store, thread) = open(paths);
    for (origin, size) in [(ORIGIN, 5), (FORKED, 7)] {
        let change = Change::Advance {
            expected: Recorded::NOTHING,
            quarantine: None,
            next: state_of(origin, size),
        };
        store.apply(origin, change).await.unwrap();
    }
    let progress = Change::MapProgress(vec![1, 2]);
    store.apply(ORIGIN, progress).await.unwrap();
    for (change, origin) in [
        (
            Change::Fork {
                reason: "f".to_owned(),
            },
            FORKED,
        ),
        (
            Change::MapAlarm {
                reason: "m".to_owned(),
            },
            FORKED,
        ),
        (Change::Quarantine(Quarantine::BLIND), IN_DOUBT),
    ] {
        store.apply(origin, change).await.unwrap();
    }
    close((store, thread));
}

fn dump(paths: &Paths) -> String {
    let mut text = format!("anchor - {}\n", hex(&std::fs::read(&paths.anchor).unwrap()));
    let database = Database::open(&paths.database).unwrap();
    let read = database.begin_read().unwrap();
    for name in BYTES {
        for row in read.open_table(bytes(name)).unwrap().iter().unwrap() {
            let (key, value) = row.unwrap();
            writeln!(text, "{name} {} {}", key.value(), hex(value.value())).unwrap();
        }
    }
    for name in TEXTS {
        for row in read.open_table(texts(name)).unwrap().iter().unwrap() {
            let (key, value) = row.unwrap();
            writeln!(text, "{name} {} {}", key.value(), value.value()).unwrap();
        }
    }
    for row in read.open_table(META).unwrap().iter().unwrap() {
        let (key, value) = row.unwrap();
        writeln!(text, "meta {} {}", key.value(), value.value()).unwrap();
    }
    text
}

/// Makes the state of the fixture, but without the rows of which `leaves_out` says so.
fn load(paths: &Paths, leaves_out: impl Fn(&str) -> bool) {
    let text = std::fs::read_to_string(fixture()).unwrap();
    let database = Database::create(&paths.database).unwrap();
    let write = database.begin_write().unwrap();
    for name in BYTES {
        drop(write.open_table(bytes(name)).unwrap());
    }
    for name in TEXTS {
        drop(write.open_table(texts(name)).unwrap());
    }
    for row in text.lines().filter(|row| !leaves_out(row)) {
        let parts: Vec<_> = row.splitn(3, ' ').collect();
        let [table, key, value] = parts[..] else {
            panic!("a row has three parts")
        };
        if table == "anchor" {
            std::fs::write(&paths.anchor, unhex(value)).unwrap();
        } else if table == "meta" {
            let mut meta = write.open_table(META).unwrap();
            meta.insert(key, value.parse::<u64>().unwrap()).unwrap();
        } else if let Some(name) = BYTES.into_iter().find(|name| *name == table) {
            let mut table = write.open_table(bytes(name)).unwrap();
            table.insert(key, unhex(value).as_slice()).unwrap();
        } else {
            let name = TEXTS.into_iter().find(|name| *name == table).unwrap();
            write
                .open_table(texts(name))
                .unwrap()
                .insert(key, value)
                .unwrap();
        }
    }
    write.commit().unwrap();
}

fn check(paths: &Paths) {
    let (store, thread) = open(paths);
    assert_eq!(store.entry(ORIGIN).state, Some(state(5)));
    assert_eq!(store.map_progress(ORIGIN).unwrap(), Some(vec![1, 2]));
    let forked = store.entry(FORKED);
    assert_eq!(forked.state, Some(state_of(FORKED, 7)));
    assert_eq!(forked.fork.as_deref(), Some("f"));
    assert_eq!(forked.map_alarm.as_deref(), Some("m"));
    assert_eq!(store.entry(IN_DOUBT).quarantine, Some(Quarantine::BLIND));
    close((store, thread));
}

#[tokio::test]
async fn every_format_is_opened_with_all_that_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name| {
        let path = directory.path().join(name);
        std::fs::create_dir(&path).unwrap();
        Paths::new(&path, None)
    };
    let made = path("made");
    make(&made).await;
    if std::env::var_os("CANDOR_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(fixture().parent().unwrap()).unwrap();
        std::fs::write(fixture(), dump(&made)).unwrap();
    }
    assert_eq!(dump(&made), std::fs::read_to_string(fixture()).unwrap());
    let stored = path("stored");
    load(&stored, |_| false);
    check(&stored);
    // The first databases did not say which format they have.
    let unmarked = path("unmarked");
    load(&unmarked, |row| row.starts_with("meta format "));
    check(&unmarked);
}

#[test]
fn a_format_of_a_newer_program_is_refused() {
    let (_directory, paths) = new_state();
    for format in [0, 2, u64::MAX] {
        let database = Database::open(&paths.database).unwrap();
        let write = database.begin_write().unwrap();
        write
            .open_table(META)
            .unwrap()
            .insert("format", format)
            .unwrap();
        write.commit().unwrap();
        drop(database);
        let refused = open_error(&paths);
        assert!(matches!(refused, StoreError::Format { found } if found == format));
        let refused = clear_alarms(&paths, ORIGIN).unwrap_err();
        assert!(matches!(refused, StoreError::Format { found } if found == format));
    }
}
