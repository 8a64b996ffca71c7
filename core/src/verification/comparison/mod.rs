//! Comparing codes: two people read eight digits to each other, and know that each has the other's
//! account key (`docs/protocol.md`, "Comparing codes").
//!
//! The digits are a hash of both account keys, as each side knows them, and of a nonce of each side
//! to which both were committed before either was shown: the commitments of Vaudenay's "Secure
//! Communications over Insecure Channels Based on Short Authenticated Strings" (CRYPTO 2005), made
//! by both sides. Whoever sits in between has to commit to its nonces before it sees any, so it
//! matches the codes with one try in 10^8, whatever it computes. Both sides do the same: a side
//! commits when its person taps, so nothing is revealed, and no code exists, before both have.
//!
//! ```text
//! struct {
//!   uint8 format = 1;
//!   uint8 kind;                 // 1: commit, 2: reveal
//!   opaque content[32];         // the commitment, or the nonce
//! } ComparisonMessage;
//!
//! commitment = H(0x07 || opaque origin<1..255> || account_key || nonce)
//! code       = first 8 bytes of H(0x08 || opaque origin<1..255> || key_1 || nonce_1 || key_2 ||
//!              nonce_2), as an integer modulo 10^8; key_1 is the lesser key
//! ```
//!
//! What it rules out: a second try within a session, a code from a commitment that does not open,
//! and a side that is played its own messages.

use core::fmt;

use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::Hash;
use crate::account::AccountKey;
use crate::codec::{DecodeError, Reader, Writer as _};
use crate::hash::{Domain, hash_parts};
use crate::limits::KEY_NAME_BYTES_MAX;

/// Length of a nonce in bytes.
pub const NONCE_BYTES: usize = 32;

/// How long a session lasts, in seconds: long enough to telephone, too short to be forgotten.
pub const LIFETIME_S: u64 = 10 * 60;

const FORMAT: u8 = 1;
const COMMIT: u8 = 1;
const REVEAL: u8 = 2;
const CODES: u64 = 100_000_000;

/// What one side sends to the other, over any channel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ComparisonMessage {
    /// The side's person wants to compare: its commitment.
    Commit(Hash),
    /// The nonce that opens the commitment.
    Reveal([u8; NONCE_BYTES]),
}

impl fmt::Debug for ComparisonMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit(_) => "Commit(..)",
            Self::Reveal(_) => "Reveal(..)",
        })
    }
}

impl ComparisonMessage {
    /// The encoding, 34 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, content) = match self {
            Self::Commit(commitment) => (COMMIT, &commitment.0),
            Self::Reveal(nonce) => (REVEAL, nonce),
        };
        [&[FORMAT, kind], &content[..]].concat()
    }

    /// Reads what [`Self::encode`] made.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; the sender is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("format")? != FORMAT {
            return Err(DecodeError::Invalid { field: "format" });
        }
        let kind = reader.u8("kind")?;
        let content = reader.array("content")?;
        reader.finish()?;
        match kind {
            COMMIT => Ok(Self::Commit(Hash(content))),
            REVEAL => Ok(Self::Reveal(content)),
            _ => Err(DecodeError::Invalid { field: "kind" }),
        }
    }
}

/// The eight digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ComparisonCode(u32);

impl ComparisonCode {
    /// The digits as words, to be read aloud or by a screen reader.
    pub fn spoken(&self) -> String {
        const WORDS: [&str; 10] = [
            "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
        ];
        let words = self.to_string();
        let groups = words.split(' ').map(|group| {
            let digits = group.bytes().map(|digit| WORDS[usize::from(digit - b'0')]);
            digits.collect::<Vec<_>>().join(" ")
        });
        groups.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for ComparisonCode {
    /// In two groups of four.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04} {:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

impl fmt::Debug for ComparisonCode {
    /// The code is for the two people only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ComparisonCode(..)")
    }
}

/// Why a session ended, or was not begun. No code was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ComparisonError {
    /// Both keys are the same. The caller is at fault, or whoever plays a person its own key.
    #[error("both sides have the same account key")]
    SameKey,
    /// The origin has not 1 to 255 bytes. The caller is at fault.
    #[error("the log's origin is not 1 to 255 bytes long")]
    Origin,
    /// Too much time passed, or the clock went back. Nobody is at fault.
    #[error("the comparison has expired")]
    Expired,
    /// A message came that none but a meddler or a broken app sends at that point.
    #[error("the other side's messages are out of order")]
    OutOfOrder,
    /// The other side's nonce is not the one that it was committed to, or it has another account
    /// key than this side knows. Somebody may be in between.
    #[error("the other side's commitment does not open")]
    NotOpened,
    /// The session ended before.
    #[error("the comparison is over")]
    Over,
}

/// What follows from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Step {
    /// To be sent to the other side.
    pub send: Option<ComparisonMessage>,
    /// To be shown to the person, who compares it with the other's.
    pub code: Option<ComparisonCode>,
}

/// One side's session. It makes at most one code.
pub struct Comparison {
    origin: String,
    own: AccountKey,
    peer: AccountKey,
    /// On the heap: what moves a session then leaves no copy behind.
    nonce: Box<Zeroizing<[u8; NONCE_BYTES]>>,
    started_s: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Committed,
    Revealed { peer: Hash },
    Done,
    Failed,
}

impl fmt::Debug for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparison").finish_non_exhaustive()
    }
}

impl Comparison {
    /// Begins a session when its person taps. `peer` is the contact's account key as this device
    /// verified it, never one that came with the session's messages; `nonce` is fresh and random.
    ///
    /// # Errors
    ///
    /// [`ComparisonError::SameKey`] and [`ComparisonError::Origin`].
    pub fn begin(
        origin: &str,
        own: AccountKey,
        peer: AccountKey,
        mut nonce: [u8; NONCE_BYTES],
        now_s: u64,
    ) -> Result<(Self, ComparisonMessage), ComparisonError> {
        let mut kept = Box::new(Zeroizing::new([0; NONCE_BYTES]));
        kept.copy_from_slice(&nonce);
        nonce.zeroize();
        if own == peer {
            return Err(ComparisonError::SameKey);
        }
        if origin.is_empty() || origin.len() > KEY_NAME_BYTES_MAX {
            return Err(ComparisonError::Origin);
        }
        let session = Self {
            origin: origin.to_owned(),
            own,
            peer,
            nonce: kept,
            started_s: now_s,
            stage: Stage::Committed,
        };
        let commitment = session.commitment(&own, &session.nonce);
        Ok((session, ComparisonMessage::Commit(commitment)))
    }

    /// Takes a message of the other side. Once the code is made, messages change nothing.
    ///
    /// # Errors
    ///
    /// [`ComparisonError`]: the session is over, and there will be no code.
    pub fn receive(
        &mut self,
        message: &ComparisonMessage,
        now_s: u64,
    ) -> Result<Step, ComparisonError> {
        if self.stage == Stage::Done {
            return Ok(Step::default());
        }
        let step = self.advance(message, now_s);
        if step.is_err() {
            self.stage = Stage::Failed;
            self.nonce.zeroize();
        }
        step
    }

    fn advance(
        &mut self,
        message: &ComparisonMessage,
        now_s: u64,
    ) -> Result<Step, ComparisonError> {
        use ComparisonMessage::{Commit, Reveal};
        let age_s = now_s.checked_sub(self.started_s);
        let has_expired = age_s.is_none_or(|age_s| age_s > LIFETIME_S);
        match (self.stage, message) {
            (Stage::Failed | Stage::Done, _) => Err(ComparisonError::Over),
            _ if has_expired => Err(ComparisonError::Expired),
            (Stage::Committed, Commit(peer)) => {
                self.stage = Stage::Revealed { peer: *peer };
                Ok(Step {
                    send: Some(Reveal(**self.nonce)),
                    code: None,
                })
            }
            // Delivered twice.
            (Stage::Revealed { peer }, Commit(again)) if peer == *again => Ok(Step::default()),
            (Stage::Revealed { peer }, Reveal(nonce)) => {
                if self.commitment(&self.peer, nonce) != peer {
                    return Err(ComparisonError::NotOpened);
                }
                self.stage = Stage::Done;
                Ok(Step {
                    send: None,
                    code: Some(self.code(nonce)),
                })
            }
            (Stage::Committed, Reveal(_)) | (Stage::Revealed { .. }, Commit(_)) => {
                Err(ComparisonError::OutOfOrder)
            }
        }
    }

    fn commitment(&self, key: &AccountKey, nonce: &[u8; NONCE_BYTES]) -> Hash {
        let origin = self.origin_field();
        hash_parts(Domain::ComparisonCommitment, &[&origin, &key.0, nonce])
    }

    fn code(&self, peer_nonce: &[u8; NONCE_BYTES]) -> ComparisonCode {
        let own_nonce: &[u8; NONCE_BYTES] = &self.nonce;
        let mut sides = [(&self.own.0, own_nonce), (&self.peer.0, peer_nonce)];
        sides.sort_unstable_by_key(|(key, _)| *key);
        let [(key_1, nonce_1), (key_2, nonce_2)] = sides;
        let parts: [&[u8]; 5] = [&self.origin_field(), key_1, nonce_1, key_2, nonce_2];
        let hash = hash_parts(Domain::ComparisonCode, &parts);
        let (first, _) = hash.0.split_first_chunk().expect("8 of 32 bytes");
        let digits = u64::from_be_bytes(*first) % CODES;
        ComparisonCode(u32::try_from(digits).expect("below 10^8"))
    }

    fn origin_field(&self) -> Vec<u8> {
        let mut field = Vec::with_capacity(1 + self.origin.len());
        field.opaque8(self.origin.as_bytes());
        field
    }
}

#[cfg(test)]
mod tests;
