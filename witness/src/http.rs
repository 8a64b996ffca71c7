//! The witness over HTTP: c2sp.org/tlog-witness, metrics, health, and a page for people.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use candor_core::limits::SIGN_SUBTREE_BYTES_MAX;
use candor_core::note::{
    AddCheckpoint, SIZE_CONTENT_TYPE, SignSubtree, SignatureLine, encode_cosignatures, encode_size,
};
use candor_host::http::Limits;
use candor_host::request::Port;
use candor_host::{metrics, page as look};

use crate::decision::Refusal;
use crate::metrics::Outcome;
use crate::page;
use crate::witness::{AddError, Witness, now_s};

const TEXT: &str = "text/plain; charset=utf-8";

/// What the listener grants: the longest request of the protocol, and the longest wait for a map
/// within the default time of a request.
pub fn limits() -> Limits {
    Limits {
        body_bytes: SIGN_SUBTREE_BYTES_MAX,
        ..Limits::default()
    }
}

/// How requests are counted: by these names, and `other`.
const PORT: Port = Port {
    name: "http",
    methods: &[
        "/add-checkpoint",
        "/sign-subtree",
        "/metrics",
        "/livez",
        "/readyz",
        "/",
    ],
};

/// The routes of a witness, watched; submission and monitoring prefix are both its root.
pub fn router(witness: Arc<Witness>) -> Router {
    let requests = witness.metrics().watched.clone();
    let routes = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/sign-subtree", post(sign_subtree))
        .route("/{origin}", get(log_page))
        .route("/{origin}/checkpoint", get(checkpoint))
        .route("/metrics", get(metrics_text))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/", get(page))
        .with_state(witness);
    routes.layer(requests.watch(PORT))
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    let request = match AddCheckpoint::parse(&body) {
        Ok(request) => request,
        Err(error) => {
            witness.metrics().request(Outcome::Malformed);
            return failure(&AddError::Refused(Refusal::Body(error)));
        }
    };
    answer(witness.add_checkpoint(request).await)
}

async fn sign_subtree(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    let request = match SignSubtree::parse(&body) {
        Ok(request) => request,
        Err(error) => {
            witness.metrics().subtree(Outcome::Malformed);
            return failure(&AddError::Refused(Refusal::Body(error)));
        }
    };
    answer(witness.sign_subtree(request).await)
}

fn answer(result: Result<Vec<SignatureLine>, AddError>) -> Response {
    match result {
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
        Outcome::Busy | Outcome::RateLimited => StatusCode::TOO_MANY_REQUESTS,
    };
    let mut response = (status, [(CONTENT_TYPE, TEXT)], format!("{error}\n")).into_response();
    let retry_after_s = match error {
        AddError::RateLimited { retry_after_s } => Some(*retry_after_s),
        AddError::Busy => Some(1),
        _ => None,
    };
    if let Some(retry_after_s) = retry_after_s {
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, retry_after_s.into());
    }
    response
}

async fn checkpoint(State(witness): State<Arc<Witness>>, uri: Uri, _: Path<String>) -> Response {
    let path = uri.path().trim_start_matches('/');
    let log = witness.logs().at_path(path);
    let state = log.and_then(|log| witness.entry(log.origin()).state);
    match state {
        Some(state) => {
            let headers = [(CONTENT_TYPE, TEXT), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
            (headers, state.cosigned_note().to_bytes()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "no checkpoint\n").into_response(),
    }
}

async fn metrics_text(State(witness): State<Arc<Witness>>) -> Response {
    let metrics = witness.metrics().clone();
    match tokio::task::spawn_blocking(move || metrics.text()).await {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn ready(State(witness): State<Arc<Witness>>) -> Response {
    if witness.is_ready() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the store has stopped\n").into_response()
    }
}

async fn page(State(witness): State<Arc<Witness>>) -> Response {
    look::response(page::overview(&witness, now_s()))
}

async fn log_page(State(witness): State<Arc<Witness>>, uri: Uri, _: Path<String>) -> Response {
    let path = format!("{}/checkpoint", uri.path().trim_start_matches('/'));
    match witness.logs().at_path(&path) {
        Some(log) => look::response(page::log(&witness, &log, now_s())),
        None => (StatusCode::NOT_FOUND, "no such log\n").into_response(),
    }
}
