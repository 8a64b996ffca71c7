//! What every engine must do, as tests that are instantiated for each.
//!
//! A check gets an *opener*: each call opens the same store, the first call an empty one. Whoever
//! calls it again has dropped the store before, as a process that ended.

mod whole;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    Batch, CommitError, Engine, KEY_BYTES_MAX, KeyRange, LimitError, NotCommitted, OpenError,
    Order, ReadError, Storage, StoreOptions, Table,
};

pub(super) use self::whole::scans_of_all_tables_see_one_state;

/// Makes a test of each check, for the engine that the given function makes openers of.
macro_rules! conformance_tests {
    ($new_opener:expr) => {
        $crate::storage::conformance::conformance_tests!($new_opener;
            empty_store, rows_come_back, tables_are_apart, order_of_scans, ranges_at_edges,
            scans_stop_when_told, visitors_may_use_the_store, later_writes_stand,
            ranges_are_removed, preconditions, limits_are_kept,
            values_of_all_sizes, many_rows, reopening_keeps_commits,
            scans_of_all_tables_see_one_state,
            scans_see_whole_batches, batches_appear_whole
        );
    };
    ($new_opener:expr; $($check:ident),+) => {
        mod conformance {
            use super::*;
            $(
                #[test]
                fn $check() {
                    $crate::storage::conformance::$check(&($new_opener)());
                }
            )+
        }
    };
}
pub(super) use conformance_tests;

type Opener = dyn Fn() -> Arc<dyn Storage>;

/// Opens a store of a durable engine in a directory of its own.
pub(super) fn opener(engine: Engine) -> impl Fn() -> Arc<dyn Storage> {
    let directory = tempfile::tempdir().unwrap();
    move || {
        let options = StoreOptions {
            cache_bytes: 1 << 20,
            reserve_bytes: 0,
            ..StoreOptions::new(directory.path().join("store"))
        };
        match engine.create(&options) {
            Err(OpenError::Exists { .. }) => engine.open(&options).unwrap(),
            created => created.unwrap(),
        }
    }
}
type Row = (Vec<u8>, Vec<u8>);

const TABLE: Table = Table::Leaves;

pub(super) fn empty_store(open: &Opener) {
    let store = open();
    for table in Table::ALL {
        assert_eq!(store.get(table, b"key").unwrap(), None);
        assert_eq!(rows(&*store, table, &KeyRange::all(), Order::Ascending), []);
        assert_eq!(
            rows(&*store, table, &KeyRange::all(), Order::Descending),
            []
        );
    }
    store.commit(Batch::new()).unwrap();
}

pub(super) fn rows_come_back(open: &Opener) {
    let store = open();
    put(
        &*store,
        TABLE,
        &[b"key", b"key\0", b"\0", &[0xff; KEY_BYTES_MAX]],
    );
    for key in [&b"key"[..], b"key\0", b"\0", &[0xff; KEY_BYTES_MAX]] {
        assert_eq!(store.get(TABLE, key).unwrap(), Some(value_of(key)));
    }
    for absent in [&b"ke"[..], b"key\0\0", b"\0\0", &[0xff; KEY_BYTES_MAX - 1]] {
        assert_eq!(store.get(TABLE, absent).unwrap(), None);
    }
}

pub(super) fn tables_are_apart(open: &Opener) {
    let store = open();
    let mut batch = Batch::new();
    for table in Table::ALL {
        batch.put(table, "key", table.name());
    }
    store.commit(batch).unwrap();
    for table in Table::ALL {
        assert_eq!(
            store.get(table, b"key").unwrap().unwrap(),
            table.name().as_bytes()
        );
        assert_eq!(
            rows(&*store, table, &KeyRange::all(), Order::Ascending).len(),
            1
        );
    }
}

pub(super) fn order_of_scans(open: &Opener) {
    let store = open();
    let mut keys: Vec<&[u8]> = vec![b"b", b"a", b"\xff", b"ab", b"a\0", b"\0", b"\x7f", b"\x80"];
    for key in &keys {
        put(&*store, TABLE, &[key]);
    }
    keys.sort_unstable();
    assert_eq!(
        scanned_keys(&*store, &KeyRange::all(), Order::Ascending),
        keys
    );
    keys.reverse();
    assert_eq!(
        scanned_keys(&*store, &KeyRange::all(), Order::Descending),
        keys
    );
}

pub(super) fn ranges_at_edges(open: &Opener) {
    let store = open();
    let keys: [&[u8]; 9] = [
        b"\0",
        b"a",
        b"a\0",
        b"a\xff",
        b"a\xff\xff",
        b"b",
        b"c",
        b"\xff",
        b"\xff\xff",
    ];
    put(&*store, TABLE, &keys);
    let ranges = [
        KeyRange::all(),
        KeyRange::new("a", "b"),
        KeyRange::new("a\0", "a\0\0"),
        KeyRange::new("b", "b"),
        KeyRange::new("c", "a"),
        KeyRange::new("", "a"),
        KeyRange::new("aa", "bb"),
        KeyRange::from("b"),
        KeyRange::from(&b"\xff\xff\xff"[..]),
        KeyRange::prefix("a"),
        KeyRange::prefix(&b"a\xff"[..]),
        KeyRange::prefix(&b"\xff"[..]),
        KeyRange::prefix("d"),
    ];
    for range in ranges {
        let mut expected: Vec<_> = keys.into_iter().filter(|key| range.contains(key)).collect();
        assert_eq!(
            scanned_keys(&*store, &range, Order::Ascending),
            expected,
            "{range:?}"
        );
        expected.reverse();
        assert_eq!(
            scanned_keys(&*store, &range, Order::Descending),
            expected,
            "{range:?}"
        );
    }
}

pub(super) fn scans_stop_when_told(open: &Opener) {
    let store = open();
    put(&*store, TABLE, &[b"a", b"b", b"c"]);
    let mut seen = Vec::new();
    store
        .scan(TABLE, &KeyRange::all(), Order::Descending, &mut |key, _| {
            seen.push(key.to_vec());
            if key == b"b" {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(seen, [b"c", b"b"]);
}

pub(super) fn visitors_may_use_the_store(open: &Opener) {
    let store = open();
    put(&*store, TABLE, &[b"a", b"b"]);
    let mut seen = 0;
    store
        .scan(
            TABLE,
            &KeyRange::all(),
            Order::Ascending,
            &mut |key, value| {
                assert_eq!(store.get(TABLE, key).unwrap().unwrap(), value);
                // A row ahead of the scan, which it must not meet.
                put(&*store, TABLE, &[&[key, b"z"].concat()]);
                seen += 1;
                ControlFlow::Continue(())
            },
        )
        .unwrap();
    assert_eq!(seen, 2);
    assert_eq!(
        rows(&*store, TABLE, &KeyRange::all(), Order::Ascending).len(),
        4
    );
}

pub(super) fn later_writes_stand(open: &Opener) {
    let store = open();
    put(&*store, TABLE, &[b"a", b"b"]);
    let mut batch = Batch::new();
    batch.put(TABLE, "a", "1");
    batch.put(TABLE, "a", "2");
    batch.remove(TABLE, "b");
    batch.remove(TABLE, "absent");
    batch.put(TABLE, "c", "1");
    batch.remove(TABLE, "c");
    batch.remove(TABLE, "d");
    batch.put(TABLE, "d", "1");
    store.commit(batch).unwrap();
    let expected = [row("a", "2"), row("d", "1")];
    assert_eq!(
        rows(&*store, TABLE, &KeyRange::all(), Order::Ascending),
        expected
    );
}

pub(super) fn ranges_are_removed(open: &Opener) {
    let store = open();
    put(&*store, TABLE, &[b"a", b"b", b"b\xff", b"c", b"d", b"e"]);
    put(&*store, Table::Tiles, &[b"b", b"c"]);
    let mut batch = Batch::new();
    batch.put(TABLE, "c", "written anew");
    batch.put(TABLE, "cc", "new");
    batch.remove_range(TABLE, KeyRange::new("b", "d"));
    batch.remove_range(TABLE, KeyRange::new("e", "d"));
    batch.remove_range(TABLE, KeyRange::from("e"));
    store.commit(batch).unwrap();
    assert_eq!(
        scanned_keys(&*store, &KeyRange::all(), Order::Ascending),
        [&b"a"[..], b"c", b"cc", b"d"]
    );
    assert_eq!(store.get(TABLE, b"c").unwrap().unwrap(), b"written anew");
    assert_eq!(
        rows(&*store, Table::Tiles, &KeyRange::all(), Order::Ascending).len(),
        2
    );
}

pub(super) fn preconditions(open: &Opener) {
    let store = open();
    // (expected, whether it holds), the head being none, then "1".
    let cases = [
        (Some("0"), false),
        (None, true),
        (None, false),
        (Some("0"), false),
    ];
    for (expected, holds) in cases
        .into_iter()
        .chain([(Some(""), false), (Some("1"), true)])
    {
        let before = store.get(Table::Meta, b"head").unwrap();
        let mut batch = Batch::new();
        batch.require_meta("head", expected.map(Vec::from));
        batch.put(Table::Meta, "head", "1");
        batch.put(TABLE, "row", expected.unwrap_or("none"));
        batch.remove_range(Table::Tiles, KeyRange::all());
        let result = store.commit(batch);
        if holds {
            result.unwrap();
            let row = store.get(TABLE, b"row").unwrap().unwrap();
            assert_eq!(row, expected.unwrap_or("none").as_bytes());
        } else {
            let refused = CommitError::NotCommitted(NotCommitted::Precondition);
            assert_eq!(result.unwrap_err().to_string(), refused.to_string());
            assert_eq!(store.get(Table::Meta, b"head").unwrap(), before);
        }
        put(&*store, Table::Tiles, &[b"tile"]);
    }
}

pub(super) fn limits_are_kept(open: &Opener) {
    let store = open();
    let long = vec![b'k'; KEY_BYTES_MAX + 1];
    for key in [&b""[..], &long] {
        let mut put = Batch::new();
        put.put(Table::Meta, "other", "1");
        put.put(TABLE, key, "1");
        let mut remove = Batch::new();
        remove.remove(TABLE, key);
        let mut require = Batch::new();
        require.require_meta(key, None);
        for batch in [put, remove, require] {
            let error = store.commit(batch).unwrap_err();
            let is_limit = matches!(
                error,
                CommitError::NotCommitted(NotCommitted::Limit(LimitError::Key { bytes, .. }))
                    if bytes == key.len()
            );
            assert!(is_limit, "{error:?}");
        }
        assert!(matches!(
            store.get(TABLE, key),
            Err(ReadError::KeyLength { .. })
        ));
    }
    let mut batch = Batch::new();
    batch.remove_range(TABLE, KeyRange::new("a", long.clone()));
    assert!(store.commit(batch).is_err());
    let visit = &mut |_: &[u8], _: &[u8]| ControlFlow::Continue(());
    let scan = store.scan(TABLE, &KeyRange::from(long), Order::Ascending, visit);
    assert!(matches!(scan, Err(ReadError::KeyLength { .. })));
    assert_eq!(store.get(Table::Meta, b"other").unwrap(), None);
}

pub(super) fn values_of_all_sizes(open: &Opener) {
    let sizes = [0, 1, 4095, 4096, 64 << 10, 3 << 20];
    let value = |size: usize| (0..size).map(|i| (i * 7 + size) as u8).collect::<Vec<_>>();
    let store = open();
    let mut batch = Batch::new();
    for size in sizes {
        batch.put(Table::Versions, size.to_string(), value(size));
    }
    store.commit(batch).unwrap();
    drop(store);
    let store = open();
    for size in sizes {
        let found = store
            .get(Table::Versions, size.to_string().as_bytes())
            .unwrap();
        assert!(found.as_ref() == Some(&value(size)), "{size}");
    }
}

pub(super) fn many_rows(open: &Opener) {
    let store = open();
    let key = |i: u32| i.wrapping_mul(0x9e37_79b1).to_be_bytes();
    for batch_index in 0..4 {
        let mut batch = Batch::new();
        for i in batch_index * 5000..(batch_index + 1) * 5000 {
            batch.put(TABLE, key(i), i.to_be_bytes());
        }
        store.commit(batch).unwrap();
    }
    drop(store);
    let store = open();
    let mut expected: Vec<_> = (0..20_000)
        .map(|i| (key(i).to_vec(), i.to_be_bytes().to_vec()))
        .collect();
    expected.sort_unstable();
    assert!(rows(&*store, TABLE, &KeyRange::all(), Order::Ascending) == expected);
    let mut batch = Batch::new();
    batch.remove_range(TABLE, KeyRange::prefix([0x80]));
    store.commit(batch).unwrap();
    expected.retain(|(key, _)| key[0] != 0x80);
    assert!(rows(&*store, TABLE, &KeyRange::all(), Order::Ascending) == expected);
}

pub(super) fn reopening_keeps_commits(open: &Opener) {
    for round in 0..4_u8 {
        let store = open();
        let last = round.checked_sub(1).map(|round| vec![round]);
        assert_eq!(store.get(Table::Meta, b"head").unwrap(), last);
        assert_eq!(
            rows(&*store, TABLE, &KeyRange::all(), Order::Ascending).len(),
            usize::from(round)
        );
        let mut batch = Batch::new();
        batch.require_meta("head", last);
        batch.put(Table::Meta, "head", [round]);
        batch.put(TABLE, [round], [round]);
        store.commit(batch).unwrap();
    }
}

pub(super) fn scans_see_whole_batches(open: &Opener) {
    beside_a_writer(&*open(), &|store| {
        let values: Vec<_> = rows(store, TABLE, &KeyRange::all(), Order::Ascending);
        assert!(values.len() == ROWS && values.iter().all(|(_, value)| *value == values[0].1));
    });
}

pub(super) fn batches_appear_whole(open: &Opener) {
    let number = |value: Option<Vec<u8>>| u32::from_be_bytes(value.unwrap().try_into().unwrap());
    beside_a_writer(&*open(), &|store| {
        // Tables first and last in the batch, both ways round: what is read later is not older.
        let head = number(store.get(Table::Meta, b"head").unwrap());
        let leaf = number(store.get(TABLE, &[ROWS as u8 - 1]).unwrap());
        let head_again = number(store.get(Table::Meta, b"head").unwrap());
        assert!(
            head <= leaf && leaf <= head_again,
            "{head} {leaf} {head_again}"
        );
    });
}

/// Runs `read` over and over while another thread writes one number to many rows at a time.
fn beside_a_writer(store: &dyn Storage, read: &(dyn Fn(&dyn Storage) + Sync)) {
    let commit = |number: u32| {
        let mut batch = Batch::new();
        for row in 0..ROWS {
            batch.put(TABLE, [row as u8], number.to_be_bytes());
        }
        batch.put(Table::Meta, "head", number.to_be_bytes());
        store.commit(batch).unwrap();
    };
    commit(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                read(store);
            }
        });
        for number in 1..=100 {
            commit(number);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

const ROWS: usize = 100;

fn rows(store: &dyn Storage, table: Table, range: &KeyRange, order: Order) -> Vec<Row> {
    let mut rows = Vec::new();
    store
        .scan(table, range, order, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}

fn scanned_keys(store: &dyn Storage, range: &KeyRange, order: Order) -> Vec<Vec<u8>> {
    rows(store, TABLE, range, order)
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

fn put(store: &dyn Storage, table: Table, keys: &[&[u8]]) {
    let mut batch = Batch::new();
    for key in keys {
        batch.put(table, *key, value_of(key));
    }
    store.commit(batch).unwrap();
}

fn value_of(key: &[u8]) -> Vec<u8> {
    [b"value of ", key].concat()
}

fn row(key: &str, value: &str) -> Row {
    (key.into(), value.into())
}
