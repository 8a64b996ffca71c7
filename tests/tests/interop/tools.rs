//! The programs of others, and what they need.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use candor_core::note::{Policy, SignedNote};
use candor_system::process::{Process, http};

/// Where `make interop` installed a program; says so if it did not. What else has that name on a
/// system, as the checker of file systems has, is another program.
pub fn find(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/interop/bin");
    first(name, [folder])
}

/// Where the system has a program; says so if it does not.
pub fn find_of_system(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    first(name, std::env::split_paths(&path))
}

fn first(name: &str, folders: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let mut paths = folders.into_iter().map(|folder| folder.join(name));
    let found = paths.find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: {name} is not installed; `make interop` installs what it can");
    }
    found
}

/// Runs a program to its end, whatever it says.
pub fn output(program: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a program that must succeed, and answers what it wrote.
pub fn run(program: &Path, arguments: &[&str]) -> String {
    let output = output(program, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}: {out}{err}", program.display());
    out + &err
}

/// Starts a program that ends with its owner.
pub fn start(program: &Path, arguments: &[&str], folder: &Path) -> Process {
    let name = program.file_name().unwrap().to_str().unwrap();
    let log = folder.join(format!("{name}.log"));
    Process::start(program.to_str().unwrap(), arguments, &log).unwrap()
}

/// An agent that holds one new Ed25519 key.
pub struct Agent {
    /// Where it listens.
    pub socket: PathBuf,
    /// The key's fingerprint.
    pub fingerprint: String,
    _process: Process,
}

impl Agent {
    /// Starts `ssh-agent`, if the system has it.
    pub fn start(folder: &Path) -> Option<Self> {
        let [agent, add, keygen] = ["ssh-agent", "ssh-add", "ssh-keygen"].map(find);
        let (agent, add, keygen) = (agent?, add?, keygen?);
        let (socket, key) = (folder.join("agent"), folder.join("key"));
        let arguments = ["-D", "-a", socket.to_str().unwrap()];
        let process = start(&agent, &arguments, folder);
        let key_path = key.to_str().unwrap();
        run(&keygen, &["-q", "-t", "ed25519", "-N", "", "-f", key_path]);
        let deadline = std::time::Instant::now() + candor_system::process::PATIENCE;
        while !socket.exists() {
            assert!(std::time::Instant::now() < deadline, "no agent");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mut command = Command::new(add);
        command.arg(&key).env("SSH_AUTH_SOCK", &socket);
        assert!(command.stderr(Stdio::null()).status().unwrap().success());
        let printed = run(&keygen, &["-lf", key_path]);
        Some(Self {
            socket,
            fingerprint: printed.split_whitespace().nth(1).unwrap().to_owned(),
            _process: process,
        })
    }
}

/// The names of those whose cosignatures on a checkpoint verify, under a policy that it must meet,
/// and its size.
pub fn cosigners(policy: &str, checkpoint: &[u8]) -> (u64, Vec<String>) {
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let note = SignedNote::parse(checkpoint).unwrap();
    let verified = policy.verify_checkpoint(&note).unwrap();
    let names = verified.cosignatures().iter();
    let names = names.map(|it| String::from_utf8_lossy(it.witness().as_bytes()).into_owned());
    (verified.checkpoint().size(), names.collect())
}

/// What an address answers.
pub async fn get(url: &str) -> Vec<u8> {
    let answer = http().unwrap().get(url).send().await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.bytes().await.unwrap().to_vec()
}
