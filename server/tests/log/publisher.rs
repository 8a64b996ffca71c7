//! The publisher against witnesses on real sockets: honest, dead, slow, lying, and right.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use candor_core::Hash;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::log::{Frontier, verify_consistency};
use candor_core::note::{
    AddCheckpoint, Checkpoint, KeyName, LogVerifier, NoteSigner as _, Policy, SIZE_CONTENT_TYPE,
    SoftwareSigner, VerifierKey, encode_cosignatures, encode_size,
};
use candor_server::metrics::Metrics;
use candor_server::publisher::{Publisher, PublisherError, WitnessNode, WitnessStatus, lock};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::harness::{EAGER, LONG, Process, START_MS, World, value};

const ALICE: &str = "acct:alice";

/// How a witness behaves.
#[derive(Clone, Copy)]
enum Mode {
    Honest,
    Down,
    Silent,
    /// Claims to have cosigned a log of this size.
    Claims(u64),
    /// Refuses with this status and no reason.
    Refuses(StatusCode),
    /// Cosigns something else.
    Forges,
}

struct Witness {
    url: String,
    name: String,
    signer: SoftwareSigner,
    verifier: LogVerifier,
    mode: Mutex<Mode>,
    /// Size and root that were cosigned last.
    newest: Mutex<(u64, Hash)>,
    /// The note that is served for monitoring.
    shown: Mutex<Option<Vec<u8>>>,
}

impl Witness {
    async fn start(world: &World, seed: u8, mode: Mode) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = format!("w{seed}");
        let key = Ed25519SecretKey::from_seed(&[100 + seed; 32]);
        let key_name = KeyName::new(&format!("{name}.example")).unwrap();
        let witness = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            name,
            signer: SoftwareSigner::ed25519_cosignature(key_name, key),
            verifier: world.signer.verifier(),
            mode: Mutex::new(mode),
            newest: Mutex::new((0, Frontier::new().root())),
            shown: Mutex::default(),
        });
        let router = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .route("/{log}/checkpoint", get(show))
            .with_state(Arc::clone(&witness));
        tokio::spawn(async move { axum::serve(listener, router).await });
        witness
    }

    fn key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn cosign(&self, body: &[u8], forge: bool) -> Response {
        let request = AddCheckpoint::parse(body).unwrap();
        let verified = self.verifier.verify(&request.note).unwrap();
        let (size, root) = (verified.checkpoint().size(), *verified.checkpoint().root());
        let mut newest = self.newest.lock().unwrap();
        if request.old_size != newest.0 {
            let kind = [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)];
            return (StatusCode::CONFLICT, kind, encode_size(newest.0)).into_response();
        }
        verify_consistency(newest.0, &newest.1, size, &root, &request.proof).unwrap();
        *newest = (size, root);
        let size = size + u64::from(forge);
        let checkpoint = Checkpoint::new(self.verifier.origin(), size, root).unwrap();
        // A line of a key that nobody knows is none of the log's business.
        let stranger = Ed25519SecretKey::from_seed(&[99; 32]);
        let name = KeyName::new("stranger.example").unwrap();
        let stranger = SoftwareSigner::ed25519_cosignature(name, stranger);
        let now_s = START_MS / 1000;
        let lines = [
            stranger.sign(&checkpoint, now_s).unwrap(),
            self.signer.sign(&checkpoint, now_s).unwrap(),
        ];
        encode_cosignatures(&lines).into_response()
    }
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    let mode = *witness.mode.lock().unwrap();
    match mode {
        Mode::Honest => witness.cosign(&body, false),
        Mode::Forges => witness.cosign(&body, true),
        Mode::Down => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mode::Silent => std::future::pending().await,
        Mode::Refuses(status) => status.into_response(),
        Mode::Claims(size) => {
            let kind = [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)];
            (StatusCode::CONFLICT, kind, encode_size(size)).into_response()
        }
    }
}

async fn show(State(witness): State<Arc<Witness>>) -> Response {
    match witness.shown.lock().unwrap().clone() {
        Some(note) => note.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn policy(world: &World, witnesses: &[&Witness], quorum: &str) -> Arc<Policy> {
    let mut text: String = world
        .signer
        .keys()
        .iter()
        .map(|key| format!("log {key}\n"))
        .collect();
    for witness in witnesses {
        text += &format!(
            "witness {} {} {}\n",
            witness.name,
            witness.key(),
            witness.url
        );
    }
    Arc::new(Policy::parse(format!("{text}{quorum}\n").as_bytes()).unwrap())
}

/// A log with a real publisher.
struct Log {
    process: Process,
    policy: Arc<Policy>,
    statuses: Arc<Mutex<Vec<WitnessStatus>>>,
    publishing: JoinHandle<Result<(), PublisherError>>,
    unpublish: CancellationToken,
}

impl Log {
    fn start(world: &World, policy: Arc<Policy>) -> Self {
        let process = world.start_unpublished(EAGER, world.inlet()).unwrap();
        let witnesses = WitnessNode::of_policy(&policy).unwrap();
        let status = |node: &WitnessNode| WitnessStatus {
            url: node.url().to_owned(),
            ..WitnessStatus::default()
        };
        let statuses = Arc::new(Mutex::new(witnesses.iter().map(status).collect()));
        let unpublish = CancellationToken::new();
        let publisher = Publisher {
            ledger: world.ledger(),
            policy: Arc::clone(&policy),
            signer: Arc::clone(&world.signer),
            witnesses,
            statuses: Arc::clone(&statuses),
            signed: process.signed.clone(),
            published: Arc::clone(&process.published),
            clock: world.clock(),
            metrics: Arc::new(Metrics::new()),
            shutdown: unpublish.clone(),
        };
        Self {
            process,
            policy,
            statuses,
            publishing: tokio::spawn(publisher.run()),
            unpublish,
        }
    }

    /// Waits until a head of this size is published, and checks its cosignatures.
    async fn published(&self, size: u64) {
        let mut progress = self.process.published.progress();
        let is_published = |_: &u64| {
            self.process
                .published
                .current()
                .is_some_and(|head| head.signed.size >= size)
        };
        drop(
            tokio::time::timeout(LONG, progress.wait_for(is_published))
                .await
                .unwrap(),
        );
        let published = self.process.published.current().unwrap();
        self.policy.verify_checkpoint(&published.note).unwrap();
    }

    /// Waits until the published head is cosigned by this key.
    async fn cosigned_by(&self, key: &VerifierKey) {
        let mut progress = self.process.published.progress();
        let is_cosigned = |_: &u64| {
            let head = self.process.published.current();
            head.is_some_and(|head| head.note.signatures().iter().any(|line| line.claims(key)))
        };
        drop(
            tokio::time::timeout(LONG, progress.wait_for(is_cosigned))
                .await
                .unwrap(),
        );
    }

    /// Waits until the witness at `index` is told about on the status page.
    async fn status(&self, index: usize, is: impl Fn(&WitnessStatus) -> bool) {
        let polled = async {
            while !is(&lock(&self.statuses)[index]) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, polled)
            .await
            .expect("the status changes");
    }

    async fn submit(&self, version: u32) -> u64 {
        self.process
            .submit(ALICE, version, &value(ALICE, version))
            .await
            .unwrap()
    }

    async fn stop(self) {
        self.process.stop().await.unwrap();
        self.unpublish.cancel();
        self.publishing.await.unwrap().unwrap();
    }

    async fn contradicted(self) -> String {
        let ended = tokio::time::timeout(LONG, self.publishing)
            .await
            .unwrap()
            .unwrap();
        self.process.halt.cancel();
        self.process.stop().await.unwrap();
        match ended {
            Err(PublisherError::StoreContradicted { what, .. }) => what.to_owned(),
            other => panic!("not stopped: {other:?}"),
        }
    }
}

#[tokio::test]
async fn heads_are_published_with_a_quorum_also_after_a_restart() {
    let mut world = World::new();
    let (a, b) = (
        Witness::start(&world, 1, Mode::Honest).await,
        Witness::start(&world, 2, Mode::Honest).await,
    );
    let policy = policy(&world, &[&a, &b], "group all-of all w1 w2\nquorum all-of");
    let log = Log::start(&world, Arc::clone(&policy));
    let epoch = log.submit(0).await;
    log.published(epoch + 1).await;
    log.stop().await;
    world.crash();
    assert!(world.ledger().published().unwrap().is_some());
    // The publisher knows nothing of what the witnesses have: they say so with a conflict.
    let log = Log::start(&world, policy);
    let epoch = log.submit(1).await;
    log.published(epoch + 1).await;
    log.stop().await;
    world.audit();
}

#[tokio::test]
async fn witnesses_that_the_quorum_does_not_need_cannot_stop_the_log() {
    let world = World::new();
    let honest = Witness::start(&world, 1, Mode::Honest).await;
    let modes = [
        Mode::Down,
        Mode::Silent,
        Mode::Forges,
        Mode::Claims(1 << 40),
        Mode::Claims(u64::MAX),
        Mode::Refuses(StatusCode::CONFLICT),
        Mode::Refuses(StatusCode::UNPROCESSABLE_ENTITY),
        Mode::Refuses(StatusCode::FORBIDDEN),
        Mode::Refuses(StatusCode::PERMANENT_REDIRECT),
    ];
    let mut witnesses = vec![Arc::clone(&honest)];
    for (seed, mode) in (2..).zip(modes) {
        witnesses.push(Witness::start(&world, seed, mode).await);
    }
    let all: Vec<&Witness> = witnesses.iter().map(|witness| &**witness).collect();
    let log = Log::start(&world, policy(&world, &all, "quorum w1"));
    for version in 0..3 {
        let epoch = log.submit(version).await;
        log.published(epoch + 1).await;
    }
    for (index, alarming) in [
        (1, false),
        (3, true),
        (4, true),
        (6, true),
        (7, true),
        (8, true),
    ] {
        log.status(index, |status| status.failure.is_some()).await;
        log.status(index, |status| status.alarm.is_some() == alarming)
            .await;
    }
    assert_eq!(honest.newest.lock().unwrap().0, log.process.size());
    log.stop().await;
}

#[tokio::test]
async fn a_lost_quorum_comes_back() {
    let world = World::new();
    let witness = Witness::start(&world, 1, Mode::Down).await;
    let log = Log::start(&world, policy(&world, &[&witness], "quorum w1"));
    let epoch = log.submit(0).await;
    log.status(0, |status| status.failure.is_some()).await;
    assert!(log.process.published.current().is_none());
    witness.set(Mode::Honest);
    log.published(2).await;
    log.published(epoch + 1).await;
    log.status(0, |status| {
        status.failure.is_none() && status.cosigned_s > 0
    })
    .await;
    log.stop().await;
}

#[tokio::test]
async fn late_cosignatures_are_added() {
    let world = World::new();
    let (prompt, late) = (
        Witness::start(&world, 1, Mode::Honest).await,
        Witness::start(&world, 2, Mode::Down).await,
    );
    let log = Log::start(&world, policy(&world, &[&prompt, &late], "quorum w1"));
    log.published(2).await;
    log.status(1, |status| status.failure.is_some()).await;
    late.set(Mode::Honest);
    log.cosigned_by(late.key()).await;
    assert_eq!(log.process.published.current().unwrap().signed.size, 2);
    log.stop().await;
}

#[tokio::test]
async fn a_witness_that_proves_a_rollback_stops_the_log() {
    let now_s = START_MS / 1000;
    // Refused as behind, or as inconsistent: what counts is the checkpoint that the log signed.
    let cases = [
        (Mode::Claims(50), 50, "a larger log"),
        (
            Mode::Refuses(StatusCode::UNPROCESSABLE_ENTITY),
            2,
            "another root at the same size",
        ),
    ];
    for (mode, size, expected) in cases {
        let world = World::new();
        let witness = Witness::start(&world, 1, mode).await;
        let signed = world.signer.sign(size, Hash([9; 32]), now_s).unwrap();
        *witness.shown.lock().unwrap() = Some(signed.to_bytes());
        // It does not matter that the quorum does without it.
        let log = Log::start(&world, policy(&world, &[&witness], "quorum none"));
        assert_eq!(log.contradicted().await, expected);
    }
}

#[tokio::test]
async fn a_note_of_another_log_proves_nothing() {
    let world = World::new();
    let witness = Witness::start(&world, 1, Mode::Claims(50)).await;
    let other = super::harness::signer(super::harness::ORIGIN, 66);
    let forged = other.sign(50, Hash([9; 32]), START_MS / 1000).unwrap();
    *witness.shown.lock().unwrap() = Some(forged.to_bytes());
    let log = Log::start(&world, policy(&world, &[&witness], "quorum none"));
    log.status(0, |status| status.alarm.is_some()).await;
    let epoch = log.submit(0).await;
    log.published(epoch + 1).await;
    log.stop().await;
}

#[tokio::test]
async fn a_full_disk_neither_delays_publication_nor_ends_it() {
    let world = World::new();
    // The first commit is the first epoch, the second the published head.
    world
        .store
        .fail_commit(1, candor_server::storage::CommitFault::DiskFull);
    let witness = Witness::start(&world, 1, Mode::Honest).await;
    let log = Log::start(&world, policy(&world, &[&witness], "quorum w1"));
    log.published(2).await;
    assert!(world.ledger().published().unwrap().is_none());
    let epoch = log.submit(0).await;
    log.published(epoch + 1).await;
    assert!(world.ledger().published().unwrap().is_some());
    log.stop().await;
}
