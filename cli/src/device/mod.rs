//! `candor device`: a phone at the terminal.
//!
//! Each command opens a phone's directory, does over the SDK what an application would, and shows
//! what a person would see. A directory of plain files stands for the messenger's servers
//! ([`mailbox`]). What it rules out: judging anything itself; the SDK decides, this shows.

mod account;
mod care;
mod code;
mod compare;
mod contact;
mod edited;
mod home;
mod inbox;
mod init;
mod mailbox;
mod phone;
mod send;
pub mod show;
mod trouble;

use crate::failure::Failure;
use crate::output::{self, Exit};
use crate::profile::Profile;
use crate::scenario;
use home::Home;
use phone::Phone;

pub const AFTER_HELP: &str = "\
Two phones, each in a terminal of its own:
  candor device init alice --label acct:alice --name 'Alice phone' --mailbox mailbox
  export CANDOR_PROFILE=alice
  candor device publish
  candor device enrol --two-factor --passcode --key-sync
  candor device contact add acct:bob
  candor device compare acct:bob
  candor device send acct:bob 'See you at eight'

The mailbox is a directory that stands for the messenger's own servers: plain files, nothing is
encrypted. Whoever writes there plays the messenger: a file in LABEL/devices adds a device, as a
server could, and `candor device send` says what is to be thought of it.";

#[derive(clap::Subcommand)]
pub enum Command {
    Init(init::Arguments),
    /// Publishes the phone as phone.toml has it, and creates the account if there is none.
    Publish,
    Enrol(account::EnrolArguments),
    /// Turns verification off for the whole account. Contacts who have it on are told.
    Off,
    Add(account::AddArguments),
    Join(account::JoinArguments),
    Remove(account::RemoveArguments),
    /// Declares the account key lost, and replaces it by a new one of this phone.
    ///
    /// Contacts are told, and what they compared is void. All other devices leave the account.
    Reset,
    /// Saves, forgets and lists contacts.
    #[command(subcommand)]
    Contact(contact::Command),
    Check(contact::CheckArguments),
    Send(send::Arguments),
    /// Takes the messages that have come, and looks at what came with them: a head of the log, a
    /// proof of the sender's keys. Exits with 3 if one of them is bad.
    Inbox,
    Compare(compare::Arguments),
    Code(code::Arguments),
    Alerts(care::AlertsArguments),
    /// Checks the own account now: is it what your phones made of it?
    SelfCheck,
    /// Does everything that is due, as an application does when it wakes up.
    Tick,
    /// Exchanges with your other phones what all of them share. Other commands do it by themselves.
    Sync,
    Scenario(scenario::Arguments),
}

/// Runs the command that the person typed. `open` opens the profile that was named.
pub async fn run(
    command: Command,
    open: impl FnOnce() -> Result<Profile, Failure>,
    json: bool,
) -> Result<Exit, Failure> {
    let command = match command {
        Command::Scenario(arguments) => return scenario::run(arguments, json).await,
        Command::Init(arguments) => return output::show(&init::run(arguments, &open()?)?, json),
        command => command,
    };
    let home = Home::open(open()?)?;
    let identity = match &command {
        Command::Reset => home.next_identity()?,
        Command::Join(arguments) => {
            home.import_key(&arguments.key)?;
            home.identity()?
        }
        Command::Send(arguments) => candor_sdk::device::Identity {
            gossip_one_in: arguments.gossip_one_in,
            ..home.identity()?
        },
        _ => home.identity()?,
    };
    let phone = Phone::open(&home, identity).await?;
    let at = &phone;
    match command {
        Command::Init(_) | Command::Scenario(_) => Ok(Exit::Done),
        Command::Publish | Command::Join(_) => at.carry_out(json, account::publish(at)).await,
        Command::Enrol(arguments) => at.carry_out(json, account::enrol(arguments, at)).await,
        Command::Off => at.carry_out(json, account::off(at)).await,
        Command::Add(arguments) => at.carry_out(json, account::add(arguments, &home, at)).await,
        Command::Remove(arguments) => at.carry_out(json, account::remove(arguments, at)).await,
        Command::Reset => at.carry_out(json, account::reset(&home, at)).await,
        Command::Contact(command) => at.carry_out(json, contact::run(command, at)).await,
        Command::Check(arguments) => at.carry_out(json, contact::check(arguments, at)).await,
        Command::Send(arguments) => at.carry_out(json, send::run(arguments, at)).await,
        Command::Inbox => at.carry_out(json, inbox::run(at)).await,
        Command::Compare(arguments) => at.carry_out(json, compare::run(arguments, at)).await,
        Command::Code(arguments) => match &arguments.enter {
            Some(words) => at.carry_out(json, code::enter(words, at)).await,
            None => at.carry_out(json, code::show(&arguments, at)).await,
        },
        Command::Alerts(arguments) => at.carry_out(json, care::alerts(arguments, at)).await,
        Command::SelfCheck => at.carry_out(json, care::self_check(at)).await,
        Command::Tick => at.carry_out(json, care::tick(at)).await,
        Command::Sync => at.tell(json, care::sync(at).await, None).await,
    }
}

/// Reads hexadecimal.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}
