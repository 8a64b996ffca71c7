//! The verifiable random function that turns a label-version into a search key:
//! ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381, suite 0x03), its output truncated to 32 bytes.
//!
//! Only the holder of the [`VrfSecretKey`] can compute search keys, so the map can be public and
//! still name nobody; and for one key and input only one output can be proved, so a log cannot keep
//! a second copy of an account elsewhere in the tree. Uniqueness holds against a log that chose its
//! key badly on purpose, because [`VrfPublicKey`] is always validated (RFC 9381, section 5.4.5).
//!
//! Proofs are stricter than the RFC asks in one respect: a `Gamma` of small order is refused. Under
//! a valid key its output would be the same for every input, and no honest prover can produce one.
//! Like the RFC, several proofs can exist for one output: compare search keys, never proofs.
//!
//! Everything that touches the secret scalar or the nonce takes constant time. How many tries
//! `encode_to_curve` needs depends on the input (RFC 9381, "Security Considerations"): who can time
//! the prover learns about two bits of a hash of a label, and nothing of the key.

mod primitives;
mod public_key;
mod secret_key;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use core::fmt;

use thiserror::Error;

pub use public_key::VrfPublicKey;
pub use secret_key::VrfSecretKey;

use super::write_hex;
use crate::codec::Writer as _;
use crate::limits::VRF_PROOF_BYTES;

/// An unverified proof: `Gamma (32) || c (16) || s (32)` (RFC 9381, section 5.5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VrfProof(pub [u8; VRF_PROOF_BYTES]);

impl VrfProof {
    /// The proof's bytes.
    pub const fn as_bytes(&self) -> &[u8; VRF_PROOF_BYTES] {
        &self.0
    }
}

impl fmt::Debug for VrfProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// Why a VRF proof is refused. The prover is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VrfError {
    /// `Gamma` is not the one encoding of a curve point.
    #[error("vrf proof holds no canonical point")]
    InvalidPoint,
    /// The order of `Gamma` divides the cofactor.
    #[error("vrf proof holds a point of small order")]
    SmallOrderPoint,
    /// `s` is not below the order of the group, so it is a second encoding of a proof.
    #[error("vrf proof holds a scalar that is not reduced")]
    NonCanonicalScalar,
    /// The proof is for another key, another input or another output.
    #[error("vrf proof does not verify")]
    ChallengeMismatch,
}

/// The VRF input of a label-version, `label<0..2^8-1> || uint32 version`
/// (draft-ietf-keytrans-protocol, "Verifiable Random Function").
///
/// # Panics
///
/// When `label` is longer than 255 bytes: callers hold labels in a type that is bounded.
pub fn vrf_input(label: &[u8], version: u32) -> Vec<u8> {
    let mut input = Vec::with_capacity(1 + label.len() + 4);
    input.opaque8(label);
    input.extend_from_slice(&version.to_be_bytes());
    input
}
