//! `candor history`: every version of an account.

use std::fmt;

use candor_core::account::{Label, VerifiedValue, check_successor};
use candor_sdk::PastVersion;
use serde::Serialize;

use crate::arguments;
use crate::failure::Failure;
use crate::output::{ALARM, Exit, Report, WARN, paint, table, write_table};
use crate::profile::Profile;
use crate::view::{self, DeviceView, write_field, write_title};

/// Shows every version of an account, verified, and what changed in each.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  candor history alice@example.org")]
pub struct Arguments {
    /// E-mail address, telephone number, or acct:name. Bindings are not followed.
    #[arg(value_parser = arguments::label)]
    label: Label,
}

/// Every version of an account.
#[derive(Serialize)]
pub struct HistoryReport {
    label: String,
    versions: Vec<VersionView>,
    /// The log that this one goes on as, if it has ended.
    successor: Option<String>,
}

/// One version of an account.
#[derive(Serialize)]
pub struct VersionView {
    pub version: u32,
    /// What the step was, or `rule-broken`, or `erased`, or `unknown` after an erased version.
    pub change: &'static str,
    /// The rule that the step breaks.
    pub broken_rule: Option<String>,
    pub enrolled: bool,
    /// Digest of the key that signed it; `null`: the server's word.
    pub account_key: Option<String>,
    pub bound_to: Option<String>,
    pub devices: Vec<DeviceView>,
    /// What changed since the version before, in words.
    pub changes: Vec<String>,
}

pub async fn run(arguments: Arguments, profile: &Profile) -> Result<HistoryReport, Failure> {
    let client = profile.client()?;
    let versions = client.history(&arguments.label, 0).await?;
    let mut previous = None;
    let mut views = Vec::with_capacity(versions.len());
    for version in &versions {
        views.push(VersionView::new(previous, version));
        previous = Some(version);
    }
    Ok(HistoryReport {
        label: arguments.label.to_string(),
        versions: views,
        successor: view::successor(&client).await?,
    })
}

impl VersionView {
    fn new(previous: Option<&PastVersion>, version: &PastVersion) -> Self {
        let before = previous.and_then(PastVersion::value);
        let Some(value) = version.value() else {
            return Self::erased(version.version());
        };
        let shown = Self::of_value(version.version(), before, value);
        if previous.is_some() && before.is_none() {
            return shown; // Nothing tells whether it may follow.
        }
        let step = check_successor(before, value);
        Self {
            change: step.map_or("rule-broken", view::change),
            broken_rule: step.err().map(|rule| rule.to_string()),
            ..shown
        }
    }

    /// A version whose content is gone.
    fn erased(version: u32) -> Self {
        Self {
            change: "erased",
            changes: vec!["the log says that it erased what this version held".to_owned()],
            ..Self::empty(version)
        }
    }

    fn empty(version: u32) -> Self {
        Self {
            version,
            change: "unknown",
            broken_rule: None,
            enrolled: false,
            account_key: None,
            bound_to: None,
            devices: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// What a value holds, without a judgement on the step to it.
    pub fn of_value(version: u32, before: Option<&VerifiedValue>, value: &VerifiedValue) -> Self {
        let mut shown = Self::empty(version);
        match value {
            VerifiedValue::Binding(binding) => {
                shown.bound_to = Some(binding.primary().to_string());
                shown
                    .changes
                    .push(format!("bound to {}", binding.primary()));
            }
            VerifiedValue::State(state) => {
                let devices_before = match before {
                    Some(VerifiedValue::State(before)) => &before.state().devices[..],
                    _ => &[],
                };
                shown.enrolled = state.state().enrolled;
                shown.account_key = state.state().account_key.as_ref().map(view::account_key);
                shown.devices = view::devices(state);
                shown.changes = view::device_changes(devices_before, &state.state().devices);
            }
        }
        shown
    }
}

/// Writes versions as a table.
pub fn write_versions(out: &mut String, versions: &[VersionView]) -> fmt::Result {
    let mut rows = table(["version", "step", "signed by", "devices", "what changed"]);
    for version in versions {
        let signed = match &version.account_key {
            Some(key) => view::short(key),
            None if version.change == "erased" => "unknown".to_owned(),
            None => "server".to_owned(),
        };
        rows.add_row([
            version.version.to_string(),
            version.change.to_owned(),
            signed,
            version.devices.len().to_string(),
            version.changes.join("\n"),
        ]);
    }
    write_table(out, &rows)?;
    for (version, rule) in versions
        .iter()
        .filter_map(|each| Some((each.version, each.broken_rule.as_ref()?)))
    {
        write_field(
            out,
            "ALARM",
            paint(ALARM, format_args!("version {version}: {rule}")),
        )?;
    }
    Ok(())
}

impl Report for HistoryReport {
    fn exit(&self) -> Exit {
        if self.versions.is_empty() {
            Exit::Absent
        } else if self.versions.iter().any(|each| each.broken_rule.is_some()) {
            Exit::Alarm
        } else {
            Exit::Done
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.label)?;
        view::write_end(out, self.successor.as_ref())?;
        if self.versions.is_empty() {
            return write_field(out, "account", paint(WARN, "none, which is proved"));
        }
        write_versions(out, &self.versions)
    }
}
