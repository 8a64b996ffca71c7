//! A value that devices overwrite, and of which a merge keeps the last.

use super::state::DeviceTag;

/// A value with the logical time of its writing. The order is total, first by time, then by writer,
/// then by value: a device that was restored from a backup may use a time twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Register<T> {
    pub clock: u64,
    pub writer: DeviceTag,
    pub value: T,
}

/// Keeps the greater of what is there and what comes.
pub(super) fn join<T: Ord>(kept: &mut Option<T>, comes: T) {
    if kept.as_ref().is_none_or(|kept| *kept < comes) {
        *kept = Some(comes);
    }
}

/// As [`join`], for one entry of a map.
pub(super) fn join_entry<K: Ord, V: Ord>(
    map: &mut std::collections::BTreeMap<K, V>,
    key: K,
    comes: V,
) {
    use std::collections::btree_map::Entry;
    match map.entry(key) {
        Entry::Vacant(place) => {
            place.insert(comes);
        }
        Entry::Occupied(mut place) => {
            if *place.get() < comes {
                place.insert(comes);
            }
        }
    }
}
