#![allow(clippy::unwrap_used)]

use candor_host::settings::{Keys, Shown, reference, template_differences};

use super::*;

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.toml");
    std::fs::write(&path, text).unwrap();
    let environment = variables.iter().copied().collect();
    Config::of(Config::settings(&path, &environment)?, &path)
}

fn read(text: &str) -> Result<Config, ConfigError> {
    read_with(text, &[])
}

fn text() -> String {
    let any = "127.0.0.1:0".parse().unwrap();
    // The base point stands for a key.
    let issuer = "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=";
    template("log.example", any, any, Engine::Fjall, issuer)
}

#[test]
fn the_template_is_a_valid_configuration_with_every_key() {
    let config = read(&text()).unwrap();
    assert_eq!(config.origin, "log.example");
    assert!(config.store.is_absolute());
    assert_eq!(
        template_differences::<Config>(&text()),
        Vec::<String>::new()
    );
}

#[test]
fn unknown_missing_and_senseless_keys_are_refused() {
    for unknown in [
        "colour = 1\n",
        "[colour]\n",
        "[key.vrf]\nkind = \"file\"\ncolour = 1\n",
    ] {
        let error = read(&(text() + unknown)).unwrap_err();
        assert!(matches!(error, ConfigError::Settings(_)), "{error}");
        assert!(
            error.to_string().contains("unknown field `colour`"),
            "{error}"
        );
    }
    for key in [
        "anchor = \"anchor\"",
        "reset_cooldown_s = 86400",
        "enrolled_capability = 0",
    ] {
        let error = read(&text().replace(key, "")).unwrap_err().to_string();
        let (name, _) = key.split_once(' ').unwrap();
        assert!(
            error.contains(&format!("missing field `{name}`")),
            "{error}"
        );
    }
    for (from, to, key) in [
        ("fjall\"\n", "rocksdb\"\n", "engine"),
        ("log.example", "a+b", "origin"),
        ("heartbeat_ms = 60000", "heartbeat_ms = 10", "heartbeat_ms"),
        ("epoch_interval_ms = 1000", "epoch_interval_ms = 60000", ""),
        (
            "epoch_interval_ms = 1000",
            "epoch_interval_ms = 60001",
            "epoch_interval_ms",
        ),
        (
            "epoch_updates_max = 16384",
            "epoch_updates_max = 65537",
            "epoch_updates_max",
        ),
        (
            "reset_cooldown_s = 86400",
            "reset_cooldown_s = 2592001",
            "reset_cooldown_s",
        ),
        ("cache_mib = 256", "cache_mib = 7", "cache_mib"),
        (
            "# [witness_interval_s]",
            "[witness_interval_s]\nw = 86401\n#",
            "witness_interval_s",
        ),
    ] {
        let changed = read(&text().replace(from, to));
        match key {
            "" => drop(changed.unwrap()),
            key => {
                let error = changed.unwrap_err().to_string();
                assert!(error.contains(key), "{error}");
            }
        }
    }
    let slow = text().replace("epoch_interval_ms = 1000", "epoch_interval_ms = 60000");
    let error = read(&slow.replace("heartbeat_ms = 60000", "heartbeat_ms = 59999"));
    assert!(matches!(error, Err(ConfigError::Value { .. })));
}

#[test]
fn variables_set_keys_and_leave_the_rest() {
    let config = read_with(
        &text(),
        &[
            ("CANDOR_SERVER_CACHE_MIB", "64"),
            ("CANDOR_SERVER_GRPC_LISTEN", "127.0.0.2:8430"),
            ("CANDOR_SERVER_ANCHOR", "/mnt/anchor"),
            ("CANDOR_SERVER_WITNESS_INTERVAL_S", "{ \"w/1\" = 60 }"),
            ("CANDOR_SERVER_CONFIG", "server.toml"),
        ],
    )
    .unwrap();
    assert_eq!((config.cache_mib, config.heartbeat_ms), (64, 60_000));
    assert_eq!(config.grpc_listen.to_string(), "127.0.0.2:8430");
    assert_eq!(config.anchor, Path::new("/mnt/anchor"));
    assert_eq!(config.witness_interval_s["w/1"], 60);
    for (name, value) in [
        ("CANDOR_SERVER_CACHE_MB", "64"),
        ("CANDOR_SERVER_CACHE_MIB", "7"),
        ("CANDOR_SERVER_PORT", "tcp://10.0.0.1:8430"),
    ] {
        let error = read_with(&text(), &[(name, value)]).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// Who takes a source for the secret itself has it in the file; nobody else shall.
#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.toml");
    let key = "[key.vrf]\nkind = \"encrypted-file\"\npath = \"p\"\npassphrase = \"hunter2\"\n";
    std::fs::write(&path, text() + key).unwrap();
    let of_file = Config::settings(&path, &Environment::default()).unwrap();
    std::fs::write(&path, text()).unwrap();
    let table = "{ vrf = { kind = \"encrypted-file\", path = \"p\", passphrase = \"hunter2\" } }";
    let variable = [("CANDOR_SERVER_KEY", table)].into_iter().collect();
    let of_variable = Config::settings(&path, &variable).unwrap();
    for settings in [of_file, of_variable] {
        let shown = settings.shown(&PROGRAM);
        for text in [Shown::to_toml(&shown), Shown::to_json(&shown)] {
            assert!(text.contains("encrypted-file"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}

#[test]
fn the_reference_is_current() {
    let keys = Keys::of::<Config>(PROGRAM.prefix);
    assert!(keys.iter().all(|key| key.schema["description"].is_string()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config/server.md");
    let text = reference::<Config>(&PROGRAM, &text());
    if std::env::var_os("CANDOR_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, text, "write it with: make config-docs");
}
