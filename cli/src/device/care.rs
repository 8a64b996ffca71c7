//! Looking after the phone: alerts, checks, and what the person's phones share.

use std::fmt;
use std::path::PathBuf;

use candor_host::durable;
use candor_sdk::device::{Alert, Severity, Subject};
use candor_sdk::shared::Merge;
use serde::Serialize;

use crate::device::phone::Phone;
use crate::device::show::AlertView;
use crate::device::trouble;
use crate::failure::Failure;
use crate::output::{Exit, FAINT, GOOD, Report, WARN, paint};
use crate::view::{write_field, write_title};

/// Shows what you have to act on, the gravest first: what happened, why it matters, what to do, and
/// which devices came and went.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor device alerts
  candor device alerts --acknowledge
  candor device alerts --save-evidence fork.evidence; candor evidence verify fork.evidence ...

Exits with 3 while there is a danger that was not acknowledged.")]
pub struct AlertsArguments {
    /// Say that you have seen and acted on all that is shown.
    #[arg(long)]
    acknowledge: bool,
    /// Write what convinces others into a file.
    #[arg(long, value_name = "FILE")]
    save_evidence: Option<PathBuf>,
}

/// What the person has to act on.
#[derive(Serialize)]
pub struct AlertsReport {
    label: String,
    alerts: Vec<AlertView>,
    acknowledged: bool,
    saved: Option<String>,
}

pub async fn alerts(arguments: AlertsArguments, phone: &Phone) -> Result<AlertsReport, Failure> {
    let alerts = phone.device.alerts().await?;
    if let Some(path) = &arguments.save_evidence {
        let evidence = alerts.iter().find_map(|alert| alert.evidence.as_ref());
        let evidence = evidence
            .ok_or_else(|| Failure::usage("no alert has evidence", "see `candor device alerts`"))?;
        durable::create_new(path, evidence)?;
    }
    if arguments.acknowledge {
        for alert in &alerts {
            phone.device.acknowledge(&alert.subject, alert.kind).await?;
        }
    }
    Ok(AlertsReport {
        label: phone.label.to_string(),
        alerts: alerts.iter().map(AlertView::from).collect(),
        acknowledged: arguments.acknowledge,
        saved: arguments
            .save_evidence
            .map(|path| path.display().to_string()),
    })
}

impl Report for AlertsReport {
    fn exit(&self) -> Exit {
        match self.acknowledged {
            true => Exit::Done,
            false => exit(&self.alerts),
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, format_args!("alerts of {}", self.label))?;
        write_alerts(out, &self.alerts)?;
        if let Some(file) = &self.saved {
            write_field(out, "saved", file)?;
        }
        match self.acknowledged && !self.alerts.is_empty() {
            true => write_field(out, "result", paint(GOOD, "acknowledged")),
            false => Ok(()),
        }
    }
}

/// An alarm if there is a danger.
fn exit(alerts: &[AlertView]) -> Exit {
    let mut severities = alerts.iter().map(|alert| alert.severity);
    match severities.any(|severity| severity == Severity::Danger) {
        true => Exit::Alarm,
        false => Exit::Done,
    }
}

fn write_alerts(out: &mut String, alerts: &[AlertView]) -> fmt::Result {
    if alerts.is_empty() {
        return write_field(out, "alerts", paint(GOOD, "none"));
    }
    alerts.iter().try_for_each(|alert| alert.write(out))
}

/// How the own account is.
#[derive(Serialize)]
pub struct OwnReport {
    label: String,
    /// Whether verification is on.
    on: bool,
    /// Whether the account is what your phones made of it; `null` if that was not asked.
    in_order: Option<bool>,
    alerts: Vec<AlertView>,
}

/// Checks the own account now: is it what your phones made of it?
pub async fn self_check(phone: &Phone) -> Result<OwnReport, Failure> {
    let checked = phone.device.self_check().await?;
    let is_in_order = checked.map_err(|trouble| trouble::failure(&trouble))?;
    own(phone, Some(is_in_order)).await
}

/// Does everything that is due, as an application does when it wakes up.
pub async fn tick(phone: &Phone) -> Result<OwnReport, Failure> {
    phone.device.tick().await?;
    own(phone, None).await
}

/// Who asked for the own account alone is shown alerts about that alone.
async fn own(phone: &Phone, in_order: Option<bool>) -> Result<OwnReport, Failure> {
    let alerts = phone.device.alerts().await?;
    let is_shown = |alert: &&Alert| in_order.is_none() || alert.subject == Subject::Own;
    let alerts = alerts.iter().filter(is_shown);
    Ok(OwnReport {
        in_order,
        label: phone.label.to_string(),
        on: phone.device.is_on().await?,
        alerts: alerts.map(AlertView::from).collect(),
    })
}

impl Report for OwnReport {
    fn exit(&self) -> Exit {
        match (exit(&self.alerts), self.in_order) {
            (Exit::Done, Some(false)) => Exit::Temporary,
            (exit, _) => exit,
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.label)?;
        let on = if self.on { "on" } else { "off" };
        write_field(out, "verifying", on)?;
        let unexplained = "a change that no phone of yours has told of: if none does, an alert";
        match self.in_order {
            Some(true) => write_field(out, "account", paint(GOOD, "as your phones made it"))?,
            Some(false) if self.alerts.is_empty() => {
                write_field(out, "account", paint(WARN, unexplained))?;
            }
            _ => {}
        }
        write_alerts(out, &self.alerts)
    }
}

/// What exchanging with the person's other phones brought.
#[derive(Serialize)]
pub struct SyncReport {
    label: String,
    /// Whether others had something new.
    learned: bool,
    /// Whether others lacked something.
    lacked: bool,
}

pub async fn sync(phone: &Phone) -> Result<SyncReport, Failure> {
    let merged: Option<Merge> = phone.pull().await?;
    phone.push().await?;
    Ok(SyncReport {
        label: phone.label.to_string(),
        learned: merged.is_some_and(|merged| merged.learned),
        lacked: merged.is_none_or(|merged| merged.lacks_ours),
    })
}

impl Report for SyncReport {
    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.label)?;
        let learned = match self.learned {
            true => paint(GOOD, "something new came from your other phones"),
            false => paint(FAINT, "nothing new from your other phones"),
        };
        write_field(out, "received", learned)?;
        let lacked = match self.lacked {
            true => paint(WARN, "what was kept there lacked something of this phone's"),
            false => paint(FAINT, "what was kept there had all of this phone's"),
        };
        write_field(out, "sent", lacked)
    }
}
