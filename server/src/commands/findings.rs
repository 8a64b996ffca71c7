//! What a check found, for people and for programs; and how far it is.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use candor_server::anchor;
use candor_server::backup::configured_verifier;
use candor_server::config::Config;
use candor_server::fsck::{Finding, Progress, Report, Standing};
use candor_server::ledger::Ledger;
use candor_server::storage::Table;
use serde_json::{Value, json};

use super::told;

/// How often a terminal is told how far it is.
const INTERVAL: Duration = Duration::from_millis(200);

/// Tells a terminal how far it is; nothing else is told.
pub struct Meter {
    is_terminal: bool,
    told_at: Option<Instant>,
}

impl Meter {
    pub fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            told_at: None,
        }
    }

    pub fn tell(&mut self, progress: Progress) {
        let is_due = self.told_at.is_none_or(|at| at.elapsed() >= INTERVAL);
        if self.is_terminal && is_due {
            let (table, rows) = (progress.table.name(), progress.rows);
            eprint!("\r\x1b[K{table}: {rows} rows");
            let _ = std::io::stderr().flush();
            self.told_at = Some(Instant::now());
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.told_at.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// The key of a row as its operator can find it again. It may name a person: for the operator's
/// own terminal, never for a log.
pub fn row_key(finding: &Finding) -> String {
    match finding.table {
        Table::Accounts | Table::Meta | Table::Checkpoints => {
            finding.key.0.escape_ascii().to_string()
        }
        Table::Versions => version_key(&finding.key.0),
        _ => hex(&finding.key.0),
    }
}

/// A label and a version, if the key has the form of one.
fn version_key(key: &[u8]) -> String {
    let named = key.split_first().and_then(|(length, rest)| {
        let (label, version) = rest.split_at_checked(usize::from(*length))?;
        let version = u32::from_be_bytes(version.try_into().ok()?);
        Some(format!("{} version {version}", label.escape_ascii()))
    });
    named.unwrap_or_else(|| hex(key))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One line a finding, and how much was checked.
#[allow(clippy::print_stdout)]
pub fn print(report: &Report) {
    let tables = Table::ALL.into_iter().zip(report.rows);
    let tables = tables.map(|(table, rows)| format!("{} {rows}", table.name()));
    println!("Read: {}.", tables.collect::<Vec<_>>().join(", "));
    println!("Verified {} VRF proofs.", report.vrf_proofs);
    for finding in report.findings() {
        let (table, problem) = (finding.table.name(), &finding.problem);
        match finding.key.0.is_empty() {
            true => println!("{table}: {problem}"),
            false => println!("{table} {}: {problem}", row_key(finding)),
        }
    }
    let more = report.count - report.findings().len() as u64;
    if more > 0 {
        println!("and {more} more");
    }
}

/// The same for programs.
pub fn to_json(report: &Report) -> Value {
    let rows = Table::ALL.into_iter().zip(report.rows);
    let rows = rows.map(|(table, rows)| (table.name().to_owned(), rows.into()));
    let findings = report.findings().iter().map(|finding| {
        json!({
            "table": finding.table.name(),
            "key": hex(&finding.key.0),
            "problem": finding.problem.to_string(),
        })
    });
    json!({
        "rows": Value::Object(rows.collect()),
        "vrf_proofs": report.vrf_proofs,
        "count": report.count,
        "findings": findings.collect::<Vec<_>>(),
    })
}

/// How a store stands to the anchor of a configuration, in a sentence.
pub enum Anchored {
    /// As was found.
    Known(Standing),
    /// Nobody here knows what was signed.
    None,
    /// The anchor, or what it has to be compared with, cannot be read: why.
    Unknown(String),
}

impl Anchored {
    /// Whether the log can go on from the store.
    pub const fn can_go_on(&self) -> bool {
        matches!(self, Self::Known(Standing::Reaches { .. }))
    }

    /// Whether the store is something else than was signed, or nobody can tell.
    pub const fn is_wrong(&self) -> bool {
        matches!(
            self,
            Self::Known(Standing::Contradicts { .. }) | Self::Unknown(_)
        )
    }
}

impl fmt::Display for Anchored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(Standing::Reaches { size, signed }) => {
                write!(
                    f,
                    "The anchor agrees: {signed} of {size} records were signed."
                )
            }
            Self::Known(Standing::Behind { size, signed }) => write!(
                f,
                "Behind the anchor by {}: {size} records, {signed} were signed. The log cannot \
                 go on from here.",
                signed - size,
            ),
            Self::Known(Standing::Contradicts { signed }) => write!(
                f,
                "Contradicts the anchor: another history than was signed at {signed} records. The \
                 log cannot go on from here.",
            ),
            Self::None => f.write_str("There is no anchor: nobody here knows what was signed."),
            Self::Unknown(why) => write!(f, "Could not be compared with the anchor: {why}."),
        }
    }
}

/// Compares a store with the anchor of a configuration.
pub fn anchor_of(config: &Config, ledger: &Ledger) -> Result<Anchored, String> {
    let verifier = configured_verifier(config).map_err(told)?;
    let Some(newest) = anchor::peek(&config.anchor, &verifier).map_err(told)? else {
        return Ok(Anchored::None);
    };
    let standing = Standing::of(ledger, newest);
    Ok(standing.map_or_else(
        |error| Anchored::Unknown(error.to_string()),
        Anchored::Known,
    ))
}
