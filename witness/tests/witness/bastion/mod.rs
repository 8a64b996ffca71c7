//! The witness behind bastions: honest, wrong, slow and broken ones.

mod fake;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::History;
use crate::common::running::{Home, cosigned};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use candor_core::limits::SIGN_SUBTREE_BYTES_MAX;
use candor_witness::bastion::{Bastion, Identity, KEY_FILE, Place, Times};
use candor_witness::metrics::{BASTION_CONNECTED, BASTION_RECONNECTS, Metrics};
use fake::{Backend, Certificate, backend, handshake, listen};
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// No test waits as long as this, unless it fails.
const LONG: Duration = Duration::from_secs(60);

const QUICK: Times = Times {
    dial: Duration::from_millis(500),
    retry: Duration::from_millis(5),
    retry_max: Duration::from_millis(20),
};

/// What a bastion does with a connection.
#[derive(Clone)]
enum Behaviour {
    /// TLS as configured; then it asks.
    Ask(Arc<ServerConfig>),
    /// TLS, and then these bytes.
    Say(Arc<ServerConfig>, &'static [u8]),
    /// TLS, and then the end.
    End(Arc<ServerConfig>),
    /// Not even TLS.
    Hang,
}

/// Serves connections one after the other, and counts the answers that it got.
async fn behave(listener: TcpListener, behaviour: Behaviour, answers: Arc<AtomicUsize>) {
    let mut held = Vec::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        match behaviour.clone() {
            Behaviour::Ask(config) => {
                let Ok(stream) = handshake(stream, config).await else {
                    continue;
                };
                let Ok(mut backend) = Backend::new(stream).await else {
                    continue;
                };
                if backend.post("", Vec::new()).await.is_ok() {
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            }
            Behaviour::Say(config, bytes) => {
                let mut stream = handshake(stream, config).await.unwrap();
                stream.write_all(bytes).await.unwrap();
                held.push(stream.into_inner().0);
            }
            Behaviour::End(config) => drop(handshake(stream, config).await),
            Behaviour::Hang => held.push(stream),
        }
    }
}

/// How often a metric is told of the bastion.
fn metric(text: &str, name: &str, bastion: &str) -> u64 {
    let start = format!("{name}{{bastion=\"{bastion}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&start));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Lets a witness dial a bastion until it has tried three times, and tells how many answers the
/// bastion got.
async fn answers(certificate: &Certificate, behaviour: Behaviour) -> usize {
    let (listener, address) = listen().await;
    let count = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn(behave(listener, behaviour, Arc::clone(&count)));
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::open(folder.path()).unwrap();
    let address = address.to_string();
    let place = Place::new(&address, Some(certificate.ca.clone())).unwrap();
    let metrics = Metrics::default();
    let bastion = Bastion::new(place, &identity, metrics.clone(), QUICK).unwrap();
    let stop = CancellationToken::new();
    let router = Router::new().route("/", post(|| async { "answer" }));
    let running = tokio::spawn(bastion.run(router, stop.clone()));
    let thrice = async {
        while metric(&metrics.text(), BASTION_RECONNECTS, &address) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, thrice).await.unwrap();
    stop.cancel();
    tokio::time::timeout(LONG, running).await.unwrap().unwrap();
    task.abort();
    assert_eq!(metric(&metrics.text(), BASTION_CONNECTED, &address), 0);
    count.load(Ordering::Relaxed)
}

#[tokio::test]
async fn what_is_no_bastion_gets_no_answers() {
    let folder = tempfile::tempdir().unwrap();
    let right = Certificate::new(folder.path(), "right.pem", "127.0.0.1");
    let other = Certificate::new(folder.path(), "other.pem", "127.0.0.1");
    let name = Certificate::new(folder.path(), "name.pem", "other.example");
    let good = right.bastion();
    assert!(answers(&right, Behaviour::Ask(Arc::clone(&good))).await > 0);
    let refused = [
        ("another root", &right, other.bastion()),
        ("another name", &name, name.bastion()),
        ("TLS 1.2", &right, right.server(&[&TLS12], &["bastion/0"])),
        ("another protocol", &right, right.server(&[&TLS13], &["h2"])),
        ("no protocol", &right, right.server(&[&TLS13], &[])),
    ];
    for (case, trusted, config) in refused {
        let got = answers(trusted, Behaviour::Ask(config)).await;
        assert_eq!(got, 0, "{case}");
    }
    let broken = [
        ("no TLS", Behaviour::Hang),
        ("silence", Behaviour::Say(Arc::clone(&good), b"")),
        ("HTTP/1.1", Behaviour::Say(Arc::clone(&good), &[b'G'; 24])),
        ("the end", Behaviour::End(good)),
    ];
    for (case, behaviour) in broken {
        assert_eq!(answers(&right, behaviour).await, 0, "{case}");
    }
}

#[test]
fn the_key_is_made_once_and_is_no_other_kind() {
    let folder = tempfile::tempdir().unwrap();
    let hash = Identity::open(folder.path()).unwrap().hash();
    assert_eq!(Identity::open(folder.path()).unwrap().hash(), hash);
    let shown = format!("{:?}", Identity::open(folder.path()).unwrap());
    let file = std::fs::read_to_string(folder.path().join(KEY_FILE)).unwrap();
    let seed = file.lines().nth(1).unwrap();
    assert!(!shown.contains(seed), "{shown}");
    let wrong = file.replace("ed25519", "ml-dsa-44");
    std::fs::write(folder.path().join(KEY_FILE), &wrong).unwrap();
    assert!(Identity::open(folder.path()).is_err());
    let kept = std::fs::read_to_string(folder.path().join(KEY_FILE)).unwrap();
    assert_eq!(kept, wrong, "nothing was overwritten");
}

#[test]
fn roots_are_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::open(folder.path()).unwrap();
    let ca = folder.path().join("ca.pem");
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for text in ["", "no certificate", garbage] {
        std::fs::write(&ca, text).unwrap();
        let place = Place::new("127.0.0.1:1", Some(ca.clone())).unwrap();
        let bastion = Bastion::new(place, &identity, Metrics::default(), QUICK);
        assert!(bastion.is_err(), "{text}");
    }
}

async fn accept(listener: &TcpListener, certificate: &Certificate) -> TcpStreamOverTls {
    let accepted = tokio::time::timeout(LONG, listener.accept()).await;
    let (stream, _) = accepted.unwrap().unwrap();
    handshake(stream, certificate.bastion()).await.unwrap()
}

type TcpStreamOverTls = tokio_rustls::server::TlsStream<TcpStream>;

#[tokio::test]
async fn several_bastions_pass_requests_on_and_fail_apart() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::new(folder.path(), "ca.pem", "127.0.0.1");
    let [(one, one_at), (two, two_at)] = [listen().await, listen().await];
    let section = |at| {
        format!(
            "[[bastion]]\naddress = \"{at}\"\nca = {:?}\n",
            certificate.ca
        )
    };
    let home = Home::new("", &[section(one_at), section(two_at)].concat());
    let running = home.start().await;
    let hash = Identity::open(&home.path().join("keys")).unwrap().hash();

    let stream = accept(&one, &certificate).await;
    assert_eq!(backend(&stream), hash);
    let mut first = Backend::new(stream).await.unwrap();
    let add = async |backend: &mut Backend, old, new| {
        let request = History::honest().request(old, new);
        let answer = backend.post("add-checkpoint", request.to_bytes()).await;
        let (status, body) = answer.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
        let note = cosigned(&request, &body);
        home.policy(&[0, 1]).verify_checkpoint(&note).unwrap();
    };
    add(&mut first, 0, 1).await;

    // The second one begins as it should, and then says anything.
    let mut stream = accept(&two, &certificate).await;
    assert_eq!(backend(&stream), hash);
    let garbage = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0xff; 1000]].concat();
    stream.write_all(&garbage).await.unwrap();
    // It is dialled again, and the first one did not notice.
    let again = accept(&two, &certificate).await;
    let mut second = Backend::new(again).await.unwrap();
    add(&mut second, 1, 3).await;
    add(&mut first, 3, 5).await;

    // Limits are those of the HTTP port.
    let long = vec![b'a'; SIGN_SUBTREE_BYTES_MAX + 1];
    let (status, _) = first.post("add-checkpoint", long).await.unwrap();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);

    let (_, text) = running.get("metrics").await;
    for (at, reconnects) in [(one_at, 0), (two_at, 1)] {
        assert_eq!(metric(&text, BASTION_CONNECTED, &at.to_string()), 1);
        assert_eq!(
            metric(&text, BASTION_RECONNECTS, &at.to_string()),
            reconnects
        );
    }
    tokio::time::timeout(LONG, running.stop()).await.unwrap();
    assert!(first.post("add-checkpoint", Vec::new()).await.is_err());
}
