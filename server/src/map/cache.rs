//! Buckets that are kept in memory, by their hash.
//!
//! A bucket never changes, an update makes another one, so the cache needs no rule for when an
//! entry is out of date: a snapshot finds the bucket that its own hash names, or reads the rows of
//! its epoch. What is found under a hash was compared with that hash once, when it was read or
//! made. Buckets that were replaced some epochs ago are let go, or they would fill the cache.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use candor_core::Hash;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::bucket::Bucket;
use super::rows::{LeafRows, Prefix, RowError};
use crate::metrics::tally::Tally;

/// Memory that the cache itself takes for an entry, in bytes, beside the bucket.
const ENTRY_BYTES: usize = 96;

/// What a bucket weighs before any was seen, to size the cache's table.
const TYPICAL_BYTES: u64 = 2_600;

/// Recently used buckets, up to a number of bytes.
#[derive(Debug)]
pub struct BucketCache {
    buckets: Cache<Hash, Arc<Bucket>, ByBytes, BuildHasherDefault<Uniform>>,
    hits: Tally,
    misses: Tally,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Hash, Arc<Bucket>> for ByBytes {
    fn weight(&self, _: &Hash, bucket: &Arc<Bucket>) -> u64 {
        (bucket.bytes() + ENTRY_BYTES) as u64
    }
}

impl BucketCache {
    /// A cache of at most this many bytes.
    pub fn new(bytes: u64) -> Self {
        let buckets = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self {
            buckets: Cache::with(
                buckets,
                bytes,
                ByBytes,
                BuildHasherDefault::default(),
                DefaultLifecycle::default(),
            ),
            hits: Tally::default(),
            misses: Tally::default(),
        }
    }

    /// Keeps a bucket.
    pub(super) fn insert(&self, bucket: Arc<Bucket>) {
        self.buckets.insert(bucket.hash(), bucket);
    }

    /// Keeps a bucket if no other has to go for it.
    pub(super) fn offer(&self, bucket: Bucket) {
        let room = self
            .buckets
            .capacity()
            .saturating_sub(self.buckets.weight());
        if (bucket.bytes() + ENTRY_BYTES) as u64 <= room {
            self.insert(Arc::new(bucket));
        }
    }

    /// Lets buckets go that no snapshot in use has: their room is for others.
    pub(crate) fn forget(&self, hashes: &[Hash]) {
        for hash in hashes {
            self.buckets.remove(hash);
        }
    }

    /// How often a bucket was found here.
    pub fn hits(&self) -> u64 {
        self.hits.count()
    }

    /// How often its rows had to be read.
    pub fn misses(&self) -> u64 {
        self.misses.count()
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        self.buckets.weight()
    }
}

/// Buckets of an epoch whose rows cannot be read yet, by their hash.
pub type FreshBuckets = HashMap<Hash, Arc<Bucket>, BuildHasherDefault<Uniform>>;

/// Hashes what is a hash already: its first bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uniform(u64);

impl Hasher for Uniform {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The buckets of the map as of one epoch.
pub struct Buckets<'a> {
    rows: LeafRows<'a>,
    cache: &'a BucketCache,
    fresh: Option<&'a FreshBuckets>,
}

impl<'a> Buckets<'a> {
    /// The buckets over these rows.
    pub const fn new(rows: LeafRows<'a>, cache: &'a BucketCache) -> Self {
        Self {
            rows,
            cache,
            fresh: None,
        }
    }

    /// The same after an epoch that is not stored yet.
    pub const fn with_fresh(self, fresh: &'a FreshBuckets) -> Self {
        Self {
            fresh: Some(fresh),
            ..self
        }
    }

    pub(super) const fn cache(&self) -> &'a BucketCache {
        self.cache
    }

    /// The bucket at a position that has this hash.
    ///
    /// # Errors
    ///
    /// [`RowError`]; the environment is at fault.
    pub fn get(&self, prefix: &Prefix, hash: &Hash) -> Result<Arc<Bucket>, RowError> {
        if let Some(bucket) = self.fresh.and_then(|fresh| fresh.get(hash)) {
            return Ok(Arc::clone(bucket));
        }
        if let Some(bucket) = self.cache.buckets.get(hash) {
            self.cache.hits.add();
            return Ok(bucket);
        }
        self.cache.misses.add();
        let leaves = self.rows.below(prefix)?;
        let bucket = Bucket::over(&leaves, prefix.depth());
        // Rows that do not have the position's hash are damaged, and must reach neither a signed
        // root nor an answer.
        if bucket.hash() != *hash {
            return Err(RowError::Damaged);
        }
        let bucket = Arc::new(bucket);
        self.cache.insert(Arc::clone(&bucket));
        Ok(bucket)
    }
}
