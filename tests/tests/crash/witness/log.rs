//! A log that the test signs itself, so that it knows the true trees, and what was seen of it.

use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use candor_core::Hash;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::log::{NodeSource, leaf_hash, node_hash, prove_consistency, root};
use candor_core::note::{
    AddCheckpoint, Checkpoint, KeyName, NoteSigner as _, Policy, SignedNote, SoftwareSigner,
};

/// The hashes of a log that grows.
#[derive(Default)]
struct Tree(Vec<Vec<Hash>>);

impl Tree {
    fn size(&self) -> u64 {
        self.0.first().map_or(0, Vec::len) as u64
    }

    fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.0.len() == level {
                self.0.push(Vec::new());
            }
            let row = &mut self.0[level];
            row.push(hash);
            let [.., left, right] = &row[..] else { return };
            if row.len() % 2 == 1 {
                return;
            }
            hash = node_hash(left, right);
        }
    }

    /// Lets it grow to `size`; from `fork_at` on, entries are those of a second history.
    fn grow(&mut self, size: u64, fork_at: u64) {
        for index in self.size()..size {
            let history = u8::from(index >= fork_at);
            self.push(leaf_hash(&[&[history], &index.to_be_bytes()[..]].concat()));
        }
    }
}

impl NodeSource for Tree {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.0[usize::from(level)][index as usize])
    }
}

/// Which of its histories a log shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    First,
    Second,
}

pub struct Log {
    pub origin: String,
    signer: SoftwareSigner,
    policy: Mutex<Option<Policy>>,
    /// Where its second history begins, if it has one.
    fork_at: Option<u64>,
    trees: [Mutex<Tree>; 2],
    /// What was cosigned behind the fork.
    shown: Mutex<Option<History>>,
    /// The largest size of which a client has a cosignature.
    newest: AtomicU64,
    /// How many answers with cosignatures came back.
    pub answers: AtomicU64,
    /// The witness said that the log contradicted itself.
    pub is_accused: AtomicBool,
    /// The witness was given a database that is older than what it cosigned.
    pub is_doubted: AtomicBool,
}

impl Log {
    pub fn new(origin: String, fork_at: Option<u64>) -> Self {
        let name = KeyName::new(&origin).unwrap();
        Self {
            signer: SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[1; 32])),
            origin,
            policy: Mutex::default(),
            fork_at,
            trees: Default::default(),
            shown: Mutex::default(),
            newest: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            is_accused: AtomicBool::new(false),
            is_doubted: AtomicBool::new(false),
        }
    }

    pub fn key(&self) -> String {
        self.signer.verifier_key().to_string()
    }

    /// Asks for a cosignature of the witness `name`, with these lines of a policy.
    pub fn trust(&self, name: &str, lines: &str) {
        let text = format!("log {}\n{lines}quorum {name}\n", self.key());
        *self.policy.lock().unwrap() = Some(Policy::parse(text.as_bytes()).unwrap());
    }

    pub const fn is_forking(&self) -> bool {
        self.fork_at.is_some()
    }

    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::SeqCst)
    }

    pub fn request(&self, history: History, old: u64, new: u64) -> AddCheckpoint {
        let mut tree = self.trees[history as usize].lock().unwrap();
        let fork_at = self.fork_at.filter(|_| history == History::Second);
        tree.grow(new, fork_at.unwrap_or(u64::MAX));
        self.request_of(&tree, old, new)
    }

    /// What would make a witness fork that has forgotten everything behind `size`.
    pub fn forked_from(&self, size: u64) -> AddCheckpoint {
        let mut tree = Tree::default();
        tree.grow(size + 1, size);
        self.request_of(&tree, size, size + 1)
    }

    fn request_of(&self, tree: &Tree, old: u64, new: u64) -> AddCheckpoint {
        let root = root(new, tree).unwrap();
        let checkpoint = Checkpoint::new(&self.origin, new, root).unwrap();
        let line = self.signer.sign(&checkpoint, 0).unwrap();
        AddCheckpoint {
            old_size: old,
            proof: prove_consistency(old, new, tree).unwrap(),
            note: SignedNote::new(checkpoint.to_text(), vec![line]).unwrap(),
        }
    }

    /// A note with a cosignature that left the witness: it is valid, and of the one history that
    /// was cosigned before. Its size.
    pub fn see(&self, note: &SignedNote) -> u64 {
        let policy = self.policy.lock().unwrap();
        let verified = policy.as_ref().unwrap().verify_checkpoint(note);
        let verified = verified.unwrap_or_else(|error| panic!("{}: {error}", self.origin));
        let checkpoint = verified.checkpoint();
        let size = checkpoint.size();
        let is_of = |history: History| {
            let tree = self.trees[history as usize].lock().unwrap();
            size <= tree.size() && root(size, &*tree).unwrap() == *checkpoint.root()
        };
        let seen = match (is_of(History::First), is_of(History::Second)) {
            (true, _) => History::First,
            (false, true) => History::Second,
            (false, false) => panic!("{} never had this tree of {size}", self.origin),
        };
        if self.fork_at.is_some_and(|fork_at| size > fork_at) {
            let shown = *self.shown.lock().unwrap().get_or_insert(seen);
            assert_eq!(shown, seen, "{}: a second history at {size}", self.origin);
        }
        self.newest.fetch_max(size, Ordering::SeqCst);
        size
    }
}
