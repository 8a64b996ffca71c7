//! Every code has its page, and every page its code.
use std::collections::BTreeSet;
use std::path::Path;

use candor_sdk::CODES;

#[test]
fn codes_and_pages_are_the_same() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors/sdk");
    let pages: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let codes: BTreeSet<String> = CODES.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(pages, codes);
    assert!(CODES.is_sorted());
}

#[test]
fn every_code_in_the_source_is_listed() {
    let source = include_str!("../../src/error/classify.rs");
    let (_, table) = source.split_once("fn classify").unwrap();
    let is_code = |text: &&str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    let used: BTreeSet<&str> = table
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(is_code)
        .collect();
    assert_eq!(used, CODES.iter().copied().collect());
}
