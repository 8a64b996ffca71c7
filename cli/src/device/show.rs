//! How alerts, levels and clearances read: for people as text, for programs by `Serialize`.
//!
//! Functions of values; nothing here asks or prints. Colour only repeats what words and signs say.

use std::fmt;

use anstyle::Style;
use candor_core::account::Device;
use candor_sdk::device::{
    Alert, Clearance, DeviceChange, DeviceDifference, Level, OfferedDevice, Severity, Subject,
};
use serde::Serialize;

use crate::device::trouble;
use crate::output::{ALARM, Exit, FAINT, GOOD, WARN, paint, table, visible};
use crate::time::date_time;
use crate::view::{DeviceView, hex, write_field};

/// An alert, with what changed.
#[derive(Clone, Debug, Serialize)]
pub struct AlertView {
    /// `own`, `log`, or a contact's label.
    pub about: String,
    /// The kind, for programs.
    pub code: &'static str,
    #[serde(serialize_with = "word")]
    pub severity: Severity,
    pub since_s: u64,
    pub title: String,
    pub cause: String,
    pub advice: String,
    /// Whether trying again may make it go away.
    pub retryable: bool,
    /// Whether there is a file to be saved that convinces others.
    pub evidence: bool,
    pub changes: Vec<ChangeView>,
}

impl From<&Alert> for AlertView {
    fn from(alert: &Alert) -> Self {
        let about = about(&alert.subject);
        let text = alert.kind.text(&about);
        Self {
            about,
            code: alert.kind.code(),
            severity: alert.kind.severity(),
            since_s: alert.since_s,
            title: text.title,
            cause: text.cause,
            advice: text.advice,
            retryable: alert.is_retryable(),
            evidence: alert.evidence.is_some(),
            changes: alert.changes.iter().map(ChangeView::from).collect(),
        }
    }
}

impl AlertView {
    /// Writes the alert in full.
    pub fn write(&self, out: &mut String) -> fmt::Result {
        use fmt::Write as _;
        writeln!(out, "{}", self.line())?;
        write_field(out, "why", &self.cause)?;
        write_field(out, "do", &self.advice)?;
        write_field(out, "since", date_time(self.since_s.saturating_mul(1000)))?;
        if self.evidence {
            write_field(out, "evidence", "kept: save it with --save-evidence FILE")?;
        }
        write_changes(out, &self.changes)
    }

    /// How grave it is, and what happened: one line.
    pub fn line(&self) -> String {
        let word = paint(style(self.severity).bold(), self.severity.word());
        format!("{word}: {}", self.title)
    }
}

impl fmt::Display for AlertView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text)?;
        f.write_str(&text)
    }
}

/// Whom an alert is about, for programs; of a contact, as its texts name it.
pub fn about(subject: &Subject) -> String {
    match subject {
        Subject::Own => "own".to_owned(),
        Subject::Log => "log".to_owned(),
        Subject::Contact(label) => label.to_string(),
    }
}

const fn style(severity: Severity) -> Style {
    match severity {
        Severity::Notice => FAINT,
        Severity::Warning => WARN,
        Severity::Danger => ALARM,
    }
}

fn word<S: serde::Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&severity.word().to_lowercase())
}

/// One line of the picture of what changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeView {
    /// `added`, `removed` or `other-keys`.
    pub what: &'static str,
    pub device: String,
}

impl From<&DeviceChange> for ChangeView {
    fn from(change: &DeviceChange) -> Self {
        let (name, platform) = (visible(&change.name), visible(&change.platform));
        let device = match platform.as_str() {
            "" => name,
            platform => format!("{name} ({platform})"),
        };
        Self::new(change.what, device)
    }
}

impl ChangeView {
    fn new(what: DeviceDifference, device: String) -> Self {
        let what = match what {
            DeviceDifference::Added => "added",
            DeviceDifference::Removed => "removed",
            DeviceDifference::OtherKeys => "other-keys",
        };
        Self { what, device }
    }

    /// The sign, what was there before, and what is there now.
    fn row(&self) -> [String; 3] {
        let device = self.device.as_str();
        let other = format!("{device}, other keys");
        let row = match self.what {
            "added" => ["+", "", device],
            "removed" => ["-", device, ""],
            _ => ["~", device, &other],
        };
        row.map(str::to_owned)
    }

    fn style(&self) -> Style {
        match self.what {
            "added" => GOOD,
            "removed" => ALARM,
            _ => WARN,
        }
    }
}

/// Writes devices before and now, side by side: `+` came, `-` went, `~` has other keys.
pub fn write_changes(out: &mut String, changes: &[ChangeView]) -> fmt::Result {
    use fmt::Write as _;
    if changes.is_empty() {
        return Ok(());
    }
    let mut picture = table(["", "before", "now"]);
    for change in changes {
        picture.add_row(change.row());
    }
    let styles = changes.iter().map(ChangeView::style);
    for (line, style) in picture.lines().zip([FAINT].into_iter().chain(styles)) {
        let line = format!("   {}", line.trim_end());
        writeln!(out, "{}", paint(style, line))?;
    }
    Ok(())
}

/// How far a contact is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LevelView {
    /// `no-account`, `logged-only`, `automatic` or `verified`.
    pub code: &'static str,
    /// What was verified, and what was not.
    pub text: String,
}

impl LevelView {
    /// `who` is the contact's label.
    pub fn new(who: &str, level: Level) -> Self {
        let (code, text) = match level {
            Level::NoAccount => (
                "no-account",
                format!("{who} has no account, which is proved: nothing vouches for any device"),
            ),
            Level::LoggedOnly {
                is_own_on,
                is_contact_on,
                is_signed,
            } => {
                let off = match (is_own_on, is_contact_on) {
                    (false, false) => format!("off for you and for {who}"),
                    (false, true) => "off for you".to_owned(),
                    (true, _) => format!("off for {who}"),
                };
                let word = match is_signed {
                    true => "an account key signed the devices, which nobody watches",
                    false => "that the devices are theirs is the service's word",
                };
                let text = format!("recorded for all to see; verification is {off}: {word}");
                ("logged-only", text)
            }
            Level::Automatic => (
                "automatic",
                format!("{who}'s account key signed every device; you have not compared codes"),
            ),
            Level::Verified => (
                "verified",
                format!("{who}'s account key, which you compared, signed every device"),
            ),
        };
        Self { code, text }
    }

    /// A mark, the code, and the sentence: one line.
    pub fn line(&self) -> String {
        let (mark, style) = match self.code {
            "verified" => ("✓✓", GOOD),
            "automatic" => ("✓", GOOD),
            _ => ("!", WARN),
        };
        let code = paint(style, format_args!("{mark} {}", self.code));
        format!("{code}: {}", self.text)
    }
}

/// Whether messages may go to the devices that the messenger offers.
#[derive(Serialize)]
pub struct ClearanceView {
    /// `null`: it cannot be told now.
    pub cleared: Option<bool>,
    /// Why it cannot be told.
    pub trouble: Option<&'static str>,
    pub level: Option<LevelView>,
    /// What the log holds.
    pub devices: Vec<DeviceView>,
    /// How the devices that the messenger offers differ from them.
    pub differences: Vec<ChangeView>,
    /// Why not.
    pub alerts: Vec<AlertView>,
    /// How a command ends that needed it.
    #[serde(skip)]
    pub exit: Exit,
}

impl ClearanceView {
    /// `alerts` are those that the device holds; those that are in the way are shown.
    pub fn new(
        who: &str,
        clearance: &Clearance,
        offered: &[OfferedDevice],
        alerts: &[Alert],
    ) -> Self {
        let (devices, cleared, level, in_the_way) = match clearance {
            Clearance::Yes { level, devices, .. } => {
                let level = LevelView::new(who, *level);
                (&devices[..], Some(true), Some(level), &[][..])
            }
            Clearance::No { alerts, devices } => (&devices[..], Some(false), None, &alerts[..]),
            Clearance::Unknown(_) => (&[][..], None, None, &[][..]),
        };
        let (trouble, exit) = match clearance {
            Clearance::Yes { .. } => (None, Exit::Done),
            Clearance::No { .. } => (None, Exit::Withheld),
            Clearance::Unknown(trouble) => {
                let exit = trouble::failure(trouble).exit();
                (Some(trouble::sentence(trouble)), exit)
            }
        };
        let is_in_the_way = |alert: &&Alert| {
            let is_about = matches!(alert.subject, Subject::Log) || about(&alert.subject) == who;
            is_about && in_the_way.contains(&alert.kind)
        };
        let shown = alerts.iter().filter(is_in_the_way).map(AlertView::from);
        Self {
            cleared,
            trouble,
            level,
            devices: devices.iter().map(DeviceView::from).collect(),
            differences: match cleared {
                Some(_) => differences(devices, offered),
                None => Vec::new(),
            },
            alerts: shown.collect(),
            exit,
        }
    }

    /// Writes what a person sees before a message goes out, or instead.
    pub fn write(&self, out: &mut String) -> fmt::Result {
        if let Some(level) = &self.level {
            write_field(out, "level", level.line())?;
        }
        if let Some(trouble) = self.trouble {
            write_field(out, "unknown", paint(WARN, trouble))?;
        }
        self.alerts.iter().try_for_each(|alert| alert.write(out))?;
        if !self.differences.is_empty() {
            write_field(out, "offered", "by the messenger, and not so in the log:")?;
        }
        write_changes(out, &self.differences)
    }
}

/// What is offered and not in the log with these keys.
fn differences(listed: &[Device], offered: &[OfferedDevice]) -> Vec<ChangeView> {
    let difference = |offered: &OfferedDevice| {
        let known = listed.iter().find(|device| device.id == offered.id);
        match known {
            Some(device) if device.keys == offered.keys => None,
            Some(device) => {
                let change = DeviceChange {
                    what: DeviceDifference::OtherKeys,
                    name: device.name.clone(),
                    platform: device.platform.clone(),
                };
                Some(ChangeView::from(&change))
            }
            None => {
                let id = hex(&offered.id[..offered.id.len().min(4)]);
                let device = format!("unknown device {id}");
                Some(ChangeView::new(DeviceDifference::Added, device))
            }
        }
    };
    offered.iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests;
