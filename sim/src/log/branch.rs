//! One history of the log, as the server keeps it: recovery, the draft of an epoch, the commit and
//! the anchor are the server's own code, over its store in memory.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use candor_core::epoch::LogConfig;
use candor_core::note::NoteSigner;
use candor_host::durable::{ReadError, WriteError};
use candor_server::anchor::{Anchor, Medium};
use candor_server::clock::Clock;
use candor_server::head::{Published, SignedHead};
use candor_server::ledger::Ledger;
use candor_server::sequencer::FatalError;
use candor_server::sequencer::commit::{Committer, Outcome, Waiting};
use candor_server::sequencer::epoch::{Built, Draft, Pending, Tip};
use candor_server::sequencer::recovery::{self, RecoveryError};
use candor_server::signer::LogSigner;
use candor_server::storage::{CommitFault, MemoryStorage};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::context::{Context, Fault, START_MS};
use crate::keys::{ORIGIN, log_signer};

/// Age of the newest record at which an idle log closes an epoch, in milliseconds.
const HEARTBEAT_MS: u64 = 8_000;

/// The disk of the anchor: what is on it, and how the next write ends.
#[derive(Debug, Default)]
struct AnchorDisk {
    bytes: Option<Vec<u8>>,
    fault: Option<Fault>,
}

#[derive(Clone, Debug, Default)]
struct AnchorMedium(Arc<Mutex<AnchorDisk>>);

impl AnchorMedium {
    fn with<T>(&self, use_disk: impl FnOnce(&mut AnchorDisk) -> T) -> T {
        use_disk(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Medium for AnchorMedium {
    fn read(&self) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.with(|disk| disk.bytes.clone()))
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), WriteError> {
        self.with(|disk| {
            let fault = disk.fault.take().unwrap_or(Fault::None);
            if fault != Fault::NotWritten {
                disk.bytes = Some(bytes.to_vec());
            }
            match fault {
                Fault::None => Ok(()),
                _ => Err(WriteError::OutcomeUnknown {
                    path: PathBuf::new(),
                    source: std::io::Error::other("injected fault"),
                }),
            }
        })
    }
}

/// A history at rest, and perhaps a process that extends it.
pub struct Branch {
    number: usize,
    store: Arc<MemoryStorage>,
    anchor: AnchorMedium,
    clock_ms: Arc<AtomicU64>,
    backup: Option<(MemoryStorage, Option<Vec<u8>>)>,
    process: Option<Process>,
    /// The head that is shown to devices, by a process or by the next one.
    pub published: Option<Arc<Published>>,
}

struct Process {
    ledger: Ledger,
    tip: Tip,
    committer: Committer,
    signed: watch::Receiver<Option<Arc<SignedHead>>>,
}

impl Branch {
    /// A new log: record 0, which only a broken simulation could fail to write.
    pub fn create(number: usize, shared: &Shared) -> Result<Self, RecoveryError> {
        let branch = Self::over(number, MemoryStorage::new(), None);
        let config = LogConfig {
            origin: ORIGIN.to_owned(),
            vrf_public_key: *shared.vrf.public_key().as_bytes(),
            created_ms: START_MS,
        };
        recovery::create(&branch.ledger(), &signer(), &config)?;
        Ok(branch)
    }

    fn over(number: usize, store: MemoryStorage, anchor: Option<Vec<u8>>) -> Self {
        let medium = AnchorMedium::default();
        medium.with(|disk| disk.bytes = anchor);
        Self {
            number,
            store: Arc::new(store),
            anchor: medium,
            clock_ms: Arc::default(),
            backup: None,
            process: None,
            published: None,
        }
    }

    /// The same history up to now, in another place: what a log does that means to fork.
    pub fn fork(&self, number: usize) -> Self {
        let mut fork = Self::over(number, self.store.crash(), self.anchor_bytes());
        fork.published.clone_from(&self.published);
        fork
    }

    fn anchor_bytes(&self) -> Option<Vec<u8>> {
        self.anchor.with(|disk| disk.bytes.clone())
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(Arc::clone(&self.store) as Arc<_>, 0)
    }

    /// Whether a process runs.
    pub const fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// The newest signed head, while a process runs.
    pub fn head(&self) -> Option<Arc<SignedHead>> {
        self.process.as_ref()?.signed.borrow().clone()
    }

    /// Whether the newest record is so old that a heartbeat is due.
    pub fn is_due(&self, cx: &Context<'_>) -> bool {
        let newest_ms = self.head().map_or(0, |head| head.timestamp_ms);
        cx.clock_ms.saturating_sub(newest_ms) >= HEARTBEAT_MS
    }

    /// The rows, while a process runs.
    pub fn rows(&self) -> Option<&Ledger> {
        self.process.as_ref().map(|process| &process.ledger)
    }

    /// Starts a process, which recovers and signs where the store stands.
    pub fn start(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Result<(), String> {
        self.set_clock(cx);
        let ledger = self.ledger();
        let clock_ms = Arc::clone(&self.clock_ms);
        let clock = Clock::new(move || clock_ms.load(Ordering::Relaxed));
        let medium = Box::new(self.anchor.clone());
        let anchor = Anchor::open_on(medium, signer().verifier());
        let anchor = anchor.map_err(|error| error.to_string())?;
        let public = shared.vrf.public_key();
        let recovered = recovery::recover(&ledger, &signer(), public, &anchor, &clock);
        let tip = recovered.map_err(|error| error.to_string())?;
        let (sender, signed) = watch::channel(None);
        let mut committer = Committer {
            ledger: ledger.clone(),
            signer: Arc::new(signer()),
            anchor,
            signed: sender,
            ladders: shared.ladders.clone(),
            clock,
            metrics: Arc::clone(&shared.metrics),
            halt: CancellationToken::new(),
        };
        self.anchor.with(|disk| disk.fault = Some(cx.fault()));
        let released = committer.release(&tip);
        self.process = Some(Process {
            ledger,
            tip,
            committer,
            signed,
        });
        self.after(released.map(|()| Outcome::Stored), cx)
    }

    /// Closes an epoch without updates.
    pub fn close(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.set_clock(cx);
        let Some(process) = &mut self.process else {
            return Err("not running".to_owned());
        };
        let pending = Pending::default();
        let draft = Draft::new(&process.ledger, &process.tip, &pending);
        // Histories of a log that forks differ in their times.
        let built = draft.close(cx.clock_ms + self.number as u64);
        let Built { batch, tip, .. } = built.map_err(|error| error.to_string())?;
        match (cx.fault(), cx.rng.bool()) {
            (Fault::None, _) => {}
            (Fault::NotWritten, true) => self.store.fail_commit(0, CommitFault::DiskFull),
            (fault, _) => {
                let written = fault == Fault::Written;
                self.store
                    .fail_commit(0, CommitFault::OutcomeUnknown { written });
            }
        }
        self.anchor.with(|disk| disk.fault = Some(cx.fault()));
        let committer = &mut process.committer;
        let outcome = committer.commit(
            batch,
            &tip,
            Vec::new(),
            &mut Waiting::default(),
            Instant::now(),
        );
        if matches!(outcome, Ok(Outcome::Stored)) {
            process.tip = tip;
            cx.coverage.epochs += 1;
        }
        self.after(outcome, cx)
    }

    /// Tells the observer what was signed, or ends the process.
    fn after(
        &mut self,
        outcome: Result<Outcome, FatalError>,
        cx: &mut Context<'_>,
    ) -> Result<(), String> {
        match outcome {
            Ok(Outcome::Stored) => {
                if let Some(head) = self.head() {
                    cx.observer.signed(self.number, (head.size, head.root));
                }
                Ok(())
            }
            Ok(Outcome::NotStored) => Ok(()),
            Err(error) => {
                self.crash();
                Err(error.to_string())
            }
        }
    }

    /// The process ends; what is durable stays.
    pub fn crash(&mut self) {
        self.process = None;
        self.store = Arc::new(self.store.crash());
        self.anchor.with(|disk| disk.fault = None);
    }

    /// Copies the store, as a backup does.
    pub fn back_up(&mut self) {
        self.backup = Some((self.store.crash(), self.anchor_bytes()));
    }

    /// Exchanges the store with its backup while no process runs, and the anchor too if it was in
    /// the backup by mistake.
    pub fn exchange(&mut self, with_anchor: bool) {
        let Some((store, anchor)) = self.backup.take() else {
            return;
        };
        self.backup = Some((self.store.crash(), self.anchor_bytes()));
        self.store = Arc::new(store);
        if with_anchor {
            self.anchor.with(|disk| disk.bytes = anchor);
        }
    }

    fn set_clock(&self, cx: &Context<'_>) {
        self.clock_ms.store(cx.clock_ms, Ordering::Relaxed);
    }
}

/// The log's key.
fn signer() -> LogSigner {
    let key: Box<dyn NoteSigner> = Box::new(log_signer());
    LogSigner::new(ORIGIN, vec![key])
}
