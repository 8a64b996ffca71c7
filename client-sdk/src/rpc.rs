//! Calls of the server, and what their failures mean. Nothing here believes an answer.

use std::future::Future;
use std::time::Duration;

use candor_core::Hash;
use candor_proto::hashes_from_wire;
use candor_proto::v1::audit_client::AuditClient;
use candor_proto::v1::directory_client::DirectoryClient;
use candor_proto::v1::log_client::LogClient;
use candor_proto::v1::registrar_client::RegistrarClient;
use candor_proto::v1::{
    EpochChunk, GetConfigRequest, GetConfigResponse, GetConsistencyRequest, GetHeadRequest,
    GetHeadResponse, LookupBatchRequest, LookupBatchResponse, LookupRequest, LookupResponse, Query,
    StreamEpochsRequest, SubmitUpdateRequest, SubmitUpdateResponse, WatchHeadsRequest,
};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::config::ClientConfig;
use crate::error::Error;
use crate::heads::Verified;

/// The server, as a client reaches it.
#[derive(Clone)]
pub(crate) struct Rpc {
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
    timeout: Duration,
    submit_timeout: Duration,
    limit_bytes: usize,
    post_quantum: bool,
}

impl Rpc {
    /// Prepares the connection, which is made at the first call.
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, Error> {
        let endpoint = config.connection()?;
        Ok(Self {
            channel: endpoint.connect_lazy(),
            authorization: config.authorization.clone(),
            timeout: config.timeout,
            submit_timeout: config.submit_timeout,
            limit_bytes: config.response_bytes_max,
            post_quantum: config.needs_post_quantum(),
        })
    }

    pub(crate) async fn lookup(
        &self,
        query: Query,
        verified: Verified,
    ) -> Result<LookupResponse, Error> {
        let request = LookupRequest {
            query: Some(query),
            verified_size: verified.size,
            post_quantum: self.post_quantum,
            second_verified_size: verified.second_size,
        };
        self.call(self.timeout, self.directory().lookup(self.request(request)))
            .await
    }

    pub(crate) async fn lookup_batch(
        &self,
        queries: Vec<Query>,
        verified: Verified,
    ) -> Result<LookupBatchResponse, Error> {
        let request = LookupBatchRequest {
            queries,
            verified_size: verified.size,
            post_quantum: self.post_quantum,
            second_verified_size: verified.second_size,
        };
        self.call(
            self.timeout,
            self.directory().lookup_batch(self.request(request)),
        )
        .await
    }

    pub(crate) async fn head(&self, verified: Verified) -> Result<GetHeadResponse, Error> {
        let request = GetHeadRequest {
            verified_size: verified.size,
            post_quantum: self.post_quantum,
            second_verified_size: verified.second_size,
        };
        self.call(self.timeout, self.log().get_head(self.request(request)))
            .await
    }

    pub(crate) async fn watch_heads(
        &self,
        verified: Verified,
    ) -> Result<Streaming<GetHeadResponse>, Error> {
        let request = WatchHeadsRequest {
            post_quantum: self.post_quantum,
            second_verified_size: verified.second_size,
        };
        self.call(self.timeout, self.log().watch_heads(self.request(request)))
            .await
    }

    pub(crate) async fn consistency(
        &self,
        old_size: u64,
        new_size: u64,
    ) -> Result<Vec<Hash>, Error> {
        let request = GetConsistencyRequest { old_size, new_size };
        let response = self
            .call(
                self.timeout,
                self.log().get_consistency(self.request(request)),
            )
            .await?;
        Ok(hashes_from_wire(&response.consistency)?)
    }

    pub(crate) async fn config(&self, size: u64) -> Result<GetConfigResponse, Error> {
        let request = GetConfigRequest { size };
        self.call(self.timeout, self.log().get_config(self.request(request)))
            .await
    }

    pub(crate) async fn submit(
        &self,
        update: SubmitUpdateRequest,
    ) -> Result<SubmitUpdateResponse, Error> {
        let request = self.request(update);
        let mut client =
            RegistrarClient::new(self.channel.clone()).max_decoding_message_size(self.limit_bytes);
        let response = self.call(self.submit_timeout, client.submit_update(request));
        response.await.map_err(|error| match error {
            // How the server says that it does not know itself.
            Error::ServerFailed {
                code: Code::Unknown,
            } => Error::OutcomeUnknown,
            error => error,
        })
    }

    /// The epochs from `from_epoch` to `to_epoch`, both included.
    pub(crate) async fn epochs(
        &self,
        from_epoch: u64,
        to_epoch: u64,
    ) -> Result<Streaming<EpochChunk>, Error> {
        let request = StreamEpochsRequest {
            from_epoch,
            to_epoch,
            follow: false,
        };
        let mut client =
            AuditClient::new(self.channel.clone()).max_decoding_message_size(self.limit_bytes);
        self.call(self.timeout, client.stream_epochs(self.request(request)))
            .await
    }

    /// The next message of a stream, however long it takes to come.
    pub(crate) async fn next<T>(&self, stream: &mut Streaming<T>) -> Result<Option<T>, Error> {
        stream
            .message()
            .await
            .map_err(|status| self.failure(status))
    }

    /// The next message of a stream that has no reason to pause.
    pub(crate) async fn next_in_time<T>(
        &self,
        stream: &mut Streaming<T>,
    ) -> Result<Option<T>, Error> {
        let next = tokio::time::timeout(self.timeout, self.next(stream));
        next.await.unwrap_or(Err(Error::Timeout))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization.clone());
        }
        request
    }

    fn directory(&self) -> DirectoryClient<Channel> {
        DirectoryClient::new(self.channel.clone()).max_decoding_message_size(self.limit_bytes)
    }

    fn log(&self) -> LogClient<Channel> {
        LogClient::new(self.channel.clone()).max_decoding_message_size(self.limit_bytes)
    }

    async fn call<T>(
        &self,
        timeout: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failure(status)),
            Err(_) => Err(Error::Timeout),
        }
    }

    fn failure(&self, status: Status) -> Error {
        match status.code() {
            Code::Unavailable => Error::Unreachable(Box::new(status)),
            Code::DeadlineExceeded => Error::Timeout,
            Code::ResourceExhausted => Error::Overloaded,
            Code::Unimplemented => Error::Unsupported,
            Code::Unauthenticated | Code::PermissionDenied => Error::Unauthorized,
            // What the transport says of a message above the limit, and the server of an answer
            // that would be too large.
            Code::OutOfRange => Error::ResponseTooLarge {
                limit_bytes: self.limit_bytes,
            },
            // The published log does not reach where the device asks: the server is behind.
            code @ Code::FailedPrecondition => Error::ServerFailed { code },
            code @ (Code::InvalidArgument | Code::NotFound | Code::AlreadyExists) => {
                Error::Rejected { code }
            }
            // A status that comes from below the protocol has its cause with it.
            _ if std::error::Error::source(&status).is_some() => {
                Error::Unreachable(Box::new(status))
            }
            code => Error::ServerFailed { code },
        }
    }
}
