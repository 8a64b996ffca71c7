//! SHA-256 digests and the domain bytes that keep the kinds of hashed things apart.

use core::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// 32 zero bytes: stands for an absent subtree of the prefix tree, and for "no previous state".
    pub const ZERO: Self = Self([0; 32]);

    /// The root of the empty log, SHA-256 of the empty string (RFC 6962, section 2.1).
    pub const EMPTY_LOG: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// The digest's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    /// Lower-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
        let mut text = [0; 64];
        for (digits, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *digits = [digit(byte >> 4), digit(byte)];
        }
        f.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// First byte of every hash input of the protocol, so that no two kinds of hashed things can have
/// the same digest (`docs/protocol.md`, "Notation").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Domain {
    /// RFC 6962 leaf: `0x00 || entry`.
    LogLeaf = 0x00,
    /// RFC 6962 node: `0x01 || left || right`.
    LogNode = 0x01,
    /// Prefix tree leaf: `0x02 || search key || commitment` (KEYTRANS, "Prefix Tree").
    MapLeaf = 0x02,
    /// Prefix tree parent: `0x03 || left || right` (KEYTRANS, "Prefix Tree").
    MapParent = 0x03,
    /// Audit delta: `0x04 || encoded delta`.
    AuditDelta = 0x04,
    /// Account state, as the next state names it: `0x05 || encoded signed state`.
    AccountState = 0x05,
    /// Account public key, as people compare it: `0x06 || key`.
    AccountKey = 0x06,
    /// Commitment of one side of a comparison: `0x07 || origin || account key || nonce`.
    ComparisonCommitment = 0x07,
    /// Code of a comparison: `0x08 || origin || both sides' account keys and nonces`.
    ComparisonCode = 0x08,
}

/// Hashes the concatenation of `parts` under `domain`.
pub fn hash_parts(domain: Domain, parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([domain as u8]);
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// Hashes two strings of 32 bytes under `domain`: what trees do all day, so in one call.
pub fn hash_pair(domain: Domain, left: &[u8; 32], right: &[u8; 32]) -> Hash {
    let mut input = [domain as u8; 65];
    input[1..33].copy_from_slice(left);
    input[33..].copy_from_slice(right);
    Hash(Sha256::digest(input).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_log_root_is_the_hash_of_nothing() {
        assert_eq!(Hash::EMPTY_LOG.0, <[u8; 32]>::from(Sha256::digest(b"")));
    }

    #[test]
    fn the_domain_byte_comes_first() {
        let direct: [u8; 32] = Sha256::digest([&[1u8][..], b"ab"].concat()).into();
        assert_eq!(hash_parts(Domain::LogNode, &[b"a", b"b"]).0, direct);
        let (left, right) = ([3; 32], [4; 32]);
        assert_eq!(
            hash_pair(Domain::MapParent, &left, &right),
            hash_parts(Domain::MapParent, &[&left, &right])
        );
    }
}
