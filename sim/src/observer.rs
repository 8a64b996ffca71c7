//! Who sees everything: the true histories, and every statement that left its maker, also those
//! that were lost on the way.

use std::collections::{BTreeMap, BTreeSet};

use candor_core::Hash;

/// A statement about the log: its size and root.
pub type Head = (u64, Hash);

/// All branches that a head may be on, one bit each.
type Branches = u32;

/// What is known by looking at everything.
#[derive(Debug, Default)]
pub struct Observer {
    /// The root of each size, branch by branch.
    histories: Vec<BTreeMap<u64, Hash>>,
    /// Heads that the log's key signed.
    signed: BTreeSet<Head>,
    /// Branch and size for which the log signed two roots.
    second_root: Option<(usize, u64)>,
    /// What each honest witness cosigned.
    witnesses: BTreeMap<usize, BTreeSet<Head>>,
    /// An honest witness whose cosignatures are on no one branch.
    two_faced: Option<usize>,
    /// The newest head of which a cosignature left each honest witness.
    newest: BTreeMap<usize, Head>,
    /// A cosignature that left its witness before it was written.
    unwritten: Option<(usize, u64)>,
    /// What each device accepted.
    devices: BTreeMap<usize, BTreeSet<Head>>,
    /// A device that accepted heads that are on no one branch.
    misled: Option<usize>,
    /// Whether what all devices accepted is on no one branch.
    is_split: bool,
    /// Forks of which an honest witness received both sides, by witness.
    met: BTreeSet<usize>,
    /// What a node claims against the log, and the log never did.
    false_accusation: Option<String>,
}

impl Observer {
    /// A branch begins: at the start, or as a copy of what branch 0 is now.
    pub fn branch(&mut self) {
        let copy = self.histories.first().cloned().unwrap_or_default();
        self.histories.push(copy);
    }

    /// The log signed a head of a branch.
    pub fn signed(&mut self, branch: usize, head: Head) {
        self.signed.insert(head);
        let (size, root) = head;
        let Some(history) = self.histories.get_mut(branch) else {
            return;
        };
        if *history.entry(size).or_insert(root) != root {
            self.second_root = Some((branch, size));
        }
    }

    /// A cosignature of an honest witness is let out. `written` is what its database and its anchor
    /// hold then.
    pub fn cosigned(&mut self, witness: usize, head: Head, written: [Option<Head>; 2]) {
        self.witnesses.entry(witness).or_default().insert(head);
        if self.is_apart(&self.witnesses[&witness]) {
            self.two_faced = Some(witness);
        }
        if written
            .iter()
            .any(|held| held.is_none_or(|held| held.0 < head.0))
        {
            self.unwritten = Some((witness, head.0));
        }
        let newest = self.newest.entry(witness).or_insert(head);
        if head.0 > newest.0 {
            *newest = head;
        }
    }

    /// A device accepted a head.
    pub fn accepted(&mut self, device: usize, head: Head) {
        self.devices.entry(device).or_default().insert(head);
        if self.is_apart(&self.devices[&device]) {
            self.misled = Some(device);
        }
        self.is_split = self.is_apart(self.devices.values().flatten());
    }

    /// An honest witness received both sides of a fork, and was to keep them.
    pub fn met(&mut self, witness: usize) {
        self.met.insert(witness);
    }

    /// An honest witness lost what it remembered.
    pub fn forgets(&mut self, witness: usize) {
        self.met.remove(&witness);
    }

    /// Somebody accuses the log of two heads.
    pub fn accused(&mut self, by: &str, one: Head, other: Head) {
        let are_signed = self.signed.contains(&one) && self.signed.contains(&other);
        let is_true = are_signed && self.contradict(one, other);
        if !is_true {
            self.false_accusation = Some(format!("{by}, of size {} and {}", one.0, other.0));
        }
    }

    /// Whether two heads that the log signed are on no one branch. The empty tree is on all.
    pub fn contradict(&self, one: Head, other: Head) -> bool {
        let are_trees = one.0 > 0 && other.0 > 0;
        are_trees && self.branches(one) & self.branches(other) == 0
    }

    /// The branches that a head is on; none for one that no branch has.
    fn branches(&self, (size, root): Head) -> Branches {
        let histories = self.histories.iter().enumerate();
        histories
            .filter(|(_, history)| history.get(&size) == Some(&root))
            .fold(0, |branches, (number, _)| branches | 1 << number)
    }

    /// Whether the log signed heads that contradict each other.
    pub fn is_forked(&self) -> bool {
        self.is_apart(&self.signed)
    }

    /// Whether heads are on no one branch.
    fn is_apart<'a>(&self, heads: impl IntoIterator<Item = &'a Head>) -> bool {
        let heads = heads.into_iter();
        heads.fold(!0, |all, head| all & self.branches(*head)) == 0
    }

    /// The newest head of which a cosignature left an honest witness.
    pub fn newest(&self, witness: usize) -> Option<Head> {
        self.newest.get(&witness).copied()
    }

    /// Branch and size for which the log signed two roots.
    pub const fn second_root(&self) -> Option<(usize, u64)> {
        self.second_root
    }

    /// An honest witness whose cosignatures are on no one branch.
    pub const fn two_faced_witness(&self) -> Option<usize> {
        self.two_faced
    }

    /// A witness whose cosignature was let out before it was written, and the size.
    pub const fn unwritten(&self) -> Option<(usize, u64)> {
        self.unwritten
    }

    /// A device that accepted heads that are on no one branch.
    pub const fn misled_device(&self) -> Option<usize> {
        self.misled
    }

    /// Whether all heads that devices accepted are on one branch.
    pub const fn devices_agree(&self) -> bool {
        !self.is_split
    }

    /// Honest witnesses that received both sides of a fork.
    pub fn met_forks(&self) -> impl Iterator<Item = usize> {
        self.met.iter().copied()
    }

    /// An accusation of what the log never did.
    pub fn false_accusation(&self) -> Option<&str> {
        self.false_accusation.as_deref()
    }
}
