//! A skeleton and the buckets of its epoch as one tree that provers walk.

use candor_core::Hash;
use candor_core::map::{Node, Shape};

use super::bucket::Cursor;
use super::cache::Buckets;
use super::rows::{Prefix, RowError};
use super::skeleton::{Below, Skeleton};

/// A position of the map at one epoch.
pub struct Position<'a> {
    buckets: &'a Buckets<'a>,
    place: Place<'a>,
}

enum Place<'a> {
    /// In the skeleton.
    Upper { node: &'a Skeleton, prefix: Prefix },
    /// Inside a bucket.
    Lower(Cursor),
}

impl<'a> Position<'a> {
    /// The root of the map. `buckets` must be those of the epoch of `skeleton`.
    pub const fn root(skeleton: &'a Skeleton, buckets: &'a Buckets<'a>) -> Self {
        Self {
            buckets,
            place: Place::Upper {
                node: skeleton,
                prefix: Prefix::ROOT,
            },
        }
    }

    const fn at(&self, place: Place<'a>) -> Self {
        Self {
            buckets: self.buckets,
            place,
        }
    }

    fn open_lower(&self, cursor: &Cursor) -> Shape<Self> {
        let Ok(shape) = cursor.open();
        match shape {
            Shape::Absent => Shape::Absent,
            Shape::Leaf(leaf) => Shape::Leaf(leaf),
            Shape::Parent(left, right) => {
                Shape::Parent(self.at(Place::Lower(left)), self.at(Place::Lower(right)))
            }
        }
    }
}

impl Node for Position<'_> {
    type Error = RowError;

    fn hash(&self) -> Result<Hash, RowError> {
        Ok(match &self.place {
            Place::Upper { node, .. } => node.hash(),
            Place::Lower(cursor) => {
                let Ok(hash) = cursor.hash();
                hash
            }
        })
    }

    fn open(&self) -> Result<Shape<Self>, RowError> {
        match &self.place {
            Place::Lower(cursor) => Ok(self.open_lower(cursor)),
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
                    let bucket = self.buckets.get(prefix, &node.hash())?;
                    Ok(self.open_lower(&Cursor::top(bucket)))
                }
            },
        }
    }
}
