//! A log whose search keys are drawn from a hash.

use std::path::Path;
use std::sync::Arc;

use candor_core::account::{Binding, Label, VerifiedValue};
use candor_core::crypto::{Ed25519SecretKey, Opening, SearchKey, VrfProof, VrfSecretKey};
use candor_core::epoch::{EpochRecord, LogConfig, MapState};
use candor_core::hash::{Domain, hash_parts};
use candor_core::log::{Frontier, changed_tiles, leaf_hash};
use candor_core::map::Leaf;
use candor_core::note::{KeyName, SoftwareSigner};
use candor_server::clock::Clock;
use candor_server::head::SignedHead;
use candor_server::ledger::{Account, EpochRows, Ledger, ProvenKey, Rung, StoredHead, Version};
use candor_server::map::{Inserted, Skeleton, insert};
use candor_server::sequencer::ladders::Ladders;
use candor_server::sequencer::recovery;
use candor_server::signer::LogSigner;
use candor_server::storage::{Engine, StoreOptions};
use rayon::prelude::*;

const ORIGIN: &str = "log.example";

/// A log, an epoch at a time.
pub struct Log {
    pub ledger: Ledger,
    pub ladders: Ladders,
    frontier: Frontier,
    map: MapState,
    skeleton: Skeleton,
}

/// An update with its rows.
struct Prepared {
    before: Arc<Account>,
    leaf: Leaf,
    account: Arc<Account>,
}

impl Log {
    /// Makes an empty log.
    pub fn create(directory: &Path, cache_bytes: u64) -> Self {
        let store = Engine::Fjall
            .create(&options(directory, cache_bytes))
            .unwrap();
        let ledger = Ledger::new(store, cache_bytes - cache_bytes / 4);
        let config = LogConfig {
            origin: ORIGIN.to_owned(),
            vrf_public_key: *vrf().public_key().as_bytes(),
            created_ms: Clock::system().now_ms(),
        };
        recovery::create(&ledger, &signer(), &config).unwrap();
        let mut frontier = Frontier::new();
        frontier.append(leaf_hash(&config.encode())).unwrap();
        Self {
            ladders: Ladders::new(Arc::new(vrf())).unwrap().0,
            map: config.start(),
            skeleton: Skeleton::EMPTY,
            ledger,
            frontier,
        }
    }

    /// Opens the store of a log, to look at it.
    pub fn open(directory: &Path, cache_bytes: u64) -> Self {
        let store = Engine::Fjall
            .open(&options(directory, cache_bytes))
            .unwrap();
        Self {
            ledger: Ledger::new(store, cache_bytes),
            ladders: Ladders::new(Arc::new(vrf())).unwrap().0,
            frontier: Frontier::new(),
            map: MapState {
                timestamp_ms: 0,
                root: candor_core::Hash::ZERO,
                leaves: 0,
            },
            skeleton: Skeleton::EMPTY,
        }
    }

    /// One epoch that adds a version to each account.
    pub fn publish(&mut self, accounts: &[u64]) {
        let epoch = self.frontier.size();
        let prepared: Vec<Prepared> = accounts
            .par_iter()
            .map(|account| self.prepare(*account, epoch))
            .collect();
        let mut rows = EpochRows::after(&self.stored_head());
        let mut leaves: Vec<Leaf> = prepared.iter().map(|update| update.leaf).collect();
        leaves.sort_unstable_by_key(|leaf| leaf.key);
        for leaf in &leaves {
            rows.leaf(leaf);
        }
        for Prepared {
            before, account, ..
        } in &prepared
        {
            rows.superseded(before);
            rows.account(account);
        }
        let buckets = self.ledger.buckets(epoch - 1);
        let Inserted {
            skeleton,
            delta,
            superseded,
            ..
        } = insert(&self.skeleton, &buckets, &leaves).unwrap();
        let record = EpochRecord {
            timestamp_ms: Clock::system().now_ms().max(self.map.timestamp_ms),
            prefix_tree: skeleton.hash(),
            leaves: self.map.leaves + leaves.len() as u64,
            audit_digest: delta.digest(),
        };
        let bytes = record.encode();
        let leaf = leaf_hash(&bytes);
        let tiles = changed_tiles(epoch, &[leaf], &self.ledger).unwrap();
        self.frontier.append(leaf).unwrap();
        let batch = rows.finish(&bytes, delta, &tiles, &self.stored_head());
        self.ledger.store().commit(batch).unwrap();
        let accounts: Vec<_> = prepared.into_iter().map(|update| update.account).collect();
        self.ledger.remember(&accounts);
        self.ledger.forget(&superseded);
        self.map = record.state();
        self.skeleton = skeleton;
    }

    fn prepare(&self, account: u64, epoch: u64) -> Prepared {
        let before = self.ledger.account(&label(account)).unwrap();
        let label = before.label();
        let number = before.greatest().map_or(0, |greatest| greatest + 1);
        let primary = Label::parse(&format!("acct:p{account:012}e{epoch:011}")).unwrap();
        let value = Binding::new(label.clone(), primary).unwrap();
        let mut opening = Opening([0; 16]);
        getrandom::fill(&mut opening.0).unwrap();
        let version = Version {
            epoch,
            opening,
            value: VerifiedValue::Binding(value).encode(),
        };
        let key = before.rung(number).and_then(Rung::key);
        let leaf = Leaf {
            key: key.unwrap_or_else(|| drawn(label, number).key),
            commitment: version.commitment(label, number),
        };
        let account = before.followed_by(number, version, &leaf);
        for rung in account.rungs() {
            rung.learn(drawn(label, rung.version()));
        }
        Prepared {
            before,
            leaf,
            account: Arc::new(account),
        }
    }

    fn stored_head(&self) -> StoredHead {
        StoredHead {
            size: self.frontier.size(),
            root: self.frontier.root(),
        }
    }

    /// The newest head.
    pub fn head(&self) -> SignedHead {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        let note = signer().sign(size, root, 1).unwrap();
        SignedHead::new(&self.ledger, size, root, self.skeleton.clone(), note).unwrap()
    }
}

/// The label of an account.
pub fn label(account: u64) -> Label {
    Label::parse(&format!("acct:user{account:010}")).unwrap()
}

/// What stands for the VRF's output and proof.
fn drawn(label: &Label, version: u32) -> ProvenKey {
    let hash = hash_parts(Domain::LogLeaf, &[label.as_bytes(), &version.to_be_bytes()]);
    let mut proof = [0; 80];
    proof[..32].copy_from_slice(&hash.0);
    proof[32..64].copy_from_slice(&hash.0);
    ProvenKey {
        key: SearchKey(hash.0),
        proof: VrfProof(proof),
    }
}

fn options(directory: &Path, cache_bytes: u64) -> StoreOptions {
    StoreOptions {
        cache_bytes: (cache_bytes / 4).max(8 << 20),
        ..StoreOptions::new(directory.join("store"))
    }
}

fn vrf() -> VrfSecretKey {
    VrfSecretKey::from_seed(&[1; 32])
}

fn signer() -> LogSigner {
    let name = KeyName::new(ORIGIN).unwrap();
    let key = Ed25519SecretKey::from_seed(&[2; 32]);
    LogSigner::new(ORIGIN, vec![Box::new(SoftwareSigner::ed25519(name, key))])
}
