//! Changing the keys that sign checkpoints, without a moment in which anybody refuses.
//!
//! From [`begin`] to [`finish`] the log signs with the keys before and the next ones. Who knows
//! either accepts its heads, so witnesses and devices change their lists one by one, meanwhile.
//! Each step is one row of the store: a crash leaves it undone or done, and what was done besides
//! (key files, which are never overwritten) is there to be used by the same command again. Both
//! steps need the log to themselves, and take its lock.
//!
//! What this rules out: a row that names a key which nobody can open, a log whose policy it could
//! not meet at its next start, and the end of a rotation that a witness has not heard of.

use candor_core::limits::NOTE_BYTES_MAX;
use candor_core::note::{LogVerifier, Policy, SignedNote, VerifierKey};
use candor_host::durable;
use candor_host::keys::KeyError;
use futures::future::join_all;
use thiserror::Error;

use crate::config::Config;
use crate::identity::Identity;
use crate::init::{LogKeys, NEXT_KEY_SLOTS};
use crate::ledger::{Ledger, LedgerError, forget_second};
use crate::publisher::WitnessNode;
use crate::run::RunError;
use crate::run::policies::{Policies, named};
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
    #[error("the log does not sign with next keys beside others: there is nothing to finish")]
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

/// How a rotation ends.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// The keys before were stolen, or may have been: what they sign is not the log's any more, and
    /// no witness is waited for.
    pub revoke: bool,
    /// Addresses of witnesses that are not waited for.
    pub without: Vec<String>,
}

/// Has the log sign with the next keys alone from its next start on. Returns the keys that it does
/// not use any more.
///
/// # Errors
///
/// [`RotationError::NotYet`] as long as somebody would refuse what is signed then.
pub async fn finish(config: &Config, ending: &Ending) -> Result<Vec<VerifierKey>, RotationError> {
    let stopped = Stopped::open(config)?;
    let before = stopped.identity.clone();
    // By the row alone: files may have been renamed already, and must not decide.
    let (old, next) = before.signing.split_at(before.signing.len() / 2);
    if next.len() != NEXT_KEY_SLOTS.len() || old.len() != next.len() {
        return Err(RotationError::NotBegun);
    }
    let (old, next) = (old.to_vec(), next.to_vec());
    let verifier = LogVerifier::new(&config.origin, next.clone());
    let policies = policies(config, &before)?;
    let mut missing = missing(&stopped.ledger, config, &verifier)?;
    missing.extend(not_listed(config, &policies, &next));
    if !ending.revoke {
        let asked = policies.witnesses.iter();
        let asked = asked.filter(|it| !ending.without.iter().any(|url| url == it.url()));
        missing.extend(refusing(asked, &verifier).await);
    }
    if !missing.is_empty() {
        return Err(RotationError::NotYet(missing));
    }
    let kept = if ending.revoke { &[][..] } else { &old };
    let after = Identity {
        signing: next,
        retired: [&before.retired[..], kept].concat(),
    };
    change(&stopped, config, &after)?;
    Ok(old)
}

/// The newest head of a second policy, of which the configuration names none any more: it is left
/// by nobody's wish, and would be signed by keys that are not the log's.
fn forgotten(stopped: &Stopped, config: &Config, after: &Identity) -> Result<bool, LedgerError> {
    let verifier = LogVerifier::new(&config.origin, after.keys().cloned().collect());
    let second = stopped.ledger.second()?;
    let is_forgotten = second.is_some_and(|note| !is_signed(&note, &verifier));
    Ok(is_forgotten && config.second_policy.is_none())
}

/// What a rotation waits for, as far as can be told while the log runs.
#[derive(Debug)]
pub struct Progress {
    /// The next keys that are there.
    pub next: Vec<VerifierKey>,
    /// What is missing before it can be finished.
    pub missing: Vec<String>,
}

/// Asks how far a rotation has come: the newest signed head, the policies, every witness.
///
/// # Errors
///
/// [`RotationError`].
pub async fn progress(config: &Config) -> Result<Progress, RotationError> {
    let keys = LogKeys::open(config.keyring().loader(), &config.origin);
    let keys = keys.map_err(StoppedError::from)?;
    let next = keys.next.clone();
    if next.len() != NEXT_KEY_SLOTS.len() {
        let missing = vec!["the two next keys are not both there: nothing is begun".to_owned()];
        return Ok(Progress { next, missing });
    }
    let verifier = LogVerifier::new(&config.origin, next.clone());
    let others = keys
        .signer
        .keys()
        .into_iter()
        .filter(|key| !next.contains(key));
    let others = LogVerifier::new(&config.origin, others.collect());
    if anchored(config, &verifier).is_none() && anchored(config, &others).is_some() {
        let missing = vec!["it is finished; put the next keys in the place of the others".into()];
        return Ok(Progress { next, missing });
    }
    // Which keys signed before, the store says, and that is the server's now.
    let policy = config.read_policy().map_err(|error| start(error.into()))?;
    let mut identity = keys.signer.identity();
    identity.retired = named(&policy, &config.origin).collect();
    let policies = Policies::read(config, &identity).map_err(start)?;
    let mut missing: Vec<String> = anchored(config, &verifier).into_iter().collect();
    missing.extend(not_listed(config, &policies, &next));
    missing.extend(refusing(policies.witnesses.iter(), &verifier).await);
    Ok(Progress { next, missing })
}

fn policies(config: &Config, identity: &Identity) -> Result<Policies, RotationError> {
    let keys = LogKeys::open(config.keyring().loader(), &config.origin);
    let signer = keys.map_err(StoppedError::from)?.signer.in_use(identity);
    let signer = signer.ok_or_else(|| StoppedError::NoKey("one of the next keys".to_owned()))?;
    Policies::read(config, &signer.identity()).map_err(start)
}

/// Changes the keys of a log, if the server can start with them.
fn change(stopped: &Stopped, config: &Config, after: &Identity) -> Result<(), RotationError> {
    policies(config, after)?;
    let mut rows = stopped.ledger.change_identity(&stopped.identity, after)?;
    if forgotten(stopped, config, after)? {
        forget_second(&mut rows);
    }
    Ok(stopped.ledger.store().commit(rows)?)
}

/// What of the log itself does not verify under `next` alone.
fn missing(
    ledger: &Ledger,
    config: &Config,
    next: &LogVerifier,
) -> Result<Vec<String>, LedgerError> {
    let mut missing: Vec<String> = anchored(config, next).into_iter().collect();
    let second = ledger.second()?.filter(|_| config.second_policy.is_some());
    for (what, note) in [("published", ledger.published()?), ("second", second)] {
        if note.is_some_and(|note| !is_signed(&note, next)) {
            missing.push(format!(
                "the newest {what} head has no line of the next keys"
            ));
        }
    }
    Ok(missing)
}

fn start(error: RunError) -> RotationError {
    RotationError::Start(Box::new(error))
}

fn is_signed(note: &[u8], by: &LogVerifier) -> bool {
    SignedNote::parse(note).is_ok_and(|note| by.verify(&note).is_ok())
}

/// The newest signed head must be by the next keys too: the server does not start otherwise.
fn anchored(config: &Config, next: &LogVerifier) -> Option<String> {
    let note = durable::read_bounded(&config.anchor, NOTE_BYTES_MAX);
    let is_signed = note.is_ok_and(|note| is_signed(&note, next));
    (!is_signed).then(|| "the newest signed head has no line of the next keys".to_owned())
}

/// The policy files that leave out a next key.
fn not_listed(config: &Config, policies: &Policies, next: &[VerifierKey]) -> Vec<String> {
    let lists = |policy: &Policy, key| policy.logs().iter().any(|log| log.key() == key);
    let first = (&*policies.first, Some(&config.policy));
    let second = policies.second.as_deref();
    let second = second.map(|policy| (policy, config.second_policy.as_ref()));
    let missing = std::iter::once(first)
        .chain(second)
        .filter(|(policy, _)| !next.iter().all(|key| lists(policy, key)));
    missing
        .filter_map(|(_, path)| Some(format!("{} does not list the next keys", path?.display())))
        .collect()
}

/// Witnesses that do not show a head by the next keys. They show the lines of those keys that they
/// know, so one that does has been told of them.
async fn refusing(
    witnesses: impl Iterator<Item = &WitnessNode>,
    next: &LogVerifier,
) -> Vec<String> {
    let asked = witnesses.map(|witness| async move {
        let what = match witness.served(next.origin()).await {
            Ok(Some(note)) if next.verify(&note).is_ok() => return None,
            Ok(_) => "shows no head with a line of the next keys".to_owned(),
            Err(failure) => failure.to_string(),
        };
        Some(format!("witness {}: {what}", witness.url()))
    });
    join_all(asked).await.into_iter().flatten().collect()
}
