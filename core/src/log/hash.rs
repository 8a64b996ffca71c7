//! The two hashes of an RFC 6962 tree.

use crate::hash::{Domain, Hash, hash_parts};

/// The hash of the leaf that holds `entry` (RFC 6962, section 2.1).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    hash_parts(Domain::LogLeaf, &[entry])
}

/// The hash of the node above `left` and `right` (RFC 6962, section 2.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash_parts(Domain::LogNode, &[left.as_bytes(), right.as_bytes()])
}
