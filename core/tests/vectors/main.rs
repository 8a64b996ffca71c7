//! The test vectors in `core/vectors`, for implementations in any language.
//!
//! Each file is one document, made by the module of its name: `document` builds it, `check` holds
//! this implementation against one case as it was read back from the file. The files are compared
//! byte for byte with what the code makes, so no change of an encoding goes unseen, and written by
//!
//! ```text
//! CANDOR_WRITE_VECTORS=1 cargo test -p candor-core --test vectors vectors_are_reproducible
//! ```
//!
//! Byte strings are lower-case hexadecimal. Every case has a `name`, an `operation`, its inputs,
//! and what to `expect`: the string `"reject"`, with the `reason`, or an object of outputs. What
//! must be rejected comes first: an implementation that accepts it is unsound, one that fails the
//! other cases merely incompatible.
#![allow(clippy::unwrap_used, clippy::panic)]

mod account;
mod answer;
mod case;
mod commitment;
mod gossip;
mod log;
mod map;
mod note;
mod signing;
mod verification;
mod vrf;

#[path = "../world/mod.rs"]
mod world;

use std::{env, fs, path::PathBuf};

use serde_json::Value;

use case::{Case, Document};

/// A document's file name, what makes it, and what checks one of its cases.
type Entry = (&'static str, fn() -> Document, fn(&Case));

/// The documents: one line here and one module beside this file make another.
const DOCUMENTS: &[Entry] = &[
    ("account", account::document, account::check),
    ("answer", answer::document, answer::check),
    ("commitment", commitment::document, commitment::check),
    ("gossip", gossip::document, gossip::check),
    ("log", log::document, log::check),
    ("map", map::document, map::check),
    ("note", note::document, note::check),
    ("signing", signing::document, signing::check),
    ("verification", verification::document, verification::check),
    ("vrf", vrf::document, vrf::check),
];

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn path(name: &str) -> PathBuf {
    directory().join(name).with_extension("json")
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn vectors_are_reproducible() {
    for (name, document, _) in DOCUMENTS {
        let made = document().to_json();
        if env::var_os("CANDOR_WRITE_VECTORS").is_some() {
            fs::write(path(name), &made).unwrap();
        }
        assert!(
            made == read(name),
            "{name}: the file differs from what the code makes"
        );
    }
}

#[test]
fn every_case_holds() {
    for (name, _, check) in DOCUMENTS {
        let document: Value = serde_json::from_str(&read(name)).unwrap();
        for case in document["cases"].as_array().unwrap() {
            check(&Case::new(name, case));
        }
    }
}

#[test]
fn every_document_starts_with_what_must_be_rejected_and_ends_with_what_must_not() {
    for (name, _, _) in DOCUMENTS {
        let document: Value = serde_json::from_str(&read(name)).unwrap();
        let cases = document["cases"].as_array().unwrap();
        let rejects: Vec<bool> = cases
            .iter()
            .map(|case| Case::new(name, case).is_rejected())
            .collect();
        assert!(
            rejects.is_sorted_by(|earlier, later| earlier >= later),
            "{name}"
        );
        assert!(rejects[0] && !rejects[rejects.len() - 1], "{name}");
    }
}

#[test]
fn every_file_belongs_to_a_document() {
    for entry in fs::read_dir(directory()).unwrap() {
        let file = entry.unwrap().path();
        assert!(
            DOCUMENTS.iter().any(|(name, _, _)| path(name) == file),
            "{}",
            file.display()
        );
    }
}
