//! The witness over HTTP: c2sp.org/tlog-witness, metrics, health, and a page for people.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use candor_core::limits::ADD_CHECKPOINT_BYTES_MAX;
use candor_core::note::{AddCheckpoint, SIZE_CONTENT_TYPE, encode_cosignatures, encode_size};
use candor_host::http::Limits;
use candor_host::metrics;

use crate::decision::Refusal;
use crate::metrics::Outcome;
use crate::witness::{AddError, Witness, now_s};

const TEXT: &str = "text/plain; charset=utf-8";

/// What the listener grants: the longest request of the protocol, and the longest wait for a map
/// within the default time of a request.
pub fn limits() -> Limits {
    Limits {
        body_bytes: ADD_CHECKPOINT_BYTES_MAX,
        ..Limits::default()
    }
}

/// The routes of a witness; submission and monitoring prefix are both its root.
pub fn router(witness: Arc<Witness>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin}/checkpoint", get(checkpoint))
        .route("/metrics", get(metrics_text))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/", get(page))
        .with_state(witness)
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    let request = match AddCheckpoint::parse(&body) {
        Ok(request) => request,
        Err(error) => {
            witness.metrics().request(Outcome::Malformed);
            return failure(&AddError::Refused(Refusal::Body(error)));
        }
    };
    match witness.add_checkpoint(request).await {
        Ok(lines) => ([(CONTENT_TYPE, TEXT)], encode_cosignatures(&lines)).into_response(),
        Err(error) => failure(&error),
    }
}

fn failure(error: &AddError) -> Response {
    if let AddError::Refused(Refusal::Conflict { size }) = error {
        let content_type = [(CONTENT_TYPE, SIZE_CONTENT_TYPE)];
        return (StatusCode::CONFLICT, content_type, encode_size(*size)).into_response();
    }
    let status = match error.outcome() {
        Outcome::Cosigned => StatusCode::OK,
        Outcome::Malformed => StatusCode::BAD_REQUEST,
        Outcome::UnknownLog => StatusCode::NOT_FOUND,
        Outcome::Unsigned => StatusCode::FORBIDDEN,
        Outcome::Conflict => StatusCode::CONFLICT,
        Outcome::Inconsistent => StatusCode::UNPROCESSABLE_ENTITY,
        Outcome::Suspended | Outcome::Failed => StatusCode::SERVICE_UNAVAILABLE,
        Outcome::Busy => StatusCode::TOO_MANY_REQUESTS,
    };
    let mut response = (status, [(CONTENT_TYPE, TEXT)], format!("{error}\n")).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, 1.into());
    }
    response
}

async fn checkpoint(State(witness): State<Arc<Witness>>, uri: Uri, _: Path<String>) -> Response {
    let path = uri.path().trim_start_matches('/');
    let state = witness
        .origin_at(path)
        .and_then(|origin| witness.entry(origin).state);
    match state {
        Some(state) => ([(CONTENT_TYPE, TEXT)], state.cosigned_note().to_bytes()).into_response(),
        None => (StatusCode::NOT_FOUND, "no checkpoint\n").into_response(),
    }
}

async fn metrics_text(State(witness): State<Arc<Witness>>) -> Response {
    (
        [(CONTENT_TYPE, metrics::CONTENT_TYPE)],
        witness.metrics().text(),
    )
        .into_response()
}

async fn ready(State(witness): State<Arc<Witness>>) -> Response {
    if witness.is_ready() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the store has stopped\n").into_response()
    }
}

async fn page(State(witness): State<Arc<Witness>>) -> Response {
    let now_s = now_s();
    let mut text = "candor-witness\n".to_owned();
    for (origin, log) in witness.logs() {
        let entry = witness.entry(origin);
        let _ = write!(text, "\n{origin}\n  size: {}\n", entry.recorded().size);
        if let Some(state) = &entry.state {
            let age_s = now_s.saturating_sub(state.timestamp_s());
            let _ = writeln!(text, "  age: {age_s} s");
        }
        if let Some(map) = &log.map {
            let _ = writeln!(text, "  map checked up to: {}", map.size());
        }
        if let Some(reason) = &entry.fork {
            let _ = writeln!(text, "  ALARM, no longer cosigned: {reason}");
        }
        if entry.is_behind_anchor {
            text.push_str("  ALARM, no longer cosigned: the database is behind the anchor\n");
        }
        if let Some(reason) = &entry.map_alarm {
            let _ = writeln!(text, "  ALARM, map no longer cosigned: {reason}");
        }
    }
    ([(CONTENT_TYPE, TEXT)], text).into_response()
}
