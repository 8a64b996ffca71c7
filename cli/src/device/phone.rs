//! An opened phone: the SDK's device, the mailbox, and what every command does before and after.

use std::fmt;

use candor_core::account::Label;
use candor_sdk::FileStore;
use candor_sdk::device::{Alert, Device, Event, Identity, Severity, Subject};
use candor_sdk::shared::Merge;
use serde::Serialize;

use crate::device::home::Home;
use crate::device::mailbox::Mailbox;
use crate::device::show::{AlertView, about};
use crate::failure::Failure;
use crate::output::{Exit, FAINT, GOOD, Report, WARN, paint, show};
use crate::view::write_field;

/// An opened phone.
pub struct Phone {
    pub label: Label,
    pub me: candor_core::account::Device,
    pub device: Device<FileStore>,
    pub mailbox: Mailbox,
}

impl Phone {
    /// Opens the phone in that directory.
    pub async fn open(home: &Home, identity: Identity) -> Result<Self, Failure> {
        let (label, me) = (identity.label.clone(), identity.device.clone());
        let device = Device::open(home.profile.client()?, identity).await?;
        Ok(Self {
            label,
            me,
            device,
            mailbox: Mailbox::new(home.file.mailbox.clone()),
        })
    }

    /// Takes in what the person's other phones share; `None` if there is nothing, or no key to
    /// read it.
    pub async fn pull(&self) -> Result<Option<Merge>, Failure> {
        let Some(code) = self.device.public_code().await? else {
            return Ok(None);
        };
        match self.mailbox.shared(&self.label, code)? {
            Some(sealed) => Ok(Some(self.device.sync_merge(&sealed).await?)),
            None => Ok(None),
        }
    }

    /// Puts what this phone shares where the person's other phones find it.
    pub async fn push(&self) -> Result<(), Failure> {
        let Some(code) = self.device.public_code().await? else {
            return Ok(());
        };
        let _lock = self.mailbox.lock_shared(&self.label).await?;
        // What cannot be opened was told when it was pulled, and helps nobody.
        if let Some(sealed) = self.mailbox.shared(&self.label, code)? {
            let _ = self.device.sync_merge(&sealed).await;
        }
        let sealed = self.device.sync_export().await?;
        self.mailbox
            .put_shared(&self.label, code, sealed.as_bytes())?;
        Ok(self.device.sync_uploaded().await?)
    }

    /// The open alerts about a contact, and about the log.
    pub async fn alerts_about(&self, label: &Label) -> Result<Vec<Alert>, Failure> {
        let mut alerts = self.device.alerts().await?;
        alerts.retain(|alert| match &alert.subject {
            Subject::Contact(contact) => contact == label,
            Subject::Log => true,
            Subject::Own => false,
        });
        Ok(alerts)
    }

    /// Does what a command is for, after a look at what the person's other phones share.
    pub async fn carry_out<R: Report>(
        &self,
        json: bool,
        command: impl Future<Output = Result<R, Failure>>,
    ) -> Result<Exit, Failure> {
        let pulled = self.pull().await;
        let outcome = command.await;
        self.tell(json, outcome, pulled.err()).await
    }

    /// Shares what changed, and prints the outcome with all that the person is told besides.
    pub async fn tell<R: Report>(
        &self,
        json: bool,
        outcome: Result<R, Failure>,
        not_pulled: Option<Failure>,
    ) -> Result<Exit, Failure> {
        let events = self.device.take_events().await;
        if events.contains(&Event::Share) {
            self.push().await?;
        }
        let told = Told {
            report: outcome?,
            events: events.iter().filter_map(EventView::new).collect(),
            not_shared: not_pulled.map(|failure| failure.message().to_owned()),
        };
        show(&told, json)
    }
}

/// A report, and what the phone told besides.
#[derive(Serialize)]
struct Told<R> {
    #[serde(flatten)]
    report: R,
    events: Vec<EventView>,
    /// Why what the person's other phones share was not taken in.
    not_shared: Option<String>,
}

impl<R: Report> Report for Told<R> {
    /// A danger that was found on the way is not to be missed.
    fn exit(&self) -> Exit {
        let is_danger = |event: &EventView| match event {
            EventView::Raised { alert } => alert.severity == Severity::Danger,
            _ => false,
        };
        match self.report.exit() {
            Exit::Done if self.events.iter().any(is_danger) => Exit::Alarm,
            exit => exit,
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        self.report.text(out)?;
        if let Some(why) = &self.not_shared {
            write_field(out, "not shared", paint(WARN, why))?;
        }
        // What the report shows in full is not announced after it.
        let is_shown = |event: &&EventView| match event {
            EventView::Raised { alert } => out.contains(&alert.line()),
            _ => false,
        };
        let (_, news): (Vec<_>, Vec<_>) = self.events.iter().partition(is_shown);
        news.into_iter().try_for_each(|event| event.write(out))
    }
}

/// What the phone told without having been asked. How far a contact is verified is not among it:
/// a phone that begins anew with each command has no last time to compare with.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum EventView {
    Raised { alert: AlertView },
    Settled { about: String, title: String },
    TurnedOn,
    TurnedOff,
    CodeConfirmed { contact: String },
}

impl EventView {
    fn new(event: &Event) -> Option<Self> {
        match event {
            Event::Raised(alert) => Some(Self::Raised {
                alert: AlertView::from(alert),
            }),
            Event::Resolved(subject, kind) => {
                let about = about(subject);
                let title = kind.text(&about).title;
                Some(Self::Settled { about, title })
            }
            Event::TurnedOn(true) => Some(Self::TurnedOn),
            Event::TurnedOn(false) => Some(Self::TurnedOff),
            Event::CodeConfirmed(label) => Some(Self::CodeConfirmed {
                contact: label.to_string(),
            }),
            _ => None,
        }
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        match self {
            Self::Raised { alert } => write_field(out, "new alert", alert.line()),
            Self::Settled { title, .. } => write_field(
                out,
                "settled",
                paint(FAINT, format_args!("no longer so: {title}")),
            ),
            Self::TurnedOn => write_field(out, "now", paint(GOOD, "verification is on")),
            Self::TurnedOff => write_field(out, "now", paint(WARN, "verification is off")),
            Self::CodeConfirmed { contact } => write_field(
                out,
                "confirmed",
                paint(GOOD, format_args!("the code you entered is {contact}'s")),
            ),
        }
    }
}
