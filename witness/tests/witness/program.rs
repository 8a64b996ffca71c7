//! The program: what it makes, what it refuses, and with which exit codes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::{ORIGIN, log_key};
use candor_core::note::{NoteSigner as _, Policy, VerifierKey, monitoring_path};
use candor_witness::config::{Config, ConfigError};

fn run(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_candor-witness"))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn vkey() -> String {
    log_key(1).verifier_key().to_string()
}

#[test]
fn init_makes_a_witness_once_and_prints_lines_of_a_policy() {
    let directory = tempfile::tempdir().unwrap();
    let init = ["init", "w", "--name", "w.example/1", "--log", &vkey()];
    let printed = stdout(&run(directory.path(), &init, ""));
    let policy = format!("log {}\n{printed}quorum w.example/1/map\n", vkey());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    assert_eq!(policy.witnesses().len(), 4);

    let config = ["vkeys", "--config", "w/witness.toml"];
    let vkeys = stdout(&run(directory.path(), &config, ""));
    let keys: Vec<VerifierKey> = vkeys.lines().map(|line| line.parse().unwrap()).collect();
    let names: Vec<&str> = keys.iter().map(|key| key.name().as_str()).collect();
    let (log, map) = ("w.example/1", "w.example/1/map");
    assert_eq!(names, [log, log, map, map]);
    assert!(
        !keys[0].has_same_public_key(&keys[2]),
        "an Ed25519 key has one name"
    );

    let again = run(directory.path(), &init, "");
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(
        stdout(&run(directory.path(), &config, "")),
        vkeys,
        "nothing was overwritten"
    );
}

#[test]
fn keys_are_encrypted_if_there_is_a_passphrase() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    candor_host::durable::create_new(&at("passphrase"), b"correct horse\n").unwrap();
    let init = ["init", "w", "--name", "w.example/1"];
    let passphrase = ["--passphrase", "file:passphrase"];
    let printed = stdout(&run(
        directory.path(),
        &[&init[..], &passphrase].concat(),
        "",
    ));
    let vkeys = ["vkeys", "--config", "w/witness.toml"];
    let keys = stdout(&run(directory.path(), &vkeys, ""));
    assert!(keys.lines().all(|key| printed.contains(key)));
    for file in std::fs::read_dir(at("w/keys")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(text.starts_with("candor-encrypted-key v1 "), "{text}");
    }

    // One of them was plain before.
    let plain = ["init", "p", "--name", "w.example/2"];
    stdout(&run(directory.path(), &plain, ""));
    let vkeys = ["vkeys", "--config", "p/witness.toml"];
    let keys = stdout(&run(directory.path(), &vkeys, ""));
    let encrypt = ["encrypt-key", "p/keys/map-ed25519.key"];
    let written = stdout(&run(
        directory.path(),
        &[&encrypt[..], &passphrase].concat(),
        "",
    ));
    assert_eq!(written, "p/keys/map-ed25519.key.enc\n");
    std::fs::remove_file(at("p/keys/map-ed25519.key")).unwrap();
    let mut config = std::fs::read_to_string(at("p/witness.toml")).unwrap();
    config.push_str(
        "[key]\nmap-ed25519 = { kind = \"encrypted-file\", \
         path = \"keys/map-ed25519.key.enc\", passphrase = \"file:../passphrase\" }\n",
    );
    std::fs::write(at("p/witness.toml"), &config).unwrap();
    assert_eq!(stdout(&run(directory.path(), &vkeys, "")), keys);

    std::fs::write(at("passphrase"), "wrong horse\n").unwrap();
    let refused = run(directory.path(), &vkeys, "");
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("wrong passphrase for"), "{error}");
    assert!(!error.contains("horse"), "{error}");
}

#[test]
fn a_witness_has_two_ed25519_keys_wherever_they_are() {
    let directory = tempfile::tempdir().unwrap();
    stdout(&run(
        directory.path(),
        &["init", "w", "--name", "w.example/1"],
        "",
    ));
    let path = directory.path().join("w/witness.toml");
    let mut config = std::fs::read_to_string(&path).unwrap();
    config.push_str("[key.map-ed25519]\nkind = \"file\"\npath = \"keys/log-ed25519.key\"\n");
    std::fs::write(&path, config).unwrap();
    let refused = run(
        directory.path(),
        &["vkeys", "--config", "w/witness.toml"],
        "",
    );
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("are one key"), "{error}");
}

#[test]
fn an_init_that_cannot_keep_its_keys_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let init = ["init", "w", "--name", "w.example/1"];
    for keys in [
        ["--passphrase", "file:nowhere"],
        ["--key", "log = { kind = \"file\", path = \"x\" }"],
        [
            "--key",
            "log-ml-dsa-44 = { kind = \"pkcs11\", module = \"/m\", token = \"t\", \
             label = \"l\", pin = \"prompt\" }",
        ],
        [
            "--key",
            "map-ed25519 = { kind = \"ssh-agent\", socket = \"nowhere\", public_key = \
             \"ssh-ed25519 \
             AAAAC3NzaC1lZDI1NTE5AAAAIB4BDk8XTaz1YCPEan7FV4SkTVAfAW1/HyHhX1d2EgvQ\" }",
        ],
    ] {
        let output = run(directory.path(), &[&init[..], &keys].concat(), "");
        assert_eq!(output.status.code(), Some(1), "{keys:?}");
    }
    let usage = [&init[..], &["--passphrase", "correct horse"]].concat();
    let output = run(directory.path(), &usage, "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn alarms_are_cleared_only_when_the_origin_is_typed() {
    let directory = tempfile::tempdir().unwrap();
    let init = ["init", "w", "--name", "w.example/1", "--log", &vkey()];
    stdout(&run(directory.path(), &init, ""));
    let clear = ["clear-evidence", "--config", "w/witness.toml", ORIGIN];
    for typed in ["", "\n", "yes\n", "log.example\n"] {
        assert_eq!(
            run(directory.path(), &clear, typed).status.code(),
            Some(1),
            "{typed:?}"
        );
    }
    let cases = directory.path().join("w/state/evidence");
    let log = &monitoring_path(ORIGIN)[..16];
    let fork = format!("fork-{log}-0011223344556677");
    std::fs::create_dir_all(cases.join(&fork)).unwrap();
    let typed = format!("{ORIGIN}\n");
    assert!(run(directory.path(), &clear, &typed).status.success());
    assert!(!cases.join(&fork).exists());
    assert!(cases.join(fork.replace("fork", "cleared")).exists());
    let other = ["clear-evidence", "--config", "w/witness.toml", "other"];
    assert_eq!(
        run(directory.path(), &other, "other\n").status.code(),
        Some(1)
    );
}

#[test]
fn a_log_is_added_once_and_keeps_its_keys() {
    let directory = tempfile::tempdir().unwrap();
    let init = ["init", "w", "--name", "w.example/1"];
    stdout(&run(directory.path(), &init, ""));
    let add = |rest: &[&str]| {
        let arguments = [&["add-log", "--config", "w/witness.toml"], rest].concat();
        run(directory.path(), &arguments, "").status.code()
    };
    let other = log_key(2).verifier_key().to_string();
    assert_eq!(add(&[]), Some(2));
    assert_eq!(add(&["no key"]), Some(2));
    assert_eq!(add(&[&vkey(), "--qpd", "0"]), Some(1));
    assert_eq!(add(&[&vkey(), "--origin", "two\nlines"]), Some(1));
    assert_eq!(add(&[&vkey(), "--contact", ""]), Some(1));
    let logs = directory.path().join("w/state/logs");
    assert!(!logs.exists());
    assert_eq!(add(&[&vkey(), "--qpd", "24"]), Some(0));
    let written = std::fs::read(&logs).unwrap();
    assert_eq!(add(&[&vkey()]), Some(1));
    assert_eq!(add(&[&other]), Some(1), "another key for a known origin");
    assert_eq!(std::fs::read(&logs).unwrap(), written);
    assert_eq!(add(&[&vkey(), &other, "--origin", "a b"]), Some(0));
    let added = candor_witness::added::read(&logs).unwrap();
    let origins: Vec<&str> = added.iter().map(|log| log.origin.as_str()).collect();
    assert_eq!(origins, [ORIGIN, "a b", "a b"]);
}

#[test]
fn a_restored_state_is_marked_and_released_only_when_the_origin_is_typed() {
    let directory = tempfile::tempdir().unwrap();
    let init = ["init", "w", "--name", "w.example/1", "--log", &vkey()];
    stdout(&run(directory.path(), &init, ""));
    let command = |name, rest: &[&str], typed: &str| {
        let arguments = [&[name, "--config", "w/witness.toml"], rest].concat();
        run(directory.path(), &arguments, typed)
    };
    let typed = format!("{ORIGIN}\n");
    let end = |typed: &str| command("end-quarantine", &[ORIGIN], typed).status.code();
    assert_eq!(end(&typed), Some(1), "not in quarantine");
    let done = stdout(&command("restore", &[], ""));
    assert!(done.contains("Every other log"), "{done}");
    assert_eq!(end("yes\n"), Some(1));
    assert_eq!(end(&typed), Some(0));
    assert_eq!(end(&typed), Some(1), "not in quarantine any more");
}

#[test]
fn wrong_usage_and_failures_have_their_exit_codes() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&[], 2),
        (&["run"], 2),
        (&["init", "w", "--name", "w", "--log", "no key"], 2),
        (&["init", "w", "--name", "no name"], 1),
        (&["run", "--config", "nowhere.toml"], 1),
    ] {
        let output = run(directory.path(), arguments, "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("witness.toml");
    let read = |text: &str| {
        std::fs::write(&path, format!("name = \"w\"\n{text}")).unwrap();
        Config::read(&path)
    };
    let key = vkey();
    let log = |rest: &str| format!("[[log]]\nvkeys = [\"{key}\"]\n{rest}\n");
    let config = read(&log("grpc = \"http://127.0.0.1:1\"")).unwrap();
    assert!(config.logs[ORIGIN].grpc.is_some());
    assert!(config.paths.database.starts_with(directory.path()));

    assert!(matches!(read("colour = 1"), Err(ConfigError::Settings(_))));
    assert!(matches!(
        read(&log("colour = 1")),
        Err(ConfigError::Settings(_))
    ));
    assert!(matches!(
        read("map_wait_ms = 8001"),
        Err(ConfigError::Settings(_))
    ));
    assert!(matches!(
        read("[[log]]\nvkeys = []"),
        Err(ConfigError::KeyCount { log: 1, count: 0 })
    ));
    assert!(matches!(
        read("[[log]]\nvkeys = [\"a\"]"),
        Err(ConfigError::Vkey { log: 1, key: 1, .. })
    ));
    assert!(matches!(
        read(&log("qpd = 0")),
        Err(ConfigError::Settings(_))
    ));
    assert!(matches!(
        read("lists = [\"a\", \"http://a.example/list\"]"),
        Err(ConfigError::List { list: 2, .. })
    ));
    assert!(matches!(
        read(&format!("lists = {:?}", ["a"; 17])),
        Err(ConfigError::ListCount { count: 17 })
    ));
    let twice = format!("{}{}", log(""), log(""));
    assert!(matches!(
        read(&twice),
        Err(ConfigError::Repeated { log: 2, .. })
    ));
    assert!(matches!(
        read(&log("origin = \"\"")),
        Err(ConfigError::Origin { log: 1 })
    ));
    // A token is not for everybody on the way to read.
    let token = directory.path().join("log.token");
    std::fs::write(&token, "t\n").unwrap();
    let with_token = |address: &str| {
        read(&log(&format!(
            "grpc = \"{address}\"\ngrpc_token = \"log.token\""
        )))
    };
    assert!(matches!(
        with_token("http://a:1"),
        Err(ConfigError::GrpcTokenInClear { log: 1 })
    ));
    for address in ["https://a", "http://127.0.0.1:1", "http://[::1]:1"] {
        let logs = with_token(address).unwrap().logs;
        let grpc = logs[ORIGIN].grpc.as_ref().unwrap();
        assert_eq!(grpc.token.as_ref().unwrap(), &token);
    }
    std::fs::write(&token, "\n").unwrap();
    assert!(matches!(
        with_token("https://a"),
        Err(ConfigError::GrpcToken { log: 1, .. })
    ));
    for address in ["ftp://a:1", "127.0.0.1:1", "http://a:1/path", "", "http://"] {
        let refused = read(&log(&format!("grpc = \"{address}\"")));
        assert!(
            matches!(refused, Err(ConfigError::Grpc { log: 1 })),
            "{address}"
        );
    }
}

#[test]
fn the_key_for_peers_is_made_once_and_printed() {
    let directory = tempfile::tempdir().unwrap();
    let init = ["init", "w", "--name", "w.example/1"];
    stdout(&run(directory.path(), &init, ""));
    let print = || {
        let arguments = ["gossip-key", "--config", "w/witness.toml"];
        stdout(&run(directory.path(), &arguments, ""))
    };
    let key = print();
    assert_eq!(key.trim_end().len(), 64);
    assert_eq!(print(), key);
    assert!(directory.path().join("w/keys/gossip-ed25519.key").exists());
}

#[test]
fn a_configuration_is_checked_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    let init = ["init", "w", "--name", "w.example/1", "--log", &vkey()];
    stdout(&run(directory.path(), &init, ""));
    let check = ["check-config", "--config", "w/witness.toml"];
    let checked = stdout(&run(directory.path(), &check, ""));
    assert!(checked.starts_with("warning: the anchor"), "{checked}");
    assert!(checked.ends_with("\nok\n"), "{checked}");
    let show = ["show-config", "--config", "w/witness.toml"];
    let shown = stdout(&run(directory.path(), &show, ""));
    assert!(shown.contains("map_wait_ms = 2000  # default\n"), "{shown}");
    assert!(shown.contains("# w/witness.toml, line "), "{shown}");

    std::fs::remove_file(directory.path().join("w/state/witness.redb")).unwrap();
    let refused = run(directory.path(), &check, "");
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("witness.redb"), "{error}");
}
