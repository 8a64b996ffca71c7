//! Who speaks: both questions and answers are signed, by keys that both sides were configured with.
//!
//! ```text
//! question: "candor gossip question v1" 0 || receiver || sender || uint64 time_ms || nonce[16]
//!           || SHA-256(body)
//! answer:   "candor gossip answer v1" 0 || SHA-256(what was signed of the question)
//!           || SHA-256(body)
//! ```
//!
//! A question counts once: its time is near the receiver's, and later than that of the sender's
//! question before. An answer counts for one question, whose nonce nobody could foresee.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use candor_core::Hash;
use candor_core::crypto::{Ed25519PublicKey, Ed25519SecretKey, SignatureError};
use sha2::{Digest as _, Sha256};

use crate::node_key::{self, NodeKeyError};

/// The key's file in the directory of the witness's keys.
pub const KEY_FILE: &str = "gossip-ed25519.key";

/// How far the clocks of two witnesses may be apart.
pub const SKEW: Duration = Duration::from_secs(300);

/// Most questions of one peer in [`WINDOW`]: two make an exchange.
pub const QUESTIONS_MAX: u32 = 32;

/// The time in which questions are counted.
pub const WINDOW: Duration = Duration::from_secs(10);

const QUESTION: &[u8] = b"candor gossip question v1\0";
const ANSWER: &[u8] = b"candor gossip answer v1\0";

/// The key by which peers know this witness.
#[derive(Debug)]
pub struct GossipKey(Ed25519SecretKey);

/// A question as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who asks.
    pub sender: [u8; 32],
    /// POSIX milliseconds by the sender's clock.
    pub time_ms: u64,
    /// Random.
    pub nonce: [u8; 16],
    /// An encoded [`super::Request`].
    pub body: Vec<u8>,
    /// The sender's.
    pub signature: [u8; 64],
}

/// Why a question or answer is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The sender's clock or this one's is wrong, or somebody repeats an old question.
    #[error("the question's time is too far from this witness's, or not after the last one's")]
    Time,
    /// The peer asks too often.
    #[error("too many questions")]
    TooMany,
    /// The signature is another's, or of something else.
    #[error("the signature does not verify")]
    Signature,
}

impl From<SignatureError> for Refused {
    fn from(_: SignatureError) -> Self {
        Self::Signature
    }
}

impl GossipKey {
    /// The key in `directory`, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`NodeKeyError`].
    pub fn open(directory: &Path) -> Result<Self, NodeKeyError> {
        Ok(Self(node_key::open(&directory.join(KEY_FILE))?))
    }

    /// The public key, as peers configure it.
    pub fn public(&self) -> Ed25519PublicKey {
        self.0.public_key()
    }

    /// A signed question to `receiver`.
    pub fn ask(
        &self,
        receiver: &Ed25519PublicKey,
        time_ms: u64,
        nonce: [u8; 16],
        body: Vec<u8>,
    ) -> Question {
        let mut question = Question {
            sender: *self.public().as_bytes(),
            time_ms,
            nonce,
            body,
            signature: [0; 64],
        };
        question.signature = self.0.sign(&question.signed(receiver));
        question
    }

    /// The signature of an answer to a question that was put to this key.
    pub fn answer(&self, question: &Question, body: &[u8]) -> [u8; 64] {
        self.0.sign(&signed_answer(question, &self.public(), body))
    }
}

impl Question {
    fn signed(&self, receiver: &Ed25519PublicKey) -> Vec<u8> {
        let mut bytes = QUESTION.to_vec();
        bytes.extend(receiver.as_bytes());
        bytes.extend(self.sender);
        bytes.extend(self.time_ms.to_be_bytes());
        bytes.extend(self.nonce);
        bytes.extend(Sha256::digest(&self.body));
        bytes
    }

    /// Checks that `peer` answered this question so.
    ///
    /// # Errors
    ///
    /// [`Refused::Signature`].
    pub fn check_answer(
        &self,
        peer: &Ed25519PublicKey,
        body: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), Refused> {
        Ok(peer.verify(&signed_answer(self, peer, body), signature)?)
    }
}

fn signed_answer(question: &Question, receiver: &Ed25519PublicKey, body: &[u8]) -> Vec<u8> {
    let mut bytes = ANSWER.to_vec();
    bytes.extend(Sha256::digest(question.signed(receiver)));
    bytes.extend(Sha256::digest(body));
    bytes
}

/// What is remembered of the questions of one peer.
#[derive(Debug, Default)]
pub struct Guard {
    last_ms: u64,
    window: u64,
    count: u32,
}

impl Guard {
    /// Checks that `peer` asked this, of this witness, now, once, and not too often.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn admit(
        &mut self,
        own: &Ed25519PublicKey,
        peer: &Ed25519PublicKey,
        now_ms: u64,
        question: &Question,
    ) -> Result<(), Refused> {
        let skew_ms = u64::try_from(SKEW.as_millis()).unwrap_or(u64::MAX);
        if question.time_ms.abs_diff(now_ms) > skew_ms || question.time_ms <= self.last_ms {
            return Err(Refused::Time);
        }
        peer.verify(&question.signed(own), &question.signature)?;
        self.last_ms = question.time_ms;
        let window = now_ms / 1000 / WINDOW.as_secs();
        if window != self.window {
            (self.window, self.count) = (window, 0);
        }
        if self.count >= QUESTIONS_MAX {
            return Err(Refused::TooMany);
        }
        self.count += 1;
        Ok(())
    }
}

/// A peer's key as people write it: 64 digits of hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyText(pub Ed25519PublicKey);

impl KeyText {
    /// Reads a key.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            let [high, low] = pair.map(|digit| match digit {
                b'0'..=b'9' => Some(digit - b'0'),
                b'a'..=b'f' => Some(digit - b'a' + 10),
                _ => None,
            });
            *byte = high? << 4 | low?;
        }
        Ed25519PublicKey::from_bytes(&bytes).ok().map(Self)
    }
}

impl fmt::Display for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hash(*self.0.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_000_000_000;

    fn key(seed: u8) -> GossipKey {
        GossipKey(Ed25519SecretKey::from_seed(&[seed; 32]))
    }

    fn question(time_ms: u64) -> Question {
        key(1).ask(&key(2).public(), time_ms, [7; 16], b"body".to_vec())
    }

    fn admit(guard: &mut Guard, question: &Question) -> Result<(), Refused> {
        guard.admit(&key(2).public(), &key(1).public(), NOW_MS, question)
    }

    #[test]
    fn a_question_counts_once_and_near_its_time() {
        let mut guard = Guard::default();
        let skew_ms = SKEW.as_millis() as u64;
        for time_ms in [0, NOW_MS - skew_ms - 1, NOW_MS + skew_ms + 1, u64::MAX] {
            assert_eq!(admit(&mut guard, &question(time_ms)), Err(Refused::Time));
        }
        let good = question(NOW_MS - skew_ms);
        assert_eq!(admit(&mut guard, &good), Ok(()));
        assert_eq!(admit(&mut guard, &good), Err(Refused::Time));
        assert_eq!(admit(&mut guard, &question(NOW_MS)), Ok(()));
        assert_eq!(admit(&mut guard, &question(NOW_MS - 1)), Err(Refused::Time));
    }

    #[test]
    fn nobody_else_asks_and_nothing_else_is_asked() {
        let good = question(NOW_MS);
        let changed = [
            Question {
                time_ms: NOW_MS + 1,
                ..good.clone()
            },
            Question {
                nonce: [8; 16],
                ..good.clone()
            },
            Question {
                body: b"other".to_vec(),
                ..good.clone()
            },
            Question {
                sender: *key(3).public().as_bytes(),
                ..good.clone()
            },
            Question {
                signature: [0; 64],
                ..good.clone()
            },
            // To another receiver, and by another sender.
            key(1).ask(&key(3).public(), NOW_MS, [7; 16], b"body".to_vec()),
            key(3).ask(&key(2).public(), NOW_MS, [7; 16], b"body".to_vec()),
        ];
        let mut guard = Guard::default();
        for changed in changed {
            assert_eq!(admit(&mut guard, &changed), Err(Refused::Signature));
        }
        // What was refused used up nothing.
        assert_eq!(admit(&mut guard, &good), Ok(()));
    }

    #[test]
    fn questions_are_counted() {
        let mut guard = Guard::default();
        for number in 0..u64::from(QUESTIONS_MAX) {
            assert_eq!(admit(&mut guard, &question(NOW_MS + number)), Ok(()));
        }
        let next = question(NOW_MS + 1_000);
        assert_eq!(admit(&mut guard, &next), Err(Refused::TooMany));
        let (own, peer) = (key(2).public(), key(1).public());
        let later_ms = NOW_MS + WINDOW.as_millis() as u64;
        let next = question(later_ms);
        assert_eq!(guard.admit(&own, &peer, later_ms, &next), Ok(()));
    }

    #[test]
    fn an_answer_is_of_one_peer_to_one_question() {
        let (asked, peer) = (question(NOW_MS), key(2).public());
        let signature = key(2).answer(&asked, b"answer");
        assert_eq!(asked.check_answer(&peer, b"answer", &signature), Ok(()));
        let refused = Err(Refused::Signature);
        assert_eq!(asked.check_answer(&peer, b"other", &signature), refused);
        let other = Question {
            nonce: [8; 16],
            ..asked.clone()
        };
        assert_eq!(other.check_answer(&peer, b"answer", &signature), refused);
        let by_other = key(3).answer(&asked, b"answer");
        assert_eq!(asked.check_answer(&peer, b"answer", &by_other), refused);
        assert_eq!(
            asked.check_answer(&peer, b"answer", &asked.signature),
            refused
        );
    }

    #[test]
    fn keys_have_one_spelling() {
        let text = KeyText(key(1).public()).to_string();
        assert_eq!(KeyText::parse(&text), Some(KeyText(key(1).public())));
        for bad in [
            "",
            &text[1..],
            &text.to_uppercase(),
            &"0".repeat(64),
            &"é".repeat(32),
        ] {
            assert_eq!(KeyText::parse(bad), None, "{bad}");
        }
    }
}
