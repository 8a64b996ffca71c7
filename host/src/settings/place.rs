//! Where something of a configuration stands, and what is wrong there.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::environment::Overlay;
use crate::durable::ReadError;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// Why there is no configuration. The operator is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read, or is too long.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file is not UTF-8.
    #[error("{} is not text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// Something is wrong in the file, or in a variable.
    #[error("{place}: {message}")]
    Wrong {
        /// Where.
        place: Place,
        /// What, with the key's name, on one line.
        message: String,
    },
    /// There are too many variables with the program's prefix, or they are too long.
    #[error("the environment variables that begin with {prefix} are too many or too long")]
    TooMuch {
        /// What their names begin with.
        prefix: &'static str,
    },
}

/// The file and the variables, by offset.
pub(super) struct Sources<'a> {
    path: &'a Path,
    text: &'a str,
    overlay: &'a Overlay,
}

impl<'a> Sources<'a> {
    pub fn new(path: &'a Path, text: &'a str, overlay: &'a Overlay) -> Self {
        Self {
            path,
            text,
            overlay,
        }
    }

    fn at(&self, offset: usize) -> Place {
        if let Some(name) = self.overlay.variable_at(offset) {
            return Place::Variable(name.to_owned());
        }
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        Place::File {
            path: self.path.to_owned(),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
        }
    }

    /// Where the value of the key with `path` stands, if it stands anywhere.
    pub fn of_key(&self, table: &DeTable<'_>, path: &str) -> Option<Place> {
        let mut names = path.split('.').peekable();
        let mut table = table;
        while let Some(name) = names.next() {
            let (_, value) = table.iter().find(|(key, _)| **key.get_ref() == *name)?;
            match (names.peek(), value.get_ref()) {
                (None, _) => return Some(self.at(value.span().start)),
                (Some(_), DeValue::Table(inner)) => table = inner,
                (Some(_), _) => return None,
            }
        }
        None
    }

    /// The error with its place, and the key if `table` has one there. The line is not repeated:
    /// a secret may stand there in the place of its source.
    pub fn told(&self, error: &toml::de::Error, table: Option<&DeTable<'_>>) -> SettingsError {
        let span = error.span().unwrap_or(0..self.text.len());
        let message = error.message().replace('\n', "; ");
        let key = table.and_then(|table| key_at(table, &span));
        SettingsError::Wrong {
            place: self.at(span.start),
            message: match key {
                Some(key) if !message.contains(&format!("`{key}`")) => {
                    format!("`{key}`: {message}")
                }
                _ => message,
            },
        }
    }
}

/// The name of the key that `place` is within, or whose value it is within.
fn key_at(table: &DeTable<'_>, place: &Range<usize>) -> Option<String> {
    let covers = |span: Range<usize>| span.start <= place.start && place.end <= span.end;
    table.iter().find_map(|(key, value)| {
        let inside = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, place),
            DeValue::Array(list) => list.iter().find_map(|item| match item.get_ref() {
                DeValue::Table(inner) => key_at(inner, place),
                _ => None,
            }),
            _ => None,
        };
        let is_here = || covers(key.span()) || covers(value.span());
        inside.or_else(|| is_here().then(|| key.get_ref().to_string()))
    })
}
