//! A log without ports: a store with faults on order, a clock by hand, an anchor in a temporary
//! directory, and a publisher that publishes when it is told to.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use candor_core::Hash;
use candor_core::account::{
    AccountState, Binding, Device, DeviceKey, Label, VerifiedState, VerifiedValue,
};
use candor_core::crypto::{Ed25519SecretKey, VrfSecretKey};
use candor_core::epoch::{EpochRecord, LogConfig, MapState};
use candor_core::map::AuditDelta;
use candor_core::note::{KeyName, SignedNote, SoftwareSigner};
use candor_server::anchor::Anchor;
use candor_server::clock::Clock;
use candor_server::fsck;
use candor_server::head::{Published, PublishedHead, SignedHead};
use candor_server::ledger::Ledger;
use candor_server::metrics::Metrics;
use candor_server::sequencer::admission::{Admission, Admitted, SubmitError};
use candor_server::sequencer::commit::Committer;
use candor_server::sequencer::enrolment::EnrolmentRules;
use candor_server::sequencer::epoch::Tip;
use candor_server::sequencer::erasure::Eraser;
use candor_server::sequencer::ladders::{Completed, Ladders};
use candor_server::sequencer::pipeline::Pipeline;
use candor_server::sequencer::recovery::{self, RecoveryError};
use candor_server::sequencer::{FatalError, Pace, Sequencer};
use candor_server::signer::LogSigner;
use candor_server::storage::{MemoryStorage, Storage};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Found};
use super::gate::{Gate, Gated};

pub const ORIGIN: &str = "log.example";

/// No test waits as long as this, unless it fails.
pub const LONG: Duration = Duration::from_secs(30);

/// When the log was made, in milliseconds since the Unix epoch.
pub const START_MS: u64 = 1_700_000_000_000;

/// Enough for some of what tests store, so that processes also read.
const CACHE_BYTES: u64 = 64 << 10;

/// Closes an epoch for every update, at once, and none without.
pub const EAGER: Pace = Pace {
    epoch_interval: Duration::ZERO,
    heartbeat: Duration::from_secs(3600),
    epoch_updates_max: 100,
    publication_patience: LONG,
};

pub fn signer(origin: &str, seed: u8) -> LogSigner {
    let key = Ed25519SecretKey::from_seed(&[seed; 32]);
    let key = SoftwareSigner::ed25519(KeyName::new(origin).unwrap(), key);
    LogSigner::new(origin, vec![Box::new(key)])
}

/// What is left of a log when no process runs.
pub struct World {
    pub store: Arc<MemoryStorage>,
    pub gate: Arc<Gate>,
    pub signer: Arc<LogSigner>,
    pub vrf: Arc<VrfSecretKey>,
    pub anchor_path: PathBuf,
    /// Memory for what processes keep of the store.
    pub cache_bytes: u64,
    /// What the operator asks of accounts; at first nothing.
    pub rules: EnrolmentRules,
    pub now_ms: Arc<AtomicU64>,
    /// Heads that were signed: one size has one root, for ever.
    pub heads: Arc<Mutex<Vec<(u64, Hash)>>>,
    _dir: tempfile::TempDir,
}

impl World {
    /// An empty store.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            store: Arc::new(MemoryStorage::new()),
            gate: Arc::default(),
            signer: Arc::new(signer(ORIGIN, 1)),
            vrf: Arc::new(VrfSecretKey::from_seed(&[2; 32])),
            anchor_path: dir.path().join("anchor"),
            cache_bytes: CACHE_BYTES,
            rules: EnrolmentRules::default(),
            now_ms: Arc::new(AtomicU64::new(START_MS)),
            heads: Arc::default(),
            _dir: dir,
        }
    }

    /// A log with record 0.
    pub fn new() -> Self {
        let world = Self::empty();
        world.create().unwrap();
        world
    }

    /// The same log with another store, and an anchor of its own.
    pub fn with_store(&self, store: MemoryStorage) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let anchor_path = dir.path().join("anchor");
        std::fs::copy(&self.anchor_path, &anchor_path).unwrap();
        Self {
            store: Arc::new(store),
            gate: Arc::default(),
            signer: Arc::clone(&self.signer),
            vrf: Arc::clone(&self.vrf),
            anchor_path,
            cache_bytes: self.cache_bytes,
            rules: self.rules,
            now_ms: Arc::clone(&self.now_ms),
            heads: Arc::default(),
            _dir: dir,
        }
    }

    pub fn create(&self) -> Result<(), RecoveryError> {
        let config = LogConfig {
            origin: ORIGIN.to_owned(),
            vrf_public_key: *self.vrf.public_key().as_bytes(),
            created_ms: START_MS,
        };
        recovery::create(&self.ledger(), &self.signer, &config)
    }

    /// The rows, and nothing of them in memory.
    pub fn ledger(&self) -> Ledger {
        self.ledger_with(0)
    }

    fn ledger_with(&self, cache_bytes: u64) -> Ledger {
        let (store, gate) = (Arc::clone(&self.store), Arc::clone(&self.gate));
        Ledger::new(Arc::new(Gated { store, gate }), cache_bytes)
    }

    /// What a process has before its sequencer runs.
    pub fn inlet(&self) -> Inlet {
        let ledger = self.ledger_with(self.cache_bytes);
        let (ladders, completed) = Ladders::new(Arc::clone(&self.vrf)).unwrap();
        let (rules, clock) = (self.rules, self.clock());
        let (admission, queue) = Admission::new(ledger.clone(), ladders.clone(), rules, clock);
        Inlet {
            ledger,
            ladders,
            admission,
            queue,
            completed,
        }
    }

    pub fn clock(&self) -> Clock {
        let now_ms = Arc::clone(&self.now_ms);
        Clock::new(move || now_ms.load(Ordering::Relaxed))
    }

    /// Only what is durable stays; faults are gone.
    pub fn crash(&mut self) {
        self.store = Arc::new(self.store.crash());
    }

    pub fn anchor(&self) -> Anchor {
        Anchor::open(&self.anchor_path, self.signer.verifier()).unwrap()
    }

    /// Size of the newest head that was signed, as a process finds it that starts now.
    pub fn anchor_size(&self) -> u64 {
        let bytes = std::fs::read(&self.anchor_path).unwrap();
        let note = SignedNote::parse(&bytes).unwrap();
        let verified = self.signer.verifier().verify(&note).unwrap();
        verified.checkpoint().size()
    }

    pub fn recover(&self) -> Result<(Tip, Anchor), RecoveryError> {
        self.recover_by(&self.ledger())
    }

    /// Recovers, and leaves in the caches of `ledger` what it read.
    fn recover_by(&self, ledger: &Ledger) -> Result<(Tip, Anchor), RecoveryError> {
        let anchor = self.anchor();
        let public = self.vrf.public_key();
        let tip = recovery::recover(ledger, &self.signer, public, &anchor, &self.clock())?;
        Ok((tip, anchor))
    }

    pub fn start(&self, pace: Pace) -> Process {
        self.try_start(pace).unwrap()
    }

    pub fn try_start(&self, pace: Pace) -> Result<Process, RecoveryError> {
        self.start_with(pace, self.inlet())
    }

    /// Recovers, and runs the sequencer and a publisher that needs no witnesses.
    pub fn start_with(&self, pace: Pace, inlet: Inlet) -> Result<Process, RecoveryError> {
        let process = self.start_unpublished(pace, inlet)?;
        let (signed, published) = (process.signed.clone(), Arc::clone(&process.published));
        let (gate, heads) = (process.publishing.subscribe(), Arc::clone(&self.heads));
        tokio::spawn(publish(signed, published, gate, heads));
        Ok(process)
    }

    /// Recovers, and runs the sequencer alone.
    pub fn start_unpublished(&self, pace: Pace, inlet: Inlet) -> Result<Process, RecoveryError> {
        let (tip, anchor) = self.recover_by(&inlet.ledger)?;
        let desk = Desk {
            ledger: inlet.ledger.clone(),
            ladders: inlet.ladders.clone(),
            vrf: Arc::clone(&self.vrf),
        };
        let published = Arc::new(PublishedHead::starting_at(tip.size));
        let (signed_sender, signed) = watch::channel(None);
        let (shutdown, halt) = (CancellationToken::new(), CancellationToken::new());
        let (eraser, erasures) = Eraser::new();
        let committer = Committer {
            ledger: inlet.ledger,
            signer: Arc::clone(&self.signer),
            anchor,
            signed: signed_sender,
            ladders: inlet.ladders,
            clock: self.clock(),
            metrics: Arc::new(Metrics::new()),
            halt: halt.clone(),
        };
        let sequencer = Sequencer {
            pipeline: Pipeline::new(tip, committer),
            queue: inlet.queue,
            erasures,
            completed: inlet.completed,
            published: Arc::clone(&published),
            pace,
            rules: self.rules,
            clock: self.clock(),
            shutdown: shutdown.clone(),
            halt: halt.clone(),
        };
        let runtime = tokio::runtime::Handle::current();
        let sequencing = tokio::task::spawn_blocking(move || runtime.block_on(sequencer.run()));
        Ok(Process {
            admission: inlet.admission,
            eraser,
            desk,
            signed,
            published,
            publishing: watch::Sender::new(true),
            shutdown,
            halt,
            sequencing,
        })
    }

    /// Recomputes everything from the rows: the chain of records and deltas, and the map.
    pub fn audit(&self) -> MapState {
        let (tip, _) = self.recover().unwrap();
        let ledger = self.ledger();
        let config = LogConfig::decode(&ledger.record(0).unwrap()).unwrap();
        let mut state = config.start();
        for epoch in 1..tip.size {
            let record = EpochRecord::decode(&ledger.record(epoch).unwrap()).unwrap();
            let delta = AuditDelta::from_bytes(ledger.delta(epoch).unwrap()).unwrap();
            assert_eq!(delta.digest(), record.audit_digest);
            let verified = delta.verify(&state.root, &record.prefix_tree).unwrap();
            record
                .check_inserts(&state, verified.inserts().len())
                .unwrap();
            state = record.state();
        }
        assert_eq!(state, tip.map);
        for (size, root) in self.heads.lock().unwrap().iter() {
            assert_eq!(
                ledger.root(*size).unwrap(),
                *root,
                "a head of size {size} was signed"
            );
        }
        state
    }

    /// The greatest version of a label, as a device would verify it at the newest epoch.
    pub fn look_up(&self, label: &str) -> Found {
        let (tip, _) = self.recover().unwrap();
        let ledger = self.ledger();
        let root = tip.frontier.root();
        let note = self.signer.sign(tip.size, root, 1).unwrap();
        let head = SignedHead::new(&ledger, tip.size, root, tip.skeleton.clone(), note).unwrap();
        let (ladders, _completed) = Ladders::new(Arc::clone(&self.vrf)).unwrap();
        let vrf = Arc::clone(&self.vrf);
        let desk = Desk {
            ledger,
            ladders,
            vrf,
        };
        desk.look_up(&head, label).unwrap()
    }

    /// Nothing is wrong with any row.
    pub fn check_store(&self) {
        check_rows(Arc::new(self.store.crash()));
    }
}

/// Nothing is wrong with any row of a store.
pub fn check_rows(store: Arc<dyn Storage>) {
    let report = fsck::check(&Ledger::new(store, 0), NonZeroU64::MIN, &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings());
}

impl Drop for World {
    /// A test that fails must not wait for commits that wait for it.
    fn drop(&mut self) {
        self.gate.shut(false);
    }
}

/// The parts through which updates come in, and what they share with the sequencer.
pub struct Inlet {
    pub ledger: Ledger,
    pub ladders: Ladders,
    pub admission: Admission,
    pub queue: mpsc::Receiver<Admitted>,
    pub completed: mpsc::Receiver<Completed>,
}

/// A running sequencer.
pub struct Process {
    pub admission: Admission,
    pub eraser: Eraser,
    /// Lookups with what the process keeps in memory.
    pub desk: Desk,
    pub signed: watch::Receiver<Option<Arc<SignedHead>>>,
    pub published: Arc<PublishedHead>,
    /// Whether heads are published.
    pub publishing: watch::Sender<bool>,
    pub shutdown: CancellationToken,
    pub halt: CancellationToken,
    pub sequencing: JoinHandle<Result<(), FatalError>>,
}

impl Process {
    pub async fn submit(
        &self,
        label: &str,
        version: u32,
        value: &[u8],
    ) -> Result<u64, SubmitError> {
        let submitted = self.admission.submit(label, version, value);
        tokio::time::timeout(LONG, submitted)
            .await
            .expect("an answer comes in time")
    }

    /// Waits until a head of this size is signed.
    pub async fn signed_size(&mut self, size: u64) {
        let is_signed =
            |head: &Option<Arc<SignedHead>>| head.as_ref().is_some_and(|h| h.size >= size);
        let signed = self.signed.wait_for(is_signed);
        drop(tokio::time::timeout(LONG, signed).await.unwrap().unwrap());
    }

    /// Waits until the first epoch is signed, or the sequencer stopped.
    pub async fn begun(&mut self) {
        let first = self.signed.wait_for(Option::is_some);
        let _ended = tokio::time::timeout(LONG, first).await.unwrap();
    }

    /// Waits until a head of this size is published.
    pub async fn published_size(&self, size: u64) {
        let mut progress = self.published.progress();
        let reached = progress.wait_for(|published| *published >= size);
        drop(tokio::time::timeout(LONG, reached).await.unwrap().unwrap());
    }

    /// The published head, once it is the newest that was signed; `None` if none was.
    pub async fn newest(&self) -> Option<Arc<Published>> {
        loop {
            let published = self.published.current();
            if published.as_ref().map_or(0, |head| head.signed.size) >= self.size() {
                return published;
            }
            tokio::task::yield_now().await;
        }
    }

    pub fn size(&self) -> u64 {
        self.signed.borrow().as_ref().map_or(0, |head| head.size)
    }

    /// Waits for the end.
    pub async fn ended(self) -> Result<(), FatalError> {
        tokio::time::timeout(LONG, self.sequencing)
            .await
            .expect("it ends in time")
            .unwrap()
    }

    pub async fn stop(self) -> Result<(), FatalError> {
        self.shutdown.cancel();
        self.ended().await
    }
}

async fn publish(
    mut signed: watch::Receiver<Option<Arc<SignedHead>>>,
    published: Arc<PublishedHead>,
    mut gate: watch::Receiver<bool>,
    heads: Arc<Mutex<Vec<(u64, Hash)>>>,
) {
    loop {
        let head = signed.borrow_and_update().clone();
        if let Some(head) = head {
            heads.lock().unwrap().push((head.size, head.root));
            if gate.wait_for(|open| *open).await.is_err() {
                return;
            }
            let note = head.note.clone();
            published.set(Published::new(head, note, &[], START_MS / 1000));
        }
        if signed.changed().await.is_err() {
            return;
        }
    }
}

/// The value that makes a label another name of `primary`.
pub fn binding(label: &str, primary: &str) -> Vec<u8> {
    let [label, primary] = [label, primary].map(|label| Label::parse(label).unwrap());
    VerifiedValue::Binding(Binding::new(label, primary).unwrap()).encode()
}

/// The states of each label's account that tests have made, in order.
static STATES: Mutex<BTreeMap<String, Vec<VerifiedState>>> = Mutex::new(BTreeMap::new());

/// Values that may follow one another at a label: states of an account without a key, whose one
/// device has the label's name, so that no two labels have the same.
pub fn value(label: &str, version: u32) -> Vec<u8> {
    let mut states = STATES.lock().unwrap_or_else(PoisonError::into_inner);
    let states = states.entry(label.to_owned()).or_default();
    let name = Label::parse(label).unwrap_or_else(|_| Label::parse("acct:nobody").unwrap());
    while states.len() <= version as usize {
        let next = match states.last() {
            Some(last) => last.successor().unwrap(),
            None => AccountState {
                devices: vec![device(label, 0)],
                ..AccountState::first()
            },
        };
        states.push(next.without_signature(&name).unwrap());
    }
    VerifiedValue::State(states[version as usize].clone()).encode()
}

/// A device of an account.
pub fn device(name: &str, capability: u16) -> Device {
    Device {
        id: name.as_bytes().to_vec(),
        name: String::new(),
        platform: String::new(),
        os_version: String::new(),
        capability,
        added_ms: START_MS,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "sign".to_owned(),
            public_key: vec![1],
        }],
    }
}
