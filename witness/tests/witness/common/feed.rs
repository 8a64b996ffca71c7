//! A log of Candor that serves its audit feed: epochs made with core, honest or tampered with.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use candor_core::Hash;
use candor_core::crypto::{Commitment, SearchKey};
use candor_core::epoch::{EpochRecord, LogConfig};
use candor_core::log::{Frontier, NodeSource, leaf_hash, node_hash, prove_consistency};
use candor_core::map::{AuditDelta, Leaf, Leaves};
use candor_core::note::AddCheckpoint;
use candor_proto::v1::audit_server::{Audit, AuditServer};
use candor_proto::v1::log_server::{Log, LogServer};
use candor_proto::v1::*;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::{ORIGIN, log_key, signed};

/// Records 0 to n, and the deltas of 1 to n.
#[derive(Clone)]
pub struct Epochs {
    records: Vec<Vec<u8>>,
    deltas: Vec<Vec<u8>>,
}

impl Epochs {
    pub fn honest(count: u64) -> Self {
        Self::new(count, 0)
    }

    /// Another history of the same log, right from the first epoch.
    pub fn other(count: u64) -> Self {
        Self::new(count, 1)
    }

    /// Many epochs, of which few insert: quickly made.
    pub fn many(count: u64) -> Self {
        Self::with(count, 0, |epoch| epoch.is_multiple_of(100))
    }

    /// Each epoch inserts three leaves, the second one none.
    fn new(count: u64, history: u8) -> Self {
        Self::with(count, history, |epoch| epoch != 2)
    }

    fn with(count: u64, history: u8, inserts_any: impl Fn(u64) -> bool) -> Self {
        let config = LogConfig {
            origin: ORIGIN.to_owned(),
            vrf_public_key: [7; 32],
            created_ms: 1,
        };
        let mut records = vec![config.encode()];
        let mut deltas = vec![];
        let mut leaves: Vec<Leaf> = vec![];
        let mut prefix_tree = Leaves::root(&leaves).subtree_hash();
        for epoch in 1..=count {
            let key = |at: u8| leaf_hash(&[&[history, at], &epoch.to_be_bytes()[..]].concat());
            let leaf = |at| Leaf {
                key: SearchKey(key(at).0),
                commitment: Commitment([epoch as u8; 32]),
            };
            let inserted = if inserts_any(epoch) { 0..3 } else { 0..0 };
            let mut inserts: Vec<Leaf> = inserted.map(leaf).collect();
            inserts.sort_by_key(|leaf| leaf.key);
            let delta = AuditDelta::build(&Leaves::root(&leaves), &inserts).unwrap();
            if !inserts.is_empty() {
                leaves.extend(&inserts);
                leaves.sort_by_key(|leaf| leaf.key);
                prefix_tree = Leaves::root(&leaves).subtree_hash();
            }
            let record = EpochRecord {
                timestamp_ms: 1000 * epoch,
                prefix_tree,
                leaves: leaves.len() as u64,
                audit_digest: delta.digest(),
            };
            records.push(record.encode());
            deltas.push(delta.into_bytes());
        }
        Self { records, deltas }
    }

    /// Changes one commitment in an epoch's delta.
    pub fn tamper_with(&mut self, epoch: usize) {
        self.deltas[epoch - 1][4 + 32] ^= 1;
    }

    /// How many entries the log has.
    pub fn size(&self) -> u64 {
        self.records.len() as u64
    }

    /// Makes an epoch longer than one message may be.
    pub fn make_oversize(&mut self, epoch: usize) {
        self.deltas[epoch - 1] = vec![0; 8 << 20];
    }

    fn root(&self, size: u64) -> Hash {
        let mut frontier = Frontier::new();
        for record in &self.records[..size as usize] {
            frontier.append(leaf_hash(record)).unwrap();
        }
        frontier.root()
    }

    /// A request about the log's first `new` records, signed by the log.
    pub fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        AddCheckpoint {
            old_size: old,
            proof: prove_consistency(old, new, self).unwrap(),
            note: signed(log_key(1), ORIGIN, new, self.root(new)),
        }
    }
}

impl NodeSource for Epochs {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        if level == 0 {
            return Ok(leaf_hash(&self.records[index as usize]));
        }
        let left = self.node(level - 1, 2 * index)?;
        Ok(node_hash(&left, &self.node(level - 1, 2 * index + 1)?))
    }
}

/// Serves epochs up to the newest signed one.
#[derive(Clone)]
struct Service {
    epochs: Arc<Epochs>,
    signed: watch::Receiver<u64>,
    /// The last epoch that it sends, whatever it signed.
    held_back: watch::Receiver<u64>,
    asked: Arc<Mutex<Vec<u64>>>,
    /// What calls must show, if anything.
    token: Arc<Mutex<Option<String>>>,
    shutdown: CancellationToken,
}

impl Service {
    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let Some(token) = self.token.lock().unwrap().clone() else {
            return Ok(());
        };
        let shown = request.metadata().get("authorization");
        match shown.is_some_and(|shown| shown == format!("Bearer {token}").as_str()) {
            true => Ok(()),
            false => Err(Status::unauthenticated("another token")),
        }
    }
}

pub struct FakeLog {
    address: SocketAddr,
    signed: watch::Sender<u64>,
    held_back: watch::Sender<u64>,
    asked: Arc<Mutex<Vec<u64>>>,
    token: Arc<Mutex<Option<String>>>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl FakeLog {
    pub async fn start(epochs: Epochs) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (signed, receiver) = watch::channel(0);
        let (held_back, last) = watch::channel(u64::MAX);
        let (asked, shutdown) = (Arc::default(), CancellationToken::new());
        let token = Arc::default();
        let service = Service {
            epochs: Arc::new(epochs),
            signed: receiver,
            held_back: last,
            asked: Arc::clone(&asked),
            token: Arc::clone(&token),
            shutdown: shutdown.clone(),
        };
        let serving = Server::builder()
            .add_service(LogServer::new(service.clone()))
            .add_service(AuditServer::new(service))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener),
                shutdown.clone().cancelled_owned(),
            );
        Self {
            address,
            signed,
            held_back,
            asked,
            token,
            shutdown,
            task: tokio::spawn(async move { serving.await.unwrap() }),
        }
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn sign_up_to(&self, epoch: u64) {
        self.signed.send_replace(epoch);
    }

    /// From now on calls must show this token.
    pub fn want_token(&self, token: &str) {
        *self.token.lock().unwrap() = Some(token.to_owned());
    }

    /// Sends no epoch behind this one, though it signed more.
    pub fn hold_back_after(&self, epoch: u64) {
        self.held_back.send_replace(epoch);
    }

    /// From where each follower asked for epochs.
    pub fn first_epochs_asked(&self) -> Vec<u64> {
        self.asked.lock().unwrap().clone()
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

type Chunks = Pin<Box<dyn Stream<Item = Result<EpochChunk, Status>> + Send>>;

#[tonic::async_trait]
impl Audit for Service {
    type StreamEpochsStream = Chunks;

    async fn stream_epochs(
        &self,
        request: Request<StreamEpochsRequest>,
    ) -> Result<Response<Chunks>, Status> {
        self.check(&request)?;
        let first = request.into_inner().from_epoch;
        self.asked.lock().unwrap().push(first);
        let mut service = self.clone();
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            let sending = async {
                for epoch in first..service.epochs.records.len() as u64 {
                    service
                        .signed
                        .wait_for(|signed| *signed >= epoch)
                        .await
                        .unwrap();
                    let sent = service.held_back.wait_for(|last| epoch <= *last);
                    sent.await.unwrap();
                    for chunk in chunks(&service.epochs, epoch) {
                        if sender.send(Ok(chunk)).await.is_err() {
                            return;
                        }
                    }
                }
                std::future::pending().await
            };
            // The feed follows until the log stops, whose streams would hold it up otherwise.
            tokio::select! {
                () = sending => {}
                () = service.shutdown.cancelled() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// An epoch in two chunks.
fn chunks(epochs: &Epochs, epoch: u64) -> [EpochChunk; 2] {
    let delta = &epochs.deltas[epoch as usize - 1];
    let (front, back) = delta.split_at(delta.len() / 2);
    let chunk = |record: &[u8], part: &[u8], last| EpochChunk {
        epoch,
        record: record.to_vec().into(),
        delta_part: part.to_vec().into(),
        last,
    };
    [
        chunk(&epochs.records[epoch as usize], front, false),
        chunk(&[], back, true),
    ]
}

#[tonic::async_trait]
impl Log for Service {
    type WatchHeadsStream = Pin<Box<dyn Stream<Item = Result<GetHeadResponse, Status>> + Send>>;

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> Result<Response<GetConfigResponse>, Status> {
        self.check(&request)?;
        Ok(Response::new(GetConfigResponse {
            config: self.epochs.records[0].clone().into(),
            ..GetConfigResponse::default()
        }))
    }

    async fn get_head(
        &self,
        _: Request<GetHeadRequest>,
    ) -> Result<Response<GetHeadResponse>, Status> {
        let size = *self.signed.borrow() + 1;
        let note = signed(log_key(1), ORIGIN, size, self.epochs.root(size));
        Ok(Response::new(GetHeadResponse {
            head: Some(Head {
                checkpoint: note.to_bytes().into(),
                ..Head::default()
            }),
            ..GetHeadResponse::default()
        }))
    }

    async fn watch_heads(
        &self,
        _: Request<WatchHeadsRequest>,
    ) -> Result<Response<Self::WatchHeadsStream>, Status> {
        Err(Status::unimplemented("witnesses do not ask"))
    }

    async fn get_consistency(
        &self,
        _: Request<GetConsistencyRequest>,
    ) -> Result<Response<GetConsistencyResponse>, Status> {
        Err(Status::unimplemented("witnesses do not ask"))
    }
}
