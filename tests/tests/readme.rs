//! What the documents name exists: links, commands, make targets, error codes, vectors.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a directory whose names end so, without what is below it.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

fn documents_below(directory: &Path, found: &mut Vec<PathBuf>) {
    found.extend(files(directory, "md"));
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            documents_below(&path, found);
        }
    }
}

/// The documents of the repository's root, and everything in `docs` and `deploy`.
fn documents() -> Vec<PathBuf> {
    let mut found = files(&root(), "md");
    documents_below(&root().join("docs"), &mut found);
    documents_below(&root().join("deploy"), &mut found);
    assert!(found.len() > 20, "documents are found");
    found
}

/// What follows each occurrence of `before`, as far as `belongs` says.
fn after<'a>(text: &'a str, before: &str, belongs: fn(char) -> bool) -> Vec<&'a str> {
    let parts = text.split(before).skip(1);
    parts
        .map(|part| {
            &part[..part
                .find(|letter: char| !belongs(letter))
                .unwrap_or(part.len())]
        })
        .collect()
}

/// What stands in code or at a prompt after `program` and a space.
fn uses<'a>(text: &'a str, program: &str, belongs: fn(char) -> bool) -> Vec<&'a str> {
    let mut found = after(text, &format!("`{program} "), belongs);
    found.extend(after(text, &format!("$ {program} "), belongs));
    found
}

/// The anchors that a page's headings get.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
            let title = line.trim_start_matches('#').trim();
            let title: String = title.chars().filter(kept).collect();
            title.to_lowercase().replace(' ', "-")
        })
        .collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in after(&text, "](", |letter| letter != ')') {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", document.display());
            if !anchor.is_empty() {
                let page = fs::read_to_string(&target).unwrap();
                let is_there = anchors(&page).contains(anchor);
                assert!(is_there, "{}: {link}", document.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "links are found");
}

#[test]
fn files_that_are_named_exist() {
    let mut checked = 0;
    let is_path = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for folder in [
            "core/",
            "server/",
            "witness/",
            "client-sdk/",
            "cli/",
            "tests/",
        ] {
            for path in after(&text, &format!("`{folder}"), is_path) {
                let path = format!("{folder}{path}");
                let is_there = root().join(&path).exists();
                assert!(is_there, "{}: {path}", document.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "paths are found");
}

#[test]
fn make_targets_exist() {
    let makefile = read("Makefile");
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let is_target = |letter: char| letter.is_ascii_lowercase() || letter == '-';
        for target in uses(&text, "make", is_target) {
            let is_there = makefile
                .lines()
                .any(|line| line.starts_with(&format!("{target}:")));
            assert!(is_there, "{}: make {target}", document.display());
        }
    }
}

#[test]
fn commands_exist() {
    let page = read("docs/cli.md");
    let commands = after(&page, "### `candor ", |letter| letter != '`');
    assert!(commands.len() > 8, "sections are found");
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter == ' ';
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for used in uses(&text, "candor", is_word) {
            let used = format!("{} ", used.trim());
            let is_there = commands.iter().any(|command| {
                let command = format!("{command} ");
                used.starts_with(&command) || command.starts_with(&used)
            });
            assert!(
                is_there || used == " ",
                "{}: candor {used}",
                document.display()
            );
        }
    }
}

#[test]
fn every_refusal_of_the_server_has_a_page() {
    let source = read("server/src/sequencer/admission.rs");
    let (_, source) = source.split_once("pub const fn code(").unwrap();
    let (source, _) = source.split_once("pub const fn is_retryable(").unwrap();
    let quoted = source.split('"').skip(1).step_by(2);
    let codes: BTreeSet<String> = quoted.map(str::to_owned).collect();
    assert!(codes.len() > 5, "codes are found");

    let pages = files(&root().join("docs/errors/server"), "md");
    let pages: BTreeSet<String> = pages.iter().map(|page| stem(page)).collect();
    assert_eq!(codes, pages);

    let protocol = read("docs/protocol.md");
    for code in &codes {
        assert!(protocol.contains(&format!("`{code}`")), "protocol: {code}");
        let page = read(format!("docs/errors/server/{code}.md"));
        assert!(page.starts_with(&format!("# `{code}`\n")), "{code}");
    }
}

#[test]
fn every_page_of_an_error_is_in_the_index() {
    let index = read("docs/errors/README.md");
    for folder in ["sdk", "server"] {
        for page in files(&root().join("docs/errors").join(folder), "md") {
            let link = format!("[`{0}`]({folder}/{0}.md)", stem(&page));
            assert!(index.contains(&link), "{link}");
        }
    }
}

#[test]
fn the_protocol_counts_the_vectors() {
    let protocol = read("docs/protocol.md");
    for file in files(&root().join("core/vectors"), "json") {
        let vectors = fs::read_to_string(&file).unwrap();
        let cases = vectors.matches("\"operation\":").count();
        let row = format!("| `{}.json` | {cases} |", stem(&file));
        assert!(protocol.contains(&row), "{row}");
    }
}
