//! Changing the keys that sign checkpoints, without a moment in which anybody refuses.
//!
//! From [`begin`] to [`finish`] the log signs with the keys before and the next ones. Who knows
//! either accepts its heads, so witnesses and devices change their lists one by one, meanwhile; and
//! so [`cancel`], which is the same the other way round, can leave the keys before. What ends needs
//! only the keys that stay: of the others some may be lost, and a log that signs with keys that are
//! lost starts again by this alone.
//!
//! Each step is one row of the store: a crash leaves it undone or done, and what was done besides
//! (key files, which are never overwritten) is there to be used by the same command again. All
//! steps need the log to themselves, and take its lock.
//!
//! What this rules out: a row that names a key which nobody can open, a log whose policy it could
//! not meet at its next start, and the end of a rotation that a witness has not heard of.

mod waits;

use candor_core::note::{LogVerifier, VerifierKey};
use candor_host::keys::KeyError;
use thiserror::Error;

pub use waits::{Progress, progress};
use waits::{Stays, is_signed};

use crate::config::Config;
use crate::identity::Identity;
use crate::init::{LogKeys, NEXT_KEY_SLOTS};
use crate::ledger::{LedgerError, forget_second};
use crate::run::RunError;
use crate::run::policies::Policies;
use crate::stopped::{Stopped, StoppedError};
use crate::storage::CommitError;

/// Why a step was not done. The store is as it was, unless it says otherwise.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RotationError {
    /// The log is not at rest, or cannot be opened.
    #[error(transparent)]
    Stopped(#[from] StoppedError),
    /// The next keys cannot be made.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The store could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store could not be written; if the outcome is unknown, ask again.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// No head follows that the next keys could sign.
    #[error("the log has ended: it signs nothing any more")]
    Ended,
    /// With the keys as they would be the server could not start.
    #[error("the server could not start with these keys: {0}")]
    Start(Box<RunError>),
    /// The next keys sign already.
    #[error("the log signs with its next keys already: finish, and put them in their place")]
    Begun,
    /// A next key signed before, or signs as the current one.
    #[error("a next key is not new: {0}")]
    NotNew(String),
    /// No rotation is under way.
    #[error("the log does not sign with next keys beside others: there is nothing to end")]
    NotBegun,
    /// Somebody would refuse.
    #[error("not yet: {}", .0.join("; "))]
    NotYet(Vec<String>),
}

/// Makes the next keys, unless they are there, and has the log sign with them from its next start
/// on, beside those it has. Returns the next keys.
///
/// # Errors
///
/// [`RotationError`].
pub fn begin(config: &Config) -> Result<Vec<VerifierKey>, RotationError> {
    let keyring = config.keyring();
    let stopped = Stopped::open(config)?;
    if stopped.has_ended()? {
        return Err(RotationError::Ended);
    }
    let before = &stopped.identity;
    let signs = |key: &VerifierKey| before.signing.contains(key);
    if stopped.keys.next.iter().any(signs) {
        return Err(RotationError::Begun);
    }
    let mut loader = keyring.loader();
    loader.prepare(&NEXT_KEY_SLOTS)?;
    for slot in &NEXT_KEY_SLOTS {
        if !loader.is_there(slot) {
            loader.create(slot)?;
        }
    }
    let next = LogKeys::open(loader, &config.origin);
    let next = next.map_err(StoppedError::from)?.next;
    let is_known = |key: &&VerifierKey| before.keys().any(|known| known == *key);
    if let Some(old) = next.iter().find(is_known) {
        return Err(RotationError::NotNew(old.to_string()));
    }
    let after = Identity {
        signing: [&before.signing[..], &next].concat(),
        retired: before.retired.clone(),
    };
    change(&stopped, config, &after)?;
    Ok(next)
}

/// How a rotation is finished.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// The keys before were stolen, or may have been: what they sign is not the log's any more, and
    /// no witness is waited for.
    pub revoke: bool,
    /// Addresses of witnesses that are not waited for.
    pub without: Vec<String>,
}

/// Has the log sign with the next keys alone from its next start on. Returns the keys that it does
/// not use any more, which need not be there.
///
/// # Errors
///
/// [`RotationError::NotYet`] as long as somebody would refuse what is signed then.
pub async fn finish(config: &Config, ending: &Ending) -> Result<Vec<VerifierKey>, RotationError> {
    let stopped = Stopped::open_with_some_keys(config)?;
    let (old, next) = halves(&stopped)?;
    let kept = if ending.revoke { &[][..] } else { &old };
    let after = Identity {
        signing: next,
        retired: [&stopped.identity.retired[..], kept].concat(),
    };
    let without = (!ending.revoke).then_some(&ending.without[..]);
    end(&stopped, config, "next", &after, without).await?;
    Ok(old)
}

/// Has the log sign with the keys before the rotation alone from its next start on, as if it had
/// not begun: every head has lines of theirs. Returns the next keys, which need not be there.
///
/// # Errors
///
/// [`RotationError::NotYet`] as long as somebody would refuse what is signed then.
pub async fn cancel(
    config: &Config,
    without: &[String],
) -> Result<Vec<VerifierKey>, RotationError> {
    let stopped = Stopped::open_with_some_keys(config)?;
    let (old, next) = halves(&stopped)?;
    let after = Identity {
        signing: old,
        retired: stopped.identity.retired.clone(),
    };
    end(&stopped, config, "earlier", &after, Some(without)).await?;
    Ok(next)
}

/// The keys before a rotation and the next ones, by the row alone: files may have been renamed
/// already, and must not decide.
fn halves(stopped: &Stopped) -> Result<(Vec<VerifierKey>, Vec<VerifierKey>), RotationError> {
    let signing = &stopped.identity.signing;
    let (old, next) = signing.split_at(signing.len() / 2);
    if next.len() != NEXT_KEY_SLOTS.len() || old.len() != next.len() {
        return Err(RotationError::NotBegun);
    }
    Ok((old.to_vec(), next.to_vec()))
}

/// Leaves the log with the keys of `after`, when nobody would refuse; witnesses are asked unless
/// they are in `without`, and none is without that.
async fn end(
    stopped: &Stopped,
    config: &Config,
    name: &'static str,
    after: &Identity,
    without: Option<&[String]>,
) -> Result<(), RotationError> {
    let there = stopped.keys.signer.keys();
    let is_lost = |key: &&VerifierKey| !there.contains(key);
    if let Some(lost) = after.signing.iter().find(is_lost) {
        return Err(StoppedError::NoKey(lost.to_string()).into());
    }
    let stays = Stays::new(config, name, &after.signing);
    // What policies list is told one by one, so they may list any key that is the log's now.
    let (signing, lost) = (stopped.identity.signing.iter().cloned())
        .partition::<Vec<_>, _>(|key| there.contains(key));
    let at_hand = Identity {
        signing,
        retired: [&stopped.identity.retired[..], &lost].concat(),
    };
    let policies = Policies::read(config, &at_hand).map_err(start)?;
    let mut missing = stays.missing(&stopped.ledger, config)?;
    missing.extend(stays.not_listed(config, &policies));
    if let Some(without) = without {
        let asked = policies.witnesses.iter();
        let asked = asked.filter(|it| !without.iter().any(|url| url == it.url()));
        missing.extend(stays.refusing(asked).await);
    }
    if !missing.is_empty() {
        return Err(RotationError::NotYet(missing));
    }
    change(stopped, config, after)
}

/// Changes the keys of a log to such as are there, if the server can start with them.
fn change(stopped: &Stopped, config: &Config, after: &Identity) -> Result<(), RotationError> {
    Policies::read(config, after).map_err(start)?;
    let mut rows = stopped.ledger.change_identity(&stopped.identity, after)?;
    if forgotten(stopped, config, after)? {
        forget_second(&mut rows);
    }
    Ok(stopped.ledger.store().commit(rows)?)
}

/// The newest head of a second policy, of which the configuration names none any more: it is left
/// by nobody's wish, and would be signed by keys that are not the log's.
fn forgotten(stopped: &Stopped, config: &Config, after: &Identity) -> Result<bool, LedgerError> {
    let verifier = LogVerifier::new(&config.origin, after.keys().cloned().collect());
    let second = stopped.ledger.second()?;
    let is_forgotten = second.is_some_and(|note| !is_signed(&note, &verifier));
    Ok(is_forgotten && config.second_policy.is_none())
}

fn start(error: RunError) -> RotationError {
    RotationError::Start(Box::new(error))
}
