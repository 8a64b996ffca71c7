//! The root of a map from its leaves in order, in constant memory.
//!
//! It shares nothing with the server's tree but the rule, so the two check each other.

use candor_core::Hash;
use candor_core::crypto::SearchKey;
use candor_core::limits::SEARCH_KEY_BITS;
use candor_core::map::{Leaf, hash_leaf, hash_parent};

/// Takes the leaves of a map in strictly ascending order.
#[derive(Default)]
pub(super) struct RootOfLeaves {
    /// Whole subtrees left of the last leaf, by falling size: each with its depth in the tree.
    left: Vec<(usize, Hash)>,
    /// The last leaf, and how many bits it shares with the one before.
    last: Option<(Leaf, Option<usize>)>,
}

impl RootOfLeaves {
    pub(super) fn push(&mut self, leaf: Leaf) {
        let shared = self.last.map(|(last, _)| shared_bits(&last.key, &leaf.key));
        if let Some(shared) = shared {
            self.close(Some(shared));
        }
        self.last = Some((leaf, shared));
    }

    pub(super) fn finish(mut self) -> Hash {
        self.close(None);
        self.left.pop().map_or(Hash::ZERO, |(_, root)| root)
    }

    /// Puts the last leaf in its place, and joins what the next one, which shares so many bits with
    /// it, cannot be below any more.
    fn close(&mut self, next: Option<usize>) {
        let Some((leaf, previous)) = self.last else {
            return;
        };
        let branches_above = previous.max(next);
        let mut depth = branches_above.map_or(0, |shared| shared + 1);
        let top = next.map_or(0, |shared| shared + 1);
        let mut hash = hash_leaf(&leaf);
        while depth > top {
            depth -= 1;
            hash = if leaf.key.bit(depth) {
                let sibling = self.left.pop_if(|(at, _)| *at == depth + 1);
                hash_parent(&sibling.map_or(Hash::ZERO, |(_, hash)| hash), &hash)
            } else {
                hash_parent(&hash, &Hash::ZERO)
            };
        }
        self.left.push((depth, hash));
    }
}

/// How many first bits two different keys share.
fn shared_bits(a: &SearchKey, b: &SearchKey) -> usize {
    let differs = |depth: &usize| a.bit(*depth) != b.bit(*depth);
    (0..SEARCH_KEY_BITS)
        .find(differs)
        .unwrap_or(SEARCH_KEY_BITS - 1)
}

#[cfg(test)]
mod tests {
    use candor_core::crypto::Commitment;
    use candor_core::map::Leaves;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_root_by_the_rule(
            keys in prop::collection::btree_set(
                (any::<u8>(), prop_oneof![Just(0), Just(0xff)], any::<u8>()),
                0..40,
            ),
        ) {
            let leaves: Vec<Leaf> = keys
                .into_iter()
                .map(|(first, fill, last)| {
                    let mut key = [fill; 32];
                    (key[0], key[31]) = (first, last);
                    Leaf { key: SearchKey(key), commitment: Commitment(key) }
                })
                .collect();
            let mut root = RootOfLeaves::default();
            for leaf in &leaves {
                root.push(*leaf);
            }
            prop_assert_eq!(root.finish(), Leaves::root(&leaves).subtree_hash());
        }
    }
}
