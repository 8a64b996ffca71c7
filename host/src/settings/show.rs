//! The effective configuration, with where each value came from.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::{Keys, Place, Program, Settings};

/// A key of an effective configuration.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its path.
    pub key: String,
    /// Its value; nothing if it is not set and has no default.
    pub value: Option<toml::Value>,
    /// Where the value came from; nothing if it is the default.
    pub place: Option<Place>,
}

impl<T: Serialize + JsonSchema> Settings<T> {
    /// Every key with its value and where it came from, fit for others to see: sources of secrets
    /// are shown as sources, and names and passwords in addresses are masked.
    pub fn shown(&self, program: &Program) -> Vec<Shown> {
        let table = toml::Table::try_from(&self.value).unwrap_or_default();
        let keys = Keys::of::<T>(program.prefix);
        let shown = keys.iter().map(|key| {
            let mut names = key.path.split('.');
            let first = names.next().and_then(|name| table.get(name));
            let value = names.fold(first, |value, name| value?.get(name));
            Shown {
                key: key.path.clone(),
                value: value.cloned().map(masked),
                place: self.sources.get(&key.path).cloned(),
            }
        });
        shown.collect()
    }
}

impl Shown {
    /// Where the value came from, in words.
    fn source(&self) -> String {
        match (&self.place, &self.value) {
            (Some(place), _) => place.to_string(),
            (None, Some(_)) => "default".to_owned(),
            (None, None) => "not set".to_owned(),
        }
    }

    /// All of them as TOML, each with its source behind it.
    pub fn to_toml(all: &[Self]) -> String {
        let mut text = String::new();
        for one in all {
            let _ = match &one.value {
                Some(value) => writeln!(text, "{} = {value}  # {}", one.key, one.source()),
                None => writeln!(text, "# {}  # {}", one.key, one.source()),
            };
        }
        text
    }

    /// All of them as one JSON object, by key.
    pub fn to_json(all: &[Self]) -> String {
        let all = all.iter().map(|one| {
            let value = json!({ "value": one.value, "source": one.source() });
            (one.key.clone(), value)
        });
        let object: serde_json::Map<_, _> = all.collect();
        format!("{:#}\n", serde_json::Value::Object(object))
    }
}

/// The value without what stands before an `@` in addresses.
fn masked(value: toml::Value) -> toml::Value {
    match value {
        toml::Value::String(text) => toml::Value::String(without_user(text)),
        toml::Value::Array(list) => toml::Value::Array(list.into_iter().map(masked).collect()),
        toml::Value::Table(table) => {
            let fields = table.into_iter();
            toml::Value::Table(fields.map(|(name, value)| (name, masked(value))).collect())
        }
        other => other,
    }
}

fn without_user(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text;
    };
    // To the last sign, so that nothing of a secret with one or with a slash is left.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}"),
        None => text,
    }
}
