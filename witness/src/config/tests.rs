#![allow(clippy::unwrap_used)]

use candor_host::settings::{Keys, Shown, reference, template_differences};

use super::*;
use crate::init::TEMPLATE;

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Settings<File>, SettingsError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("witness.toml");
    std::fs::write(&path, text).unwrap();
    Config::settings(&path, &variables.iter().copied().collect())
}

#[test]
fn the_template_has_every_key() {
    assert_eq!(template_differences::<File>(TEMPLATE), Vec::<String>::new());
}

#[test]
fn unknown_keys_are_refused_in_every_table() {
    let key = "kind = \"ssh-agent\"\npublic_key = \"ssh-ed25519 \"";
    for (table, keys) in [
        ("", String::new()),
        ("[[log]]\n", "vkeys = []\n".to_owned()),
        ("[[bastion]]\n", "address = \"b.example:443\"\n".to_owned()),
        ("[[peer]]\n", "url = \"u\"\nkey = \"k\"\n".to_owned()),
        ("[key.log-ed25519]\n", key.replace("public_key", "colour")),
    ] {
        let text = format!("name = \"w\"\n{table}{keys}\ncolour = 1\n");
        let error = read(&text, &[]).unwrap_err().to_string();
        let is_told = ["unknown field `colour`", "duplicate key"];
        assert!(is_told.iter().any(|told| error.contains(told)), "{error}");
    }
}

#[test]
fn variables_go_before_the_file() {
    let text = "name = \"w\"\nmap_wait_ms = 5\n[[log]]\nvkeys = []\n";
    let variables = [
        ("CANDOR_WITNESS_MAP_WAIT_MS", "6"),
        ("CANDOR_WITNESS_LISTS", "[\"https://u:hunter2@l.example/\"]"),
        ("CANDOR_WITNESS_LOG_FORMAT", "json"),
    ];
    let settings = read(text, &variables).unwrap();
    assert_eq!(settings.value.map_wait_ms, 6);
    let shown = Shown::to_toml(&settings.shown(&PROGRAM));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("log_format = \"json\"  # environment"),
        "{shown}"
    );
    assert!(shown.contains("state = \"state\"  # default"), "{shown}");
    for (name, value) in [
        ("CANDOR_WITNESS_MAP_WAIT_MS", "8001"),
        ("CANDOR_WITNESS_GOSSIP_INTERVAL_S", "0"),
        ("CANDOR_WITNESS_LOG", "[]"),
        ("CANDOR_WITNESS_PEER__URL", "http://a.example:1"),
        ("CANDOR_WITNESS_NAMES", "w"),
    ] {
        let error = read(text, &[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn the_reference_is_current() {
    let keys = Keys::of::<File>(PROGRAM.prefix);
    assert!(keys.iter().all(|key| key.schema["description"].is_string()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config/witness.md");
    let text = reference::<File>(&PROGRAM, "");
    if std::env::var_os("CANDOR_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, text, "write it with: make config-docs");
}
