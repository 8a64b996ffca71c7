//! The gRPC listener.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::RunError;
use crate::api::Service;
use crate::head::Freshness;

/// Most calls of one connection at a time.
const STREAMS_MAX: u32 = 256;

/// How often health is looked at when nothing is published.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Serves all services, health and reflection until `shutdown`.
pub(super) async fn serve(
    service: Service,
    listener: TcpListener,
    freshness: Freshness,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(candor_proto::v1::DESCRIPTORS)
        .build_v1()?;
    let watching = tokio::spawn(report_health(reporter, freshness));
    let routes = service.routes().add_service(health).add_service(reflection);
    let served = Server::builder()
        .concurrency_limit_per_connection(STREAMS_MAX as usize)
        .max_concurrent_streams(STREAMS_MAX)
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
