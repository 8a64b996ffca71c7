//! Liveness, readiness, metrics, and a page that says how the log is doing.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use candor_host::metrics::CONTENT_TYPE;

use super::Pages;
use crate::publisher::lock;

/// The process answers.
pub(super) async fn live() -> &'static str {
    "alive\n"
}

/// The promise holds: a fresh head is published.
pub(super) async fn ready(State(pages): State<Pages>) -> Response {
    match pages.freshness.check() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// Prometheus' text format.
pub(super) async fn metrics(State(pages): State<Pages>) -> Response {
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
            line(&mut page, "log root", &signed.root.to_string());
            line(&mut page, "map root", &signed.skeleton.hash().to_string());
        }
        None => line(&mut page, "published", "nothing yet"),
    }
    page.push_str("\nwitnesses\n");
    for witness in lock(&pages.witnesses).iter() {
        let state = match (&witness.alarm, &witness.failure, witness.cosigned_s) {
            (Some(alarm), ..) => format!("ALARM: {alarm}"),
            (None, Some(failure), _) => format!("failing: {failure}"),
            (None, None, 0) => "not asked yet".to_owned(),
            (None, None, at_s) => {
                let age_s = now_s.saturating_sub(at_s);
                format!("cosigned {} records, {age_s} s ago", witness.size)
            }
        };
        line(&mut page, &witness.url, &state);
    }
    page
}

fn line(page: &mut String, name: &str, value: &str) {
    writeln!(page, "  {name:<32} {value}").expect("writing to a string does not fail");
}
