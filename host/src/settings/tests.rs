#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;
use crate::keys::SecretSource;

const PROGRAM: Program = Program {
    name: "lamp",
    prefix: "LAMP_",
    bytes_max: 4096,
};

/// What a lamp is told.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Lamp {
    /// What people call it.
    name: String,
    /// How bright it is.
    #[serde(default = "bright")]
    #[schemars(range(min = 1, max = 100))]
    bright_ms: u64,
    /// Whom it obeys.
    #[serde(default)]
    switches: Vec<String>,
    /// Its timer.
    timer: Option<Timer>,
    /// Colours by room.
    #[serde(default)]
    rooms: BTreeMap<String, u64>,
    /// What opens its lid.
    passphrase: Option<SecretSource>,
    /// Its bulbs.
    #[serde(default)]
    bulb: Vec<Bulb>,
}

/// When it goes out.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Timer {
    /// After that long.
    after_s: u16,
    /// Whether it goes on again.
    #[serde(default)]
    again: bool,
}

/// A bulb.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bulb {
    /// Where it is from.
    url: String,
}

const fn bright() -> u64 {
    50
}

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Settings<Lamp>, SettingsError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lamp.toml");
    std::fs::write(&path, text).unwrap();
    PROGRAM.read(&path, &variables.iter().copied().collect())
}

fn refusal(text: &str, variables: &[(&str, &str)]) -> String {
    let error = read(text, variables).unwrap_err().to_string();
    // The directory has another name each time.
    match error.split_once("lamp.toml") {
        Some((_, rest)) => format!("lamp.toml{rest}"),
        None => error,
    }
}

#[test]
fn the_environment_goes_before_the_file_key_by_key() {
    let file = "name = \"a\"\nbright_ms = 7\n[timer]\nafter_s = 3\n";
    let read = |variables: &[_]| read(file, variables).unwrap();
    assert_eq!(read(&[]).value.bright_ms, 7);
    let lamp = read(&[
        ("LAMP_BRIGHT_MS", "8"),
        ("LAMP_NAME", "127.0.0.1:80 # not a comment"),
        ("LAMP_TIMER__AGAIN", "true"),
        ("LAMP_SWITCHES", "[\"x\", \"y\"]"),
        ("LAMP_ROOMS", "{ \"a.b\" = 4 }"),
        ("LAMP_CONFIG", "elsewhere"),
        ("LAMPS", "not ours"),
    ]);
    let Lamp {
        name,
        bright_ms,
        switches,
        timer,
        rooms,
        ..
    } = lamp.value;
    assert_eq!(name, "127.0.0.1:80 # not a comment");
    assert_eq!((bright_ms, switches.len()), (8, 2));
    let timer = timer.unwrap();
    assert_eq!((timer.after_s, timer.again), (3, true));
    assert_eq!(rooms["a.b"], 4);
}

#[test]
fn a_variable_is_one_value_whatever_is_in_it() {
    for (text, name) in [
        ("\"quoted\"", "quoted"),
        ("", ""),
        ("true story", "true story"),
        ("x\"\nbright_ms = 9", "x\"\nbright_ms = 9"),
        ("1\nLAMP_BRIGHT_MS = 9", "1\nLAMP_BRIGHT_MS = 9"),
        ("[", "["),
    ] {
        let lamp = read("", &[("LAMP_NAME", text)]).unwrap().value;
        assert_eq!((lamp.name.as_str(), lamp.bright_ms), (name, 50), "{text}");
    }
    let error = refusal("", &[("LAMP_NAME", "2026")]);
    let integer = "invalid type: integer `2026`, expected a string";
    assert_eq!(
        error,
        format!("environment variable LAMP_NAME: `name`: {integer}")
    );
}

#[test]
fn what_is_wrong_is_told_with_key_and_place() {
    let name = "name = \"a\"\n";
    for (text, expected) in [
        (
            "colour = 1\n",
            "lamp.toml, line 2: unknown field `colour`, expected one of",
        ),
        (
            "timer.after_s = 1\ntimer.x = 1\n",
            "lamp.toml, line 3: unknown field `x`",
        ),
        (
            "[[bulb]]\nurl = \"\"\nwatt = 1\n",
            "lamp.toml, line 4: unknown field `watt`",
        ),
        (
            "bright_ms = \"x\"\n",
            "lamp.toml, line 2: `bright_ms`: invalid type: string",
        ),
        (
            "[timer]\nafter_s = true\n",
            "lamp.toml, line 3: `after_s`: invalid type",
        ),
        (
            "[timer]\nagain = true\n",
            "lamp.toml, line 2: `timer`: missing field `after_s`",
        ),
        (
            "bright_ms = 101\n",
            "lamp.toml, line 2: `bright_ms` must be 1 to 100",
        ),
        (
            "bright_ms = -1\n",
            "lamp.toml, line 2: `bright_ms`: invalid value",
        ),
        ("bright_ms =\n", "lamp.toml, line 2: "),
        ("name = \"b\"\n", "lamp.toml, line 2: duplicate key"),
    ] {
        let error = refusal(&format!("{name}{text}"), &[]);
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(refusal("", &[]), "lamp.toml, line 1: missing field `name`");
    for (variable, value, expected) in [
        ("LAMP_COLOUR", "1", "there is no such key"),
        ("LAMP_TIMER", "{ after_s = 1 }", "there is no such key"),
        ("LAMP_name", "a", "there is no such key"),
        (
            "LAMP_BULB",
            "[]",
            "lists of tables are set in the file only: [[bulb]]",
        ),
        (
            "LAMP_BULB__URL",
            "a",
            "lists of tables are set in the file only: [[bulb]]",
        ),
        ("LAMP_BRIGHT_MS", "0", "`bright_ms` must be 1 to 100"),
        (
            "LAMP_BRIGHT_MS",
            "x",
            "`bright_ms`: invalid type: string \"x\", expected u64",
        ),
        (
            "LAMP_TIMER__AGAIN",
            "true",
            "`timer`: missing field `after_s`",
        ),
    ] {
        let error = refusal(name, &[(variable, value)]);
        let expected = format!("environment variable {variable}: {expected}");
        assert_eq!(error, expected);
    }
    let error = refusal(
        "name = \"a\"\ntimer = 1\n",
        &[("LAMP_TIMER__AGAIN", "true")],
    );
    assert!(error.ends_with("timer is no table in the file"), "{error}");
}

#[test]
fn file_and_variables_have_bounds() {
    let long = format!("name = \"a\"\n#{}", "x".repeat(4096));
    assert!(matches!(read(&long, &[]), Err(SettingsError::Read(_))));
    let value = "x".repeat(64 << 10);
    let long = read("", &[("LAMP_NAME", &value)]);
    assert!(matches!(long, Err(SettingsError::TooMuch { .. })));
    let many = [("LAMP_NAME", "x"); 257];
    assert!(matches!(
        read("", &many),
        Err(SettingsError::TooMuch { .. })
    ));
}

#[test]
fn what_is_shown_has_sources_and_no_secret() {
    let file = "passphrase = \"hunter2\"\nbright_ms = 3\n\
                [[bulb]]\nurl = \"https://u:hunter2@shop.example/@x\"\n";
    let variables = [
        ("LAMP_NAME", "x"),
        ("LAMP_SWITCHES", "[\"http://hunter2@a.example\"]"),
    ];
    let settings = read(file, &variables).unwrap();
    let shown = settings.shown(&PROGRAM);
    let (toml, json) = (Shown::to_toml(&shown), Shown::to_json(&shown));
    for text in [&toml, &json] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    for line in [
        "name = \"x\"  # environment variable LAMP_NAME\n",
        "rooms = {}  # default\n",
        "# timer.after_s  # not set\n",
        "switches = [\"http://***@a.example\"]  # environment variable LAMP_SWITCHES\n",
    ] {
        assert!(toml.contains(line), "{toml}");
    }
    assert!(toml.contains("lamp.toml, line 2\n"), "{toml}");
    toml.parse::<toml::Table>().unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["bright_ms"]["value"], 3);
    assert_eq!(json["rooms"]["source"], "default");

    let source = "name = \"x\"\npassphrase = \"file:a\"\n";
    let shown = read(source, &[]).unwrap().shown(&PROGRAM);
    assert!(Shown::to_toml(&shown).contains("passphrase = \"file:a\"  # "));
    let table = "{ passphrase = \"hunter2\" }";
    let error = refusal("name = \"x\"\n", &[("LAMP_PASSPHRASE", table)]);
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn the_reference_has_every_key_with_its_facts() {
    let text = reference::<Lamp>(&PROGRAM, "bright_ms = 3");
    for part in [
        "### `name`\n\nWhat people call it.\n\n*String, required.* `LAMP_NAME`\n",
        "*Integer, milliseconds, 1 to 100, default `50`.* `init` writes `3`. `LAMP_BRIGHT_MS`\n",
        "*List of strings, default `[]`.* `LAMP_SWITCHES`\n",
        "*Table of integers by name, default `{}`.* `LAMP_ROOMS`\n",
        "## `[timer]`\n\nIts timer.\n",
        "*Integer, seconds, at most 65535, required.* `LAMP_TIMER__AFTER_S`\n",
        "## `[[bulb]]`\n\nIts bulbs.\n\n### `url`\n\nWhere it is from.\n\n*String, required.*\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_template_has_every_key_and_no_other() {
    let template = "name = \"a\"\n# bright_ms = 3\n# switches = []\n# passphrase = \"prompt\"\n\
                    # [rooms]\n# hall = 3\n\n# [timer]\n# after_s = 3\n# again = true\n\
                    # [[bulb]]\n# url = \"x\"\n";
    assert_eq!(template_differences::<Lamp>(template), Vec::<String>::new());
    let other = template.replace("# again = true\n", "# agian = true\n");
    assert_eq!(
        template_differences::<Lamp>(&other),
        ["timer.again is not in the template", "agian is no key"]
    );
}
