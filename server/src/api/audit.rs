//! `candor.v1.Audit`: the feed of epochs for witnesses and auditors.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::time::Duration;

use candor_proto::Bytes;
use candor_proto::v1::audit_server::Audit;
use candor_proto::v1::{EpochChunk, StreamEpochsRequest};
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

use super::Service;
use crate::limits::Class;
use crate::metrics::reads::StreamKind;

/// Longest part of a delta in one message, in bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// How long a reader may take to make room for a message.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that wait for a slow reader, beside the one that is on its way to him. Each keeps the
/// whole delta that it is a part of.
const CHUNKS_AHEAD: usize = 1;

#[async_trait]
impl Audit for Service {
    type StreamEpochsStream = Pin<Box<dyn Stream<Item = Result<EpochChunk, Status>> + Send>>;

    async fn stream_epochs(
        &self,
        request: Request<StreamEpochsRequest>,
    ) -> Result<Response<Self::StreamEpochsStream>, Status> {
        let client = self.pass(&request)?;
        let place = self.limits.feed(&client)?;
        let StreamEpochsRequest {
            from_epoch,
            to_epoch,
            follow,
        } = request.into_inner();
        if from_epoch == 0 {
            return Err(Status::invalid_argument(
                "epochs begin at 1; record 0 is GetConfig's",
            ));
        }
        let newest = self.signed.borrow().as_ref().map_or(0, |head| head.epoch());
        let to_epoch = match (follow, to_epoch) {
            (true, _) => u64::MAX,
            (false, 0) => newest,
            (false, to_epoch) => to_epoch.min(newest),
        };
        let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
        tokio::spawn(feed(self.clone(), from_epoch, to_epoch, chunks));
        // The place goes with what the reader has not read yet, not with who writes it.
        let stream = ReceiverStream::new(stream).map(move |chunk| {
            let _held = &place;
            chunk
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

type Chunks = mpsc::Sender<Result<EpochChunk, Status>>;

/// Sends epochs in order, waiting for those that are not signed yet, until the reader is gone.
async fn feed(service: Service, mut epoch: u64, to_epoch: u64, chunks: Chunks) {
    let mut signed = service.signed.clone();
    let _open = service.metrics.reads.stream(StreamKind::Audit);
    while epoch <= to_epoch {
        let is_signed = signed.wait_for(|head| head.as_ref().is_some_and(|h| h.size > epoch));
        tokio::select! {
            () = service.shutdown.cancelled() => return,
            () = chunks.closed() => return,
            signed = is_signed => if signed.is_err() { return },
        }
        // A place is held while an epoch is in memory: waiting for the next one takes none.
        let _place = tokio::select! {
            () = service.shutdown.cancelled() => return,
            () = chunks.closed() => return,
            place = service.feeds.acquire() => place.expect("the semaphore is never closed"),
        };
        let rows = service
            .read_in(Class::Feed, move |this| {
                Ok((this.ledger.record(epoch)?, this.ledger.delta(epoch)?))
            })
            .await;
        let sent = match rows {
            Ok((record, delta)) => {
                let bytes = record.len() + delta.len();
                let sent = send(epoch, record, delta, &chunks).await;
                if sent.is_continue() {
                    service.metrics.reads.epoch_sent(bytes);
                }
                sent
            }
            Err(status) => {
                let _gone = chunks.send(Err(status)).await;
                ControlFlow::Break(())
            }
        };
        if sent.is_break() {
            return;
        }
        epoch += 1;
    }
}

async fn send(epoch: u64, record: Vec<u8>, delta: Vec<u8>, chunks: &Chunks) -> ControlFlow<()> {
    let delta = Bytes::from(delta);
    let mut record = Bytes::from(record);
    let mut start = 0;
    loop {
        let end = delta.len().min(start + CHUNK_BYTES);
        let last = end == delta.len();
        let record = std::mem::take(&mut record);
        let chunk = EpochChunk {
            epoch,
            record,
            delta_part: delta.slice(start..end),
            last,
        };
        let sent = tokio::time::timeout(CHUNK_TIMEOUT, chunks.send(Ok(chunk))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return ControlFlow::Break(());
        }
        if last {
            return ControlFlow::Continue(());
        }
        start = end;
    }
}
