//! Environment variables over the file.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Keys, Place, Program, SettingsError};

/// Most variables of one program.
const VARIABLES_MAX: usize = 256;

/// Longest names and values of all variables of one program together, in bytes.
const VARIABLES_BYTES_MAX: usize = 64 << 10;

/// The variables of a process.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter();
        Self(
            variables
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// The variables that set keys, as lines of TOML that lie behind the file: an offset tells which of
/// both has a value, and which variable.
pub(super) struct Overlay {
    text: String,
    variables: Vec<Variable>,
}

struct Variable {
    name: String,
    /// The path of the key that it sets.
    key: String,
    line: Range<usize>,
}

impl Overlay {
    /// The variables of `program`; `behind` is the length of the file in bytes.
    pub fn new(
        program: &Program,
        keys: &Keys,
        environment: &Environment,
        behind: usize,
    ) -> Result<Self, SettingsError> {
        let (mut text, mut variables) = (" ".repeat(behind) + "\n", Vec::new());
        let mut bytes = 0;
        for (name, value) in &environment.0 {
            let is_ours = name
                .as_encoded_bytes()
                .starts_with(program.prefix.as_bytes());
            let lossy = name.to_string_lossy();
            if !is_ours || lossy.strip_prefix(program.prefix) == Some("CONFIG") {
                continue;
            }
            bytes += name.len() + value.len();
            if variables.len() == VARIABLES_MAX || bytes > VARIABLES_BYTES_MAX {
                return Err(SettingsError::TooMuch {
                    prefix: program.prefix,
                });
            }
            let wrong = |message: &str| SettingsError::Wrong {
                place: Place::Variable(lossy.clone().into_owned()),
                message: message.to_owned(),
            };
            let key = keys
                .of_variable(&lossy)
                .map_err(|message| wrong(&message))?;
            let value = value.to_str().ok_or_else(|| wrong("is not text"))?;
            let start = text.len();
            let _ = writeln!(text, "{lossy} = {}", to_toml(value));
            variables.push(Variable {
                name: lossy.clone().into_owned(),
                key: key.path.clone(),
                line: start..text.len(),
            });
        }
        Ok(Self { text, variables })
    }

    /// A document with a key for each variable.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The variable whose value is at `offset`.
    pub fn variable_at(&self, offset: usize) -> Option<&str> {
        let found = self.variables.iter().find(|one| one.line.contains(&offset));
        found.map(|one| one.name.as_str())
    }

    /// Puts what the variables have into `table`. A variable replaces the whole value of its key.
    pub fn lay<'i>(
        &self,
        variables: Spanned<DeTable<'i>>,
        table: &mut DeTable<'i>,
    ) -> Result<(), SettingsError> {
        for (name, value) in variables.into_inner() {
            let known = self
                .variables
                .iter()
                .find(|one| one.name == **name.get_ref());
            let known = known.expect("each variable has a line, and no line has two keys");
            let mut names = known.key.split('.');
            let last = names.next_back().expect("a path has a name");
            let mut place = &mut *table;
            for part in names {
                let key = Spanned::new(name.span(), part.to_owned().into());
                // Wider than any key in it, so that what it lacks is told of the table.
                let line = name.span().start..value.span().end;
                let empty = || Spanned::new(line, DeValue::Table(DeTable::new()));
                let inner = place.entry(key).or_insert_with(empty);
                let DeValue::Table(inner) = inner.get_mut() else {
                    return Err(SettingsError::Wrong {
                        place: Place::Variable(known.name.clone()),
                        message: format!("{part} is no table in the file"),
                    });
                };
                place = inner;
            }
            let key = Spanned::new(name.span(), last.to_owned().into());
            place.remove(&key);
            place.insert(key, value);
        }
        Ok(())
    }
}

/// A value as TOML: what it says if it is a value of TOML, else a string of it.
fn to_toml(value: &str) -> String {
    match DeValue::parse(value) {
        Ok(_) if !value.contains('\n') => value.to_owned(),
        _ => toml::Value::from(value).to_string(),
    }
}
