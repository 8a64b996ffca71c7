//! The running witness: its listeners, its followers, its store, and their orderly end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use candor_host::listener::Listener;
use candor_host::tls::{Certificates, Protocol, TlsFileError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::added::AddedError;
use crate::bastion::{Bastion, BastionError, Identity, IdentityError, Times};
use crate::config::Config;
use crate::cosigner::{Cosigner, KeysError};
use crate::evidence::Evidence;
use crate::gossip::{self, GossipKey, Node, PeerError};
use crate::lists::ListSource;
use crate::logs::Log;
use crate::map::{Follower, Turns};
use crate::metrics::Metrics;
use crate::node_key::NodeKeyError;
use crate::store::{Store, StoreError, WriterThread};
use crate::witness::{AddError, Witness};
use crate::{grpc, http, lists};

/// How long gRPC calls may take to end when the witness goes down.
const DRAIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Why the witness did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A key file cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The key for bastions cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The key for peers cannot be used.
    #[error("the gossip key cannot be used")]
    GossipKey(#[from] NodeKeyError),
    /// A peer cannot be one.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A bastion cannot be connected to, ever.
    #[error(transparent)]
    Bastion(#[from] BastionError),
    /// The state cannot be used.
    #[error("the state cannot be used")]
    Store(#[source] StoreError),
    /// The evidence directory cannot be used.
    #[error("the evidence directory cannot be used")]
    Evidence(#[source] std::io::Error),
    /// A log that is convicted by what was kept before was not stopped.
    #[error("a log that earlier evidence convicts was not stopped")]
    Convictions(#[source] AddError),
    /// The logs that were added cannot be read.
    #[error("the added logs cannot be used")]
    Added(#[from] AddedError),
    /// A port cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address of the configuration.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The files of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// The state could not be written: the outcome of the last change is unknown until the next
    /// start reads it.
    #[error("the state could not be written; start again to find out how far it came")]
    StoreFailed(#[source] StoreError),
    /// The thread that writes the state panicked: a bug of ours.
    #[error("the thread that writes the state panicked")]
    StorePanicked,
}

/// A witness that is ready to serve.
#[derive(Debug)]
pub struct Server {
    witness: Arc<Witness>,
    followers: Vec<Follower>,
    lists: Vec<ListSource>,
    added: PathBuf,
    bastions: Vec<Bastion>,
    http: TcpListener,
    grpc: TcpListener,
    certificates: Option<Arc<Certificates>>,
    writer: WriterThread,
    store_stopped: CancellationToken,
}

impl Server {
    /// Opens keys and state, and binds the ports.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        let cosigner = Cosigner::load(&config.keys, &config.name)?;
        let metrics = Metrics::default();
        let bastions = bastions(&config, &metrics)?;
        if let Some(state) = config.paths.database.parent() {
            metrics.attach(state);
        }
        let node = gossip_node(&config)?;
        let store_stopped = CancellationToken::new();
        let (store, writer) = Store::open(&config.paths, &metrics, store_stopped.clone())
            .map_err(ServerError::Store)?;
        let certificates = config.tls.map(|files| {
            let certificates = Certificates::open(files, metrics.registry())?;
            Ok::<_, TlsFileError>(Arc::new(certificates))
        });
        let certificates = certificates.transpose()?;
        let http = listen(config.http).await?;
        let grpc = listen(config.grpc).await?;
        let evidence = Evidence::open(&config.evidence).map_err(ServerError::Evidence)?;

        let map_wait = config.map_wait;
        let witness = Witness::new(cosigner, store.clone(), evidence, metrics.clone(), map_wait)
            .with_gossip(node);
        let mut followers = Vec::new();
        let turns = Turns::default();
        for log in config.logs.into_values() {
            let map = log.grpc.map(|address| {
                let (verifier, turns) = (log.verifier.clone(), turns.clone());
                let (follower, roots) =
                    Follower::new(verifier, address, store.clone(), metrics.clone(), turns);
                followers.push(follower);
                roots
            });
            let log = Log::new(log.verifier, map)
                .with_tiles(log.tiles)
                .limited(log.qpd);
            witness.add_log(log);
        }
        lists::load_added(&witness, &config.paths.logs)?;
        let finished = witness.finish_convictions().await;
        finished.map_err(ServerError::Convictions)?;
        Ok(Self {
            witness: Arc::new(witness),
            lists: config.lists,
            added: config.paths.logs,
            bastions,
            followers,
            http,
            grpc,
            certificates,
            writer,
            store_stopped,
        })
    }

    /// Where HTTP is served.
    ///
    /// # Errors
    ///
    /// The environment's fault.
    pub fn http_address(&self) -> std::io::Result<SocketAddr> {
        self.http.local_addr()
    }

    /// Where gRPC is served.
    ///
    /// # Errors
    ///
    /// The environment's fault.
    pub fn grpc_address(&self) -> std::io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Serves until `shutdown` is cancelled or the store fails; then answers what is in flight,
    /// saves how far maps were checked, and closes the state.
    ///
    /// # Errors
    ///
    /// [`ServerError::StoreFailed`] or [`ServerError::StorePanicked`].
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), ServerError> {
        let stop = shutdown.child_token();
        let tasks = TaskTracker::new();
        for follower in self.followers {
            tasks.spawn(follower.run(stop.clone()));
        }
        let witness = || Arc::clone(&self.witness);
        let added = || self.added.clone();
        tasks.spawn(lists::follow_added(witness(), added(), stop.clone()));
        for list in self.lists {
            tasks.spawn(lists::follow_list(witness(), list, added(), stop.clone()));
        }
        if let Some(node) = self.witness.gossip() {
            let node = || Arc::clone(node);
            tasks.spawn(gossip::follow_logs(witness(), node(), stop.clone()));
            for (id, peer) in node().peers() {
                let following =
                    gossip::follow_peer(witness(), node(), id, peer.clone(), stop.clone());
                tasks.spawn(following);
            }
        }
        let router = http::router(Arc::clone(&self.witness));
        for bastion in self.bastions {
            tasks.spawn(bastion.run(router.clone(), stop.clone()));
        }
        let certificates = self.certificates;
        if let Some(certificates) = &certificates {
            tasks.spawn(Arc::clone(certificates).follow(stop.clone()));
        }
        let limits = http::limits();
        let listener = Listener::new(
            self.http,
            certificates.clone(),
            Protocol::Http1,
            limits.places(),
        );
        let serving = candor_host::http::serve(listener, router, limits, stop.clone());
        tasks.spawn(serving);
        let listener = Listener::new(self.grpc, certificates, Protocol::Http2, limits.places());
        let grpc = grpc::serve(listener, Arc::clone(&self.witness), stop.clone());
        let mut grpc = tasks.spawn(grpc);
        let ended = tokio::select! {
            ended = &mut grpc => Some(ended),
            () = self.store_stopped.cancelled() => None,
            () = stop.cancelled() => None,
        };
        stop.cancel();
        let mut is_drained = true;
        let ended = match ended {
            Some(ended) => ended,
            // A peer that keeps its streams open does not keep the witness up.
            None => match tokio::time::timeout(DRAIN, &mut grpc).await {
                Ok(ended) => ended,
                Err(_) => {
                    grpc.abort();
                    is_drained = false;
                    Ok(())
                }
            },
        };
        tasks.close();
        tasks.wait().await;
        // The last store goes with it, and so the thread that writes ends.
        drop(self.witness);
        // Unless such a peer's connection holds it. What was answered is durable all the same, and
        // a thread that failed has ended already.
        if !is_drained && !self.store_stopped.is_cancelled() {
            return Ok(());
        }
        let writer = tokio::task::spawn_blocking(|| self.writer.join());
        match writer.await {
            Ok(Ok(result)) => result.map_err(ServerError::StoreFailed)?,
            Ok(Err(_)) | Err(_) => return Err(ServerError::StorePanicked),
        }
        let _ended = ended; // A panic of the listener was told when it happened.
        Ok(())
    }
}

/// The bastions, and if there are any, their key.
fn bastions(config: &Config, metrics: &Metrics) -> Result<Vec<Bastion>, ServerError> {
    if config.bastions.is_empty() {
        return Ok(Vec::new());
    }
    let identity = Identity::open(&config.key_directory)?;
    let places = config.bastions.iter().cloned();
    let bastions =
        places.map(|place| Bastion::new(place, &identity, metrics.clone(), Times::default()));
    Ok(bastions.collect::<Result<_, _>>()?)
}

/// What compares with peers, and if there are any, its key.
fn gossip_node(config: &Config) -> Result<Option<Arc<Node>>, ServerError> {
    if config.peers.is_empty() {
        return Ok(None);
    }
    let key = GossipKey::open(&config.key_directory)?;
    let node = Node::new(key, config.peers.clone(), config.gossip)?;
    Ok(Some(Arc::new(node)))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServerError::Listen { address, source })
}
