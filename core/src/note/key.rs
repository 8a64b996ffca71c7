//! Names, IDs and text forms of the keys that sign notes (c2sp.org/signed-note, "Verifier keys").

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::text::{decode_base64, encode_base64};
use crate::crypto::{Ed25519PublicKey, MlDsa44PublicKey};
use crate::limits::KEY_NAME_BYTES_MAX;

/// Longest base64 of a key: the type and the 1312 bytes of an ML-DSA-44 key.
const KEY_BASE64_BYTES_MAX: usize = (1 + 1312_usize).div_ceil(3) * 4;

/// The name of a key: not empty, no Unicode space, no `+`, no control character, 255 bytes at most.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Arc<str>);

/// The text is not a key name; who chose it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a key name")]
pub struct KeyNameError;

impl KeyName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`KeyNameError`] when the specification or the length limit excludes it.
    pub fn new(name: &str) -> Result<Self, KeyNameError> {
        let excluded =
            |character: char| character.is_whitespace() || character == '+' || character < ' ';
        if name.is_empty() || name.len() > KEY_NAME_BYTES_MAX || name.contains(excluded) {
            return Err(KeyNameError);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Tells keys of one name apart: the first four bytes of
/// `SHA-256(name || 0x0A || algorithm || public key)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    fn compute(name: &KeyName, algorithm: Algorithm, public_key: &[u8]) -> Self {
        let digest = Sha256::new()
            .chain_update(name.as_str())
            .chain_update([b'\n', algorithm as u8])
            .chain_update(public_key)
            .finalize();
        Self([digest[0], digest[1], digest[2], digest[3]])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// What a key signs, and how: the signature type of c2sp.org/signed-note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Algorithm {
    /// Ed25519 over the note text, as logs sign.
    Ed25519 = 0x01,
    /// Timestamped Ed25519 cosignature, as witnesses sign.
    Ed25519Cosignature = 0x04,
    /// Timestamped ML-DSA-44 cosignature, for logs and witnesses.
    MlDsa44 = 0x06,
}

/// A key's material, as its algorithm uses it. ML-DSA-44 keys are large when expanded: shared.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    Ed25519(Ed25519PublicKey),
    Ed25519Cosignature(Ed25519PublicKey),
    MlDsa44(Arc<MlDsa44PublicKey>),
}

/// A public key with the name and algorithm under which it verifies signature lines.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    key: PublicKey,
}

/// The text is not a verifier key that this implementation can use; who wrote it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VkeyError {
    /// It is not `name+id+base64`, each part in its one spelling.
    #[error("verifier key is malformed")]
    Malformed,
    /// The ID is not the one that follows from name, algorithm and key.
    #[error("verifier key has a wrong key id")]
    WrongId,
    /// The signature type is none of [`Algorithm`].
    #[error("verifier key has the unsupported signature type {0:#04x}")]
    UnsupportedAlgorithm(u8),
    /// The key has the wrong length, or is one that nobody can own.
    #[error("verifier key holds an invalid public key")]
    InvalidPublicKey,
}

impl VerifierKey {
    /// A log's Ed25519 key (0x01).
    pub fn ed25519(name: KeyName, key: Ed25519PublicKey) -> Self {
        Self::new(name, PublicKey::Ed25519(key))
    }

    /// A witness's Ed25519 key (0x04).
    pub fn ed25519_cosignature(name: KeyName, key: Ed25519PublicKey) -> Self {
        Self::new(name, PublicKey::Ed25519Cosignature(key))
    }

    /// A log's or a witness's ML-DSA-44 key (0x06).
    pub fn ml_dsa_44(name: KeyName, key: MlDsa44PublicKey) -> Self {
        Self::new(name, PublicKey::MlDsa44(Arc::new(key)))
    }

    fn new(name: KeyName, key: PublicKey) -> Self {
        let id = KeyId::compute(&name, key.algorithm(), &key.to_bytes());
        Self { name, id, key }
    }

    /// The key's name: a log's origin, a cosigner's name.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key's ID.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// What the key signs, and how.
    pub const fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// Whether both hold one public key, whatever their names and algorithms
    /// (c2sp.org/tlog-policy: *duplicate*).
    pub fn has_same_public_key(&self, other: &Self) -> bool {
        self.key.to_bytes() == other.key.to_bytes()
    }

    pub(super) const fn public_key(&self) -> &PublicKey {
        &self.key
    }
}

impl PublicKey {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Ed25519Cosignature(_) => Algorithm::Ed25519Cosignature,
            Self::MlDsa44(_) => Algorithm::MlDsa44,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) | Self::Ed25519Cosignature(key) => key.as_bytes().to_vec(),
            Self::MlDsa44(key) => key.to_bytes().to_vec(),
        }
    }

    fn decode(algorithm: u8, bytes: &[u8]) -> Result<Self, VkeyError> {
        let ed25519 = || {
            let bytes = bytes.try_into().map_err(|_| VkeyError::InvalidPublicKey)?;
            Ed25519PublicKey::from_bytes(bytes).map_err(|_| VkeyError::InvalidPublicKey)
        };
        match algorithm {
            0x01 => ed25519().map(Self::Ed25519),
            0x04 => ed25519().map(Self::Ed25519Cosignature),
            0x06 => {
                let bytes = bytes.try_into().map_err(|_| VkeyError::InvalidPublicKey)?;
                Ok(Self::MlDsa44(Arc::new(MlDsa44PublicKey::from_bytes(bytes))))
            }
            other => Err(VkeyError::UnsupportedAlgorithm(other)),
        }
    }
}

impl FromStr for VerifierKey {
    type Err = VkeyError;

    fn from_str(text: &str) -> Result<Self, VkeyError> {
        // The base64 may hold a `+`, so only the first two separate.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VkeyError::Malformed);
        };
        let name = KeyName::new(name).map_err(|_| VkeyError::Malformed)?;
        if id.len() != 8
            || !id
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(VkeyError::Malformed);
        }
        if key.len() > KEY_BASE64_BYTES_MAX {
            return Err(VkeyError::Malformed);
        }
        let key = decode_base64(key).ok_or(VkeyError::Malformed)?;
        let (algorithm, bytes) = key.split_first().ok_or(VkeyError::Malformed)?;
        let key = Self::new(name, PublicKey::decode(*algorithm, bytes)?);
        if key.id.to_string() == id {
            Ok(key)
        } else {
            Err(VkeyError::WrongId)
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[self.algorithm() as u8][..], &self.key.to_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, self.id, encode_base64(&typed))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({}+{})", self.name, self.id)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::crypto::{Ed25519SecretKey, MlDsa44SecretKey};

    /// c2sp.org/signed-note, "Example".
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    fn parse(text: &str) -> Result<VerifierKey, VkeyError> {
        text.parse()
    }

    #[test]
    fn the_example_of_the_specification() {
        let key = parse(VKEY).unwrap();
        assert_eq!(key.name().as_str(), "example.com/foo");
        assert_eq!(key.id(), KeyId([0x53, 0x0d, 0x90, 0x3a]));
        assert_eq!(key.algorithm(), Algorithm::Ed25519);
        assert_eq!(key.to_string(), VKEY);
    }

    #[test]
    fn every_algorithm_reads_back() {
        let name = KeyName::new("w.example").unwrap();
        let ed25519 = Ed25519SecretKey::from_seed(&[1; 32]).public_key();
        let keys = [
            VerifierKey::ed25519(name.clone(), ed25519),
            VerifierKey::ed25519_cosignature(name.clone(), ed25519),
            VerifierKey::ml_dsa_44(name, MlDsa44SecretKey::from_seed(&[1; 32]).public_key()),
        ];
        for key in &keys {
            assert_eq!(parse(&key.to_string()).as_ref(), Ok(key));
        }
        assert!(keys[0].has_same_public_key(&keys[1]));
        assert!(!keys[0].has_same_public_key(&keys[2]));
        assert_ne!(keys[0].id(), keys[1].id());
    }

    #[test]
    fn any_other_spelling_is_refused() {
        for text in [
            "",
            "example.com/foo",
            "example.com/foo+530d903a",
            "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k=",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n",
            "example.com/foo +530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+",
        ] {
            assert_eq!(parse(text), Err(VkeyError::Malformed), "{text:?}");
        }
        assert_eq!(
            parse(&VKEY.replace("530d", "530e")),
            Err(VkeyError::WrongId)
        );
        assert_eq!(parse(&VKEY.replace("foo", "fop")), Err(VkeyError::WrongId));
        assert_eq!(
            parse(&VKEY.replace("Aeky", "Auky")),
            Err(VkeyError::UnsupportedAlgorithm(0x02))
        );
        assert_eq!(parse("a+00000000+AQAA"), Err(VkeyError::InvalidPublicKey));
        assert_eq!(parse("a+00000000+BgAA"), Err(VkeyError::InvalidPublicKey));
        let small_order = encode_base64(&[&[1, 1][..], &[0; 31]].concat());
        assert_eq!(
            parse(&format!("a+00000000+{small_order}")),
            Err(VkeyError::InvalidPublicKey)
        );
    }

    #[test]
    fn names_with_spaces_pluses_or_control_characters_are_refused() {
        let long = "a".repeat(256);
        for name in [
            "", " ", "a b", "a+b", "a\n", "a\u{0}", "a\u{a0}b", "\u{2003}", "a\u{85}", &long,
        ] {
            assert_eq!(KeyName::new(name), Err(KeyNameError), "{name:?}");
        }
        for name in ["a", "example.com/a-b_c", "\u{e9}", &long[1..]] {
            assert_eq!(KeyName::new(name).unwrap().as_str(), name);
        }
    }
}
