//! Who may do what, over plain text and TLS.

use std::sync::Arc;

use candor_core::crypto::Ed25519SecretKey;
use candor_host::key_file::{self, KeyKind};
use candor_host::listener::Peer;
use candor_host::tls::{Certificates, Protocol, TlsFiles};
use candor_proto::v1;
use candor_proto::v1::audit_client::AuditClient;
use candor_proto::v1::directory_client::DirectoryClient;
use candor_proto::v1::log_client::LogClient;
use candor_proto::v1::registrar_client::RegistrarClient;
use candor_server::access::Role;
use candor_server::access::token::issue;
use candor_server::clock::Clock;
use candor_server::config::{ClientTable, Config, ConfigError};
use candor_server::run::{Running, start};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::certificates::{Authority, connect, files, write_key};
use super::site::{ALICE, ORIGIN, Site, to_wire, update};

/// What a caller got: by role, whether the call went through the gate, or the code of the refusal.
type Answers = [(Role, Result<(), Code>); 4];

/// Makes one call of each kind.
async fn ask_all(channel: &Channel, token: Option<&str>) -> Answers {
    let older = candor_core::answer::Query {
        from_version: Some(0),
        ..candor_core::answer::Query::GREATEST
    };
    let lookup = |query| v1::LookupRequest {
        query: Some(to_wire(ALICE, query)),
        ..Default::default()
    };
    let mut directory = DirectoryClient::new(channel.clone());
    let greatest = lookup(candor_core::answer::Query::GREATEST);
    let looked_up = directory.lookup(shown(greatest, token)).await;
    let monitored = directory.lookup(shown(lookup(older), token)).await;
    let first = v1::StreamEpochsRequest {
        from_epoch: 1,
        ..Default::default()
    };
    let audited = AuditClient::new(channel.clone())
        .stream_epochs(shown(first, token))
        .await;
    let malformed = v1::SubmitUpdateRequest {
        label: "Not normal".to_owned(),
        ..update(ALICE, 0)
    };
    let updated = RegistrarClient::new(channel.clone())
        .submit_update(shown(malformed, token))
        .await;
    [
        (Role::Lookup, code(looked_up)),
        (Role::Monitor, code(monitored)),
        (Role::Audit, code(audited)),
        (Role::Update, code(updated)),
    ]
}

fn shown<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

fn code<T>(answer: Result<T, tonic::Status>) -> Result<(), Code> {
    answer.map(|_| ()).map_err(|status| status.code())
}

/// The answers to somebody who may do what is in `roles`, and else gets `refusal`.
fn may(roles: &[Role], refusal: Code) -> Answers {
    [Role::Lookup, Role::Monitor, Role::Audit, Role::Update].map(|role| {
        let answer = if roles.contains(&role) {
            Ok(())
        } else {
            Err(refusal)
        };
        (role, answer)
    })
}

async fn run(config: Config) -> (Running, CancellationToken) {
    let shutdown = CancellationToken::new();
    let running = start(config, shutdown.clone()).await.unwrap();
    (running, shutdown)
}

/// Waits until something is published.
async fn published(channel: &Channel, token: Option<&str>) {
    let request = shown(v1::WatchHeadsRequest::default(), token);
    let mut heads = LogClient::new(channel.clone()).watch_heads(request).await;
    let heads = heads.as_mut().unwrap().get_mut();
    assert!(heads.message().await.unwrap().is_some());
}

#[tokio::test]
async fn nobody_may_do_anything_unless_it_is_said() {
    let site = Site::new();
    let issuer = site.config.with_file_name("token-issuer");
    let seed = key_file::read(&issuer, KeyKind::Ed25519).unwrap();
    let key = Ed25519SecretKey::from_seed(seed.expose());
    let expires_s = Clock::system().now_s() + 600;
    let token = |roles: &[Role]| issue(&key, ORIGIN, "caller", roles, expires_s);

    let mut config = site.config();
    config.access.anonymous.clear();
    config.access.issuer[0].roles = Role::ALL.to_vec();
    let (running, shutdown) = run(config).await;
    let grpc = format!("http://{}", running.grpc_address);
    let metrics = format!("http://{}/metrics", running.http_address);
    let ended = tokio::spawn(running.finish());
    let channel = Channel::from_shared(grpc).unwrap().connect().await.unwrap();
    let all = token(&Role::ALL);
    published(&channel, Some(&all)).await;

    assert_eq!(
        ask_all(&channel, None).await,
        may(&[], Code::Unauthenticated)
    );
    let everything = may(&Role::ALL, Code::PermissionDenied);
    assert_eq!(ask_all(&channel, Some(&all)).await, everything);
    for role in [Role::Lookup, Role::Audit, Role::Update, Role::Metrics] {
        let answers = ask_all(&channel, Some(&token(&[role]))).await;
        assert_eq!(answers, may(&[role], Code::PermissionDenied), "{role:?}");
    }
    // Older versions are asked for by the same call as the newest one.
    let both = [Role::Lookup, Role::Monitor];
    let answers = ask_all(&channel, Some(&token(&both))).await;
    assert_eq!(answers, may(&both, Code::PermissionDenied));

    let expired = issue(&key, ORIGIN, "caller", &Role::ALL, expires_s - 601);
    let foreign = issue(&key, "other.example", "caller", &Role::ALL, expires_s);
    for wrong in [expired.as_str(), &foreign, "x", ""] {
        let answers = ask_all(&channel, Some(wrong)).await;
        assert_eq!(answers, may(&[], Code::Unauthenticated), "{wrong}");
    }

    let http = candor_host::fetch::client(candor_host::fetch::Timeouts {
        connect: super::harness::LONG,
        total: super::harness::LONG,
    })
    .unwrap();
    let status = async |token: Option<&str>| {
        let mut request = http.get(&metrics);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(None).await, 401);
    assert_eq!(status(Some("x")).await, 401);
    assert_eq!(status(Some(&token(&[Role::Lookup]))).await, 403);
    assert_eq!(status(Some(&token(&[Role::Metrics]))).await, 200);
    shutdown.cancel();
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn certificates_say_who_may_and_are_renewed_while_it_runs() {
    let site = Site::new();
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let directory = site.config.parent().unwrap().to_owned();
    let mut config = site.config();
    config.tls = Some(files(&directory, &authority.server(), &clients));
    config.access.anonymous = vec![Role::Lookup];
    config.access.client = vec![ClientTable {
        name: "registrar.example".to_owned(),
        roles: vec![Role::Update],
    }];
    let (running, shutdown) = run(config).await;
    let (grpc, http) = (running.grpc_address, running.http_address);
    let ended = tokio::spawn(running.finish());

    let bare = connect(grpc, &authority, None).await.unwrap();
    published(&bare, None).await;
    let refused = may(&[Role::Lookup], Code::Unauthenticated);
    assert_eq!(ask_all(&bare, None).await, refused);
    let registrar = clients.client("registrar.example");
    let known = connect(grpc, &authority, Some(&registrar)).await.unwrap();
    let both = [Role::Lookup, Role::Update];
    assert_eq!(
        ask_all(&known, None).await,
        may(&both, Code::PermissionDenied)
    );
    // A certificate of the right authority for another name gives nothing.
    let other = clients.client("other.example");
    let other = connect(grpc, &authority, Some(&other)).await.unwrap();
    assert_eq!(ask_all(&other, None).await, refused);
    // One of another authority is no certificate at all.
    let forged = strangers.client("registrar.example");
    let forged = connect(grpc, &authority, Some(&forged)).await;
    if let Ok(forged) = forged {
        let answers = ask_all(&forged, None).await;
        assert!(
            answers.iter().all(|(_, answer)| answer.is_err()),
            "{answers:?}"
        );
    }
    assert!(connect(grpc, &strangers, None).await.is_err());
    let plain = Channel::from_shared(format!("http://{grpc}")).unwrap();
    let plain = plain.connect_timeout(super::harness::LONG).connect().await;
    if let Ok(plain) = plain {
        let answers = ask_all(&plain, None).await;
        assert!(
            answers.iter().all(|(_, answer)| answer.is_err()),
            "{answers:?}"
        );
    }

    // A new certificate of another authority: connections stand, and at no moment is a client
    // refused that trusts both.
    let next = Authority::new();
    next.server().write(&directory);
    while connect(grpc, &next, None).await.is_err() {
        assert!(connect(grpc, &authority, None).await.is_ok());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(ask_all(&known, None).await[0].1, Ok(()));
    let text = https(http, &next, "/metrics").await;
    assert!(text.starts_with("HTTP/1.1 401 "), "{text}");
    let text = https(http, &next, "/livez").await;
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    shutdown.cancel();
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn withdrawn_certificates_are_refused_without_a_restart() {
    let site = Site::new();
    let (authority, strangers) = (Authority::new(), Authority::new());
    let directory = site.config.parent().unwrap().to_owned();
    let lists = directory.join("withdrawn.pem");
    std::fs::write(&lists, authority.withdrawn(&[])).unwrap();
    let mut config = site.config();
    let files = files(&directory, &authority.server(), &authority);
    config.tls = Some(TlsFiles {
        client_revocations: Some(lists.clone()),
        ..files
    });
    config.access.anonymous = vec![Role::Lookup];
    config.access.client = vec![ClientTable {
        name: "registrar.example".to_owned(),
        roles: vec![Role::Update],
    }];
    let (running, shutdown) = run(config).await;
    let grpc = running.grpc_address;
    let ended = tokio::spawn(running.finish());
    let bare = connect(grpc, &authority, None).await.unwrap();
    published(&bare, None).await;
    let names = ["registrar.example"; 2];
    let [stolen, kept] = names.map(|name| authority.client(name));
    let is_known = async |client| {
        let Ok(channel) = connect(grpc, &authority, Some(client)).await else {
            return false;
        };
        let answers = ask_all(&channel, None).await;
        let updates = answers
            .iter()
            .any(|(role, answer)| *role == Role::Update && answer.is_ok());
        // Who is refused is not served as somebody without a certificate either.
        assert!(updates || answers.iter().all(|(_, answer)| answer.is_err()));
        updates
    };
    assert!(is_known(&stolen).await && is_known(&kept).await);

    std::fs::write(&lists, authority.withdrawn(&[&stolen])).unwrap();
    while is_known(&stolen).await {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert!(is_known(&kept).await);
    // Without the list of its authority nobody can tell whether a certificate is withdrawn.
    std::fs::write(&lists, strangers.withdrawn(&[])).unwrap();
    while is_known(&kept).await {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let bare = connect(grpc, &authority, None).await.unwrap();
    assert_eq!(ask_all(&bare, None).await[0].1, Ok(()));
    shutdown.cancel();
    ended.await.unwrap().unwrap();
}

/// A request over TLS, and the answer to the end.
async fn https(address: std::net::SocketAddr, authority: &Authority, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = super::certificates::tls_stream(address, authority).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _end = stream.read_to_string(&mut answer).await;
    answer
}

#[test]
fn plain_text_beyond_loopback_wants_to_be_said() {
    let site = Site::new();
    let text = std::fs::read_to_string(&site.config).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        std::fs::write(&site.config, text.replace(from, to)).unwrap();
        Config::read(&site.config)
    };
    let open = "grpc_listen = \"0.0.0.0:0\"";
    let refused = with("grpc_listen = \"127.0.0.1:0\"", open).unwrap_err();
    assert!(
        matches!(
            refused,
            ConfigError::Value {
                key: "grpc_listen",
                ..
            }
        ),
        "{refused}"
    );
    let said = text.replace("plain_text = \"loopback\"", "plain_text = \"anywhere\"");
    std::fs::write(
        &site.config,
        said.replace("grpc_listen = \"127.0.0.1:0\"", open),
    )
    .unwrap();
    assert!(Config::read(&site.config).is_ok());
}

#[test]
fn files_that_cannot_serve_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let files = files(directory.path(), &authority.server(), &authority);
    files.check().unwrap();
    let other = authority.server();
    let key = std::fs::read_to_string(&files.key).unwrap();
    let check = || files.check().unwrap_err().to_string();
    write_key(&files.key, &other.key, 0o600);
    assert!(check().contains("do not go together"));
    write_key(&files.key, &key, 0o644);
    assert!(check().contains("chmod o="));
    write_key(&files.key, "no key", 0o600);
    assert!(check().contains("PEM secret key"));
    write_key(&files.key, &key, 0o600);
    let revoking = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        TlsFiles {
            client_revocations: Some(path),
            ..files.clone()
        }
    };
    let lists = revoking("lists.pem", &authority.withdrawn(&[&other]));
    lists.check().unwrap();
    let nobody_asked = TlsFiles {
        client_authorities: None,
        ..lists
    };
    let refused = nobody_asked.check().unwrap_err().to_string();
    assert!(refused.contains("needs client_authorities"), "{refused}");
    let damaged = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    for text in ["", damaged, &authority.pem()] {
        let refused = revoking("none.pem", text).check().unwrap_err().to_string();
        assert!(refused.contains("revocation lists"), "{refused}");
    }
    std::fs::write(&files.certificate, "").unwrap();
    assert!(check().contains("PEM certificates"));
}

#[test]
fn half_a_renewal_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let files = files(directory.path(), &authority.server(), &authority);
    let registry = candor_host::metrics::Registry::new();
    let certificates = Certificates::open(files.clone(), &registry).unwrap();
    let first = certificates.config(Protocol::Http2);
    assert!(!certificates.reload().unwrap());
    let renewed = authority.server();
    write_key(&files.key, &renewed.key, 0o600);
    certificates.reload().unwrap_err();
    assert!(Arc::ptr_eq(&first, &certificates.config(Protocol::Http2)));
    std::fs::write(&files.certificate, &renewed.certificate).unwrap();
    assert!(certificates.reload().unwrap());
    assert!(!Arc::ptr_eq(&first, &certificates.config(Protocol::Http2)));
    // 4096-01-01, which certificates end with that are made here.
    let text = registry.text();
    let expires = format!("{} 67090118400", candor_host::tls::EXPIRES);
    assert!(text.contains(&expires), "{text}");
}

#[test]
fn a_peer_without_a_certificate_has_no_name() {
    let peer = Peer::at("127.0.0.1:1".parse().unwrap());
    assert!(!peer.is_named(&"registrar.example".try_into().unwrap()));
}
