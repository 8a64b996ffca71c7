//! The witness policies of a log: read, and refused if it could not meet them.

use std::path::Path;
use std::sync::Arc;

use candor_core::limits::{KEY_NAME_BYTES_MAX, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};
use candor_core::note::{Algorithm, Policy, PolicyLog, PolicyWitness, VerifierKey};

use super::RunError;
use crate::config::Config;
use crate::identity::Identity;
use crate::publisher::WitnessNode;

/// The policies, and whom they ask.
pub(crate) struct Policies {
    pub first: Arc<Policy>,
    pub second: Option<Arc<Policy>>,
    pub witnesses: Vec<WitnessNode>,
}

impl Policies {
    /// Reads the policies of the log with these keys.
    pub fn read(config: &Config, identity: &Identity) -> Result<Self, RunError> {
        let refused = |path: &Path, message: &str| RunError::Policy {
            path: path.to_owned(),
            message: message.to_owned(),
        };
        let first = config.read_policy()?;
        let second = config.read_second_policy()?;
        let of_first = |message: &str| refused(&config.policy, message);
        check_policy(&first, identity).map_err(of_first)?;
        if let (Some(second), Some(path)) = (&second, &config.second_policy) {
            check_policy(second, identity).map_err(|message| refused(path, message))?;
            if second.is_satisfied_by(|_| false) {
                return Err(refused(path, "a second policy must ask for witnesses"));
            }
        }
        let witnesses = WitnessNode::of_policies(&first, second.as_ref(), &config.intervals());
        let witnesses = witnesses.map_err(|message| of_first(&message))?;
        let is_prompt = |witness: &PolicyWitness| {
            let mut prompt = witnesses.iter().filter(|node| !node.is_second());
            prompt.any(|node| node.has_key(witness.key()))
        };
        if !first.is_satisfied_by(is_prompt) {
            return Err(of_first(
                "the quorum needs witnesses of the second policy that have an interval",
            ));
        }
        Ok(Self {
            first: Arc::new(first),
            second: second.map(Arc::new),
            witnesses,
        })
    }
}

/// The keys of a policy's logs that have the name of this one: all that can be told of a log
/// without its store.
pub(crate) fn named<'a>(
    policy: &'a Policy,
    origin: &'a str,
) -> impl Iterator<Item = VerifierKey> + 'a {
    let keys = policy.logs().iter().map(PolicyLog::key);
    keys.filter(move |key| key.name().as_str() == origin)
        .cloned()
}

/// A policy that this log can meet: it lists only this log, by a key that it signs with, and
/// witnesses with addresses suffice.
fn check_policy(policy: &Policy, identity: &Identity) -> Result<(), &'static str> {
    let own = &identity.signing;
    let is_own = |log: &PolicyLog| identity.keys().any(|key| key == log.key());
    if policy.logs().is_empty() || !policy.logs().iter().all(is_own) {
        return Err("the policy must list the keys of this log, and no others");
    }
    if !policy.logs().iter().any(|log| own.contains(log.key())) {
        return Err("the policy lists only keys with which this log does not sign any more");
    }
    if !policy.is_satisfied_by(|witness| witness.url().is_some()) {
        return Err("the quorum needs witnesses for which the policy has no address");
    }
    let lines = own.len() + policy.witnesses().len();
    let witnesses = policy.witnesses().iter().map(PolicyWitness::key);
    let is_large = |key: &&VerifierKey| key.algorithm() == Algorithm::MlDsa44;
    let large = own.iter().chain(witnesses).filter(is_large).count();
    // An ML-DSA-44 line is about 3.3 KiB and its key's name.
    if lines > NOTE_SIGNATURES_MAX || large * (3584 + KEY_NAME_BYTES_MAX) > NOTE_BYTES_MAX {
        return Err("the policy lists more witness keys than fit one signed head");
    }
    Ok(())
}
