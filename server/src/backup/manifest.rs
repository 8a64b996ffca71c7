//! What a backup says of itself.

use std::io::ErrorKind;
use std::path::Path;

use candor_core::limits::NOTE_BYTES_MAX;
use candor_host::durable::{self, ReadError};
use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::storage::Engine;

/// The name of the manifest in a backup's directory.
pub const MANIFEST: &str = "backup.toml";

/// The name of the store in a backup's directory.
pub const STORE: &str = "store";

/// The format that this program writes, and reads.
const FORMAT: u32 = 1;

/// Longest manifest in bytes: a signed note, and room for the rest.
const MANIFEST_BYTES_MAX: usize = NOTE_BYTES_MAX + (4 << 10);

/// What a backup holds, as its manifest states it. Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of backups.
    pub format: u32,
    /// The log's name.
    pub origin: String,
    /// What keeps the store of the backup.
    pub engine: Engine,
    /// Number of records.
    pub size: u64,
    /// Root of the log over them, in hexadecimal digits.
    pub root: String,
    /// Number of rows in all tables.
    pub rows: u64,
    /// When the backup was complete, in POSIX seconds.
    pub made_s: u64,
    /// The version of the program that made it.
    pub program: String,
    /// The newest head that the log had signed when the copy began: its signed note. None if it
    /// had signed nothing yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Manifest {
    /// Reads the manifest of a backup.
    ///
    /// # Errors
    ///
    /// [`BackupError::Incomplete`] if there is none; [`BackupError::Manifest`] if it is none that
    /// this program writes.
    pub fn read(directory: &Path) -> Result<Self, BackupError> {
        let path = directory.join(MANIFEST);
        let refused = |message: String| BackupError::Manifest {
            path: path.clone(),
            message,
        };
        let bytes =
            durable::read_bounded(&path, MANIFEST_BYTES_MAX).map_err(|error| match error {
                ReadError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
                    let path = directory.to_owned();
                    BackupError::Incomplete { path }
                }
                error => error.into(),
            })?;
        let text = String::from_utf8(bytes).map_err(|error| refused(error.to_string()))?;
        let manifest: Self = toml::from_str(&text)
            .map_err(|error| refused(format!("not a manifest: {}", error.message())))?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(refused(format!(
                "the backup has format {other}, this program reads format {FORMAT}"
            ))),
        }
    }

    /// Writes the manifest, which makes the directory a backup.
    pub(super) fn write(&self, directory: &Path) -> Result<(), BackupError> {
        let path = directory.join(MANIFEST);
        let text = toml::to_string(self).map_err(|error| BackupError::Manifest {
            path: path.clone(),
            message: error.to_string(),
        })?;
        durable::replace(&path, text.as_bytes())?;
        Ok(())
    }

    pub(super) const fn format() -> u32 {
        FORMAT
    }
}
