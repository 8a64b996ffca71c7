//! What a device trusts: a policy, which of its witnesses check the map, and how old a head may be.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::note::{Policy, PolicyLog, PolicyWitness};

/// Greatest age of a head in seconds, unless an application asks for less: 24 hours.
pub const MAX_AGE_S: u64 = 24 * 60 * 60;

/// Greatest difference of clocks in seconds, unless an application asks for less: 5 minutes.
pub const SKEW_S: u64 = 5 * 60;

/// Why a policy is not one to trust. The application is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The policy lists no log.
    #[error("the policy lists no log")]
    NoLog,
    /// The policy lists logs of different origins; a device follows one.
    #[error("the policy lists logs of different origins")]
    SeveralLogs,
    /// A witness that is said to check the map is not in the policy.
    #[error("a map witness is not in the policy")]
    UnknownMapWitness,
    /// The quorum can be met without a map witness. Such a quorum stops split views, not a version
    /// that is inserted for one epoch and removed in the next.
    #[error("the policy's quorum can be met without a map witness")]
    QuorumWithoutMapWitness,
    /// A second policy accepts a log key that the first does not.
    #[error("the second policy lists another log than the first")]
    SecondOtherLog,
    /// A second policy asks for no witnesses, so that it says nothing.
    #[error("the second policy asks for no witnesses")]
    SecondWithoutWitnesses,
}

/// A policy with what only this protocol knows about it.
#[derive(Clone, Debug)]
pub struct Trust {
    policy: Policy,
    max_age_s: u64,
    skew_s: u64,
    second: Option<SecondTrust>,
}

/// A second policy, for which an older head of the same log is enough.
#[derive(Clone, Debug)]
pub struct SecondTrust {
    policy: Policy,
    max_age_s: u64,
    skew_s: u64,
}

impl SecondTrust {
    /// The policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Greatest age of the second head in seconds.
    pub const fn max_age_s(&self) -> u64 {
        self.max_age_s
    }

    /// Greatest difference of clocks in seconds.
    pub const fn skew_s(&self) -> u64 {
        self.skew_s
    }
}

impl Trust {
    /// Trusts `policy`, whose witnesses named in `map_witnesses` check every epoch of the map.
    ///
    /// # Errors
    ///
    /// [`TrustError`]: the application is at fault.
    pub fn new<'a>(
        policy: Policy,
        map_witnesses: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, TrustError> {
        let map_witnesses: BTreeSet<&[u8]> = map_witnesses.into_iter().map(str::as_bytes).collect();
        let checks_map =
            |witness: &PolicyWitness| map_witnesses.contains(witness.name().as_bytes());
        if policy
            .witnesses()
            .iter()
            .filter(|witness| checks_map(witness))
            .count()
            != map_witnesses.len()
        {
            return Err(TrustError::UnknownMapWitness);
        }
        if policy.is_satisfied_by(|witness| !checks_map(witness)) {
            return Err(TrustError::QuorumWithoutMapWitness);
        }
        Self::danger_without_map_witnesses(policy)
    }

    /// Trusts `policy` although its quorum may be met without anyone who checks the map: the
    /// server could show a version for one epoch and remove it in the next.
    ///
    /// # Errors
    ///
    /// [`TrustError`]: the application is at fault.
    pub fn danger_without_map_witnesses(policy: Policy) -> Result<Self, TrustError> {
        let mut origins = policy.logs().iter().map(|log| log.key().name());
        let Some(first) = origins.next() else {
            return Err(TrustError::NoLog);
        };
        if origins.any(|other| other != first) {
            return Err(TrustError::SeveralLogs);
        }
        Ok(Self {
            policy,
            max_age_s: MAX_AGE_S,
            skew_s: SKEW_S,
            second: None,
        })
    }

    /// The same trust, in heads only of which an earlier one, at most `max_age_s` seconds old, also
    /// satisfies `policy`: one of witnesses that accept a head only so often. That its quorum
    /// checks the map is not asked for; the first policy's does.
    ///
    /// # Errors
    ///
    /// [`TrustError`]: the application is at fault.
    pub fn and_second(mut self, policy: Policy, max_age_s: u64) -> Result<Self, TrustError> {
        if policy.logs().is_empty() {
            return Err(TrustError::NoLog);
        }
        let known = |log: &PolicyLog| self.policy.logs().iter().any(|it| it.key() == log.key());
        if !policy.logs().iter().all(known) {
            return Err(TrustError::SecondOtherLog);
        }
        if policy.is_satisfied_by(|_| false) {
            return Err(TrustError::SecondWithoutWitnesses);
        }
        self.second = Some(SecondTrust {
            policy,
            max_age_s,
            skew_s: SKEW_S,
        });
        Ok(self)
    }

    /// What is asked of a second head, if one is asked for.
    pub const fn second(&self) -> Option<&SecondTrust> {
        self.second.as_ref()
    }

    /// The same trust, with heads accepted up to this age in seconds.
    #[must_use]
    pub const fn with_max_age_s(mut self, max_age_s: u64) -> Self {
        self.max_age_s = max_age_s;
        self
    }

    /// The policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        let log = self
            .policy
            .logs()
            .first()
            .expect("a trusted policy lists a log");
        log.key().name().as_str()
    }

    /// Greatest age of a head in seconds.
    pub const fn max_age_s(&self) -> u64 {
        self.max_age_s
    }

    /// Greatest difference of clocks in seconds.
    pub const fn skew_s(&self) -> u64 {
        self.skew_s
    }
}
