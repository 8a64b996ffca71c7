//! The log of epochs: an RFC 6962 Merkle tree, served as C2SP tlog-tiles.
//!
//! Verification ([`verify_inclusion`], [`verify_consistency`]) needs nothing but its arguments and
//! knows the one length that an honest proof has before it hashes anything, so a proof cannot be
//! padded, cut or read for another position. Proving asks a [`NodeSource`] for complete subtrees,
//! whatever holds them; [`TileNodes`] finds them in tiles. A party that only follows the right
//! edge keeps a [`Frontier`]. Proofs made from tiles that somebody else served are as good as any:
//! whoever needs them verifies them against a root that he trusts, so tiles need no trust.

mod bundle;
mod frontier;
mod hash;
mod proof;
mod prove;
mod subtree;
mod tile;
mod tiles;

pub use bundle::{EntryTooLong, decode_bundle, encode_bundle};
pub use frontier::{Frontier, LogFull};
pub use hash::{leaf_hash, node_hash};
pub use proof::{ProofError, consistency_roots, verify_consistency, verify_inclusion};
pub use prove::{NodeSource, ProveError, prove_consistency, prove_inclusion, root};
pub use subtree::{Subtree, verify_subtree};
pub use tile::{Bundle, PathError, TILE_WIDTH, Tile, TilePath, partial_width};
pub use tiles::{ChangedTile, TileError, TileNodes, TileReader, changed_tiles};
