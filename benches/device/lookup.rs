//! A lookup's answer, and its verification as the SDK does it, and bare.

use std::cell::RefCell;

use candor_benches::{Tree, leaves};
use candor_core::Hash;
use candor_core::account::{
    AccountState, Device, DeviceKey, Label, UnverifiedValue, VerifiedState, VerifiedValue,
};
use candor_core::answer::{
    AccountProof, Disclosure, HeadProof, KnownHead, ProofFile, ProvedKeys, Query, Trust,
    VersionProof,
};
use candor_core::crypto::vrf::vrf_input;
use candor_core::crypto::{Commitment, Ed25519SecretKey, Opening, VrfProof};
use candor_core::map::{Leaf, prove};
use candor_core::note::VerifiedCheckpoint;

use crate::log::{Log, NOW_S, Signed};

const LABEL: &str = "mailto:alice@example.org";
const OPENING: Opening = Opening([7; 16]);

/// The answer to a lookup of an enrolled account, and what the device knows when it comes.
pub struct Lookup {
    log: Log,
    trust: Trust,
    label: Label,
    head: HeadProof,
    known: KnownHead,
    consistency: Vec<Hash>,
    /// The newest head and its map, once they were verified.
    verified: VerifiedCheckpoint,
    map: Hash,
    account: Vec<u8>,
    /// What the device verified before.
    proved: RefCell<ProvedKeys>,
    searches: Vec<(Vec<u8>, VrfProof)>,
    signed: Vec<Signed>,
}

impl Lookup {
    /// That of an account whose greatest version is this, in a map of so many other leaves.
    pub fn new(others: u64, greatest: u32) -> Self {
        let label = Label::parse(LABEL).unwrap();
        let key = Ed25519SecretKey::from_seed(&[9; 32]);
        let states = states(&label, &key, greatest);
        let values = states
            .iter()
            .map(|state| VerifiedValue::State(state.clone()).encode());
        let values: Vec<Vec<u8>> = values.collect();
        let vrf = Log::vrf();
        let commitment = |version: u32| {
            let value = &values[version as usize];
            Commitment::new(&OPENING, label.as_bytes(), version, value)
        };
        let mut all = leaves(0..others);
        all.extend((0..=greatest).map(|version| Leaf {
            key: vrf.evaluate(&vrf_input(label.as_bytes(), version)),
            commitment: commitment(version),
        }));
        all.sort_unstable_by_key(|leaf| leaf.key);
        let tree = Tree::over(&all);
        let (mut keys, mut lookups, mut searches) = (Vec::new(), Vec::new(), Vec::new());
        for version in Query::GREATEST.lookups(Some(greatest)) {
            let alpha = vrf_input(label.as_bytes(), version);
            let (key, vrf_proof) = vrf.prove(&alpha);
            keys.push(key);
            let disclosure = match version {
                _ if version > greatest => Disclosure::Absent,
                _ if version < greatest => Disclosure::Committed(commitment(version)),
                _ => Disclosure::Opened {
                    opening: OPENING,
                    value: values[version as usize].clone(),
                },
            };
            searches.push((alpha, vrf_proof));
            lookups.push(VersionProof {
                vrf_proof,
                disclosure,
            });
        }
        let Ok(proved) = prove(&&tree, &keys);
        let proof = AccountProof {
            greatest: Some(greatest),
            lookups,
            prefix: proved.proof,
        };
        let log = Log::new(tree.root(), all.len() as u64);
        let (trust, head, (known, consistency)) = (log.trust(), log.head(), log.known());
        let newest = head.verify(&trust, Some(&known), &consistency, NOW_S);
        let newest = newest.unwrap();
        let mut signed = log.signed();
        signed.push(Signed::state(&label, &key, &states[greatest as usize]));
        Self {
            trust,
            label,
            known,
            consistency,
            verified: newest.checkpoint().clone(),
            map: newest.known().map.root,
            account: proof.encode(),
            proved: RefCell::new(ProvedKeys::new(Log::vrf_public().clone())),
            searches,
            signed,
            head,
            log,
        }
    }

    /// The VRF and Ed25519 verifications alone, one after the other.
    pub fn verify_bare(&self) {
        for signed in &self.signed {
            signed.verify();
        }
        for (alpha, proof) in &self.searches {
            Log::vrf_public().verify(alpha, proof).unwrap();
        }
    }

    /// Everything of an answer with a head that is new to the device.
    pub fn verify_first(&self) {
        let (known, consistency) = (Some(&self.known), &self.consistency);
        let head = self.head.verify(&self.trust, known, consistency, NOW_S);
        let mut nothing = ProvedKeys::new(Log::vrf_public().clone());
        self.verify_account(&head.unwrap().known().map.root, &mut nothing);
    }

    /// Everything of an answer without a head, because the device verified the newest one before;
    /// with search keys that it verified before, or none.
    pub fn verify_repeated(&self, is_proved: bool) {
        let (max_age_s, skew_s) = (self.trust.max_age_s(), self.trust.skew_s());
        let fresh = self.verified.check_freshness(NOW_S, max_age_s, skew_s);
        fresh.unwrap();
        let mut nothing = ProvedKeys::new(Log::vrf_public().clone());
        let mut proved = self.proved.borrow_mut();
        let keys = if is_proved {
            &mut *proved
        } else {
            &mut nothing
        };
        self.verify_account(&self.map, keys);
    }

    fn verify_account(&self, map: &Hash, keys: &mut ProvedKeys) {
        let proof = AccountProof::decode(&self.account).unwrap();
        let label = self.label.as_bytes();
        let account = proof.verify_again(label, &Query::GREATEST, keys, map);
        let value = UnverifiedValue::decode(account.unwrap().newest().unwrap().value().unwrap());
        value.unwrap().verify(&self.label).unwrap();
    }

    /// Bytes of head, consistency proof and account proof; and of a proof file.
    pub fn bytes(&self) -> [usize; 2] {
        let hashes = self.head.inclusion.len() + self.consistency.len();
        let head = self.head.checkpoint.len() + self.head.record.len() + 32 * hashes;
        let file = ProofFile {
            head: self.head.clone(),
            second: None,
            config: self.log.config(),
            label: self.label.clone(),
            account: AccountProof::decode(&self.account).unwrap(),
        };
        [head + self.account.len(), file.to_bytes().unwrap().len()]
    }
}

/// An enrolled account of two devices with one key each, up to a version.
fn states(label: &Label, key: &Ed25519SecretKey, greatest: u32) -> Vec<VerifiedState> {
    let device = |id: u8| Device {
        id: vec![id; 16],
        name: "Telephone".to_owned(),
        platform: "ios".to_owned(),
        os_version: "17.2".to_owned(),
        capability: 1,
        added_ms: NOW_S * 1000,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "identity".to_owned(),
            public_key: vec![id; 32],
        }],
    };
    let mut first = AccountState::first();
    first.enrolled = true;
    first.devices = vec![device(1), device(2)];
    let mut states = vec![first.sign(label, key).unwrap()];
    for _ in 0..greatest {
        let next = states.last().unwrap().successor().unwrap();
        states.push(next.sign(label, key).unwrap());
    }
    states
}
