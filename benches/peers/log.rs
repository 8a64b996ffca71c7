//! A log without ports, whose epochs are closed on order instead of by the clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use candor_core::crypto::{Ed25519SecretKey, MlDsa44SecretKey, VrfSecretKey};
use candor_core::epoch::LogConfig;
use candor_core::note::{KeyName, SoftwareSigner};
use candor_server::anchor::Anchor;
use candor_server::clock::Clock;
use candor_server::head::SignedHead;
use candor_server::ledger::{Ledger, put_ladders};
use candor_server::metrics::Metrics;
use candor_server::sequencer::admission::{Admission, Admitted};
use candor_server::sequencer::commit::{Committer, Waiting};
use candor_server::sequencer::enrolment::EnrolmentRules;
use candor_server::sequencer::ladders::{Completed, Ladders};
use candor_server::sequencer::pipeline::{Closed, Pipeline};
use candor_server::sequencer::recovery;
use candor_server::signer::LogSigner;
use candor_server::storage::{Engine, StoreOptions};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::task::THREADS;

const ORIGIN: &str = "log.example";

/// What the sequencer is told to do.
enum Order {
    /// Close an epoch when so many more updates are there.
    Epoch(usize),
    /// Store the ladders that were completed, and tell.
    Ladders(oneshot::Sender<()>),
}

/// How long the workers take to hand over ladders that are complete.
const HANDOVER: Duration = Duration::from_millis(200);

/// A running log.
pub struct Log {
    pub runtime: Runtime,
    pub ledger: Ledger,
    pub ladders: Ladders,
    pub admission: Admission,
    pub vrf: Arc<VrfSecretKey>,
    orders: Option<mpsc::UnboundedSender<Order>>,
    /// Threads for what a caller computes beside the server.
    workers: ThreadPool,
    signed: watch::Receiver<Option<Arc<SignedHead>>>,
    sequencing: Option<JoinHandle<()>>,
}

impl Log {
    /// Makes an empty log in a directory.
    pub fn create(directory: &Path) {
        let options = StoreOptions::new(Self::store(directory));
        let ledger = Ledger::new(Engine::Fjall.create(&options).unwrap(), 0);
        let config = LogConfig {
            origin: ORIGIN.to_owned(),
            vrf_public_key: *vrf().public_key().as_bytes(),
            created_ms: Clock::system().now_ms(),
        };
        recovery::create(&ledger, &signer(), &config).unwrap();
    }

    /// Where the store of a log is.
    pub fn store(directory: &Path) -> PathBuf {
        directory.join("store")
    }

    /// Recovers a log and runs it, with caches of this many bytes in total.
    pub fn open(directory: &Path, cache_bytes: u64) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(THREADS).build().unwrap();
        let engine_bytes = cache_bytes / 8;
        let options = StoreOptions {
            cache_bytes: engine_bytes,
            ..StoreOptions::new(Self::store(directory))
        };
        let store = Engine::Fjall.open(&options).unwrap();
        let ledger = Ledger::new(store, cache_bytes - engine_bytes);
        let (vrf, signer, clock) = (Arc::new(vrf()), Arc::new(signer()), Clock::system());
        let anchor = Anchor::open(&directory.join("anchor"), signer.verifier()).unwrap();
        let public = vrf.public_key();
        let tip = recovery::recover(&ledger, &signer, public, &anchor, &clock).unwrap();
        let (ladders, completed) = Ladders::new(Arc::clone(&vrf)).unwrap();
        let rules = EnrolmentRules::default();
        let (admission, queue) =
            Admission::new(ledger.clone(), ladders.clone(), rules, clock.clone());
        let (signed_sender, signed) = watch::channel(None);
        let mut committer = Committer {
            ledger: ledger.clone(),
            signer,
            anchor,
            signed: signed_sender,
            ladders: ladders.clone(),
            clock,
            metrics: Arc::new(Metrics::new()),
            halt: Default::default(),
        };
        committer.release(&tip).unwrap();
        let (orders, ordered) = mpsc::unbounded_channel();
        let workers = ThreadPoolBuilder::new().num_threads(THREADS);
        let pipeline = Pipeline::new(tip, committer);
        let sequencing = runtime.handle().clone();
        let sequencing = runtime.spawn_blocking(move || {
            sequencing.block_on(sequence(pipeline, queue, completed, ordered));
        });
        Self {
            runtime,
            ledger,
            ladders,
            admission,
            vrf,
            orders: Some(orders),
            workers: workers.build().unwrap(),
            signed,
            sequencing: Some(sequencing),
        }
    }

    /// Has an epoch closed when this many more updates are there.
    pub fn close_after(&self, updates: usize) {
        self.order(Order::Epoch(updates));
    }

    /// Has the ladders stored that workers completed.
    pub fn store_ladders(&self) {
        let (done, stored) = oneshot::channel();
        std::thread::sleep(HANDOVER);
        self.order(Order::Ladders(done));
        self.runtime.block_on(stored).unwrap();
    }

    fn order(&self, order: Order) {
        let orders = self.orders.as_ref().expect("the log is not closed");
        orders.send(order).ok().unwrap();
    }

    /// Runs something on one of the threads that compute.
    pub async fn on_a_worker<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) {
        let (done, ended) = oneshot::channel();
        self.workers.spawn_fifo(move || {
            let _gone = done.send(work());
        });
        ended.await.unwrap();
    }

    /// The newest signed head.
    pub fn head(&self) -> Option<Arc<SignedHead>> {
        self.signed.borrow().clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(sequencing) = self.sequencing.take() {
            self.runtime.block_on(sequencing).unwrap();
        }
    }
}

/// What the server's sequencer does, without its clock.
async fn sequence(
    mut pipeline: Pipeline,
    mut queue: mpsc::Receiver<Admitted>,
    mut completed: mpsc::Receiver<Completed>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let clock = Clock::system();
    while let Some(order) = orders.recv().await {
        let size = match order {
            Order::Epoch(size) => size,
            Order::Ladders(done) => {
                store(&mut pipeline, &mut completed).await;
                done.send(()).unwrap();
                continue;
            }
        };
        let mut updates = Vec::with_capacity(size);
        while updates.len() < size {
            updates.push(queue.recv().await.unwrap());
        }
        let started = std::time::Instant::now();
        let (rules, now_ms) = (EnrolmentRules::default(), clock.now_ms());
        let mut draft = pipeline.draft();
        for update in &updates {
            draft.add(update, &rules, now_ms).unwrap().unwrap();
        }
        while let Ok(ladder) = completed.try_recv() {
            draft.add_ladder(&ladder.account).unwrap();
        }
        let now_ms = clock.now_ms().max(pipeline.tip().map.timestamp_ms);
        let closed = Closed {
            built: draft.close(now_ms).unwrap(),
            waiting: Waiting {
                updates,
                refused: Vec::new(),
            },
            started,
        };
        pipeline.commit(closed).await.unwrap();
    }
    pipeline.settle().await.unwrap();
}

async fn store(pipeline: &mut Pipeline, completed: &mut mpsc::Receiver<Completed>) {
    pipeline.settle().await.unwrap();
    let mut ladders = Vec::new();
    while let Ok(ladder) = completed.try_recv() {
        if pipeline.is_current(&ladder.account).unwrap() {
            ladders.push(ladder.account);
        }
    }
    let head = pipeline.tip().stored_head();
    let batch = put_ladders(&head, ladders.iter().map(|account| &**account));
    pipeline.committer().unwrap().store(batch).unwrap();
}

fn vrf() -> VrfSecretKey {
    VrfSecretKey::from_seed(&[1; 32])
}

fn signer() -> LogSigner {
    let name = KeyName::new(ORIGIN).unwrap();
    let ed25519 = Ed25519SecretKey::from_seed(&[2; 32]);
    let ml_dsa = MlDsa44SecretKey::from_seed(&[3; 32]);
    LogSigner::new(
        ORIGIN,
        vec![
            Box::new(SoftwareSigner::ed25519(name.clone(), ed25519)),
            Box::new(SoftwareSigner::ml_dsa_44(name, ml_dsa)),
        ],
    )
}
