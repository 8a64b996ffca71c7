//! Conversions between messages and core types. They check lengths; core checks the rest.

use candor_core::Hash;
use candor_core::answer::{HeadProof, SecondHead};
use candor_core::limits::LOG_PROOF_HASHES_MAX;
use prost::bytes::Bytes;
use thiserror::Error;

use crate::v1;

/// Why a message does not have the shape that the protocol asks for. The sender is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// A hash is not 32 bytes long.
    #[error("a hash of a proof is not 32 bytes long")]
    HashLength,
    /// A proof has more hashes than any log needs.
    #[error("a log proof has {count} hashes, more than {LOG_PROOF_HASHES_MAX}")]
    TooManyHashes {
        /// Hashes in the message.
        count: usize,
    },
    /// A part of the message that the protocol requires is missing.
    #[error("the message lacks {field}")]
    Missing {
        /// The missing part.
        field: &'static str,
    },
}

/// Reads the hashes of a log proof.
///
/// # Errors
///
/// [`WireError`]; the sender is at fault.
pub fn hashes_from_wire(hashes: &[Bytes]) -> Result<Vec<Hash>, WireError> {
    if hashes.len() > LOG_PROOF_HASHES_MAX {
        return Err(WireError::TooManyHashes {
            count: hashes.len(),
        });
    }
    let hash = |bytes: &Bytes| {
        bytes
            .as_ref()
            .try_into()
            .map(Hash)
            .map_err(|_| WireError::HashLength)
    };
    hashes.iter().map(hash).collect()
}

/// Writes the hashes of a log proof.
pub fn hashes_to_wire(hashes: &[Hash]) -> Vec<Bytes> {
    hashes
        .iter()
        .map(|hash| Bytes::copy_from_slice(&hash.0))
        .collect()
}

/// Reads a head; nothing of it is verified.
///
/// # Errors
///
/// [`WireError`]; the sender is at fault.
pub fn head_from_wire(head: v1::Head) -> Result<HeadProof, WireError> {
    Ok(HeadProof {
        checkpoint: head.checkpoint.into(),
        record: head.record.into(),
        inclusion: hashes_from_wire(&head.inclusion)?,
    })
}

/// Writes a head.
pub fn head_to_wire(head: &HeadProof) -> v1::Head {
    v1::Head {
        checkpoint: Bytes::copy_from_slice(&head.checkpoint),
        record: Bytes::copy_from_slice(&head.record),
        inclusion: hashes_to_wire(&head.inclusion),
    }
}

/// Reads a second head; nothing of it is verified.
///
/// # Errors
///
/// [`WireError`]; the sender is at fault.
pub fn second_from_wire(second: v1::SecondHead) -> Result<SecondHead, WireError> {
    Ok(SecondHead {
        checkpoint: second.checkpoint.into(),
        consistency: hashes_from_wire(&second.consistency)?,
    })
}

/// Writes a second head.
pub fn second_to_wire(second: &SecondHead) -> v1::SecondHead {
    v1::SecondHead {
        checkpoint: Bytes::copy_from_slice(&second.checkpoint),
        consistency: hashes_to_wire(&second.consistency),
    }
}
