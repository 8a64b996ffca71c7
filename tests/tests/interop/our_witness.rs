//! Our witness, with a log and a bastion of others.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{KeyName, VerifierKey};
use candor_system::process::{PATIENCE, Process, free_address};
use candor_system::system::{Node, create_witness};

use crate::tools::{cosigners, find, get, run, start};

const ORIGIN: &str = "tessera.example/log";

const SEED: [u8; 32] = [9; 32];

/// The log's keys: the public one, and the secret one as Go's notes have it.
fn keys() -> (String, String) {
    let secret = Ed25519SecretKey::from_seed(&SEED);
    let name = KeyName::new(ORIGIN).unwrap();
    let public = VerifierKey::ed25519(name, secret.public_key()).to_string();
    let id = public.split('+').nth(1).unwrap();
    let seed = BASE64_STANDARD.encode([&[1][..], &SEED].concat());
    let secret = format!("PRIVATE+KEY+{ORIGIN}+{id}+{seed}");
    (public, secret)
}

/// A log of Tessera, in files.
struct Log<'a> {
    program: &'a Path,
    folder: &'a Path,
}

impl Log<'_> {
    /// Tessera adds as many entries, and publishes nothing without the cosignature of the witness
    /// on this line of a policy. Answers the published size.
    fn grow(&self, entries: usize, line: &str) -> u64 {
        let (public, secret) = keys();
        let name = line.split_whitespace().nth(1).unwrap();
        let policy =
            format!("log {public}\n{line}\ngroup witnesses all {name}\nquorum witnesses\n");
        let path = |name: &str| self.folder.join(name).to_str().unwrap().to_owned();
        std::fs::write(path("policy"), &policy).unwrap();
        std::fs::write(path("secret"), &secret).unwrap();
        for entry in 0..entries {
            std::fs::write(
                path(&format!("entry-{entry}")),
                format!("{entry} of {entries}"),
            )
            .unwrap();
        }
        let (policy_file, secret_file, storage) = (path("policy"), path("secret"), path("log"));
        let entries = path("entry-*");
        let mut arguments = vec!["--storage_dir", &storage, "--entries", &entries];
        arguments.extend(["--private_key", &secret_file]);
        arguments.extend(["--witness_policy_file", &policy_file]);
        run(self.program, &arguments);
        let checkpoint = std::fs::read(Path::new(&storage).join("checkpoint")).unwrap();
        let (size, names) = cosigners(&policy, &checkpoint);
        assert_eq!(names, [name]);
        size
    }
}

/// A witness of that log, and its line for a policy, without the URL.
fn witness(folder: &Path) -> (Node, String) {
    let home = folder.join("witness");
    let (node, lines) = create_witness(&home, "witness.example", &[keys().0], None).unwrap();
    // Tessera knows witnesses by Ed25519 only.
    let is_plain = |line: &&str| line.starts_with("witness ") && line.contains("/ed25519 ");
    let line = lines
        .lines()
        .filter(|line| !line.contains("/map/"))
        .find(is_plain);
    let line = line.unwrap_or_else(|| panic!("no such witness in {lines}"));
    let (line, _url) = line.rsplit_once(' ').unwrap();
    (node, line.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_witness_cosigns_a_log_of_tessera() {
    let Some(program) = find("posix-oneshot") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut witness, line) = witness(folder.path());
    witness.start().await.unwrap();
    let log = Log {
        program: &program,
        folder: folder.path(),
    };
    let line = format!("{line} http://{}", witness.http);
    let mut size = 0;
    for entries in 1..=3 {
        let grown = log.grow(entries, &line);
        assert!(grown > size);
        size = grown;
    }
}

/// A bastion of torchwood, which takes requests without TLS.
struct Litebastion {
    program: PathBuf,
    listen: SocketAddr,
    http: SocketAddr,
    process: Option<Process>,
}

impl Litebastion {
    fn new(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            listen: free_address().unwrap(),
            http: free_address().unwrap(),
            process: None,
        }
    }

    /// Starts it with the certificate and the backends in `folder`.
    fn start(&mut self, folder: &Path) {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let (certificate, key, backends) = (path("ca.pem"), path("key.pem"), path("backends"));
        let (listen, http) = (self.listen.to_string(), self.http.to_string());
        let mut arguments = vec!["-listen", &listen, "-listen-http", &http];
        arguments.extend(["-tls-cert", &certificate, "-tls-key", &key]);
        arguments.extend(["-backends", &backends]);
        self.process = Some(start(&self.program, &arguments, folder));
    }

    /// Waits until the witness has a connection to it.
    async fn connected(&self, witness: &Node) {
        let url = format!("http://{}/metrics", witness.http);
        let listen = self.listen;
        let line = format!("candor_witness_bastion_connected{{bastion=\"{listen}\"}} 1");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = String::from_utf8(get(&url).await).unwrap();
            if text.lines().any(|found| found == line) {
                return;
            }
            assert!(Instant::now() < deadline, "{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_witness_cosigns_a_log_of_tessera_behind_litebastion() {
    let [Some(program), Some(litebastion)] = ["posix-oneshot", "litebastion"].map(find) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut witness, line) = witness(folder);
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("ca.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let mut bastions = [
        Litebastion::new(&litebastion),
        Litebastion::new(&litebastion),
    ];
    let config = witness.folder().join("witness.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    for bastion in &bastions {
        text.push_str(&format!(
            "[[bastion]]\naddress = \"{}\"\nca = \"../ca.pem\"\n",
            bastion.listen
        ));
    }
    std::fs::write(&config, text).unwrap();
    let arguments = ["bastion-key", "--config", config.to_str().unwrap()];
    let hash = run(
        &candor_system::process::program("candor-witness").unwrap(),
        &arguments,
    );
    std::fs::write(folder.join("backends"), &hash).unwrap();

    for bastion in &mut bastions {
        bastion.start(folder);
    }
    witness.start().await.unwrap();
    let log = Log {
        program: &program,
        folder,
    };
    let mut size = 0;
    let mut grow = |entries, bastion: &Litebastion| {
        let grown = log.grow(
            entries,
            &format!("{line} http://{}/{}", bastion.http, hash.trim()),
        );
        assert!(grown > size);
        size = grown;
    };
    for (bastion, entries) in bastions.iter().zip(1..) {
        bastion.connected(&witness).await;
        grow(entries, bastion);
    }
    // One ends without a word. The other goes on, and the witness returns to the first.
    bastions[0].process = None;
    grow(3, &bastions[1]);
    bastions[0].start(folder);
    bastions[0].connected(&witness).await;
    grow(4, &bastions[0]);
}
