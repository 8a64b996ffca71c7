//! Leaf rows: search key → commitment and the epoch that inserted it. They are all of the tree that
//! is at rest.

use std::ops::ControlFlow;

use candor_core::crypto::{Commitment, SearchKey};
use candor_core::limits::SEARCH_KEY_BITS;
use candor_core::map::Leaf;
use thiserror::Error;

use crate::storage::{Batch, KeyRange, Order, ReadError, Storage, Table};

/// Why leaf rows could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RowError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A row does not have the form that this program writes, or rows do not have the hash that
    /// they had: the store is damaged.
    #[error("a leaf row is damaged")]
    Damaged,
}

/// The first bits of search keys that a position of the tree stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bits: [u8; 32],
    depth: usize,
}

impl Prefix {
    /// The prefix of the root: every key has it.
    pub const ROOT: Self = Self {
        bits: [0; 32],
        depth: 0,
    };

    /// Number of bits.
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// The two prefixes that are one bit longer, ending in 0 and in 1.
    pub fn children(&self) -> [Self; 2] {
        debug_assert!(self.depth < SEARCH_KEY_BITS);
        let mut right = *self;
        right.bits[self.depth / 8] |= 0x80 >> (self.depth % 8);
        right.depth += 1;
        [
            Self {
                depth: self.depth + 1,
                ..*self
            },
            right,
        ]
    }

    /// The least key and the greatest key with this prefix.
    fn bounds(&self) -> [[u8; 32]; 2] {
        let mut last = self.bits;
        let (byte, bit) = (self.depth / 8, self.depth % 8);
        if byte < last.len() {
            last[byte] |= 0xff >> bit;
            last[byte + 1..].fill(0xff);
        }
        [self.bits, last]
    }
}

/// The leaf rows of a store up to an epoch.
#[derive(Clone, Copy)]
pub struct LeafRows<'a> {
    store: &'a dyn Storage,
    epoch: u64,
    /// Whether there may be rows of later epochs.
    is_newest: bool,
}

impl<'a> LeafRows<'a> {
    /// The rows that were inserted in `epoch` or before.
    pub fn new(store: &'a dyn Storage, epoch: u64) -> Self {
        Self {
            store,
            epoch,
            is_newest: false,
        }
    }

    /// The rows of a store whose newest epoch is `epoch`: a later row, left by half of a batch or
    /// altered, is damage.
    pub fn newest(store: &'a dyn Storage, epoch: u64) -> Self {
        Self {
            is_newest: true,
            ..Self::new(store, epoch)
        }
    }

    /// The leaves below a position, in ascending order.
    ///
    /// # Errors
    ///
    /// [`RowError`]; the environment is at fault.
    pub fn below(&self, prefix: &Prefix) -> Result<Vec<Leaf>, RowError> {
        let mut leaves = Vec::new();
        let mut damaged = false;
        let [first, last] = prefix.bounds();
        // A range ends before its end: at the least string after the last key.
        let range = KeyRange::new(first, [&last[..], &[0]].concat());
        self.store.scan(
            Table::Leaves,
            &range,
            Order::Ascending,
            &mut |key, value| {
                match decode(key, value) {
                    Some((leaf, epoch)) if epoch <= self.epoch => leaves.push(leaf),
                    Some(_) if !self.is_newest => {}
                    _ => damaged = true,
                }
                if damaged {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        )?;
        if damaged {
            Err(RowError::Damaged)
        } else {
            Ok(leaves)
        }
    }
}

/// Adds the row of a leaf to a batch.
pub fn put(batch: &mut Batch, leaf: &Leaf, epoch: u64) {
    let mut value = [0; 40];
    value[..32].copy_from_slice(&leaf.commitment.0);
    value[32..].copy_from_slice(&epoch.to_be_bytes());
    batch.put(Table::Leaves, leaf.key.0, value);
}

fn decode(key: &[u8], value: &[u8]) -> Option<(Leaf, u64)> {
    let (commitment, epoch) = value.split_first_chunk::<32>()?;
    let leaf = Leaf {
        key: SearchKey(key.try_into().ok()?),
        commitment: Commitment(*commitment),
    };
    Some((leaf, u64::from_be_bytes(epoch.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_first_and_last_key_of_a_prefix() {
        assert_eq!(Prefix::ROOT.bounds(), [[0; 32], [0xff; 32]]);
        let [_, right] = Prefix::ROOT.children();
        let [left_of_right, _] = right.children();
        let [first, last] = left_of_right.bounds();
        assert_eq!((first[0], last[0]), (0b1000_0000, 0b1011_1111));
        assert!(first[1..].iter().all(|byte| *byte == 0));
        assert!(last[1..].iter().all(|byte| *byte == 0xff));
        let mut whole = Prefix::ROOT;
        for _ in 0..SEARCH_KEY_BITS {
            whole = whole.children()[1];
        }
        assert_eq!(whole.bounds(), [[0xff; 32]; 2]);
    }
}
