//! Trust policies: which logs, which witnesses, and how many of them (c2sp.org/tlog-policy).

use core::fmt;

use super::key::VerifierKey;
use super::policy_parser::{PolicyParseError, parse};

/// A name in a policy file: octets without meaning outside of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName(pub(super) Vec<u8>);

impl PolicyName {
    /// The name's octets; by convention UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

/// A log that the policy accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLog {
    pub(super) key: VerifierKey,
    pub(super) url: Option<Vec<u8>>,
}

impl PolicyLog {
    /// The log's key; its name is the log's origin.
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Where the log is reached: octets, by convention UTF-8.
    pub fn url(&self) -> Option<&[u8]> {
        self.url.as_deref()
    }
}

/// A witness that the policy knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    pub(super) name: PolicyName,
    pub(super) key: VerifierKey,
    pub(super) url: Option<Vec<u8>>,
}

impl PolicyWitness {
    /// What the policy calls the witness; not the name of its key.
    pub const fn name(&self) -> &PolicyName {
        &self.name
    }

    /// The witness's key; its name is that of the cosigner.
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The submission prefix: octets, by convention UTF-8.
    pub fn url(&self) -> Option<&[u8]> {
        self.url.as_deref()
    }
}

/// A member of a group or of the quorum, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Witness(usize),
    Group(usize),
}

/// At least `threshold` of `members`, all of which are defined before the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) threshold: usize,
    pub(super) members: Vec<Member>,
}

/// A parsed policy: valid by its grammar, so every group can be satisfied and none is by nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) logs: Vec<PolicyLog>,
    pub(super) witnesses: Vec<PolicyWitness>,
    pub(super) groups: Vec<Group>,
    pub(super) quorum: Option<Member>,
}

impl Policy {
    /// Parses a policy file.
    ///
    /// # Errors
    ///
    /// [`PolicyParseError`] with the line that breaks the specification; its author is at fault.
    pub fn parse(file: &[u8]) -> Result<Self, PolicyParseError> {
        parse(file)
    }

    /// The logs, in order of the file.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses, in order of the file, whether or not the quorum depends on them.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Whether the quorum would be met if exactly the witnesses for which `cosigned` holds had
    /// cosigned.
    ///
    /// With "every witness but these" it tells whether the quorum can do without them. A policy
    /// with `quorum none` is satisfied by nobody.
    pub fn is_satisfied_by(&self, cosigned: impl Fn(&PolicyWitness) -> bool) -> bool {
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let holds = |member: &Member, groups: &[bool]| match *member {
            Member::Witness(at) => cosigned(&self.witnesses[at]),
            Member::Group(at) => groups[at],
        };
        // Members are defined before their group, so one pass in order is enough.
        for group in &self.groups {
            let count = group
                .members
                .iter()
                .filter(|member| holds(member, &groups))
                .count();
            groups.push(count >= group.threshold);
        }
        self.quorum
            .as_ref()
            .is_none_or(|quorum| holds(quorum, &groups))
    }
}
