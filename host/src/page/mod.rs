//! Pages for people, of servers and witnesses alike: HTML that needs no scripts and loads nothing.
//!
//! What others wrote (origins, reasons, what a witness answered) is put in as [`Escaped`] only.
//! Colours follow the reader's system, light or dark, and no state is told by colour alone.

mod chart;
mod escape;
mod numbers;
mod style;

use std::fmt::{self, Display, Write as _};

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};

pub use self::chart::{Chart, Step};
pub use self::escape::{Escaped, Folded};
pub use self::numbers::{Ago, Grouped, Short, Span};
use self::style::STYLE;

/// Nothing is loaded, nothing runs, nobody frames it, and no form leads anywhere.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; \
                          base-uri 'none'; form-action 'none'";

/// How something is doing, in words and colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Good,
    /// Worth a look, and nobody is harmed yet.
    Doubtful,
    /// Somebody has to act.
    Bad,
}

impl State {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
        }
    }
}

/// A page that is being written.
#[derive(Debug)]
pub struct Page(String);

impl Page {
    /// A page with this title, up to and with the opening of its main part.
    pub fn new(title: &str) -> Self {
        let mut page = Self(String::with_capacity(16 << 10));
        page.add(format_args!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{}</title><style>{STYLE}</style></head><body><main>",
            Escaped(title)
        ));
        page
    }

    /// Adds HTML. What others wrote must be [`Escaped`] in it.
    pub fn add(&mut self, html: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(html);
        self.0.push('\n');
    }

    /// Adds a heading and opens its section, which [`Self::close_section`] closes.
    pub fn open_section(&mut self, title: &str) {
        self.add(format_args!("<section><h2>{}</h2>", Escaped(title)));
    }

    /// Closes a section.
    pub fn close_section(&mut self) {
        self.add(format_args!("</section>"));
    }

    /// Adds a box that says how everything is doing, or what is wrong.
    pub fn notice(&mut self, state: State, text: &dyn Display) {
        let class = state.class();
        self.add(format_args!(
            "<p class=\"notice {class}\">{}</p>",
            Escaped(text)
        ));
    }

    /// Adds a row of a table of names and values.
    pub fn row(&mut self, name: &str, value: &dyn Display) {
        self.add(format_args!(
            "<tr><th scope=\"row\">{}<td>{}</tr>",
            Escaped(name),
            Escaped(value)
        ));
    }

    /// Adds a cell that says how something is doing. `name` heads it where the screen is narrow.
    pub fn state_cell(&mut self, name: &str, state: State, text: &dyn Display) {
        let class = state.class();
        self.add(format_args!(
            "<td data-name=\"{}\"><span class=\"state {class}\">{}</span>",
            Escaped(name),
            Escaped(text)
        ));
    }

    /// The whole page.
    pub fn end(mut self) -> String {
        self.0.push_str("</main></body></html>\n");
        self.0
    }
}

/// Answers with a page, and with headers that forbid it everything that it does not need.
pub fn response(page: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (VARY, "accept"),
    ];
    (headers, page).into_response()
}

/// Whether who asks is a browser: it names HTML among what it accepts. Programs that fetch
/// anything get plain text.
pub fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut types = accepted.filter_map(|value| value.to_str().ok());
    types.any(|types| types.contains("text/html"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_who_names_html_gets_it() {
        let wants = |accept: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            wants_html(&headers)
        };
        assert!(wants(Some(
            "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
        )));
        for accept in [None, Some("*/*"), Some("text/plain"), Some("")] {
            assert!(!wants(accept), "{accept:?}");
        }
    }

    #[test]
    fn what_others_wrote_stays_text_wherever_it_is_put() {
        let hostile = "\"><script>alert(1)</script>";
        let mut page = Page::new(hostile);
        page.open_section(hostile);
        page.notice(State::Bad, &hostile);
        page.add(format_args!("<table>"));
        page.row(hostile, &hostile);
        page.state_cell(hostile, State::Good, &hostile);
        page.add(format_args!("</table>"));
        page.close_section();
        let html = page.end();
        assert_eq!(html.matches("<script").count(), 0, "{html}");
        assert_eq!(html.matches("\">&lt;script").count(), 0, "{html}");
        assert!(
            html.matches("&quot;&gt;&lt;script&gt;").count() >= 6,
            "{html}"
        );
    }
}
