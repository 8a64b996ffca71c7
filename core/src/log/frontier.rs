//! The right edge of a growing log: all that is needed to append and to know the root.

use thiserror::Error;

use super::{NodeSource, node_hash};
use crate::Hash;
use crate::codec::{DecodeError, Reader};
use crate::limits::LOG_SIZE_MAX;

/// The log holds [`LOG_SIZE_MAX`] entries, so nothing can be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the log is full")]
pub struct LogFull;

/// The largest complete subtrees of a log, at most 63 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One hash for each one bit of `size`, largest subtree first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The edge of the empty log.
    pub const fn new() -> Self {
        Self {
            size: 0,
            peaks: Vec::new(),
        }
    }

    /// The edge of a log of `size` entries, from its nodes.
    ///
    /// # Errors
    ///
    /// Those of the source. That the hashes are those of the log cannot be seen here: compare
    /// [`Self::root`].
    pub fn load<S: NodeSource>(size: u64, source: &S) -> Result<Self, S::Error> {
        let mut peaks = Vec::with_capacity(63);
        let mut first = 0;
        for level in (0..64u8).rev().filter(|level| size >> level & 1 == 1) {
            peaks.push(source.node(level, first >> level)?);
            first += 1u64 << level;
        }
        Ok(Self { size, peaks })
    }

    /// How many entries the log has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends the leaf with hash `leaf`.
    ///
    /// # Errors
    ///
    /// [`LogFull`] at [`LOG_SIZE_MAX`] entries; nothing is changed then.
    pub fn append(&mut self, leaf: Hash) -> Result<(), LogFull> {
        if self.size >= LOG_SIZE_MAX {
            return Err(LogFull);
        }
        let mut hash = leaf;
        // As a carry in binary addition: each trailing one bit is a subtree of equal size.
        for _ in 0..self.size.trailing_ones() {
            let left = self
                .peaks
                .pop()
                .expect("each one bit of the size has its peak");
            hash = node_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
        Ok(())
    }

    /// The log's root.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else {
            return Hash::EMPTY_LOG;
        };
        peaks.fold(*smallest, |right, left| node_hash(left, &right))
    }

    /// Encodes the state: size `u64`, then the hashes, largest subtree first.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * self.peaks.len());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        for peak in &self.peaks {
            bytes.extend_from_slice(peak.as_bytes());
        }
        bytes
    }

    /// Decodes what [`Self::encode`] made.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when `bytes` is not the encoding of a state; the storage is at fault. That
    /// the hashes are those of the log cannot be seen here: compare [`Self::root`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let size = reader.u64("log size")?;
        if size > LOG_SIZE_MAX {
            return Err(DecodeError::Invalid { field: "log size" });
        }
        let peaks = (0..size.count_ones())
            .map(|_| reader.hash("peak"))
            .collect::<Result<Vec<_>, _>>()?;
        reader.finish()?;
        Ok(Self { size, peaks })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn frontier(size: u64) -> Frontier {
        let mut frontier = Frontier::new();
        for index in 0..size {
            frontier
                .append(crate::log::leaf_hash(&index.to_be_bytes()))
                .unwrap();
        }
        frontier
    }

    #[test]
    fn the_encoding_returns_the_same_state_and_is_strict() {
        for size in 0..20 {
            let state = frontier(size);
            let bytes = state.encode();
            assert_eq!(Frontier::decode(&bytes), Ok(state));
            for length in 0..bytes.len() {
                assert!(Frontier::decode(&bytes[..length]).is_err());
            }
            assert!(Frontier::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_size_beyond_the_limit_is_neither_decoded_nor_reached() {
        let full = [&LOG_SIZE_MAX.to_be_bytes()[..], &[0; 63 * 32]].concat();
        let mut full = Frontier::decode(&full).unwrap();
        assert_eq!(full.append(Hash::ZERO), Err(LogFull));
        assert_eq!(full.size(), LOG_SIZE_MAX);
        let above = [&(LOG_SIZE_MAX + 1).to_be_bytes()[..], &[0; 32]].concat();
        assert_eq!(
            Frontier::decode(&above),
            Err(DecodeError::Invalid { field: "log size" })
        );
    }
}
