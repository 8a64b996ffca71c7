//! The keys of a configuration, as its structure describes them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{Place, SettingsError};

/// What can stand under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value, or a list of values.
    Value,
    /// A table whose names are not the program's: one variable sets all of it.
    Names,
    /// A list of tables. It has no variable.
    Tables,
}

/// A key of a configuration.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its names from the top, with dots between them.
    pub path: String,
    /// What can stand there.
    pub shape: Shape,
    /// Whether its table must have it.
    pub is_required: bool,
    /// What the structure says of it, as JSON Schema.
    pub schema: Value,
}

impl Key {
    /// The least and the greatest number, if it is one with bounds.
    pub fn range(&self) -> (Option<i64>, Option<i64>) {
        let bound = |name: &str| self.schema.get(name).and_then(Value::as_i64);
        (bound("minimum"), bound("maximum"))
    }
}

/// Every key of a program's configuration, and the tables that they are in.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: &'static str,
    keys: Vec<Key>,
    tables: Vec<(String, String)>,
}

impl Keys {
    /// The keys of the structure `T`. Names of variables begin with `prefix`.
    pub fn of<T: JsonSchema>(prefix: &'static str) -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        let schema = settings.into_generator().into_root_schema_for::<T>();
        let mut keys = Self {
            prefix,
            keys: Vec::new(),
            tables: Vec::new(),
        };
        keys.collect(schema.as_value(), "");
        keys
    }

    fn collect(&mut self, table: &Value, within: &str) {
        for (name, is_required, schema) in fields(table) {
            let path = match within {
                "" => name,
                _ => format!("{within}.{name}"),
            };
            let shape = if schema.get("properties").is_some() {
                self.tables.push((path.clone(), about(&schema)));
                self.collect(&schema, &path);
                continue;
            } else if schema.get("additionalProperties").is_some() {
                Shape::Names
            } else if schema.pointer("/items/properties").is_some() {
                Shape::Tables
            } else {
                Shape::Value
            };
            self.keys.push(Key {
                path,
                shape,
                is_required,
                schema,
            });
        }
    }

    /// All keys, in the order of the structure.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// The tables with fixed names, by their path, and what they are for.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &str)> {
        let tables = self.tables.iter();
        tables.map(|(path, about)| (path.as_str(), about.as_str()))
    }

    /// The environment variable of a key, if it has one.
    pub fn variable(&self, key: &Key) -> Option<String> {
        let name = key.path.to_uppercase().replace('.', "__").replace('-', "_");
        (key.shape != Shape::Tables).then(|| format!("{}{name}", self.prefix))
    }

    /// The key that the variable `name` sets, or why there is none.
    pub(super) fn of_variable(&self, name: &str) -> Result<&Key, String> {
        let found = self
            .iter()
            .find(|key| self.variable(key).as_deref() == Some(name));
        found.ok_or_else(|| {
            let rest = name.strip_prefix(self.prefix).unwrap_or(name);
            let lists = self.iter().filter(|key| key.shape == Shape::Tables);
            let mut lists = lists.map(|key| key.path.as_str());
            match lists.find(|path| rest.split("__").next() == Some(&path.to_uppercase())) {
                Some(path) => format!("lists of tables are set in the file only: [[{path}]]"),
                None => "there is no such key".to_owned(),
            }
        })
    }

    /// Refuses numbers outside the range of their key.
    pub(super) fn check_ranges(
        &self,
        table: &toml::Table,
        place: impl Fn(&str) -> Option<Place>,
    ) -> Result<(), SettingsError> {
        for key in self.iter() {
            let mut names = key.path.split('.');
            let first = names.next().and_then(|name| table.get(name));
            let value = names.fold(first, |value, name| value?.get(name));
            let Some(number) = value.and_then(toml::Value::as_integer) else {
                continue;
            };
            let (least, most) = key.range();
            let fits =
                least.is_none_or(|least| least <= number) && most.is_none_or(|most| number <= most);
            if let (false, Some(place)) = (fits, place(&key.path)) {
                let message = format!("`{}` must be {}", key.path, words(least, most));
                return Err(SettingsError::Wrong { place, message });
            }
        }
        Ok(())
    }
}

/// A range in words.
pub(super) fn words(least: Option<i64>, most: Option<i64>) -> String {
    match (least, most) {
        (Some(least), Some(most)) if least != 0 => format!("{least} to {most}"),
        (_, Some(most)) => format!("at most {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, None) => "a number".to_owned(),
    }
}

/// The fields of a table: name, whether it must be there, and the schema of what is there then.
pub(super) fn fields(table: &Value) -> Vec<(String, bool, Value)> {
    let required = table.get("required").and_then(Value::as_array);
    let properties = table.get("properties").and_then(Value::as_object);
    let fields = properties.into_iter().flatten().map(|(name, schema)| {
        let is_required = required.is_some_and(|names| names.iter().any(|one| one == name));
        (name.clone(), is_required, present(schema))
    });
    fields.collect()
}

/// What the schema of an optional value says of one that is there.
fn present(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let Some(fields) = schema.as_object_mut() else {
        return schema;
    };
    if let Some(Value::Array(types)) = fields.get("type") {
        let real = types.iter().find(|name| **name != "null").cloned();
        fields.extend(real.map(|name| ("type".to_owned(), name)));
    }
    if let Some(Value::Array(choices)) = fields.remove("anyOf") {
        let real = choices.into_iter().find(|one| one["type"] != "null");
        for (name, value) in real.iter().flat_map(|one| one.as_object()).flatten() {
            fields.entry(name).or_insert_with(|| value.clone());
        }
    }
    schema
}

/// The comment of what a schema describes.
pub(super) fn about(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}
