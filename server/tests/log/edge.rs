//! Hostile requests, missing witnesses, and going down.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use candor_core::answer::{Query, Trust};
use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{KeyName, Policy, VerifierKey};
use candor_proto::v1;
use candor_proto::v1::audit_client::AuditClient;
use candor_proto::v1::submit_update_response::Outcome;
use candor_server::access::Access;
use candor_server::config::Limits;
use candor_server::head::{Freshness, Published};
use candor_server::http::{Pages, TILES_MAX, router};
use candor_server::limits::Limiter;
use candor_server::metrics::Metrics;
use candor_server::publisher::StatusBoard;
use candor_server::run::{RunError, start};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};

use super::harness::{EAGER, LONG, START_MS, World};
use super::site::{ALICE, ORIGIN, Server, Site, refused, to_wire, update};

#[tokio::test]
async fn hostile_requests_get_a_typed_refusal() {
    let site = Site::new();
    let server = site.start().await;
    let lookup = |query| {
        let mut directory = server.directory();
        let request = v1::LookupRequest {
            query,
            ..Default::default()
        };
        async move {
            directory
                .lookup(request)
                .await
                .map(|_| ())
                .map_err(|error| error.code())
        }
    };
    let named = |label: &str| Some(to_wire(label, Query::GREATEST));
    let invalid = Err(Code::InvalidArgument);
    assert_eq!(lookup(None).await, invalid);
    for label in [
        "",
        "Alice",
        "acct:",
        "tel:+0",
        "acct:a\0b",
        &"a".repeat(70_000),
    ] {
        assert_eq!(lookup(named(label)).await, invalid, "{label:.20}");
    }
    assert_eq!(
        lookup(named(&"a".repeat(200 << 10))).await,
        Err(Code::OutOfRange)
    );
    let extreme = Query {
        from_version: Some(u32::MAX),
        max_versions: u32::MAX,
    };
    assert_eq!(lookup(Some(to_wire(ALICE, extreme))).await, Ok(()));

    let queries = vec![to_wire(ALICE, Query::GREATEST); 65];
    let request = v1::LookupBatchRequest {
        queries,
        ..Default::default()
    };
    let code = server
        .directory()
        .lookup_batch(request)
        .await
        .unwrap_err()
        .code();
    assert_eq!(code, Code::InvalidArgument);
    let none = v1::LookupBatchRequest::default();
    let empty = server
        .directory()
        .lookup_batch(none)
        .await
        .unwrap()
        .into_inner();
    assert!(empty.accounts.is_empty());

    let (head, _) = server.head().await;
    let size = head.known().size;
    for (old_size, new_size) in [(2, 1), (0, u64::MAX), (size, size + 1), (u64::MAX, 0)] {
        let request = v1::GetConsistencyRequest { old_size, new_size };
        let code = server
            .log()
            .get_consistency(request)
            .await
            .unwrap_err()
            .code();
        assert_eq!(code, Code::FailedPrecondition);
    }
    for request in [size + 1, u64::MAX] {
        let request = v1::GetConfigRequest { size: request };
        let code = server.log().get_config(request).await.unwrap_err().code();
        assert_eq!(code, Code::FailedPrecondition);
    }
    for verified_size in [1, size, size + 9, u64::MAX] {
        let request = v1::GetHeadRequest {
            verified_size,
            post_quantum: false,
            second_verified_size: Some(verified_size),
        };
        server.log().get_head(request).await.unwrap();
    }
    let mut audit = AuditClient::new(server.channel.clone());
    let request = v1::StreamEpochsRequest::default();
    assert_eq!(
        audit.stream_epochs(request).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let request = v1::StreamEpochsRequest {
        from_epoch: u64::MAX,
        ..Default::default()
    };
    let mut nothing = audit.stream_epochs(request).await.unwrap().into_inner();
    assert!(nothing.message().await.unwrap().is_none());
    server.stop().await;
}

#[tokio::test]
async fn updates_need_the_token_and_a_right_form() {
    let site = Site::new();
    let server = site.start().await;
    let mut registrar = server.registrar();
    let bare = registrar.submit_update(update(ALICE, 0)).await.unwrap_err();
    assert_eq!(bare.code(), Code::Unauthenticated);
    let bare = registrar
        .submit_updates(tokio_stream::empty())
        .await
        .unwrap_err();
    assert_eq!(bare.code(), Code::Unauthenticated);
    let mut wrong = Request::new(update(ALICE, 0));
    wrong
        .metadata_mut()
        .insert("authorization", "Bearer x".parse().unwrap());
    let wrong = registrar.submit_update(wrong).await.unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    for (change, code) in [
        (
            v1::SubmitUpdateRequest {
                label: "Alice".into(),
                ..update(ALICE, 0)
            },
            "label-invalid",
        ),
        (
            v1::SubmitUpdateRequest {
                value: vec![9].into(),
                ..update(ALICE, 0)
            },
            "value-malformed",
        ),
        (
            v1::SubmitUpdateRequest {
                version: u32::MAX,
                ..update(ALICE, 0)
            },
            "version-conflict",
        ),
        (v1::SubmitUpdateRequest::default(), "label-invalid"),
    ] {
        let answer = registrar
            .submit_update(server.authorized(change))
            .await
            .unwrap();
        let outcome = answer.into_inner().outcome.unwrap();
        assert_eq!(refused(&outcome).code, code);
        assert!(!refused(&outcome).retryable);
    }
    let large = v1::SubmitUpdateRequest {
        value: vec![0; 300 << 10].into(),
        ..update(ALICE, 0)
    };
    let large = registrar
        .submit_update(server.authorized(large))
        .await
        .unwrap_err();
    assert_eq!(large.code(), Code::OutOfRange);
    server.stop().await;
}

#[tokio::test]
async fn going_down_under_load_loses_nothing_and_ends_every_stream() {
    let site = Site::new();
    let server = site.start().await;
    let mut audit = AuditClient::new(server.channel.clone());
    let follow = v1::StreamEpochsRequest {
        from_epoch: 1,
        follow: true,
        ..Default::default()
    };
    let mut epochs = audit.stream_epochs(follow).await.unwrap().into_inner();
    let mut heads = server
        .log()
        .watch_heads(v1::WatchHeadsRequest::default())
        .await
        .unwrap();
    // A registrar that keeps its stream open and sends nothing.
    let (_idle, waiting) = tokio::sync::mpsc::channel::<v1::SubmitUpdateRequest>(1);
    let waiting = tokio_stream::wrappers::ReceiverStream::new(waiting);
    let mut registrar = server.registrar();
    let request = server.authorized(waiting);
    let mut idle = registrar
        .submit_updates(request)
        .await
        .unwrap()
        .into_inner();

    let (acknowledged, mut kept) = tokio::sync::mpsc::unbounded_channel();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let (mut registrar, acknowledged) = (server.registrar(), acknowledged.clone());
        let label = format!("acct:writer{writer}");
        let requests: Vec<_> = (0..1000)
            .map(|version| server.authorized(update(&label, version)))
            .collect();
        writers.spawn(async move {
            for request in requests {
                let version = request.get_ref().version;
                let Ok(answer) = registrar.submit_update(request).await else {
                    return;
                };
                match answer.into_inner().outcome.unwrap() {
                    Outcome::Refused(refused) => return assert!(refused.retryable),
                    _ => acknowledged.send((label.clone(), version)).unwrap(),
                }
            }
        });
    }
    drop(acknowledged);
    let mut newest = std::collections::BTreeMap::new();
    while newest.values().sum::<u32>() < 40 {
        let (label, version) = kept.recv().await.unwrap();
        newest.insert(label, version);
    }
    server.shutdown.cancel();
    while let Some((label, version)) = kept.recv().await {
        newest.insert(label, version);
    }
    while writers.join_next().await.is_some_and(|ended| ended.is_ok()) {}
    let ended = async {
        while epochs.message().await.unwrap().is_some() {}
        while heads.get_mut().message().await.unwrap().is_some() {}
        assert!(idle.message().await.unwrap().is_none());
    };
    tokio::time::timeout(LONG, ended)
        .await
        .expect("streams end");
    server.finished().await.unwrap();

    let server = site.start().await;
    for (label, version) in newest {
        let account = server.look_up(&label, Query::GREATEST).await;
        assert!(
            account.greatest() >= Some(version),
            "{label} {version} was lost"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_second_instance_is_refused() {
    let site = Site::new();
    let server = site.start().await;
    let second = start(site.config(), CancellationToken::new())
        .await
        .err()
        .unwrap();
    assert!(matches!(second, RunError::Anchor(_)), "{second}");
    server.stop().await;
    site.start().await.stop().await;
}

/// An address that is not only one.
const HOSTILE: &str = "http://w.example/<script>";

#[tokio::test]
async fn readiness_is_a_fresh_published_head() {
    use axum::http::Request;
    use tower::ServiceExt as _;

    let world = World::new();
    let mut process = world.start_unpublished(EAGER, world.inlet()).unwrap();
    process.signed_size(2).await;
    let max_age = Duration::from_secs(10);
    let metrics = Arc::new(Metrics::new());
    let limits = Limiter::new(&Limits::default(), Arc::clone(&metrics), Instant::now());
    let router = router(Pages {
        ledger: world.ledger(),
        published: Arc::clone(&process.published),
        signed: process.signed.clone(),
        metrics,
        limits,
        board: StatusBoard::new([HOSTILE], 0),
        clock: world.clock(),
        freshness: Freshness::new(Arc::clone(&process.published), world.clock(), max_age),
        origin: ORIGIN.into(),
        tiles: Arc::new(Semaphore::new(TILES_MAX)),
        access: Arc::new(Access::new(ORIGIN, world.clock())),
    });
    let answer = async |path: &str| {
        let request = Request::get(path).header("accept", "text/html");
        let request = request.body(axum::body::Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap()
    };
    let status = async |path: &str| answer(path).await.status().as_u16();
    let page = async || {
        let answer = answer("/").await;
        let policy = answer.headers()["content-security-policy"].clone();
        assert!(policy.to_str().unwrap().starts_with("default-src 'none'"));
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
        let page = String::from_utf8(body.unwrap().to_vec()).unwrap();
        assert!(
            page.contains("&lt;script&gt;") && !page.contains(HOSTILE),
            "{page}"
        );
        page
    };
    assert!(page().await.contains("none yet"));
    assert_eq!(status("/readyz").await, 503);
    assert_eq!(status("/checkpoint").await, 503);
    // Witnesses have seen the signed head; its records are not published.
    assert_eq!(status("/tile/0/000.p/2").await, 200);
    assert_eq!(status("/tile/0/000.p/3").await, 404);
    assert_eq!(status("/tile/entries/000.p/2").await, 404);
    assert_eq!(status("/livez").await, 200);
    let head = process.signed.borrow().clone().unwrap();
    let note = head.note.clone();
    process
        .published
        .set(Published::new(head, note, &[], START_MS / 1000));
    assert_eq!(status("/readyz").await, 200);
    assert_eq!(status("/tile/entries/000.p/2").await, 200);
    assert!(page().await.contains("A fresh head is published"));
    world.now_ms.fetch_add(11_000, Ordering::Relaxed);
    assert_eq!(status("/readyz").await, 503);
    assert!(page().await.contains("class=\"notice bad\""));
    assert_eq!(status("/checkpoint").await, 200);
    process.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_quorum_an_update_is_answered_with_a_commitment() {
    let site = Site::new();
    let config = site.config();
    let policy = std::fs::read_to_string(&config.policy).unwrap();
    let log_only = Policy::parse(policy.as_bytes()).unwrap();
    let trust = Trust::danger_without_map_witnesses(log_only).unwrap();
    let key = Ed25519SecretKey::from_seed(&[5; 32]);
    let key =
        VerifierKey::ed25519_cosignature(KeyName::new("w.example").unwrap(), key.public_key());
    // Nobody listens there.
    let dead = format!("witness w {key} http://127.0.0.1:9\nquorum w");
    std::fs::write(
        &config.policy,
        policy.replace("\nquorum none", &format!("\n{dead}")),
    )
    .unwrap();
    let token = site.token();
    let shutdown = CancellationToken::new();
    let running = start(site.config(), shutdown.clone()).await.unwrap();
    let server = Server::over(running, shutdown, trust, &token).await;
    let head = server
        .log()
        .get_head(v1::GetHeadRequest::default())
        .await
        .unwrap_err();
    assert_eq!(head.code(), Code::Unavailable);

    let mut request = server.authorized(update(ALICE, 0));
    request.set_timeout(Duration::from_millis(1500));
    let answer = server
        .registrar()
        .submit_update(request)
        .await
        .unwrap()
        .into_inner();
    let Some(Outcome::Committed(committed)) = answer.outcome else {
        panic!("{answer:?}")
    };
    let head = server.verify_head(committed.head.unwrap());
    assert_eq!(head.epoch(), committed.epoch);

    // One that waits when the server goes down is told as much.
    let mut registrar = server.registrar();
    let waiting = server.authorized(update(ALICE, 1));
    let waiting = tokio::spawn(async move { registrar.submit_update(waiting).await });
    let mut audit = AuditClient::new(server.channel.clone());
    let from_epoch = committed.epoch + 1;
    let follow = v1::StreamEpochsRequest {
        from_epoch,
        follow: true,
        ..Default::default()
    };
    let mut epochs = audit.stream_epochs(follow).await.unwrap().into_inner();
    assert!(epochs.message().await.unwrap().is_some());
    server.shutdown.cancel();
    let answer = waiting.await.unwrap().unwrap().into_inner();
    assert!(
        matches!(answer.outcome, Some(Outcome::Committed(_))),
        "{answer:?}"
    );
    server.finished().await.unwrap();
}
