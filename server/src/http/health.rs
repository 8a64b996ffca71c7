//! Liveness, readiness, metrics, and a page that says how the log is doing.

use std::fmt::Write as _;
use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::http::header::{self, AUTHORIZATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use candor_host::listener::Peer;
use candor_host::metrics::CONTENT_TYPE;
use tonic::Code;

use super::Pages;
use crate::access::Role;
use crate::publisher::WitnessStatus;

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
fn lost_s(pages: &Pages) -> Option<u64> {
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
    let caller = pages
        .access
        .caller(peer.as_ref(), headers.get(AUTHORIZATION));
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
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        pages.metrics.registry.text(),
    )
        .into_response()
}

/// Head, age and witnesses, as plain text.
pub(super) async fn status(State(pages): State<Pages>) -> String {
    let now_s = pages.clock.now_s();
    let mut page = format!("Candor log {}\n\n", pages.origin);
    match pages.published.current() {
        Some(published) => {
            let age_s = now_s.saturating_sub(published.published_s);
            let signed = &published.signed;
            line(
                &mut page,
                "published",
                &format!("{} records, {age_s} s ago", signed.size),
            );
            if let Some(second) = &published.second {
                let age_s = now_s.saturating_sub(second.published_s);
                let state = format!("{} records, {age_s} s ago", second.size);
                line(&mut page, "second head", &state);
            }
            line(&mut page, "log root", &signed.root.to_string());
            line(&mut page, "map root", &signed.skeleton.hash().to_string());
        }
        None => line(&mut page, "published", "nothing yet"),
    }
    let quorum = match lost_s(&pages) {
        Some(lost_s) => format!("LOST for {lost_s} s: nothing new is published"),
        None => "met".to_owned(),
    };
    line(&mut page, "quorum", &quorum);
    page.push_str("\nwitnesses\n");
    for witness in &pages.board.lock().witnesses {
        line(&mut page, &witness.url, &describe(witness, now_s));
    }
    page
}

/// A witness in one line: an alarm first, then the state of the moment.
fn describe(witness: &WitnessStatus, now_s: u64) -> String {
    let ago_s = |time_s| now_s.saturating_sub(time_s);
    let state = match (&witness.failure, witness.size) {
        (Some(failure), _) => format!("failing: {failure}"),
        (None, 0) => "not asked yet".to_owned(),
        (None, size) => format!(
            "cosigned {size} records, {} s ago",
            ago_s(witness.cosigned_s)
        ),
    };
    match &witness.alarm {
        Some(alarm) => {
            let (what, since_s) = (&alarm.what, ago_s(alarm.since_s));
            format!("ALARM for {since_s} s: {what}; {state}")
        }
        None => state,
    }
}

fn line(page: &mut String, name: &str, value: &str) {
    writeln!(page, "  {name:<32} {value}").expect("writing to a string does not fail");
}
