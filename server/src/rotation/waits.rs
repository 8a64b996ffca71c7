//! What the end of a rotation waits for: that nobody refuses heads by the keys that stay.

use candor_core::limits::NOTE_BYTES_MAX;
use candor_core::note::{LogVerifier, Policy, SignedNote, VerifierKey};
use candor_host::durable;
use futures::future::join_all;

use super::{RotationError, start};
use crate::config::Config;
use crate::init::{LogKeys, NEXT_KEY_SLOTS};
use crate::ledger::{Ledger, LedgerError};
use crate::publisher::WitnessNode;
use crate::run::policies::{Policies, named};
use crate::stopped::StoppedError;

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
        let what = "the two next keys are not both there: begin, or cancel if one was lost";
        let missing = vec![what.to_owned()];
        return Ok(Progress { next, missing });
    }
    let stays = Stays::new(config, "next", &next);
    let others = keys.signer.keys().into_iter();
    let others: Vec<_> = others.filter(|key| !next.contains(key)).collect();
    let others = Stays::new(config, "earlier", &others);
    if stays.anchored(config).is_none() && others.anchored(config).is_some() {
        let missing = vec!["it is finished; put the next keys in the place of the others".into()];
        return Ok(Progress { next, missing });
    }
    // Which keys signed before, the store says, and that is the server's now.
    let policy = config.read_policy().map_err(|error| start(error.into()))?;
    let mut identity = keys.signer.identity();
    identity.retired = named(&policy, &config.origin).collect();
    let policies = Policies::read(config, &identity).map_err(start)?;
    let mut missing: Vec<String> = stays.anchored(config).into_iter().collect();
    missing.extend(stays.not_listed(config, &policies));
    missing.extend(stays.refusing(policies.witnesses.iter()).await);
    Ok(Progress { next, missing })
}

/// The keys that a log is to be left with.
pub(super) struct Stays {
    name: &'static str,
    verifier: LogVerifier,
}

impl Stays {
    /// These keys, by what a person calls them.
    pub fn new(config: &Config, name: &'static str, keys: &[VerifierKey]) -> Self {
        Self {
            name,
            verifier: LogVerifier::new(&config.origin, keys.to_vec()),
        }
    }

    /// What of the log itself they have not signed.
    pub fn missing(&self, ledger: &Ledger, config: &Config) -> Result<Vec<String>, LedgerError> {
        let mut missing: Vec<String> = self.anchored(config).into_iter().collect();
        let second = ledger.second()?.filter(|_| config.second_policy.is_some());
        for (what, note) in [("published", ledger.published()?), ("second", second)] {
            if note.is_some_and(|note| !is_signed(&note, &self.verifier)) {
                missing.push(self.no_line(what));
            }
        }
        Ok(missing)
    }

    /// The newest signed head must be by these keys: the server does not start otherwise.
    fn anchored(&self, config: &Config) -> Option<String> {
        let note = durable::read_bounded(&config.anchor, NOTE_BYTES_MAX);
        let is_signed = note.is_ok_and(|note| is_signed(&note, &self.verifier));
        (!is_signed).then(|| self.no_line("signed"))
    }

    fn no_line(&self, what: &str) -> String {
        format!(
            "the newest {what} head has no line of the {} keys",
            self.name
        )
    }

    /// The policy files that leave out one of the keys.
    pub fn not_listed(&self, config: &Config, policies: &Policies) -> Vec<String> {
        let lists = |policy: &Policy, key| policy.logs().iter().any(|log| log.key() == key);
        let first = (&*policies.first, Some(&config.policy));
        let second = policies.second.as_deref();
        let second = second.map(|policy| (policy, config.second_policy.as_ref()));
        let missing = std::iter::once(first)
            .chain(second)
            .filter(|(policy, _)| !self.verifier.keys().iter().all(|key| lists(policy, key)));
        missing
            .filter_map(|(_, path)| Some((path?.display(), self.name)))
            .map(|(path, name)| format!("{path} does not list the {name} keys"))
            .collect()
    }

    /// Witnesses that do not show a head by the keys. They show the lines of those keys that they
    /// know, so one that does has been told of them.
    pub async fn refusing(&self, witnesses: impl Iterator<Item = &WitnessNode>) -> Vec<String> {
        let asked = witnesses.map(|witness| async move {
            let what = match witness.served(self.verifier.origin()).await {
                Ok(Some(note)) if self.verifier.verify(&note).is_ok() => return None,
                Ok(_) => format!("shows no head with a line of the {} keys", self.name),
                Err(failure) => failure.to_string(),
            };
            Some(format!("witness {}: {what}", witness.url()))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// Whether a note has a line by one of the keys.
pub(super) fn is_signed(note: &[u8], by: &LogVerifier) -> bool {
    SignedNote::parse(note).is_ok_and(|note| by.verify(&note).is_ok())
}
