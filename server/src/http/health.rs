//! Liveness, readiness and metrics.

use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use candor_host::listener::Peer;
use candor_host::metrics::CONTENT_TYPE;
use tonic::Code;

use super::Pages;
use crate::access::Role;

/// The process answers.
pub(super) async fn live() -> &'static str {
    "alive\n"
}

/// The promise holds: a fresh head is published. A lost quorum is told before it breaks it.
pub(super) async fn ready(State(pages): State<Pages>) -> Response {
    let quorum = match lost_s(&pages) {
        Some(lost_s) => format!("; the quorum of witnesses is lost for {lost_s} s"),
        None => String::new(),
    };
    match pages.freshness.check() {
        Ok(()) => format!("ready{quorum}\n").into_response(),
        Err(reason) => {
            let body = format!("{reason}{quorum}\n");
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// How long the quorum has been lost, in seconds, if it is.
pub(super) fn lost_s(pages: &Pages) -> Option<u64> {
    let since_s = pages.board.lock().quorum_lost_s;
    since_s.map(|since_s| pages.clock.now_s().saturating_sub(since_s))
}

/// Prometheus' text format, for those who may read it.
pub(super) async fn metrics(
    State(pages): State<Pages>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    let peer = peer.map(|Extension(peer)| peer);
    let caller = pages.access.caller(peer.as_ref(), &headers);
    if let Err(denied) = caller.and_then(|caller| caller.may(Role::Metrics)) {
        let status = match denied.code() {
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (status, challenge, format!("{}\n", denied.message())).into_response();
    }
    let now_s = pages.clock.now_s();
    pages.metrics.publication(&pages.board.lock(), now_s);
    pages.limits.observe(Instant::now());
    match tokio::task::spawn_blocking(move || pages.metrics.text()).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
