//! What an empty unary call costs a tonic server: the measure for what a lookup may cost.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;

use candor_benches::process::thread_time;
use candor_proto::Bytes;
use candor_proto::v1;
use candor_proto::v1::directory_client::DirectoryClient;
use candor_proto::v1::directory_server::{Directory, DirectoryServer};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

const RESPONSE_BYTES: usize = 2048;
const CONNECTIONS: usize = 4;
const CALLS_IN_FLIGHT: usize = 16;
const CALLS: usize = 400;

/// Answers at once, with bytes that are there already.
struct Empty(Bytes);

#[tonic::async_trait]
impl Directory for Empty {
    async fn lookup(
        &self,
        _request: Request<v1::LookupRequest>,
    ) -> Result<Response<v1::LookupResponse>, Status> {
        Ok(Response::new(v1::LookupResponse {
            account: self.0.clone(),
            ..v1::LookupResponse::default()
        }))
    }

    async fn lookup_batch(
        &self,
        _request: Request<v1::LookupBatchRequest>,
    ) -> Result<Response<v1::LookupBatchResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

/// Time on the processor of the serving thread, in seconds a call. Client and server have a thread
/// each, and talk over loopback without TLS.
pub fn empty_call() -> f64 {
    let (listening, address) = mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let server = std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(listening, stopped))
    });
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(call(address.recv().unwrap()));
    stop.send(()).unwrap();
    server.join().unwrap() / (CONNECTIONS * CALLS_IN_FLIGHT * CALLS) as f64
}

/// Serves until told to stop; answers the time that it took.
async fn serve(listening: mpsc::Sender<SocketAddr>, stopped: oneshot::Receiver<()>) -> f64 {
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    listening.send(incoming.local_addr().unwrap()).unwrap();
    let empty = Empty(vec![7; RESPONSE_BYTES].into());
    let started = thread_time();
    Server::builder()
        .add_service(DirectoryServer::new(empty))
        .serve_with_incoming_shutdown(incoming.with_nodelay(Some(true)), async {
            let _ended = stopped.await;
        })
        .await
        .unwrap();
    (thread_time() - started).as_secs_f64()
}

async fn call(address: SocketAddr) {
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = DirectoryClient::connect(format!("http://{address}"))
            .await
            .unwrap();
        for _ in 0..CALLS_IN_FLIGHT {
            let mut client = client.clone();
            callers.spawn(async move {
                for _ in 0..CALLS {
                    // 64 bytes as a message: a label of 60 in two fields' frames.
                    let query = v1::Query {
                        label: "x".repeat(60),
                        ..v1::Query::default()
                    };
                    let request = v1::LookupRequest {
                        query: Some(query),
                        ..v1::LookupRequest::default()
                    };
                    let response = client.lookup(request).await.unwrap().into_inner();
                    assert_eq!(response.account.len(), RESPONSE_BYTES);
                }
            });
        }
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
}
