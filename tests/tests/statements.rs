//! The table of `docs/contact-key-verification.md`: which test shows which statement. It is made
//! from the comments of the tests, and says so if a statement has none.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENT: &str = "docs/contact-key-verification.md";

/// Where the statements are tested.
const FOLDERS: [&str; 5] = ["core", "client-sdk", "server/tests", "cli", "sim"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The numbers in a comment `/// Statement 4.` or `/// Statements 4, 5 and 6.`
fn numbers(line: &str) -> Option<Vec<u32>> {
    let comment = line.trim_start().strip_prefix("/// Statement")?;
    let numbers = comment.split(|letter: char| !letter.is_ascii_digit());
    let numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
    (!numbers.is_empty()).then_some(numbers)
}

/// The name of the test that a comment stands above.
fn test_name<'a>(mut below: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let is_attribute = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("#[") || line.starts_with("///")
    };
    let mut is_test = false;
    let line = below.find(|line| {
        is_test |= line.contains("#[test]") || line.contains("#[tokio::test");
        !is_attribute(line)
    })?;
    let name = line.split("fn ").nth(1)?;
    is_test.then(|| name.split(['(', '<']).next().unwrap())
}

/// The tests of each statement, with their files.
fn covered() -> BTreeMap<u32, Vec<(String, String)>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        sources(&root().join(folder), &mut files);
    }
    files.sort();
    let mut covered: BTreeMap<u32, Vec<(String, String)>> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let path = file
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let lines: Vec<_> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(numbers) = numbers(line) else {
                continue;
            };
            let name = test_name(lines[index + 1..].iter().copied());
            let name = name.unwrap_or_else(|| panic!("{path}:{}: no test below", index + 1));
            for number in numbers {
                let tests = covered.entry(number).or_default();
                tests.push((name.to_owned(), path.clone()));
            }
        }
    }
    covered
}

#[test]
fn every_statement_has_its_tests() {
    let document = fs::read_to_string(root().join(DOCUMENT)).unwrap();
    let stated: Vec<u32> = document
        .lines()
        .filter_map(|line| line.split_once(". ")?.0.parse().ok())
        .collect();
    assert_eq!(stated, (1..=22).collect::<Vec<_>>());
    let covered = covered();
    for number in &stated {
        assert!(
            covered.contains_key(number),
            "no test of statement {number}"
        );
    }
    for number in covered.keys() {
        assert!(stated.contains(number), "there is no statement {number}");
    }
    let head = "| statement | tests |\n|---|---|\n";
    let (before, _) = document.split_once(head).unwrap();
    let mut table = String::new();
    for (number, tests) in &covered {
        let tests = tests
            .iter()
            .map(|(name, path)| format!("[`{name}`](../{path})"));
        let tests: Vec<_> = tests.collect();
        table += &format!("| {number} | {} |\n", tests.join(", "));
    }
    let expected = format!("{before}{head}{table}");
    if std::env::var_os("CANDOR_WRITE_DOCS").is_some() {
        fs::write(root().join(DOCUMENT), expected).unwrap();
    } else {
        assert!(
            document == expected,
            "{DOCUMENT} is not up to date: CANDOR_WRITE_DOCS=1 cargo test -p candor-tests --test \
             statements"
        );
    }
}
