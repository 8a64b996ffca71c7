//! The status page for browsers.

use candor_core::Hash;
use candor_host::page::{Ago, Chart, Escaped, Folded, Grouped, Page, Span, State};

use super::Pages;
use super::health::lost_s;
use crate::head::Published;
use crate::metrics::history::{Counts, Measure};
use crate::publisher::WitnessStatus;

const HOUR_S: u64 = 3600;
const TWO_DAYS_S: u64 = 48 * HOUR_S;

/// What the charts show: title, unit, and what is measured between two counts.
const CHARTS: [(&str, &str, Measure); 4] = [
    ("Updates", "/s", |from, to| {
        per_second(from, to, from.updates, to.updates)
    }),
    ("Lookups", "/s", |from, to| {
        per_second(from, to, from.lookups, to.lookups)
    }),
    ("Time to publish", " s", publish_delay),
    ("Epochs published", "", |_, to| {
        to.size.saturating_sub(1) as f64
    }),
];

/// What the words mean.
const TERMS: [(&str, &str); 6] = [
    (
        "Log",
        "A list of records that can only grow. Each record, an epoch, holds a fingerprint of all \
         accounts and their keys.",
    ),
    (
        "Head",
        "Size and root of the log, signed by it. The root is a fingerprint of all records: whoever \
         has the same head has the same log.",
    ),
    (
        "Witness",
        "A server of somebody else. It cosigns a head if the log has only grown, so that nobody \
         can be shown another log unseen.",
    ),
    (
        "Quorum",
        "The witnesses that must have cosigned a head before devices accept it. Without them \
         nothing new is published, and lookups are answered from the last published head.",
    ),
    (
        "Lag",
        "Records of the newest signed head that a witness has not cosigned yet.",
    ),
    (
        "Time to publish",
        "From the making of an epoch until enough witnesses have cosigned it: the mean.",
    ),
];

/// The whole page.
pub(super) fn html(pages: &Pages) -> String {
    let now_s = pages.clock.now_s();
    let origin = &*pages.origin;
    let mut page = Page::new(&format!("Candor log {origin}"));
    page.add(format_args!(
        "<header><p>Candor log</p><h1>{}</h1></header>",
        Escaped(origin)
    ));
    let published = pages.published.current();
    let witnesses = pages.board.lock().witnesses.clone();
    add_state(&mut page, pages, &witnesses, now_s);
    let counts = pages.metrics.counts(now_s);
    add_cards(&mut page, pages, published.as_deref(), &counts);
    add_witnesses(&mut page, pages, &witnesses, now_s);
    add_charts(&mut page, pages, &counts);
    if let Some(published) = &published {
        add_head(&mut page, published, now_s);
    }
    page.open_section("What the words mean");
    page.add(format_args!("<dl>"));
    for (term, meaning) in TERMS {
        page.add(format_args!("<dt>{term}</dt><dd>{meaning}</dd>"));
    }
    page.add(format_args!("</dl>"));
    page.close_section();
    page.add(format_args!(
        "<footer><a href=\"/checkpoint\">Checkpoint</a> · <a href=\"/metrics\">Metrics</a> · \
         <a href=\"/readyz\">Readiness</a> · <a href=\"/\">Load this page again</a>: \
         it stays as it was made. candor-server {}</footer>",
        env!("CARGO_PKG_VERSION")
    ));
    page.end()
}

/// How everything is doing, in a sentence, and every alarm.
fn add_state(page: &mut Page, pages: &Pages, witnesses: &[WitnessStatus], now_s: u64) {
    let lost_s = lost_s(pages);
    match (pages.freshness.check(), lost_s) {
        (Ok(()), None) if witnesses.is_empty() => {
            page.notice(State::Good, &"A fresh head is published.");
        }
        (Ok(()), None) => page.notice(State::Good, &"A fresh head is published and cosigned."),
        (Ok(()), Some(_)) => {}
        (Err(reason), _) => page.notice(State::Bad, &reason),
    }
    if let Some(lost_s) = lost_s {
        let text = "The quorum of witnesses is LOST: nothing new is published, for";
        page.notice(State::Bad, &format_args!("{text} {}.", Span(lost_s)));
    }
    for witness in witnesses {
        if let Some(alarm) = &witness.alarm {
            let since = Span(now_s.saturating_sub(alarm.since_s));
            let (url, what) = (&witness.url, &alarm.what);
            page.notice(
                State::Bad,
                &format_args!("ALARM for {since}, {url}: {what}"),
            );
        }
    }
}

fn add_cards(page: &mut Page, pages: &Pages, published: Option<&Published>, counts: &Counts) {
    let size = published.map_or(0, |published| published.signed.size);
    let age = published.map(|published| {
        let age_s = counts.at_s.saturating_sub(published.published_s);
        Ago(age_s).to_string()
    });
    let quorum = match lost_s(pages) {
        Some(_) => "lost",
        None => "met",
    };
    page.add(format_args!("<ul class=\"cards\">"));
    let card = |page: &mut Page, name: &str, value: &str| {
        page.add(format_args!(
            "<li><span>{name}</span><b>{}</b></li>",
            Escaped(value)
        ));
    };
    card(page, "Records published", &Grouped(size).to_string());
    card(page, "Newest head", age.as_deref().unwrap_or("none yet"));
    card(page, "Quorum", quorum);
    let leaves = pages.metrics.leaves();
    card(page, "Label versions", &Grouped(leaves).to_string());
    page.add(format_args!("</ul>"));
}

fn add_witnesses(page: &mut Page, pages: &Pages, witnesses: &[WitnessStatus], now_s: u64) {
    page.open_section("Witnesses");
    if witnesses.is_empty() {
        page.notice(
            State::Doubtful,
            &"No witnesses: nobody but the operator vouches for this log.",
        );
        page.close_section();
        return;
    }
    page.add(format_args!(
        "<table class=\"wide\"><thead><tr><th scope=\"col\">Witness<th scope=\"col\">State\
         <th scope=\"col\">Last cosigned<th scope=\"col\">Size<th scope=\"col\">Lag</tr></thead>\
         <tbody>"
    ));
    let signed = pages.signed.borrow().as_ref().map_or(0, |head| head.size);
    for witness in witnesses {
        let (state, text) = state_of(witness);
        page.add(format_args!(
            "<tr><td data-name=\"Witness\">{}",
            Escaped(&witness.url)
        ));
        page.state_cell("State", state, &text);
        let (cosigned, size) = match witness.size {
            0 => ("not yet".to_owned(), "–".to_owned()),
            size => {
                let ago = Ago(now_s.saturating_sub(witness.cosigned_s));
                (ago.to_string(), Grouped(size).to_string())
            }
        };
        let lag = Grouped(signed.saturating_sub(witness.size));
        page.add(format_args!(
            "<td class=\"number\" data-name=\"Last cosigned\">{cosigned}\
             <td class=\"number\" data-name=\"Size\">{size}\
             <td class=\"number\" data-name=\"Lag\">{lag}</tr>"
        ));
    }
    page.add(format_args!("</tbody></table>"));
    page.close_section();
}

fn state_of(witness: &WitnessStatus) -> (State, String) {
    match (&witness.alarm, &witness.failure, witness.size) {
        (Some(_), _, _) => (State::Bad, "ALARM".to_owned()),
        (None, Some(failure), _) => (State::Doubtful, format!("failing: {failure}")),
        (None, None, 0) => (State::Doubtful, "not asked yet".to_owned()),
        (None, None, _) => (State::Good, "cosigns".to_owned()),
    }
}

fn add_charts(page: &mut Page, pages: &Pages, now: &Counts) {
    page.open_section("Lately");
    let history = &pages.metrics.history;
    for (title, period_s) in [("Last hour", HOUR_S), ("Last two days", TWO_DAYS_S)] {
        page.add(format_args!("<h3>{title}</h3><div class=\"charts\">"));
        for (title, unit, measure) in CHARTS {
            let steps = match period_s {
                HOUR_S => history.hour(now, measure),
                _ => history.two_days(now, measure),
            };
            let chart = Chart {
                title,
                unit,
                period_s,
                steps: &steps,
            };
            page.add(format_args!("{chart}"));
        }
        page.add(format_args!("</div>"));
    }
    page.close_section();
}

fn add_head(page: &mut Page, published: &Published, now_s: u64) {
    let signed = &published.signed;
    page.open_section("Published head");
    page.add(format_args!("<table class=\"facts\">"));
    page.row("Size", &format_args!("{} records", Grouped(signed.size)));
    let ago = |time_s: u64| Ago(now_s.saturating_sub(time_s));
    page.row("Published", &ago(published.published_s));
    add_root(page, "Log root", &signed.root);
    add_root(page, "Map root", &signed.skeleton.hash());
    page.row("Signatures", &published.note.signatures().len());
    if let Some(second) = &published.second {
        let (size, ago) = (Grouped(second.size), ago(second.published_s));
        page.row("Second head", &format_args!("{size} records, {ago}"));
    }
    page.add(format_args!("</table>"));
    page.close_section();
}

/// A hash by its first digits, and whole for who opens it.
fn add_root(page: &mut Page, name: &str, root: &Hash) {
    let (text, shown) = (root, 12);
    let root = Folded { text, shown };
    page.add(format_args!("<tr><th scope=\"row\">{name}<td>{root}</tr>"));
}

fn per_second(from: &Counts, to: &Counts, before: u64, after: u64) -> f64 {
    let seconds = to.at_s.saturating_sub(from.at_s).max(1);
    after.saturating_sub(before) as f64 / seconds as f64
}

/// The mean of the heads that were published between two counts; zero if there were none.
fn publish_delay(from: &Counts, to: &Counts) -> f64 {
    let heads = to.publications.saturating_sub(from.publications);
    let seconds = to.publication_seconds - from.publication_seconds;
    if heads == 0 {
        0.0
    } else {
        seconds / heads as f64
    }
}
