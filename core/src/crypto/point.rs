//! Decoding of edwards25519 points that accepts one encoding of each.
//!
//! The curve library reduces `y` modulo p and ignores the sign of `x = 0`, so alone it accepts 26
//! second encodings. RFC 8032, section 5.1.3, refuses them, and so must every verifier: two that
//! differ would disagree on which keys and proofs are valid.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::traits::IsIdentity as _;

use super::PublicKeyError;

/// The points with `x = 0`, `y = 1` and `y = -1`, with the sign of `x` set.
const NEGATIVE_ZERO_X: [[u8; 32]; 2] = [with_ends(0x01, 0x00, 0x80), with_ends(0xec, 0xff, 0xff)];

/// Decodes a point as RFC 8032, section 5.1.3, says: `None` for what is no point, and for a second
/// encoding of one. Takes variable time: points that are decoded are public.
pub(super) fn decode_point(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    if !is_reduced(bytes) || NEGATIVE_ZERO_X.contains(bytes) {
        return None;
    }
    CompressedEdwardsY(*bytes).decompress()
}

/// Decodes a public key, and refuses the points whose order divides the cofactor.
pub(super) fn decode_public_key(bytes: &[u8; 32]) -> Result<EdwardsPoint, PublicKeyError> {
    let point = decode_point(bytes).ok_or(PublicKeyError::InvalidEncoding)?;
    if point.mul_by_cofactor().is_identity() {
        return Err(PublicKeyError::SmallOrder);
    }
    Ok(point)
}

/// Whether `y`, without the sign bit, is below p = 2^255 - 19. From p on, all bytes but the lowest
/// are ones.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    bytes[31] & 0x7f != 0x7f || bytes[1..31].iter().any(|&byte| byte != 0xff) || bytes[0] < 0xed
}

const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::EIGHT_TORSION;

    /// Every encoding with `y` in p..2^255, and the two with a negative zero `x`.
    fn second_encodings() -> Vec<[u8; 32]> {
        let unreduced =
            (0xed..=0xff).flat_map(|low| [with_ends(low, 0xff, 0x7f), with_ends(low, 0xff, 0xff)]);
        unreduced.chain(NEGATIVE_ZERO_X).collect()
    }

    #[test]
    fn second_encodings_are_refused_although_the_curve_library_takes_some() {
        let encodings = second_encodings();
        assert_eq!(encodings.len(), 2 * 19 + 2);
        assert!(encodings.iter().all(|bytes| decode_point(bytes).is_none()));
        let taken = |bytes: &&[u8; 32]| CompressedEdwardsY(**bytes).decompress().is_some();
        assert_eq!(encodings.iter().filter(taken).count(), 26);
    }

    #[test]
    fn the_encodings_next_to_the_refused_ones_are_accepted_if_they_are_points() {
        for low in 0..=0xec {
            for bytes in [with_ends(low, 0xff, 0x7f), with_ends(low, 0x00, 0x00)] {
                let lenient = CompressedEdwardsY(bytes).decompress();
                assert_eq!(decode_point(&bytes), lenient);
                assert!(lenient.is_none_or(|point| point.compress().0 == bytes));
            }
        }
    }

    #[test]
    fn all_eight_torsion_points_are_points_and_no_public_keys() {
        for point in EIGHT_TORSION {
            let bytes = point.compress().0;
            assert_eq!(decode_point(&bytes), Some(point));
            assert_eq!(decode_public_key(&bytes), Err(PublicKeyError::SmallOrder));
        }
    }

    #[test]
    fn what_is_no_point_is_no_public_key() {
        let mut bytes = [0; 32];
        bytes[0] = 2; // y = 2 is on no point of the curve.
        assert_eq!(
            decode_public_key(&bytes),
            Err(PublicKeyError::InvalidEncoding)
        );
    }
}
