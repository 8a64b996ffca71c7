//! `candor evidence`: files that prove that a log signed two histories.

use std::fmt;
use std::path::PathBuf;

use candor_core::limits::{NOTE_BYTES_MAX, POLICY_BYTES_MAX};
use candor_core::note::{Checkpoint, Evidence, EvidenceError, LogVerifier, Policy, VerifierKey};
use candor_host::durable;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{ALARM, Exit, Report, paint};
use crate::view::{write_field, write_title};

/// Longest file in bytes: two notes, and a proof of 63 hashes.
const FILE_BYTES_MAX: usize = 2 * NOTE_BYTES_MAX + 4096;

#[derive(clap::Subcommand)]
pub enum Command {
    Verify(VerifyArguments),
}

/// Verifies evidence that a log signed two histories, offline: with its keys alone, whoever made
/// the file.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor evidence verify fork.evidence --policy policy.txt
  candor evidence verify fork.evidence --key log.example+1a2b3c4d+AbCd...

Devices and witnesses make such files. Give all keys with which the log signs. Exits with 0 if the
log is convicted, and with 3 if the file does not verify: then it accuses nobody.")]
pub struct VerifyArguments {
    /// The file.
    file: PathBuf,
    /// A key of the log, as a verifier key (c2sp.org/signed-note).
    #[arg(long = "key", value_name = "VKEY", required_unless_present = "policy")]
    keys: Vec<VerifierKey>,
    /// A policy (c2sp.org/tlog-policy) that has the log's keys.
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    policy: Option<PathBuf>,
    /// The log's origin, if it is not the name of its keys.
    #[arg(long)]
    origin: Option<String>,
}

/// What the log signed.
#[derive(Serialize)]
struct Signed {
    size: u64,
    root: String,
}

/// What the file proves.
#[derive(Serialize)]
pub struct EvidenceReport {
    origin: String,
    earlier: Signed,
    later: Signed,
    /// What the later tree has over the size of the earlier, if that is smaller.
    later_begins_with: Option<String>,
}

pub fn verify(arguments: VerifyArguments) -> Result<EvidenceReport, Failure> {
    let bytes = durable::read_bounded(&arguments.file, FILE_BYTES_MAX)?;
    let keys = match &arguments.policy {
        Some(path) => keys_of_policy(&durable::read_bounded(path, POLICY_BYTES_MAX)?)?,
        None => arguments.keys,
    };
    // What the file names only chooses among the keys that the person gave.
    let claimed = Evidence::claimed_origin(&bytes).map_err(|error| invalid(&error))?;
    let keys: Vec<VerifierKey> = match &arguments.origin {
        Some(_) => keys,
        None => keys
            .into_iter()
            .filter(|key| key.name().as_str() == claimed)
            .collect(),
    };
    let origin = arguments.origin.unwrap_or(claimed);
    let evidence = Evidence::receive(&bytes, &LogVerifier::new(&origin, keys))
        .map_err(|error| invalid(&error))?;
    let (earlier, later) = evidence.checkpoints();
    let beginning = evidence.beginning();
    Ok(EvidenceReport {
        origin,
        earlier: Signed::new(earlier),
        later: Signed::new(later),
        later_begins_with: beginning.map(|beginning| beginning.root.to_string()),
    })
}

fn keys_of_policy(bytes: &[u8]) -> Result<Vec<VerifierKey>, Failure> {
    let policy = Policy::parse(bytes).map_err(|error| {
        Failure::profile(
            format_args!("the policy cannot be used: {error}"),
            "get the policy file from the operator of the log (c2sp.org/tlog-policy)",
        )
    })?;
    Ok(policy.logs().iter().map(|log| log.key().clone()).collect())
}

fn invalid(error: &EvidenceError) -> Failure {
    Failure::new(
        Exit::Alarm,
        "evidence-invalid",
        error,
        "the file accuses nobody; check that all keys of the log are given",
    )
}

impl Signed {
    fn new(checkpoint: &Checkpoint) -> Self {
        Self {
            size: checkpoint.size(),
            root: checkpoint.root().to_string(),
        }
    }
}

impl Report for EvidenceReport {
    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.origin)?;
        for (name, signed) in [("signed", &self.earlier), ("and signed", &self.later)] {
            let Signed { size, root } = signed;
            write_field(out, name, format_args!("size {size}, root {root}"))?;
        }
        if let Some(root) = &self.later_begins_with {
            let size = self.earlier.size;
            let what = format_args!("at size {size} has the root {root}");
            write_field(out, "which", what)?;
        }
        let what = "the log signed two histories";
        write_field(out, "proved", paint(ALARM, what))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use candor_core::Hash;
    use candor_core::crypto::Ed25519SecretKey;
    use candor_core::note::{KeyName, NoteSigner as _, SignedNote, SoftwareSigner};

    const ORIGIN: &str = "log.example";

    fn key(seed: u8) -> SoftwareSigner {
        let name = KeyName::new(ORIGIN).unwrap();
        SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[seed; 32]))
    }

    fn note(origin: &str, root: u8) -> SignedNote {
        let checkpoint = Checkpoint::new(origin, 7, Hash([root; 32])).unwrap();
        let line = key(1).sign(&checkpoint, 0).unwrap();
        SignedNote::new(checkpoint.to_text(), vec![line]).unwrap()
    }

    fn evidence(origin: &str) -> Vec<u8> {
        let verifier = LogVerifier::new(origin, vec![key(1).verifier_key().clone()]);
        let evidence = Evidence::new(&verifier, &note(origin, 1), &note(origin, 2));
        evidence.unwrap().to_bytes()
    }

    fn run(
        bytes: &[u8],
        seeds: &[u8],
        policy: Option<&str>,
        origin: Option<&str>,
    ) -> Result<EvidenceReport, Exit> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("fork.evidence");
        std::fs::write(&file, bytes).unwrap();
        let policy = policy.map(|text| {
            let path = directory.path().join("policy.txt");
            std::fs::write(&path, text).unwrap();
            path
        });
        let arguments = VerifyArguments {
            file,
            keys: seeds
                .iter()
                .map(|seed| key(*seed).verifier_key().clone())
                .collect(),
            policy,
            origin: origin.map(str::to_owned),
        };
        verify(arguments).map_err(|failure| failure.exit())
    }

    #[test]
    fn keys_or_a_policy_convict() {
        let policy = format!("log {}\nquorum none\n", key(1).verifier_key());
        for (seeds, policy) in [(&[1, 2][..], None), (&[], Some(policy.as_str()))] {
            let report = run(&evidence(ORIGIN), seeds, policy, None).unwrap();
            assert_eq!(report.origin, ORIGIN);
            let mut text = String::new();
            report.text(&mut text).unwrap();
            assert!(text.contains("two histories"), "{text}");
        }
        let report = run(&evidence("other"), &[1], None, Some("other")).unwrap();
        assert_eq!((report.earlier.size, report.later.size), (7, 7));
    }

    #[test]
    fn another_key_another_origin_or_a_changed_file_convict_nobody() {
        let refused = |bytes: &[u8], seed, origin| run(bytes, &[seed], None, origin).err();
        let good = evidence(ORIGIN);
        assert_eq!(refused(&good, 2, None), Some(Exit::Alarm));
        assert_eq!(refused(&good, 1, Some("other")), Some(Exit::Alarm));
        assert_eq!(refused(&evidence("other"), 1, None), Some(Exit::Alarm));
        assert_eq!(refused(&good[..9], 1, None), Some(Exit::Alarm));
        let mut changed = good;
        let last = changed.len() - 5;
        changed[last] ^= 1;
        assert_eq!(refused(&changed, 1, None), Some(Exit::Alarm));
    }
}
