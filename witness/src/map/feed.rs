//! The audit feed of a log over gRPC, epoch by epoch.

use std::time::Duration;

use candor_core::epoch::EpochRecord;
use candor_core::limits::DELTA_BYTES_MAX;
use candor_core::map::AuditDelta;
use candor_proto::v1::audit_client::AuditClient;
use candor_proto::v1::log_client::LogClient;
use candor_proto::v1::{EpochChunk, GetConfigRequest, StreamEpochsRequest};
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint, Uri};

/// Longest message in bytes: a part of a delta is at most 1 MiB, the rest of it below 1 KiB.
const MESSAGE_BYTES_MAX: usize = (1 << 20) + 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take to begin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A feed is silent between epochs; a peer that is gone is noticed by pings.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a feed broke. It accuses nobody and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("no connection: {0}")]
    Connect(#[from] tonic::transport::Error),
    #[error("the log answered {}: {}", .0.code(), .0.message())]
    Status(Box<tonic::Status>),
    #[error("no answer in time")]
    Timeout,
    #[error("the feed ended")]
    Ended,
    #[error("the feed does not keep to the protocol at epoch {epoch}: {fault}")]
    Protocol { epoch: u64, fault: &'static str },
}

impl From<tonic::Status> for FeedError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// A connection to a log.
pub struct Feed(Channel);

/// An epoch as received.
pub struct Epoch {
    pub record: Vec<u8>,
    pub delta: AuditDelta,
}

impl Feed {
    pub async fn connect(address: Uri) -> Result<Self, FeedError> {
        let endpoint = Endpoint::from(address)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self(endpoint.connect().await?))
    }

    /// The bytes of record 0.
    pub async fn config(&self) -> Result<Vec<u8>, FeedError> {
        let mut client =
            LogClient::new(self.0.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let answer = client.get_config(GetConfigRequest::default());
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
        Ok(answer
            .map_err(|_| FeedError::Timeout)??
            .into_inner()
            .config
            .into())
    }

    /// Every epoch from `first` on.
    pub async fn epochs(&self, first: u64) -> Result<Epochs, FeedError> {
        let mut client =
            AuditClient::new(self.0.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let answer = client.stream_epochs(StreamEpochsRequest {
            from_epoch: first,
            to_epoch: 0,
            follow: true,
        });
        // No limit in time: a log may answer only when it has an epoch.
        let chunks = answer.await?.into_inner();
        Ok(Epochs {
            chunks,
            next: first,
        })
    }
}

/// Epochs in order.
pub struct Epochs {
    chunks: Streaming<EpochChunk>,
    next: u64,
}

impl Epochs {
    /// Waits for the next epoch.
    pub async fn next(&mut self) -> Result<Epoch, FeedError> {
        let mut assembly = Assembly::new(self.next);
        loop {
            let chunk = self.chunks.message().await?.ok_or(FeedError::Ended)?;
            if let Some(epoch) = assembly.add(chunk)? {
                self.next += 1;
                return Ok(epoch);
            }
        }
    }
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

    /// Takes the next chunk; the epoch, if it was the last.
    fn add(&mut self, chunk: EpochChunk) -> Result<Option<Epoch>, FeedError> {
        let epoch = self.epoch;
        let wrong = |fault| FeedError::Protocol { epoch, fault };
        if chunk.epoch != epoch {
            return Err(wrong("another epoch"));
        }
        match (self.record.is_empty(), chunk.record.len()) {
            (true, EpochRecord::BYTES) => self.record = chunk.record.into(),
            (false, 0) => {}
            _ => return Err(wrong("no record first, or one later")),
        }
        // Otherwise a log could send chunks for ever.
        if chunk.delta_part.is_empty() && !chunk.last {
            return Err(wrong("an empty part"));
        }
        if self.delta.len() + chunk.delta_part.len() > DELTA_BYTES_MAX {
            return Err(wrong("a delta beyond the limit"));
        }
        self.delta.extend_from_slice(&chunk.delta_part);
        if !chunk.last {
            return Ok(None);
        }
        let delta = AuditDelta::from_bytes(std::mem::take(&mut self.delta))
            .map_err(|_| wrong("a delta beyond the limit"))?;
        Ok(Some(Epoch {
            record: std::mem::take(&mut self.record),
            delta,
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn chunk(record: usize, part: usize, last: bool) -> EpochChunk {
        EpochChunk {
            epoch: 7,
            record: vec![1; record].into(),
            delta_part: vec![2; part].into(),
            last,
        }
    }

    /// Whether the chunks make an epoch; `None` if more are needed.
    fn assemble(chunks: Vec<EpochChunk>) -> Result<Option<Epoch>, FeedError> {
        let mut assembly = Assembly::new(7);
        for chunk in chunks {
            if let Some(epoch) = assembly.add(chunk)? {
                return Ok(Some(epoch));
            }
        }
        Ok(None)
    }

    const RECORD: usize = EpochRecord::BYTES;

    #[test]
    fn chunks_make_an_epoch() {
        let epoch = assemble(vec![chunk(RECORD, 3, false), chunk(0, 4, true)]);
        let epoch = epoch.unwrap().unwrap();
        assert_eq!(epoch.record, [1; RECORD]);
        assert_eq!(epoch.delta.as_bytes(), [2; 7]);
        assert!(assemble(vec![chunk(RECORD, 4, true)]).unwrap().is_some());
        assert!(assemble(vec![chunk(RECORD, 4, false)]).unwrap().is_none());
    }

    #[test]
    fn other_sequences_break_the_connection() {
        let other_epoch = EpochChunk {
            epoch: 8,
            ..chunk(RECORD, 4, true)
        };
        for chunks in [
            vec![other_epoch],
            vec![chunk(0, 4, true)],
            vec![chunk(RECORD - 1, 4, true)],
            vec![chunk(RECORD, 4, false), chunk(RECORD, 4, true)],
            vec![chunk(RECORD, 0, false)],
            vec![chunk(RECORD, DELTA_BYTES_MAX, false), chunk(0, 1, true)],
        ] {
            assert!(matches!(assemble(chunks), Err(FeedError::Protocol { .. })));
        }
    }
}
