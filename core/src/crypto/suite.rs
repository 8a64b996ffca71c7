//! KT_128_SHA256_Ed25519, the one cipher suite of the protocol (draft-ietf-keytrans-protocol,
//! "Cipher Suites").
//!
//! Its hash is SHA-256 ([`crate::hash`]), its signatures Ed25519 ([`super::signing`]), its VRF
//! ECVRF-EDWARDS25519-SHA512-TAI truncated to 32 bytes ([`super::vrf`]). `VRF.Np` and `Nc` are
//! [`crate::limits::VRF_PROOF_BYTES`] and [`crate::limits::OPENING_BYTES`].

/// The registered number of KT_128_SHA256_Ed25519.
pub const CIPHER_SUITE: u16 = 0x0002;

/// `Hash.Nh`: a digest in bytes.
pub const HASH_BYTES: usize = 32;

/// `VRF.Nh`: a truncated VRF output, that is a search key, in bytes.
pub const VRF_OUTPUT_BYTES: usize = 32;

/// `Kc`: the fixed HMAC key of commitments. It is public; what hides the value is the opening.
pub const COMMITMENT_KEY: [u8; 16] = [
    0xd8, 0x21, 0xf8, 0x79, 0x0d, 0x97, 0x70, 0x97, 0x96, 0xb4, 0xd7, 0x90, 0x33, 0x57, 0xc3, 0xf5,
];
