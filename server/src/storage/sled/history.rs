//! What the newest batches replaced, so that readers can go on seeing the state before them.
//!
//! Each commit leads to a state with the next number. Its rows are put into the tree while readers
//! still see the state before; whoever reads a row in the meantime finds in the history what was
//! there. A scan keeps its state to its end, however many commits follow.

use std::collections::BTreeMap;
use std::sync::RwLock;

use super::Range;

/// The states that can be seen.
#[derive(Default)]
pub(super) struct History {
    /// The newest state that readers see.
    visible: u64,
    /// What each batch replaced, by the state that it leads to. At most one is beyond the visible.
    undo: BTreeMap<u64, Undo>,
    /// How many scans see a state.
    scans: BTreeMap<u64, usize>,
}

/// The rows that a batch replaces as they were, none for a row that was not there; in key order.
#[derive(Default)]
pub(super) struct Undo {
    rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    bytes: usize,
}

impl Undo {
    /// Adds a row, whose key is greater than those added before.
    pub(super) fn push(&mut self, key: Vec<u8>, replaced: Option<Vec<u8>>) {
        self.bytes += key.len() + replaced.as_ref().map_or(0, Vec::len);
        self.rows.push((key, replaced));
    }

    fn find(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let found = self.rows.binary_search_by(|(other, _)| (**other).cmp(key));
        Some(self.rows[found.ok()?].1.as_deref())
    }
}

impl History {
    /// Prepares for a batch to be applied, which nobody sees until [`History::show`].
    pub(super) fn begin(&mut self, undo: Undo) {
        self.undo.insert(self.visible + 1, undo);
    }

    /// Lets readers see the batch that was applied last.
    pub(super) fn show(&mut self) {
        self.visible += 1;
        self.forget();
    }

    /// The row of the visible state, if the batch that is being applied changes it.
    pub(super) fn replaced(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.undo.get(&(self.visible + 1))?.find(key)
    }

    /// How many bytes of replaced rows are kept for who sees the state `version`.
    pub(super) fn bytes_since(&self, version: u64) -> usize {
        let undone = self.undo.range(version + 1..);
        undone.map(|(_, undo)| undo.bytes).sum()
    }

    /// Makes the tree's rows of `range` those of the state `version`.
    pub(super) fn restore(
        &self,
        version: u64,
        range: &Range,
        rows: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    ) {
        // Backwards in time: what was there first stands.
        for undo in self.undo.range(version + 1..).rev().map(|(_, undo)| undo) {
            let start = undo.rows.partition_point(|(key, _)| range.is_before(key));
            let changed = undo.rows[start..].iter();
            for (key, replaced) in changed.take_while(|(key, _)| range.contains(key)) {
                match replaced {
                    Some(value) => rows.insert(key.clone(), value.clone()),
                    None => rows.remove(key),
                };
            }
        }
    }

    fn forget(&mut self) {
        let oldest = self.scans.keys().next().copied().unwrap_or(self.visible);
        self.undo = self.undo.split_off(&(oldest + 1));
    }
}

/// Whoever sees one state until it is dropped.
pub(super) struct Reader<'a> {
    history: &'a RwLock<History>,
    version: u64,
}

impl<'a> Reader<'a> {
    /// A reader of the visible state, or none if a panic poisoned the history.
    pub(super) fn new(history: &'a RwLock<History>) -> Option<Self> {
        let mut locked = history.write().ok()?;
        let version = locked.visible;
        *locked.scans.entry(version).or_default() += 1;
        Some(Self { history, version })
    }

    /// The number of the state.
    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let Ok(mut history) = self.history.write() else {
            return;
        };
        if let Some(scans) = history.scans.get_mut(&self.version) {
            *scans -= 1;
            if *scans == 0 {
                history.scans.remove(&self.version);
                // What a batch that is being applied replaces is kept: it is newer than all.
                history.forget();
            }
        }
    }
}
