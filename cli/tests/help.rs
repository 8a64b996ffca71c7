//! `docs/cli.md` shows the help that the command prints.
//!
//! With `CANDOR_WRITE_DOCS=1` the test writes the help into the page instead of comparing it.

#![allow(clippy::unwrap_used)]

mod support;

use support::candor;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");

#[test]
fn the_page_shows_the_help() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let mut written = String::new();
    let mut commands = 0;
    let mut rest = page.as_str();
    // A block begins with the command that prints it.
    while let Some((before, block)) = rest.split_once("```text\n$ candor ") {
        let (arguments, _) = block.split_once('\n').unwrap();
        let (_, after) = block.split_once("\n```\n").unwrap();
        let words: Vec<_> = arguments.split(' ').collect();
        let help = candor(&words);
        assert_eq!(help.exit, 0, "{arguments}");
        written += &format!(
            "{before}```text\n$ candor {arguments}\n{}```\n",
            help.stdout
        );
        rest = after;
        commands += 1;
    }
    written += rest;
    assert!(commands >= 12, "a block for each command");
    if std::env::var_os("CANDOR_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &written).unwrap();
    } else {
        assert_eq!(
            page, written,
            "see the top of this test for how to write it anew"
        );
    }
}
