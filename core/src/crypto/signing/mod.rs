//! The two signature schemes of notes and accounts: [Ed25519](ed25519) and
//! [ML-DSA-44](ml_dsa_44).
//!
//! Thin wrappers that leave no choice open: which variant, which context, which checks. Signing is
//! deterministic in both, so the same bytes get the same signature again after a crash, and no
//! randomness can fail. Keys are validated and expanded when they are parsed, so verifying many
//! signatures by one key does that work once.

pub mod ed25519;
pub mod ml_dsa_44;

use thiserror::Error;

pub use ed25519::{Ed25519PublicKey, Ed25519SecretKey};
pub use ml_dsa_44::{MlDsa44PublicKey, MlDsa44SecretKey};

/// The signature is not by this key over this message. Whoever sent it is at fault.
///
/// It does not say which check failed: no honest caller needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("signature does not verify")]
pub struct SignatureError;
