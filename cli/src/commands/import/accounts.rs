//! `candor import accounts`: takes the accounts of another log.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::PathBuf;
use std::time::Instant;

use candor_core::account::{
    ACCOUNT_LINE_BYTES_MAX, AccountFileHeader, AccountLine, AccountLineError, VerifiedValue,
};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::mpsc;

use super::registered::Registered;
use super::submit::{Registration, submit};
use super::{READ_AHEAD, open};
use crate::failure::Failure;
use crate::output::{Exit, Report, WARN, paint, progress};
use crate::profile::Profile;
use crate::view::{write_field, write_title};

/// Registers the accounts of another log, with all their versions: the file is what
/// `candor-server export` wrote.
///
/// Running it again changes nothing, and goes on where the last run ended. Labels that are
/// registered with other content are reported, never overwritten.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  candor-server export --from backup --to accounts.txt
  candor import accounts accounts.txt

Exits with 5 if a label is registered with other content, has erased versions, or the server refused
some.")]
pub struct Arguments {
    /// The account file.
    file: PathBuf,
}

/// What the file held.
#[derive(Default)]
struct Found {
    labels: u64,
    versions: u64,
    erased: Vec<String>,
}

/// What the import of accounts came to.
#[derive(Serialize)]
pub struct AccountsReport {
    /// The log that the accounts are of.
    origin: String,
    /// How many records it had.
    size: u64,
    labels: u64,
    versions: u64,
    #[serde(flatten)]
    registered: Registered,
    /// Labels that were left out, since some of their versions are erased.
    erased: Vec<String>,
}

pub async fn run(arguments: Arguments, profile: &Profile) -> Result<AccountsReport, Failure> {
    let file = open(&arguments.file)?;
    let client = profile.client()?;
    let began = Instant::now();
    let bar = progress("registering");
    let (sender, registrations) = mpsc::channel(READ_AHEAD);
    let reading = {
        let bar = bar.clone();
        tokio::task::spawn_blocking(move || read(file, &sender, &bar))
    };
    let submitted = submit(profile, &client, registrations, &bar).await;
    bar.finish_and_clear();
    let outcomes = submitted?;
    let seconds = began.elapsed().as_secs_f64();
    let (header, found) = reading
        .await
        .map_err(|error| Failure::system(std::io::Error::other(error)))??;
    Ok(AccountsReport {
        origin: header.origin,
        size: header.size,
        labels: found.labels,
        versions: found.versions,
        registered: Registered::new(&client, outcomes, seconds).await?,
        erased: found.erased,
    })
}

/// Reads the file and passes on what to register.
fn read(
    file: File,
    registrations: &mpsc::Sender<Registration>,
    bar: &ProgressBar,
) -> Result<(AccountFileHeader, Found), Failure> {
    let mut lines = Lines {
        reader: BufReader::new(file),
        number: 0,
    };
    let header = lines.next(AccountFileHeader::parse)?;
    let header = header.ok_or_else(|| refused(1, AccountLineError::Header))?;
    let mut found = Found::default();
    let mut had_binding = false;
    let mut next = lines.next(AccountLine::parse)?;
    while let Some(first) = next.take() {
        let label = first.label.clone();
        let mut versions = VecDeque::new();
        let (mut is_erased, mut count) = (false, 0);
        let mut line = Some(first);
        while let Some(AccountLine { version, value, .. }) = line.take() {
            if version != count {
                return Err(refused(lines.number, "a version is missing before it"));
            }
            count += 1;
            match value {
                Some(value) => versions.push_back(value),
                None => is_erased = true,
            }
            match lines.next(AccountLine::parse)? {
                Some(following) if following.label == label => line = Some(following),
                following => next = following,
            }
        }
        found.labels += 1;
        found.versions += u64::from(count);
        if is_erased {
            found.erased.push(label.to_string());
            continue;
        }
        let is_binding = |value: &VerifiedValue| matches!(value, VerifiedValue::Binding(_));
        let has_binding = versions.iter().any(is_binding);
        bar.inc_length(u64::from(count));
        // Fails when submitting failed, which is reported there.
        let _ended = registrations.blocking_send(Registration {
            versions,
            bindings: Vec::new(),
            // What the first binding leads to is before it; so are those of all others.
            waits: has_binding && !had_binding,
        });
        had_binding |= has_binding;
    }
    Ok((header, found))
}

/// The lines of a file, none of which is longer than it may be.
struct Lines {
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    /// The next line; `None` at the end.
    fn next<T>(
        &mut self,
        parse: impl Fn(&str) -> Result<T, AccountLineError>,
    ) -> Result<Option<T>, Failure> {
        self.number += 1;
        let mut line = Vec::new();
        let limit = ACCOUNT_LINE_BYTES_MAX as u64 + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut line);
        if read.map_err(Failure::system)? == 0 {
            return Ok(None);
        }
        // The last one too: a file that was cut off ends in the middle of a line.
        let line = line
            .strip_suffix(b"\n")
            .and_then(|it| str::from_utf8(it).ok());
        let parsed = line.ok_or(AccountLineError::Malformed).and_then(parse);
        parsed
            .map(Some)
            .map_err(|error| refused(self.number, error))
    }
}

fn refused(number: u64, error: impl fmt::Display) -> Failure {
    Failure::new(
        Exit::Local,
        "accounts-file",
        format_args!("line {number}: {error}"),
        "what came before in the file was registered; correct the file and run again",
    )
}

impl Report for AccountsReport {
    fn exit(&self) -> Exit {
        match self.erased.is_empty() {
            true => self.registered.exit(),
            false => Exit::Refused,
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        let Self {
            origin,
            size,
            labels,
            versions,
            ..
        } = self;
        write_title(out, format_args!("{labels} labels of {origin}"))?;
        let held = format_args!("{versions} versions, as of {size} records");
        write_field(out, "hold", held)?;
        self.registered.text(out, "versions", "labels")?;
        for label in &self.erased {
            let left_out = format_args!("{label} has erased versions: it has to register again");
            write_field(out, "left out", paint(WARN, left_out))?;
        }
        Ok(())
    }
}
