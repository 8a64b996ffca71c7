//! `candor lookup`: who is behind an identifier, verified.

use std::fmt;

use candor_core::account::{Label, VerifiedState, VerifiedValue};
use candor_core::answer::{KnownHead, VerifiedLookup};
use candor_core::note::VerifiedCheckpoint;
use candor_sdk::{AccountVersion, Lookup};
use serde::Serialize;

use crate::arguments;
use crate::failure::Failure;
use crate::output::{Exit, Report, STRONG, WARN, paint};
use crate::profile::Profile;
use crate::view::{self, Check, DeviceView, HeadView};

/// Looks an account up, verifies the answer, and shows its devices.
///
/// A further identifier of a person leads to the account that it is bound to.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor lookup alice@example.org
  candor lookup '+1 555 123 4567' --json | jq '.devices[].keys'

Exits with 4 if there is no such account, and with 3 if the answer does not verify.")]
pub struct Arguments {
    /// E-mail address, telephone number, or acct:name.
    #[arg(value_parser = arguments::label)]
    label: Label,
}

/// What the log holds of an identifier.
#[derive(Serialize)]
pub struct AccountReport {
    label: String,
    /// The account that the identifier leads to, if it is bound to another one.
    bound_to: Option<String>,
    /// Greatest version of the account; `null`: there is none.
    version: Option<u32>,
    enrolled: bool,
    /// Digest of the key that signed the account's state; `null`: the server's word.
    account_key: Option<String>,
    devices: Vec<DeviceView>,
    head: HeadView,
    checks: Vec<Check>,
}

pub async fn run(arguments: Arguments, profile: &Profile) -> Result<AccountReport, Failure> {
    let client = profile.client()?;
    let found = client.resolve(&arguments.label).await?;
    // The same head, or one that is proved to follow from it, with all its cosignatures.
    let (checkpoint, _) = client.checkpoint().await?;
    let last = found.primary().unwrap_or_else(|| found.asked());
    let mut report = AccountReport::new(
        profile,
        &arguments.label,
        last.newest(),
        (last.head(), &checkpoint),
    );
    report.bound_to = found.primary().map(|primary| primary.label().to_string());
    report.checks.push(memory(last));
    Ok(report)
}

/// How the answer compares with what this profile saw before.
fn memory(lookup: &Lookup) -> Check {
    let name = "seen before";
    let newest = lookup.newest().map(AccountVersion::version);
    match lookup.remembered() {
        None => Check::good(name, "no: this profile asks for the first time".to_owned()),
        Some(before) if Some(before) == newest => {
            Check::good(name, format!("version {before}, unchanged"))
        }
        Some(before) => Check::warn(
            name,
            format!("version {before}, unchanged; newer since, see `candor history`"),
        ),
    }
}

impl AccountReport {
    fn new(
        profile: &Profile,
        label: &Label,
        newest: Option<&AccountVersion>,
        (head, checkpoint): (&KnownHead, &VerifiedCheckpoint),
    ) -> Self {
        let head = HeadView::new(profile, head, checkpoint);
        let mut checks = head.checks();
        checks.push(Check::good(
            "inclusion",
            format!("epoch {} is the newest record of the log", head.epoch),
        ));
        let version = newest.map(AccountVersion::version);
        checks.push(Check::good("newest version", ladder(version)));
        let mut report = Self {
            label: label.to_string(),
            bound_to: None,
            version,
            enrolled: false,
            account_key: None,
            devices: Vec::new(),
            head,
            checks,
        };
        match newest.map(AccountVersion::value) {
            None => {}
            Some(VerifiedValue::State(state)) => report.open(state),
            Some(VerifiedValue::Binding(binding)) => {
                report.opened();
                report.bound_to = Some(binding.primary().to_string());
            }
        }
        report
    }

    /// What a proof file shows.
    pub fn of_proof(
        profile: &Profile,
        label: &Label,
        proof: &VerifiedLookup,
    ) -> Result<Self, Failure> {
        let newest = proof.account.newest();
        let newest = newest.map(|newest| AccountVersion::new(label, newest));
        let newest = newest.transpose()?;
        let head = (&proof.head.known(), proof.head.checkpoint());
        Ok(Self::new(profile, label, newest.as_ref(), head))
    }

    fn open(&mut self, state: &VerifiedState) {
        self.opened();
        self.enrolled = state.state().enrolled;
        self.account_key = state.state().account_key.as_ref().map(view::account_key);
        self.devices = view::devices(state);
        self.checks.push(match &self.account_key {
            Some(key) => Check::good("account signature", format!("by {}", view::short(key))),
            None => Check::warn("account signature", "none: the server's word".to_owned()),
        });
    }

    fn opened(&mut self) {
        let detail = "the log commits to exactly this content".to_owned();
        self.checks.push(Check::good("commitment", detail));
    }
}

fn ladder(version: Option<u32>) -> String {
    match version {
        Some(version) => format!("{version} is in the map, and no later one is"),
        None => "the map holds no version of it".to_owned(),
    }
}

impl Report for AccountReport {
    fn exit(&self) -> Exit {
        match self.version {
            Some(_) => Exit::Done,
            None => Exit::Absent,
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        let label = paint(STRONG, &self.label);
        match &self.bound_to {
            Some(primary) => view::write_title(out, format_args!("{label} → {primary}"))?,
            None => view::write_title(out, label)?,
        }
        match self.version {
            Some(version) => {
                let key = match (&self.account_key, self.enrolled) {
                    (Some(key), true) => format!("enrolled, account key {}", view::short(key)),
                    (Some(key), false) => format!("account key {}", view::short(key)),
                    (None, _) => paint(WARN, "not enrolled"),
                };
                view::write_field(out, "account", format_args!("version {version}, {key}"))?;
            }
            None => view::write_field(out, "account", paint(WARN, "none, which is proved"))?,
        }
        view::write_field(out, "head", self.head.line())?;
        if self.version.is_some() && (self.bound_to.is_none() || !self.devices.is_empty()) {
            view::write_devices(out, &self.devices)?;
        }
        view::write_checks(out, &self.checks)
    }
}
