//! Logs to witness: histories that agree in their first entries, signed by one key.

#![allow(dead_code, reason = "each test uses a part of this")]

pub mod feed;
pub mod running;

use candor_core::Hash;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::log::{Frontier, NodeSource, leaf_hash, node_hash, prove_consistency};
use candor_core::note::{
    AddCheckpoint, Checkpoint, KeyName, LogVerifier, NoteSigner as _, SignedNote, SoftwareSigner,
};
use candor_witness::decision::Recorded;

pub const ORIGIN: &str = "log.example/candor";

pub fn log_key(seed: u8) -> SoftwareSigner {
    let name = KeyName::new(ORIGIN).unwrap();
    SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[seed; 32]))
}

pub fn log_verifier() -> LogVerifier {
    LogVerifier::new(ORIGIN, vec![log_key(1).verifier_key().clone()])
}

pub fn signed(key: SoftwareSigner, origin: &str, size: u64, root: Hash) -> SignedNote {
    let checkpoint = Checkpoint::new(origin, size, root).unwrap();
    let line = key.sign(&checkpoint, 0).unwrap();
    SignedNote::new(checkpoint.to_text(), vec![line]).unwrap()
}

/// A log whose entries are known: the histories with different numbers agree in four entries.
#[derive(Clone, Copy)]
pub struct History(u8);

impl History {
    pub fn new(number: u8) -> Self {
        Self(number)
    }

    pub const fn honest() -> Self {
        Self(0)
    }

    fn leaf(self, index: u64) -> Hash {
        let history = if index < 4 { 0 } else { self.0 };
        leaf_hash(&[&[history], &index.to_be_bytes()[..]].concat())
    }

    pub fn root(self, size: u64) -> Hash {
        let mut frontier = Frontier::new();
        for index in 0..size {
            frontier.append(self.leaf(index)).unwrap();
        }
        frontier.root()
    }

    pub fn recorded(self, size: u64) -> Recorded {
        Recorded {
            size,
            root: self.root(size),
        }
    }

    pub fn request(self, old_size: u64, size: u64) -> AddCheckpoint {
        AddCheckpoint {
            old_size,
            proof: prove_consistency(old_size, size, &self).unwrap(),
            note: signed(log_key(1), ORIGIN, size, self.root(size)),
        }
    }
}

impl NodeSource for History {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        if level == 0 {
            return Ok(self.leaf(index));
        }
        let left = self.node(level - 1, 2 * index)?;
        let right = self.node(level - 1, 2 * index + 1)?;
        Ok(node_hash(&left, &right))
    }
}
