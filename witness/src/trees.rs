//! Two histories of one log as real trees, small enough to have every checkpoint and every proof at
//! hand.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, LazyLock};

use candor_core::Hash;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::log::{NodeSource, leaf_hash, node_hash, prove_consistency, root};
use candor_core::note::{
    AddCheckpoint, Checkpoint, KeyName, LogVerifier, NoteSigner as _, SignedNote, SoftwareSigner,
};

use crate::decision::{Recorded, Submission, admit};
use crate::state::LogState;

/// The log.
pub const ORIGIN: &str = "log.example";

/// The key of a log.
pub fn log_signer(origin: &str) -> SoftwareSigner {
    let name = KeyName::new(origin).unwrap();
    SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[1; 32]))
}

/// The largest tree.
pub const SIZE_MAX: u8 = 3;

/// Both histories agree in that many entries.
const COMMON: u8 = 1;

/// A tree of one of the two histories; what both agree in is of the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    is_fork: bool,
    size: u8,
}

impl Head {
    pub const NOTHING: Self = Self::new(false, 0);

    pub const fn new(is_fork: bool, size: u8) -> Self {
        Self {
            is_fork: is_fork && size > COMMON,
            size,
        }
    }

    pub const fn size(self) -> u8 {
        self.size
    }

    pub const fn is_fork(self) -> bool {
        self.is_fork
    }

    pub const fn is_consistent_with(self, other: Self) -> bool {
        self.is_fork == other.is_fork || self.size <= COMMON || other.size <= COMMON
    }

    /// Every tree of at most `size_max` entries but the empty one.
    pub fn all(size_max: u8) -> impl Iterator<Item = Self> {
        let shared = (1..=size_max).map(|size| Self::new(false, size));
        shared.chain((COMMON + 1..=size_max).map(|size| Self::new(true, size)))
    }

    pub fn of(recorded: &Recorded) -> Self {
        let mut all = Self::all(SIZE_MAX).chain([Self::NOTHING]);
        all.find(|head| head.recorded() == *recorded).unwrap()
    }

    pub fn recorded(self) -> Recorded {
        TREES.recorded[&self]
    }

    pub fn state(self) -> Option<Arc<LogState>> {
        TREES.states.get(&self).cloned()
    }

    /// What the log submits to get from `old` to this tree, with the proof of this history.
    pub fn submission(self, old: u8) -> &'static Submission {
        &TREES.submissions[&(old, self)]
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let history = if self.is_fork { 'B' } else { 'A' };
        write!(f, "{history}{}", self.size)
    }
}

static TREES: LazyLock<Trees> = LazyLock::new(Trees::new);

struct Trees {
    recorded: BTreeMap<Head, Recorded>,
    states: BTreeMap<Head, Arc<LogState>>,
    submissions: BTreeMap<(u8, Head), Submission>,
}

impl Trees {
    fn new() -> Self {
        let signer = log_signer(ORIGIN);
        let verifier = LogVerifier::new(ORIGIN, vec![signer.verifier_key().clone()]);
        let mut trees = Self {
            recorded: BTreeMap::from([(Head::NOTHING, Recorded::NOTHING)]),
            states: BTreeMap::new(),
            submissions: BTreeMap::new(),
        };
        for head in Head::all(SIZE_MAX) {
            let size = u64::from(head.size);
            let checkpoint = Checkpoint::new(ORIGIN, size, root(size, &head).unwrap()).unwrap();
            let line = signer.sign(&checkpoint, 0).unwrap();
            let note = SignedNote::new(checkpoint.to_text(), vec![line.clone()]).unwrap();
            for old in 0..=head.size {
                let request = AddCheckpoint {
                    old_size: u64::from(old),
                    proof: prove_consistency(u64::from(old), size, &head).unwrap(),
                    note: note.clone(),
                };
                let submission = admit(request, &verifier).unwrap();
                trees.submissions.insert((old, head), submission);
            }
            let state = LogState::new(trees.submissions[&(0, head)].checkpoint(), 1, vec![line]);
            trees.recorded.insert(head, state.recorded());
            trees.states.insert(head, Arc::new(state));
        }
        trees
    }
}

impl NodeSource for Head {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        if level > 0 {
            let left = self.node(level - 1, 2 * index)?;
            return Ok(node_hash(&left, &self.node(level - 1, 2 * index + 1)?));
        }
        let is_fork = self.is_fork && index >= u64::from(COMMON);
        Ok(leaf_hash(&[u8::from(is_fork), index as u8]))
    }
}
