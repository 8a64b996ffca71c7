//! The command line: what all commands share, and how labels and keys are typed.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_core::account::{DeviceKey, Label};
use candor_core::limits::DEVICE_KEY_BYTES_MAX;
use candor_host::durable;
use clap::{Parser, Subcommand};

use crate::commands::{
    audit, evidence, history, import, init, load, lookup, monitor, proof, register, update,
};
use crate::device;

/// Key transparency at the terminal: look accounts up and verify every answer, watch over your own
/// account, keep proofs, and audit the whole log.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Arguments {
    /// Directory made by `candor init`: which server to ask, what to trust, what was seen before.
    #[arg(long, global = true, env = "CANDOR_PROFILE", value_name = "DIR")]
    #[arg(hide_env_values = true)]
    pub profile: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  candor init ~/.candor --server https://keys.example --policy policy.txt --map-witness w1-map
  export CANDOR_PROFILE=~/.candor
  candor lookup alice@example.org
  candor monitor alice@example.org --json | jq .alerts

Identifiers are e-mail addresses, telephone numbers in international form (+1 555 123 4567), or
acct:name; they are brought into one normal form, which is the one shown.

Exit codes:
  0  done
  1  wrong usage
  2  no answer, or not yet: try again later
  3  ALARM: an answer was refused, or shows what must not be; do not rely on the account
  4  there is no such account, which is proved
  5  the server refused an update
  6  the profile or this machine is at fault
  7  not done: what is shown has to be settled first";

#[derive(Subcommand)]
pub enum Command {
    Init(init::Arguments),
    Register(register::Arguments),
    Update(update::Arguments),
    Lookup(lookup::Arguments),
    History(history::Arguments),
    Monitor(monitor::Arguments),
    /// Keeps verified answers as files, and verifies such files offline.
    #[command(subcommand)]
    Proof(proof::Command),
    /// Fetches and verifies the newest head of the log.
    #[command(after_help = "Example:\n  candor head")]
    Head,
    Audit(audit::Arguments),
    /// Verifies evidence that a log signed two histories.
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// A phone at the terminal: everything that an application does for a person, with a directory
    /// in place of a messenger. Or stories of people and their devices.
    #[command(subcommand, after_help = device::AFTER_HELP)]
    Device(device::Command),
    Load(load::Arguments),
    /// Registers the people of an existing directory, or the accounts of another log.
    #[command(subcommand)]
    Import(import::Command),
}

/// Brings what a person typed into the normal form.
pub fn label(text: &str) -> Result<Label, String> {
    Label::normalize(text).map_err(|error| error.to_string())
}

/// Reads `PURPOSE=BASE64` or `PURPOSE=@FILE`.
pub fn device_key(text: &str) -> Result<DeviceKey, String> {
    let expected = "expected PURPOSE=BASE64 or PURPOSE=@FILE";
    let (purpose, key) = text.split_once('=').ok_or(expected)?;
    let public_key = match key.strip_prefix('@') {
        Some(path) => durable::read_bounded(Path::new(path), DEVICE_KEY_BYTES_MAX)
            .map_err(|error| error.to_string())?,
        None => STANDARD.decode(key).map_err(|_| expected)?,
    };
    if purpose.is_empty() || public_key.is_empty() {
        return Err(expected.to_owned());
    }
    Ok(DeviceKey {
        purpose: purpose.to_owned(),
        public_key,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn keys_are_base64_or_a_file() {
        let key = device_key("sign=AAEC").unwrap();
        assert_eq!(
            (key.purpose.as_str(), &key.public_key[..]),
            ("sign", &[0, 1, 2][..])
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, [7; 32]).unwrap();
        let key = device_key(&format!("sign=@{}", path.display())).unwrap();
        assert_eq!(key.public_key, [7; 32]);
        std::fs::write(&path, [7; DEVICE_KEY_BYTES_MAX + 1]).unwrap();
        let too_long = format!("sign=@{}", path.display());
        for wrong in [
            "sign",
            "sign=",
            "=AAEC",
            "sign=AAE",
            "sign=@/nowhere",
            &too_long,
        ] {
            assert!(device_key(wrong).is_err(), "{wrong}");
        }
    }
}
