//! Contacts: saving, listing, checking.

use std::fmt;

use candor_core::account::Label;
use candor_sdk::device::{Level, Severity};
use serde::Serialize;

use crate::arguments;
use crate::device::phone::Phone;
use crate::device::show::{AlertView, LevelView};
use crate::device::trouble;
use crate::failure::Failure;
use crate::output::{Exit, GOOD, Report, paint, table, write_table};
use crate::view::{DeviceView, write_devices, write_field, write_title};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Saves a contact: who is saved is checked in the background, and can be written to.
    Add(One),
    /// Forgets a contact, and what was verified of it.
    Remove(One),
    /// Lists the contacts.
    List,
}

/// Which contact.
#[derive(clap::Args)]
pub struct One {
    /// E-mail address, telephone number, or acct:name.
    #[arg(value_parser = arguments::label)]
    pub contact: Label,
}

/// The contacts.
#[derive(Serialize)]
pub struct ContactsReport {
    label: String,
    contacts: Vec<Contact>,
}

#[derive(Serialize)]
struct Contact {
    contact: String,
    /// Whether the person compared codes with the contact, or entered the contact's.
    compared: bool,
    /// What the person has to act on.
    alerts: usize,
}

pub async fn run(command: Command, phone: &Phone) -> Result<ContactsReport, Failure> {
    match command {
        Command::Add(One { contact }) if contact == phone.label => {
            return Err(Failure::usage("that is you", "save somebody else"));
        }
        Command::Add(One { contact }) => phone.device.save_contact(&contact).await?,
        Command::Remove(One { contact }) => phone.device.forget_contact(&contact).await?,
        Command::List => {}
    }
    let alerts = phone.device.alerts().await?;
    let contacts = phone.device.contacts().await?.into_iter();
    let contacts = contacts.map(|(label, compared)| {
        let contact = label.to_string();
        let about = alerts.iter().map(AlertView::from);
        let alerts = about.filter(|alert| alert.about == contact).count();
        Contact {
            contact,
            compared,
            alerts,
        }
    });
    Ok(ContactsReport {
        label: phone.label.to_string(),
        contacts: contacts.collect(),
    })
}

impl Report for ContactsReport {
    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, format_args!("contacts of {}", self.label))?;
        if self.contacts.is_empty() {
            return write_field(out, "none", "`candor device contact add LABEL` saves one");
        }
        let mut contacts = table(["contact", "codes compared", "alerts"]);
        for contact in &self.contacts {
            contacts.add_row([
                contact.contact.clone(),
                if contact.compared { "yes" } else { "no" }.to_owned(),
                contact.alerts.to_string(),
            ]);
        }
        write_table(out, &contacts)
    }
}

/// What was found of a contact.
#[derive(Serialize)]
pub struct CheckReport {
    contact: String,
    level: LevelView,
    devices: Vec<DeviceView>,
    /// What the person has to act on, about the contact and about the log.
    alerts: Vec<AlertView>,
    #[serde(skip)]
    exit: Exit,
}

/// Checks a contact now: how far it is verified, and which devices it has.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  candor device check acct:bob

Exits with 3 if there is a danger, and with 4 if there is no such account.")]
pub struct CheckArguments {
    #[command(flatten)]
    one: One,
}

pub async fn check(arguments: CheckArguments, phone: &Phone) -> Result<CheckReport, Failure> {
    let contact = arguments.one.contact;
    let view = phone.device.check(&contact).await?;
    let view = view.map_err(|trouble| trouble::failure(&trouble))?;
    let alerts = phone.alerts_about(&contact).await?;
    let alerts: Vec<_> = alerts.iter().map(AlertView::from).collect();
    let is_dangerous = |alert: &AlertView| alert.severity == Severity::Danger;
    Ok(CheckReport {
        exit: match view.level {
            _ if alerts.iter().any(is_dangerous) => Exit::Alarm,
            Level::NoAccount => Exit::Absent,
            _ => Exit::Done,
        },
        level: LevelView::new(contact.as_str(), view.level),
        contact: contact.to_string(),
        devices: view.devices.iter().map(DeviceView::from).collect(),
        alerts,
    })
}

impl Report for CheckReport {
    fn exit(&self) -> Exit {
        self.exit
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.contact)?;
        write_field(out, "level", self.level.line())?;
        if !self.devices.is_empty() {
            write_devices(out, &self.devices)?;
        }
        if self.alerts.is_empty() {
            return write_field(out, "alerts", paint(GOOD, "none"));
        }
        self.alerts.iter().try_for_each(|alert| alert.write(out))
    }
}
