//! Who talks, and what they say.

use std::fmt;

use candor_core::Hash;
use candor_core::answer::HeadProof;
use candor_core::note::{ProvedBeginning, SignatureLine};
use candor_witness::gossip::Question;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// The log.
    Log,
    /// A witness, by number.
    Witness(usize),
    /// A device, by number.
    Device(usize),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::Witness(number) => write!(f, "witness {number}"),
            Self::Device(number) => write!(f, "device {number}"),
        }
    }
}

/// What a request for cosignatures is about, so that its answer finds it: a connection would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Which of the log's histories.
    pub branch: usize,
    /// The size of the head.
    pub size: u64,
}

/// A message.
#[derive(Clone, Debug)]
pub enum Message {
    /// To a witness: `add-checkpoint`, as the body of a request.
    AddCheckpoint(Tag, Vec<u8>),
    /// From a witness.
    Answer(Tag, Answer),
    /// To a witness: a question of a peer's, and its number, by which the answer finds it: a
    /// connection would.
    Ask(u64, Vec<u8>),
    /// From the peer: the answer.
    Told(u64, Vec<u8>),
    /// To the log: its tiles as far as they prove this. The log sees the sizes only.
    GetProof(Question),
    /// From the log: what the tiles prove.
    Proof(Question, Option<ProvedBeginning>),
    /// To the log: the head, please.
    GetHead {
        /// The size that the device verified last; 0 for none.
        verified_size: u64,
    },
    /// From the log.
    Head {
        /// The head with its cosignatures.
        head: Box<HeadProof>,
        /// The proof that it follows what the device verified.
        consistency: Vec<Hash>,
    },
}

/// A witness's answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Cosigned.
    Cosigned(Vec<SignatureLine>),
    /// 409: another size was cosigned last.
    Conflict(u64),
    /// Anything else: not now, or never.
    Refused(String),
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddCheckpoint(tag, _) => {
                write!(f, "add-checkpoint of {} in {}", tag.size, tag.branch)
            }
            Self::Answer(tag, answer) => {
                write!(f, "answer on {} in {}: ", tag.size, tag.branch)?;
                match answer {
                    Answer::Cosigned(lines) => write!(f, "{} lines", lines.len()),
                    Answer::Conflict(size) => write!(f, "conflict with {size}"),
                    Answer::Refused(why) => write!(f, "refused, {why}"),
                }
            }
            Self::Ask(_, body) => write!(f, "question of {} bytes", body.len()),
            Self::Told(_, body) => write!(f, "answer of {} bytes", body.len()),
            Self::GetProof(Question {
                smaller, larger, ..
            }) => {
                write!(f, "get proof from {} to {}", smaller.size, larger.size)
            }
            Self::Proof(_, beginning) => {
                let hashes = beginning.as_ref().map(|beginning| beginning.proof.len());
                write!(f, "proof of {hashes:?} hashes")
            }
            Self::GetHead { verified_size } => write!(f, "get head after {verified_size}"),
            Self::Head { consistency, .. } => write!(f, "head, {} hashes", consistency.len()),
        }
    }
}
