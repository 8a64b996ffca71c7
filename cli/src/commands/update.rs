//! `candor update`: the next version of an account.

use candor_core::account::{AccountState, Device, DeviceKey, Label, VerifiedValue};

use crate::arguments;
use crate::commands::register::{DeviceArguments, PublishReport, publish};
use crate::failure::Failure;
use crate::output::Exit;
use crate::profile::Profile;
use crate::view::hex;

/// Publishes the next version of an account: adds or removes a device, or replaces keys.
///
/// If somebody else publishes a version at the same time, one of the two is refused and nothing is
/// overwritten. A state that an account key signs needs that key in this profile.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor update alice@example.org --add-device laptop --key sign=@laptop.pub
  candor update alice@example.org --remove-device 9f3a11c2
  candor update alice@example.org --rotate-key 9f3a11c2 sign=@new.pub

Devices are named by their id, or as much of its beginning as is unique.")]
#[command(mut_args(belongs_to_add_device))]
#[command(group = clap::ArgGroup::new("step").required(true).multiple(true))]
pub struct Arguments {
    /// E-mail address, telephone number, or acct:name.
    #[arg(value_parser = arguments::label)]
    label: Label,
    /// Add a device of this name, with the keys that --key gives.
    #[arg(long, value_name = "NAME", group = "step", requires = "keys")]
    add_device: Option<String>,
    /// Remove a device. Can be repeated.
    #[arg(long, value_name = "ID", group = "step")]
    remove_device: Vec<String>,
    /// Replace a device's key of this purpose, or add one. Can be repeated.
    #[arg(long, num_args = 2, value_names = ["ID", "PURPOSE=KEY"], group = "step")]
    rotate_key: Vec<String>,
    #[command(flatten)]
    device: DeviceArguments,
}

/// What is said of a device makes no sense without one.
fn belongs_to_add_device(argument: clap::Arg) -> clap::Arg {
    match argument.get_id().as_str() {
        "keys" | "platform" | "os_version" | "capability" => argument.requires("add_device"),
        _ => argument,
    }
}

pub async fn run(arguments: Arguments, profile: &Profile) -> Result<PublishReport, Failure> {
    let client = profile.client()?;
    let lookup = client.lookup(&arguments.label).await?;
    let Some(newest) = lookup.newest() else {
        return Err(Failure::new(
            Exit::Absent,
            "no-account",
            "there is no such account",
            "use `candor register`",
        ));
    };
    let state = match newest.value() {
        VerifiedValue::State(state) => state,
        VerifiedValue::Binding(binding) => {
            return Err(Failure::usage(
                format_args!("the identifier is bound to {}", binding.primary()),
                "update that account",
            ));
        }
    };
    let mut draft = state.successor()?;
    apply(&mut draft, arguments)?;
    let next = match &state.state().account_key {
        Some(key) => draft.sign(lookup.label(), &profile.account_key(key)?)?,
        None => draft.without_signature(lookup.label())?,
    };
    let version = newest.version().checked_add(1);
    let version = version.ok_or_else(|| Failure::usage("no version can follow", "give up"))?;
    publish(&client, version, next).await
}

/// Makes the changes that were asked for, in the order in which they are documented.
fn apply(draft: &mut AccountState, arguments: Arguments) -> Result<(), Failure> {
    let devices = &mut draft.devices;
    for pair in arguments.rotate_key.chunks_exact(2) {
        let key = arguments::device_key(&pair[1])
            .map_err(|error| Failure::usage(error, "see `candor update --help`"))?;
        let at = position(devices, &pair[0])?;
        rotate(&mut devices[at].keys, key);
    }
    for id in &arguments.remove_device {
        let at = position(devices, id)?;
        devices.remove(at);
    }
    if let Some(name) = arguments.add_device {
        devices.push(arguments.device.device(name)?);
        devices.sort_by(|a, b| a.id.cmp(&b.id));
    }
    Ok(())
}

fn rotate(keys: &mut Vec<DeviceKey>, key: DeviceKey) {
    match keys.iter_mut().find(|old| old.purpose == key.purpose) {
        Some(old) => *old = key,
        None => {
            keys.push(key);
            keys.sort_by(|a, b| a.purpose.cmp(&b.purpose));
        }
    }
}

/// The one device whose id begins so.
pub fn position(devices: &[Device], id: &str) -> Result<usize, Failure> {
    let begins = |device: &Device| hex(&device.id).starts_with(&id.to_ascii_lowercase());
    let mut found = (0..devices.len()).filter(|at| begins(&devices[*at]));
    match (found.next(), found.next()) {
        (Some(at), None) if !id.is_empty() => Ok(at),
        (None, _) => Err(Failure::usage(
            format_args!("the account has no device {id}"),
            "`candor lookup` shows the devices",
        )),
        _ => Err(Failure::usage(
            format_args!("more than one device begins with {id}"),
            "give more of the id; `candor lookup --json` shows all of it",
        )),
    }
}
