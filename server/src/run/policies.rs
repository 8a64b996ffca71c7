//! The witness policies of a log: read, and refused if it could not meet them.

use std::path::Path;
use std::sync::Arc;

use candor_core::limits::{KEY_NAME_BYTES_MAX, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};
use candor_core::note::{Policy, PolicyLog, PolicyWitness};

use super::RunError;
use crate::config::Config;
use crate::publisher::{WitnessNode, large_keys};
use crate::signer::LogSigner;

/// The policies, and whom they ask.
pub(super) struct Policies {
    pub first: Arc<Policy>,
    pub second: Option<Arc<Policy>>,
    pub witnesses: Vec<WitnessNode>,
}

impl Policies {
    pub fn read(config: &Config, signer: &LogSigner) -> Result<Self, RunError> {
        let refused = |path: &Path, message: &str| RunError::Policy {
            path: path.to_owned(),
            message: message.to_owned(),
        };
        let first = config.read_policy()?;
        let second = config.read_second_policy()?;
        let of_first = |message: &str| refused(&config.policy, message);
        check_policy(&first, signer).map_err(of_first)?;
        if let (Some(second), Some(path)) = (&second, &config.second_policy) {
            check_policy(second, signer).map_err(|message| refused(path, message))?;
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

/// A policy that this log can meet: it lists only this log, and witnesses with addresses suffice.
fn check_policy(policy: &Policy, signer: &LogSigner) -> Result<(), &'static str> {
    let own = signer.keys();
    let is_own = |log: &PolicyLog| own.iter().any(|key| key == log.key());
    if policy.logs().is_empty() || !policy.logs().iter().all(is_own) {
        return Err("the policy must list the keys of this log, and no others");
    }
    if !policy.is_satisfied_by(|witness| witness.url().is_some()) {
        return Err("the quorum needs witnesses for which the policy has no address");
    }
    let lines = own.len() + policy.witnesses().len();
    let large = large_keys(signer, policy).len();
    // An ML-DSA-44 line is about 3.3 KiB and its key's name.
    if lines > NOTE_SIGNATURES_MAX || large * (3584 + KEY_NAME_BYTES_MAX) > NOTE_BYTES_MAX {
        return Err("the policy lists more witness keys than fit one signed head");
    }
    Ok(())
}
