//! A shared state, encrypted for the account's own devices.
//!
//! ```text
//! key   = HMAC-SHA256(account key's seed, "candor/shared-state/v1" || 0x00 ||
//!                     opaque origin<1..255> || opaque label<1..255>)
//! struct { uint8 format = 1; opaque nonce[24]; opaque sealed[..]; } SealedState;
//! sealed = XChaCha20-Poly1305(key, nonce, uint32 length || state || zeros, aad = format)
//! ```
//!
//! The key follows from the account key, which only the account's devices have; a reset of the
//! account key makes another. Zeros fill up to a multiple of 4 KiB, so that the length tells little
//! of how many contacts there are.

use std::fmt;

use candor_core::account::Label;
use candor_core::codec::{DecodeError, Reader, Writer as _};
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use super::encoding::STATE_BYTES_MAX;
use super::state::SharedState;

/// Length of a nonce in bytes.
pub const NONCE_BYTES: usize = 24;

const FORMAT: u8 = 1;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 1 + NONCE_BYTES;
const BLOCK_BYTES: usize = 4096;
const DOMAIN: &[u8] = b"candor/shared-state/v1\0";

/// Longest sealed state in bytes.
const SEALED_BYTES_MAX: usize =
    HEADER_BYTES + (STATE_BYTES_MAX + 4).next_multiple_of(BLOCK_BYTES) + TAG_BYTES;

/// The key of an account's shared state. It is cleared when dropped.
pub struct SharedKey(Zeroizing<[u8; 32]>);

impl SharedKey {
    /// The key of the account `label` at the log `origin`, whose account key has this seed.
    ///
    /// # Panics
    ///
    /// When `origin` is longer than 255 bytes: a trusted policy has none.
    pub fn derive(account_key_seed: &[u8; 32], origin: &str, label: &Label) -> Self {
        let mut context = DOMAIN.to_vec();
        context.opaque8(origin.as_bytes());
        context.opaque8(label.as_bytes());
        let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(account_key_seed);
        let mac = mac.expect("HMAC takes keys of any length");
        let key = mac.chain_update(context).finalize().into_bytes();
        Self(Zeroizing::new(key.into()))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(..)")
    }
}

/// Why a state was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The bytes are no sealed state of a form that this version knows. Whoever keeps them is at
    /// fault, or the device is too old.
    #[error("not a shared state")]
    Malformed,
    /// The state was sealed with another key, or changed. Whoever keeps it is at fault, unless the
    /// account key was replaced.
    #[error("the shared state does not open with this account's key")]
    NotOurs,
    /// A device of the account sealed what is no state. It is newer, broken or was taken over.
    #[error("the shared state is malformed: {0}")]
    Content(#[from] DecodeError),
    /// The state has grown too large to be sealed.
    #[error("the shared state is too large")]
    TooLarge,
}

/// A shared state that only the account's devices can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedState(Vec<u8>);

impl SealedState {
    /// Seals a state. `nonce` is fresh and random.
    ///
    /// # Errors
    ///
    /// [`SealError::TooLarge`].
    pub fn seal(
        state: &SharedState,
        key: &SharedKey,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Self, SealError> {
        let encoded = Zeroizing::new(state.encode());
        if encoded.len() > STATE_BYTES_MAX {
            return Err(SealError::TooLarge);
        }
        let length = (4 + encoded.len()).next_multiple_of(BLOCK_BYTES);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + length + TAG_BYTES);
        bytes.push(FORMAT);
        bytes.extend(nonce);
        bytes.opaque32(&encoded);
        bytes.resize(HEADER_BYTES + length, 0);
        let (_, content) = bytes.split_at_mut(HEADER_BYTES);
        let sealed =
            key.cipher()
                .encrypt_inout_detached(&XNonce::from(nonce), &[FORMAT], content.into());
        let tag = sealed.map_err(|_| SealError::TooLarge)?;
        bytes.extend(tag);
        Ok(Self(bytes))
    }

    /// The bytes to store or send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Opens a sealed state.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn open(bytes: &[u8], key: &SharedKey) -> Result<SharedState, SealError> {
        if bytes.len() > SEALED_BYTES_MAX {
            return Err(SealError::Malformed);
        }
        let (&format, rest) = bytes.split_first().ok_or(SealError::Malformed)?;
        let (nonce, rest) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SealError::Malformed)?;
        let (content, tag) = rest
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(SealError::Malformed)?;
        if format != FORMAT {
            return Err(SealError::Malformed);
        }
        let mut content = Zeroizing::new(content.to_vec());
        key.cipher()
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                &[FORMAT],
                content.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .map_err(|_| SealError::NotOurs)?;
        let mut reader = Reader::new(&content);
        let state = reader.opaque32(STATE_BYTES_MAX, "shared state")?;
        let padding = reader.bytes(reader.remaining(), "padding")?;
        let is_padded = content.len() == (4 + state.len()).next_multiple_of(BLOCK_BYTES)
            && padding.iter().all(|byte| *byte == 0);
        if !is_padded {
            return Err(DecodeError::Invalid { field: "padding" }.into());
        }
        Ok(SharedState::decode(state)?)
    }
}
