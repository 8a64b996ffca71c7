//! Contradictions, kept for people: a directory for each, with signed notes as plain files.
//!
//! `fork-*` holds two checkpoints of one size that the log signed: proof against it by its own
//! signatures. `map-*` holds a checkpoint and what this witness computed for its size.
//! `unresolved-*` holds a signed checkpoint that was not proved to follow the recorded one: it
//! accuses nobody until somebody finds the proof, so only a bounded number is kept. Behind the kind
//! come the beginning of the origin's SHA-256, and size and root of the checkpoint received.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use candor_core::note::{Checkpoint, SignedNote, monitoring_path};
use candor_host::durable::{self, WriteError};

use crate::decision::Submission;

/// Most unresolved contradictions kept: 64 requests of at most 132 KiB, with two notes each, stay
/// below 25 MiB.
pub const UNRESOLVED_MAX: usize = 64;

/// What contradicts a submission.
#[derive(Clone, Debug)]
pub enum Contradiction {
    /// Another checkpoint of the same size.
    Fork(SignedNote),
    /// A recorded checkpoint from which consistency was not proved.
    Unresolved(SignedNote),
    /// What the audit deltas lead to at the same size.
    Map(Checkpoint),
}

impl Contradiction {
    /// The kind, as directories and metrics name it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Fork(_) => "fork",
            Self::Unresolved(_) => "unresolved",
            Self::Map(_) => "map",
        }
    }

    /// The file that holds it.
    fn file(&self) -> (&'static str, Vec<u8>) {
        match self {
            Self::Fork(note) | Self::Unresolved(note) => ("recorded.note", note.to_bytes()),
            Self::Map(computed) => ("computed.txt", computed.to_text().into_bytes()),
        }
    }
}

/// Why there is no evidence directory.
pub type OpenError = std::io::Error;

/// The directory of all contradictions.
#[derive(Debug)]
pub struct Evidence {
    directory: PathBuf,
    unresolved: Mutex<usize>,
}

impl Evidence {
    /// Opens the directory, and creates it if it is not there.
    ///
    /// # Errors
    ///
    /// The environment's fault.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        ensure_directory(directory).map_err(std::io::Error::other)?;
        let mut unresolved = 0;
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name();
            unresolved += usize::from(name.to_string_lossy().starts_with("unresolved-"));
        }
        Ok(Self {
            directory: directory.to_owned(),
            unresolved: Mutex::new(unresolved),
        })
    }

    /// Keeps a contradiction durably and returns its directory; `None` if too many unresolved ones
    /// are kept. The same one is kept once.
    ///
    /// # Errors
    ///
    /// The environment's fault.
    pub fn keep(
        &self,
        submission: &Submission,
        contradiction: &Contradiction,
    ) -> Result<Option<PathBuf>, WriteError> {
        let received = submission.checkpoint().to_note();
        let (file, bytes) = contradiction.file();
        // Signatures are left out, so that replays with other signatures make no other name.
        let checkpoint = submission.checkpoint().checkpoint();
        let name = format!(
            "{}-{}-{}-{}",
            contradiction.kind(),
            &monitoring_path(checkpoint.origin())[..16],
            checkpoint.size(),
            &checkpoint.root().to_string()[..16],
        );
        let case = self.directory.join(name);
        let complete = case.join("received.note");
        // One at a time: contradictions are rare, and the count must be right.
        let mut unresolved = self
            .unresolved
            .lock()
            .unwrap_or_else(|held| held.into_inner());
        if complete.exists() {
            return Ok(Some(case));
        }
        if matches!(contradiction, Contradiction::Unresolved(_)) {
            if *unresolved >= UNRESOLVED_MAX {
                return Ok(None);
            }
            *unresolved += 1;
        }
        ensure_directory(&case)?;
        durable::replace(&case.join(file), &bytes)?;
        durable::replace(
            &case.join("request.txt"),
            &submission.to_request().to_bytes(),
        )?;
        durable::replace(&complete, &received.to_bytes())?;
        Ok(Some(case))
    }
}

fn ensure_directory(path: &Path) -> Result<(), WriteError> {
    match durable::create_directory(path) {
        Err(WriteError::NotWritten { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::decision::admit;
    use candor_core::Hash;
    use candor_core::crypto::Ed25519SecretKey;
    use candor_core::note::{AddCheckpoint, KeyName, LogVerifier, NoteSigner as _, SoftwareSigner};

    fn submission(size: u64) -> Submission {
        let name = KeyName::new("log.example").unwrap();
        let log = SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[1; 32]));
        let checkpoint = Checkpoint::new("log.example", size, Hash::ZERO).unwrap();
        let line = log.sign(&checkpoint, 0).unwrap();
        let request = AddCheckpoint {
            old_size: 0,
            proof: vec![],
            note: SignedNote::new(checkpoint.to_text(), vec![line]).unwrap(),
        };
        let verifier = LogVerifier::new("log.example", vec![log.verifier_key().clone()]);
        admit(request, &verifier).unwrap()
    }

    #[test]
    fn unresolved_cases_are_bounded_even_across_restarts_and_proofs_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("evidence");
        let note = || submission(1).checkpoint().to_note();
        let unresolved = Contradiction::Unresolved(note());
        for size in 0..UNRESOLVED_MAX as u64 {
            // Opened anew each time, and each case reported twice.
            let evidence = Evidence::open(&path).unwrap();
            let first = evidence.keep(&submission(size), &unresolved).unwrap();
            assert!(first.is_some());
            assert_eq!(
                evidence.keep(&submission(size), &unresolved).unwrap(),
                first
            );
        }
        let evidence = Evidence::open(&path).unwrap();
        assert_eq!(evidence.keep(&submission(1000), &unresolved).unwrap(), None);
        assert!(
            evidence
                .keep(&submission(3), &unresolved)
                .unwrap()
                .is_some()
        );
        let fork = Contradiction::Fork(note());
        assert!(evidence.keep(&submission(1000), &fork).unwrap().is_some());
    }
}
