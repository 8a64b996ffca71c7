//! The witness's keys: two for what it says of a log, two more for what it says of a log's map.
//!
//! A cosigner's statements follow from its name and key alone, so "I also checked every epoch of
//! the map" needs a name and keys of its own (c2sp.org/tlog-cosignature, "Additional statements").

use std::path::{Path, PathBuf};

use candor_core::crypto::{Ed25519SecretKey, MlDsa44SecretKey};
use candor_core::note::{
    Checkpoint, KeyName, KeyNameError, NoteSigner as _, SignError, SignatureLine, SoftwareSigner,
    VerifierKey,
};
use candor_host::durable::WriteError;
use candor_host::key_file::{self, KeyFileError, KeyKind, SecretSeed};

/// What the map witness's name has after the log witness's.
const MAP_SUFFIX: &str = "/map";

/// The keys' files, in the order of [`Cosigner::keys`].
const FILES: [(&str, KeyKind); 4] = [
    ("log-ed25519.key", KeyKind::Ed25519),
    ("log-ml-dsa-44.key", KeyKind::MlDsa44),
    ("map-ed25519.key", KeyKind::Ed25519),
    ("map-ml-dsa-44.key", KeyKind::MlDsa44),
];

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The operator chose a name that no key can have, or that is too long with `/map`.
    #[error("the witness's name is not a key name, or too long")]
    Name(#[from] KeyNameError),
    /// A key file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A key file was not written: it exists, or the environment failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The environment has no random numbers.
    #[error("no random numbers: {reason}")]
    Random {
        /// What the operating system said.
        reason: String,
    },
}

/// The four keys of a witness.
#[derive(Debug)]
pub struct Cosigner {
    log: [SoftwareSigner; 2],
    map: [SoftwareSigner; 2],
}

impl Cosigner {
    /// Checks that a witness can have this name.
    ///
    /// # Errors
    ///
    /// [`KeysError::Name`]: the operator is at fault.
    pub fn check_name(name: &str) -> Result<(), KeysError> {
        names(name)?;
        Ok(())
    }

    /// Makes new keys and writes them into `directory`.
    ///
    /// # Errors
    ///
    /// [`KeysError`]; existing files are never overwritten.
    pub fn create(directory: &Path, name: &str) -> Result<Self, KeysError> {
        names(name)?;
        for (path, kind) in paths(directory) {
            let seed = SecretSeed::generate().map_err(|error| KeysError::Random {
                reason: error.to_string(),
            })?;
            key_file::create(&path, kind, &seed)?;
        }
        Self::load(directory, name)
    }

    /// Reads the keys from `directory`.
    ///
    /// # Errors
    ///
    /// [`KeysError`].
    pub fn load(directory: &Path, name: &str) -> Result<Self, KeysError> {
        let (log_name, map_name) = names(name)?;
        let [log_classic, log_pq, map_classic, map_pq] = paths(directory);
        let ed25519 = |name: &KeyName, (path, kind): (PathBuf, KeyKind)| {
            let seed = key_file::read(&path, kind)?;
            let secret = Ed25519SecretKey::from_seed(seed.expose());
            Ok::<_, KeysError>(SoftwareSigner::ed25519_cosignature(name.clone(), secret))
        };
        let ml_dsa_44 = |name: &KeyName, (path, kind): (PathBuf, KeyKind)| {
            let seed = key_file::read(&path, kind)?;
            let secret = MlDsa44SecretKey::from_seed(seed.expose());
            Ok::<_, KeysError>(SoftwareSigner::ml_dsa_44(name.clone(), secret))
        };
        Ok(Self {
            log: [
                ed25519(&log_name, log_classic)?,
                ml_dsa_44(&log_name, log_pq)?,
            ],
            map: [
                ed25519(&map_name, map_classic)?,
                ml_dsa_44(&map_name, map_pq)?,
            ],
        })
    }

    /// The public keys: Ed25519 and ML-DSA-44 of the log witness, then of the map witness.
    pub fn keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.log
            .iter()
            .chain(&self.map)
            .map(SoftwareSigner::verifier_key)
    }

    /// How many lines [`Self::cosign`] makes.
    pub const fn line_count(is_map_checked: bool) -> usize {
        if is_map_checked { 4 } else { 2 }
    }

    /// Cosigns a checkpoint, with the map's keys too if the caller has checked its map.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn cosign(
        &self,
        checkpoint: &Checkpoint,
        is_map_checked: bool,
        timestamp_s: u64,
    ) -> Result<Vec<SignatureLine>, SignError> {
        let map = if is_map_checked { &self.map[..] } else { &[] };
        let signers = self.log.iter().chain(map);
        signers
            .map(|signer| signer.sign(checkpoint, timestamp_s))
            .collect()
    }
}

fn names(name: &str) -> Result<(KeyName, KeyName), KeyNameError> {
    Ok((
        KeyName::new(name)?,
        KeyName::new(&format!("{name}{MAP_SUFFIX}"))?,
    ))
}

fn paths(directory: &Path) -> [(PathBuf, KeyKind); 4] {
    FILES.map(|(file, kind)| (directory.join(file), kind))
}
