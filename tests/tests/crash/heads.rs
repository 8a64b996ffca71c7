//! Every head that was signed, wherever it was seen: one size has one root, for ever.

use std::collections::BTreeMap;
use std::sync::Mutex;

use candor_core::Hash;
use candor_core::log::{Frontier, leaf_hash};
use candor_core::note::{LogVerifier, SignedNote};
use candor_server::ledger::Ledger;
use candor_system::process::http;
use candor_system::system::{ORIGIN, System};
use sha2::{Digest as _, Sha256};

pub struct Heads {
    verifier: LogVerifier,
    seen: Mutex<BTreeMap<u64, Hash>>,
    /// Size of the newest anchored head.
    anchored: Mutex<u64>,
}

impl Heads {
    pub fn new(verifier: LogVerifier) -> Self {
        Self {
            verifier,
            seen: Mutex::default(),
            anchored: Mutex::default(),
        }
    }

    /// A head whose signature was verified.
    pub fn see(&self, size: u64, root: Hash, place: &str) {
        let mut seen = self.seen.lock().unwrap();
        let known = *seen.entry(size).or_insert(root);
        assert_eq!(known, root, "{place} has another head of {size} records");
    }

    /// A note that carries a head; its size.
    pub fn note(&self, bytes: &[u8], place: &str) -> u64 {
        let note = SignedNote::parse(bytes).unwrap_or_else(|error| panic!("{place}: {error}"));
        let verified = self.verifier.verify(&note);
        let verified = verified.unwrap_or_else(|error| panic!("{place}: {error}"));
        let checkpoint = verified.checkpoint();
        self.see(checkpoint.size(), *checkpoint.root(), place);
        checkpoint.size()
    }

    /// The anchor, which never goes back.
    pub fn anchored(&self, bytes: &[u8]) {
        let size = self.note(bytes, "the anchor");
        let mut anchored = self.anchored.lock().unwrap();
        assert!(size >= *anchored, "the anchor went back to {size}");
        *anchored = size;
    }

    /// Asks the server and all witnesses.
    pub async fn ask(&self, system: &System) {
        let client = http().unwrap();
        let origin = hex::encode(Sha256::digest(ORIGIN));
        let server = format!("http://{}/checkpoint", system.server.http);
        let witnesses = system.witnesses.iter();
        let witnesses = witnesses.map(|node| format!("http://{}/{origin}/checkpoint", node.http));
        for url in witnesses.chain([server]) {
            let answer = client.get(&url).send().await.unwrap();
            // A witness that has not seen any head yet has none to show.
            if answer.status().is_success() {
                self.note(&answer.bytes().await.unwrap(), &url);
            }
        }
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Every head is one of the log that the records make; so each is consistent with each other.
    pub fn check(&self, ledger: &Ledger) {
        let size = ledger.head().unwrap().size;
        let anchored = *self.anchored.lock().unwrap();
        assert!(size >= anchored, "{size} records, {anchored} anchored");
        let seen = self.seen.lock().unwrap();
        let newest = seen.last_key_value().map_or(0, |(size, _)| *size);
        assert!(
            newest <= size,
            "{size} records, a head of {newest} was seen"
        );
        let mut log = Frontier::new();
        for index in 0..newest {
            let record = ledger.record(index).unwrap();
            log.append(leaf_hash(&record)).unwrap();
            if let Some(root) = seen.get(&log.size()) {
                assert_eq!(*root, log.root(), "the head of {} records", log.size());
            }
        }
    }
}
