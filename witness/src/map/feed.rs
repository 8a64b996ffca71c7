//! A connection to a log: its configuration, its head, its audit feed.

use std::future::Future;
use std::time::Duration;

use candor_core::note::{LogVerifier, SignedNote};
use candor_proto::v1::audit_client::AuditClient;
use candor_proto::v1::log_client::LogClient;
use candor_proto::v1::{GetConfigRequest, GetHeadRequest, StreamEpochsRequest};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::ahead::Epochs;
use crate::dial::{self, LogAddress, TokenFileError};

/// Longest message in bytes: a part of a delta is at most 1 MiB, the rest of it below 1 KiB.
const MESSAGE_BYTES_MAX: usize = (1 << 20) + 1024;

/// What may be under way unasked, in bytes: at 100 ms to the log and back, 40 MB a second.
const WINDOW_BYTES: u32 = 4 << 20;

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
    #[error(transparent)]
    Token(#[from] TokenFileError),
    #[error("the log answered {}: {}", .0.code(), .0.message())]
    Status(Box<tonic::Status>),
    #[error("no answer in time")]
    Timeout,
    #[error("the feed ended")]
    Ended,
    #[error("the feed does not keep to the protocol at epoch {epoch}: {fault}")]
    Protocol { epoch: u64, fault: &'static str },
}

impl FeedError {
    /// Whether the log's token is missing or no longer good: only the operator can mend that.
    pub fn is_of_token(&self) -> bool {
        match self {
            Self::Token(_) => true,
            Self::Status(status) => {
                matches!(
                    status.code(),
                    Code::Unauthenticated | Code::PermissionDenied
                )
            }
            _ => false,
        }
    }
}

impl From<tonic::Status> for FeedError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// A connection to a log.
pub struct Feed {
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Feed {
    pub async fn connect(address: &LogAddress) -> Result<Self, FeedError> {
        let token = address.token.as_deref();
        let authorization = token.map(dial::authorization).transpose()?;
        let endpoint = dial::endpoint(&address.uri)?
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self {
            channel: endpoint.connect().await?,
            authorization,
        })
    }

    /// The bytes of record 0.
    pub async fn config(&self) -> Result<Vec<u8>, FeedError> {
        let mut client = self.log_client();
        let answer = in_time(client.get_config(self.request(GetConfigRequest::default()))).await?;
        Ok(answer.config.into())
    }

    /// The size of the newest published head, if there is one and the log signed it.
    pub async fn head_size(&self, log: &LogVerifier) -> Result<Option<u64>, FeedError> {
        let mut client = self.log_client();
        let request = GetHeadRequest {
            post_quantum: true,
            ..GetHeadRequest::default()
        };
        let answer = in_time(client.get_head(self.request(request))).await?;
        let head = answer.head.unwrap_or_default();
        let note = SignedNote::parse(&head.checkpoint).ok();
        let checkpoint = note.and_then(|note| log.verify(&note).ok());
        Ok(checkpoint.map(|checkpoint| checkpoint.checkpoint().size()))
    }

    /// Every epoch from `first` on.
    pub async fn epochs(&self, first: u64) -> Result<Epochs, FeedError> {
        let mut client =
            AuditClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let answer = client.stream_epochs(self.request(StreamEpochsRequest {
            from_epoch: first,
            to_epoch: 0,
            follow: true,
        }));
        // No limit in time: a log may answer only when it has an epoch.
        Ok(Epochs::read(answer.await?.into_inner(), first))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization.clone());
        }
        request
    }

    fn log_client(&self) -> LogClient<Channel> {
        LogClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

async fn in_time<T>(
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, FeedError> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
    Ok(answer.map_err(|_| FeedError::Timeout)??.into_inner())
}
