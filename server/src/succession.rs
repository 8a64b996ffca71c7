//! Closing a log that goes on as another one.
//!
//! The last record names the successor. It is an epoch like any other, so it is committed, signed,
//! witnessed and published as one: nobody can be shown two successors, or an epoch after the end,
//! without a fork. Closing is one batch; what signs and publishes it is the server's next start.
//! What this rules out: a log that ends without saying so, and a way back.

use candor_core::crypto::VrfSecretKey;
use candor_core::epoch::{LogConfig, Successor, SuccessorError};
use thiserror::Error;

use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::LedgerError;
use crate::sequencer::FatalError;
use crate::sequencer::epoch::{Draft, Pending};
use crate::sequencer::recovery::{self, RecoveryError};
use crate::stopped::{Stopped, StoppedError};
use crate::storage::CommitError;

/// Why a log was not closed. It is as it was, unless the outcome of the commit is unknown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SuccessionError {
    /// One of the two logs is not at rest, or cannot be opened.
    #[error(transparent)]
    Stopped(#[from] StoppedError),
    /// The successor's record 0 cannot be read.
    #[error("the successor: {0}")]
    Config(#[from] LedgerError),
    /// The successor has too many keys.
    #[error("the successor: {0}")]
    Successor(#[from] SuccessorError),
    /// The log may not go on.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The last record could not be made.
    #[error(transparent)]
    Build(#[from] FatalError),
    /// The last record could not be stored; if the outcome is unknown, ask again.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A log that has ended itself is nothing to go on as.
    #[error("the successor has ended itself")]
    SuccessorEnded,
    /// A log goes on under another origin.
    #[error("the successor has the same origin")]
    SameOrigin,
    /// The log has ended already.
    #[error("the log has ended already")]
    Ended,
    /// Updates were stored that nobody has heard of.
    #[error("the newest epoch was not signed yet: start the server, and stop it again")]
    NotSigned,
}

/// Ends the log of `config`: its last record says that it goes on as the log of `successor`, with
/// the keys that this one signs with now. Both must be stopped. The next start of the log signs
/// and publishes that.
///
/// # Errors
///
/// [`SuccessionError`].
pub fn end(config: &Config, successor: &Config) -> Result<Successor, SuccessionError> {
    if config.origin == successor.origin {
        return Err(SuccessionError::SameOrigin);
    }
    let named = name(successor)?;
    let Stopped {
        ledger,
        identity,
        keys,
        anchor,
    } = Stopped::open(config)?;
    let signer = keys.signer.in_use(&identity);
    let signer = signer.ok_or(RecoveryError::OtherLog)?;
    let vrf: VrfSecretKey = keys.vrf;
    let clock = Clock::system();
    let tip = recovery::recover(&ledger, &signer, vrf.public_key(), &anchor, &clock)?;
    if tip.has_ended {
        return Err(SuccessionError::Ended);
    }
    if anchor.newest().is_none_or(|(size, _)| size < tip.size) {
        return Err(SuccessionError::NotSigned);
    }
    let nothing = Pending::default();
    let draft = Draft::new(&ledger, &tip, &nothing);
    let last = draft.end(clock.now_ms(), named.clone())?;
    ledger.store().commit(last.batch)?;
    Ok(named)
}

/// What the last record says of the log of this configuration.
fn name(config: &Config) -> Result<Successor, SuccessionError> {
    let stopped = Stopped::open(config)?;
    if stopped.has_ended()? {
        return Err(SuccessionError::SuccessorEnded);
    }
    let record = stopped.ledger.record(0)?;
    let decoded = LogConfig::decode(&record);
    let decoded = decoded.map_err(|_| LedgerError::Damaged { table: "records" })?;
    Ok(Successor::new(&decoded, &stopped.identity.signing)?)
}
