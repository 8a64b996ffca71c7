//! The publisher against witnesses: honest, dead, slow, lying, and right.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use candor_core::Hash;
use candor_core::note::{Policy, VerifierKey};
use candor_server::metrics::Metrics;
use candor_server::publisher::{
    Clears, Intervals, Publisher, PublisherError, StatusBoard, WitnessNode, WitnessStatus,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::harness::{EAGER, LONG, Process, START_MS, World, value};
use super::witnesses::{Mode, Witness, policy};

const ALICE: &str = "acct:alice";

/// A log with a real publisher.
pub struct Log {
    pub process: Process,
    policy: Arc<Policy>,
    pub board: StatusBoard,
    pub metrics: Arc<Metrics>,
    publishing: JoinHandle<Result<(), PublisherError>>,
    unpublish: CancellationToken,
}

impl Log {
    pub fn start(world: &World, policy: Arc<Policy>) -> Self {
        Self::start_with(world, policy, None, &Intervals::new())
    }

    pub fn start_with(
        world: &World,
        policy: Arc<Policy>,
        second: Option<Arc<Policy>>,
        intervals: &Intervals,
    ) -> Self {
        let process = world.start_unpublished(EAGER, world.inlet()).unwrap();
        let witnesses = WitnessNode::of_policies(&policy, second.as_deref(), intervals).unwrap();
        let urls = witnesses.iter().map(WitnessNode::url);
        let board = StatusBoard::new(urls, world.clock().now_s());
        let metrics = Arc::new(Metrics::new());
        let unpublish = CancellationToken::new();
        let publisher = Publisher {
            ledger: world.ledger(),
            policy: Arc::clone(&policy),
            second_policy: second,
            signer: Arc::clone(&world.signer),
            witnesses,
            board: board.clone(),
            signed: process.signed.clone(),
            published: Arc::clone(&process.published),
            clock: world.clock(),
            metrics: Arc::clone(&metrics),
            shutdown: unpublish.clone(),
        };
        Self {
            process,
            policy,
            board,
            metrics,
            publishing: tokio::spawn(publisher.run()),
            unpublish,
        }
    }

    /// Waits until a head of this size is published, and checks its cosignatures.
    pub async fn published(&self, size: u64) {
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
    pub async fn cosigned_by(&self, key: &VerifierKey) {
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
    pub async fn status(&self, index: usize, is: impl Fn(&WitnessStatus) -> bool) {
        let polled = async {
            while !is(&self.board.lock().witnesses[index]) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, polled)
            .await
            .expect("the status changes");
    }

    /// Waits until the quorum is said to be met or lost.
    pub async fn quorum(&self, is_met: bool) {
        let polled = async {
            while self.board.lock().quorum_lost_s.is_none() != is_met {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, polled).await.unwrap();
    }

    /// What a scraper reads.
    pub fn scrape(&self, now_s: u64) -> String {
        self.metrics.publication(&self.board.lock(), now_s);
        self.metrics.registry.text()
    }

    pub async fn submit(&self, version: u32) -> u64 {
        self.process
            .submit(ALICE, version, &value(ALICE, version))
            .await
            .unwrap()
    }

    pub async fn stop(self) {
        self.process.stop().await.unwrap();
        self.unpublish.cancel();
        self.publishing.await.unwrap().unwrap();
    }

    pub async fn contradicted(self) -> String {
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
        Mode::Refuses(StatusCode::NOT_FOUND),
        Mode::Refuses(StatusCode::PERMANENT_REDIRECT),
        Mode::Refuses(StatusCode::NO_CONTENT),
        Mode::Stranger,
        Mode::Wavers,
        Mode::Mumbles,
        Mode::Busy,
        Mode::Refuses(StatusCode::SERVICE_UNAVAILABLE),
        Mode::Misdates(1),
        Mode::Misdates(START_MS / 1000 + 3_600),
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
    let expected = [
        (1, "unavailable", None),
        (3, "signature", Some(Clears::WithAnswer)),
        (4, "ahead", Some(Clears::WithSize(1 << 40))),
        // No log has this size, so no size is named.
        (5, "contradicted", Some(Clears::ByOperator)),
        (6, "contradicted", Some(Clears::ByOperator)),
        (7, "contradicted", Some(Clears::ByOperator)),
        (8, "configuration", Some(Clears::WithAnswer)),
        (9, "configuration", Some(Clears::WithAnswer)),
        (10, "configuration", Some(Clears::WithAnswer)),
        (11, "malformed", None),
        (12, "signature", Some(Clears::WithAnswer)),
        (13, "conflict", None),
        (14, "contradicted", Some(Clears::ByOperator)),
        (15, "unavailable", None),
        (16, "unavailable", None),
        (17, "time", Some(Clears::WithAnswer)),
        (18, "time", Some(Clears::WithAnswer)),
    ];
    for (index, kind, clears) in expected {
        log.status(index, |status| status.failure.is_some()).await;
        let alarm = log.board.lock().witnesses[index].alarm.clone();
        assert_eq!(alarm.map(|alarm| alarm.clears), clears, "witness {index}");
        let url = &witnesses[index].url;
        let failed = format!("witness_failures_total{{kind=\"{kind}\",witness=\"{url}\"}}");
        let raised = format!(
            "witness_alarm{{witness=\"{url}\"}} {}",
            u8::from(clears.is_some())
        );
        let text = log.scrape(START_MS / 1000);
        assert!(
            text.contains(&failed) && text.contains(&raised),
            "{url}:\n{text}"
        );
    }
    // A named size is followed three times, and starts from nothing.
    assert_eq!(witnesses[13].asked.lock().unwrap()[..4], [0, 1, 0, 1]);
    assert_eq!(witnesses[15].asked.lock().unwrap().len(), 1);
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
    log.quorum(false).await;
    assert!(log.scrape(START_MS / 1000).contains("candor_quorum_lost 1"));
    witness.set(Mode::Honest);
    log.published(2).await;
    log.published(epoch + 1).await;
    log.quorum(true).await;
    assert!(log.scrape(START_MS / 1000).contains("candor_quorum_lost 0"));
    log.status(0, |status| {
        status.failure.is_none() && status.size == epoch + 1
    })
    .await;
    log.stop().await;
}

#[tokio::test]
async fn alarms_stand_until_they_are_explained() {
    let world = World::new();
    let honest = Witness::start(&world, 1, Mode::Honest).await;
    let modes = [
        Mode::Refuses(StatusCode::UNPROCESSABLE_ENTITY),
        Mode::Claims(5),
        Mode::Refuses(StatusCode::FORBIDDEN),
    ];
    let mut witnesses = vec![Arc::clone(&honest)];
    for (seed, mode) in (2..).zip(modes) {
        witnesses.push(Witness::start(&world, seed, mode).await);
    }
    let all: Vec<&Witness> = witnesses.iter().map(|witness| &**witness).collect();
    let log = Log::start(&world, policy(&world, &all, "quorum w1"));
    let alarms = |log: &Log| {
        let board = log.board.lock();
        let alarms = board.witnesses.iter().map(|it| it.alarm.is_some());
        alarms.collect::<Vec<_>>()
    };
    for (index, witness) in witnesses.iter().enumerate().skip(1) {
        log.status(index, |status| status.alarm.is_some()).await;
        witness.set(Mode::Honest);
    }
    for index in 1..4 {
        log.status(index, |status| status.size >= 2).await;
    }
    // What was only claimed stands although the witness cosigns again; the refusal of the log is
    // over as soon as it accepts it.
    assert_eq!(alarms(&log), [false, true, true, false]);
    for version in 0..3 {
        let epoch = log.submit(version).await;
        log.published(epoch + 1).await;
    }
    // The log has grown over the claim, which the witness thereby took back.
    for index in 1..3 {
        log.status(index, |status| status.size >= 5).await;
    }
    assert_eq!(alarms(&log), [false, true, false, false]);
    log.stop().await;
}

#[tokio::test]
async fn a_witness_that_knows_a_newer_head_is_no_alarm() {
    let world = World::new();
    let late = Witness::start(&world, 1, Mode::Down).await;
    let other = Witness::start(&world, 2, Mode::Down).await;
    let log = Log::start(&world, policy(&world, &[&late, &other], "quorum w1"));
    log.status(1, |status| status.failure.is_some()).await;
    // The log has signed head 3, but the round is still for head 2.
    assert_eq!(log.submit(0).await, 2);
    other.set(Mode::Overtaken(3));
    let is_overtaken = |status: &WitnessStatus| {
        let failure = status.failure.as_deref();
        failure.is_some_and(|failure| failure.contains("a newer head"))
    };
    log.status(1, is_overtaken).await;
    late.set(Mode::Honest);
    log.published(3).await;
    log.cosigned_by(other.key()).await;
    assert_eq!(log.board.lock().witnesses[1].alarm, None);
    log.stop().await;
}

#[tokio::test]
async fn a_witness_with_an_interval_is_asked_seldom() {
    let world = World::new();
    let (prompt, seldom) = (
        Witness::start(&world, 1, Mode::Honest).await,
        Witness::start(&world, 2, Mode::Honest).await,
    );
    let policy = policy(&world, &[&prompt, &seldom], "quorum w1");
    let hour = Duration::from_secs(3600);
    let unknown = Intervals::from([("w3".to_owned(), hour)]);
    assert!(WitnessNode::of_policies(&policy, None, &unknown).is_err());
    let intervals = Intervals::from([("w2".to_owned(), hour)]);
    let log = Log::start_with(&world, policy, None, &intervals);
    log.published(2).await;
    log.status(1, |status| status.size == 2).await;
    for version in 0..3 {
        let epoch = log.submit(version).await;
        log.published(epoch + 1).await;
    }
    assert_eq!(seldom.asked.lock().unwrap()[..], [0]);
    log.metrics.signed_size.set(5);
    let text = log.scrape(START_MS / 1000 + 70);
    let lag = |name, lag| {
        format!(
            "candor_witness_lag_{name}{{witness=\"{}\"}} {lag}",
            seldom.url
        )
    };
    for expected in [lag("records", 3), lag("seconds", 70)] {
        assert!(text.contains(&expected), "{expected} not in\n{text}");
    }
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
