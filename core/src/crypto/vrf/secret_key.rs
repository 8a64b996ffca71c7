//! The prover's side.

use core::fmt;

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use sha2::{Digest as _, Sha512};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::primitives::{challenge, encode_to_curve, proof_to_hash};
use super::{VrfProof, VrfPublicKey};
use crate::crypto::SearchKey;

/// The log's VRF key, expanded once from its seed. It is cleared when dropped.
#[derive(ZeroizeOnDrop)]
pub struct VrfSecretKey {
    /// The secret scalar x (RFC 8032, section 5.1.5).
    scalar: Scalar,
    /// The second half of the hashed seed, from which nonces are derived.
    nonce_prefix: [u8; 32],
    #[zeroize(skip)]
    public_key: VrfPublicKey,
}

impl VrfSecretKey {
    /// Expands a seed of 32 random bytes, `SK` of RFC 9381.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let expanded = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(seed)));
        let (low, high) = expanded.split_at(32);
        let low = Zeroizing::new(<[u8; 32]>::try_from(low).expect("half of 64 bytes"));
        let clamped = Zeroizing::new(clamp_integer(*low));
        let scalar = Scalar::from_bytes_mod_order(*clamped);
        Self {
            public_key: VrfPublicKey::from_secret_scalar(&scalar),
            scalar,
            nonce_prefix: high.try_into().expect("half of 64 bytes"),
        }
    }

    /// The key that verifies what this one proves.
    pub const fn public_key(&self) -> &VrfPublicKey {
        &self.public_key
    }

    /// The search key of `alpha`, without a proof, which costs about half as much.
    pub fn evaluate(&self, alpha: &[u8]) -> SearchKey {
        SearchKey::from_output(&self.output(alpha))
    }

    /// The whole VRF output of `alpha`, `beta` of RFC 9381; its first 32 bytes are the search key.
    pub fn output(&self, alpha: &[u8]) -> [u8; 64] {
        let gamma = encode_to_curve(self.public_key.as_bytes(), alpha) * self.scalar;
        proof_to_hash(&gamma.mul_by_cofactor().compress().0)
    }

    /// The search key of `alpha` and the proof of it (`ECVRF_prove`, RFC 9381, section 5.1).
    pub fn prove(&self, alpha: &[u8]) -> (SearchKey, VrfProof) {
        let h = encode_to_curve(self.public_key.as_bytes(), alpha);
        let h_bytes = h.compress().0;
        let gamma = h * self.scalar;
        let nonce = self.nonce(&h_bytes);
        let points = [
            gamma,
            EdwardsPoint::mul_base(&nonce),
            h * *nonce,
            gamma.mul_by_cofactor(),
        ];
        let [gamma, u, v, cleared_gamma] = EdwardsPoint::compress_batch(&points).map(|it| it.0);

        let c = challenge([self.public_key.as_bytes(), &h_bytes, &gamma, &u, &v]);
        let s = *nonce + Scalar::from(u128::from_le_bytes(c)) * self.scalar;

        let mut proof = [0; 80];
        proof[..32].copy_from_slice(&gamma);
        proof[32..48].copy_from_slice(&c);
        proof[48..].copy_from_slice(s.as_bytes());
        (
            SearchKey::from_output(&proof_to_hash(&cleared_gamma)),
            VrfProof(proof),
        )
    }

    /// `ECVRF_nonce_generation_RFC8032` (section 5.4.2.2). Two inputs never share a nonce, and no
    /// randomness is needed: a repeated nonce would give the key away.
    pub(super) fn nonce(&self, h_bytes: &[u8; 32]) -> Zeroizing<Scalar> {
        let hasher = Sha512::new()
            .chain_update(self.nonce_prefix)
            .chain_update(h_bytes);
        let digest = Zeroizing::new(<[u8; 64]>::from(hasher.finalize()));
        Zeroizing::new(Scalar::from_bytes_mod_order_wide(&digest))
    }
}

impl fmt::Debug for VrfSecretKey {
    /// Shows the public key only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VrfSecretKey")
            .field("public_key", &self.public_key)
            .finish_non_exhaustive()
    }
}
