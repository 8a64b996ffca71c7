//! `candor proof`: answers as files.

use std::fmt;
use std::path::PathBuf;

use candor_core::account::Label;
use candor_core::limits::TLOG_PROOF_BYTES_MAX;
use candor_host::durable;
use serde::Serialize;

use crate::arguments;
use crate::commands::lookup::AccountReport;
use crate::failure::Failure;
use crate::output::{self, Exit, Report, show};
use crate::profile::Profile;
use crate::view::{write_field, write_title};

#[derive(clap::Subcommand)]
pub enum Command {
    Save(SaveArguments),
    Verify(VerifyArguments),
}

/// Looks an account up and keeps the verified answer as a .candor-proof file.
///
/// That there is no such account is an answer too.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor proof save alice@example.org -o alice.candor-proof
  candor proof save alice@example.org > alice.candor-proof")]
pub struct SaveArguments {
    /// E-mail address, telephone number, or acct:name. Bindings are not followed.
    #[arg(value_parser = arguments::label)]
    label: Label,
    /// The file to write; none is overwritten. Without it, the proof itself is printed.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Verifies a .candor-proof file offline, and shows what it proves.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  candor proof verify alice.candor-proof

The profile's policy decides whom to believe; nobody is asked, so nobody learns of it. Exits with 3
if the file does not verify, and with 4 if it proves that there is no account.")]
pub struct VerifyArguments {
    /// The file.
    file: PathBuf,
}

/// What was saved.
#[derive(Serialize)]
struct SaveReport {
    label: String,
    file: String,
    bytes: usize,
}

pub async fn save(
    arguments: SaveArguments,
    profile: &Profile,
    json: bool,
) -> Result<Exit, Failure> {
    let proof = profile.client()?.save_proof(&arguments.label).await?;
    let Some(file) = arguments.output else {
        output::write(&proof)?;
        return Ok(Exit::Done);
    };
    durable::create_new(&file, &proof)?;
    let report = SaveReport {
        label: arguments.label.to_string(),
        file: file.display().to_string(),
        bytes: proof.len(),
    };
    show(&report, json)
}

pub async fn verify(
    arguments: VerifyArguments,
    profile: &Profile,
) -> Result<AccountReport, Failure> {
    let proof = durable::read_bounded(&arguments.file, TLOG_PROOF_BYTES_MAX)?;
    let (label, verified) = profile.client()?.verify_proof(&proof).await?;
    AccountReport::of_proof(profile, &label, &verified)
}

impl Report for SaveReport {
    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.label)?;
        write_field(
            out,
            "proof",
            format_args!("{} ({} bytes)", self.file, self.bytes),
        )?;
        write_field(
            out,
            "next",
            format_args!("candor proof verify {}", self.file),
        )
    }
}
