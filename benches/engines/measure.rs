//! What one engine does with one store, in one process.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use candor_benches::process;
use candor_server::storage::{KeyRange, Order, Storage, Table};

use crate::report::line;
use crate::rows::{Epochs, UPDATES, account_key, leaf_key, mix, version_key};
use crate::{Arguments, Place};

/// Rows that a bucket of the map has.
const SCAN_ROWS: usize = 16;

/// Fills a store and measures it; prints a line for each figure.
pub fn measure(place: &Place, arguments: &Arguments) {
    let epochs = Epochs {
        accounts: arguments.accounts,
    };
    let (loading, last) = (epochs.loading(), epochs.loading() + arguments.epochs);
    let store = place.create();
    let mut rows = 0;
    for epoch in 0..loading {
        rows += commit(&*store, epochs, epoch).rows;
    }
    let written = process::written_bytes();
    let commits: Vec<Commit> = (loading..last)
        .map(|epoch| commit(&*store, epochs, epoch))
        .collect();
    let amplified = process::written_bytes() - written;
    rows += commits.iter().map(|commit| commit.rows).sum::<u64>();
    let milliseconds: Vec<f64> = commits.iter().map(|commit| commit.seconds * 1e3).collect();
    line("durable commit of 10,000 updates", "ms", &milliseconds);
    let worst = milliseconds.iter().copied().fold(0.0, f64::max);
    line("worst commit", "ms", &[worst]);
    let rates = commits
        .iter()
        .map(|commit| commit.rows as f64 / commit.seconds);
    line("rows written", "rows/s", &rates.collect::<Vec<_>>());

    let seconds = Duration::from_secs(arguments.seconds);
    let read = Reads {
        epochs,
        store: &*store,
    };
    line("point reads, idle", "reads/s", &read.points(seconds));
    line("scans of 16 rows, idle", "scans/s", &read.scans(seconds));
    let after = beside_a_writer(&*store, epochs, last, || {
        line(
            "point reads beside a writer",
            "reads/s",
            &read.points(seconds),
        );
        line(
            "scans of 16 rows beside a writer",
            "scans/s",
            &read.scans(seconds),
        );
    });
    rows += (after - last) * (commits[0].rows);
    let resident = process::resident_bytes() as f64 / 1e6;
    line("memory, readers done", "MB", &[resident]);
    line(
        "memory, at most",
        "MB",
        &[process::peak_resident_bytes() as f64 / 1e6],
    );
    drop(store);

    let bytes: u64 = commits.iter().map(|commit| commit.bytes).sum();
    if place.open().is_some() {
        // Once more each, for the first one may end what the last process began.
        let reopened = [(); 3].map(|()| {
            let start = Instant::now();
            let store = place.open();
            let seconds = start.elapsed().as_secs_f64();
            drop(store);
            seconds
        });
        line("reopened after a clean end", "s", &reopened);
        line(
            "bytes written for a byte committed",
            "B",
            &[amplified as f64 / bytes as f64],
        );
        // Overwritten accounts are rows that were written and are gone.
        let live = rows - (after - loading) * UPDATES;
        let disk = process::disk_bytes(&place.options.path) as f64 / live as f64;
        line("disk a live row, deltas in it", "B", &[disk]);
        let row = commits[0].bytes as f64 / commits[0].rows as f64;
        line("bytes of a row as committed", "B", &[row]);
    }
}

struct Commit {
    seconds: f64,
    rows: u64,
    bytes: u64,
}

fn commit(store: &dyn Storage, epochs: Epochs, epoch: u64) -> Commit {
    let (batch, size) = epochs.batch(epoch);
    let start = Instant::now();
    store.commit(batch).unwrap();
    Commit {
        seconds: start.elapsed().as_secs_f64(),
        rows: size.rows,
        bytes: size.bytes,
    }
}

/// Runs `read` while another thread commits epoch after epoch, and returns the epoch that would
/// follow.
fn beside_a_writer(store: &dyn Storage, epochs: Epochs, first: u64, read: impl FnOnce()) -> u64 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut epoch = first;
            while !done.load(Ordering::Relaxed) {
                commit(store, epochs, epoch);
                epoch += 1;
            }
            epoch
        });
        read();
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    })
}

struct Reads<'a> {
    epochs: Epochs,
    store: &'a dyn Storage,
}

impl Reads<'_> {
    /// Point reads of two threads, in rates of fifths of the time: an account, then a version.
    fn points(&self, time: Duration) -> Vec<f64> {
        self.rates(time, |number| {
            let account = mix(number) % self.epochs.accounts;
            let found = if number % 2 == 0 {
                let key = account_key(account);
                self.store.get(Table::Accounts, key.as_bytes())
            } else {
                self.store
                    .get(Table::Versions, &version_key(account, account as u32))
            };
            assert!(found.unwrap().is_some(), "account {account} is lost");
        })
    }

    /// Scans of two threads from leaves at random.
    fn scans(&self, time: Duration) -> Vec<f64> {
        self.rates(time, |number| {
            let range = KeyRange::from(leaf_key(mix(number) % self.epochs.accounts));
            let mut rows = 0;
            let visit = &mut |_: &[u8], _: &[u8]| {
                rows += 1;
                match rows < SCAN_ROWS {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            };
            self.store
                .scan(Table::Leaves, &range, Order::Ascending, visit)
                .unwrap();
            assert!(rows > 0);
        })
    }

    fn rates(&self, time: Duration, read: impl Fn(u64) + Sync) -> Vec<f64> {
        let (done, reads) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..2_u64 {
                let (done, reads, read) = (&done, &reads, &read);
                scope.spawn(move || {
                    let mut number = thread << 32;
                    while !done.load(Ordering::Relaxed) {
                        read(number);
                        number += 1;
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let rates = (0..5).map(|_| {
                let (start, before) = (Instant::now(), reads.load(Ordering::Relaxed));
                std::thread::sleep(time / 5);
                let read = reads.load(Ordering::Relaxed) - before;
                read as f64 / start.elapsed().as_secs_f64()
            });
            let rates = rates.collect();
            done.store(true, Ordering::Relaxed);
            rates
        })
    }
}
