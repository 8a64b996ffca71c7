//! `candor-server run`: everything put together, and taken apart again in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use candor_core::note::{Checkpoint, LogVerifyError, SignedNote};
use candor_host::{durable, http as edge};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::anchor::{Anchor, AnchorError};
use crate::api::{RegistrarToken, Service};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::head::{Published, PublishedHead, SignedHead};
use crate::http::{self, Pages};
use crate::init::{InitError, LogKeys};
use crate::ledger::{Ledger, LedgerError};
use crate::metrics::Metrics;
use crate::publisher::{
    Comparison, Publisher, PublisherError, WitnessNode, WitnessStatus, large_keys,
};
use crate::sequencer::admission::Admission;
use crate::sequencer::recovery::{self, RecoveryError};
use crate::sequencer::{FatalError, Sequencer};
use crate::storage::{FjallOptions, FjallStorage, OpenError};

/// How many heartbeats may pass before the published head no longer counts as fresh.
const FRESH_HEARTBEATS: u32 = 3;

/// How long the last epoch may take to be published when the server goes down.
const LAST_PUBLICATION: Duration = Duration::from_secs(5);

/// How long gRPC calls may take to end when the server goes down.
const DRAIN: Duration = Duration::from_secs(10);

/// Longest token file in bytes.
const TOKEN_BYTES_MAX: usize = 1024;

/// Shortest token in bytes: 128 bits in hexadecimal digits.
const TOKEN_BYTES_MIN: usize = 32;

/// Why the server stopped or did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key could not be read.
    #[error(transparent)]
    Keys(#[from] InitError),
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] durable::ReadError),
    /// The registrar's token is too short to be a secret.
    #[error("{}: the token must have at least {TOKEN_BYTES_MIN} characters", path.display())]
    Token {
        /// The token file.
        path: PathBuf,
    },
    /// The policy cannot be used.
    #[error("{}: {message}", path.display())]
    Policy {
        /// The policy file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The anchor could not be read, or another instance holds the log.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The log may not go on from here.
    #[error("refusing to sign: {0}")]
    Recovery(#[from] RecoveryError),
    /// The published head in the store is not this log's.
    #[error("refusing to sign: the stored published head is damaged")]
    Published(#[from] LogVerifyError),
    /// A witness holds what the store contradicts.
    #[error("refusing to sign: {0}")]
    Witness(#[from] PublisherError),
    /// The sequencer stopped.
    #[error("the sequencer stopped: {0}")]
    Sequencer(#[from] FatalError),
    /// An address could not be listened on.
    #[error("could not listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The address of a listener is unknown.
    #[error("could not listen: {0}")]
    Address(std::io::Error),
    /// The gRPC listener failed.
    #[error("gRPC: {0}")]
    Grpc(#[from] tonic::transport::Error),
    /// The reflection service could not be made.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A task of the server ended unexpectedly: a bug.
    #[error("a part of the server ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl From<LedgerError> for RunError {
    fn from(error: LedgerError) -> Self {
        Self::Recovery(error.into())
    }
}

/// A server that serves.
pub struct Running {
    /// Where gRPC is served.
    pub grpc_address: SocketAddr,
    /// Where tiles, health and metrics are served.
    pub http_address: SocketAddr,
    tasks: Tasks,
}

/// The parts of a running server, and what ends them.
struct Tasks {
    sequencing: JoinHandle<Result<(), FatalError>>,
    publishing: JoinHandle<Result<(), PublisherError>>,
    grpc: JoinHandle<Result<(), RunError>>,
    http: JoinHandle<()>,
    signed: watch::Receiver<Option<Arc<SignedHead>>>,
    published: Arc<PublishedHead>,
    stop: Stop,
}

/// The stages of going down.
#[derive(Clone, Default)]
struct Stop {
    /// Take no new work, finish what was accepted.
    shutdown: CancellationToken,
    /// Sign nothing more.
    halt: CancellationToken,
    /// Publish nothing more.
    unpublish: CancellationToken,
}

/// Runs the server until `shutdown`, or until something forces it to stop.
///
/// # Errors
///
/// [`RunError`]; its message says what an operator can do.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    start(config, shutdown).await?.finish().await
}

/// Recovers the log and starts to serve it.
///
/// # Errors
///
/// [`RunError`]; its message says what an operator can do.
pub async fn start(config: Config, shutdown: CancellationToken) -> Result<Running, RunError> {
    let policy = Arc::new(config.read_policy()?);
    let keys = LogKeys::read(&config.keys, &config.origin)?;
    let registrar = Arc::new(read_token(&config.registrar_token)?);
    let witnesses = WitnessNode::of_policy(&policy).map_err(|message| RunError::Policy {
        path: config.policy.clone(),
        message,
    })?;
    let (signer, vrf) = (Arc::new(keys.signer), Arc::new(keys.vrf));
    let clock = Clock::system();
    let http_listener = listen(config.http_listen).await?;
    let grpc_listener = listen(config.grpc_listen).await?;

    // The anchor's lock comes first: one instance, whatever else is wrong.
    let anchor = Anchor::open(&config.anchor, signer.verifier())?;
    let ledger = open(&config).await?;
    let recovered = {
        let (ledger, signer, vrf) = (ledger.clone(), Arc::clone(&signer), Arc::clone(&vrf));
        let clock = clock.clone();
        tokio::task::spawn_blocking(move || {
            let tip = recovery::recover(&ledger, &signer, vrf.public_key(), &anchor, &clock)?;
            let last = last_published(&ledger, &signer, &tip.skeleton, tip.size)?;
            Ok::<_, RunError>((tip, last, anchor))
        })
    };
    let (tip, last, anchor) = recovered.await??;
    tracing::info!(
        origin = config.origin,
        records = tip.size,
        leaves = tip.map.leaves,
        "recovered"
    );
    compare_with_witnesses(&witnesses, &ledger, &signer).await?;

    let metrics = Arc::new(Metrics::new());
    let published = Arc::new(PublishedHead::starting_at(tip.size));
    if let Some((signed, note, at_s)) = last {
        let large = large_keys(&signer, &policy);
        published.set(Published::new(Arc::new(signed), note, &large, at_s));
    }
    let (admission, queue) = Admission::new(ledger.clone(), Arc::clone(&vrf));
    let (signed_sender, signed) = watch::channel(None);
    let statuses: Vec<WitnessStatus> = witnesses
        .iter()
        .map(|witness| WitnessStatus {
            url: witness.url().to_owned(),
            ..Default::default()
        })
        .collect();
    let statuses = Arc::new(Mutex::new(statuses));
    let stop = Stop {
        shutdown,
        ..Stop::default()
    };

    let sequencer = Sequencer {
        ledger: ledger.clone(),
        tip,
        signer: Arc::clone(&signer),
        anchor,
        queue,
        signed: signed_sender,
        published: Arc::clone(&published),
        pace: config.pace(),
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
        shutdown: stop.shutdown.clone(),
        halt: stop.halt.clone(),
    };
    let publisher = Publisher {
        ledger: ledger.clone(),
        policy,
        signer,
        witnesses,
        statuses: Arc::clone(&statuses),
        signed: signed.clone(),
        published: Arc::clone(&published),
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
        shutdown: stop.unpublish.clone(),
    };
    let service = Service {
        ledger: ledger.clone(),
        published: Arc::clone(&published),
        signed: signed.clone(),
        admission,
        vrf,
        registrar,
        metrics: Arc::clone(&metrics),
        shutdown: stop.shutdown.clone(),
        unpublishing: stop.unpublish.clone(),
    };
    let pages = Pages {
        ledger,
        published: Arc::clone(&published),
        metrics,
        witnesses: statuses,
        clock,
        fresh: config.pace().heartbeat * FRESH_HEARTBEATS,
        origin: config.origin.clone().into(),
    };

    let (grpc_address, http_address) = (address(&grpc_listener)?, address(&http_listener)?);
    // The port may have been chosen by the system: say where the server really is.
    tracing::info!(address = %grpc_address, "serving gRPC");
    tracing::info!(address = %http_address, "serving HTTP");
    let routes = http::router(pages);
    let limits = edge::Limits::default();
    let tasks = Tasks {
        sequencing: spawn_sequencer(sequencer),
        publishing: tokio::spawn(publisher.run()),
        grpc: tokio::spawn(serve_grpc(service, grpc_listener, stop.shutdown.clone())),
        http: tokio::spawn(edge::serve(
            http_listener,
            routes,
            limits,
            stop.shutdown.clone(),
        )),
        signed,
        published,
        stop,
    };
    Ok(Running {
        grpc_address,
        http_address,
        tasks,
    })
}

impl Running {
    /// Waits until the server stopped: because it was asked to, or because something forces it to.
    ///
    /// # Errors
    ///
    /// [`RunError`]; its message says what an operator can do.
    pub async fn finish(self) -> Result<(), RunError> {
        self.tasks.finish().await
    }
}

impl Tasks {
    /// Whatever ends first ends the rest. The sequencer drains what it accepted, unless publication
    /// failed; then the publisher gets a last chance, and callers their answers.
    async fn finish(mut self) -> Result<(), RunError> {
        let (mut sequenced, mut published, mut served) = (None, None, None);
        tokio::select! {
            ended = &mut self.sequencing => sequenced = Some(ended),
            ended = &mut self.publishing => {
                self.stop.halt.cancel();
                published = Some(ended);
            }
            ended = &mut self.grpc => served = Some(ended),
        }
        self.stop.shutdown.cancel();
        let sequenced = match sequenced {
            Some(ended) => ended,
            None => self.sequencing.await,
        };
        if published.is_none() && matches!(sequenced, Ok(Ok(()))) {
            let size = self.signed.borrow().as_ref().map_or(0, |head| head.size);
            let mut progress = self.published.progress();
            let last = progress.wait_for(|published| *published >= size);
            let _unpublished = tokio::time::timeout(LAST_PUBLICATION, last).await;
        }
        self.stop.unpublish.cancel();
        let published = match published {
            Some(ended) => ended,
            None => self.publishing.await,
        };
        let drain = async {
            match served {
                Some(ended) => ended,
                None => self.grpc.await,
            }
        };
        // A peer that keeps its streams open does not keep the server up.
        let served = tokio::time::timeout(DRAIN, drain)
            .await
            .unwrap_or(Ok(Ok(())));
        self.http.await?;
        tracing::info!("stopped");
        published??;
        sequenced??;
        served?
    }
}

/// Reads the registrar's token. One that could be guessed is refused.
fn read_token(path: &Path) -> Result<RegistrarToken, RunError> {
    let token = durable::read_bounded(path, TOKEN_BYTES_MAX)?;
    let token = String::from_utf8_lossy(&token);
    let token = token.trim();
    if token.len() < TOKEN_BYTES_MIN {
        let path = path.to_owned();
        return Err(RunError::Token { path });
    }
    Ok(RegistrarToken::new(token))
}

fn address(listener: &TcpListener) -> Result<SocketAddr, RunError> {
    listener.local_addr().map_err(RunError::Address)
}

async fn open(config: &Config) -> Result<Ledger, RunError> {
    let options = FjallOptions {
        path: config.store.clone(),
        cache_bytes: config.cache_mib << 20,
        reserve_bytes: config.disk_reserve_mib << 20,
    };
    let store = tokio::task::spawn_blocking(move || FjallStorage::open(&options)).await??;
    Ok(Ledger::new(Arc::new(store)))
}

/// The head that was published last, so that lookups are answered before witnesses are.
fn last_published(
    ledger: &Ledger,
    signer: &crate::signer::LogSigner,
    newest: &crate::map::Skeleton,
    newest_size: u64,
) -> Result<Option<(SignedHead, SignedNote, u64)>, RunError> {
    let Some(bytes) = ledger.published()? else {
        return Ok(None);
    };
    let damaged = |_| LedgerError::Damaged {
        table: "checkpoints",
    };
    let note = SignedNote::parse(&bytes).map_err(damaged)?;
    let verified = signer.verifier().verify(&note)?;
    let checkpoint: &Checkpoint = verified.checkpoint();
    let (size, root) = (checkpoint.size(), *checkpoint.root());
    if size > newest_size || size < 2 || ledger.root(size)? != root {
        return Err(RecoveryError::Mismatch {
            what: "published head",
        }
        .into());
    }
    let skeleton = if size == newest_size {
        newest.clone()
    } else {
        let record = candor_core::epoch::EpochRecord::decode(&ledger.record(size - 1)?)
            .map_err(|_| LedgerError::Damaged { table: "records" })?;
        recovery::load_map(ledger, size - 1, &record.prefix_tree)?
    };
    let head = SignedHead::new(ledger, size, root, skeleton, verified.to_note())?;
    let published_s = head.timestamp_ms / 1000;
    Ok(Some((head, note, published_s)))
}

/// Asks every witness what it holds. One that holds more than the store, or something else, proves
/// that the store was rolled back; one that does not answer proves nothing.
async fn compare_with_witnesses(
    witnesses: &[WitnessNode],
    ledger: &Ledger,
    signer: &crate::signer::LogSigner,
) -> Result<(), RunError> {
    let verifier = signer.verifier();
    let asked = witnesses
        .iter()
        .map(|witness| witness.compare(&verifier, ledger));
    for (witness, answer) in witnesses.iter().zip(futures::future::join_all(asked).await) {
        let what = match answer {
            Ok(Comparison::Ahead) => "a larger log",
            Ok(Comparison::Contradicts) => "another root at the same size",
            Ok(_) => continue,
            Err(failure) => {
                tracing::warn!(witness = witness.url(), %failure, "could not be compared with");
                continue;
            }
        };
        let url = witness.url().to_owned();
        return Err(PublisherError::StoreContradicted { url, what }.into());
    }
    Ok(())
}

/// Runs the sequencer on a thread of its own: everything that it does blocks.
fn spawn_sequencer(sequencer: Sequencer) -> JoinHandle<Result<(), FatalError>> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(sequencer.run()))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })
}

async fn serve_grpc(
    service: Service,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(candor_proto::v1::DESCRIPTORS)
        .build_v1()?;
    let watching = tokio::spawn(report_health(reporter, Arc::clone(&service.published)));
    let routes = service.routes().add_service(health).add_service(reflection);
    let served = Server::builder()
        .concurrency_limit_per_connection(256)
        .max_concurrent_streams(256)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            shutdown.cancelled_owned(),
        )
        .await;
    watching.abort();
    Ok(served?)
}

/// gRPC health: not serving until a head is published.
async fn report_health(
    reporter: tonic_health::server::HealthReporter,
    published: Arc<PublishedHead>,
) {
    use tonic_health::ServingStatus::{NotServing, Serving};
    let mut progress = published.progress();
    reporter.set_service_status("", NotServing).await;
    let is_published = progress.wait_for(|_| published.current().is_some());
    if is_published.await.map(|_| ()).is_ok() {
        reporter.set_service_status("", Serving).await;
    }
}
