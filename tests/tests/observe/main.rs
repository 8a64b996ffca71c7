//! What an operator sees: that documentation, dashboard and alerts name what is there, that the
//! status page can be read in a browser, and that nothing of people is in the lines of a log.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod alerts;
mod browser;
mod lines;
mod names;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
