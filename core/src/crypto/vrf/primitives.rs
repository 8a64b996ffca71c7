//! The suite's building blocks, named as in RFC 9381.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::traits::IsIdentity as _;
use sha2::{Digest as _, Sha512};

use crate::crypto::point::decode_point;

/// `cLen`: a challenge in bytes.
pub(super) const CHALLENGE_BYTES: usize = 16;

/// `suite_string` of ECVRF-EDWARDS25519-SHA512-TAI.
const SUITE: u8 = 0x03;

const ENCODE_TO_CURVE_FRONT: u8 = 0x01;
const CHALLENGE_FRONT: u8 = 0x02;
const PROOF_TO_HASH_FRONT: u8 = 0x03;
const BACK: u8 = 0x00;

/// `ECVRF_encode_to_curve_try_and_increment` (section 5.4.1.1) with the public key as salt. The
/// result is in the prime-order subgroup and not the identity.
pub(super) fn encode_to_curve(public_key: &[u8; 32], alpha: &[u8]) -> EdwardsPoint {
    let salted = Sha512::new()
        .chain_update([SUITE, ENCODE_TO_CURVE_FRONT])
        .chain_update(public_key)
        .chain_update(alpha);
    (0..=u8::MAX)
        .filter_map(|counter| {
            let digest = salted.clone().chain_update([counter, BACK]).finalize();
            let candidate = digest.first_chunk().expect("SHA-512 digests have 64 bytes");
            decode_point(candidate).map(|point| point.mul_by_cofactor())
        })
        .find(|point| !point.is_identity())
        .expect("each of 256 tries succeeds with probability 1/2, whoever chose the input")
}

/// `ECVRF_challenge_generation` (section 5.4.3) over the encodings of Y, H, Gamma, U and V.
pub(super) fn challenge(points: [&[u8; 32]; 5]) -> [u8; CHALLENGE_BYTES] {
    let mut hasher = Sha512::new().chain_update([SUITE, CHALLENGE_FRONT]);
    for point in points {
        hasher.update(point);
    }
    let digest = hasher.chain_update([BACK]).finalize();
    *digest.first_chunk().expect("SHA-512 digests have 64 bytes")
}

/// `ECVRF_proof_to_hash` (section 5.2) of the encoding of cofactor * Gamma.
pub(super) fn proof_to_hash(cleared_gamma: &[u8; 32]) -> [u8; 64] {
    Sha512::new()
        .chain_update([SUITE, PROOF_TO_HASH_FRONT])
        .chain_update(cleared_gamma)
        .chain_update([BACK])
        .finalize()
        .into()
}
