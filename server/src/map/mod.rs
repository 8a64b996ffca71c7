//! The map at rest and in memory.
//!
//! At rest there are only leaf rows, ordered by search key, each with the epoch that inserted it.
//! In memory there is the [`skeleton`]: the upper part of the prefix tree as an immutable binary
//! tree, down to *buckets* of at most [`skeleton::BUCKET_LEAVES_MAX`] leaves, of which it keeps the
//! hash and the count. What is below a bucket is one short range scan of the rows, or is in a
//! [`cache`] by the bucket's hash. An update makes a new skeleton that shares everything it did not
//! change with the old one, so a snapshot costs what an epoch changed, and readers need no lock.
//! What this rules out: pages to version, a tree at rest that could disagree with the leaves, a
//! pause in which the tree grows by a level (a bucket that is full splits, alone).
//!
//! - [`rows`]: leaf rows in the store.
//! - [`bucket`]: some leaves with the hashes above them.
//! - [`cache`]: recently used buckets.
//! - [`skeleton`]: the tree in memory, and building it from the rows.
//! - [`mod@insert`]: one sorted batch into a skeleton, with the audit delta from the same pass.
//! - [`walk`]: a skeleton and the buckets of its epoch as one tree that provers walk.

pub mod bucket;
pub mod cache;
pub mod insert;
pub mod rows;
pub mod skeleton;
pub mod walk;

pub use cache::{BucketCache, Buckets, FreshBuckets};
pub use insert::{Inserted, insert};
pub use rows::{LeafRows, RowError};
pub use skeleton::Skeleton;
pub use walk::Position;
