//! The witness's keys: two for what it says of a log, two more for what it says of a log's map.
//!
//! A cosigner's statements follow from its name and key alone, so "I also checked every epoch of
//! the map" needs a name and keys of its own (c2sp.org/tlog-cosignature, "Additional statements").

use candor_core::note::{
    Algorithm, Checkpoint, KeyName, KeyNameError, LogVerifier, LogVerifyError, NoteSigner,
    SignError, SignatureLine, SignedNote, SubtreeHead, VerifierKey,
};
use candor_host::key_file::KeyKind;
use candor_host::keys::{KeyError, KeyLoader, KeySlot, Keyring};

/// What the map witness's name has after the log witness's.
const MAP_SUFFIX: &str = "/map";

/// The keys, in the order of [`Cosigner::keys`].
pub const KEY_SLOTS: [KeySlot; 4] = [
    KeySlot {
        name: "log-ed25519",
        file: "log-ed25519.key",
        kind: KeyKind::Ed25519,
    },
    KeySlot {
        name: "log-ml-dsa-44",
        file: "log-ml-dsa-44.key",
        kind: KeyKind::MlDsa44,
    },
    KeySlot {
        name: "map-ed25519",
        file: "map-ed25519.key",
        kind: KeyKind::Ed25519,
    },
    KeySlot {
        name: "map-ml-dsa-44",
        file: "map-ml-dsa-44.key",
        kind: KeyKind::MlDsa44,
    },
];

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The operator chose a name that no key can have, or that is too long with `/map`.
    #[error("the witness's name is not a key name, or too long")]
    Name(#[from] KeyNameError),
    /// A key cannot be used, or was not made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// One Ed25519 key for both: a cosignature of the one would be one of the other.
    #[error("log-ed25519 and map-ed25519 are one key; each name needs a key of its own")]
    Shared,
}

/// The keys of a witness.
#[derive(Debug)]
pub struct Cosigner {
    log: Vec<Box<dyn NoteSigner>>,
    map: Vec<Box<dyn NoteSigner>>,
}

impl Cosigner {
    /// A witness that cosigns logs with the keys of `log`, and their maps with those of `map`.
    ///
    /// # Errors
    ///
    /// [`KeysError::Shared`]: the operator is at fault.
    pub fn new(
        log: Vec<Box<dyn NoteSigner>>,
        map: Vec<Box<dyn NoteSigner>>,
    ) -> Result<Self, KeysError> {
        for key in log.iter().map(|signer| signer.verifier_key()) {
            let mut others = map.iter().map(|signer| signer.verifier_key());
            if key.algorithm() == Algorithm::Ed25519Cosignature
                && others.any(|other| other.has_same_public_key(key))
            {
                return Err(KeysError::Shared);
            }
        }
        Ok(Self { log, map })
    }

    /// Checks that a witness can have this name.
    ///
    /// # Errors
    ///
    /// [`KeysError::Name`]: the operator is at fault.
    pub fn check_name(name: &str) -> Result<(), KeysError> {
        names(name)?;
        Ok(())
    }

    /// Makes new keys where the configuration has them, and opens them.
    ///
    /// # Errors
    ///
    /// [`KeysError`]; existing files are never overwritten.
    pub fn create(mut loader: KeyLoader<'_>, name: &str) -> Result<Self, KeysError> {
        names(name)?;
        for slot in &KEY_SLOTS {
            loader.create(slot)?;
        }
        Self::open(loader, name)
    }

    /// Opens the keys of `keyring`.
    ///
    /// # Errors
    ///
    /// [`KeysError`].
    pub fn load(keyring: &Keyring, name: &str) -> Result<Self, KeysError> {
        Self::open(keyring.loader(), name)
    }

    fn open(mut loader: KeyLoader<'_>, name: &str) -> Result<Self, KeysError> {
        let (log_name, map_name) = names(name)?;
        let [log_classic, log_pq, map_classic, map_pq] = &KEY_SLOTS;
        let mut pair = |name: &KeyName, classic, pq| {
            let classic = loader.signer(classic, name.clone(), Algorithm::Ed25519Cosignature)?;
            let pq = loader.signer(pq, name.clone(), Algorithm::MlDsa44)?;
            Ok::<_, KeyError>(vec![classic, pq])
        };
        let log = pair(&log_name, log_classic, log_pq)?;
        let map = pair(&map_name, map_classic, map_pq)?;
        Self::new(log, map)
    }

    /// The public keys: those of the log witness, Ed25519 before ML-DSA-44, then of the map
    /// witness.
    pub fn keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.log
            .iter()
            .chain(&self.map)
            .map(|signer| signer.verifier_key())
    }

    /// How many lines [`Self::cosign`] makes.
    pub fn line_count(&self, is_map_checked: bool) -> usize {
        let map = if is_map_checked { self.map.len() } else { 0 };
        self.log.len() + map
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

    /// Cosigns a part of the checkpoint `note`, under those of its names by which it cosigned
    /// that: the map's only if `with_map`. `None` if it did not cosign the checkpoint, or if a line
    /// that claims so does not verify.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn cosign_subtree(
        &self,
        note: &SignedNote,
        part: &SubtreeHead<'_>,
        with_map: bool,
    ) -> Result<Option<Vec<SignatureLine>>, SignError> {
        let mut lines = Vec::new();
        let map = with_map.then_some(&self.map);
        for signers in [Some(&self.log), map].into_iter().flatten() {
            let keys = signers.iter().map(|signer| signer.verifier_key().clone());
            match LogVerifier::new(part.origin, keys.collect()).verify(note) {
                Ok(_) => {
                    for signer in signers {
                        lines.extend(part.sign(&**signer)?);
                    }
                }
                Err(LogVerifyError::NotSigned) => {}
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(lines).filter(|lines| !lines.is_empty()))
    }
}

fn names(name: &str) -> Result<(KeyName, KeyName), KeyNameError> {
    Ok((
        KeyName::new(name)?,
        KeyName::new(&format!("{name}{MAP_SUFFIX}"))?,
    ))
}
