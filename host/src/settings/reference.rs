//! What operators read of the keys: the reference, and that a template has them all.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde_json::Value;

use super::key::{about, fields, words};
use super::{Key, Keys, Program, Shape};

/// The reference of the keys of `T`, as Markdown, with the numbers of `template`, which `init`
/// writes.
pub fn reference<T: JsonSchema>(program: &Program, template: &str) -> String {
    let template: toml::Table = template.parse().unwrap_or_default();
    let Program { name, prefix, .. } = program;
    let keys = Keys::of::<T>(program.prefix);
    let more = |key: &Key| {
        let mut names = key.path.split('.');
        let first = names.next().and_then(|name| template.get(name));
        let initial = names.fold(first, |value, name| value?.get(name));
        let initial = initial.and_then(toml::Value::as_integer);
        let initial = initial.map(|number| format!(" `init` writes `{number}`."));
        let variable = keys.variable(key).map(|name| format!(" `{name}`"));
        initial.into_iter().chain(variable).collect::<String>()
    };
    let mut text = format!(
        "# Configuration of {name}\n\n\
         Made from the comments of the structures that are read; a test compares it with them.\n\
         `{name} check-config --config FILE` checks a configuration,\n\
         `{name} show-config --config FILE` prints the effective one.\n\n\
         The file is TOML of at most {} KiB. Paths are relative to it. Unknown keys are refused. \
         All keys are since\n0.1.0 unless they say otherwise.\n\n\
         A key's environment variable goes before the file, and replaces the whole value. What is \
         in it is read as\nTOML if it is a value of TOML on one line, else as a string: `256`, \
         `true`, `[\"a\", \"b\"]`, `/srv/log`; a string that\nlooks like another value needs its \
         quotes, \
         `'\"2026\"'`. A variable that begins with `{prefix}` and names\nno key is refused; \
         `{prefix}CONFIG` is the path of the file. Kubernetes sets such variables for a\nService \
         named `{name}`: switch that off with `enableServiceLinks: false`. Lists of tables have \
         no\nvariable. No key holds a secret.\n\n## The top level\n",
        program.bytes_max >> 10,
    );
    let is_top = |key: &&Key| !key.path.contains('.') && key.shape != Shape::Tables;
    for key in keys.iter().filter(is_top) {
        entry(
            &mut text,
            &key.path,
            key.is_required,
            &key.schema,
            &more(key),
        );
    }
    for (path, about) in keys.tables() {
        let _ = write!(text, "\n## `[{path}]`\n\n{about}\n");
        let inside = |key: &&Key| {
            key.path
                .rsplit_once('.')
                .is_some_and(|(table, _)| table == path)
        };
        for key in keys.iter().filter(inside) {
            entry(
                &mut text,
                last(&key.path),
                key.is_required,
                &key.schema,
                &more(key),
            );
        }
    }
    for key in keys.iter() {
        let (title, inner) = match key.shape {
            Shape::Value => continue,
            Shape::Names => (
                format!("[{}.NAME]", key.path),
                &key.schema["additionalProperties"],
            ),
            Shape::Tables => (format!("[[{}]]", key.path), &key.schema["items"]),
        };
        if key.shape == Shape::Tables {
            let _ = write!(text, "\n## `{title}`\n\n{}\n", about(&key.schema));
        }
        for (name, is_required, schema) in fields(inner) {
            entry(&mut text, &name, is_required, &schema, "");
        }
        variants(&mut text, &title, inner);
    }
    text
}

/// Tables of several kinds, told apart by one of their keys.
fn variants(text: &mut String, title: &str, table: &Value) {
    let kinds = table.get("oneOf").and_then(Value::as_array);
    for kind in kinds.into_iter().flatten() {
        let all = fields(kind);
        let Some((tag, _, schema)) = all.iter().find(|one| one.2.get("const").is_some()) else {
            continue;
        };
        let _ = write!(
            text,
            "\n## `{title}` with `{tag} = {}`\n\n{}\n",
            schema["const"],
            about(kind)
        );
        for (name, is_required, schema) in all.iter().filter(|one| one.0 != *tag) {
            entry(text, name, *is_required, schema, "");
        }
    }
}

fn entry(text: &mut String, name: &str, is_required: bool, schema: &Value, more: &str) {
    let mut facts = vec![kind(schema)];
    facts.extend(unit(name).map(str::to_owned));
    let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
    let (least, most) = (bound("minimum"), bound("maximum"));
    if most.is_some() || least.is_some_and(|least| least > 0) {
        facts.push(words(least, most));
    }
    facts.push(match schema.get("default") {
        _ if is_required => "required".to_owned(),
        Some(value) if !value.is_null() => format!("default `{value}`"),
        _ => "not set by default".to_owned(),
    });
    if let Some(since) = schema.get("x-since").and_then(Value::as_str) {
        facts.push(format!("since {since}"));
    }
    let _ = write!(text, "\n### `{name}`\n\n{}\n\n", about(schema));
    for choice in choices(schema) {
        let _ = writeln!(text, "- `{}`: {}", choice["const"], about(choice));
    }
    if !choices(schema).is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "*{}.*{more}", facts.join(", "));
}

/// The values of a key that has only some, each with its comment.
fn choices(schema: &Value) -> Vec<&Value> {
    let all = schema.get("oneOf").and_then(Value::as_array);
    let named = all.into_iter().flatten();
    named.filter(|one| one.get("const").is_some()).collect()
}

fn kind(schema: &Value) -> String {
    let of = |schema: &Value| match schema.get("type").and_then(Value::as_str) {
        Some("integer") => "integer",
        Some("number") => "number",
        Some("boolean") => "boolean",
        Some("object") => "table",
        None if schema.pointer("/oneOf/0/properties").is_some() => "table",
        _ => "string",
    };
    let kind = match (schema.get("items"), schema.get("additionalProperties")) {
        (Some(items), _) => format!("list of {}s", of(items)),
        (None, Some(inner)) => format!("table of {}s by name", of(inner)),
        (None, None) => of(schema).to_owned(),
    };
    let mut letters = kind.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// The unit that the end of a name stands for.
fn unit(name: &str) -> Option<&'static str> {
    let units = [
        ("_ms", "milliseconds"),
        ("_s", "seconds"),
        ("_mib", "mebibytes"),
        ("_bytes", "bytes"),
    ];
    let found = units.into_iter().find(|(end, _)| name.ends_with(end));
    found.map(|(_, unit)| unit)
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// What the keys of `T` and those of a commented `template` do not have in common: names of keys,
/// in comments or not. Names within tables whose names are free are not compared.
pub fn template_differences<T: JsonSchema>(template: &str) -> Vec<String> {
    let keys = Keys::of::<T>("");
    let mut known = BTreeSet::new();
    let mut free = BTreeSet::new();
    for key in keys.iter() {
        match key.shape {
            Shape::Value => {
                known.insert(key.path.clone());
            }
            Shape::Names => {
                free.insert(key.path.clone());
            }
            Shape::Tables => {
                let inner = fields(&key.schema["items"]).into_iter();
                known.extend(inner.map(|(name, ..)| format!("{}.{name}", key.path)));
            }
        }
    }
    let (mut table, mut found) = (String::new(), BTreeSet::new());
    for line in template.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if line == "#" || line.is_empty() {
            table = match free.contains(&table) {
                true => String::new(),
                false => table,
            };
        }
        let heading = line.strip_prefix('[').and_then(|line| line.split_once(']'));
        if let Some((name, "" | "]")) = heading {
            table = name.trim_start_matches('[').to_owned();
            if free.contains(&table) {
                found.insert(table.clone());
            }
            continue;
        }
        let Some((name, _)) = line.split_once(" = ") else {
            continue;
        };
        let is_name = |byte: u8| byte.is_ascii_lowercase() || b"_-0123456789".contains(&byte);
        if free.contains(&table) || !name.bytes().all(is_name) {
            continue;
        }
        let inside = format!("{table}.{name}");
        // A commented table may be followed by keys of the top level.
        found.insert(if known.contains(&inside) {
            inside
        } else {
            name.to_owned()
        });
    }
    known.extend(free);
    let missing = known
        .difference(&found)
        .map(|key| format!("{key} is not in the template"));
    let unknown = found
        .difference(&known)
        .map(|key| format!("{key} is no key"));
    missing.chain(unknown).collect()
}
