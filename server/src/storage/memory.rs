//! The engine for tests and simulations: ordered maps in memory, and faults on order.
//!
//! A fault is scheduled for the n-th commit or read from now, so that a test can walk through
//! every step of an algorithm and let each fail. "Durable" is what [`MemoryStorage::crash`] keeps.
//! Two faults break the contract of [`super::Storage`] and carry `Danger` in their name: they
//! model a broken engine or disk, which the server must notice.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};

use super::batch::Batch;
use super::{
    AllVisitor, CommitError, KeyRange, NotCommitted, Order, OutcomeUnknown, ReadError, Storage,
    Table, Visitor, check_key, scan_each,
};

/// A store in memory. Dropping it loses it.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    state: Mutex<State>,
}

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// Nothing is written, and the engine says so.
    NotCommitted,
    /// No space: nothing is written, and the engine says so.
    DiskFull,
    /// The engine cannot tell, and stops. After [`MemoryStorage::crash`] the batch is there or
    /// not.
    OutcomeUnknown {
        /// Whether the batch is there.
        written: bool,
    },
    /// As `OutcomeUnknown`, but only the first rows are written: what no engine may do.
    DangerTorn {
        /// How many of the changes are applied, table by table, in key order.
        rows: usize,
    },
}

/// How a read fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// The engine reports an error.
    Failed,
    /// A bit of the value is inverted, as by a broken disk or memory. The stored value stays.
    DangerBitFlip {
        /// Which bit, counted from the first byte's least significant, modulo the value's length.
        bit: usize,
    },
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
type Tables = [Rows; Table::ALL.len()];

#[derive(Debug, Default)]
struct State {
    /// Shared with scans, which go on seeing what they began with.
    tables: Arc<Tables>,
    stopped: bool,
    commits: u64,
    reads: u64,
    commit_faults: BTreeMap<u64, CommitFault>,
    read_faults: BTreeMap<u64, ReadFault>,
}

impl MemoryStorage {
    /// An empty store without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the `nth` commit from now fail; 0 is the next one.
    pub fn fail_commit(&self, nth: u64, fault: CommitFault) {
        let mut state = self.lock();
        let at = state.commits + nth;
        state.commit_faults.insert(at, fault);
    }

    /// Lets the `nth` read from now fail; 0 is the next one. Each row that a `get` finds or a scan
    /// visits counts as a read.
    pub fn fail_read(&self, nth: u64, fault: ReadFault) {
        let mut state = self.lock();
        let at = state.reads + nth;
        state.read_faults.insert(at, fault);
    }

    /// How many commits were asked for: tells a test how many steps there are to let fail.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// How many reads were made, as [`MemoryStorage::fail_read`] counts them.
    pub fn reads(&self) -> u64 {
        self.lock().reads
    }

    /// The store as it is opened again after a crash: what is durable, and no faults.
    pub fn crash(&self) -> Self {
        let tables = Arc::clone(&self.lock().tables);
        Self {
            state: Mutex::new(State {
                tables,
                ..State::default()
            }),
        }
    }

    /// The tables as they are now, which nobody changes any more.
    fn tables(&self) -> Result<Arc<Tables>, ReadError> {
        let state = self.lock();
        state.refuse_stopped()?;
        Ok(Arc::clone(&state.tables))
    }

    fn scan_in(
        &self,
        tables: &Tables,
        table: Table,
        range: &KeyRange,
        order: Order,
        visit: &mut Visitor<'_>,
    ) -> Result<(), ReadError> {
        if range.is_empty() {
            return Ok(());
        }
        let rows = tables[table as usize].range::<[u8], _>(range.bounds());
        let mut step = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            let mut value = value.clone();
            // The lock is not held while visiting: a visitor may use the store.
            self.lock().read(&mut value)?;
            Ok::<_, ReadError>(visit(key, &value).is_break())
        };
        let mut rows: Box<dyn Iterator<Item = _>> = match order {
            Order::Ascending => Box::new(rows),
            Order::Descending => Box::new(rows.rev()),
        };
        rows.try_for_each(|row| match step(row) {
            Ok(false) => ControlFlow::Continue(()),
            Ok(true) => ControlFlow::Break(Ok(())),
            Err(error) => ControlFlow::Break(Err(error)),
        })
        .break_value()
        .unwrap_or(Ok(()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no code panics while it holds the lock")
    }
}

impl Storage for MemoryStorage {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        check_key(key)?;
        let mut state = self.lock();
        state.refuse_stopped()?;
        let Some(mut value) = state.tables[table as usize].get(key).cloned() else {
            return Ok(None);
        };
        state.read(&mut value)?;
        Ok(Some(value))
    }

    fn scan(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        visit: &mut Visitor<'_>,
    ) -> Result<(), ReadError> {
        range.check()?;
        let tables = self.tables()?;
        self.scan_in(&tables, table, range, order, visit)
    }

    fn scan_all(&self, visit: &mut AllVisitor<'_>) -> Result<(), ReadError> {
        let tables = self.tables()?;
        scan_each(visit, |table, visit| {
            self.scan_in(&tables, table, &KeyRange::all(), Order::Ascending, visit)
        })
    }

    fn commit(&self, mut batch: Batch) -> Result<(), CommitError> {
        batch.check().map_err(NotCommitted::from)?;
        let mut state = self.lock();
        if state.stopped {
            return Err(NotCommitted::Stopped.into());
        }
        let nth = state.commits;
        state.commits += 1;
        if let Some(precondition) = &batch.precondition {
            let meta = &state.tables[Table::Meta as usize];
            precondition.check(meta.get(&precondition.key).map(Vec::as_slice))?;
        }
        batch.settle(|table, range, visit| {
            state.scan(table, range, visit);
            Ok(())
        })?;
        let changes = flatten(batch);
        match state.commit_faults.remove(&nth) {
            None => state.apply(changes, usize::MAX),
            Some(CommitFault::NotCommitted) => {
                return Err(NotCommitted::Engine {
                    source: INJECTED.into(),
                }
                .into());
            }
            Some(CommitFault::DiskFull) => {
                let full = NotCommitted::DiskFull {
                    available_bytes: 0,
                    required_bytes: 1,
                };
                return Err(full.into());
            }
            Some(CommitFault::OutcomeUnknown { written }) => {
                return Err(state.stop(changes, if written { usize::MAX } else { 0 }));
            }
            Some(CommitFault::DangerTorn { rows }) => return Err(state.stop(changes, rows)),
        }
        Ok(())
    }
}

/// One row that a batch changes.
type Change = (Table, Vec<u8>, Option<Vec<u8>>);

impl State {
    fn refuse_stopped(&self) -> Result<(), ReadError> {
        if self.stopped {
            Err(ReadError::Stopped)
        } else {
            Ok(())
        }
    }

    /// Counts a read of `value`, and spoils it if that was ordered.
    fn read(&mut self, value: &mut [u8]) -> Result<(), ReadError> {
        let nth = self.reads;
        self.reads += 1;
        match self.read_faults.remove(&nth) {
            None => {}
            Some(ReadFault::Failed) => {
                return Err(ReadError::Engine {
                    source: INJECTED.into(),
                });
            }
            Some(ReadFault::DangerBitFlip { .. }) if value.is_empty() => {}
            Some(ReadFault::DangerBitFlip { bit }) => {
                let bit = bit % (value.len() * 8);
                value[bit / 8] ^= 1 << (bit % 8);
            }
        }
        Ok(())
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visitor<'_>) {
        if range.is_empty() {
            return;
        }
        let rows = &self.tables[table as usize];
        for (key, value) in rows.range::<[u8], _>(range.bounds()) {
            if visit(key, value).is_break() {
                return;
            }
        }
    }

    fn apply(&mut self, changes: Vec<Change>, rows: usize) {
        let tables = Arc::make_mut(&mut self.tables);
        for (table, key, value) in changes.into_iter().take(rows) {
            match value {
                Some(value) => tables[table as usize].insert(key, value),
                None => tables[table as usize].remove(&key),
            };
        }
    }

    fn stop(&mut self, changes: Vec<Change>, rows: usize) -> CommitError {
        self.apply(changes, rows);
        self.stopped = true;
        OutcomeUnknown {
            source: INJECTED.into(),
        }
        .into()
    }
}

/// The settled batch as single rows.
fn flatten(batch: Batch) -> Vec<Change> {
    let tables = Table::ALL.into_iter().zip(batch.tables);
    tables
        .flat_map(|(table, changes)| {
            let rows = changes.rows.into_iter();
            rows.map(move |row| (table, row.key, row.value))
        })
        .collect()
}

const INJECTED: &str = "injected fault";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    super::super::conformance::conformance_tests!(|| {
        let store = Mutex::new(Arc::new(MemoryStorage::new()));
        move || {
            let mut store = store.lock().unwrap();
            *store = Arc::new(store.crash());
            Arc::clone(&store) as Arc<dyn Storage>
        }
    });

    fn batch(value: &str) -> Batch {
        let mut batch = Batch::new();
        batch.put(Table::Records, "a", value);
        batch.put(Table::Meta, "head", value);
        batch
    }

    fn values(store: &MemoryStorage) -> [Option<Vec<u8>>; 2] {
        [(Table::Records, "a"), (Table::Meta, "head")]
            .map(|(table, key)| store.get(table, key.as_bytes()).unwrap())
    }

    #[test]
    fn clean_failures_write_nothing_and_are_retryable() {
        for fault in [CommitFault::NotCommitted, CommitFault::DiskFull] {
            let store = MemoryStorage::new();
            store.fail_commit(1, fault);
            store.commit(batch("1")).unwrap();
            match store.commit(batch("2")) {
                Err(CommitError::NotCommitted(error)) => assert!(error.is_retryable()),
                other => assert!(other.is_err(), "{fault:?} must be a clean failure"),
            }
            assert_eq!(values(&store), [Some(b"1".to_vec()), Some(b"1".to_vec())]);
            store.commit(batch("2")).unwrap();
            assert_eq!(values(&store), [Some(b"2".to_vec()), Some(b"2".to_vec())]);
        }
    }

    #[test]
    fn unknown_outcomes_stop_the_store_until_it_is_opened_again() {
        let cases = [
            (
                CommitFault::OutcomeUnknown { written: true },
                [Some("1"), Some("1")],
            ),
            (CommitFault::OutcomeUnknown { written: false }, [None, None]),
            (CommitFault::DangerTorn { rows: 1 }, [Some("1"), None]),
        ];
        for (fault, expected) in cases {
            let store = MemoryStorage::new();
            store.fail_commit(0, fault);
            assert!(matches!(
                store.commit(batch("1")),
                Err(CommitError::OutcomeUnknown(_))
            ));
            assert!(matches!(
                store.get(Table::Meta, b"head"),
                Err(ReadError::Stopped)
            ));
            let stopped = store.commit(batch("2"));
            assert!(matches!(
                stopped,
                Err(CommitError::NotCommitted(NotCommitted::Stopped))
            ));
            let expected = expected.map(|value| value.map(|value| value.as_bytes().to_vec()));
            assert_eq!(values(&store.crash()), expected, "{fault:?}");
        }
    }

    #[test]
    fn reads_fail_as_scheduled() {
        let store = MemoryStorage::new();
        store.commit(batch("1")).unwrap();
        store.fail_read(0, ReadFault::Failed);
        store.fail_read(1, ReadFault::DangerBitFlip { bit: 9 });
        assert!(matches!(
            store.get(Table::Meta, b"head"),
            Err(ReadError::Engine { .. })
        ));
        assert_eq!(
            store.get(Table::Meta, b"head").unwrap(),
            Some(b"3".to_vec())
        );
        assert_eq!(
            store.get(Table::Meta, b"head").unwrap(),
            Some(b"1".to_vec())
        );
    }
}
