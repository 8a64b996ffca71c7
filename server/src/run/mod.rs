//! `candor-server run`: everything put together, and taken apart again in order.

mod grpc;
mod heads;
pub(crate) mod policies;
mod preflight;
mod running;

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use candor_core::note::LogVerifyError;
use candor_host::http as edge;
use candor_host::listener::{Listener, Places};
use candor_host::tls::{Certificates, Protocol, TlsFileError};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::heads::last_published;
use self::policies::Policies;
pub use self::preflight::preflight;
pub use self::running::Running;
use self::running::{Stop, Tasks};
use crate::anchor::{Anchor, AnchorError};
use crate::api::{FEEDS_MAX, Service};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::control::{self, Admin, ControlSocket, SocketError};
use crate::head::{Freshness, PublishedHead};
use crate::http::{self, Pages};
use crate::identity::Identity;
use crate::init::{InitError, LogKeys};
use crate::ledger::{Ledger, LedgerError};
use crate::limits::{Limiter, Reads};
use crate::metrics::Metrics;
use crate::metrics::history::MINUTE_S;
use crate::metrics::parts::Sources;
use crate::publisher::{Comparison, Publisher, PublisherError, StatusBoard, WitnessNode};
use crate::sequencer::admission::Admission;
use crate::sequencer::commit::Committer;
use crate::sequencer::erasure::Eraser;
use crate::sequencer::ladders::{Ladders, Yield};
use crate::sequencer::pipeline::Pipeline;
use crate::sequencer::recovery::{self, RecoveryError};
use crate::sequencer::{FatalError, Sequencer};
use crate::signer::LogSigner;
use crate::storage::{OpenError, StoreOptions};

/// How many heartbeats may pass before the published head no longer counts as fresh.
const FRESH_HEARTBEATS: u32 = 3;

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
    /// The files of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
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
    /// The control socket could not be made.
    #[error(transparent)]
    Control(#[from] SocketError),
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
    /// The system has no threads left.
    #[error("could not start workers: {0}")]
    Workers(#[from] rayon::ThreadPoolBuildError),
    /// A task of the server ended unexpectedly: a bug.
    #[error("a part of the server ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl From<LedgerError> for RunError {
    fn from(error: LedgerError) -> Self {
        Self::Recovery(error.into())
    }
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
    let keys = LogKeys::open(config.keyring().loader(), &config.origin)?;
    let clock = Clock::system();
    let access = Arc::new(config.access.access(&config.origin, clock.clone())?);
    let metrics = Arc::new(Metrics::new());
    let certificates = certificates(&config, &metrics)?;
    let http_listener = listen(config.http_listen).await?;
    let grpc_listener = listen(config.grpc_listen).await?;

    // The anchor's lock comes first: one instance, whatever else is wrong.
    let anchor = Anchor::open(&config.anchor, keys.signer.verifier())?;
    let socket = ControlSocket::bind(&config.control_socket, &anchor)?;
    let ledger = open(&config).await?;
    let identity = ledger.identity()?.as_deref().and_then(Identity::decode);
    let signer = identity.and_then(|identity| keys.signer.in_use(&identity));
    let (signer, vrf) = (signer.ok_or(RecoveryError::OtherLog)?, Arc::new(keys.vrf));
    let signer = Arc::new(signer);
    let policies = Policies::read(&config, &signer.identity())?;
    let recovered = {
        let (ledger, signer, vrf) = (ledger.clone(), Arc::clone(&signer), Arc::clone(&vrf));
        let clock = clock.clone();
        tokio::task::spawn_blocking(move || {
            let tip = recovery::recover(&ledger, &signer, vrf.public_key(), &anchor, &clock)?;
            let last = last_published(&ledger, &signer, &policies, &tip.skeleton, tip.size)?;
            Ok::<_, RunError>((tip, last, anchor, policies))
        })
    };
    let (tip, last, anchor, policies) = recovered.await??;
    let Policies {
        first: policy,
        second: second_policy,
        witnesses,
    } = policies;
    tracing::info!(
        origin = config.origin,
        records = tip.size,
        leaves = tip.map.leaves,
        "recovered"
    );
    let has_ended = tip.has_ended;
    if has_ended {
        tracing::warn!("the log has ended: its last head is served, and nothing follows it");
    }
    compare_with_witnesses(&witnesses, &ledger, &signer).await?;

    let published = Arc::new(PublishedHead::starting_at(tip.size));
    if let Some(last) = last {
        if let Some(second) = &last.second {
            metrics.second_published(second);
        }
        published.set(last);
    }
    metrics.recovered(&tip);
    let (ladders, completed) = Ladders::new(vrf)?;
    let (admission, queue) = Admission::new(
        ledger.clone(),
        ladders.clone(),
        config.enrolment_rules(),
        clock.clone(),
    );
    let (eraser, erasures) = Eraser::new();
    load_ahead(&ledger, &ladders, &shutdown);
    metrics.attach(Sources {
        admission: admission.clone(),
        ladders: ladders.clone(),
        ledger: ledger.clone(),
        store: config.store.clone(),
        reserve_bytes: config.disk_reserve_mib << 20,
    });
    let (signed_sender, signed) = watch::channel(None);
    let board = StatusBoard::new(witnesses.iter().map(WitnessNode::url), clock.now_s());
    let stop = Stop {
        shutdown,
        ..Stop::default()
    };

    let committer = Committer {
        ledger: ledger.clone(),
        signer: Arc::clone(&signer),
        anchor,
        signed: signed_sender,
        ladders: ladders.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
        halt: stop.halt.clone(),
    };
    let sequencer = Sequencer {
        pipeline: Pipeline::new(tip, committer),
        queue,
        erasures,
        completed,
        published: Arc::clone(&published),
        pace: config.pace(),
        rules: config.enrolment_rules(),
        clock: clock.clone(),
        shutdown: stop.shutdown.clone(),
        halt: stop.halt.clone(),
    };
    let publisher = Publisher {
        ledger: ledger.clone(),
        policy,
        second_policy,
        signer,
        witnesses,
        board: board.clone(),
        signed: signed.clone(),
        published: Arc::clone(&published),
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
        shutdown: stop.unpublish.clone(),
    };
    tokio::spawn(keep_history(Arc::downgrade(&metrics), clock.clone()));
    // The head of a log that has ended stays its newest one.
    let max_age = match has_ended {
        true => Duration::MAX,
        false => config.pace().heartbeat * FRESH_HEARTBEATS,
    };
    let freshness = Freshness::new(Arc::clone(&published), clock.clone(), max_age);
    let limiter = Limiter::new(&config.limits, Arc::clone(&metrics), Instant::now());
    let service = Service {
        ledger: ledger.clone(),
        published: Arc::clone(&published),
        signed: signed.clone(),
        admission,
        ladders,
        metrics: Arc::clone(&metrics),
        limits: limiter.clone(),
        reads: Reads::new(&config.limits, &metrics),
        feeds: Arc::new(Semaphore::new(FEEDS_MAX)),
        shutdown: stop.shutdown.clone(),
        unpublishing: stop.unpublish.clone(),
    };
    let admin = Admin {
        origin: config.origin.clone(),
        ledger: ledger.clone(),
        signed: signed.clone(),
        published: Arc::clone(&published),
        copying: Arc::new(Semaphore::new(1)),
        shutdown: stop.shutdown.clone(),
        eraser,
    };
    let pages = Pages {
        ledger,
        published: Arc::clone(&published),
        signed: signed.clone(),
        metrics,
        limits: limiter,
        board,
        clock,
        freshness: freshness.clone(),
        origin: config.origin.clone().into(),
        tiles: Arc::new(Semaphore::new(http::TILES_MAX)),
        access: Arc::clone(&access),
    };

    let (grpc_address, http_address) = (address(&grpc_listener)?, address(&http_listener)?);
    // The port may have been chosen by the system: say where the server really is.
    tracing::info!(address = %grpc_address, "serving gRPC");
    tracing::info!(address = %http_address, "serving HTTP");
    let routes = http::router(pages);
    let limits = edge::Limits::default();
    if let Some(certificates) = &certificates {
        tokio::spawn(Arc::clone(certificates).follow(stop.shutdown.clone()));
    }
    let grpc_listener = Listener::new(
        grpc_listener,
        certificates.clone(),
        Protocol::Http2,
        Places {
            connections: config.limits.connections,
            of_network: config.limits.connections_per_address,
        },
    );
    let http_listener = Listener::new(
        http_listener,
        certificates,
        Protocol::Http1,
        limits.places(),
    );
    let tasks = Tasks {
        sequencing: spawn_sequencer(sequencer),
        publishing: tokio::spawn(publisher.run()),
        grpc: tokio::spawn(grpc::serve(
            service,
            access,
            grpc_listener,
            config.limits.streams_per_connection,
            freshness,
            stop.shutdown.clone(),
        )),
        control: tokio::spawn(control::serve(socket, admin, stop.shutdown.clone())),
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

/// The certificates of the listeners, if they have some.
fn certificates(
    config: &Config,
    metrics: &Metrics,
) -> Result<Option<Arc<Certificates>>, TlsFileError> {
    let files = config.tls.clone();
    let open = |files| Certificates::open(files, &metrics.registry).map(Arc::new);
    files.map(open).transpose()
}

/// Notes every minute what was counted, for the status page, as long as somebody counts.
async fn keep_history(metrics: Weak<Metrics>, clock: Clock) {
    let mut turns = tokio::time::interval(Duration::from_secs(MINUTE_S));
    loop {
        turns.tick().await;
        let Some(metrics) = metrics.upgrade() else {
            return;
        };
        metrics.history.note(metrics.counts(clock.now_s()));
    }
}

fn address(listener: &TcpListener) -> Result<SocketAddr, RunError> {
    listener.local_addr().map_err(RunError::Address)
}

async fn open(config: &Config) -> Result<Ledger, RunError> {
    let cache_bytes = config.cache_mib << 20;
    // A row that the server keeps decoded is not worth keeping as bytes too, so the engine gets
    // the smaller share: what it needs for rows that are seldom asked for.
    let engine_bytes = cache_bytes / 8;
    let engine = config.engine;
    let options = StoreOptions {
        path: config.store.clone(),
        cache_bytes: engine_bytes,
        reserve_bytes: config.disk_reserve_mib << 20,
    };
    let store = tokio::task::spawn_blocking(move || engine.open(&options)).await??;
    Ok(Ledger::new(store, cache_bytes - engine_bytes))
}

/// Has accounts loaded into memory, as they were before the restart, and what is missing of their
/// ladders computed, while the server serves. A task that fails costs only this.
fn load_ahead(ledger: &Ledger, ladders: &Ladders, shutdown: &CancellationToken) {
    let (ledger, ladders, shutdown) = (ledger.clone(), ladders.clone(), shutdown.clone());
    tokio::task::spawn_blocking(move || {
        let mut loaded = 0_u64;
        let ended = ledger.load_accounts(&mut |account| {
            loaded += 1;
            ladders.complete(account);
            if shutdown.is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match ended {
            Ok(()) => tracing::info!(accounts = loaded, "loaded into memory"),
            Err(error) => tracing::warn!(%error, "accounts could not be loaded ahead"),
        }
    });
}

/// Asks every witness what it holds. One that holds more than the store, or something else, proves
/// that the store was rolled back; one that does not answer proves nothing.
async fn compare_with_witnesses(
    witnesses: &[WitnessNode],
    ledger: &Ledger,
    signer: &LogSigner,
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
    tokio::task::spawn_blocking(move || {
        // The thread is the sequencer's until the process ends.
        Yield::ToLookups.on_this_thread();
        runtime.block_on(sequencer.run())
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })
}
