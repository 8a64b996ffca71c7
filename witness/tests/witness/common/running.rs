//! A running witness, and what clients of it do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use candor_core::note::{AddCheckpoint, Policy, SignedNote, parse_cosignatures};
use candor_host::fetch::{self, Timeouts};
use candor_witness::config::Config;
use candor_witness::cosigner::Cosigner;
use candor_witness::init;
use candor_witness::server::{Server, ServerError};
use candor_witness::store::Paths;
use candor_witness::suspicion;
use reqwest::{Response, StatusCode};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{ORIGIN, log_key};
use candor_core::note::NoteSigner as _;

pub const NAME: &str = "witness.example/w1";

/// The files of a witness.
pub struct Home {
    directory: TempDir,
    pub cosigner: Cosigner,
}

impl Home {
    /// A witness of the test log. `log` are further lines of its section, `top` of the top level.
    pub fn new(top: &str, log: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("w");
        let key = log_key(1).verifier_key().clone();
        let (path, cosigner) = init::init(&home, NAME, &[key], &Default::default()).unwrap();
        let config = std::fs::read_to_string(&path).unwrap();
        let ports = "http = \"127.0.0.1:0\"\ngrpc = \"127.0.0.1:0\"\n";
        std::fs::write(&path, format!("{top}{ports}{config}{log}")).unwrap();
        Self {
            directory,
            cosigner,
        }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("w")
    }

    pub fn paths(&self) -> Paths {
        Paths::new(&self.path().join("state"), None)
    }

    pub fn config(&self) -> Config {
        Config::read(&self.path().join("witness.toml")).unwrap()
    }

    pub async fn start(&self) -> Running {
        self.start_with(self.config()).await
    }

    pub async fn start_with(&self, config: Config) -> Running {
        let server = Server::start(config).await.unwrap();
        let url = format!("http://{}", server.http_address().unwrap());
        let grpc = format!("http://{}", server.grpc_address().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(server.serve(shutdown.clone()));
        Running {
            url,
            grpc,
            shutdown,
            task,
        }
    }

    /// What the operator does to have the log cosigned again.
    pub fn clear(&self) {
        let evidence = self.path().join("state/evidence");
        suspicion::clear(&self.paths(), &evidence, ORIGIN).unwrap();
    }

    /// The directories of kept contradictions.
    pub fn evidence(&self) -> Vec<PathBuf> {
        let directory = self.path().join("state/evidence");
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// A policy that trusts the test log and asks for the witness's keys at these positions.
    pub fn policy(&self, keys: &[usize]) -> Policy {
        let mut text = format!("log {}\n", log_key(1).verifier_key());
        let all: Vec<_> = self.cosigner.keys().collect();
        let mut names = String::new();
        for at in keys {
            text.push_str(&format!("witness w{at} {}\n", all[*at]));
            names.push_str(&format!(" w{at}"));
        }
        text.push_str(&format!("group all all{names}\nquorum all\n"));
        Policy::parse(text.as_bytes()).unwrap()
    }
}

pub fn read_note(directory: &Path, file: &str) -> SignedNote {
    SignedNote::parse(&std::fs::read(directory.join(file)).unwrap()).unwrap()
}

/// The note of a request with the lines that were returned for it.
pub fn cosigned(request: &AddCheckpoint, body: &str) -> SignedNote {
    let mut note = request.note.clone();
    for line in parse_cosignatures(body.as_bytes()).unwrap() {
        note.add(line).unwrap();
    }
    note
}

pub struct Running {
    pub url: String,
    pub grpc: String,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    pub async fn post(&self, body: Vec<u8>) -> Response {
        self.post_to("add-checkpoint", body).await
    }

    pub async fn post_to(&self, path: &str, body: Vec<u8>) -> Response {
        let url = format!("{}/{path}", self.url);
        client().post(url).body(body).send().await.unwrap()
    }

    /// The status and the body of the answer to a request.
    pub async fn add(&self, request: &AddCheckpoint) -> (StatusCode, String) {
        let response = self.post(request.to_bytes()).await;
        (response.status(), response.text().await.unwrap())
    }

    pub async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = client()
            .get(format!("{}/{path}", self.url))
            .send()
            .await
            .unwrap();
        (response.status(), response.text().await.unwrap())
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

pub fn client() -> reqwest::Client {
    let timeouts = Timeouts {
        connect: Duration::from_secs(60),
        total: Duration::from_secs(60),
    };
    fetch::client(timeouts).unwrap()
}
