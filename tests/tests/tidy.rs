//! The rules of the house that a program can check: which crate may know which, and how long things
//! may be.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest source file in lines.
const FILE_LINES_MAX: usize = 500;

/// Longest line in characters.
const LINE_CHARACTERS_MAX: usize = 100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// The dependencies of each crate of the workspace, other than those of its tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--locked",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let all = package["dependencies"].as_array().unwrap().iter();
            let normal = all.filter(|dependency| dependency["kind"] != "dev");
            (name(package), normal.map(name).collect())
        })
        .collect()
}

/// `core <- proto <- {server, witness, client-sdk} <- cli`; whoever runs as a process may use
/// `host`, which knows of `core` what signs.
#[test]
fn arrows_between_crates_point_one_way() {
    let allowed = BTreeMap::from([
        ("candor-core", vec![]),
        ("candor-proto", vec!["candor-core"]),
        ("candor-host", vec!["candor-core"]),
        (
            "candor-server",
            vec!["candor-core", "candor-host", "candor-proto"],
        ),
        (
            "candor-witness",
            vec!["candor-core", "candor-host", "candor-proto"],
        ),
        (
            "candor-sdk",
            vec!["candor-core", "candor-host", "candor-proto"],
        ),
        (
            "candor",
            vec![
                "candor-core",
                "candor-host",
                "candor-proto",
                "candor-sdk",
                "candor-system",
            ],
        ),
        // Starts programs, and knows of each what it is called and where its files are.
        (
            "candor-system",
            vec!["candor-core", "candor-host", "candor-proto", "candor-sdk"],
        ),
        // Stands beside the programs and runs what decides in them.
        (
            "candor-sim",
            vec![
                "candor-core",
                "candor-host",
                "candor-proto",
                "candor-sdk",
                "candor-server",
                "candor-witness",
            ],
        ),
    ]);
    let dependencies = dependencies();
    for (package, allowed) in allowed {
        let ours = dependencies[package]
            .iter()
            .filter(|name| name.starts_with("candor"));
        for name in ours {
            assert!(
                allowed.contains(&name.as_str()),
                "{package} must not know {name}"
            );
        }
    }
}

/// The protocol's crate does no I/O: no runtime, no transport, no storage, no clock.
#[test]
fn core_is_sans_io() {
    let dependencies = &dependencies()["candor-core"];
    for name in [
        "tokio", "tonic", "prost", "hyper", "reqwest", "fjall", "redb", "serde", "rand",
    ] {
        assert!(
            !dependencies.contains(name),
            "core must not depend on {name}"
        );
    }
}

#[test]
fn files_and_lines_are_short() {
    let mut sources = Vec::new();
    collect(&root(), &mut sources);
    assert!(sources.len() > 100, "the sources were not found");
    for source in sources {
        let text = std::fs::read_to_string(&source).unwrap();
        let lines = text.lines().count();
        assert!(
            lines <= FILE_LINES_MAX,
            "{} has {lines} lines",
            source.display()
        );
        for (index, line) in text.lines().enumerate() {
            let place = format!("{}:{}", source.display(), index + 1);
            assert!(
                line.chars().count() <= LINE_CHARACTERS_MAX,
                "{place} is too long"
            );
        }
    }
}

fn collect(folder: &Path, sources: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                collect(&path, sources);
            }
        } else if name.ends_with(".rs") {
            sources.push(path);
        }
    }
}
