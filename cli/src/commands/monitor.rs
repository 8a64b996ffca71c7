//! `candor monitor`: did anybody publish what no device of mine did?

use std::fmt;

use candor_core::account::Label;
use candor_sdk::{OwnReport, OwnVersion, Verdict};
use serde::Serialize;

use crate::arguments;
use crate::commands::history::{VersionView, write_versions};
use crate::failure::Failure;
use crate::output::{ALARM, Exit, GOOD, Report, WARN, paint};
use crate::profile::Profile;
use crate::view::{self, write_field, write_title};

/// Watches over your own account: shows every version since the last time, and which of them this
/// profile did not publish.
///
/// An unexpected version is shown every time until it is acknowledged.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor monitor alice@example.org
  candor monitor alice@example.org --acknowledge    # it was me, on another device

Exits with 3 if there is an unexpected version, and with 2 if one that was published here is not
visible yet.")]
pub struct Arguments {
    /// Your own e-mail address, telephone number, or acct:name.
    #[arg(value_parser = arguments::label)]
    label: Label,
    /// Settle what is shown: later calls begin after it.
    #[arg(long)]
    acknowledge: bool,
}

/// What watching found.
#[derive(Serialize)]
pub struct MonitorReport {
    label: String,
    versions: Vec<VersionView>,
    alerts: Vec<Alert>,
    /// Versions that were published here and are not in the map.
    missing: Vec<u32>,
    acknowledged: bool,
    /// Whether the log holds, or held at an earlier call, any version.
    present: bool,
    /// The log that this one goes on as, if it has ended.
    successor: Option<String>,
}

/// A version that the person has to see.
#[derive(Serialize)]
struct Alert {
    version: u32,
    reason: String,
}

pub async fn run(arguments: Arguments, profile: &Profile) -> Result<MonitorReport, Failure> {
    let client = profile.client()?;
    let found = client.monitor_own(&arguments.label, &[]).await?;
    if arguments.acknowledge {
        client.acknowledge(&found).await?;
    }
    Ok(MonitorReport {
        label: arguments.label.to_string(),
        versions: versions(&found),
        alerts: found.alerts().map(Alert::new).collect(),
        missing: found.missing().to_vec(),
        acknowledged: arguments.acknowledge,
        present: found.is_present(),
        successor: view::successor(&client).await?,
    })
}

fn versions(found: &OwnReport) -> Vec<VersionView> {
    let mut before = None;
    let mut views = Vec::new();
    for each in found.versions() {
        let Some(value) = &each.value else {
            before = None;
            continue;
        };
        let (change, broken_rule) = match each.verdict {
            Verdict::Expected(change) | Verdict::Unexpected(change) => (view::change(change), None),
            Verdict::BreaksRules(rule) => ("rule-broken", Some(rule.to_string())),
            Verdict::Invalid(_) => ("invalid", None),
            Verdict::Erased => ("unknown", None),
        };
        views.push(VersionView {
            change,
            broken_rule,
            ..VersionView::of_value(each.version, before, value)
        });
        before = Some(value);
    }
    views
}

impl Alert {
    fn new(version: &OwnVersion) -> Self {
        let reason = match version.verdict {
            Verdict::Expected(_) => "expected".to_owned(),
            Verdict::Unexpected(_) => "this profile did not publish it".to_owned(),
            Verdict::BreaksRules(rule) => rule.to_string(),
            Verdict::Invalid(error) => error.to_string(),
            Verdict::Erased => {
                "erased, or follows an erased version: who made it cannot be told".to_owned()
            }
        };
        Self {
            version: version.version,
            reason,
        }
    }
}

impl Report for MonitorReport {
    fn exit(&self) -> Exit {
        if !self.alerts.is_empty() && !self.acknowledged {
            Exit::Alarm
        } else if !self.missing.is_empty() {
            Exit::Temporary
        } else if !self.present {
            Exit::Absent
        } else {
            Exit::Done
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.label)?;
        view::write_end(out, self.successor.as_ref())?;
        if !self.present {
            write_field(out, "account", paint(WARN, "none, which is proved"))?;
        } else if self.versions.is_empty() && self.alerts.is_empty() {
            write_field(out, "since", "nothing new since the last time")?;
        } else {
            write_versions(out, &self.versions)?;
        }
        for version in &self.missing {
            let what = format!("version {version}, published here, is not visible yet");
            write_field(out, "missing", paint(WARN, what))?;
        }
        for Alert { version, reason } in &self.alerts {
            let what = format!("version {version}: {reason}");
            write_field(out, "ALARM", paint(ALARM.bold(), what))?;
        }
        match (self.alerts.is_empty(), self.acknowledged) {
            (true, _) if self.present => write_field(out, "result", paint(GOOD, "in order")),
            (false, true) => write_field(out, "result", paint(GOOD, "acknowledged")),
            (false, false) => write_field(
                out,
                "next",
                "if this was you on another device: --acknowledge; if not, tell your contacts",
            ),
            (true, _) => Ok(()),
        }
    }
}
