//! The verifiable map: a binary prefix tree from search keys to commitments, insert only.
//!
//! The tree has no form of its own at rest: everything follows from its sorted leaves by the one
//! rule in [`tree`]. Provers walk a tree through the small trait [`Node`], so that the same code
//! proves over a slice of leaves (in tests, in vectors, inside a bucket) and over the server's
//! stored tree; verifiers get bytes only. What this rules out: a proof whose form depends on how a
//! server stores its tree, and two provers that disagree.
//!
//! - [`proof`]: batch proofs of inclusion and absence (KEYTRANS, "Prefix Tree").
//! - [`ladder`]: which versions to look up, so that one root shows the greatest version.
//! - [`delta`]: what an epoch inserted, checked by anyone who knows the root before.

pub mod delta;
pub mod ladder;
pub mod proof;
pub mod tree;

pub use delta::{AuditDelta, DeltaError, VerifiedDelta};
pub use proof::{Expectation, PrefixProof, PrefixProofError, Proved, SearchResult, prove};
pub use tree::{Leaf, Leaves, Node, Shape, hash_leaf, hash_parent};
