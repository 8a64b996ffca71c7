//! The cryptography under the map: the cipher suite, what hides a label ([`vrf`]), what hides a
//! value ([`commitment`]), and the two signature schemes ([`signing`]).
//!
//! The primitives come from reviewed crates; this module fixes how the protocol uses them, and
//! leaves no choice to callers. Points and scalars have one encoding, small-order keys are refused
//! when they are parsed, secret keys are cleared when dropped and never shown, and everything that
//! verifies answers with a `Result`, so that no caller can forget to look at it.

use core::fmt;

use thiserror::Error;

pub mod commitment;
mod point;
mod search_key;
pub mod signing;
pub mod suite;
pub mod vrf;

pub use commitment::{Commitment, CommitmentError, Opening};
pub use search_key::SearchKey;
pub use signing::{
    Ed25519PublicKey, Ed25519SecretKey, MlDsa44PublicKey, MlDsa44SecretKey, SignatureError,
};
pub use vrf::{VrfError, VrfProof, VrfPublicKey, VrfSecretKey};

/// Why 32 bytes are not a public key on edwards25519. Whoever published the key is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// The bytes are not the one encoding of a curve point (RFC 8032, section 5.1.3).
    #[error("public key is not a canonical point encoding")]
    InvalidEncoding,
    /// The point's order divides 8: such a key fits signatures and proofs that nobody made.
    #[error("public key has small order")]
    SmallOrder,
}

/// Writes `bytes` in lower-case hexadecimal.
fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
