//! Contradictions, kept for people: a directory for each, with signed notes as plain files.
//!
//! `fork-*` holds two checkpoints that the log signed and that contradict each other: proof against
//! it by its own signatures, which `fork.evidence` holds as one file for others to verify.
//! `cleared-*` is the same after the operator cleared it. `map-*` holds a checkpoint and what this
//! witness computed for its size. `unresolved-*` holds a signed checkpoint that was not proved to
//! follow the recorded one: it accuses nobody until somebody finds the proof, so only a bounded
//! number is kept of each log. Behind the kind comes the beginning of the origin's SHA-256, and
//! then size and root of the checkpoint received, or what identifies the contradiction.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use candor_core::Hash;
use candor_core::note::{
    AddCheckpoint, Checkpoint, Evidence as Proof, SignedNote, monitoring_path,
};
use candor_host::durable::{self, WriteError};

use crate::decision::Submission;
use crate::gossip::message::CONTENT_BYTES_MAX;
use crate::gossip::{Head, contradiction_id};
use crate::store::Change;

/// Most unresolved contradictions kept of one log, so that none takes the room of another: each has
/// three notes with one line for each of the log's keys, mostly below 12 KiB together.
pub const UNRESOLVED_MAX: usize = 4;

/// The file that convinces others.
const PROOF_FILE: &str = "fork.evidence";

const UNRESOLVED: &str = "unresolved";
const FORK: &str = "fork";
const CLEARED: &str = "cleared";

/// What contradicts a submission.
#[derive(Clone, Debug)]
pub enum Contradiction {
    /// Another checkpoint of the same size, by a key that the log no longer has.
    Fork(SignedNote),
    /// A recorded checkpoint from which consistency was not proved.
    Unresolved(SignedNote),
    /// What the audit deltas lead to at the same size.
    Map(Checkpoint),
}

impl Contradiction {
    /// The log signed another tree than `root`, to which its audit deltas lead.
    pub fn of_map(submission: &Submission, root: Hash) -> Self {
        let checkpoint = submission.checkpoint().checkpoint();
        let computed = Checkpoint::new(checkpoint.origin(), checkpoint.size(), root);
        Self::Map(computed.expect("origin and size are those of a checkpoint"))
    }

    /// What is suspended because of it: after two signed trees of one size the log, after a tree
    /// that does not follow from the deltas its map. Without a proof, nothing.
    pub fn alarm(&self, submission: &Submission) -> Option<Change> {
        let size = submission.checkpoint().checkpoint().size();
        match self {
            Self::Fork(_) => Some(Change::Fork {
                reason: format!("two signed checkpoints of size {size}"),
            }),
            Self::Map(_) => Some(Change::MapAlarm {
                reason: format!("the audit deltas lead to another root at size {size}"),
            }),
            Self::Unresolved(_) => None,
        }
    }

    /// The kind, as directories and metrics name it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Fork(_) => FORK,
            Self::Unresolved(_) => UNRESOLVED,
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

/// A case against a log, from an earlier run.
#[derive(Debug)]
pub struct Remembered {
    /// The encoding of [`candor_core::note::Evidence`], of which nobody has checked anything yet.
    pub bytes: Vec<u8>,
    /// Whether the operator cleared it.
    pub is_cleared: bool,
}

/// The directory of all contradictions.
#[derive(Debug)]
pub struct Evidence {
    directory: PathBuf,
    /// How many unresolved ones there are, by log.
    unresolved: Mutex<BTreeMap<String, usize>>,
    /// The cases of earlier runs.
    proofs: Vec<PathBuf>,
}

impl Evidence {
    /// Opens the directory, and creates it if it is not there.
    ///
    /// # Errors
    ///
    /// The environment's fault.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        ensure_directory(directory).map_err(std::io::Error::other)?;
        let mut unresolved = BTreeMap::new();
        let mut proofs = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let mut parts = name.split('-');
            match (parts.next(), parts.next()) {
                (Some(UNRESOLVED), Some(log)) => {
                    *unresolved.entry(log.to_owned()).or_default() += 1;
                }
                (Some(FORK | CLEARED), Some(_)) => proofs.push(entry.path()),
                _ => {}
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            unresolved: Mutex::new(unresolved),
            proofs,
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
        let received = Head::new(submission.checkpoint());
        let request = AddCheckpoint {
            note: received.note().clone(),
            ..submission.to_request()
        };
        let (file, bytes) = contradiction.file();
        // Signatures are left out, so that replays with other signatures make no other name.
        let checkpoint = submission.checkpoint().checkpoint();
        let log = log_part(checkpoint.origin());
        let name = format!(
            "{}-{log}-{}-{}",
            contradiction.kind(),
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
            let count = unresolved.entry(log).or_default();
            if *count >= UNRESOLVED_MAX {
                return Ok(None);
            }
            *count += 1;
        }
        ensure_directory(&case)?;
        durable::replace(&case.join(file), &bytes)?;
        durable::replace(&case.join("request.txt"), &request.to_bytes())?;
        durable::replace(&complete, &received.note().to_bytes())?;
        Ok(Some(case))
    }

    /// Keeps evidence against a log durably and returns its directory.
    ///
    /// # Errors
    ///
    /// The environment's fault.
    pub fn keep_fork(&self, evidence: &Proof) -> Result<PathBuf, WriteError> {
        let case = self.directory.join(case_name(FORK, evidence));
        ensure_directory(&case)?;
        durable::replace(&case.join("recorded.note"), &evidence.earlier().to_bytes())?;
        durable::replace(&case.join("received.note"), &evidence.later().to_bytes())?;
        durable::replace(&case.join(PROOF_FILE), &evidence.to_bytes())?;
        Ok(case)
    }

    /// Whether the operator cleared what this evidence says.
    pub fn is_cleared(&self, evidence: &Proof) -> bool {
        let name = case_name(CLEARED, evidence);
        self.directory.join(name).exists()
    }

    /// What was kept against a log before this witness started.
    pub fn remembered(&self, origin: &str) -> Vec<Remembered> {
        let [fork, cleared] = [FORK, CLEARED].map(|kind| prefix(kind, origin));
        let case = |path: &PathBuf| {
            let name = path.file_name()?.to_string_lossy();
            let is_cleared = name.starts_with(&cleared);
            if !is_cleared && !name.starts_with(&fork) {
                return None;
            }
            // One that cannot be read, or of an older version, is there for people only.
            let bytes = durable::read_bounded(&path.join(PROOF_FILE), CONTENT_BYTES_MAX).ok()?;
            Some(Remembered { bytes, is_cleared })
        };
        self.proofs.iter().filter_map(case).collect()
    }
}

/// Marks what is kept against a log as cleared by the operator, so that peers who still hold it do
/// not have it stop the log again.
///
/// # Errors
///
/// The environment's fault.
pub(crate) fn clear(directory: &Path, origin: &str) -> std::io::Result<()> {
    let fork = prefix(FORK, origin);
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(rest) = name.strip_prefix(&fork) {
            let cleared = path.with_file_name(format!("{}{rest}", prefix(CLEARED, origin)));
            if cleared.exists() {
                // Cleared before, and kept again since.
                std::fs::remove_dir_all(&path)?;
            } else {
                std::fs::rename(&path, cleared)?;
            }
        }
    }
    Ok(())
}

fn case_name(kind: &str, evidence: &Proof) -> String {
    let id = contradiction_id(evidence).to_string();
    let prefix = prefix(kind, evidence.checkpoints().0.origin());
    format!("{prefix}{}", &id[..16])
}

fn prefix(kind: &str, origin: &str) -> String {
    format!("{kind}-{}-", log_part(origin))
}

/// The part of a name that says which log.
fn log_part(origin: &str) -> String {
    monitoring_path(origin)[..16].to_owned()
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
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::decision::admit;
    use candor_core::crypto::Ed25519SecretKey;
    use candor_core::note::{KeyName, LogVerifier, NoteSigner as _, SoftwareSigner};

    const ORIGIN: &str = "log.example";

    fn key() -> SoftwareSigner {
        let name = KeyName::new(ORIGIN).unwrap();
        SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[1; 32]))
    }

    fn verifier(origin: &str) -> LogVerifier {
        LogVerifier::new(origin, vec![key().verifier_key().clone()])
    }

    fn note_of(origin: &str, size: u64, root: u8) -> SignedNote {
        let checkpoint = Checkpoint::new(origin, size, Hash([root; 32])).unwrap();
        let line = key().sign(&checkpoint, 0).unwrap();
        SignedNote::new(checkpoint.to_text(), vec![line]).unwrap()
    }

    fn submission_to(origin: &str, size: u64) -> Submission {
        let request = AddCheckpoint {
            old_size: 0,
            proof: vec![],
            note: note_of(origin, size, 0),
        };
        admit(request, &verifier(origin)).unwrap()
    }

    fn submission(size: u64) -> Submission {
        submission_to(ORIGIN, size)
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
        // Another log has room of its own.
        let of_other = submission_to("other.example", 1000);
        assert!(evidence.keep(&of_other, &unresolved).unwrap().is_some());
        assert!(
            evidence
                .keep(&submission(3), &unresolved)
                .unwrap()
                .is_some()
        );
        let fork = Contradiction::Fork(note());
        assert!(evidence.keep(&submission(1000), &fork).unwrap().is_some());
    }

    #[test]
    fn evidence_is_remembered_and_known_to_be_cleared() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("evidence");
        clear(&path, ORIGIN).unwrap();
        let kept = |origin: &str| {
            let notes = [1, 2].map(|root| note_of(origin, 7, root));
            let proof = Proof::new(&verifier(origin), &notes[0], &notes[1]).unwrap();
            let evidence = Evidence::open(&path).unwrap();
            let case = evidence.keep_fork(&proof).unwrap();
            assert_eq!(evidence.keep_fork(&proof).unwrap(), case);
            proof.to_bytes()
        };
        let bytes = kept(ORIGIN);
        kept("other.example");
        for is_cleared in [false, true] {
            let evidence = Evidence::open(&path).unwrap();
            let [found] = &evidence.remembered(ORIGIN)[..] else {
                panic!("one case")
            };
            assert_eq!((&found.bytes, found.is_cleared), (&bytes, is_cleared));
            clear(&path, ORIGIN).unwrap();
        }
        let evidence = Evidence::open(&path).unwrap();
        assert!(!evidence.remembered("other.example")[0].is_cleared);
        // Kept again, it is cleared all the same, and can be cleared again.
        let proof = Proof::verify(&bytes, &verifier(ORIGIN)).unwrap();
        assert!(evidence.is_cleared(&proof));
        kept(ORIGIN);
        assert_eq!(Evidence::open(&path).unwrap().remembered(ORIGIN).len(), 2);
        clear(&path, ORIGIN).unwrap();
        let evidence = Evidence::open(&path).unwrap();
        let left = evidence.remembered(ORIGIN);
        assert!(left.len() == 1 && left[0].is_cleared);
    }
}
