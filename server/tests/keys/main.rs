//! The program at a terminal: with keys that are no plain files, and what it says of its
//! configuration.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod rotation;

use std::path::Path;
use std::process::{Command, Output};

use candor_core::Hash;
use candor_server::config::{Config, ConfigError};
use candor_server::init::{InitError, LogKeys};

const ORIGIN: &str = "log.example/kt";

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candor-server"));
    command.current_dir(directory).args(arguments);
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn open(directory: &Path) -> Result<LogKeys, InitError> {
    let config = Config::read(&directory.join("log/server.toml")).unwrap();
    LogKeys::open(config.keyring().loader(), &config.origin)
}

#[test]
fn a_log_is_made_with_encrypted_keys() {
    let directory = tempfile::tempdir().unwrap();
    let passphrase = directory.path().join("passphrase");
    candor_host::durable::create_new(&passphrase, b"correct horse\n").unwrap();
    let init = [
        "init",
        "log",
        "--origin",
        ORIGIN,
        "--passphrase",
        "file:passphrase",
    ];
    let printed = stdout(&run(directory.path(), &init));

    let keys = open(directory.path()).unwrap();
    for key in keys.signer.keys() {
        assert!(printed.contains(&key.to_string()));
    }
    let note = keys.signer.sign(7, Hash::ZERO, 1).unwrap();
    assert_eq!(
        keys.signer
            .verifier()
            .verify(&note)
            .unwrap()
            .checkpoint()
            .size(),
        7
    );
    for file in std::fs::read_dir(directory.path().join("log/keys")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(text.starts_with("candor-encrypted-key v1 "), "{text}");
    }

    std::fs::write(&passphrase, "wrong horse\n").unwrap();
    assert!(matches!(open(directory.path()), Err(InitError::Key(_))));
    let run = run(directory.path(), &["run", "--config", "log/server.toml"]);
    assert_eq!(run.status.code(), Some(1));
    let error = String::from_utf8(run.stderr).unwrap();
    assert!(error.contains("wrong passphrase for"), "{error}");
    assert!(!error.contains("horse"), "{error}");
}

#[test]
fn a_plain_key_can_be_encrypted_later() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    candor_host::durable::create_new(&at("passphrase"), b"correct horse\n").unwrap();
    stdout(&run(directory.path(), &["init", "log", "--origin", ORIGIN]));
    let before = open(directory.path()).unwrap();
    let encrypt = [
        "encrypt-key",
        "log/keys/vrf",
        "--passphrase",
        "file:passphrase",
    ];
    assert_eq!(
        stdout(&run(directory.path(), &encrypt)),
        "log/keys/vrf.enc\n"
    );
    std::fs::remove_file(at("log/keys/vrf")).unwrap();
    assert!(open(directory.path()).is_err());

    let config = std::fs::read_to_string(at("log/server.toml")).unwrap();
    let table = |name: &str| {
        format!(
            "{config}[key]\n{name} = {{ kind = \"encrypted-file\", path = \"keys/vrf.enc\", \
             passphrase = \"file:../passphrase\" }}\n"
        )
    };
    std::fs::write(at("log/server.toml"), table("vrf")).unwrap();
    let after = open(directory.path()).unwrap();
    assert_eq!(after.vrf.public_key(), before.vrf.public_key());
    std::fs::write(at("log/server.toml"), table("vfr")).unwrap();
    let error = Config::read(&at("log/server.toml")).unwrap_err();
    assert!(matches!(error, ConfigError::Keys(_)), "{error:?}");
}

#[test]
fn a_configuration_is_checked_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    stdout(&run(directory.path(), &["init", "log", "--origin", ORIGIN]));
    let check = ["check-config", "--config", "log/server.toml"];
    let checked = stdout(&run(directory.path(), &check));
    assert!(checked.contains("warning: "), "{checked}");
    assert!(checked.ends_with("\nok\n"), "{checked}");

    let with = |arguments: &[&str], name: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_candor-server"));
        command.current_dir(directory.path()).args(arguments);
        command.env(name, value).output().unwrap()
    };
    let refused = with(&check, "CANDOR_SERVER_CACHE_MB", "64");
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("CANDOR_SERVER_CACHE_MB"), "{error}");
    let refused = with(&check, "CANDOR_SERVER_STORE", "absent");
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("no complete store"), "{error}");

    let show = ["show-config", "--config", "log/server.toml"];
    let shown = stdout(&with(&show, "CANDOR_SERVER_CACHE_MIB", "64"));
    let line = "cache_mib = 64  # environment variable CANDOR_SERVER_CACHE_MIB\n";
    assert!(shown.contains(line), "{shown}");
    assert!(
        shown.contains("store = \"store\"  # log/server.toml, line "),
        "{shown}"
    );
    let json = stdout(&run(directory.path(), &[&show[..], &["--json"]].concat()));
    assert!(json.contains("\"source\": \"default\""), "{json}");
}
