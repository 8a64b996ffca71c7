//! Sending all rows of the store to a command that makes a backup of them.

use std::mem;
use std::ops::ControlFlow;
use std::time::Duration;

use candor_proto::v1;
use candor_proto::v1::backup_part::Part;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::ledger::Ledger;
use crate::storage::Table;

/// Messages that wait to be read; each is about [`PART_BYTES`] long, or one row.
pub(super) const PARTS_MAX: usize = 2;

/// Rows are sent together until they have so many bytes.
const PART_BYTES: usize = 1 << 20;

/// How long the copy waits for its reader. What commits replace is kept for the copy meanwhile: on
/// disk, or in memory.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Where the parts of a copy go.
pub(super) struct Sender {
    pub(super) parts: mpsc::Sender<Result<v1::BackupPart, Status>>,
    pub(super) shutdown: CancellationToken,
    /// How long it waits for its reader: [`PATIENCE`].
    pub(super) patience: Duration,
}

impl Sender {
    /// Sends the whole store. Blocks; ends when nobody reads it any more, or the server stops.
    pub(super) fn send_all(&self, ledger: &Ledger, note: Vec<u8>) {
        if let Err(status) = self.send_rows(ledger, note) {
            // Whoever has gone, or does not read, needs no reason.
            let _ = Handle::current().block_on(self.wait(self.parts.send(Err(status))));
        }
    }

    fn send_rows(&self, ledger: &Ledger, note: Vec<u8>) -> Result<(), Status> {
        let note = note.into();
        self.send(Part::Start(v1::BackupStart { note }))?;
        let mut gathered = Gathered::default();
        let mut sent = Ok(());
        let read = ledger.store().scan_all(&mut |table, key, value| {
            sent = match gathered.add(table, key, value) {
                Some(full) => self.send(full),
                None => Ok(()),
            };
            match sent {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        sent?;
        read.map_err(|error| {
            tracing::error!(%error, "the store could not be copied");
            Status::unavailable(format!("the store could not be copied: {error}"))
        })?;
        let rows = gathered.rows;
        if let Some(rest) = gathered.take() {
            self.send(rest)?;
        }
        self.send(Part::End(v1::BackupEnd { rows }))
    }

    fn send(&self, part: Part) -> Result<(), Status> {
        let part = self.parts.send(Ok(v1::BackupPart { part: Some(part) }));
        match Handle::current().block_on(self.wait(part)) {
            Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(_))) => Err(Status::cancelled("nobody reads the copy")),
            Some(Err(_)) => Err(Status::deadline_exceeded("the copy is not read")),
            None => Err(Status::unavailable("the server is stopping")),
        }
    }

    /// Waits for the reader, but not for ever; `None` if the server stops.
    async fn wait<T>(&self, done: impl Future<Output = T>) -> Option<Result<T, Elapsed>> {
        tokio::select! {
            done = tokio::time::timeout(self.patience, done) => Some(done),
            () = self.shutdown.cancelled() => None,
        }
    }
}

/// Rows of one table that are not sent yet.
#[derive(Default)]
struct Gathered {
    message: v1::BackupRows,
    bytes: usize,
    /// Rows so far, those that were sent too.
    rows: u64,
}

impl Gathered {
    /// Adds a row, after taking out those before if they are of another table or enough.
    fn add(&mut self, table: Table, key: &[u8], value: &[u8]) -> Option<Part> {
        let is_due = self.bytes + key.len() + value.len() > PART_BYTES;
        let full = match is_due || self.message.table != table.name() {
            true => self.take(),
            false => None,
        };
        if self.message.table.is_empty() {
            self.message.table = table.name().to_owned();
        }
        self.bytes += key.len() + value.len();
        self.rows += 1;
        self.message.rows.push(v1::BackupRow {
            key: key.to_vec().into(),
            value: value.to_vec().into(),
        });
        full
    }

    fn take(&mut self) -> Option<Part> {
        self.bytes = 0;
        let message = mem::take(&mut self.message);
        (!message.rows.is_empty()).then_some(Part::Rows(message))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::{Batch, MemoryStorage, Storage as _};

    /// A store with rows of 400 KiB in two tables.
    fn ledger() -> Ledger {
        let store = MemoryStorage::new();
        let mut batch = Batch::new();
        for table in [Table::Leaves, Table::Deltas] {
            for key in 0..10_u8 {
                batch.put(table, [key], vec![key; 400 << 10]);
            }
        }
        store.commit(batch).unwrap();
        Ledger::new(Arc::new(store), 0)
    }

    fn sender(
        parts: mpsc::Sender<Result<v1::BackupPart, Status>>,
        shutdown: CancellationToken,
        patience: Duration,
    ) -> Sender {
        Sender {
            parts,
            shutdown,
            patience,
        }
    }

    fn send(sender: Sender) -> tokio::task::JoinHandle<()> {
        let ledger = ledger();
        tokio::task::spawn_blocking(move || sender.send_all(&ledger, vec![1]))
    }

    #[tokio::test]
    async fn every_row_is_sent_once_and_the_end_counts_them() {
        let (parts, mut receiver) = mpsc::channel(PARTS_MAX);
        let shutdown = CancellationToken::new();
        let sending = send(sender(parts, shutdown, PATIENCE));
        let (mut rows, mut end) = (Vec::new(), None);
        while let Some(part) = receiver.recv().await {
            match part.unwrap().part.unwrap() {
                Part::Start(start) => assert!(rows.is_empty() && start.note == [1][..]),
                Part::Rows(part) => {
                    let bytes: usize = part.rows.iter().map(|row| row.value.len()).sum();
                    assert!(bytes <= PART_BYTES);
                    let table = part.table;
                    rows.extend(part.rows.into_iter().map(|row| (table.clone(), row.key[0])));
                }
                Part::End(told) => end = Some(told.rows),
            }
        }
        let expected = ["leaves", "deltas"].iter().flat_map(|table| {
            let table = (*table).to_owned();
            (0..10_u8).map(move |key| (table.clone(), key))
        });
        assert_eq!(rows, expected.collect::<Vec<_>>());
        assert_eq!(end, Some(20));
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn a_copy_that_nobody_reads_ends_with_the_server_or_its_reader() {
        let (parts, mut receiver) = mpsc::channel(PARTS_MAX);
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let sending = send(sender(parts, shutdown, PATIENCE));
        assert!(receiver.recv().await.is_some());
        stop.cancel();
        sending.await.unwrap();

        let (parts, receiver) = mpsc::channel(PARTS_MAX);
        let shutdown = CancellationToken::new();
        let sending = send(sender(parts, shutdown, PATIENCE));
        drop(receiver);
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_stops_reading_does_not_hold_the_copy_for_ever() {
        let (parts, mut receiver) = mpsc::channel(PARTS_MAX);
        let short = Duration::from_millis(20);
        let sending = send(sender(parts, CancellationToken::new(), short));
        // It ends although nobody reads, and what can still be read has no end.
        sending.await.unwrap();
        let mut read = 0;
        while let Some(part) = receiver.recv().await {
            assert!(!matches!(part.unwrap().part, Some(Part::End(_))));
            read += 1;
        }
        assert_eq!(read, PARTS_MAX);
    }
}
