//! The verifier's side.

use core::fmt;

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};

use super::primitives::{CHALLENGE_BYTES, challenge, encode_to_curve, proof_to_hash};
use super::{VrfError, VrfProof};
use crate::crypto::point::{decode_point, decode_public_key};
use crate::crypto::{PublicKeyError, SearchKey, write_hex};

/// A log's VRF public key, validated.
#[derive(Clone)]
pub struct VrfPublicKey {
    bytes: [u8; 32],
    /// -Y, because verification subtracts.
    negated: EdwardsPoint,
}

impl VrfPublicKey {
    /// Validates a public key (`ECVRF_validate_key`, RFC 9381, section 5.4.5).
    ///
    /// # Errors
    ///
    /// [`PublicKeyError`] when it is not canonical or has small order: the log is at fault.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, PublicKeyError> {
        let point = decode_public_key(bytes)?;
        Ok(Self {
            bytes: *bytes,
            negated: -point,
        })
    }

    /// The key of a secret scalar, which the clamping of RFC 8032 keeps from being zero.
    pub(super) fn from_secret_scalar(scalar: &Scalar) -> Self {
        let point = EdwardsPoint::mul_base(scalar);
        Self {
            bytes: point.compress().0,
            negated: -point,
        }
    }

    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Checks `proof` and returns the search key that it proves for `alpha` (`ECVRF_verify`,
    /// RFC 9381, section 5.3).
    ///
    /// # Errors
    ///
    /// [`VrfError`] when the proof is malformed or for something else: the log is at fault.
    pub fn verify(&self, alpha: &[u8], proof: &VrfProof) -> Result<SearchKey, VrfError> {
        let Decoded {
            gamma_bytes,
            gamma,
            c_bytes,
            s,
        } = Decoded::from_proof(proof)?;
        let c = Scalar::from(u128::from_le_bytes(*c_bytes));
        let h = encode_to_curve(&self.bytes, alpha);

        // U = s*B - c*Y and V = s*H - c*Gamma; all of it is public.
        let u = EdwardsPoint::vartime_double_scalar_mul_basepoint(&c, &self.negated, &s);
        let v = EdwardsPoint::vartime_multiscalar_mul([s, c], [h, -gamma]);
        let points = [h, u, v, gamma.mul_by_cofactor()];
        let [h, u, v, cleared_gamma] = EdwardsPoint::compress_batch(&points).map(|it| it.0);

        if challenge([&self.bytes, &h, gamma_bytes, &u, &v]) != *c_bytes {
            return Err(VrfError::ChallengeMismatch);
        }
        Ok(SearchKey::from_output(&proof_to_hash(&cleared_gamma)))
    }
}

impl PartialEq for VrfPublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for VrfPublicKey {}

impl fmt::Debug for VrfPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.bytes, f)
    }
}

/// A proof whose parts are well formed (`ECVRF_decode_proof`, RFC 9381, section 5.4.4), and whose
/// point does not have small order.
struct Decoded<'a> {
    gamma_bytes: &'a [u8; 32],
    gamma: EdwardsPoint,
    c_bytes: &'a [u8; CHALLENGE_BYTES],
    s: Scalar,
}

impl<'a> Decoded<'a> {
    fn from_proof(VrfProof(bytes): &'a VrfProof) -> Result<Self, VrfError> {
        let (gamma_bytes, rest) = bytes.split_first_chunk().expect("80 bytes hold a point");
        let (c_bytes, s_bytes) = rest.split_first_chunk().expect("48 bytes hold a challenge");
        let s_bytes = s_bytes
            .try_into()
            .expect("32 bytes are left for the scalar");
        let s = Option::from(Scalar::from_canonical_bytes(s_bytes))
            .ok_or(VrfError::NonCanonicalScalar)?;
        let gamma = decode_point(gamma_bytes).ok_or(VrfError::InvalidPoint)?;
        if gamma.mul_by_cofactor().is_identity() {
            return Err(VrfError::SmallOrderPoint);
        }
        Ok(Self {
            gamma_bytes,
            gamma,
            c_bytes,
            s,
        })
    }
}
