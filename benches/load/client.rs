//! `candor load`, as the benchmark uses it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use candor_benches::process::processor_time_of;
use candor_system::process::program;
use serde_json::Value;

use crate::cores::{self, Core};
use crate::site::Site;

/// Connections, and most calls on each: enough that the server has work while answers wait for the
/// least time that one takes (`answer_floor_ms`), which is not the server's to wait out.
const CONNECTIONS: [&str; 4] = ["--channels", "4", "--concurrency", "64"];

/// How long there is load before it is measured, in seconds.
const WARM_UP_S: u32 = 2;

/// The client's side.
pub struct Client<'a> {
    site: &'a Site,
    core: Core,
    accounts: String,
    seconds: u32,
}

/// What a run came to.
pub struct Ran {
    pub per_second: f64,
    pub updates_per_second: f64,
    pub answer_bytes: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub failed: f64,
    /// Part of the cores' time that went to other machines.
    pub stolen: f64,
    /// Time of the server's core for each lookup, in microseconds, warm-up included on both sides.
    pub server_us: f64,
    /// Part of the time in which the server was on its core.
    pub server_busy: f64,
}

impl<'a> Client<'a> {
    pub fn new(site: &'a Site, core: Core, accounts: u32, seconds: u32) -> Self {
        Self {
            site,
            core,
            accounts: accounts.to_string(),
            seconds,
        }
    }

    /// Lookups as fast as they are answered, none of them verified: the client is not to be slower
    /// than it must.
    pub fn flat_out(&self, endpoint: &str, server: u32) -> Ran {
        let unverified = ["--mix", "lookup=1", "--verify", "0"];
        self.run(endpoint, server, &unverified)
    }

    /// So many lookups and updates a second.
    pub fn at_rate(&self, lookups: f64, updates: f64) -> Ran {
        let mix = format!("lookup={lookups:.0},update={updates:.0}");
        let rate = format!("{:.0}", lookups + updates);
        let arguments = ["--mix", &mix, "--rate", &rate, "--verify", "0.001"];
        self.run(&self.site.endpoint(), self.site.server(), &arguments)
    }

    /// So many empty calls a second: what latencies this machine gives at best.
    pub fn empty_at_rate(&self, endpoint: &str, server: u32, calls: f64) -> Ran {
        let rate = format!("{calls:.0}");
        let arguments = ["--mix", "lookup=1", "--rate", &rate, "--verify", "0"];
        self.run(endpoint, server, &arguments)
    }

    fn run(&self, endpoint: &str, server: u32, arguments: &[&str]) -> Ran {
        let seconds = self.seconds.to_string();
        let warm_up = WARM_UP_S.to_string();
        let mut command = load(&self.site.profile(), endpoint, &self.accounts);
        command.args(CONNECTIONS).args(arguments);
        command.args(["--duration", &seconds, "--warm-up", &warm_up]);
        let before = (processor_time_of(server), cores::ticks());
        let report = self.core.run(|| json(&mut command));
        let busy = processor_time_of(server) - before.0;
        let (all, stolen) = cores::ticks();
        let stolen = (stolen - before.1.1) as f64 / (all - before.1.0) as f64;
        Ran::new(&report, busy, stolen, self.seconds)
    }
}

impl Ran {
    fn new(report: &Value, busy: Duration, stolen: f64, seconds: u32) -> Self {
        let operations = report["operations"].as_array().unwrap();
        let of = |name: &str, field: &str| {
            let operation = operations.iter().find(|it| it["operation"] == name);
            operation.map_or(0.0, |it| it[field].as_f64().unwrap())
        };
        let ms = |field| of("lookup", field) / 1_000.0;
        let failed = of("lookup", "failed") + of("update", "failed");
        let (all, per_second) = (f64::from(seconds + WARM_UP_S), of("lookup", "per_second"));
        Self {
            per_second,
            updates_per_second: of("update", "per_second"),
            answer_bytes: report["lookup_answer_bytes"].as_f64().unwrap() as usize,
            p50_ms: ms("p50_us"),
            p99_ms: ms("p99_us"),
            p999_ms: ms("p999_us"),
            failed: failed + report["not_started"].as_f64().unwrap(),
            stolen,
            server_us: busy.as_secs_f64() * 1e6 / (per_second * all),
            server_busy: busy.as_secs_f64() / all,
        }
    }
}

/// The command with its first arguments.
pub fn load(profile: &Path, endpoint: &str, accounts: &str) -> Command {
    let mut command = Command::new(program("candor").unwrap());
    command.arg("--profile").arg(profile);
    command.args(["--json", "load", endpoint, "--accounts", accounts]);
    command
}

/// Runs it; it has to succeed.
pub fn json(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}
