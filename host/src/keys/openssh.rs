//! Ed25519 public keys as OpenSSH writes them: `ssh-ed25519 <base64> [comment]` (RFC 8709).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_core::crypto::Ed25519PublicKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of the key type and of its signatures.
pub(super) const ALGORITHM: &[u8; 11] = b"ssh-ed25519";

const KEY_BYTES: usize = 32;

/// A key as the protocol has it: two strings, each with its length in four bytes.
pub(super) const BLOB_BYTES: usize = 4 + ALGORITHM.len() + 4 + KEY_BYTES;

/// The public key that a remote key is expected to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct OpensshKey(pub Ed25519PublicKey);

/// The text is no such key; who wrote it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 public key of the form `ssh-ed25519 AAAA…`")]
pub struct OpensshKeyError;

impl OpensshKey {
    pub(super) fn to_blob(self) -> [u8; BLOB_BYTES] {
        let mut blob = [0; BLOB_BYTES];
        let (algorithm, key) = blob.split_at_mut(4 + ALGORITHM.len());
        put_string(algorithm, ALGORITHM);
        put_string(key, self.0.as_bytes());
        blob
    }
}

/// Fills `place` with the length of `bytes` and the bytes.
fn put_string(place: &mut [u8], bytes: &[u8]) {
    let (length, rest) = place.split_at_mut(4);
    length.copy_from_slice(&(bytes.len() as u32).to_be_bytes());
    rest.copy_from_slice(bytes);
}

impl FromStr for OpensshKey {
    type Err = OpensshKeyError;

    fn from_str(text: &str) -> Result<Self, OpensshKeyError> {
        let mut words = text.split(' ');
        let (algorithm, encoded) = (words.next(), words.next().unwrap_or_default());
        if algorithm.map(str::as_bytes) != Some(ALGORITHM) {
            return Err(OpensshKeyError);
        }
        let mut blob = [0; BLOB_BYTES];
        if STANDARD.decode_slice(encoded, &mut blob) != Ok(BLOB_BYTES) {
            return Err(OpensshKeyError);
        }
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(&blob[BLOB_BYTES - KEY_BYTES..]);
        let key = Ed25519PublicKey::from_bytes(&key).map_err(|_| OpensshKeyError)?;
        let key = Self(key);
        (key.to_blob() == blob)
            .then_some(key)
            .ok_or(OpensshKeyError)
    }
}

impl fmt::Display for OpensshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh-ed25519 {}", STANDARD.encode(self.to_blob()))
    }
}

impl TryFrom<String> for OpensshKey {
    type Error = OpensshKeyError;

    fn try_from(text: String) -> Result<Self, OpensshKeyError> {
        text.parse()
    }
}

impl From<OpensshKey> for String {
    fn from(key: OpensshKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// From `ssh-keygen -t ed25519`.
    const TEXT: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdMuFHc93iPqt9QzBaKa+P9INulqp5UVc+C0xXU+3d3 comment";

    #[test]
    fn what_ssh_keygen_writes_is_read() {
        let key: OpensshKey = TEXT.parse().unwrap();
        assert_eq!(format!("{key} comment"), TEXT);
    }

    #[test]
    fn other_texts_are_refused() {
        let small_order = OpensshKey::to_text_of([0; 32]);
        for text in [
            "",
            "ssh-ed25519",
            &TEXT.replace("ssh-ed25519", "ssh-rsa"),
            &TEXT.replace("AAAAC3", "AAAAC4"),
            &TEXT.replace(" AAAA", "  AAAA"),
            &TEXT.replace(" comment", "AAAA"),
            &small_order,
        ] {
            assert_eq!(text.parse::<OpensshKey>(), Err(OpensshKeyError), "{text}");
        }
    }

    impl OpensshKey {
        fn to_text_of(key: [u8; 32]) -> String {
            let mut blob =
                OpensshKey(candor_core::crypto::Ed25519SecretKey::from_seed(&[1; 32]).public_key())
                    .to_blob();
            blob[BLOB_BYTES - KEY_BYTES..].copy_from_slice(&key);
            format!("ssh-ed25519 {}", STANDARD.encode(blob))
        }
    }
}
