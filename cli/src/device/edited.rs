//! How a change of the own account went, and why one was refused.

use std::fmt;

use candor_sdk::device::{EditError, EditFailure, Edited, Unmet, UnmetByDevice};
use serde::Serialize;

use crate::device::phone::Phone;
use crate::device::trouble;
use crate::failure::Failure;
use crate::output::{Exit, GOOD, Report, WARN, paint, visible};
use crate::view::{write_field, write_title};

/// How a change of the account went.
#[derive(Serialize)]
pub struct EditReport {
    label: String,
    /// `visible`, `accepted`, `unchanged` or `refused`.
    outcome: &'static str,
    version: Option<u32>,
    /// Whether verification is on for the account.
    on: bool,
    /// Why it was refused, in words.
    refusals: Vec<String>,
}

impl EditReport {
    pub async fn new(phone: &Phone, outcome: Result<Edited, EditFailure>) -> Result<Self, Failure> {
        let (outcome, version, refusals) = match outcome {
            Ok(Edited::Visible(version)) => ("visible", Some(version), Vec::new()),
            Ok(Edited::Accepted(version)) => ("accepted", Some(version), Vec::new()),
            Ok(Edited::Unchanged) => ("unchanged", None, Vec::new()),
            Err(EditFailure::Edit(EditError::Unmet(unmet))) => {
                ("refused", None, unmet.iter().map(words).collect())
            }
            Err(EditFailure::Edit(EditError::Strangers(names))) => {
                let stranger =
                    |name: &String| format!("{} is not known to be yours", visible(name));
                let then = "remove it, or add it again, with `candor device remove` or `add`";
                let strangers = names.iter().map(stranger);
                (
                    "refused",
                    None,
                    strangers.chain([then.to_owned()]).collect(),
                )
            }
            Err(failure) => return Err(refusal(failure)),
        };
        Ok(Self {
            label: phone.label.to_string(),
            outcome,
            version,
            on: phone.device.is_on().await?,
            refusals,
        })
    }

    /// Has the messenger offer this phone, once everybody can see it in the log.
    pub fn offer(self, phone: &Phone) -> Result<Self, Failure> {
        if matches!(self.outcome, "visible" | "unchanged") {
            phone.mailbox.offer(&phone.label, &phone.me)?;
        }
        Ok(self)
    }
}

fn words(unmet: &Unmet) -> String {
    match unmet {
        Unmet::TwoFactor => {
            "your account needs two-factor authentication (--two-factor)".to_owned()
        }
        Unmet::Device { name, what } => {
            let what = match what {
                UnmetByDevice::Unknown => "is not signed in here: remove it first".to_owned(),
                UnmetByDevice::SignedIn => "has to sign in to this account".to_owned(),
                UnmetByDevice::KeySync => "needs the encrypted key sync (--key-sync)".to_owned(),
                UnmetByDevice::Passcode => "needs a passcode (--passcode)".to_owned(),
                UnmetByDevice::System { needs: Some(needs) } => {
                    format!("needs version {needs} of its system, or to be removed")
                }
                UnmetByDevice::System { needs: None } => {
                    "has a system that is not supported: remove it first".to_owned()
                }
            };
            format!("{} {what}", visible(name))
        }
    }
}

fn refusal(failure: EditFailure) -> Failure {
    let local =
        |code, message: &dyn fmt::Display, help| Failure::new(Exit::Local, code, message, help);
    match failure {
        EditFailure::Trouble(trouble) => trouble::failure(&trouble),
        EditFailure::NeedsSync => local(
            "not-joined",
            &"the account exists, and this phone is not one of its devices",
            "join from another phone of yours (`candor device add`), or `reset` if all are lost",
        ),
        EditFailure::Unexplained => Failure::new(
            Exit::Withheld,
            "unexplained",
            "the account was changed by somebody else than your phones",
            "see `candor device alerts`, and acknowledge what was you",
        ),
        EditFailure::Full => local(
            "full",
            &"what the phones share is full",
            "run `candor device self-check` on each of them",
        ),
        EditFailure::Edit(error @ (EditError::OtherKey | EditError::NoKey)) => local(
            "account-key",
            &error,
            "get the key from another phone of yours (`candor device add`), or `reset`",
        ),
        EditFailure::Edit(error @ EditError::Bound) => local(
            "bound",
            &error,
            "tell the operator, unless you moved the identifier yourself",
        ),
        EditFailure::Edit(error) => {
            Failure::usage(error, "`candor lookup` shows what the account is")
        }
    }
}

impl Report for EditReport {
    fn exit(&self) -> Exit {
        match self.outcome {
            "refused" => Exit::Withheld,
            "accepted" => Exit::Temporary,
            _ => Exit::Done,
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.label)?;
        let version = self.version.unwrap_or_default();
        let status = match self.outcome {
            "visible" => paint(GOOD, format_args!("version {version} is visible")),
            "accepted" => paint(
                WARN,
                format_args!("version {version} is accepted, and not visible yet"),
            ),
            "unchanged" => "nothing to change".to_owned(),
            _ => paint(WARN, "no: all of this is needed first"),
        };
        write_field(out, "published", status)?;
        for refusal in &self.refusals {
            write_field(out, "needed", refusal)?;
        }
        let on = if self.on { "on" } else { "off" };
        write_field(out, "verifying", format_args!("{on} for the whole account"))
    }
}
