//! Alerts: each names metrics that are there, has a page and a test, and promtool agrees.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use super::names::assert_known;
use super::{read, root};

const RULES: &str = "deploy/prometheus/alerts.yml";

/// What follows `key` in each line that has it.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(key));
    lines.map(str::trim).collect()
}

#[test]
fn every_alert_has_metrics_a_page_and_a_test() {
    let rules = read(RULES);
    let alerts: Vec<&str> = values(&rules, "- alert:");
    assert!(alerts.len() > 20, "alerts are found");
    let (page, tests) = (
        read("docs/operating.md"),
        read("deploy/prometheus/alerts.test.yml"),
    );
    let sections: BTreeSet<&str> = values(&page, "### Alert:").into_iter().collect();
    let named: BTreeSet<&str> = alerts.iter().copied().collect();
    assert_eq!(sections, named, "sections of the page");
    let tested: BTreeSet<&str> = values(&tests, "- name:").into_iter().collect();
    assert_eq!(tested, sections, "tests of the rules");
    for (alert, rule) in alerts.iter().zip(rules.split("- alert:").skip(1)) {
        let runbook = format!("docs/operating.md#alert-{}", alert.to_lowercase());
        assert_eq!(values(rule, "runbook:"), [runbook], "{alert}");
        assert_eq!(values(rule, "summary:").len(), 1, "{alert}");
        let severity = values(rule, "labels:");
        let known = ["{ severity: page }", "{ severity: ticket }"];
        assert_eq!(severity.len(), 1, "{alert}");
        assert!(
            severity.iter().all(|it| known.contains(it)),
            "{alert}: {severity:?}"
        );
        let (query, _) = rule.split_once("annotations:").unwrap();
        let asked = assert_known(query);
        assert!(
            asked > 0 || query.contains("up{"),
            "{alert} asks for nothing"
        );
    }
}

/// Where promtool is: installed, or where `make tools` puts it.
fn promtool() -> Option<PathBuf> {
    let candidates = [PathBuf::from("promtool"), root().join("target/promtool")];
    let runs = |path: &PathBuf| Command::new(path).arg("--version").output().is_ok();
    candidates.into_iter().find(runs)
}

#[test]
fn promtool_agrees_with_rules_and_their_tests() {
    let Some(promtool) = promtool() else {
        eprintln!("skipped: no promtool; `make tools` fetches it");
        return;
    };
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ] {
        let checked = Command::new(&promtool)
            .args(arguments)
            .current_dir(root().join("deploy/prometheus"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stdout);
        let error = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{arguments:?}: {said}{error}");
    }
}
