//! What the check of a configuration found.

use std::fmt::{Display, Write as _};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::key_file;
use crate::keys::{KeySlot, Keyring};

/// What is wrong with a configuration that can be read, and what is perhaps not meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What keeps the program from running.
    pub errors: Vec<String>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

impl Findings {
    /// Adds an error.
    pub fn error(&mut self, error: impl Display) {
        self.errors.push(error.to_string());
    }

    /// Adds a warning.
    pub fn warn(&mut self, warning: impl Display) {
        self.warnings.push(warning.to_string());
    }

    /// Checks that `path` can be read as a file.
    pub fn file(&mut self, path: &Path) {
        match File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => self.error(format_args!("{} is no file", path.display())),
            Err(error) => self.error(format_args!("{}: {error}", path.display())),
        }
    }

    /// Checks that `path` is a file that its owner alone may access. It is not read.
    pub fn private_file(&mut self, path: &Path) {
        if let Err(error) = key_file::open_private(path) {
            self.error(error);
        }
    }

    /// Checks that `path` is a directory.
    pub fn directory(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => self.error(format_args!("{} is no directory", path.display())),
            Err(error) => self.error(format_args!("{}: {error}", path.display())),
        }
    }

    /// Checks the places of keys, without opening a key.
    pub fn keys(&mut self, keyring: &Keyring, slots: &[KeySlot]) {
        for error in keyring.check(slots) {
            self.error(error);
        }
    }

    /// Checks the addresses of listeners, each under its key: different, and on loopback unless
    /// they have certificates.
    pub fn listeners(&mut self, listeners: [(&str, SocketAddr); 2], is_secure: bool) {
        let [(one, first), (other, second)] = listeners;
        if first == second && first.port() != 0 {
            self.error(format_args!(
                "{one} and {other} are the same address {first}"
            ));
        }
        for (key, address) in listeners {
            if !is_secure && !address.ip().is_loopback() {
                self.warn(format_args!(
                    "{key} = {address} is not on loopback, and what is served there is plain text"
                ));
            }
        }
    }

    /// Checks the place of an anchor: it can be written, best on another file system than `store`.
    pub fn anchor(&mut self, anchor: &Path, store: &Path) {
        let Some(parent) = anchor.parent() else {
            return self.error(format_args!("{} is no file", anchor.display()));
        };
        self.directory(parent);
        if anchor.exists() {
            self.file(anchor);
        }
        let device = |path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        if device(parent).is_some() && device(parent) == device(store) {
            self.warn(format_args!(
                "the anchor {} is on the file system of {}: a backup that restores both can make \
                 it sign a second history",
                anchor.display(),
                store.display()
            ));
        }
    }

    /// What to print, a line each: the warnings, and `ok`; or what is wrong.
    ///
    /// # Errors
    ///
    /// The errors and warnings; the operator is at fault.
    pub fn told(&self) -> Result<String, String> {
        let mut text = String::new();
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        if self.errors.is_empty() {
            return Ok(text + "ok\n");
        }
        for error in &self.errors {
            let _ = writeln!(text, "error: {error}");
        }
        Err(format!(
            "the configuration cannot be used\n{}",
            text.trim_end()
        ))
    }
}
