//! Epochs that were received ahead of their check, so that the network and the processor work at
//! once. What waits is bounded in bytes: beyond that the log has to wait.

use std::sync::Arc;

use candor_core::epoch::{EpochRecord, Record};
use candor_core::limits::DELTA_BYTES_MAX;
use candor_core::map::AuditDelta;
use candor_proto::v1::EpochChunk;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::feed::FeedError;

/// Most bytes of epochs that are in memory, one of which not all has come included: the longest
/// epoch, and 32 MiB beside it. An epoch that needed more than all could never be received.
const ROOM_BYTES: usize = DELTA_BYTES_MAX + EPOCH_BYTES + (32 << 20);

/// What an epoch takes besides its delta, so that an empty one takes something.
const EPOCH_BYTES: usize = 512;
const _: () = assert!(Record::BYTES_MAX <= EPOCH_BYTES);

/// Most epochs that wait.
const WAITING_EPOCHS_MAX: usize = 1024;

/// Where a group of epochs that is checked in one go ends.
const GROUP_EPOCHS_MAX: usize = 256;
const GROUP_BYTES: usize = 4 << 20;

/// An epoch as received. Its room is free again when it is dropped.
#[derive(Debug)]
pub struct Epoch {
    pub record: Vec<u8>,
    pub delta: AuditDelta,
    room: OwnedSemaphorePermit,
}

/// Epochs in order, as far as they have come.
pub struct Epochs {
    received: mpsc::Receiver<Result<Epoch, FeedError>>,
    /// What came after the epochs that were handed over last.
    broken: Option<FeedError>,
    _reading: AbortOnDropHandle<()>,
}

impl Epochs {
    /// Reads epochs from `first` on.
    pub fn read<S>(chunks: S, first: u64) -> Self
    where
        S: Stream<Item = Result<EpochChunk, Status>> + Send + Unpin + 'static,
    {
        let (sender, received) = mpsc::channel(WAITING_EPOCHS_MAX);
        let reading = tokio::spawn(read(
            chunks,
            first,
            Arc::new(Semaphore::new(ROOM_BYTES)),
            sender,
        ));
        Self {
            received,
            broken: None,
            _reading: AbortOnDropHandle::new(reading),
        }
    }

    /// Waits for the next epoch, and hands it over with those behind it that have come already.
    pub async fn next(&mut self) -> Result<Vec<Epoch>, FeedError> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let first = self.received.recv().await.ok_or(FeedError::Ended)??;
        let mut bytes = first.room.num_permits();
        let mut group = vec![first];
        while group.len() < GROUP_EPOCHS_MAX && bytes < GROUP_BYTES {
            match self.received.try_recv() {
                Ok(Ok(epoch)) => {
                    bytes += epoch.room.num_permits();
                    group.push(epoch);
                }
                Ok(Err(error)) => {
                    self.broken = Some(error);
                    break;
                }
                Err(_) => break,
            }
        }
        Ok(group)
    }
}

async fn read<S>(
    mut chunks: S,
    first: u64,
    room: Arc<Semaphore>,
    epochs: mpsc::Sender<Result<Epoch, FeedError>>,
) where
    S: Stream<Item = Result<EpochChunk, Status>> + Unpin,
{
    for number in first.. {
        let epoch = read_epoch(&mut chunks, number, &room).await;
        let is_broken = epoch.is_err();
        if epochs.send(epoch).await.is_err() || is_broken {
            return;
        }
    }
}

async fn read_epoch<S>(
    chunks: &mut S,
    number: u64,
    room: &Arc<Semaphore>,
) -> Result<Epoch, FeedError>
where
    S: Stream<Item = Result<EpochChunk, Status>> + Unpin,
{
    let mut assembly = Assembly::new(number);
    let mut taken = take(room, EPOCH_BYTES).await?;
    loop {
        let chunk = chunks.next().await.ok_or(FeedError::Ended)??;
        assembly.check(&chunk)?;
        taken.merge(take(room, chunk.delta_part.len()).await?);
        if let Some((record, delta)) = assembly.add(chunk)? {
            return Ok(Epoch {
                record,
                delta,
                room: taken,
            });
        }
    }
}

async fn take(room: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, FeedError> {
    // Messages are bounded far below, and the semaphore is never closed.
    let bytes = u32::try_from(bytes).map_err(|_| FeedError::Ended)?;
    let taken = Arc::clone(room).acquire_many_owned(bytes).await;
    taken.map_err(|_| FeedError::Ended)
}

/// An epoch of which not all chunks have come.
struct Assembly {
    epoch: u64,
    record: Vec<u8>,
    delta: Vec<u8>,
}

impl Assembly {
    const fn new(epoch: u64) -> Self {
        Self {
            epoch,
            record: Vec::new(),
            delta: Vec::new(),
        }
    }

    /// Whether the chunk can be the next one, before anything of it is kept.
    fn check(&self, chunk: &EpochChunk) -> Result<(), FeedError> {
        if chunk.epoch != self.epoch {
            return Err(self.wrong("another epoch"));
        }
        let is_record_expected = self.record.is_empty();
        let lengths = match is_record_expected {
            true => EpochRecord::BYTES..=Record::BYTES_MAX,
            false => 0..=0,
        };
        if !lengths.contains(&chunk.record.len()) {
            return Err(self.wrong("no record first, or one later"));
        }
        // Otherwise a log could send chunks for ever.
        if chunk.delta_part.is_empty() && !chunk.last {
            return Err(self.wrong("an empty part"));
        }
        if self.delta.len() + chunk.delta_part.len() > DELTA_BYTES_MAX {
            return Err(self.wrong("a delta beyond the limit"));
        }
        Ok(())
    }

    /// Takes a chunk that was checked; record and delta, if it was the last.
    fn add(&mut self, chunk: EpochChunk) -> Result<Option<(Vec<u8>, AuditDelta)>, FeedError> {
        if self.record.is_empty() {
            self.record = chunk.record.into();
        }
        self.delta.extend_from_slice(&chunk.delta_part);
        if !chunk.last {
            return Ok(None);
        }
        let delta = AuditDelta::from_bytes(std::mem::take(&mut self.delta))
            .map_err(|_| self.wrong("a delta beyond the limit"))?;
        Ok(Some((std::mem::take(&mut self.record), delta)))
    }

    const fn wrong(&self, fault: &'static str) -> FeedError {
        FeedError::Protocol {
            epoch: self.epoch,
            fault,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const RECORD: usize = EpochRecord::BYTES;

    /// A part as long as the longest that a log sends.
    const PART: usize = 1 << 20;

    fn chunk(epoch: u64, record: usize, part: usize, last: bool) -> EpochChunk {
        EpochChunk {
            epoch,
            record: vec![1; record].into(),
            delta_part: vec![2; part].into(),
            last,
        }
    }

    fn epochs(chunks: Vec<EpochChunk>) -> Epochs {
        Epochs::read(tokio_stream::iter(chunks.into_iter().map(Ok)), 7)
    }

    #[tokio::test]
    async fn chunks_make_epochs_in_order() {
        let mut epochs = epochs(vec![
            chunk(7, RECORD, 3, false),
            chunk(7, 0, 4, true),
            chunk(8, RECORD, 5, true),
        ]);
        let mut deltas = Vec::new();
        while let Ok(group) = epochs.next().await {
            for epoch in group {
                assert_eq!(epoch.record, [1; RECORD]);
                deltas.push(epoch.delta.as_bytes().len());
            }
        }
        assert_eq!(deltas, [7, 5]);
    }

    #[tokio::test]
    async fn other_sequences_break_the_connection_behind_the_epochs_before() {
        for wrong in [
            vec![chunk(9, RECORD, 4, true)],
            vec![chunk(8, 0, 4, true)],
            vec![chunk(8, RECORD - 1, 4, true)],
            vec![chunk(8, RECORD, 4, false), chunk(8, RECORD, 4, true)],
            vec![chunk(8, RECORD, 0, false)],
            vec![
                chunk(8, RECORD, DELTA_BYTES_MAX, false),
                chunk(8, 0, 1, true),
            ],
        ] {
            let good = vec![chunk(7, RECORD, 4, true)];
            let mut epochs = epochs([good, wrong].concat());
            assert_eq!(epochs.next().await.unwrap().len(), 1);
            let broken = epochs.next().await.unwrap_err();
            assert!(matches!(broken, FeedError::Protocol { epoch: 8, .. }));
            assert!(matches!(epochs.next().await, Err(FeedError::Ended)));
        }
    }

    /// Reads an endless feed that nobody checks until it has to wait; how much it took.
    async fn taken_unchecked(part: usize, chunks_an_epoch: usize) -> (usize, Epochs) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let endless = (0..).map(move |at| {
            counted.fetch_add(part.max(1), Ordering::SeqCst);
            let (epoch, at) = (7 + at / chunks_an_epoch, at % chunks_an_epoch);
            let record = if at == 0 { RECORD } else { 0 };
            Ok(chunk(epoch as u64, record, part, at + 1 == chunks_an_epoch))
        });
        let epochs = Epochs::read(tokio_stream::iter(endless), 7);
        let mut before = usize::MAX;
        while taken.load(Ordering::SeqCst) != before {
            before = taken.load(Ordering::SeqCst);
            // One thread: whatever can go on does.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
        }
        (before, epochs)
    }

    #[tokio::test]
    async fn a_feed_that_nobody_checks_has_to_wait() {
        let (taken, mut epochs) = taken_unchecked(PART, 3).await;
        assert!(taken <= ROOM_BYTES + PART, "{taken}");
        assert!(taken > ROOM_BYTES - 4 * PART, "{taken}");
        // What is checked makes room, and nothing was lost.
        for number in 0..200 {
            let group = epochs.next().await.unwrap();
            assert!(!group.is_empty(), "{number}");
        }
        // Empty epochs are bounded by their number.
        let (taken, _epochs) = taken_unchecked(0, 1).await;
        assert!(taken <= WAITING_EPOCHS_MAX + 2, "{taken}");
    }

    #[tokio::test]
    async fn the_longest_epoch_fits_beside_others() {
        let parts = DELTA_BYTES_MAX / PART;
        let longest = |epoch| {
            (0..parts).map(move |at| {
                let record = if at == 0 { RECORD } else { 0 };
                chunk(epoch, record, PART, at + 1 == parts)
            })
        };
        let chunks = longest(7).chain(longest(8));
        let mut epochs = Epochs::read(tokio_stream::iter(chunks.map(Ok)), 7);
        for _ in 0..2 {
            let [epoch] = &epochs.next().await.unwrap()[..] else {
                unreachable!("one epoch is a group of its own")
            };
            assert_eq!(epoch.delta.as_bytes().len(), DELTA_BYTES_MAX);
        }
        assert!(matches!(epochs.next().await, Err(FeedError::Ended)));
    }
}
