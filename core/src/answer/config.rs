//! The log's configuration, record 0: where a device learns the VRF key.

use thiserror::Error;

use crate::Hash;
use crate::codec::DecodeError;
use crate::crypto::{PublicKeyError, VrfPublicKey};
use crate::epoch::LogConfig;
use crate::log::{ProofError, leaf_hash, verify_inclusion};
use crate::note::VerifiedCheckpoint;

/// Record 0 as it came, with its inclusion proof at some head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProof {
    /// The bytes of record 0.
    pub config: Vec<u8>,
    /// Its inclusion proof, from the leaf's sibling upwards.
    pub inclusion: Vec<Hash>,
}

/// Why a configuration was refused. The server is at fault, or the device is too old for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The bytes are no configuration, or one of a suite that this version does not know.
    #[error("configuration refused: {0}")]
    Record(#[from] DecodeError),
    /// The configuration is not record 0 of the log.
    #[error("the configuration is not the log's first record: {0}")]
    NotFirst(ProofError),
    /// The configuration names another log.
    #[error("the configuration names another log")]
    OtherLog,
    /// The VRF key is not one that proofs can be trusted under.
    #[error("the log's VRF key is invalid: {0}")]
    VrfKey(#[from] PublicKeyError),
}

/// The configuration of a log whose head was verified.
#[derive(Clone, Debug)]
pub struct VerifiedConfig {
    config: LogConfig,
    vrf: VrfPublicKey,
}

impl VerifiedConfig {
    /// What record 0 says.
    pub const fn config(&self) -> &LogConfig {
        &self.config
    }

    /// The key under which search keys are proved.
    pub const fn vrf(&self) -> &VrfPublicKey {
        &self.vrf
    }
}

impl ConfigProof {
    /// Checks that the bytes are record 0 of the log that `head` is a checkpoint of.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn verify(&self, head: &VerifiedCheckpoint) -> Result<VerifiedConfig, ConfigError> {
        let checkpoint = head.checkpoint();
        let leaf = leaf_hash(&self.config);
        verify_inclusion(
            0,
            checkpoint.size(),
            &leaf,
            &self.inclusion,
            checkpoint.root(),
        )
        .map_err(ConfigError::NotFirst)?;
        let config = LogConfig::decode(&self.config)?;
        if config.origin != checkpoint.origin() {
            return Err(ConfigError::OtherLog);
        }
        let vrf = VrfPublicKey::from_bytes(&config.vrf_public_key)?;
        Ok(VerifiedConfig { config, vrf })
    }
}
