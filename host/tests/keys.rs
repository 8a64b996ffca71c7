//! Keys where the configuration says that they are: files, a real ssh-agent, a SoftHSM2 token.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use candor_core::Hash;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{Algorithm, Checkpoint, KeyName, LogVerifier, NoteSigner, SignedNote};
use candor_host::key_file::KeyKind;
use candor_host::keys::{
    KeyError, KeySlot, KeyTable, KeyTableError, Keyring, OpensshKey, RemoteError, SecretSource,
    encrypt_file,
};
use tempfile::TempDir;

const ED25519: KeySlot = KeySlot {
    name: "log-ed25519",
    file: "log-ed25519",
    kind: KeyKind::Ed25519,
};
const ML_DSA_44: KeySlot = KeySlot {
    name: "log-ml-dsa-44",
    file: "log-ml-dsa-44",
    kind: KeyKind::MlDsa44,
};
const VRF: KeySlot = KeySlot {
    name: "vrf",
    file: "vrf",
    kind: KeyKind::Vrf,
};
const SLOTS: [KeySlot; 3] = [ED25519, ML_DSA_44, VRF];

/// The keys of a configuration with these lines in its `[key]` table.
fn keyring(directory: &Path, lines: &[String]) -> Keyring {
    let table = KeyTable::plan(lines, None, Path::new(""), &SLOTS).unwrap();
    Keyring::new(directory, table.resolve(directory, &SLOTS).unwrap())
}

fn signer(keyring: &Keyring, algorithm: Algorithm) -> Result<Box<dyn NoteSigner>, KeyError> {
    let slot = match algorithm {
        Algorithm::MlDsa44 => &ML_DSA_44,
        _ => &ED25519,
    };
    let name = KeyName::new("log.example").unwrap();
    keyring.loader().signer(slot, name, algorithm)
}

/// Signs a checkpoint, and verifies it as a reader does.
fn assert_signs(signer: &dyn NoteSigner) {
    let checkpoint = Checkpoint::new("log.example", 7, Hash::ZERO).unwrap();
    let line = signer.sign(&checkpoint, 1).unwrap();
    let note = SignedNote::new(checkpoint.to_text(), vec![line]).unwrap();
    let verifier = LogVerifier::new("log.example", vec![signer.verifier_key().clone()]);
    verifier.verify(&note).unwrap();
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    output
}

fn write_private(path: &Path, text: &str) {
    candor_host::durable::create_new(path, text.as_bytes()).unwrap();
}

#[test]
fn plain_files_need_no_table() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = keyring(directory.path(), &[]);
    for slot in &SLOTS {
        keyring.loader().create(slot).unwrap();
    }
    for algorithm in [Algorithm::Ed25519, Algorithm::MlDsa44] {
        assert_signs(&*signer(&keyring, algorithm).unwrap());
    }
    keyring.loader().seed(&VRF).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.path().join("log-ed25519");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = signer(&keyring, Algorithm::Ed25519).unwrap_err();
    assert!(matches!(error, KeyError::File(_)), "{error:?}");
}

#[test]
fn new_keys_are_encrypted_and_old_ones_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name);
    write_private(&path("passphrase"), "correct horse\n");
    write_private(&path("other"), "wrong horse\n");
    let source = SecretSource::File(path("passphrase"));

    let plain = keyring(directory.path(), &[]);
    plain.loader().create(&VRF).unwrap();
    let encrypted = encrypt_file(&path("vrf"), &source).unwrap();
    assert_eq!(encrypted, path("vrf.enc"));
    assert!(path("vrf").exists(), "the operator removes it");
    assert!(
        encrypt_file(&path("vrf"), &source).is_err(),
        "never overwritten"
    );
    let vrf = plain.loader().seed(&VRF).unwrap();
    fs::remove_file(path("vrf")).unwrap();

    let table = KeyTable::plan(&[], Some(&source), Path::new(""), &SLOTS).unwrap();
    let text = table.to_toml();
    let keyring = Keyring::new(
        Path::new("/nowhere"),
        table.resolve(directory.path(), &SLOTS).unwrap(),
    );
    keyring.loader().create(&ED25519).unwrap();
    assert_signs(&*signer(&keyring, Algorithm::Ed25519).unwrap());
    assert_eq!(keyring.loader().seed(&VRF).unwrap().expose(), vrf.expose());

    // The same from the text that a configuration holds, with another passphrase.
    let text = text.replace("/passphrase", "/other");
    let document: toml::Table = text.parse().unwrap();
    let table: KeyTable = document["key"].clone().try_into().unwrap();
    let table = table.resolve(directory.path(), &SLOTS).unwrap();
    let keyring = Keyring::new(Path::new("/nowhere"), table);
    let error = keyring.loader().seed(&VRF).unwrap_err();
    assert!(error.to_string().contains("wrong passphrase"), "{error}");
}

#[test]
fn tables_that_make_no_sense_are_refused() {
    let plan = |line: &str| KeyTable::plan(&[line.to_owned()], None, Path::new(""), &SLOTS);
    let key = OpensshKey(Ed25519SecretKey::from_seed(&[1; 32]).public_key());
    for line in [
        "vrf",
        "vrf = 1",
        "vrf = {}",
        r#"vrf = { kind = "tpm" }"#,
        r#"vrf = { kind = "file" }"#,
        r#"vrf = { kind = "file", path = "x", colour = 1 }"#,
        r#"vrf = { kind = "ssh-agent" }"#,
        r#"vrf = { kind = "ssh-agent", public_key = "ssh-rsa AAAA" }"#,
        r#"vrf = { kind = "pkcs11", module = "/m", token = "t", label = "l" }"#,
    ] {
        let error = plan(line).unwrap_err();
        assert!(matches!(error, KeyTableError::Line(_)), "{line}: {error:?}");
    }
    let unknown = plan(r#"log = { kind = "file", path = "x" }"#).unwrap();
    let error = unknown.resolve(Path::new(""), &SLOTS).unwrap_err();
    assert!(matches!(error, KeyTableError::Unknown { .. }), "{error:?}");

    // A secret in the place of its source is not repeated.
    for secret in [r#""1234""#, "1234", "-1234", "12.34"] {
        let line =
            format!(r#"vrf = {{ kind = "encrypted-file", path = "x", passphrase = {secret} }}"#);
        let keyring = keyring(Path::new(""), &[line]);
        for error in [
            keyring.loader().prepare(&SLOTS).unwrap_err(),
            keyring.loader().seed(&VRF).unwrap_err(),
        ] {
            assert!(matches!(error, KeyError::Secret(_)), "{error:?}");
            let shown = format!("{error} {error:?} {keyring:?}");
            assert!(!shown.contains("34"), "{shown}");
        }
    }

    // Nor is the line, if something else is wrong with it too.
    for line in [
        r#"log-ed25519 = { kind = "pkcs11", module = "/m", token = "t", pin = "1234" }"#,
        r#"vrf = { kind = "encrypted-file", path = "x", pasphrase = "1234" }"#,
        r#"vrf = { kind = "encrypted-file", path = "x", passphrase = "1234" "#,
    ] {
        let error = plan(line).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("34"), "{shown}");
        assert!(shown.contains("line 1: "), "{shown}");
    }

    // What is neither Ed25519 nor signs stays in a file.
    for (slot, place) in [
        (
            VRF,
            format!(r#"{{ kind = "ssh-agent", public_key = "{key}" }}"#),
        ),
        (
            ML_DSA_44,
            r#"{ kind = "pkcs11", module = "/m", token = "t", label = "l", pin = "prompt" }"#
                .to_owned(),
        ),
    ] {
        let keyring = keyring(Path::new(""), &[format!("{} = {place}", slot.name)]);
        for error in [
            keyring.loader().prepare(&SLOTS).unwrap_err(),
            keyring.loader().seed(&slot).unwrap_err(),
        ] {
            assert!(matches!(error, KeyError::FileOnly { .. }), "{error:?}");
        }
    }
}

/// An `ssh-agent` with one key.
struct Agent {
    directory: TempDir,
    child: Child,
}

impl Agent {
    fn start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let agent = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(directory.path().join("agent"))
            .stdout(Stdio::null())
            .spawn();
        let Ok(mut child) = agent else {
            eprintln!("skipped: there is no ssh-agent; `make tools` installs openssh-client");
            return None;
        };
        while !directory.path().join("agent").exists() {
            assert!(child.try_wait().unwrap().is_none(), "the agent ended");
            std::thread::yield_now();
        }
        let agent = Self { directory, child };
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f"])
            .arg(agent.path("key")));
        run(agent.ssh_add().arg("-q").arg(agent.path("key")));
        Some(agent)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ssh_add(&self) -> Command {
        let mut command = Command::new("ssh-add");
        command.env("SSH_AUTH_SOCK", self.path("agent"));
        command
    }

    fn keyring(&self) -> Keyring {
        let public_key = fs::read_to_string(self.path("key.pub")).unwrap();
        let public_key = public_key.trim();
        let place = format!(r#"kind = "ssh-agent", socket = "agent", public_key = "{public_key}""#);
        keyring(
            self.directory.path(),
            &[format!("log-ed25519 = {{ {place} }}")],
        )
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_ssh_agent_signs() {
    let Some(mut agent) = Agent::start() else {
        return;
    };
    let keyring = agent.keyring();
    for algorithm in [Algorithm::Ed25519, Algorithm::Ed25519Cosignature] {
        assert_signs(&*signer(&keyring, algorithm).unwrap());
    }

    // The agent forgets the key; it gets it again; it ends.
    let open = signer(&keyring, Algorithm::Ed25519).unwrap();
    let checkpoint = Checkpoint::new("log.example", 7, Hash::ZERO).unwrap();
    run(agent.ssh_add().args(["-q", "-D"]));
    assert!(open.sign(&checkpoint, 1).is_err());
    let error = signer(&keyring, Algorithm::Ed25519).unwrap_err();
    assert!(
        is_remote(&error, |error| matches!(error, RemoteError::Refused)),
        "{error:?}"
    );
    run(agent.ssh_add().arg("-q").arg(agent.path("key")));
    assert_signs(&*open);
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    assert!(open.sign(&checkpoint, 1).is_err());
    let error = signer(&keyring, Algorithm::Ed25519).unwrap_err();
    assert!(
        is_remote(&error, |error| matches!(error, RemoteError::Io(_))),
        "{error:?}"
    );
}

fn is_remote(error: &KeyError, expected: impl Fn(&RemoteError) -> bool) -> bool {
    matches!(error, KeyError::Remote { source, .. } if expected(source))
}

/// Where systems put SoftHSM2.
const SOFTHSM2: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// PKCS#8 of an Ed25519 key (RFC 8410) before its seed.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The module reads from the environment where its tokens are, and a process cannot safely change
/// its own: the test runs itself again with another one.
const INNER: &str = "CANDOR_TEST_SOFTHSM2";

#[test]
fn a_softhsm2_token_signs() {
    let Some(module) = SOFTHSM2.iter().find(|path| Path::new(path).exists()) else {
        eprintln!("skipped: there is no SoftHSM2; `make tools` installs softhsm2");
        return;
    };
    if let Some(directory) = std::env::var_os(INNER) {
        return check_token(Path::new(&directory), module);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name);
    fs::create_dir(path("tokens")).unwrap();
    let tokens = path("tokens");
    let config = format!("directories.tokendir = {}\n", tokens.display());
    fs::write(path("softhsm2.conf"), config).unwrap();
    write_private(&path("pin"), "1234\n");
    write_private(&path("wrong-pin"), "4321\n");

    let util = |arguments: &[&str]| {
        let mut command = Command::new("softhsm2-util");
        command.env("SOFTHSM2_CONF", path("softhsm2.conf"));
        run(command.current_dir(directory.path()).args(arguments));
    };
    for token in ["candor", "twins"] {
        let init = [
            "--init-token",
            "--free",
            "--so-pin",
            "5678",
            "--pin",
            "1234",
        ];
        util(&[&init[..], &["--label", token]].concat());
    }
    for (token, label, id, seed) in [
        ("candor", "log", "01", 1),
        ("candor", "other", "02", 2),
        ("twins", "log", "01", 1),
        ("twins", "log", "02", 2),
    ] {
        use base64::Engine as _;
        let der = [&PKCS8[..], &[seed; 32]].concat();
        let encoded = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n");
        fs::write(path("key.pem"), pem).unwrap();
        let import = ["--import", "key.pem", "--pin", "1234", "--token", token];
        util(&[&import[..], &["--label", label, "--id", id]].concat());
    }

    let mut inner = Command::new(std::env::current_exe().unwrap());
    inner.args(["--exact", "a_softhsm2_token_signs", "--nocapture"]);
    inner.env("SOFTHSM2_CONF", path("softhsm2.conf"));
    let output = run(inner.env(INNER, directory.path()));
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.contains("1 passed"), "{output}");
}

fn check_token(directory: &Path, module: &str) {
    let public = |seed| OpensshKey(Ed25519SecretKey::from_seed(&[seed; 32]).public_key());
    let place = |fields: &str| {
        let line = format!(r#"log-ed25519 = {{ kind = "pkcs11", {fields} }}"#);
        keyring(directory, &[line])
    };
    let token = |token: &str, label: &str, pin: &str, key: &str| {
        place(&format!(
            r#"module = "{module}", token = "{token}", label = "{label}", pin = "file:{pin}"{key}"#
        ))
    };
    let pinned = |seed| format!(r#", public_key = "{}""#, public(seed));
    let refused = |keyring: &Keyring| signer(keyring, Algorithm::Ed25519).unwrap_err();

    // First, while nothing has logged in yet: a token does not ask again who has.
    let error = refused(&token("candor", "log", "wrong-pin", &pinned(1)));
    assert!(
        is_remote(&error, |error| matches!(error, RemoteError::Pin)),
        "{error:?}"
    );

    let keyring = token("candor", "log", "pin", &pinned(1));
    let log = signer(&keyring, Algorithm::Ed25519).unwrap();
    assert_signs(&*log);
    // Two keys of one token in one process, from several threads.
    let other = token("candor", "other", "pin", &pinned(2));
    let other = signer(&other, Algorithm::Ed25519Cosignature).unwrap();
    std::thread::scope(|scope| {
        for signer in [&log, &other, &log, &other] {
            scope.spawn(|| (0..20).for_each(|_| assert_signs(&**signer)));
        }
    });

    let error = refused(&token("candor", "log", "pin", ""));
    assert!(
        matches!(&error, KeyError::Unpinned { found, .. } if **found == public(1)),
        "{error:?}"
    );
    let error = refused(&token("candor", "log", "pin", &pinned(2)));
    assert!(
        is_remote(&error, |error| matches!(error, RemoteError::WrongKey)),
        "{error:?}"
    );
    for (name, label) in [("nothing", "log"), ("candor", "nothing"), ("twins", "log")] {
        let error = refused(&token(name, label, "pin", &pinned(1)));
        assert!(
            is_remote(&error, |error| matches!(error, RemoteError::Token(_))),
            "{name} {label}: {error:?}"
        );
    }
    let elsewhere = r#"token = "candor", label = "log", pin = "file:pin", module = "#;
    let error = refused(&place(&format!(
        "{elsewhere}\"libsofthsm2.so\", {}",
        &pinned(1)[2..]
    )));
    assert!(
        matches!(error, KeyError::RelativeModule { .. }),
        "{error:?}"
    );
    let error = refused(&place(&format!(
        "{elsewhere}\"/nowhere.so\", {}",
        &pinned(1)[2..]
    )));
    assert!(
        is_remote(&error, |error| matches!(error, RemoteError::Token(_))),
        "{error:?}"
    );
}
