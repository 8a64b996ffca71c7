//! How the log is doing: at `/`.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use candor_host::page;

use super::Pages;
use super::health::lost_s;
use crate::publisher::WitnessStatus;

/// Head, age and witnesses: a page for browsers, plain text for everybody else.
pub(super) async fn status(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    if page::wants_html(&headers) {
        page::response(super::page::html(&pages))
    } else {
        ([(header::VARY, "accept")], text(&pages)).into_response()
    }
}

fn text(pages: &Pages) -> String {
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
    let quorum = match lost_s(pages) {
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
