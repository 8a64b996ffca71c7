//! Commands that change the own account.

use std::path::PathBuf;

use candor_sdk::device::{AccountFacts, DeviceFacts, EditFailure};

use crate::commands::update::position;
use crate::device::edited::EditReport;
use crate::device::home::{Home, PhoneFile};
use crate::device::mailbox;
use crate::device::phone::Phone;
use crate::device::trouble;
use crate::failure::Failure;
use crate::output::visible;

/// Turns verification on for the whole account, or says in words what every device still lacks.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  candor device enrol --two-factor --passcode --key-sync

What an application would know is told by flags. The devices that the mailbox offers are those that
are signed in; phone.toml has the least versions of their systems. Exits with 7 if something is
missing: there is no weaker mode.")]
pub struct EnrolArguments {
    /// A password alone does not give access to the account.
    #[arg(long)]
    two_factor: bool,
    /// Every device has a passcode.
    #[arg(long)]
    passcode: bool,
    /// Every device takes part in the encrypted exchange of keys.
    #[arg(long)]
    key_sync: bool,
}

pub async fn enrol(arguments: EnrolArguments, phone: &Phone) -> Result<EditReport, Failure> {
    let facts = DeviceFacts {
        is_signed_in: true,
        has_key_sync: arguments.key_sync,
        has_passcode: arguments.passcode,
    };
    let signed_in = phone.mailbox.offered(&phone.label)?;
    let signed_in = signed_in.into_iter().map(|device| device.id);
    let devices = signed_in.chain([phone.me.id.clone()]);
    let facts = AccountFacts {
        has_two_factor: arguments.two_factor,
        devices: devices.map(|id| (id, facts)).collect(),
    };
    phone.device.set_facts(&facts).await?;
    let outcome = phone.device.enrol(facts).await?;
    let report = EditReport::new(phone, outcome).await?;
    report.offer(phone)
}

/// Publishes the phone as phone.toml has it, and creates the account if there is none.
pub async fn publish(phone: &Phone) -> Result<EditReport, Failure> {
    let outcome = phone.device.publish().await?;
    let report = EditReport::new(phone, outcome).await?;
    report.offer(phone)
}

/// Turns verification off for the whole account. Contacts who have it on are told.
pub async fn off(phone: &Phone) -> Result<EditReport, Failure> {
    let outcome = phone.device.turn_off().await?;
    EditReport::new(phone, outcome).await
}

/// Adds another phone of yours to the account, and writes the account key for it.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  candor device add tablet/phone.toml -o tablet.key
  candor --profile tablet device join tablet.key

The file with the key stands for an application's end-to-end encrypted exchange among the devices of
a person. Whoever reads it can be your account.")]
pub struct AddArguments {
    /// phone.toml of the other phone, which `candor device init --joins` made.
    request: PathBuf,
    /// Where to write the account key for it.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub async fn add(
    arguments: AddArguments,
    home: &Home,
    phone: &Phone,
) -> Result<EditReport, Failure> {
    let request = PhoneFile::read(&arguments.request)?;
    if request.label()? != phone.label {
        let message = format!("that phone is of {}", visible(&request.label));
        return Err(Failure::usage(
            message,
            "make it with --label of this account",
        ));
    }
    // Before anything changes: a phone without the key cannot be helped.
    home.export_key(&arguments.output)?;
    let outcome = phone.device.add_device(request.device()?).await?;
    if outcome.is_err() {
        mailbox::remove(&arguments.output)?;
    }
    EditReport::new(phone, outcome).await
}

/// Takes the account key that another phone of yours wrote, and removes that file.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  candor --profile tablet device join tablet.key")]
pub struct JoinArguments {
    /// The file that `candor device add` wrote.
    pub key: PathBuf,
}

/// Removes a phone from the account: one that is lost, or not yours.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  candor device remove 9f3a11c2")]
pub struct RemoveArguments {
    /// The device's id, or as much of its beginning as is unique; `candor lookup` shows it.
    id: String,
}

pub async fn remove(arguments: RemoveArguments, phone: &Phone) -> Result<EditReport, Failure> {
    let found = phone.device.client().resolve(&phone.label).await?;
    let devices = found.state().map(|state| &state.state().devices[..]);
    let devices = devices.unwrap_or_default();
    let at = position(devices, &arguments.id)?;
    let id = &devices[at].id;
    // First here: what is offered and no longer in the log would alarm everybody.
    phone.mailbox.withdraw(&phone.label, id)?;
    let outcome = phone.device.remove_device(id).await?;
    EditReport::new(phone, outcome).await
}

/// The phone was opened with the next account key.
pub async fn reset(home: &Home, phone: &Phone) -> Result<EditReport, Failure> {
    let outcome = phone.device.reset().await?;
    match &outcome {
        Ok(_) => home.adopt_next_key()?,
        // Nobody knows: the next attempt uses the same key.
        Err(EditFailure::Trouble(trouble)) if !trouble::is_refusal(trouble) => {}
        Err(_) => home.discard_next_key()?,
    }
    let report = EditReport::new(phone, outcome).await?;
    for device in phone.mailbox.offered(&phone.label)? {
        phone.mailbox.withdraw(&phone.label, &device.id)?;
    }
    report.offer(phone)
}
