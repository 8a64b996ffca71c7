//! `candor device init`: makes a phone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use candor_core::account::{Device, DeviceKey, Label};
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use crate::arguments;
use crate::device::home::{DeviceFile, Home, PhoneFile};
use crate::failure::Failure;
use crate::output::Report;
use crate::profile::Profile;
use crate::time::now_ms;
use crate::view::{hex, write_field, write_title};

/// Lengths of what stands for the identifier and the keys of a messenger's device, in bytes.
const ID_BYTES: usize = 16;
const PUBLIC_KEY_BYTES: usize = 32;

/// The systems with which verification can be turned on, unless phone.toml says otherwise.
const MINIMUM_OS: [(&str, &str); 4] = [
    ("ios", "17.2"),
    ("macos", "14.2"),
    ("watchos", "9.2"),
    ("android", "10"),
];

/// Makes a phone: a profile directory of its own that asks the server of the present profile.
///
/// This is no messenger: its keys are random bytes, and the mailbox directory that stands for a
/// messenger's servers holds plain files. Nothing is encrypted.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor device init alice --label acct:alice --name 'Alice phone' --mailbox /tmp/mailbox
  candor device init tablet --label acct:alice --name tablet --mailbox /tmp/mailbox --joins
  export CANDOR_PROFILE=alice; candor device publish

A second phone of an account is made with --joins: it gets the account key from the first one.")]
pub struct Arguments {
    /// Directory of the phone; must not exist.
    directory: PathBuf,
    /// The account: e-mail address, telephone number, or acct:name.
    #[arg(long, value_parser = arguments::label)]
    label: Label,
    /// What people call the phone.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Directory that stands for the messenger's servers; all phones share one.
    #[arg(long, value_name = "DIR")]
    mailbox: PathBuf,
    /// The phone's platform.
    #[arg(long, default_value = "ios")]
    platform: String,
    /// The version of the phone's system.
    #[arg(long, value_name = "VERSION", default_value = "17.2")]
    os_version: String,
    /// Make no account key: another phone of the account will give its own.
    #[arg(long)]
    joins: bool,
}

/// What was made.
#[derive(Serialize)]
pub struct InitReport {
    profile: String,
    label: String,
    device: String,
    joins: bool,
    request: String,
}

pub fn run(arguments: Arguments, profile: &Profile) -> Result<InitReport, Failure> {
    let device = Device {
        id: random(ID_BYTES)?,
        name: arguments.name,
        platform: arguments.platform,
        os_version: arguments.os_version,
        capability: 1,
        added_ms: now_ms(),
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "encrypt".to_owned(),
            public_key: random(PUBLIC_KEY_BYTES)?,
        }],
    };
    let minimum_os = MINIMUM_OS.map(|(platform, least)| (platform.to_owned(), least.to_owned()));
    let file = PhoneFile {
        label: arguments.label.to_string(),
        mailbox: std::path::absolute(&arguments.mailbox).map_err(Failure::system)?,
        device: DeviceFile::from(&device),
        minimum_os: BTreeMap::from(minimum_os),
    };
    let home = Home::create(&arguments.directory, profile, file, !arguments.joins)?;
    Ok(InitReport {
        profile: arguments.directory.display().to_string(),
        label: arguments.label.to_string(),
        device: hex(&device.id),
        joins: arguments.joins,
        request: home.request().display().to_string(),
    })
}

fn random(length: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::system(std::io::Error::other(error.to_string())))?;
    Ok(bytes)
}

impl Report for InitReport {
    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, format_args!("made the phone {}", self.profile))?;
        write_field(out, "account", &self.label)?;
        write_field(out, "device", &self.device[..8])?;
        let next = match self.joins {
            false => format!(
                "export CANDOR_PROFILE={}; candor device publish",
                self.profile
            ),
            true => format!(
                "on the other phone: candor device add {} -o key",
                self.request
            ),
        };
        write_field(out, "next", next)
    }
}
