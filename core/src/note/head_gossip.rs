//! Heads as devices pass them on within messages: what the log signed, in as few bytes as it takes.

use super::checkpoint::Checkpoint;
use super::key::{Algorithm, KeyId, VerifierKey};
use super::signed_note::{SignatureLine, SignedNote};
use super::verified::{LogCheckpoint, LogVerifier, LogVerifyError};
use crate::Hash;
use crate::codec::{DecodeError, Reader};
use crate::limits::LOG_SIZE_MAX;

const FORMAT: u8 = 1;

/// Smallest log with an epoch. A smaller one is never signed.
const SIZE_MIN: u64 = 2;

/// A checkpoint with one Ed25519 signature of its log, without what whoever trusts the log knows:
/// the origin, and with it the text and the key's name. Nobody vouches for it until
/// [`Self::verify`].
///
/// ```text
/// struct {
///   uint8  format = 1;
///   uint64 size;                     // 2 to 2^63-1
///   opaque root[32];
///   opaque key_id[4];
///   opaque signature[64];            // Ed25519, over the checkpoint's text
/// } GossipHead;                      // 109 bytes
/// ```
///
/// There is none of a log without an Ed25519 key: an ML-DSA-44 signature alone has 2,420 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GossipHead {
    size: u64,
    root: Hash,
    key_id: KeyId,
    signature: [u8; 64],
}

impl GossipHead {
    /// Length of the encoding.
    pub const BYTES: usize = 109;

    /// The checkpoint of a note, with the Ed25519 signature of `log`; `None` if the note has no
    /// such signature, or the log no epoch.
    ///
    /// # Errors
    ///
    /// [`LogVerifyError`] if `log` does not vouch for the note. The caller is at fault.
    pub fn new(log: &LogVerifier, note: &SignedNote) -> Result<Option<Self>, LogVerifyError> {
        let verified = log.verify(note)?;
        let checkpoint = verified.checkpoint();
        let is_plain = |line: &&SignatureLine| ed25519_keys(log).any(|key| line.claims(key));
        let line = note.signatures().iter().find(is_plain);
        let signature = line.and_then(|line| Some((line.id(), line.signature().try_into().ok()?)));
        let head = signature.map(|(key_id, signature)| Self {
            size: checkpoint.size(),
            root: *checkpoint.root(),
            key_id,
            signature,
        });
        Ok(head.filter(|head| head.size >= SIZE_MIN))
    }

    /// The message.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [FORMAT; Self::BYTES];
        out[1..9].copy_from_slice(&self.size.to_be_bytes());
        out[9..41].copy_from_slice(&self.root.0);
        out[41..45].copy_from_slice(&self.key_id.0);
        out[45..].copy_from_slice(&self.signature);
        out
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] unless the bytes are what [`Self::encode`] makes again. The sender is at
    /// fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("format")? != FORMAT {
            return Err(DecodeError::Invalid { field: "format" });
        }
        let size = reader.u64("size")?;
        if !(SIZE_MIN..=LOG_SIZE_MAX).contains(&size) {
            return Err(DecodeError::Invalid { field: "size" });
        }
        let head = Self {
            size,
            root: reader.hash("root")?,
            key_id: KeyId(reader.array("key id")?),
            signature: reader.array("signature")?,
        };
        reader.finish()?;
        Ok(head)
    }

    /// Verifies that `log` signed the checkpoint. [`LogCheckpoint::to_note`] then makes the note
    /// again, as evidence needs it.
    ///
    /// # Errors
    ///
    /// [`LogVerifyError::NotSigned`] if the key is none of the log's Ed25519 keys,
    /// [`LogVerifyError::InvalidSignature`] if the signature does not verify. The sender is at
    /// fault, or has a policy with other keys; nothing accuses the log.
    pub fn verify(&self, log: &LogVerifier) -> Result<LogCheckpoint, LogVerifyError> {
        let checkpoint = Checkpoint::new(log.origin(), self.size, self.root)?;
        let key = ed25519_keys(log).find(|key| key.id() == self.key_id);
        let key = key.ok_or(LogVerifyError::NotSigned)?;
        let line = SignatureLine::new(key, self.signature.to_vec());
        let note = SignedNote::new(checkpoint.to_text(), vec![line])
            .expect("a checkpoint with one line is within the limits of a note");
        log.verify(&note)
    }
}

fn ed25519_keys(log: &LogVerifier) -> impl Iterator<Item = &VerifierKey> {
    let keys = log.keys().iter();
    keys.filter(|key| key.algorithm() == Algorithm::Ed25519)
}
