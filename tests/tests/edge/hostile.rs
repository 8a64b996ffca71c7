//! Every port against silence, slowness, excess and wrong credentials: what each gets is a table
//! of docs/operating.md.

use std::net::SocketAddr;

use candor_core::crypto::Ed25519SecretKey;
use candor_host::key_file::{self, KeyKind};
use candor_server::access::Role;
use candor_server::access::token::issue;
use candor_system::system::{ORIGIN, System};
use futures::future::join_all;
use futures::{FutureExt as _, StreamExt as _};
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::codegen::http::Request;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use super::certificates::{Authority, secure};
use super::raw::said;
use super::table::{Row, compare};

const SERVER_GRPC: &str = "server, gRPC";
const SERVER_HTTP: &str = "server, HTTP";
const WITNESS_GRPC: &str = "witness, gRPC";
const WITNESS_HTTP: &str = "witness, HTTP";

/// What a connection of HTTP/2 begins with, and settings that change nothing.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The header of a message of gRPC that is to be 1,000 bytes long.
const MESSAGE: &[u8] = &[0, 0, 0, 3, 232];

/// One that is to be 1 GiB long.
const HUGE: &[u8] = &[0, 0x40, 0, 0, 0];

/// Calls a method with these bytes, followed by nothing, ever, if `is_endless`; the code of the
/// answer.
async fn call(
    address: SocketAddr,
    method: &str,
    token: Option<&str>,
    bytes: &'static [u8],
    is_endless: bool,
) -> String {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut channel = endpoint.connect().await.unwrap();
    let first = futures::stream::iter([Ok::<_, std::io::Error>(bytes)]);
    let rest = if is_endless {
        futures::stream::pending().left_stream()
    } else {
        futures::stream::empty().right_stream()
    };
    let body = axum::body::Body::from_stream(first.chain(rest));
    let mut request = Request::post(format!("http://{address}/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    futures::future::poll_fn(|context| channel.poll_ready(context))
        .await
        .unwrap();
    let answer = channel.call(request.body(Body::new(body)).unwrap()).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return format!("broken: {error}"),
    };
    let headers = MetadataMap::from_headers(answer.headers().clone());
    let code = match headers.get("grpc-status") {
        Some(code) => Code::from_bytes(code.as_bytes()),
        None => Code::Ok,
    };
    format!("{code:?}")
}

/// Bytes that a port is sent on a connection, and what they are called.
fn raw_rows(port: &'static str, address: SocketAddr) -> Vec<Waiting> {
    let is_grpc = port.ends_with("gRPC");
    let long: &'static str = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(64 << 10)).leak();
    let mut cases: Vec<(&str, &'static [u8], Option<u8>)> = vec![
        ("nothing", b"", None),
        ("a byte a second", b"", Some(b'P')),
        ("what is no protocol", b"\xff\xfe\xfd\xfc\r\n\r\n", None),
    ];
    if is_grpc {
        cases.extend([
            ("HTTP/1.1", &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], None),
            ("HTTP/2 that then is silent", HTTP2, None),
        ]);
    } else {
        let endless = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n";
        cases.extend([
            ("a header of 64 KiB", long.as_bytes(), None),
            (
                "a header that drips",
                b"GET / HTTP/1.1\r\nhost: ",
                Some(b'a'),
            ),
            (
                "a body that never ends, where none is wanted",
                endless,
                None,
            ),
            ("HTTP/2", HTTP2, None),
        ]);
    }
    if port == WITNESS_HTTP {
        let slow = b"POST /add-checkpoint HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nold";
        let huge =
            b"POST /add-checkpoint HTTP/1.1\r\nhost: a\r\ncontent-length: 1073741824\r\n\r\n";
        cases.extend([
            ("a body that never ends", &slow[..], None),
            ("a body of 1 GiB", &huge[..], None),
        ]);
    }
    let row = |(sent, bytes, dripping): (&'static str, &'static [u8], _)| {
        async move {
            let got = said(address, bytes, dripping).await;
            Row { port, sent, got }
        }
        .boxed()
    };
    cases.into_iter().map(row).collect()
}

type Waiting = futures::future::BoxFuture<'static, Row>;

/// A call that a port is sent.
fn call_row(
    port: &'static str,
    address: SocketAddr,
    sent: &'static str,
    method: &'static str,
    token: Option<String>,
    bytes: &'static [u8],
    is_endless: bool,
) -> Waiting {
    async move {
        let got = call(address, method, token.as_deref(), bytes, is_endless).await;
        Row { port, sent, got }
    }
    .boxed()
}

const LOOKUP: &str = "candor.v1.Directory/Lookup";
const UPDATE: &str = "candor.v1.Registrar/SubmitUpdate";
const ADMIN: &str = "candor.v1.Admin/GetStatus";
const ADD: &str = "candor.v1.Witness/AddCheckpoint";

fn server_calls(address: SocketAddr, system: &System) -> Vec<Waiting> {
    let path = system.server.folder().join("token-issuer");
    let seed = key_file::read(&path, KeyKind::Ed25519).unwrap();
    let key = Ed25519SecretKey::from_seed(seed.expose());
    let token = |origin, role, expires_s| issue(&key, origin, "test", &[role], expires_s);
    let (late, other) = (u64::MAX >> 12, "other.example");
    let call = |sent, method, token, bytes, is_endless| {
        call_row(SERVER_GRPC, address, sent, method, token, bytes, is_endless)
    };
    let update = |sent, token| call(sent, UPDATE, token, &[0, 0, 0, 0, 0], false);
    vec![
        call("a message that never ends", LOOKUP, None, MESSAGE, true),
        call("a message of 1 GiB", LOOKUP, None, HUGE, true),
        call("an empty message", LOOKUP, None, &[0, 0, 0, 0, 0], false),
        call("a service that there is not", "a.b/C", None, &[], false),
        call("the operator's service", ADMIN, None, &[], false),
        update("an update without a token", None),
        update("… with what is no token", Some("x".to_owned())),
        update(
            "… with a token that expired",
            Some(token(ORIGIN, Role::Update, 1)),
        ),
        update(
            "… with a token for another log",
            Some(token(other, Role::Update, late)),
        ),
        update(
            "… with a role its issuer may not give",
            Some(token(ORIGIN, Role::Audit, late)),
        ),
    ]
}

fn witness_calls(address: SocketAddr) -> Vec<Waiting> {
    let call = |sent, bytes, is_endless| {
        call_row(WITNESS_GRPC, address, sent, ADD, None, bytes, is_endless)
    };
    vec![
        call("a message that never ends", MESSAGE, true),
        call("a message of 1 GiB", HUGE, true),
        call("an empty message", &[0, 0, 0, 0, 0], false),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_port_answers_as_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), 1).unwrap();
    system.start().await.unwrap();
    let (server, witness) = (&system.server, &system.witnesses[0]);
    let mut waiting = raw_rows(SERVER_GRPC, server.grpc);
    waiting.extend(server_calls(server.grpc, &system));
    waiting.extend(raw_rows(SERVER_HTTP, server.http));
    waiting.extend(raw_rows(WITNESS_GRPC, witness.grpc));
    waiting.extend(witness_calls(witness.grpc));
    waiting.extend(raw_rows(WITNESS_HTTP, witness.http));
    // All at once: each waits for a limit in time, and none may wait for another.
    let mut rows = join_all(waiting).await;
    system.device().unwrap().head().await.unwrap();
    rows.extend(over_tls().await);
    compare(&rows);
}

/// What a port with certificates makes of those who speak no TLS, and of strangers' certificates.
async fn over_tls() -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), 1).unwrap();
    let authority = Authority::new(folder.path());
    let (port, http) = ("server, gRPC with TLS", "server, HTTP with TLS");
    let clients = "client_authorities = \"../authority.pem\"\n";
    secure(&mut system, &authority, clients);
    let config = system.server.folder().join("server.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let registrar = "\n[[access.client]]\nname = \"registrar.example\"\nroles = [\"update\"]\n";
    std::fs::write(&config, text + registrar).unwrap();
    system.start().await.unwrap();
    let address = system.server.grpc;
    let plain = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let strangers = Authority::new(&folder.path().join("server"));
    let mut rows = vec![
        Row {
            port,
            sent: "nothing",
            got: said(address, b"", None).await,
        },
        Row {
            port,
            sent: "plain HTTP/2",
            got: said(address, HTTP2, None).await,
        },
        Row {
            port: http,
            sent: "plain HTTP/1.1",
            got: said(system.server.http, plain, None).await,
        },
    ];
    for (sent, issuer, name) in [
        (
            "an update with the certificate of a registrar",
            &authority,
            "registrar.example",
        ),
        ("… of somebody else", &authority, "other.example"),
        ("… of an unknown authority", &strangers, "registrar.example"),
    ] {
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("c.key"));
        issuer.certify(name, &certificate, &key);
        let got = update_as(&system, &authority, &certificate, &key).await;
        rows.push(Row { port, sent, got });
    }
    rows
}

/// What an update without a label gets from a client with this certificate.
async fn update_as(
    system: &System,
    authority: &Authority,
    certificate: &std::path::Path,
    key: &std::path::Path,
) -> String {
    let read = |path: &std::path::Path| std::fs::read(path).unwrap();
    let config = candor_sdk::ClientConfig::new(&system.endpoint(), system.trust().unwrap())
        .with_root_certificate(&read(&authority.file))
        .with_identity(&read(certificate), &read(key));
    let channel = config.connection().unwrap().connect_lazy();
    let mut registrar = candor_proto::v1::registrar_client::RegistrarClient::new(channel);
    match registrar
        .submit_update(candor_proto::v1::SubmitUpdateRequest::default())
        .await
    {
        Ok(_) => "Ok (and the update itself is refused)".to_owned(),
        Err(status) if status.code() == Code::Unauthenticated => "Unauthenticated".to_owned(),
        // How a broken handshake reads depends on who is faster.
        Err(_) => "no connection".to_owned(),
    }
}
