//! What the witness knows, for people: HTML that needs no scripts. Origins, contacts and reasons
//! were written by others, so everything is escaped where it is put in, and the pages load nothing.

use std::fmt::{self, Display, Write as _};

use candor_core::account::is_invisible;
use candor_core::note::monitoring_path;

use crate::gossip::Node;
use crate::logs::Log;
use crate::store::Entry;
use crate::witness::Witness;

/// Nothing is loaded, nothing runs, nobody frames it.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = "body{font-family:sans-serif;margin:2em;max-width:70em}\
    table{border-collapse:collapse}td,th{padding:.3em .8em;text-align:left;\
    border-bottom:1px solid #ccc;vertical-align:top;overflow-wrap:anywhere}\
    .alarm{color:#a00;font-weight:bold}code,pre{overflow-wrap:anywhere;white-space:pre-wrap}";

/// All logs, those with alarms first.
pub fn overview(witness: &Witness, now_s: u64) -> String {
    let mut rows: Vec<_> = witness
        .logs()
        .all()
        .into_iter()
        .map(|log| {
            let entry = witness.entry(log.origin());
            let alarms = alarms(witness, &log, &entry);
            (alarms.is_empty(), log, entry, alarms)
        })
        .collect();
    rows.sort_by_key(|row| row.0);
    let name = witness.name();
    let mut page = Page::new(name);
    page.add(format_args!("<h1>Witness {}</h1>", Escaped(name)));
    page.add(format_args!("<p>Logs: {}</p>", rows.len()));
    page.add(format_args!(
        "<table><tr><th>Log<th>Size<th>Last cosigned<th>State</tr>"
    ));
    for (_, log, entry, alarms) in rows {
        let path = path_of(log.origin());
        let (origin, size) = (Escaped(log.origin()), entry.recorded().size);
        let age = age_of(&entry, now_s);
        let state = if alarms.is_empty() {
            "ok".to_owned()
        } else {
            format!("<span class=\"alarm\">{}</span>", alarms.join("<br>"))
        };
        page.add(format_args!(
            "<tr><td><a href=\"/{path}\">{origin}</a><td>{size}<td>{age}<td>{state}</tr>"
        ));
    }
    page.add(format_args!("</table>"));
    if let Some(node) = witness.gossip() {
        add_peers(&mut page, node, now_s);
    }
    page.add(format_args!("<h2>Keys</h2><ul>"));
    for key in witness.cosigner.keys() {
        page.add(format_args!("<li><code>{}</code>", Escaped(key)));
    }
    page.add(format_args!("</ul><p><a href=\"/metrics\">Metrics</a></p>"));
    page.end()
}

/// One log.
pub fn log(witness: &Witness, log: &Log, now_s: u64) -> String {
    let origin = log.origin();
    let entry = witness.entry(origin);
    let mut page = Page::new(origin);
    page.add(format_args!(
        "<p><a href=\"/\">Witness {}</a></p><h1>{}</h1>",
        Escaped(witness.name()),
        Escaped(origin)
    ));
    for alarm in alarms(witness, log, &entry) {
        page.add(format_args!("<p class=\"alarm\">ALARM: {alarm}</p>"));
    }
    page.add(format_args!("<table>"));
    let recorded = entry.recorded();
    page.row("Size", &recorded.size);
    page.row("Root", &recorded.root);
    page.row("Last cosigned", &age_of(&entry, now_s));
    if let Some(state) = &entry.state {
        page.row("Timestamp", &format_args!("{} s", state.timestamp_s()));
    }
    match &log.map {
        Some(map) => {
            page.row("Map checked up to size", &map.size());
            if let Some(report) = map.catching_up() {
                page.row("Map catching up", &report);
            }
        }
        None => page.row("Map", &"not checked"),
    }
    match (log.qpd, log.growth_left()) {
        (Some(qpd), Some(left)) => {
            page.row("Requests a day", &format_args!("{qpd}; {left} left now"));
        }
        _ => page.row("Requests a day", &"not limited"),
    }
    if let Some(contact) = &log.contact {
        page.row("Contact", contact);
    }
    for key in log.verifier.keys() {
        page.row("Key", key);
    }
    page.add(format_args!("</table>"));
    if let Some(node) = witness.gossip() {
        add_waiting(&mut page, node, origin);
    }
    if let Some(state) = &entry.state {
        page.add(format_args!(
            "<h2><a href=\"/{}\">Checkpoint</a></h2><pre>{}</pre>",
            monitoring_path(origin),
            Escaped(state.cosigned_note())
        ));
    }
    page.end()
}

/// What is wrong with a log, escaped.
fn alarms(witness: &Witness, log: &Log, entry: &Entry) -> Vec<String> {
    let mut alarms = Vec::new();
    if let Some(reason) = &entry.fork {
        alarms.push(format!("no longer cosigned: {}", Escaped(reason)));
    }
    if let Some(quarantine) = entry.quarantine {
        alarms.push(format!("in quarantine: {}", Escaped(quarantine)));
    }
    if let Some(reason) = &entry.map_alarm {
        alarms.push(format!("map no longer cosigned: {}", Escaped(reason)));
    }
    if let Some(node) = witness.gossip() {
        let waiting = node.waiting(log.origin());
        let overdue = waiting.iter().filter(|waiting| waiting.is_overdue);
        for waiting in overdue {
            alarms.push(format!(
                "not shown to be consistent with the checkpoint of size {} that peers have",
                waiting.recorded.size
            ));
        }
    }
    for (list, key) in log.key_alarms() {
        alarms.push(format!(
            "the list {} has another key, not taken over: {}",
            Escaped(list),
            Escaped(key)
        ));
    }
    alarms
}

/// With whom logs are compared.
fn add_peers(page: &mut Page, node: &Node, now_s: u64) {
    page.add(format_args!(
        "<h2>Peers</h2><table><tr><th>Peer<th>Last exchange</tr>"
    ));
    for (id, peer) in node.peers() {
        let age = age_of_time(node.exchanged_s(id), now_s);
        page.add(format_args!("<tr><td>{}<td>{age}</tr>", Escaped(&peer.url)));
    }
    page.add(format_args!("</table>"));
}

/// Which checkpoints of peers are still to be compared with those of this witness.
fn add_waiting(page: &mut Page, node: &Node, origin: &str) {
    page.add(format_args!("<h2>Peers</h2>"));
    let waiting = node.waiting(origin);
    if waiting.is_empty() {
        page.add(format_args!(
            "<p>None has a checkpoint that waits for a comparison.</p>"
        ));
        return;
    }
    page.add(format_args!(
        "<table><tr><th>Waits for a comparison<th>Root<th>Since<th>Peers</tr>"
    ));
    for waiting in waiting {
        let names: Vec<&str> = waiting.peers.iter().map(|peer| node.name(*peer)).collect();
        let (size, root) = (waiting.recorded.size, waiting.recorded.root);
        page.add(format_args!(
            "<tr><td>size {size}<td>{root}<td>{} s<td>{}</tr>",
            waiting.age.as_secs(),
            Escaped(names.join(", "))
        ));
    }
    page.add(format_args!("</table>"));
}

fn age_of(entry: &Entry, now_s: u64) -> String {
    let state = entry.state.as_ref();
    age_of_time(state.map(|state| state.timestamp_s()), now_s)
}

fn age_of_time(time_s: Option<u64>, now_s: u64) -> String {
    let Some(time_s) = time_s else {
        return "never".to_owned();
    };
    let age_s = now_s.saturating_sub(time_s);
    let (days, hours, minutes) = (age_s / 86_400, age_s / 3_600 % 24, age_s / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{age_s} s ago"),
        (0, 0, _) => format!("{minutes} min ago"),
        (0, _, _) => format!("{hours} h {minutes} min ago"),
        _ => format!("{days} d {hours} h ago"),
    }
}

/// The hash of an origin, where its page is.
fn path_of(origin: &str) -> String {
    let path = monitoring_path(origin);
    path.split('/').next().unwrap_or_default().to_owned()
}

struct Page(String);

impl Page {
    fn new(title: &str) -> Self {
        let mut page = Self(String::new());
        page.add(format_args!(
            "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>{}</title><style>{STYLE}</style><body>",
            Escaped(title)
        ));
        page
    }

    /// What others wrote is [`Escaped`] already.
    fn add(&mut self, html: fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(html);
        self.0.push('\n');
    }

    fn row(&mut self, name: &str, value: &dyn Display) {
        self.add(format_args!("<tr><th>{name}<td>{}</tr>", Escaped(value)));
    }

    fn end(mut self) -> String {
        self.0.push_str("</body></html>\n");
        self.0
    }
}

/// Text as HTML shows it, in elements and in quoted attributes. Characters that change the
/// direction of text, or are not seen, are shown as their numbers.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Control characters, what is not seen or changes the direction of text, and separators of lines
/// and paragraphs.
fn is_not_shown(character: char) -> bool {
    let is_separator = matches!(character, '\u{2028}' | '\u{2029}');
    character.is_control() || is_separator || is_invisible(character)
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                '\n' => self.0.write_char('\n')?,
                other if is_not_shown(other) => {
                    write!(self.0, "[U+{:04X}]", u32::from(other))?;
                }
                other => self.0.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_only_text() {
        let escaped = |text: &str| Escaped(text).to_string();
        assert_eq!(
            escaped("<script>alert('1')</script>&\""),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;"
        );
        assert_eq!(escaped("go.sum database tree"), "go.sum database tree");
        assert_eq!(
            escaped("a\u{202e}b\u{7f}\u{85}"),
            "a[U+202E]b[U+007F][U+0085]"
        );
        assert_eq!(escaped("two\nlines"), "two\nlines");
    }
}
