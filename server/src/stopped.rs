//! A log that is at rest, for commands that change what the server finds at its next start.

use candor_core::epoch::Record;
use thiserror::Error;

use crate::anchor::{Anchor, AnchorError};
use crate::config::Config;
use crate::identity::Identity;
use crate::init::{InitError, LogKeys};
use crate::ledger::{Ledger, LedgerError};
use crate::storage::{OpenError, StoreOptions};

/// Why a log is not at rest, or cannot be opened. The operator or the environment is at fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoppedError {
    /// The keys cannot be opened.
    #[error(transparent)]
    Keys(#[from] InitError),
    /// The server runs, or the anchor is not this log's.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A key with which the log signs is nowhere to be found.
    #[error("the store names a key that is in none of the places of keys: {0}")]
    NoKey(String),
}

/// A log that nobody else has at the moment.
pub struct Stopped {
    /// Its rows.
    pub ledger: Ledger,
    /// The keys that it signs and signed with.
    pub identity: Identity,
    /// The keys that are there.
    pub keys: LogKeys,
    /// Its newest signed checkpoint, and its lock.
    pub anchor: Anchor,
}

impl Stopped {
    /// Takes a log's lock and opens its store. Every key that it signs with is there.
    ///
    /// # Errors
    ///
    /// [`StoppedError`].
    pub fn open(config: &Config) -> Result<Self, StoppedError> {
        let stopped = Self::open_with_some_keys(config)?;
        let there = stopped.keys.signer.keys();
        let mut signing = stopped.identity.signing.iter();
        match signing.find(|key| !there.contains(key)) {
            Some(key) => Err(StoppedError::NoKey(key.to_string())),
            None => Ok(stopped),
        }
    }

    /// The same, with as many of the keys as are there; one has signed the newest head.
    ///
    /// # Errors
    ///
    /// [`StoppedError`].
    pub fn open_with_some_keys(config: &Config) -> Result<Self, StoppedError> {
        let keys = LogKeys::open(config.keyring().loader(), &config.origin)?;
        let anchor = Anchor::open(&config.anchor, keys.signer.verifier())?;
        // Without a reserve: what is written is small.
        let options = StoreOptions {
            reserve_bytes: 0,
            ..StoreOptions::new(&config.store)
        };
        let ledger = Ledger::new(config.engine.open(&options)?, 0);
        let identity = ledger.identity()?.as_deref().and_then(Identity::decode);
        let identity = identity.ok_or(LedgerError::Damaged { table: "meta" })?;
        Ok(Self {
            ledger,
            identity,
            keys,
            anchor,
        })
    }

    /// Whether the newest record ends the log.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the environment is at fault.
    pub fn has_ended(&self) -> Result<bool, LedgerError> {
        let newest = self.ledger.head()?.size.saturating_sub(1);
        if newest == 0 {
            return Ok(false);
        }
        let record = Record::decode(&self.ledger.record(newest)?);
        let record = record.map_err(|_| LedgerError::Damaged { table: "records" })?;
        Ok(record.successor.is_some())
    }
}
