//! What callers may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Role {
    /// Newest versions of accounts, and heads: what a device asks before it sends a message.
    Lookup,
    /// Older versions of accounts too: what owners and their contacts ask to see what changed.
    Monitor,
    /// The audit feed: what witnesses and auditors check.
    Audit,
    /// Updates: what the service that runs the log submits.
    Update,
    /// Metrics, over HTTP: what monitoring scrapes.
    Metrics,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Lookup,
        Self::Monitor,
        Self::Audit,
        Self::Update,
        Self::Metrics,
    ];

    /// The word in configurations and tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Monitor => "monitor",
            Self::Audit => "audit",
            Self::Update => "update",
            Self::Metrics => "metrics",
        }
    }
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// Whether the role is among them.
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// The roles of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether each of these is among `others`.
    pub const fn are_in(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Self {
        let bits = roles.into_iter().map(|role| 1 << role as u8);
        Self(bits.fold(0, |all, bit| all | bit))
    }
}
