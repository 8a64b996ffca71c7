//! The whole server over real sockets, checked as a device, a registrar and an auditor check it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candor_core::Hash;
use candor_core::account::Label;
use candor_core::answer::{
    AccountProof, ConfigProof, HeadProof, Query, Trust, VerifiedAccount, VerifiedConfig,
    VerifiedHead,
};
use candor_core::epoch::EpochRecord;
use candor_core::log::{Bundle, Frontier, decode_bundle, leaf_hash, verify_consistency};
use candor_core::map::AuditDelta;
use candor_core::note::{Checkpoint, SignedNote};
use candor_proto::v1::audit_client::AuditClient;
use candor_proto::v1::directory_client::DirectoryClient;
use candor_proto::v1::log_client::LogClient;
use candor_proto::v1::registrar_client::RegistrarClient;
use candor_proto::v1::submit_update_response::Outcome;
use candor_proto::{hashes_from_wire, head_from_wire, v1};
use candor_server::config::Config;
use candor_server::init;
use candor_server::run::{RunError, Running, start};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::harness::{LONG, value};

const ORIGIN: &str = "log.example/kt";
const ALICE: &str = "acct:alice";

/// A log on disk.
struct Site {
    config: PathBuf,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let (config, _) = init::init(&dir.path().join("log"), ORIGIN, any, any).unwrap();
        Self { config, _dir: dir }
    }

    fn config(&self) -> Config {
        let mut config = Config::read(&self.config).unwrap();
        (
            config.epoch_interval_ms,
            config.disk_reserve_mib,
            config.cache_mib,
        ) = (0, 0, 8);
        config
    }

    async fn start(&self) -> Server {
        let config = self.config();
        let trust = Trust::danger_without_map_witnesses(config.read_policy().unwrap()).unwrap();
        let token = std::fs::read_to_string(&config.registrar_token).unwrap();
        let shutdown = CancellationToken::new();
        let running = start(config, shutdown.clone()).await.unwrap();
        Server::over(running, shutdown, trust, token.trim()).await
    }
}

/// A running server, and clients of it.
struct Server {
    http: String,
    channel: Channel,
    trust: Trust,
    token: String,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
}

impl Server {
    async fn over(
        running: Running,
        shutdown: CancellationToken,
        trust: Trust,
        token: &str,
    ) -> Self {
        let http = format!("http://{}", running.http_address);
        let grpc = format!("http://{}", running.grpc_address);
        let running = tokio::spawn(running.finish());
        let channel = Channel::from_shared(grpc).unwrap().connect().await.unwrap();
        let server = Self {
            http,
            channel,
            trust,
            token: token.to_owned(),
            shutdown,
            running,
        };
        // The first head is published by itself.
        let mut heads = server
            .log()
            .watch_heads(v1::WatchHeadsRequest::default())
            .await
            .unwrap();
        let first = tokio::time::timeout(LONG, heads.get_mut().message())
            .await
            .unwrap();
        assert!(first.unwrap().is_some());
        server
    }

    fn log(&self) -> LogClient<Channel> {
        LogClient::new(self.channel.clone())
    }

    fn directory(&self) -> DirectoryClient<Channel> {
        DirectoryClient::new(self.channel.clone())
    }

    fn registrar(&self) -> RegistrarClient<Channel> {
        RegistrarClient::new(self.channel.clone())
    }

    fn authorized<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", self.token);
        request
            .metadata_mut()
            .insert("authorization", bearer.parse().unwrap());
        request
    }

    async fn submit(&self, label: &str, version: u32) -> Outcome {
        let request = self.authorized(update(label, version));
        let answer = self
            .registrar()
            .submit_update(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.request_id, u64::from(version));
        answer.outcome.unwrap()
    }

    /// The head, verified as a device would, and the configuration at it.
    async fn head(&self) -> (VerifiedHead, VerifiedConfig) {
        let answer = self
            .log()
            .get_head(v1::GetHeadRequest::default())
            .await
            .unwrap();
        let head = self.verify_head(answer.into_inner().head.unwrap());
        let size = head.checkpoint().checkpoint().size();
        let config = self
            .log()
            .get_config(v1::GetConfigRequest { size })
            .await
            .unwrap();
        let config = config.into_inner();
        assert_eq!(config.size, size);
        let proof = ConfigProof {
            config: config.config.to_vec(),
            inclusion: hashes_from_wire(&config.inclusion).unwrap(),
        };
        let config = proof.verify(head.checkpoint()).unwrap();
        (head, config)
    }

    fn verify_head(&self, head: v1::Head) -> VerifiedHead {
        let proof = head_from_wire(head).unwrap();
        proof.verify(&self.trust, None, &[], now_s()).unwrap()
    }

    /// Looks a label up and verifies the answer.
    async fn look_up(&self, label: &str, query: Query) -> VerifiedAccount {
        let (_, config) = self.head().await;
        let request = v1::LookupRequest {
            query: Some(to_wire(label, query)),
            ..Default::default()
        };
        let answer = self.directory().lookup(request).await.unwrap().into_inner();
        let head = self.verify_head(answer.head.unwrap());
        verify_account(label, query, &answer.account, &config, &head)
    }

    async fn fetch(&self, path: &str) -> (u16, Vec<u8>) {
        candor_host::tls::install_default_provider();
        let response = reqwest::get(format!("{}{path}", self.http)).await.unwrap();
        (
            response.status().as_u16(),
            response.bytes().await.unwrap().to_vec(),
        )
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.finished().await.unwrap();
    }

    async fn finished(self) -> Result<(), RunError> {
        tokio::time::timeout(LONG, self.running)
            .await
            .expect("it stops in time")
            .unwrap()
    }
}

fn update(label: &str, version: u32) -> v1::SubmitUpdateRequest {
    v1::SubmitUpdateRequest {
        request_id: version.into(),
        label: label.to_owned(),
        version,
        value: value(label, version).into(),
    }
}

fn to_wire(label: &str, query: Query) -> v1::Query {
    v1::Query {
        label: label.to_owned(),
        from_version: query.from_version,
        max_versions: query.max_versions,
    }
}

fn verify_account(
    label: &str,
    query: Query,
    account: &[u8],
    config: &VerifiedConfig,
    head: &VerifiedHead,
) -> VerifiedAccount {
    let proof = AccountProof::decode(account).unwrap();
    let label = Label::parse(label).unwrap();
    proof
        .verify(
            label.as_bytes(),
            &query,
            config.vrf(),
            &head.record().prefix_tree,
        )
        .unwrap()
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn visible(outcome: &Outcome) -> &v1::Visible {
    match outcome {
        Outcome::Visible(visible) => visible,
        other => panic!("not visible: {other:?}"),
    }
}

fn refused(outcome: &Outcome) -> &v1::Refused {
    match outcome {
        Outcome::Refused(refused) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn what_a_device_is_answered_verifies() {
    let site = Site::new();
    let server = site.start().await;
    let (first, config) = server.head().await;
    for version in 0..5 {
        let outcome = server.submit(ALICE, version).await;
        let visible = visible(&outcome);
        assert!(visible.size > visible.epoch);
    }
    let conflict = server.submit(ALICE, 3).await;
    assert_eq!(refused(&conflict).code, "version-conflict");
    assert_eq!(refused(&conflict).greatest_version, Some(4));

    // Newest version, history in pages, a label that does not exist.
    let newest = server.look_up(ALICE, Query::GREATEST).await;
    assert_eq!(newest.newest().unwrap().value(), value(ALICE, 4));
    for from in [0, 2, 4] {
        let page = Query {
            from_version: Some(from),
            max_versions: 2,
        };
        let account = server.look_up(ALICE, page).await;
        for version in from..(from + 2).min(5) {
            let opened = account
                .opened()
                .iter()
                .find(|opened| opened.version() == version);
            assert_eq!(opened.unwrap().value(), value(ALICE, version));
        }
    }
    assert_eq!(
        server
            .look_up("acct:nobody", Query::GREATEST)
            .await
            .greatest(),
        None
    );
    assert_eq!(
        server
            .look_up("acct:nobody", Query::since(3))
            .await
            .greatest(),
        None
    );

    // Several labels at one head, consistent with the head that was known.
    let queries = [ALICE, "acct:nobody"].map(|label| to_wire(label, Query::GREATEST));
    let known = first.known();
    let request = v1::LookupBatchRequest {
        queries: queries.into(),
        verified_size: known.size,
        post_quantum: true,
    };
    let batch = server
        .directory()
        .lookup_batch(request)
        .await
        .unwrap()
        .into_inner();
    let consistency = hashes_from_wire(&batch.consistency).unwrap();
    let proof: HeadProof = head_from_wire(batch.head.unwrap()).unwrap();
    let head = proof
        .verify(&server.trust, Some(&known), &consistency, now_s())
        .unwrap();
    assert_eq!(
        SignedNote::parse(&proof.checkpoint)
            .unwrap()
            .signatures()
            .len(),
        2
    );
    let greatest: Vec<_> = [ALICE, "acct:nobody"]
        .into_iter()
        .zip(&batch.accounts)
        .map(|(label, account)| {
            verify_account(label, Query::GREATEST, account, &config, &head).greatest()
        })
        .collect();
    assert_eq!(greatest, [Some(4), None]);

    // Whoever has the head is not sent it again.
    let request = v1::LookupRequest {
        query: Some(to_wire(ALICE, Query::GREATEST)),
        verified_size: head.known().size,
        post_quantum: false,
    };
    assert!(
        server
            .directory()
            .lookup(request)
            .await
            .unwrap()
            .into_inner()
            .head
            .is_none()
    );
    let request = v1::GetConsistencyRequest {
        old_size: known.size,
        new_size: head.known().size,
    };
    let proof = server
        .log()
        .get_consistency(request)
        .await
        .unwrap()
        .into_inner()
        .consistency;
    let (old, new) = (known, head.known());
    let proof = hashes_from_wire(&proof).unwrap();
    verify_consistency(old.size, &old.root, new.size, &new.root, &proof).unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_auditor_comes_to_the_published_head() {
    let site = Site::new();
    let server = site.start().await;
    let (updates, stream) = tokio::sync::mpsc::channel(40);
    for index in 0..40 {
        updates
            .send(update(&format!("acct:user{index}"), 0))
            .await
            .unwrap();
    }
    drop(updates);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut registrar = server.registrar();
    let request = server.authorized(stream);
    let mut answers = registrar
        .submit_updates(request)
        .await
        .unwrap()
        .into_inner();
    let mut answered = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        visible(&answer.outcome.unwrap());
        answered += 1;
    }
    assert_eq!(answered, 40);

    let (head, config) = server.head().await;
    let mut state = config.config().start();
    let mut frontier = Frontier::new();
    frontier
        .append(leaf_hash(&config.config().encode()))
        .unwrap();
    let request = v1::StreamEpochsRequest {
        from_epoch: 1,
        ..Default::default()
    };
    let mut audit = AuditClient::new(server.channel.clone());
    let mut epochs = audit.stream_epochs(request).await.unwrap().into_inner();
    let (mut record, mut delta) = (Vec::new(), Vec::new());
    while let Some(chunk) = epochs.message().await.unwrap() {
        assert_eq!(chunk.epoch, frontier.size());
        record.extend(chunk.record);
        delta.extend(chunk.delta_part);
        if chunk.last {
            frontier.append(leaf_hash(&record)).unwrap();
            let epoch = EpochRecord::decode(&std::mem::take(&mut record)).unwrap();
            let delta = AuditDelta::from_bytes(std::mem::take(&mut delta)).unwrap();
            assert_eq!(delta.digest(), epoch.audit_digest);
            let verified = delta.verify(&state.root, &epoch.prefix_tree).unwrap();
            epoch
                .check_inserts(&state, verified.inserts().len())
                .unwrap();
            state = epoch.state();
        }
    }
    assert_eq!(state, head.known().map);
    assert_eq!(
        (frontier.size(), frontier.root()),
        (head.known().size, head.known().root)
    );
    server.stop().await;
}

#[tokio::test]
async fn tiles_are_those_of_the_checkpoint() {
    let site = Site::new();
    let server = site.start().await;
    for version in 0..4 {
        server.submit(ALICE, version).await;
    }
    let (status, note) = server.fetch("/checkpoint").await;
    assert_eq!(status, 200);
    let note = SignedNote::parse(&note).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    let size = checkpoint.size();
    let (status, bytes) = server.fetch(&format!("/tile/entries/000.p/{size}")).await;
    assert_eq!(status, 200);
    let records = decode_bundle(Bundle::in_log(0, size).unwrap(), &bytes).unwrap();
    let mut frontier = Frontier::new();
    let mut hashes = Vec::new();
    for record in records {
        frontier.append(leaf_hash(record)).unwrap();
        hashes.extend(leaf_hash(record).0);
    }
    assert_eq!(frontier.root(), *checkpoint.root());
    let (status, tile) = server.fetch(&format!("/tile/0/000.p/{size}")).await;
    assert_eq!((status, &tile), (200, &hashes));
    // Narrower tiles of earlier sizes stay, and nothing beyond the published log is shown.
    assert_eq!(server.fetch("/tile/0/000.p/2").await.1, hashes[..64]);
    for (path, expected) in [
        (format!("/tile/0/000.p/{}", size + 1), 404),
        ("/tile/0/000".to_owned(), 404),
        ("/tile/1/000.p/1".to_owned(), 404),
        ("/tile/entries/001.p/1".to_owned(), 404),
        ("/tile/0/000.p/0".to_owned(), 400),
        ("/tile/0/000.p/256".to_owned(), 400),
        ("/tile/0/00".to_owned(), 400),
        ("/tile/0/../../checkpoint/x".to_owned(), 404),
        ("/tile/x".to_owned(), 400),
        ("/tile/0/%ff".to_owned(), 400),
        ("/nothing".to_owned(), 404),
    ] {
        assert_eq!(server.fetch(&path).await.0, expected, "{path}");
    }
    for path in ["/livez", "/readyz", "/"] {
        assert_eq!(server.fetch(path).await.0, 200, "{path}");
    }
    let (_, metrics) = server.fetch("/metrics").await;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(
        metrics.contains("candor_updates_committed_total 4"),
        "{metrics}"
    );
    assert!(!metrics.contains("alice"));
    server.stop().await;
}

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
        assert_eq!(code, Code::OutOfRange);
    }
    for request in [size + 1, u64::MAX] {
        let request = v1::GetConfigRequest { size: request };
        let code = server.log().get_config(request).await.unwrap_err().code();
        assert_eq!(code, Code::OutOfRange);
    }
    for verified_size in [1, size, size + 9, u64::MAX] {
        let request = v1::GetHeadRequest {
            verified_size,
            post_quantum: false,
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
    assert_eq!(wrong.code(), Code::PermissionDenied);
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

    let mut config = site.config();
    config.registrar_token = write(&site.config, "short", " \n");
    let refused = start(config, CancellationToken::new()).await.err().unwrap();
    assert!(matches!(refused, RunError::Token { .. }), "{refused}");
}

fn write(beside: &Path, name: &str, text: &str) -> PathBuf {
    let path = beside.with_file_name(name);
    std::fs::write(&path, text).unwrap();
    path
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

#[tokio::test]
async fn readiness_is_a_fresh_published_head() {
    use tower::ServiceExt as _;

    let mut world = super::harness::World::new();
    let mut process = world.start(super::harness::EAGER);
    process.signed_size(2).await;
    let published = std::sync::Arc::clone(&process.published);
    let router = candor_server::http::router(candor_server::http::Pages {
        ledger: world.ledger(),
        published: std::sync::Arc::new(candor_server::head::PublishedHead::starting_at(1)),
        metrics: std::sync::Arc::new(candor_server::metrics::Metrics::new()),
        witnesses: std::sync::Arc::default(),
        clock: world.clock(),
        fresh: Duration::from_secs(10),
        origin: ORIGIN.into(),
    });
    let status = |router: axum::Router, path: &str| {
        let request = axum::http::Request::get(path)
            .body(axum::body::Body::empty())
            .unwrap();
        async { router.oneshot(request).await.unwrap().status().as_u16() }
    };
    assert_eq!(status(router.clone(), "/readyz").await, 503);
    assert_eq!(status(router.clone(), "/checkpoint").await, 503);
    assert_eq!(status(router.clone(), "/tile/0/000.p/1").await, 404);
    assert_eq!(status(router, "/livez").await, 200);
    published
        .progress()
        .wait_for(|_| published.current().is_some())
        .await
        .unwrap();
    process.stop().await.unwrap();
    world.crash();
    assert_ne!(world.audit().root, Hash([1; 32]));
}
