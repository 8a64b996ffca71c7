//! What an import took over and what it did not.

use std::collections::BTreeMap;

use candor_core::account::Label;

/// What a keyring held, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Certificates; the accepted ones are the people.
    pub certificates: Tally,
    /// Primary keys and subkeys of certificates that were accepted so far as to be looked into.
    pub keys: Tally,
    /// User ids with an address, likewise.
    pub user_ids: Tally,
    /// Addresses that more than one certificate claims, in the order of the file.
    pub conflicts: Vec<Conflict>,
}

impl Report {
    /// Adds what another part of the keyring held.
    pub(super) fn merge(&mut self, other: Self) {
        self.certificates.merge(other.certificates);
        self.keys.merge(other.keys);
        self.user_ids.merge(other.user_ids);
        self.conflicts.extend(other.conflicts);
    }
}

/// How many were accepted, and how many skipped for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Taken over.
    pub accepted: u64,
    /// Skipped.
    pub skipped: BTreeMap<Reason, u64>,
}

impl Tally {
    pub(super) fn skip(&mut self, reason: Reason) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    fn merge(&mut self, other: Self) {
        self.accepted += other.accepted;
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
    }
}

/// An address that a certificate claims though one before it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The address.
    pub address: Label,
    /// Fingerprint of the certificate that keeps it.
    pub kept: Vec<u8>,
    /// Fingerprint of the certificate that does not get it.
    pub refused: Vec<u8>,
}

/// Why something of a keyring is not imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// It is not what OpenPGP says it should be.
    Malformed,
    /// Its version or algorithm is not supported.
    Unsupported,
    /// Its owner revoked it.
    Revoked,
    /// It is no longer valid, or not yet.
    Expired,
    /// No signature of the primary key that holds vouches for it.
    Unverifiable,
    /// It holds no valid e-mail address.
    NoAddress,
    /// Certificates before it claim all its addresses.
    AddressTaken,
    /// It is there twice.
    Duplicate,
    /// It is larger than an account can hold.
    TooLarge,
    /// An account has no room for as many.
    TooMany,
}

impl Reason {
    /// The reason in words that complete "skipped: ".
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsupported => "of an unsupported version or algorithm",
            Self::Revoked => "revoked by its owner",
            Self::Expired => "expired or not yet valid",
            Self::Unverifiable => "without a valid self-signature",
            Self::NoAddress => "without a valid e-mail address",
            Self::AddressTaken => "its addresses belong to certificates before it",
            Self::Duplicate => "there twice",
            Self::TooLarge => "larger than an account can hold",
            Self::TooMany => "more than an account can hold",
        }
    }
}
