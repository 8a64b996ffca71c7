//! What the witness knows, for people: HTML that needs no scripts. Origins, contacts and reasons
//! were written by others, so everything is escaped where it is put in, and the pages load nothing.

use candor_core::note::monitoring_path;
use candor_host::page::{Ago, Escaped, Folded, Grouped, Page, State};

use crate::gossip::Node;
use crate::logs::Log;
use crate::store::Entry;
use crate::witness::Witness;

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
    let mut page = Page::new(&format!("Witness {name}"));
    page.add(format_args!(
        "<header><p>Witness</p><h1>{}</h1></header>",
        Escaped(name)
    ));
    let wrong = rows.iter().filter(|row| !row.0).count();
    match (witness.is_ready(), wrong) {
        (false, _) => page.notice(State::Bad, &"The store has stopped: nothing is cosigned."),
        (true, 0) => page.notice(State::Good, &"Every log is as it should be."),
        (true, wrong) => page.notice(State::Bad, &format_args!("Logs with alarms: {wrong}")),
    }
    page.open_section("Logs");
    page.add(format_args!(
        "<p>Logs: {}</p><table class=\"wide\"><thead><tr><th scope=\"col\">Log\
         <th scope=\"col\">Size<th scope=\"col\">Last cosigned<th scope=\"col\">State</tr>\
         </thead><tbody>",
        rows.len()
    ));
    for (_, log, entry, alarms) in rows {
        let path = path_of(log.origin());
        let (origin, size) = (Escaped(log.origin()), Grouped(entry.recorded().size));
        page.add(format_args!(
            "<tr><td data-name=\"Log\"><a href=\"/{path}\">{origin}</a>\
             <td class=\"number\" data-name=\"Size\">{size}\
             <td class=\"number\" data-name=\"Last cosigned\">{}",
            age_of(&entry, now_s)
        ));
        match alarms.as_slice() {
            [] => page.state_cell("State", State::Good, &"ok"),
            alarms => page.state_cell("State", State::Bad, &alarms.join("; ")),
        }
        page.add(format_args!("</tr>"));
    }
    page.add(format_args!("</tbody></table>"));
    page.close_section();
    if let Some(node) = witness.gossip() {
        add_peers(&mut page, node, now_s);
    }
    page.open_section("Keys");
    page.add(format_args!("<ul>"));
    for key in witness.cosigner.keys() {
        page.add(format_args!("<li>{}", folded(key)));
    }
    page.add(format_args!("</ul>"));
    page.close_section();
    page.add(format_args!(
        "<footer><a href=\"/metrics\">Metrics</a> · <a href=\"/readyz\">Readiness</a> · \
         candor-witness {}</footer>",
        env!("CARGO_PKG_VERSION")
    ));
    page.end()
}

/// One log.
pub fn log(witness: &Witness, log: &Log, now_s: u64) -> String {
    let origin = log.origin();
    let entry = witness.entry(origin);
    let mut page = Page::new(origin);
    page.add(format_args!(
        "<header><p><a href=\"/\">Witness {}</a></p><h1>{}</h1></header>",
        Escaped(witness.name()),
        Escaped(origin)
    ));
    for alarm in alarms(witness, log, &entry) {
        page.notice(State::Bad, &format_args!("ALARM: {alarm}"));
    }
    page.open_section("What is known of the log");
    page.add(format_args!("<table class=\"facts\">"));
    let recorded = entry.recorded();
    page.row("Size", &Grouped(recorded.size));
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
        page.add(format_args!(
            "<tr><th scope=\"row\">Key<td>{}</tr>",
            folded(key)
        ));
    }
    page.add(format_args!("</table>"));
    page.close_section();
    if let Some(node) = witness.gossip() {
        add_waiting(&mut page, node, origin);
    }
    if let Some(state) = &entry.state {
        page.add(format_args!(
            "<section><h2><a href=\"/{}\">Checkpoint</a></h2><pre>{}</pre></section>",
            monitoring_path(origin),
            Escaped(state.cosigned_note())
        ));
    }
    page.end()
}

/// What is wrong with a log. Origins, reasons and keys in it are still as others wrote them.
fn alarms(witness: &Witness, log: &Log, entry: &Entry) -> Vec<String> {
    let mut alarms = Vec::new();
    if let Some(reason) = &entry.fork {
        alarms.push(format!("no longer cosigned: {}", reason));
    }
    if let Some(quarantine) = entry.quarantine {
        alarms.push(format!("in quarantine: {}", quarantine));
    }
    if let Some(reason) = &entry.map_alarm {
        alarms.push(format!("map no longer cosigned: {}", reason));
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
            list, key
        ));
    }
    alarms
}

/// With whom logs are compared.
fn add_peers(page: &mut Page, node: &Node, now_s: u64) {
    page.open_section("Peers");
    page.add(format_args!(
        "<table class=\"wide\"><thead><tr><th scope=\"col\">Peer\
         <th scope=\"col\">Last exchange</tr></thead><tbody>"
    ));
    for (id, peer) in node.peers() {
        page.add(format_args!(
            "<tr><td data-name=\"Peer\">{}<td data-name=\"Last exchange\">{}</tr>",
            Escaped(&peer.url),
            age_of_time(node.exchanged_s(id), now_s)
        ));
    }
    page.add(format_args!("</tbody></table>"));
    page.close_section();
}

/// Which checkpoints of peers are still to be compared with those of this witness.
fn add_waiting(page: &mut Page, node: &Node, origin: &str) {
    page.open_section("Peers");
    let waiting = node.waiting(origin);
    if waiting.is_empty() {
        page.add(format_args!(
            "<p>None has a checkpoint that waits for a comparison.</p>"
        ));
        page.close_section();
        return;
    }
    page.add(format_args!(
        "<table class=\"wide\"><thead><tr><th scope=\"col\">Waits for a comparison\
         <th scope=\"col\">Root<th scope=\"col\">Since<th scope=\"col\">Peers</tr></thead><tbody>"
    ));
    for waiting in waiting {
        let names: Vec<&str> = waiting.peers.iter().map(|peer| node.name(*peer)).collect();
        let (size, root) = (waiting.recorded.size, waiting.recorded.root);
        page.add(format_args!(
            "<tr><td data-name=\"Waits for a comparison\">size {size}\
             <td data-name=\"Root\">{root}<td data-name=\"Since\">{}\
             <td data-name=\"Peers\">{}</tr>",
            Ago(waiting.age.as_secs()),
            Escaped(names.join(", "))
        ));
    }
    page.add(format_args!("</tbody></table>"));
    page.close_section();
}

fn age_of(entry: &Entry, now_s: u64) -> String {
    let state = entry.state.as_ref();
    age_of_time(state.map(|state| state.timestamp_s()), now_s)
}

fn age_of_time(time_s: Option<u64>, now_s: u64) -> String {
    let Some(time_s) = time_s else {
        return "never".to_owned();
    };
    Ago(now_s.saturating_sub(time_s)).to_string()
}

/// A key: those of ML-DSA-44 have some 1,800 characters.
const fn folded<T>(text: T) -> Folded<T> {
    Folded { text, shown: 80 }
}

/// The hash of an origin, where its page is.
fn path_of(origin: &str) -> String {
    let path = monitoring_path(origin);
    path.split('/').next().unwrap_or_default().to_owned()
}
