//! A map witness that is far behind, and the feed that it catches up from, over loopback. The log
//! serves in the same process: what it takes is in the figures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use candor_benches::report::{Report, Samples};
use candor_benches::{Tree, leaves};
use candor_core::crypto::Ed25519SecretKey;
use candor_core::epoch::{EpochRecord, LogConfig};
use candor_core::map::AuditDelta;
use candor_core::note::{KeyName, LogVerifier, VerifierKey};
use candor_proto::Bytes;
use candor_proto::v1::audit_server::{Audit, AuditServer};
use candor_proto::v1::log_server::{Log, LogServer};
use candor_proto::v1::*;
use candor_witness::map::{Follower, Turns};
use candor_witness::metrics::Metrics;
use candor_witness::store::{self, Paths, Store};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::{Pending, Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

const ORIGIN: &str = "log.example";

/// Epochs, and versions in each.
const LOGS: [(u64, u64); 2] = [(10_000, 10), (200, 5_000)];

/// Longest part of a delta in one message, as logs send it.
const PART_BYTES: usize = 1 << 20;

/// Measures a witness that begins with an empty map.
pub fn measure(runs: usize, report: &mut Report) {
    for (epochs, versions) in LOGS {
        let feed = Feed::new(epochs, versions);
        let mut rates = Samples::default();
        for _ in 0..runs {
            let seconds = Runtime::new().unwrap().block_on(catch_up(&feed));
            rates.0.push(epochs as f64 / seconds);
        }
        let inserted = Samples(rates.0.iter().map(|rate| rate * versions as f64).collect());
        let name = |unit| format!("catching up, epochs of {versions}: {unit}");
        report.note(&name("epochs checked"), epochs, "1/s", &rates);
        report.note(&name("versions checked"), epochs, "1/s", &inserted);
    }
}

/// The seconds from the start of the follower until it has checked everything.
async fn catch_up(feed: &Feed) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(feed.clone(), listener, stop.clone()));

    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let paths = Paths::new(directory.path(), None);
    store::create(&paths).unwrap();
    let metrics = Metrics::default();
    let (store, writer) = Store::open(&paths, &metrics, CancellationToken::new()).unwrap();
    let begin = Instant::now();
    let (follower, roots) =
        Follower::new(verifier(), uri(address), store, metrics, Turns::default());
    let following = tokio::spawn(follower.run(stop.clone()));
    let last = feed.records.len() as u64;
    while roots.size() < last {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    stop.cancel();
    following.await.unwrap();
    serving.await.unwrap();
    writer.join().unwrap().unwrap();
    seconds
}

fn uri(address: SocketAddr) -> tonic::transport::Uri {
    format!("http://{address}").parse().unwrap()
}

fn verifier() -> LogVerifier {
    let key = Ed25519SecretKey::from_seed(&[1; 32]).public_key();
    let key = VerifierKey::ed25519(KeyName::new(ORIGIN).unwrap(), key);
    LogVerifier::new(ORIGIN, vec![key])
}

async fn serve(feed: Feed, listener: TcpListener, stop: CancellationToken) {
    Server::builder()
        .add_service(LogServer::new(feed.clone()))
        .add_service(AuditServer::new(feed))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.cancelled_owned())
        .await
        .unwrap();
}

/// A log's records, and the deltas of all but the first.
#[derive(Clone)]
struct Feed {
    records: Arc<Vec<Bytes>>,
    deltas: Arc<Vec<Bytes>>,
}

impl Feed {
    fn new(epochs: u64, versions: u64) -> Self {
        let config = LogConfig {
            origin: ORIGIN.to_owned(),
            vrf_public_key: [1; 32],
            created_ms: 0,
        };
        let mut tree = Tree::over(&[]);
        let mut records = vec![config.encode().into()];
        let mut deltas = Vec::new();
        for epoch in 1..=epochs {
            let inserts = leaves((epoch - 1) * versions..epoch * versions);
            let Ok(delta) = AuditDelta::build(&&tree, &inserts);
            tree.insert(&inserts);
            let record = EpochRecord {
                timestamp_ms: epoch,
                prefix_tree: tree.root(),
                leaves: epoch * versions,
                audit_digest: delta.digest(),
            };
            records.push(record.encode().into());
            deltas.push(delta.into_bytes().into());
        }
        Self {
            records: Arc::new(records),
            deltas: Arc::new(deltas),
        }
    }

    fn chunks(self, epoch: u64) -> impl Iterator<Item = Result<EpochChunk, Status>> {
        let index = usize::try_from(epoch).unwrap();
        let (record, delta) = (self.records[index].clone(), self.deltas[index - 1].clone());
        let starts = (0..delta.len().max(1)).step_by(PART_BYTES);
        starts.map(move |start| {
            let end = delta.len().min(start + PART_BYTES);
            let record = if start == 0 {
                record.clone()
            } else {
                Bytes::new()
            };
            Ok(EpochChunk {
                epoch,
                record,
                delta_part: delta.slice(start..end),
                last: end == delta.len(),
            })
        })
    }
}

type Answers<T> = Box<dyn Stream<Item = Result<T, Status>> + Send + Unpin>;

#[tonic::async_trait]
impl Audit for Feed {
    type StreamEpochsStream = Answers<EpochChunk>;

    async fn stream_epochs(
        &self,
        request: Request<StreamEpochsRequest>,
    ) -> Result<Response<Self::StreamEpochsStream>, Status> {
        let feed = self.clone();
        let epochs = request.into_inner().from_epoch..self.records.len() as u64;
        let chunks = epochs.flat_map(move |epoch| feed.clone().chunks(epoch));
        // The follower leaves when it has enough.
        let chunks = tokio_stream::iter(chunks).chain(tokio_stream::pending());
        Ok(Response::new(Box::new(chunks)))
    }
}

#[tonic::async_trait]
impl Log for Feed {
    type WatchHeadsStream = Pending<Result<GetHeadResponse, Status>>;

    async fn get_config(
        &self,
        _: Request<GetConfigRequest>,
    ) -> Result<Response<GetConfigResponse>, Status> {
        Ok(Response::new(GetConfigResponse {
            config: self.records[0].clone(),
            ..GetConfigResponse::default()
        }))
    }

    async fn get_head(
        &self,
        _: Request<GetHeadRequest>,
    ) -> Result<Response<GetHeadResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn watch_heads(
        &self,
        _: Request<WatchHeadsRequest>,
    ) -> Result<Response<Self::WatchHeadsStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn get_consistency(
        &self,
        _: Request<GetConsistencyRequest>,
    ) -> Result<Response<GetConsistencyResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}
