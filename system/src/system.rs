//! A log with its witnesses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use candor_core::answer::Trust;
use candor_core::note::{LogVerifier, Policy};
use candor_host::fetch;
use candor_sdk::{Client, ClientConfig, MemoryStore, Store};

use crate::Result;
use crate::process::{Process, TIMEOUTS, free_address, http, run, wait_answer};

/// The origin of the log.
pub const ORIGIN: &str = "candor.example/demo";

/// A log server and its witnesses, each in a folder of its own below one folder.
pub struct System {
    folder: PathBuf,
    /// The server.
    pub server: Node,
    /// The witnesses.
    pub witnesses: Vec<Node>,
}

/// One program of the system.
pub struct Node {
    program: &'static str,
    folder: PathBuf,
    config: &'static str,
    /// Where it serves gRPC.
    pub grpc: SocketAddr,
    /// Where it serves HTTP.
    pub http: SocketAddr,
    process: Option<Process>,
    roots: Option<PathBuf>,
    /// What it logs, if not as usual.
    pub log_filter: Option<&'static str>,
}

impl Node {
    /// Starts the program, and waits until it serves.
    ///
    /// # Errors
    ///
    /// When it does not; the message has what it wrote.
    pub async fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait("/livez").await
    }

    /// Starts the program without waiting.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        let config = self.folder.join(self.config);
        let arguments = ["run", "--config", &config.to_string_lossy()];
        let roots = self.roots.as_ref().map(|roots| roots.to_string_lossy());
        let roots = roots.as_deref().map(|roots| ("SSL_CERT_FILE", roots));
        let filter = self.log_filter.map(|filter| ("RUST_LOG", filter));
        let variables: Vec<_> = filter.into_iter().chain(roots).collect();
        let process = Process::start_with(self.program, &arguments, &variables, &self.log())?;
        self.process = Some(process);
        Ok(())
    }

    /// Says that the program was configured for TLS, and that `roots` is the file of whom it and
    /// its callers trust.
    pub fn speaks_tls(&mut self, roots: &Path) {
        self.roots = Some(roots.to_owned());
    }

    const fn scheme(&self) -> &'static str {
        match self.roots {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Waits until a page of the HTTP port answers 200.
    async fn wait(&mut self, page: &str) -> Result<()> {
        let url = format!("{}://{}{page}", self.scheme(), self.http);
        let client = match &self.roots {
            None => http()?,
            Some(roots) => fetch::client_trusting(&std::fs::read(roots)?, TIMEOUTS)?,
        };
        wait_answer(&client, &url, self.process()?).await
    }

    /// The running program.
    ///
    /// # Errors
    ///
    /// When it was not started.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process
            .as_mut()
            .ok_or_else(|| format!("{} was not started", self.program).into())
    }

    /// The same program below another folder, with addresses of its own, which are noted.
    fn twin(&self, folder: &Path, addresses: &mut Vec<(String, String)>) -> Result<Self> {
        let name = self.folder.file_name().ok_or("a node has a folder")?;
        let (grpc, http) = (free_address()?, free_address()?);
        addresses.push((self.grpc.to_string(), grpc.to_string()));
        addresses.push((self.http.to_string(), http.to_string()));
        Ok(Self {
            program: self.program,
            folder: folder.join(name),
            config: self.config,
            grpc,
            http,
            process: None,
            roots: None,
            log_filter: None,
        })
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its output goes.
    pub fn log(&self) -> PathBuf {
        self.folder.join("output.log")
    }
}

impl System {
    /// Makes keys and configurations of a log and its witnesses, of which a majority is a quorum.
    /// Nothing runs yet.
    ///
    /// # Errors
    ///
    /// When a program refuses, or a file cannot be written.
    pub fn create(folder: &Path, witnesses: usize) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (grpc, http) = (free_address()?, free_address()?);
        let home = folder.join("server");
        let path = home.to_string_lossy().into_owned();
        let mut arguments = vec!["init".to_owned(), path, "--origin".into(), ORIGIN.into()];
        arguments.extend(["--grpc-listen".into(), grpc.to_string()]);
        arguments.extend(["--http-listen".into(), http.to_string()]);
        run(
            "candor-server",
            &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
        )?;
        // A small machine and short waits: what a demo needs, not an operator.
        edit(
            &home.join("server.toml"),
            &[
                ("disk_reserve_mib = 1024", "disk_reserve_mib = 64"),
                ("epoch_interval_ms = 1000", "epoch_interval_ms = 200"),
            ],
        )?;
        let log_keys = log_keys(&home)?;
        let server = Node {
            program: "candor-server",
            folder: home.clone(),
            config: "server.toml",
            grpc,
            http,
            process: None,
            roots: None,
            log_filter: None,
        };
        let mut system = Self {
            folder: folder.to_owned(),
            server,
            witnesses: Vec::new(),
        };
        let mut policy: String = log_keys.iter().map(|key| format!("log {key}\n")).collect();
        for number in 1..=witnesses {
            let name = witness_name(number);
            let home = folder.join(format!("witness-{number}"));
            let (node, lines) = create_witness(&home, &name, &log_keys, Some(grpc))?;
            policy.push_str(&lines);
            // Both of its statements are asked for.
            policy.push_str(&format!("group w{number} all {name} {name}/map\n"));
            system.witnesses.push(node);
        }
        policy.push_str(&quorum(witnesses));
        std::fs::write(system.policy_path(), &policy)?;
        std::fs::write(home.join("policy.txt"), &policy)?;
        Ok(system)
    }

    /// Starts everything and waits until a head is published.
    ///
    /// # Errors
    ///
    /// When something does not start.
    pub async fn start(&mut self) -> Result<()> {
        self.server.spawn()?;
        for witness in &mut self.witnesses {
            witness.start().await?;
        }
        self.wait_published().await
    }

    /// Waits until the server has a fresh published head.
    ///
    /// # Errors
    ///
    /// When it has none in time, or ends.
    pub async fn wait_published(&mut self) -> Result<()> {
        self.server.wait("/readyz").await
    }

    /// A second log with witnesses on copies of all files as they are now, keys included, at
    /// addresses of their own: what an operator has who shows somebody another history, and whose
    /// witnesses help. This one runs on; nothing of the second runs yet.
    ///
    /// # Errors
    ///
    /// When a program does not stop or start, or a file cannot be copied.
    pub async fn fork(&mut self, folder: &Path) -> Result<Self> {
        for node in self.nodes() {
            node.process()?.terminate()?;
        }
        copy(&self.folder, folder)?;
        let mut addresses = Vec::new();
        let mut second = Self {
            folder: folder.to_owned(),
            server: self.server.twin(folder, &mut addresses)?,
            witnesses: Vec::new(),
        };
        for witness in &self.witnesses {
            let twin = witness.twin(folder, &mut addresses)?;
            second.witnesses.push(twin);
        }
        let policy = second.server.folder.join("policy.txt");
        let configs = second.nodes().map(|node| node.folder.join(node.config));
        for path in configs.chain([policy]).collect::<Vec<_>>() {
            let mut text = std::fs::read_to_string(&path)?;
            for (from, to) in &addresses {
                text = text.replace(from, to);
            }
            std::fs::write(path, text)?;
        }
        self.start().await?;
        Ok(second)
    }

    /// All programs.
    pub fn nodes(&mut self) -> impl Iterator<Item = &mut Node> {
        std::iter::once(&mut self.server).chain(&mut self.witnesses)
    }

    /// The folder of the whole system.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The policy that devices use.
    pub fn policy_path(&self) -> PathBuf {
        self.folder.join("policy.txt")
    }

    /// The registrar's token file.
    pub fn token_path(&self) -> PathBuf {
        self.server.folder.join("registrar-token")
    }

    /// What a device of this system trusts.
    ///
    /// # Errors
    ///
    /// When the policy cannot be read.
    pub fn trust(&self) -> Result<Trust> {
        let policy = Policy::parse(&std::fs::read(self.policy_path())?)?;
        let names = self.map_witnesses();
        Ok(Trust::new(policy, names.iter().map(String::as_str))?)
    }

    /// The names of the policy's map witnesses.
    pub fn map_witnesses(&self) -> Vec<String> {
        let keys = |number| {
            ["ed25519", "ml-dsa-44"].map(|kind| format!("{}/map/{kind}", witness_name(number)))
        };
        (1..=self.witnesses.len()).flat_map(keys).collect()
    }

    /// The log's keys alone.
    ///
    /// # Errors
    ///
    /// When the policy cannot be read.
    pub fn log_verifier(&self) -> Result<LogVerifier> {
        let trust = self.trust()?;
        let keys = trust
            .policy()
            .logs()
            .iter()
            .map(|log| log.key().clone())
            .collect();
        Ok(LogVerifier::new(trust.origin(), keys))
    }

    /// A device that knows nothing yet, and asks the server at `endpoint`.
    ///
    /// # Errors
    ///
    /// When the policy cannot be read.
    pub fn device_at(&self, endpoint: &str) -> Result<Client<MemoryStore>> {
        self.device_with(endpoint, MemoryStore::new())
    }

    /// A device that knows nothing yet.
    ///
    /// # Errors
    ///
    /// When the policy cannot be read.
    pub fn device(&self) -> Result<Client<MemoryStore>> {
        self.device_at(&self.endpoint())
    }

    /// A device with a store of its own, which may also publish.
    ///
    /// # Errors
    ///
    /// When the policy or the token cannot be read.
    pub fn device_with<S: Store>(&self, endpoint: &str, store: S) -> Result<Client<S>> {
        let token = std::fs::read_to_string(self.token_path())?;
        let mut config = ClientConfig::new(endpoint, self.trust()?);
        if let Some(roots) = &self.server.roots {
            config = config.with_root_certificate(&std::fs::read(roots)?);
        }
        let config = config.with_bearer_token(token.trim())?;
        Ok(Client::new(config, store)?)
    }

    /// The server's gRPC address as devices name it.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.server.scheme(), self.server.grpc)
    }
}

/// Makes keys and configuration of a witness of the log with these keys; it checks the log's map
/// too if it is told where the log's `feed` is. Answers the lines for policies as well.
///
/// # Errors
///
/// When the program refuses, or a file cannot be written.
pub fn create_witness(
    folder: &Path,
    name: &str,
    log_keys: &[String],
    feed: Option<SocketAddr>,
) -> Result<(Node, String)> {
    let (grpc, http) = (free_address()?, free_address()?);
    let path = folder.to_string_lossy();
    let url = format!("http://{http}");
    let mut arguments = vec!["init", &path, "--name", name, "--url", &url];
    for key in log_keys {
        arguments.extend(["--log", key]);
    }
    let printed = run("candor-witness", &arguments)?;
    let config = folder.join("witness.toml");
    let listen = [
        ("# http = \"127.0.0.1:7380\"", format!("http = \"{http}\"")),
        ("# grpc = \"127.0.0.1:7381\"", format!("grpc = \"{grpc}\"")),
    ];
    for (from, to) in &listen {
        edit(&config, &[(from, to)])?;
    }
    if let Some(feed) = feed {
        let feed = format!("grpc = \"http://{feed}\"");
        edit(&config, &[("# grpc = \"http://127.0.0.1:8430\"", &feed)])?;
    }
    let lines = printed.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| format!("{line}\n")).collect();
    let node = Node {
        program: "candor-witness",
        folder: folder.to_owned(),
        config: "witness.toml",
        grpc,
        http,
        process: None,
        roots: None,
        log_filter: None,
    };
    Ok((node, lines))
}

/// The log's vkeys, from the policy that `init` wrote.
fn log_keys(home: &Path) -> Result<Vec<String>> {
    let policy = Policy::parse(&std::fs::read(home.join("policy.txt"))?)?;
    Ok(policy
        .logs()
        .iter()
        .map(|log| log.key().to_string())
        .collect())
}

fn witness_name(number: usize) -> String {
    format!("witness-{number}.example")
}

/// A majority of the witnesses.
fn quorum(witnesses: usize) -> String {
    if witnesses == 0 {
        return "quorum none\n".to_owned();
    }
    let names: String = (1..=witnesses)
        .map(|number| format!(" w{number}"))
        .collect();
    format!(
        "group majority {}{names}\nquorum majority\n",
        witnesses / 2 + 1
    )
}

/// Replaces texts of a file, each of which must be there.
///
/// # Errors
///
/// When one is not, or the file cannot be read or written.
pub fn edit(path: &Path, replacements: &[(&str, &str)]) -> Result<()> {
    let mut text = std::fs::read_to_string(path)?;
    for (from, to) in replacements {
        if !text.contains(from) {
            return Err(format!("{} does not contain {from}", path.display()).into());
        }
        text = text.replace(from, to);
    }
    Ok(std::fs::write(path, text)?)
}

/// Copies a folder with everything in it.
///
/// # Errors
///
/// When something cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
