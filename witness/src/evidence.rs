//! Contradictions, kept for people: a directory for each, with signed notes as plain files.
//!
//! `fork-*` holds two checkpoints of one size that the log signed: proof against it by its own
//! signatures. `map-*` holds a checkpoint and what this witness computed for its size.
//! `unresolved-*` holds a signed checkpoint that was not proved to follow the recorded one: it
//! accuses nobody until somebody finds the proof, so only a bounded number is kept.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use candor_core::hash::{Domain, hash_parts};
use candor_core::note::{Checkpoint, SignedNote};
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
        let id = hash_parts(
            Domain::LogLeaf,
            &[received.text().as_bytes(), b"\n", &bytes],
        );
        let name = format!("{}-{}", contradiction.kind(), &id.to_string()[..32]);
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
