//! `candor register`: a new account.

use std::fmt;

use candor_core::account::{AccountState, Device, DeviceKey, Label, VerifiedState, VerifiedValue};
use candor_sdk::{Client, Error, FileStore, Published};
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use crate::arguments;
use crate::failure::Failure;
use crate::output::{Exit, GOOD, Report, WARN, paint};
use crate::profile::Profile;
use crate::time::now_ms;
use crate::view::{self, DeviceView, write_devices, write_field, write_title};

/// Registers an account with its first device, and waits until everybody can see it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor register alice@example.org --device-name 'Alice phone' --key sign=@phone.pub --enrol
  candor register acct:bob --device-name laptop --key sign=AAECAw== --key encrypt=BAUGBw==

With --enrol an account key is made and kept in the profile. It signs this and every later state of
the account, so that not even the server can change it unnoticed. Back it up: losing it takes a
reset, of which every contact is told.")]
#[command(mut_arg("keys", |keys| keys.required(true)))]
pub struct Arguments {
    /// E-mail address, telephone number, or acct:name.
    #[arg(value_parser = arguments::label)]
    label: Label,
    /// What people call the device.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    device_name: String,
    #[command(flatten)]
    device: DeviceArguments,
    /// Make an account key, and sign with it.
    #[arg(long)]
    enrol: bool,
}

/// What is said of a new device, besides its name.
#[derive(clap::Args)]
pub struct DeviceArguments {
    /// A public key of the device: PURPOSE=BASE64 or PURPOSE=@FILE. Can be repeated.
    #[arg(long = "key", value_name = "PURPOSE=KEY", value_parser = arguments::device_key)]
    pub keys: Vec<DeviceKey>,
    /// The device's platform, for example ios.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub platform: String,
    /// The version of the device's system.
    #[arg(
        long,
        value_name = "VERSION",
        default_value = "",
        hide_default_value = true
    )]
    pub os_version: String,
    /// The level of features of the device's application.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub capability: u16,
}

impl DeviceArguments {
    /// The device, with an id of its own.
    pub fn device(self, name: String) -> Result<Device, Failure> {
        let mut id = vec![0; DEVICE_ID_BYTES];
        getrandom::fill(&mut id)
            .map_err(|error| Failure::system(std::io::Error::other(error.to_string())))?;
        let mut keys = self.keys;
        keys.sort_by(|a, b| a.purpose.cmp(&b.purpose));
        Ok(Device {
            id,
            name,
            platform: self.platform,
            os_version: self.os_version,
            capability: self.capability,
            added_ms: now_ms(),
            expires_ms: 0,
            keys,
        })
    }
}

/// Length of the ids that are made here, in bytes: enough never to meet twice.
const DEVICE_ID_BYTES: usize = 16;

pub async fn run(arguments: Arguments, profile: &Profile) -> Result<PublishReport, Failure> {
    let label = arguments.label;
    let draft = AccountState {
        enrolled: arguments.enrol,
        devices: vec![arguments.device.device(arguments.device_name)?],
        ..AccountState::first()
    };
    let client = profile.client()?;
    let state = match arguments.enrol {
        // The key stays even if the server says that it refused: nothing proves that it did.
        true => draft.sign(&label, &profile.create_account_key()?)?,
        false => draft.without_signature(&label)?,
    };
    publish(&client, 0, state).await
}

/// Publishes a state, and reports on it.
pub async fn publish(
    client: &Client<FileStore>,
    version: u32,
    state: VerifiedState,
) -> Result<PublishReport, Failure> {
    let mut report = PublishReport {
        label: state.label().to_string(),
        version,
        visible: true,
        epoch: 0,
        enrolled: state.state().enrolled,
        account_key: state.state().account_key.as_ref().map(view::account_key),
        devices: view::devices(&state),
    };
    match client
        .publish(version, &VerifiedValue::State(state))
        .await?
    {
        Published::Visible(_) => {
            let head = client.known_head().await?.ok_or(Error::Internal)?;
            report.epoch = head.size - 1;
        }
        Published::Committed(receipt) => {
            report.visible = false;
            report.epoch = receipt.epoch();
        }
    }
    Ok(report)
}

/// What was published.
#[derive(Serialize)]
pub struct PublishReport {
    label: String,
    version: u32,
    /// Whether it was verified to be in the published map. If not, the log has signed for it, and
    /// the witnesses have not yet.
    visible: bool,
    /// The epoch at which it was seen, or for which the log has signed.
    epoch: u64,
    enrolled: bool,
    account_key: Option<String>,
    devices: Vec<DeviceView>,
}

impl Report for PublishReport {
    fn exit(&self) -> Exit {
        match self.visible {
            true => Exit::Done,
            false => Exit::Temporary,
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        let Self { version, epoch, .. } = self;
        write_title(out, &self.label)?;
        let status = match self.visible {
            true => paint(
                GOOD,
                format_args!("version {version} is visible at epoch {epoch}"),
            ),
            false => paint(
                WARN,
                format_args!("version {version} is in epoch {epoch}; witnesses have not cosigned"),
            ),
        };
        write_field(out, "published", status)?;
        if let Some(key) = &self.account_key {
            let enrolled = if self.enrolled { ", enrolled" } else { "" };
            write_field(
                out,
                "signed by",
                format_args!("{}{enrolled}", view::short(key)),
            )?;
        }
        write_devices(out, &self.devices)
    }
}
