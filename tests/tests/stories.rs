//! Every story of `candor device scenario` holds.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use candor_system::process::run;
use serde_json::Value;

#[test]
fn every_story_holds_and_checks_what_people_see() {
    let listed = run("candor", &["device", "scenario", "--list", "--json"]).unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let listed = listed["stories"].as_array().unwrap();
    assert_eq!(listed.len(), 11);

    let told = run("candor", &["device", "scenario", "--all", "--json"]);
    let told = told.unwrap_or_else(|error| panic!("{error}"));
    let told: Value = serde_json::from_str(&told).unwrap();
    let told = told["stories"].as_array().unwrap();
    assert_eq!(told.len(), listed.len());
    for (story, listed) in told.iter().zip(listed) {
        let name = &story["name"];
        assert_eq!(name, &listed["name"]);
        assert_eq!(story["holds"], true, "{story:#}");
        let lines = story["lines"].as_array().unwrap();
        let count = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
        assert!(count("holds") >= 2, "{name} checks something");
        assert!(
            count("sees") + count("alarmed") > 0,
            "{name} shows what is seen"
        );
        assert_eq!(count("fails"), 0, "{name}");
    }
}
