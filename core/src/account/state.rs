//! The state of an account: its key, whether it enrolled in verification, its devices.
//!
//! ```text
//! struct {
//!   uint8   format = 1;
//!   optional<opaque account_key[32]>;   /* Ed25519 */
//!   uint8   enrolled;                   /* 0 or 1; 1 only with an account key */
//!   uint64  sequence;
//!   opaque  previous[32];               /* zeros exactly if sequence is 0 */
//!   optional<opaque reset[32]>;         /* the account key that this one replaces */
//!   Device  devices<0..2^16-1>;         /* at most 64, ids strictly ascending */
//! } Body;
//!
//! struct {
//!   Body    body;
//!   select (body.account_key) { case present: opaque signature[64]; }
//! } AccountState;
//! ```
//!
//! The account key signs `"candor/account-state/v1" || 0x00 || label<1..255> || body`, so a state
//! stands for one label only. A key comes with its signature and never without: a key that signed
//! nothing would be the server's word in the account's name. States form a chain: each holds the
//! hash of the one before, signature included.

use core::fmt;

use thiserror::Error;

use super::device::{Device, decode_devices, encode_devices};
use super::label::Label;
use crate::Hash;
use crate::codec::{DecodeError, Reader, Writer as _};
use crate::crypto::{Ed25519PublicKey, Ed25519SecretKey};
use crate::hash::{Domain, hash_parts};
use crate::limits::STATE_BYTES_MAX;

/// An account's public key (Ed25519, RFC 8032).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountKey(pub [u8; 32]);

impl AccountKey {
    /// The digest that people compare and contacts remember: `H(0x06 || key)`.
    pub fn hash(&self) -> Hash {
        hash_parts(Domain::AccountKey, &[&self.0])
    }
}

/// What a state says. By itself it is a draft: [`Self::sign`] or [`Self::without_signature`] makes
/// it a state that can be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountState {
    /// The key that signs the state; [`Self::sign`] sets it.
    pub account_key: Option<AccountKey>,
    /// Whether the account has contact key verification on; requires an account key.
    pub enrolled: bool,
    /// 0 for a label's first state, then one more for each.
    pub sequence: u64,
    /// [`VerifiedState::hash`] of the state before; [`Hash::ZERO`] for the first.
    pub previous: Hash,
    /// The account key before, if it was lost or given up and this state declares another.
    pub reset: Option<AccountKey>,
    /// The devices, at most 64, strictly ascending by id.
    pub devices: Vec<Device>,
}

impl AccountState {
    /// A first state without devices, not enrolled.
    pub const fn first() -> Self {
        Self {
            account_key: None,
            enrolled: false,
            sequence: 0,
            previous: Hash::ZERO,
            reset: None,
            devices: Vec::new(),
        }
    }

    /// Signs the state of `label` with the account's key.
    ///
    /// # Errors
    ///
    /// [`StateError::Malformed`] when the draft breaks a limit or contradicts itself. The caller is
    /// at fault.
    pub fn sign(
        mut self,
        label: &Label,
        key: &Ed25519SecretKey,
    ) -> Result<VerifiedState, StateError> {
        self.account_key = Some(AccountKey(*key.public_key().as_bytes()));
        let mut bytes = self.encode_body()?;
        let signature = key.sign(&signed_message(label, &bytes));
        bytes.extend_from_slice(&signature);
        Ok(VerifiedState {
            label: label.clone(),
            state: self,
            bytes,
        })
    }

    /// Makes a state of `label` that no account key vouches for.
    ///
    /// # Errors
    ///
    /// [`StateError::Malformed`] as for [`Self::sign`], and when the draft names an account key.
    pub fn without_signature(self, label: &Label) -> Result<VerifiedState, StateError> {
        if self.account_key.is_some() {
            return Err(DecodeError::Invalid {
                field: "account key",
            }
            .into());
        }
        let bytes = self.encode_body()?;
        Ok(VerifiedState {
            label: label.clone(),
            state: self,
            bytes,
        })
    }

    fn encode_body(&self) -> Result<Vec<u8>, DecodeError> {
        self.check()?;
        let mut out = vec![FORMAT];
        out.present(self.account_key.is_some());
        out.extend(self.account_key.iter().flat_map(|key| key.0));
        out.present(self.enrolled);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(self.previous.as_bytes());
        out.present(self.reset.is_some());
        out.extend(self.reset.iter().flat_map(|key| key.0));
        out.opaque16(&encode_devices(&self.devices)?);
        let signature_bytes = self.account_key.map_or(0, |_| SIGNATURE_BYTES);
        if out.len() + signature_bytes > STATE_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                field: "account state",
                limit: STATE_BYTES_MAX,
            });
        }
        Ok(out)
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.u8("format")? != FORMAT {
            return Err(DecodeError::Invalid { field: "format" });
        }
        let state = Self {
            account_key: optional_key(reader, "account key")?,
            enrolled: reader.present("enrolled")?,
            sequence: reader.u64("sequence")?,
            previous: reader.hash("previous")?,
            reset: optional_key(reader, "reset")?,
            devices: decode_devices(reader)?,
        };
        state.check()?;
        Ok(state)
    }

    /// Refuses what contradicts itself.
    fn check(&self) -> Result<(), DecodeError> {
        let first = self.sequence == 0;
        let reset_is_sound = self.reset.is_none()
            || (!first && self.account_key.is_some() && self.account_key != self.reset);
        let field = if self.enrolled && self.account_key.is_none() {
            "enrolled"
        } else if first != (self.previous == Hash::ZERO) {
            "previous"
        } else if !reset_is_sound {
            "reset"
        } else {
            return Ok(());
        };
        Err(DecodeError::Invalid { field })
    }
}

/// A well-formed state of which nothing was verified.
#[derive(Clone, PartialEq, Eq)]
pub struct UnverifiedState {
    state: AccountState,
    bytes: Vec<u8>,
}

impl fmt::Debug for UnverifiedState {
    /// Leaves out the bytes: they hold what [`Device`] does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedState")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl UnverifiedState {
    /// Decodes a state and keeps its bytes as they were signed.
    ///
    /// # Errors
    ///
    /// Why `bytes` are not the encoding of a state. The sender is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > STATE_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                field: "account state",
                limit: STATE_BYTES_MAX,
            });
        }
        let mut reader = Reader::new(bytes);
        let state = AccountState::decode_body(&mut reader)?;
        if state.account_key.is_some() {
            reader.array::<SIGNATURE_BYTES>("signature")?;
        }
        reader.finish()?;
        Ok(Self {
            state,
            bytes: bytes.to_vec(),
        })
    }

    /// Verifies the state as one of `label`.
    ///
    /// # Errors
    ///
    /// [`StateError::Key`] and [`StateError::Signature`]. The server, or who signed, is at fault.
    pub fn verify(self, label: &Label) -> Result<VerifiedState, StateError> {
        if let Some(key) = self.state.account_key {
            let (body, signature) = self
                .bytes
                .split_last_chunk::<SIGNATURE_BYTES>()
                .expect("decode took a signature after the body because there is a key");
            Ed25519PublicKey::from_bytes(&key.0)
                .map_err(|_| StateError::Key)?
                .verify(&signed_message(label, body), signature)
                .map_err(|_| StateError::Signature)?;
        }
        Ok(VerifiedState {
            label: label.clone(),
            state: self.state,
            bytes: self.bytes,
        })
    }
}

/// A state whose signature, if it has one, verifies for its label.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedState {
    label: Label,
    state: AccountState,
    bytes: Vec<u8>,
}

impl fmt::Debug for VerifiedState {
    /// Leaves out the bytes: they hold what [`Device`] does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedState")
            .field("label", &self.label)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl VerifiedState {
    /// The label whose state it is.
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// What the state says.
    pub const fn state(&self) -> &AccountState {
        &self.state
    }

    /// Who vouches for it.
    pub const fn standing(&self) -> Standing {
        if self.state.account_key.is_some() {
            Standing::AccountSigned
        } else {
            Standing::ServerWord
        }
    }

    /// The encoding, signature included, as it was signed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// By what the next state names this one: `H(0x05 || encoding)`.
    pub fn hash(&self) -> Hash {
        hash_parts(Domain::AccountState, &[&self.bytes])
    }

    /// A draft of the next state, with the same enrolment and devices.
    ///
    /// # Errors
    ///
    /// [`StateError::SequenceExhausted`] after 2^64 states.
    pub fn successor(&self) -> Result<AccountState, StateError> {
        Ok(AccountState {
            account_key: None,
            enrolled: self.state.enrolled,
            sequence: self
                .state
                .sequence
                .checked_add(1)
                .ok_or(StateError::SequenceExhausted)?,
            previous: self.hash(),
            reset: None,
            devices: self.state.devices.clone(),
        })
    }
}

/// Who vouches for a state, besides the log that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The account's own key signed it.
    AccountSigned,
    /// The server alone says so; it is logged, so it cannot be said to some and not to others.
    ServerWord,
}

/// Why a state cannot be made or is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The draft breaks a limit or contradicts itself. The caller is at fault.
    #[error("account state is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The account key is not an acceptable Ed25519 public key. Who made the state is at fault.
    #[error("account key is not an acceptable Ed25519 key")]
    Key,
    /// The account key did not sign this state for this label. The server is at fault, or whoever
    /// gave it the state.
    #[error("signature of the account state does not verify")]
    Signature,
    /// No state can follow the one with the greatest sequence number.
    #[error("sequence numbers are exhausted")]
    SequenceExhausted,
}

fn optional_key(
    reader: &mut Reader<'_>,
    field: &'static str,
) -> Result<Option<AccountKey>, DecodeError> {
    let present = reader.present(field)?;
    present
        .then(|| reader.array(field).map(AccountKey))
        .transpose()
}

fn signed_message(label: &Label, body: &[u8]) -> Vec<u8> {
    let mut message = SIGNATURE_DOMAIN.to_vec();
    message.opaque8(label.as_bytes());
    message.extend_from_slice(body);
    message
}

const FORMAT: u8 = 1;
const SIGNATURE_BYTES: usize = 64;
const SIGNATURE_DOMAIN: &[u8] = b"candor/account-state/v1\0";
