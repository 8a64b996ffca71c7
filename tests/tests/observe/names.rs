//! The names of metrics: constants of the programs, and nothing else, in tables and queries.

use std::collections::BTreeSet;
use std::fs;

use super::{read, root};

type Names = BTreeSet<String>;

const SHARED: [&str; 3] = [
    "host/src/metrics.rs",
    "host/src/request.rs",
    "host/src/tls/certificates.rs",
];

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
}

fn is_metric(word: &str) -> bool {
    let mut beginnings = ["candor_", "process_"].iter();
    beginnings.any(|beginning| {
        word.strip_prefix(beginning)
            .is_some_and(|rest| !rest.is_empty())
    })
}

/// The words of a text that look like names of metrics.
fn metrics_in(text: &str) -> Names {
    let words = text.split(|letter: char| !is_of_name(letter));
    words
        .filter(|word| is_metric(word))
        .map(str::to_owned)
        .collect()
}

/// The quoted names in a source, without its tests.
fn constants(source: &str) -> Names {
    let text = read(source);
    let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
    let quoted = code.split('"').skip(1).step_by(2);
    let names = quoted.filter(|text| is_metric(text) && text.chars().all(is_of_name));
    names.map(str::to_owned).collect()
}

fn of_sources<'a>(sources: impl IntoIterator<Item = &'a str>) -> Names {
    sources.into_iter().flat_map(constants).collect()
}

pub fn of_shared() -> Names {
    of_sources(SHARED)
}

pub fn of_server() -> Names {
    let mut names = constants("server/src/metrics.rs");
    for entry in fs::read_dir(root().join("server/src/metrics")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        names.extend(constants(&format!("server/src/metrics/{file}")));
    }
    names
}

pub fn of_witness() -> Names {
    constants("witness/src/metrics.rs")
}

/// Names of a query, which may ask for a part of a histogram.
pub fn assert_known(query: &str) -> usize {
    let known = [of_shared(), of_server(), of_witness()];
    let known: Names = known.into_iter().flatten().collect();
    let asked = metrics_in(query);
    for name in &asked {
        let mut parts = ["", "_bucket", "_count", "_sum"].iter();
        let is_known =
            parts.any(|part| name.strip_suffix(part).is_some_and(|it| known.contains(it)));
        assert!(is_known, "{name} is no metric, in {query}");
    }
    asked.len()
}

/// The names in the first column of the tables of a page's section.
fn documented(page: &str, section: &str) -> Names {
    let page = read(page);
    let (_, text) = page.split_once(section).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_tables_of_metrics_are_whole() {
    let server = of_server();
    assert!(
        server.len() > 40 && of_witness().len() > 20,
        "constants are found"
    );
    let all: Names = server.into_iter().chain(of_shared()).collect();
    assert_eq!(documented("docs/operating.md", "\n## Metrics\n"), all);
    let witness = documented("docs/witness-operating.md", "\n## Metrics\n");
    assert_eq!(witness, of_witness());
}

#[test]
fn the_dashboard_asks_for_metrics_that_are_there() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/candor.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let mut asked = 0;
    for target in targets.flatten() {
        asked += assert_known(target["expr"].as_str().unwrap());
        assert_eq!(target["datasource"]["uid"], "${datasource}");
    }
    assert!(asked > 80, "queries are found");
    let rows = panels.iter().filter(|panel| panel["type"] == "row");
    assert!(rows.count() >= 6, "rows are found");
}

/// Requests of a method that is not in a list would be counted as `other`.
#[test]
fn every_method_is_counted_by_its_name() {
    let mut methods = 0;
    for entry in fs::read_dir(root().join("proto/candor/v1")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut service = "";
        for line in text.lines() {
            let line = line.trim();
            if let Some(rest) = line.strip_prefix("service ") {
                service = rest.split(' ').next().unwrap();
            }
            // What the operator asks for does not come through a port.
            let rest = line.strip_prefix("rpc ").filter(|_| service != "Admin");
            let Some(rest) = rest else {
                continue;
            };
            let method = rest.split('(').next().unwrap();
            let name = format!("\"/candor.v1.{service}/{method}\"");
            let mut ports = ["server/src/api/mod.rs", "witness/src/grpc.rs"].iter();
            assert!(ports.any(|port| read(port).contains(&name)), "{name}");
            methods += 1;
        }
    }
    assert!(methods > 10, "methods are found");
}
