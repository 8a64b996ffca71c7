//! A real server in this process, and the real command beside it.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use candor_server::config::Config;
use candor_server::storage::Engine;
use candor_server::{init, run};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// How long a server may take to publish its first head before a test gives up.
const START_MAX: Duration = Duration::from_secs(60);

/// Finished runs of the command.
pub struct Ran {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            exit: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The JSON object on stdout of a run that ended so.
    #[track_caller]
    pub fn json(&self, exit: i32) -> Value {
        assert_eq!(self.exit, exit, "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// A failed run: nothing on stdout, two lines on stderr, of which the first has the code.
    #[track_caller]
    pub fn fails(&self, exit: i32, code: &str) {
        assert_eq!(self.exit, exit, "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        let lines: Vec<_> = self.stderr.lines().collect();
        assert!(
            lines[0].starts_with(&format!("error[{code}]: ")),
            "{}",
            self.stderr
        );
        assert!(lines[1].starts_with("help: "), "{}", self.stderr);
        assert_eq!(lines.len(), 2, "{}", self.stderr);
    }
}

/// Runs the command without a profile.
pub fn candor(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candor"));
    command.env_remove("CANDOR_PROFILE").env("COLUMNS", "100");
    Ran::of(command.args(arguments).output().unwrap())
}

/// A log without witnesses, served from this process.
pub struct World {
    directory: TempDir,
    pub endpoint: String,
    shutdown: CancellationToken,
    runtime: Option<Runtime>,
}

impl World {
    /// Makes a log and serves it.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        // Both stay bound until both are known, so that they differ.
        let free = [free_port(), free_port()];
        let [grpc, http] = [&free[0], &free[1]].map(|port| port.local_addr().unwrap());
        drop(free);
        let (path, _) = init::init(
            &log,
            "log.example/test",
            grpc,
            http,
            Engine::Fjall,
            &Default::default(),
        )
        .unwrap();
        let mut config = Config::read(&path).unwrap();
        config.epoch_interval_ms = 20;
        config.cache_mib = 8;
        config.disk_reserve_mib = 0;
        let runtime = Runtime::new().unwrap();
        let shutdown = CancellationToken::new();
        let server = run::run(config, shutdown.clone());
        runtime.spawn(async move { server.await.unwrap() });
        let world = Self {
            directory,
            endpoint: format!("http://{grpc}"),
            shutdown,
            runtime: Some(runtime),
        };
        assert_eq!(world.init("device", &world.token()).exit, 0);
        world.wait();
        world
    }

    /// Waits until the first head is published.
    fn wait(&self) {
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if self.run(&["head"]).exit == 0 {
                return;
            }
        }
        panic!(
            "the server publishes no head: {}",
            self.run(&["head"]).stderr
        );
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn token(&self) -> PathBuf {
        self.path("log").join("registrar-token")
    }

    /// Makes a profile of this log.
    pub fn init(&self, profile: &str, token: &Path) -> Ran {
        candor(&[
            "init",
            self.path(profile).to_str().unwrap(),
            "--server",
            &self.endpoint,
            "--policy",
            self.path("log").join("policy.txt").to_str().unwrap(),
            "--registrar-token",
            token.to_str().unwrap(),
            "--danger-without-map-witnesses",
        ])
    }

    /// Runs the command with the profile `device`.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_as("device", arguments)
    }

    pub fn run_as(&self, profile: &str, arguments: &[&str]) -> Ran {
        let profile = self.path(profile);
        candor(&[&["--profile", profile.to_str().unwrap()], arguments].concat())
    }

    /// Runs the command and reads its report.
    #[track_caller]
    pub fn json(&self, exit: i32, arguments: &[&str]) -> Value {
        self.run(&[&["--json"], arguments].concat()).json(exit)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        drop(self.runtime.take());
    }
}

fn free_port() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
}
