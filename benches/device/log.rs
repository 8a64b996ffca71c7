//! A log with three witnesses, and what a device knows of it.

use std::sync::LazyLock;

use candor_benches::Nodes;
use candor_core::Hash;
use candor_core::account::{Label, VerifiedState};
use candor_core::answer::{ConfigProof, HeadProof, KnownHead, Trust};
use candor_core::codec::Writer as _;
use candor_core::crypto::{Ed25519PublicKey, Ed25519SecretKey, VrfPublicKey, VrfSecretKey};
use candor_core::epoch::{EpochRecord, LogConfig, MapState};
use candor_core::log::{leaf_hash, prove_consistency, prove_inclusion, root};
use candor_core::note::{
    Checkpoint, KeyName, LogVerifier, NoteSigner, Policy, SignedNote, SoftwareSigner,
};

const ORIGIN: &str = "log.example/candor";

/// Records of the log, and those that the device knew before.
const SIZE: u64 = 100_000;
const KNOWN: u64 = 99_000;

/// When the newest head was cosigned, in POSIX seconds.
pub const NOW_S: u64 = 1_700_000_000;

static VRF: LazyLock<VrfSecretKey> = LazyLock::new(|| VrfSecretKey::from_seed(&[7; 32]));

/// A message with its signature, ready to be verified.
pub struct Signed {
    key: Ed25519PublicKey,
    message: Vec<u8>,
    signature: [u8; 64],
}

impl Signed {
    fn new(key: &Ed25519SecretKey, message: Vec<u8>, signature: &[u8]) -> Self {
        let signed = Self {
            key: key.public_key(),
            message,
            signature: signature.try_into().unwrap(),
        };
        signed.verify();
        signed
    }

    /// What an account key signed of a state (`docs/protocol.md`, section 5.2).
    pub fn state(label: &Label, key: &Ed25519SecretKey, state: &VerifiedState) -> Self {
        let (body, signature) = state.as_bytes().split_last_chunk::<64>().unwrap();
        let mut message = b"candor/account-state/v1\0".to_vec();
        message.opaque8(label.as_bytes());
        message.extend(body);
        Self::new(key, message, signature)
    }

    pub fn verify(&self) {
        self.key.verify(&self.message, &self.signature).unwrap();
    }
}

pub struct Log {
    config: LogConfig,
    record: Vec<u8>,
    nodes: Nodes,
    signers: Vec<SoftwareSigner>,
}

impl Log {
    /// A log whose newest record has this map.
    pub fn new(map: Hash, leaves: u64) -> Self {
        let config = LogConfig {
            origin: ORIGIN.to_owned(),
            vrf_public_key: *Self::vrf_public().as_bytes(),
            created_ms: 0,
        };
        let record = EpochRecord {
            timestamp_ms: NOW_S * 1000,
            prefix_tree: map,
            leaves,
            audit_digest: Hash::ZERO,
        };
        let record = record.encode();
        let others = (1..SIZE - 1).map(|index| leaf_hash(&index.to_be_bytes()));
        let first = std::iter::once(leaf_hash(&config.encode()));
        let last = std::iter::once(leaf_hash(&record));
        let nodes = Nodes::over(first.chain(others).chain(last));
        let name = |name| KeyName::new(name).unwrap();
        let witness = |(seed, at)| SoftwareSigner::ed25519_cosignature(name(at), key(seed));
        let witnesses = [(2, "a.example"), (3, "b.example"), (4, "m.example/map")];
        let mut signers = vec![SoftwareSigner::ed25519(name(ORIGIN), key(1))];
        signers.extend(witnesses.map(witness));
        Self {
            config,
            record,
            nodes,
            signers,
        }
    }

    pub fn vrf() -> &'static VrfSecretKey {
        &VRF
    }

    pub fn vrf_public() -> &'static VrfPublicKey {
        VRF.public_key()
    }

    /// What log and witnesses signed of the newest head (section 14.2).
    pub fn signed(&self) -> Vec<Signed> {
        let text = self.checkpoint().to_text();
        let note = SignedNote::parse(&self.head().checkpoint).unwrap();
        let [log, witnesses @ ..] = note.signatures() else {
            panic!("the log signs first")
        };
        let mut signed = vec![Signed::new(&key(1), text.clone().into(), log.signature())];
        for (line, seed) in witnesses.iter().zip(2..) {
            let message = format!("cosignature/v1\ntime {NOW_S}\n{text}");
            let signature = &line.signature()[8..];
            signed.push(Signed::new(&key(seed), message.into(), signature));
        }
        signed
    }

    /// The policy of a device: all three witnesses.
    pub fn trust(&self) -> Trust {
        let key = |at: usize| self.signers[at].verifier_key();
        let policy = format!(
            "log {}\nwitness A {}\nwitness B {}\nwitness M {}\ngroup all all A B M\nquorum all\n",
            key(0),
            key(1),
            key(2),
            key(3)
        );
        Trust::new(Policy::parse(policy.as_bytes()).unwrap(), ["M"]).unwrap()
    }

    pub fn verifier(&self) -> LogVerifier {
        LogVerifier::new(ORIGIN, vec![self.signers[0].verifier_key().clone()])
    }

    fn root(&self, size: u64) -> Hash {
        root(size, &self.nodes).unwrap()
    }

    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(ORIGIN, SIZE, self.root(SIZE)).unwrap()
    }

    /// The newest head, cosigned by all witnesses.
    pub fn head(&self) -> HeadProof {
        let checkpoint = self.checkpoint();
        let sign = |signer: &SoftwareSigner| signer.sign(&checkpoint, NOW_S).unwrap();
        let lines = self.signers.iter().map(sign).collect();
        let note = SignedNote::new(checkpoint.to_text(), lines).unwrap();
        HeadProof {
            checkpoint: note.to_bytes(),
            record: self.record.clone(),
            inclusion: prove_inclusion(SIZE - 1, SIZE, &self.nodes).unwrap(),
        }
    }

    /// The head that the device knew before, and the proof that the newest one follows.
    pub fn known(&self) -> (KnownHead, Vec<Hash>) {
        let known = KnownHead {
            size: KNOWN,
            root: self.root(KNOWN),
            map: MapState {
                root: Hash::ZERO,
                leaves: 0,
                timestamp_ms: 0,
            },
        };
        (known, prove_consistency(KNOWN, SIZE, &self.nodes).unwrap())
    }

    pub fn config(&self) -> ConfigProof {
        ConfigProof {
            config: self.config.encode(),
            inclusion: prove_inclusion(0, SIZE, &self.nodes).unwrap(),
        }
    }
}

fn key(seed: u8) -> Ed25519SecretKey {
    Ed25519SecretKey::from_seed(&[seed; 32])
}
