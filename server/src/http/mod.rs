//! The public HTTP port: the log as tiles (c2sp.org/tlog-tiles), health and metrics.
//!
//! Everything here reads. Records are served for the published size only, and tiles of hashes for
//! the signed one: witnesses have seen signed heads, and must be able to compare them while the
//! quorum is lost. What a larger log has already widened is cut to what a reader may ask for.

mod health;
mod page;
mod status;
mod tiles;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use candor_host::request::Port;
use tokio::sync::{Semaphore, watch};

use crate::access::Access;
use crate::clock::Clock;
use crate::head::{Freshness, PublishedHead, SignedHead};
use crate::ledger::Ledger;
use crate::limits::Limiter;
use crate::metrics::Metrics;
use crate::publisher::StatusBoard;

/// Most tiles that are read at a time; others wait, as long as a request may take.
pub const TILES_MAX: usize = 32;

/// What the port answers from.
#[derive(Clone)]
pub struct Pages {
    /// The rows.
    pub ledger: Ledger,
    /// The published head.
    pub published: Arc<PublishedHead>,
    /// The newest signed head.
    pub signed: watch::Receiver<Option<Arc<SignedHead>>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What callers of gRPC get.
    pub limits: Limiter,
    /// How publication is doing.
    pub board: StatusBoard,
    /// The time.
    pub clock: Clock,
    /// Whether the published head is fresh.
    pub freshness: Freshness,
    /// The log's origin.
    pub origin: Arc<str>,
    /// Turns to read tiles: fewer than there are threads for what blocks.
    pub tiles: Arc<Semaphore>,
    /// Who may read metrics.
    pub access: Arc<Access>,
}

/// The port's routes.
pub fn router(pages: Pages) -> Router {
    let requests = pages.metrics.requests.clone();
    let routes = Router::new()
        .route("/", get(status::status))
        .route("/checkpoint", get(tiles::checkpoint))
        .route("/tile/{*path}", get(tiles::tile))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .with_state(pages);
    routes.layer(requests.watch(PORT))
}

/// How requests are counted: by these names, and `other`.
const PORT: Port = Port {
    name: "http",
    methods: &["/checkpoint", "/tile", "/livez", "/readyz", "/metrics", "/"],
};
