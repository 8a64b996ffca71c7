//! Restoring a backup, where that cannot fork the log.
//!
//! In this order: the anchor's lock, so that nothing signs meanwhile; the anchor, every witness of
//! both policies, and whether the backup has all that they say was signed; a copy under another
//! name, checked from one end to the other; then the name that the server looks for. A crash at
//! any point leaves no store, or the whole one. What goes on from there is a usual start, which
//! asks anchor and witnesses again.

mod witnesses;

use std::fs;
use std::io::{self, ErrorKind};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use candor_core::Hash;
use candor_core::note::{LogVerifier, SignedNote};
use candor_host::durable;
use thiserror::Error;

use self::witnesses::Heard;
pub use self::witnesses::WitnessAnswer;
use super::copy::Copy;
use super::verify::{self, Mismatch};
use super::{BackupError, Manifest, Told, configured_verifier};
use crate::anchor::Anchor;
use crate::config::Config;
use crate::fsck::{self, Progress, Report, Standing};
use crate::identity::Identity;
use crate::ledger::Ledger;
use crate::storage;

/// VRF proofs are verified of one row in so many: a wrong one makes a lookup fail, and signs
/// nothing. [`super::verify()`] verifies all of them.
const VRF_SAMPLE: NonZeroU64 = NonZeroU64::new(64).expect("not zero");

/// What the operator says of the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchored {
    /// It is where the configuration says.
    Present,
    /// It is lost for good. The witnesses have to say what was signed, and it is made anew of what
    /// they hold.
    Lost,
}

/// A backup that was restored.
#[derive(Debug)]
pub struct Restored {
    /// What was restored.
    pub manifest: Manifest,
    /// The size of the newest signed head, which the store reaches.
    pub anchored: u64,
    /// What the witnesses said.
    pub witnesses: Vec<WitnessAnswer>,
}

/// Why a backup was not restored. Nothing was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// There is a store already: the operator's fault.
    #[error("{} exists already: a store is not overwritten", path.display())]
    StoreExists {
        /// The store's directory.
        path: PathBuf,
    },
    /// No store can be put there: the operator's fault.
    #[error("{}: {source}", path.display())]
    Place {
        /// The store's directory.
        path: PathBuf,
        /// What is in the way.
        source: io::Error,
    },
    /// The backup is of another log, or of other keys, than the configuration.
    #[error("the backup is of another log, or was made with other log keys, than the policy lists")]
    OtherLog,
    /// Without the anchor nobody here knows what was signed.
    #[error("there is no anchor at {}: nobody here knows what was signed", path.display())]
    NoAnchor {
        /// Where it should be.
        path: PathBuf,
    },
    /// The anchor is older than what the backup shows as published: it is not the newest.
    #[error("the anchor is old: it has {anchored} records, {published} were published")]
    AnchorBehind {
        /// Size of the checkpoint in the anchor.
        anchored: u64,
        /// Size of the published head in the backup.
        published: u64,
    },
    /// More was signed than the backup has.
    #[error(
        "the backup is behind by {}: it has {size} records, {by} says that {signed} were signed. \
         Going on from it would be a second history",
        signed - size
    )]
    Behind {
        /// Who says so.
        by: String,
        /// Records of the backup.
        size: u64,
        /// Records that were signed.
        signed: u64,
    },
    /// Something else was signed than the backup has.
    #[error(
        "the backup contradicts {by}: it has another history than was signed at {signed} records"
    )]
    Contradicts {
        /// Who holds the other history.
        by: String,
        /// The size of the head that it holds.
        signed: u64,
    },
    /// The anchor is lost, and too few witnesses say what was signed.
    #[error("without the anchor a quorum of witnesses must hold a head of this log and say so")]
    NoQuorum {
        /// What the witnesses said.
        witnesses: Vec<WitnessAnswer>,
    },
    /// The backup is damaged.
    #[error("the backup is damaged: {} findings", report.count + mismatches.len() as u64)]
    Damaged {
        /// What is wrong with its rows.
        report: Box<Report>,
        /// What is wrong with its manifest.
        mismatches: Vec<Mismatch>,
    },
    /// The policies cannot be asked.
    #[error("the policy cannot be used: {0}")]
    Policy(String),
    /// The backup could not be read, or the copy not be written.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

impl RestoreError {
    /// The other failures, each as it is for any backup.
    fn other(error: impl Into<BackupError>) -> Self {
        Self::Backup(error.into())
    }
}

/// Restores the backup in the directory `from` to where the configuration has the store.
///
/// # Errors
///
/// [`RestoreError`]: nothing was changed; a copy that was begun may be left beside the store's
/// place if the process ended.
pub async fn restore(
    config: Config,
    from: PathBuf,
    anchored: Anchored,
    mut told: impl FnMut(Progress) + Send + Sync + 'static,
) -> Result<Restored, RestoreError> {
    let begin = tokio::task::spawn_blocking(move || Restoring::begin(config, &from, anchored));
    let restoring = begin.await.map_err(RestoreError::other)??;
    let heard = Heard::of_all(&restoring.config, &restoring.verifier).await?;
    let finish = tokio::task::spawn_blocking(move || restoring.finish(heard, &mut told));
    finish.await.map_err(RestoreError::other)?
}

/// A restoration under way, which holds the lock of the log.
struct Restoring {
    config: Config,
    verifier: LogVerifier,
    anchor: Anchor,
    manifest: Manifest,
    /// The backup's rows.
    ledger: Ledger,
}

impl Restoring {
    /// Takes the lock, and compares the backup with what is here.
    fn begin(mut config: Config, from: &Path, anchored: Anchored) -> Result<Self, RestoreError> {
        let verifier = configured_verifier(&config).map_err(RestoreError::other)?;
        let anchor = Anchor::open(&config.anchor, verifier.clone()).map_err(RestoreError::other)?;
        config.store = storage::place(&config.store).map_err(|source| RestoreError::Place {
            path: config.store.clone(),
            source,
        })?;
        if !is_free(&config.store) {
            let path = config.store;
            return Err(RestoreError::StoreExists { path });
        }
        if anchor.newest().is_none() && anchored == Anchored::Present {
            let path = config.anchor;
            return Err(RestoreError::NoAnchor { path });
        }
        let (manifest, ledger) = verify::open(from)?;
        let stated = ledger.verifier().map_err(RestoreError::other)?;
        let has_key = |key| stated.keys().contains(key);
        if stated.origin() != verifier.origin() || !verifier.keys().iter().all(has_key) {
            return Err(RestoreError::OtherLog);
        }
        // A backup from before a rotation ended would sign with a key that was given up.
        let signing = ledger.identity().map_err(RestoreError::other)?;
        let signing = signing
            .as_deref()
            .and_then(Identity::decode)
            .unwrap_or_default();
        if !signing
            .signing
            .iter()
            .all(|key| verifier.keys().contains(key))
        {
            return Err(RestoreError::OtherLog);
        }
        if let Some(newest) = anchor.newest() {
            check_reached(&ledger, "the anchor", newest)?;
            let published = ledger.published_size().map_err(RestoreError::other)?;
            if published > newest.0 {
                let anchored = newest.0;
                return Err(RestoreError::AnchorBehind {
                    anchored,
                    published,
                });
            }
        }
        Ok(Self {
            config,
            verifier,
            anchor,
            manifest,
            ledger,
        })
    }

    /// Compares the backup with what the witnesses hold, and puts a checked copy in its place.
    fn finish(mut self, heard: Heard, told: Told<'_>) -> Result<Restored, RestoreError> {
        for (url, head) in heard.heads() {
            let checkpoint = head.checkpoint();
            let signed = (checkpoint.size(), *checkpoint.root());
            check_reached(&self.ledger, &format!("witness {url}"), signed)?;
        }
        let found = match self.anchor.newest() {
            Some(_) => None,
            None => {
                let published = self.ledger.published().map_err(RestoreError::other)?;
                let published = published.and_then(|note| SignedNote::parse(&note).ok());
                let published = published.and_then(|note| self.verifier.verify(&note).ok());
                Some(heard.newest_of_quorum(&self.config, published.as_ref())?)
            }
        };
        let temporary = beside(&self.config.store);
        // What a restore left that was cut short; the lock says that it is nobody else's. What
        // cannot be removed is in the way of the copy, which says so.
        let _left = fs::remove_dir_all(&temporary);
        if let Err(error) = self.copy(&temporary, told) {
            if !matches!(&error, RestoreError::Backup(BackupError::Store(_))) {
                // It is ours, and no store that anything looks for.
                let _ = fs::remove_dir_all(&temporary);
            }
            return Err(error);
        }
        if let Some(note) = found {
            self.anchor.advance(&note).map_err(RestoreError::other)?;
        }
        durable::rename(&temporary, &self.config.store).map_err(RestoreError::other)?;
        Ok(Restored {
            anchored: self.anchor.newest().map_or(0, |(size, _)| size),
            manifest: self.manifest,
            witnesses: heard.told(),
        })
    }

    /// Copies the backup, and checks the copy: it is what will be used.
    fn copy(&self, to: &Path, told: Told<'_>) -> Result<(), RestoreError> {
        let mut copy = Copy::new(self.config.engine, to, told)?;
        copy.all_of(self.ledger.store())?;
        let (store, _) = copy.finish().map_err(RestoreError::other)?;
        let ledger = Ledger::new(store, 0);
        let report = fsck::check(&ledger, VRF_SAMPLE, told).map_err(RestoreError::other)?;
        let mismatches = verify::mismatches(&self.manifest, &ledger, &report)?;
        match report.is_clean() && mismatches.is_empty() {
            true => Ok(()),
            false => Err(RestoreError::Damaged {
                report: Box::new(report),
                mismatches,
            }),
        }
    }
}

/// Refuses a backup that does not have what was signed, by whoever says so.
fn check_reached(ledger: &Ledger, by: &str, newest: (u64, Hash)) -> Result<(), RestoreError> {
    let by = by.to_owned();
    match Standing::of(ledger, newest).map_err(RestoreError::other)? {
        Standing::Reaches { .. } => Ok(()),
        Standing::Behind { size, signed } => Err(RestoreError::Behind { by, size, signed }),
        Standing::Contradicts { signed } => Err(RestoreError::Contradicts { by, signed }),
    }
}

/// Whether a store can be put there: there is nothing, or an empty directory.
fn is_free(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Where the copy is made: on the same disk, so that it can be renamed.
fn beside(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".restoring");
    path.into()
}
