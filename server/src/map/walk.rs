//! A skeleton and the rows of its epoch as one tree that provers walk.

use std::ops::Range;
use std::sync::Arc;

use candor_core::Hash;
use candor_core::map::{Leaf, Leaves, Node, Shape};

use super::rows::{LeafRows, Prefix, RowError};
use super::skeleton::{Below, Skeleton};

/// A position of the map at one epoch.
pub struct Position<'a> {
    rows: LeafRows<'a>,
    place: Place<'a>,
}

enum Place<'a> {
    /// In memory.
    Upper { node: &'a Skeleton, prefix: Prefix },
    /// Inside a bucket whose leaves were read.
    Lower {
        bucket: Arc<[Leaf]>,
        range: Range<usize>,
        depth: usize,
    },
}

impl<'a> Position<'a> {
    /// The root of the map. `rows` must be those of the epoch of `skeleton`.
    pub const fn root(skeleton: &'a Skeleton, rows: LeafRows<'a>) -> Self {
        Self {
            rows,
            place: Place::Upper {
                node: skeleton,
                prefix: Prefix::ROOT,
            },
        }
    }

    fn at(&self, place: Place<'a>) -> Self {
        Self {
            rows: self.rows,
            place,
        }
    }

    fn open_lower(&self, bucket: &Arc<[Leaf]>, range: &Range<usize>, depth: usize) -> Shape<Self> {
        match &bucket[range.clone()] {
            [] => Shape::Absent,
            [leaf] => Shape::Leaf(*leaf),
            leaves => {
                let (left, _) = candor_core::map::delta::split(leaves, depth);
                let middle = range.start + left.len();
                let half = |range| {
                    let bucket = Arc::clone(bucket);
                    self.at(Place::Lower {
                        bucket,
                        range,
                        depth: depth + 1,
                    })
                };
                Shape::Parent(half(range.start..middle), half(middle..range.end))
            }
        }
    }
}

impl Node for Position<'_> {
    type Error = RowError;

    fn hash(&self) -> Result<Hash, RowError> {
        Ok(match &self.place {
            Place::Upper { node, .. } => node.hash(),
            Place::Lower {
                bucket,
                range,
                depth,
            } => Leaves::new(&bucket[range.clone()], *depth).subtree_hash(),
        })
    }

    fn open(&self) -> Result<Shape<Self>, RowError> {
        match &self.place {
            Place::Lower {
                bucket,
                range,
                depth,
            } => Ok(self.open_lower(bucket, range, *depth)),
            Place::Upper { node, prefix } => match node.below() {
                Below::Branch(children) => {
                    let [left, right] = prefix.children();
                    let upper = |node, prefix| self.at(Place::Upper { node, prefix });
                    Ok(Shape::Parent(
                        upper(&children[0], left),
                        upper(&children[1], right),
                    ))
                }
                Below::Bucket { leaves: 0 } => Ok(Shape::Absent),
                Below::Bucket { .. } => {
                    let bucket: Arc<[Leaf]> = self.rows.bucket(prefix, &node.hash())?.into();
                    let all = 0..bucket.len();
                    Ok(self.open_lower(&bucket, &all, prefix.depth()))
                }
            },
        }
    }
}
