//! The gRPC listener.

use std::sync::Arc;
use std::time::Duration;

use candor_host::grpc;
use candor_host::http2::{Http2Limits, PATIENCE};
use candor_host::listener::Listener;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Layer as _;

use crate::access::{Access, Guarded};
use crate::api::{PORT, Service};
use crate::head::Freshness;

/// Longest question for health in bytes: the name of a service.
const HEALTH_BYTES_MAX: usize = 1 << 10;

/// How often health is looked at when nothing is published.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// How often a silent peer is asked whether it lives, and how long it may take to say so.
const PING: Duration = Duration::from_secs(30);

/// How long a connection lives: a credential that is no longer good ends with it. Streams in flight
/// get [`DRAIN`] more.
const LIFETIME: Duration = Duration::from_secs(3600);

/// How long calls in flight may take once their connection is to close.
const DRAIN: Duration = Duration::from_secs(60);

/// Serves all services and health until `shutdown`.
pub(super) async fn serve(
    service: Service,
    access: Arc<Access>,
    listener: Listener,
    streams: u32,
    freshness: Freshness,
    shutdown: CancellationToken,
) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let health = health.max_decoding_message_size(HEALTH_BYTES_MAX);
    let watching = tokio::spawn(report_health(reporter, freshness));
    let (requests, budgets) = (service.metrics.requests.clone(), service.limits.clone());
    let routes = service.routes().add_service(health);
    // Around the gate: whom it refuses is counted too.
    let guarded = Guarded::new(routes.prepare().into_axum_router(), access, budgets);
    let watched = requests.watch(PORT).layer(guarded);
    let limits = Http2Limits {
        requests: streams,
        ping: PING,
        patience: PATIENCE,
        lifetime: Some(LIFETIME),
        drain: DRAIN,
    };
    grpc::serve(listener, watched, limits, shutdown).await;
    watching.abort();
}

/// gRPC health is the promise, not the port: serving while a fresh head is published.
async fn report_health(reporter: HealthReporter, freshness: Freshness) {
    let mut progress = freshness.progress();
    loop {
        let status = match freshness.check() {
            Ok(()) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        };
        reporter.set_service_status("", status).await;
        tokio::select! {
            changed = progress.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
        }
    }
}
