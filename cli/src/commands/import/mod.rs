//! `candor import`: registers the people of an existing directory, or the accounts of another log.

pub mod accounts;
mod registered;
mod report;
mod submit;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candor::openpgp::{self, KeyringError, Person};
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use self::registered::Registered;
use self::report::ImportReport;
use self::submit::Registration;
use crate::failure::Failure;
use crate::output::{Exit, progress};
use crate::profile::Profile;
use crate::time::now_ms;

/// Updates that were read and wait to be submitted; the reader pauses beyond.
const READ_AHEAD: usize = 256;

#[derive(clap::Subcommand)]
pub enum Command {
    Openpgp(Arguments),
    Accounts(accounts::Arguments),
}

/// Registers every person of an OpenPGP keyring: valid keys become devices, further addresses lead
/// to the first one.
///
/// Running it again changes nothing: what is registered with the same content is skipped, with
/// other content reported, never overwritten.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  candor import openpgp /usr/share/keyrings/debian-keyring.gpg

Exits with 5 if an address is registered with other content, or the server refused some.")]
pub struct Arguments {
    /// The keyring, binary or armored.
    file: PathBuf,
    /// Judge keys and signatures as of this time, in seconds since the Unix epoch, not as of now.
    #[arg(long, value_name = "UNIX_TIME")]
    at: Option<u32>,
}

/// What the people that were read come to.
#[derive(Default)]
struct People {
    people: u64,
    devices: u64,
    addresses: u64,
}

pub async fn run(arguments: Arguments, profile: &Profile) -> Result<ImportReport, Failure> {
    let now_s = u32::try_from(now_ms() / 1000).unwrap_or(u32::MAX);
    let at_s = arguments.at.unwrap_or(now_s);
    let file = open(&arguments.file)?;
    let client = profile.client()?;
    let began = Instant::now();
    let bar = progress("registering");
    let (sender, updates) = mpsc::channel(READ_AHEAD);
    let reading = {
        let bar = bar.clone();
        tokio::task::spawn_blocking(move || read(file, at_s, &sender, &bar))
    };
    let submitted = submit::submit(profile, &client, updates, &bar).await;
    bar.finish_and_clear();
    let outcome = submitted?;
    let seconds = began.elapsed().as_secs_f64();
    let (read, people) = reading
        .await
        .map_err(|error| Failure::system(std::io::Error::other(error)))??;
    let registered = Registered::new(&client, outcome, seconds).await?;
    Ok(ImportReport::new(people, &read, registered))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        let message = format!("could not read {}: {error}", path.display());
        Failure::new(Exit::Local, "file-unreadable", message, "check the path")
    })
}

/// Reads the keyring and passes on what to register.
fn read(
    file: File,
    at_s: u32,
    updates: &mpsc::Sender<Registration>,
    bar: &ProgressBar,
) -> Result<(openpgp::Report, People), Failure> {
    let mut people = People::default();
    let each = |person: Person| {
        people.people += 1;
        people.devices += person.devices().len() as u64;
        people.addresses += person.emails().len() as u64;
        let values = person
            .values()
            .expect("a person was checked to fit an account");
        bar.inc_length(values.len() as u64);
        let mut values = values.into_iter();
        let Some(state) = values.next() else { return };
        // Fails when submitting failed, which is reported there.
        let _ended = updates.blocking_send(Registration {
            bindings: values.collect(),
            ..Registration::of(state)
        });
    };
    let report = openpgp::read_keyring(BufReader::new(file), at_s, each)?;
    Ok((report, people))
}

impl From<KeyringError> for Failure {
    fn from(error: KeyringError) -> Self {
        let help = "what came before in the file was registered; correct the file and run again";
        Self::new(Exit::Local, "keyring", error, help)
    }
}
