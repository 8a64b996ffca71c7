//! A server that lies: it passes lookups on to an honest one and changes the answers.

use std::net::SocketAddr;
use std::sync::Arc;

use candor_proto::v1::directory_client::DirectoryClient;
use candor_proto::v1::directory_server::{Directory, DirectoryServer};
use candor_proto::v1::log_client::LogClient;
use candor_proto::v1::log_server::{Log, LogServer};
use candor_proto::v1::{
    GetConfigRequest, GetConfigResponse, GetConsistencyRequest, GetConsistencyResponse,
    GetHeadRequest, GetHeadResponse, LookupBatchRequest, LookupBatchResponse, LookupRequest,
    LookupResponse, WatchHeadsRequest,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming, async_trait};

use candor_system::Result;

/// Changes an answer before the device sees it.
pub type Lie = Arc<dyn Fn(&mut LookupResponse) + Send + Sync>;

/// The lying server.
#[derive(Clone)]
struct Relay {
    directory: DirectoryClient<Channel>,
    log: LogClient<Channel>,
    lie: Lie,
}

/// Starts a server on loopback that passes everything on to `honest`, and tells `lie` with every
/// lookup. It runs as long as the process.
///
/// # Errors
///
/// When it cannot be started.
pub async fn start(honest: &str, lie: Lie) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let relay = Relay {
        directory: DirectoryClient::connect(honest.to_owned()).await?,
        log: LogClient::connect(honest.to_owned()).await?,
        lie,
    };
    let server = Server::builder()
        .add_service(DirectoryServer::new(relay.clone()))
        .add_service(LogServer::new(relay));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Ok(address)
}

#[async_trait]
impl Directory for Relay {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> std::result::Result<Response<LookupResponse>, Status> {
        let mut answer = self.directory.clone().lookup(request.into_inner()).await?;
        (self.lie)(answer.get_mut());
        Ok(answer)
    }

    async fn lookup_batch(
        &self,
        request: Request<LookupBatchRequest>,
    ) -> std::result::Result<Response<LookupBatchResponse>, Status> {
        self.directory
            .clone()
            .lookup_batch(request.into_inner())
            .await
    }
}

#[async_trait]
impl Log for Relay {
    async fn get_head(
        &self,
        request: Request<GetHeadRequest>,
    ) -> std::result::Result<Response<GetHeadResponse>, Status> {
        self.log.clone().get_head(request.into_inner()).await
    }

    type WatchHeadsStream = Streaming<GetHeadResponse>;

    async fn watch_heads(
        &self,
        request: Request<WatchHeadsRequest>,
    ) -> std::result::Result<Response<Self::WatchHeadsStream>, Status> {
        self.log.clone().watch_heads(request.into_inner()).await
    }

    async fn get_consistency(
        &self,
        request: Request<GetConsistencyRequest>,
    ) -> std::result::Result<Response<GetConsistencyResponse>, Status> {
        self.log.clone().get_consistency(request.into_inner()).await
    }

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> std::result::Result<Response<GetConfigResponse>, Status> {
        self.log.clone().get_config(request.into_inner()).await
    }
}
