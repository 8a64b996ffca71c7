//! Tiles as a prover's node store, and what an append changes in them.
//!
//! A tile holds the lowest of eight levels of the tree; the seven above it are hashed when they
//! are asked for, at most 255 node hashes. Appending rewrites the right edge only: the last
//! partial tile of each level that grows.

use thiserror::Error;

use super::tile::{TILE_WIDTH, Tile, hashes_at, partial_width};
use super::{NodeSource, node_hash};
use crate::Hash;
use crate::limits::LOG_SIZE_MAX;

/// Where tiles are read from: a store, a cache, a server.
pub trait TileReader {
    /// Why a tile could not be had.
    type Error;
    /// How the bytes of a tile are held.
    type Bytes: AsRef<[u8]>;

    /// The content of `tile`: its width times 32 bytes.
    ///
    /// # Errors
    ///
    /// Whatever keeps the reader from answering.
    fn tile(&self, tile: Tile) -> Result<Self::Bytes, Self::Error>;
}

/// Why a node could not be had from tiles, or tiles not be extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TileError<E> {
    /// The log has no such complete subtree, or would exceed [`LOG_SIZE_MAX`]; the caller is at
    /// fault.
    #[error("the log does not reach there")]
    OutOfRange,
    /// The tile's content does not have its width times 32 bytes; whoever keeps the tiles is at
    /// fault.
    #[error("tile has {actual} bytes instead of {expected}")]
    WrongLength {
        /// Bytes that the tile must have.
        expected: usize,
        /// Bytes that were read.
        actual: usize,
    },
    /// The reader failed.
    #[error("cannot read a tile")]
    Reader(#[source] E),
}

/// The nodes of a log of a given size, read from its tiles.
#[derive(Clone, Copy, Debug)]
pub struct TileNodes<'a, R> {
    reader: &'a R,
    size: u64,
}

impl<'a, R: TileReader> TileNodes<'a, R> {
    /// Reads the tiles that a log of `size` entries has, partial ones at the width they have then.
    pub const fn new(reader: &'a R, size: u64) -> Self {
        Self { reader, size }
    }
}

impl<R: TileReader> NodeSource for TileNodes<'_, R> {
    type Error = TileError<R::Error>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let (tile_level, height) = (level / 8, level % 8);
        let hashes = hashes_at(self.size, tile_level);
        if index >= hashes >> height {
            return Err(TileError::OutOfRange);
        }
        let first = index << height;
        let tile = Tile::in_log(tile_level, first >> 8, self.size).ok_or(TileError::OutOfRange)?;
        let content = read(self.reader, tile)?;
        let offset = usize::try_from(first & 0xff).expect("a byte fits a usize");
        Ok(complete_root(&content[offset..offset + (1 << height)]))
    }
}

/// A tile that an append made or widened, with all its hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedTile {
    /// Which tile, at its new width.
    pub tile: Tile,
    /// Its content: the width times 32 bytes.
    pub content: Vec<u8>,
}

/// The tiles that change when `leaves` (hashes) are appended to a log of `old_size` entries, each
/// as it is after the append, lowest level first.
///
/// # Errors
///
/// [`TileError`] when the log would be too long, or when a partial tile of the old log cannot be
/// read or has another length than `old_size` says.
pub fn changed_tiles<R: TileReader>(
    old_size: u64,
    leaves: &[Hash],
    reader: &R,
) -> Result<Vec<ChangedTile>, TileError<R::Error>> {
    let appended = u64::try_from(leaves.len()).map_err(|_| TileError::OutOfRange)?;
    if old_size
        .checked_add(appended)
        .is_none_or(|size| size > LOG_SIZE_MAX)
    {
        return Err(TileError::OutOfRange);
    }
    let mut changed = Vec::new();
    let mut added = leaves.to_vec();
    for level in 0.. {
        if added.is_empty() {
            break;
        }
        let edge = hashes_at(old_size, level) >> 8;
        let mut hashes = match Tile::new(level, edge, partial_width(old_size, level)) {
            Some(tile) => read(reader, tile)?,
            None => Vec::new(),
        };
        hashes.append(&mut added);
        for (index, content) in (edge..).zip(hashes.chunks(usize::from(TILE_WIDTH))) {
            let width = u16::try_from(content.len()).expect("a chunk has at most 256 hashes");
            let tile = Tile::new(level, index, width).ok_or(TileError::OutOfRange)?;
            if width == TILE_WIDTH {
                added.push(complete_root(content));
            }
            let content = content.iter().flat_map(|hash| hash.0).collect();
            changed.push(ChangedTile { tile, content });
        }
    }
    Ok(changed)
}

fn read<R: TileReader>(reader: &R, tile: Tile) -> Result<Vec<Hash>, TileError<R::Error>> {
    let content = reader.tile(tile).map_err(TileError::Reader)?;
    let content = content.as_ref();
    let expected = usize::from(tile.width()) * 32;
    if content.len() != expected {
        return Err(TileError::WrongLength {
            expected,
            actual: content.len(),
        });
    }
    let (hashes, _) = content.as_chunks::<32>();
    Ok(hashes.iter().copied().map(Hash).collect())
}

/// The root above a power of two of hashes.
fn complete_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&complete_root(left), &complete_root(right))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::log::{Frontier, leaf_hash, prove_inclusion, root, verify_inclusion};

    #[derive(Default)]
    struct Store(BTreeMap<Tile, Vec<u8>>);

    impl TileReader for Store {
        type Error = Tile;
        type Bytes = Vec<u8>;

        fn tile(&self, tile: Tile) -> Result<Vec<u8>, Tile> {
            self.0.get(&tile).cloned().ok_or(tile)
        }
    }

    impl Store {
        fn append(&mut self, old_size: u64, leaves: &[Hash]) -> Vec<Tile> {
            let changed = changed_tiles(old_size, leaves, self).unwrap();
            let tiles = changed.iter().map(|changed| changed.tile).collect();
            self.0.extend(
                changed
                    .into_iter()
                    .map(|changed| (changed.tile, changed.content)),
            );
            tiles
        }
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count)
            .map(|index| leaf_hash(&index.to_be_bytes()))
            .collect()
    }

    #[test]
    fn the_example_of_70000_entries_has_its_tiles_and_its_root() {
        let leaves = leaves(70_000);
        let mut store = Store::default();
        store.append(0, &leaves);
        let full = |level| {
            store
                .0
                .keys()
                .filter(|tile| tile.level() == level && tile.width() == 256)
                .count()
        };
        assert_eq!([full(0), full(1), full(2)], [273, 1, 0]);
        let partial: Vec<_> = store
            .0
            .keys()
            .filter(|tile| tile.width() < 256)
            .copied()
            .collect();
        let expected = [(0, 273, 112), (1, 1, 17), (2, 0, 1)];
        assert_eq!(
            partial,
            expected.map(|(l, n, w)| Tile::new(l, n, w).unwrap())
        );

        let mut frontier = Frontier::new();
        leaves
            .iter()
            .for_each(|leaf| frontier.append(*leaf).unwrap());
        let nodes = TileNodes::new(&store, 70_000);
        assert_eq!(root(70_000, &nodes), Ok(frontier.root()));
        for index in [0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
            let proof = prove_inclusion(index, 70_000, &nodes).unwrap();
            let leaf = leaf_hash(&index.to_be_bytes());
            verify_inclusion(index, 70_000, &leaf, &proof, &frontier.root()).unwrap();
        }
    }

    #[test]
    fn however_the_leaves_are_grouped_the_tiles_are_the_same() {
        let leaves = leaves(1500);
        let mut store = Store::default();
        let mut frontier = Frontier::new();
        let mut size = 0;
        for step in [1, 2, 252, 1, 1, 255, 256, 257, 300, 0, 175] {
            let appended = &leaves[size..size + step];
            store.append(size as u64, appended);
            appended
                .iter()
                .for_each(|leaf| frontier.append(*leaf).unwrap());
            size += step;
            let nodes = TileNodes::new(&store, size as u64);
            assert_eq!(
                root(size as u64, &nodes),
                Ok(frontier.root()),
                "size {size}"
            );
        }
        assert_eq!(size, 1500);
    }

    #[test]
    fn an_append_yields_only_the_tiles_that_change() {
        let leaves = leaves(258);
        let mut store = Store::default();
        store.append(0, &leaves[..255]);
        let tile = |level, index, width| Tile::new(level, index, width).unwrap();
        assert_eq!(
            store.append(255, &leaves[255..256]),
            [tile(0, 0, 256), tile(1, 0, 1)]
        );
        assert_eq!(store.append(256, &leaves[256..]), [tile(0, 1, 2)]);
        assert_eq!(store.append(258, &[]), []);
    }

    #[test]
    fn missing_short_and_long_tiles_are_errors() {
        let mut store = Store::default();
        store.append(0, &leaves(3));
        let tile = Tile::new(0, 0, 3).unwrap();
        for length in [0, 95, 97, 128] {
            store.0.insert(tile, vec![0; length]);
            let wrong = Err(TileError::WrongLength {
                expected: 96,
                actual: length,
            });
            assert_eq!(TileNodes::new(&store, 3).node(0, 0), wrong);
            assert_eq!(
                changed_tiles(3, &leaves(1), &store).map(drop),
                wrong.map(drop)
            );
        }
        store.0.clear();
        let missing = Err(TileError::Reader(tile));
        assert_eq!(TileNodes::new(&store, 3).node(0, 0), missing);
        assert_eq!(
            changed_tiles(3, &leaves(1), &store).map(drop),
            missing.map(drop)
        );
    }

    #[test]
    fn nodes_beyond_the_log_and_logs_beyond_the_limit_are_errors() {
        let mut store = Store::default();
        store.append(0, &leaves(3));
        let nodes = TileNodes::new(&store, 3);
        for (level, index) in [
            (0, 3),
            (1, 1),
            (2, 0),
            (63, 0),
            (64, 0),
            (255, 0),
            (0, u64::MAX),
        ] {
            assert_eq!(nodes.node(level, index), Err(TileError::OutOfRange));
        }
        for size in [LOG_SIZE_MAX, u64::MAX] {
            assert_eq!(
                changed_tiles(size, &leaves(1), &store),
                Err(TileError::OutOfRange)
            );
        }
    }
}
