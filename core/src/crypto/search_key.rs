//! Where a label-version lives in the prefix tree.

use core::fmt;

use super::suite::VRF_OUTPUT_BYTES;
use super::write_hex;

/// The truncated VRF output of a label-version: the key of its leaf in the prefix tree.
///
/// It tells nothing of the label to whoever lacks the VRF proof, so it may be shown. That a search
/// key belongs to a label is known only if [`super::VrfPublicKey::verify`] returned it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchKey(pub [u8; VRF_OUTPUT_BYTES]);

impl SearchKey {
    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8; VRF_OUTPUT_BYTES] {
        &self.0
    }

    /// Truncates a VRF output as the cipher suite says.
    pub(super) fn from_output(output: &[u8; 64]) -> Self {
        Self(*output.first_chunk().expect("64 bytes hold 32"))
    }

    /// The bit that chooses the child below the node at `depth`, the most significant first:
    /// `true` is right.
    ///
    /// # Panics
    ///
    /// When `depth` is not below [`crate::limits::SEARCH_KEY_BITS`]: no node is that deep.
    pub const fn bit(&self, depth: usize) -> bool {
        self.0[depth / 8] & (0x80 >> (depth % 8)) != 0
    }
}

impl fmt::Debug for SearchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SEARCH_KEY_BITS;

    #[test]
    fn bits_are_read_from_the_most_significant() {
        let mut bytes = [0; 32];
        bytes[0] = 0x80;
        bytes[1] = 0x01;
        bytes[31] = 0x01;
        let key = SearchKey(bytes);
        let set: Vec<usize> = (0..SEARCH_KEY_BITS)
            .filter(|&depth| key.bit(depth))
            .collect();
        assert_eq!(set, [0, 15, 255]);
    }

    #[test]
    fn keys_are_ordered_as_their_leaves_are_from_left_to_right() {
        let (mut left, mut right) = ([0xff; 32], [0; 32]);
        left[0] = 0x7f;
        right[0] = 0x80;
        assert!(SearchKey(left) < SearchKey(right));
        assert!(!SearchKey(left).bit(0) && SearchKey(right).bit(0));
    }
}
