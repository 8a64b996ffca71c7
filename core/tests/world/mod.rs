//! A small honest log with three witnesses, made of nothing but this crate: what tests and vectors
//! prove from, and what lies are made of by changing its answers.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use candor_core::Hash;
use candor_core::answer::{
    AccountProof, ConfigProof, Disclosure, HeadProof, Query, SecondHead, Trust, VersionProof,
};
use candor_core::crypto::vrf::vrf_input;
use candor_core::crypto::{Commitment, Ed25519SecretKey, Opening, VrfSecretKey};
use candor_core::epoch::{EpochRecord, LogConfig, Record, Successor};
use candor_core::log::{
    NodeSource, leaf_hash, node_hash, prove_consistency, prove_inclusion, root,
};
use candor_core::map::{AuditDelta, Leaf, Leaves, Proved, prove};
use candor_core::note::{
    Checkpoint, KeyName, LogVerifier, NoteSigner, Policy, SignedNote, SoftwareSigner,
};

pub const ORIGIN: &str = "log.example/candor";

/// When the log was created, in POSIX seconds; its epochs follow one a second.
pub const START_S: u64 = 1_700_000_000;

/// The witnesses: A and B see that the log only grows, M checks the map as well.
pub const WITNESSES: [&str; 3] = ["A", "B", "M"];

/// A value that was logged, with the randomness of its commitment.
pub type Logged = (Opening, Vec<u8>);

/// The log's state after one record.
#[derive(Clone)]
pub struct Epoch {
    pub record: Vec<u8>,
    pub delta: Vec<u8>,
    pub leaves: Vec<Leaf>,
    pub accounts: BTreeMap<String, Vec<Logged>>,
}

/// The log, its witnesses, and their time.
pub struct World {
    pub vrf: VrfSecretKey,
    pub log: SoftwareSigner,
    pub witnesses: [SoftwareSigner; 3],
    /// The time at which heads are cosigned, in POSIX seconds.
    pub now_s: u64,
    /// The state after each record; record 0 is the configuration.
    pub epochs: Vec<Epoch>,
}

impl World {
    /// A log that holds its configuration only.
    pub fn new() -> Self {
        Self::of(ORIGIN, 1)
    }

    /// As [`Self::new`], with an origin and keys of its own.
    pub fn of(origin: &str, vrf_seed: u8) -> Self {
        let key = |seed| Ed25519SecretKey::from_seed(&[seed; 32]);
        let witness = |name: &str, seed| {
            let name = KeyName::new(&format!("{name}.example")).unwrap();
            SoftwareSigner::ed25519_cosignature(name, key(seed))
        };
        let vrf = VrfSecretKey::from_seed(&[vrf_seed; 32]);
        let config = LogConfig {
            origin: origin.to_owned(),
            vrf_public_key: *vrf.public_key().as_bytes(),
            created_ms: START_S * 1000,
        };
        Self {
            vrf,
            log: SoftwareSigner::ed25519(KeyName::new(origin).unwrap(), key(20 + vrf_seed)),
            witnesses: [witness("A", 11), witness("B", 12), witness("M", 13)],
            now_s: START_S + 1000,
            epochs: vec![Epoch {
                record: config.encode(),
                delta: Vec::new(),
                leaves: Vec::new(),
                accounts: BTreeMap::new(),
            }],
        }
    }

    /// The policy of a device: the log, one of A and B, and M.
    pub fn policy(&self) -> String {
        let mut policy = format!("log {}\n", self.log.verifier_key());
        for (name, witness) in WITNESSES.iter().zip(&self.witnesses) {
            policy += &format!("witness {name} {}\n", witness.verifier_key());
        }
        policy + "group any 1 A B\ngroup both 2 any M\nquorum both\n"
    }

    pub fn trust(&self) -> Trust {
        Trust::new(Policy::parse(self.policy().as_bytes()).unwrap(), ["M"]).unwrap()
    }

    /// As [`Self::trust`], in heads with an earlier one that B cosigned at most this long ago.
    pub fn trust_both(&self, max_age_s: u64) -> Trust {
        let second = self.policy().replace("quorum both", "quorum B");
        let second = Policy::parse(second.as_bytes()).unwrap();
        self.trust().and_second(second, max_age_s).unwrap()
    }

    /// The head of `size` records that B cosigned at this time, under the head of `first` records.
    pub fn second(&self, size: u64, first: u64, time_s: u64) -> SecondHead {
        SecondHead {
            checkpoint: self.head_by(size, &[1], time_s).checkpoint,
            consistency: self.consistency(size, first),
        }
    }

    pub fn log_verifier(&self) -> LogVerifier {
        LogVerifier::new(ORIGIN, vec![self.log.verifier_key().clone()])
    }

    /// Appends an epoch that adds one version for each of `updates`.
    pub fn add(&mut self, updates: &[(&str, &[u8])]) -> &mut Self {
        let mut next = self.epochs.last().unwrap().clone();
        let before = next.leaves.clone();
        let mut inserts = Vec::new();
        for (label, value) in updates {
            let versions = next.accounts.entry((*label).to_owned()).or_default();
            let version = u32::try_from(versions.len()).unwrap();
            let key = self.vrf.evaluate(&vrf_input(label.as_bytes(), version));
            let opening = Opening(key.0[..16].try_into().unwrap());
            let commitment = Commitment::new(&opening, label.as_bytes(), version, value);
            versions.push((opening, value.to_vec()));
            inserts.push(Leaf { key, commitment });
        }
        inserts.sort_by_key(|leaf| leaf.key);
        next.leaves.extend(&inserts);
        next.leaves.sort_by_key(|leaf| leaf.key);
        let Ok(delta) = AuditDelta::build(&Leaves::root(&before), &inserts);
        let record = EpochRecord {
            timestamp_ms: (START_S + self.size()) * 1000,
            prefix_tree: Leaves::root(&next.leaves).subtree_hash(),
            leaves: next.leaves.len() as u64,
            audit_digest: delta.digest(),
        };
        next.record = record.encode();
        next.delta = delta.into_bytes();
        self.epochs.push(next);
        self
    }

    /// Has the last record say that the log goes on as `next`.
    pub fn end_with_last(&mut self, next: &Self) {
        let config = LogConfig::decode(&next.epochs[0].record).unwrap();
        let successor = Successor::new(&config, &[next.log.verifier_key().clone()]).unwrap();
        let last = self.epochs.last_mut().unwrap();
        let epoch = EpochRecord::decode(&last.record).unwrap();
        last.record = Record {
            epoch,
            successor: Some(successor),
        }
        .encode();
    }

    /// Replaces the last record, so that the log says something else of its last epoch.
    pub fn forge_last(&mut self, change: impl FnOnce(&mut EpochRecord)) {
        let last = self.epochs.last_mut().unwrap();
        let mut record = EpochRecord::decode(&last.record).unwrap();
        change(&mut record);
        last.record = record.encode();
    }

    pub fn size(&self) -> u64 {
        self.epochs.len() as u64
    }

    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint::new(
            self.log.verifier_key().name().as_str(),
            size,
            self.root(size),
        )
        .unwrap()
    }

    pub fn root(&self, size: u64) -> Hash {
        root(size, self).unwrap()
    }

    /// The head of `size` records, cosigned by everyone now.
    pub fn head(&self, size: u64) -> HeadProof {
        self.head_by(size, &[0, 1, 2], self.now_s)
    }

    /// The head of `size` records, cosigned by these witnesses at this time.
    pub fn head_by(&self, size: u64, witnesses: &[usize], time_s: u64) -> HeadProof {
        let checkpoint = self.checkpoint(size);
        let mut lines = vec![self.log.sign(&checkpoint, 0).unwrap()];
        for witness in witnesses {
            lines.push(self.witnesses[*witness].sign(&checkpoint, time_s).unwrap());
        }
        let note = SignedNote::new(checkpoint.to_text(), lines).unwrap();
        HeadProof {
            checkpoint: note.to_bytes(),
            record: self.epochs[usize::try_from(size - 1).unwrap()]
                .record
                .clone(),
            inclusion: prove_inclusion(size - 1, size, self).unwrap(),
        }
    }

    pub fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        prove_consistency(old, new, self).unwrap()
    }

    pub fn config(&self, size: u64) -> ConfigProof {
        ConfigProof {
            config: self.epochs[0].record.clone(),
            inclusion: prove_inclusion(0, size, self).unwrap(),
        }
    }

    /// The honest answer of the log of `size` records.
    pub fn account(&self, label: &str, query: &Query, size: u64) -> AccountProof {
        let epoch = &self.epochs[usize::try_from(size - 1).unwrap()];
        let versions = epoch.accounts.get(label).map_or(0, Vec::len);
        let greatest = u32::try_from(versions).unwrap().checked_sub(1);
        self.account_claiming(label, query, size, greatest)
    }

    /// The honest answer of a log that erased the versions before `kept`.
    pub fn account_erased(&self, label: &str, query: &Query, kept: u32) -> AccountProof {
        let mut proof = self.account(label, query, self.size());
        let versions = query.lookups(proof.greatest);
        for (version, lookup) in versions.into_iter().zip(&mut proof.lookups) {
            if let Disclosure::Opened { opening, value } = &lookup.disclosure
                && version < kept
            {
                let commitment = Commitment::new(opening, label.as_bytes(), version, value);
                lookup.disclosure = Disclosure::Erased(commitment);
            }
        }
        proof
    }

    /// The answer of a log that claims another greatest version, as near to the truth as it gets.
    pub fn account_claiming(
        &self,
        label: &str,
        query: &Query,
        size: u64,
        greatest: Option<u32>,
    ) -> AccountProof {
        let epoch = &self.epochs[usize::try_from(size - 1).unwrap()];
        let none = Vec::new();
        let logged = epoch.accounts.get(label).unwrap_or(&none);
        let opened = query.opened(greatest);
        let mut lookups = Vec::new();
        let mut keys = Vec::new();
        for version in query.lookups(greatest) {
            let (key, vrf_proof) = self.vrf.prove(&vrf_input(label.as_bytes(), version));
            keys.push(key);
            let there = logged.get(version as usize);
            let disclosure = match there {
                _ if Some(version) > greatest => Disclosure::Absent,
                Some((opening, value)) if opened.contains(&version) => Disclosure::Opened {
                    opening: *opening,
                    value: value.clone(),
                },
                Some((opening, value)) => Disclosure::Committed(Commitment::new(
                    opening,
                    label.as_bytes(),
                    version,
                    value,
                )),
                None => Disclosure::Opened {
                    opening: Opening([0; 16]),
                    value: Vec::new(),
                },
            };
            lookups.push(VersionProof {
                vrf_proof,
                disclosure,
            });
        }
        let Ok(Proved { proof: prefix, .. }) = prove(&Leaves::root(&epoch.leaves), &keys);
        AccountProof {
            greatest,
            lookups,
            prefix,
        }
    }
}

impl NodeSource for World {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        match level {
            0 => Ok(leaf_hash(
                &self.epochs[usize::try_from(index).unwrap()].record,
            )),
            _ => Ok(node_hash(
                &self.node(level - 1, 2 * index)?,
                &self.node(level - 1, 2 * index + 1)?,
            )),
        }
    }
}
