//! The programs under test, as child processes.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use candor_host::fetch::{self, Timeouts};

use crate::Result;

/// How long anything may take to start, answer or stop before it counts as failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where the workspace's programs were built: the folder that this program is in, or the one above
/// (tests are in `deps`).
///
/// # Errors
///
/// When they were not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let candidates = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name));
    let missing = || format!("{name} is not built; run `cargo build --workspace --bins` first");
    Ok(candidates
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(missing)?)
}

/// Ports for programs that are stopped and started again. Below those that systems hand to
/// outgoing connections: such a connection could take the port of a program that is down.
const PORTS: Range<u16> = 20_000..32_000;

/// An address on loopback that nothing listens on, and that is not given out again while a test
/// runs.
///
/// # Errors
///
/// When the system has none.
pub fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ports = u32::from(PORTS.end - PORTS.start);
    // Programs that run at the same time begin at different ports.
    let first = std::process::id().wrapping_mul(509);
    for _ in 0..ports {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + u16::try_from(first.wrapping_add(turn) % ports)?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    Err("no port is free".into())
}

/// A program that ends with its owner.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program. Its output goes to the end of `log`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(name: &str, arguments: &[&str], log: &Path) -> Result<Self> {
        Self::start_with(name, arguments, &[], log)
    }

    /// The same with variables of its environment.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_with(
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
        log: &Path,
    ) -> Result<Self> {
        let output: File = OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new(program(name)?)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// The program's process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the program at once, as a power failure would.
    ///
    /// # Errors
    ///
    /// When it cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the program to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal("-TERM")?;
        self.wait()
    }

    /// Stops the program where it is, as a machine that hangs.
    ///
    /// # Errors
    ///
    /// When the system does not know the program.
    pub fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Lets a program go on that was paused.
    ///
    /// # Errors
    ///
    /// When the system does not know the program.
    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let id = self.child.id().to_string();
        Command::new("kill").args([signal, &id]).status()?;
        Ok(())
    }

    /// Waits until the program has ended.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not end", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the program has ended.
    ///
    /// # Errors
    ///
    /// When the system does not know.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What the program has written.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn output(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ended = self.kill();
    }
}

/// How patient clients of the programs are.
pub const TIMEOUTS: Timeouts = Timeouts {
    connect: PATIENCE,
    total: PATIENCE,
};

/// A client for the programs' HTTP ports.
///
/// # Errors
///
/// When the system cannot do HTTP.
pub fn http() -> Result<reqwest::Client> {
    Ok(fetch::client(TIMEOUTS)?)
}

/// Runs a program to its end.
///
/// # Errors
///
/// When it fails; the message has its output.
pub fn run(name: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program(name)?)
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    Err(format!(
        "{name} {}: {}\n{out}{err}",
        arguments.join(" "),
        output.status
    )
    .into())
}

/// Waits until `url` answers 200, or until `process` has ended.
///
/// # Errors
///
/// When neither the one nor the other happens in time, or the process ended.
pub async fn wait_ready(url: &str, process: &mut Process) -> Result<()> {
    wait_answer(&http()?, url, process).await
}

/// Waits as [`wait_ready`] does, with a client of the caller's.
///
/// # Errors
///
/// As [`wait_ready`].
pub async fn wait_answer(client: &reqwest::Client, url: &str, process: &mut Process) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if client
            .get(url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return Ok(());
        }
        if process.has_ended()? {
            return Err(format!("{} ended:\n{}", process.name, process.output()?).into());
        }
        if Instant::now() > deadline {
            return Err(format!("{url} is not ready:\n{}", process.output()?).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
