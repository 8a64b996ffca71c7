//! The HTTP listener of servers and witnesses, for peers who may be slow or hostile.
//!
//! It speaks HTTP/1.1 only, so a connection carries one request at a time, and the limit on
//! connections is the limit on requests. Whoever sends its header or body slowly, or reads the
//! answer slowly, is bounded in time; whoever sends much, in bytes. How many connect is the
//! [`Listener`]'s business.

use std::pin::pin;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::{Extension, Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::closing::{Lingering, announced};
use crate::listener::{Accepted, Listener, Places};

/// What one listener grants its peers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at a time, and so most requests.
    pub connections: usize,
    /// Longest request body in bytes.
    pub body_bytes: usize,
    /// How long a request's header may take; a connection that is idle for so long is closed.
    pub header_timeout: Duration,
    /// How long it may take to read a request's body and to find the answer.
    pub request_timeout: Duration,
    /// How long a connection lives. A peer that reads an answer slowly is cut off
    /// `drain_timeout` later.
    pub connection_lifetime: Duration,
    /// How long the request in flight may take once its connection is to close.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    /// 1,024 connections, 64 KiB bodies, 10 s for a header and for a request, 5 min for a
    /// connection, 10 s to drain it.
    fn default() -> Self {
        Self {
            connections: 1024,
            body_bytes: 64 << 10,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            connection_lifetime: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// How many connections a [`Listener`] is to grant; one network gets a quarter of them.
    pub const fn places(&self) -> Places {
        Places {
            connections: self.connections,
            of_network: self.connections.div_ceil(4),
        }
    }
}

/// Serves `router` to whoever connects to `listener`, until `shutdown` is cancelled and the
/// requests in flight are answered. Requests carry the extension [`crate::listener::Peer`].
pub async fn serve(
    listener: Listener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let router = bounded(router, limits).layer(middleware::from_fn(announced));
    let serve = |accepted| serve_connection(accepted, router.clone(), limits, shutdown.clone());
    listener.serve_each(&shutdown, serve).await;
}

/// Puts the limits on requests around `router`.
pub fn bounded(router: Router, limits: Limits) -> Router {
    router
        // Ours is the only limit on bodies.
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(limits.body_bytes))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            limits.request_timeout,
        ))
        .layer(CatchPanicLayer::new())
}

async fn serve_connection(
    accepted: Accepted,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let secured = tokio::select! {
        secured = accepted.secure() => secured,
        () = shutdown.cancelled() => return,
    };
    let Ok(connected) = secured else { return };
    let router = router.layer(Extension(connected.peer));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Lingering::new(connected.stream)),
            TowerToHyperService::new(router),
        );
    let mut connection = pin!(connection);
    // How a connection ends is the peer's affair: nothing to log.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(limits.connection_lifetime) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(limits.drain_timeout, connection).await;
}

/// Longest request line and header in bytes: the longest path of a tile is far below.
pub(crate) const HEADER_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::tls::Protocol;
    use axum::body::Bytes;
    use axum::routing::{get, post};
    use std::net::SocketAddr;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    /// No test waits as long as this, unless it fails.
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    const PATIENT: Limits = Limits {
        connections: 10,
        body_bytes: 10,
        header_timeout: LONG,
        request_timeout: LONG,
        connection_lifetime: LONG,
        drain_timeout: LONG,
    };

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    struct Server {
        address: SocketAddr,
        shutdown: CancellationToken,
        task: JoinHandle<()>,
        /// Notified when the handler of `/held` has begun.
        begun: Arc<Notify>,
        /// Lets the handler of `/held` answer.
        release: Arc<Notify>,
    }

    impl Server {
        async fn start(limits: Limits) -> Self {
            let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let held = {
                let (begun, release) = (Arc::clone(&begun), Arc::clone(&release));
                || async move {
                    begun.notify_one();
                    release.notified().await;
                    "released"
                }
            };
            let router = Router::new()
                .route("/", get(|| async { "ok" }))
                .route(
                    "/",
                    post(|body: Bytes| async move { body.len().to_string() }),
                )
                .route("/held", get(held))
                .route("/panic", get(|| async { panic!("on order") as &str }))
                .route("/endless", get(|| async { vec![0; 256 << 20] }));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let shutdown = CancellationToken::new();
            // All come from one address here.
            let places = Places {
                of_network: limits.connections,
                ..limits.places()
            };
            let listener = Listener::new(listener, None, Protocol::Http1, places);
            let task = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
            Self {
                address,
                shutdown,
                task,
                begun,
                release,
            }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// The answer to `request`, until the server closes the connection.
        async fn ask(&self, request: &[u8]) -> String {
            let mut stream = self.connect().await;
            stream.write_all(request).await.unwrap();
            read_to_end(stream).await
        }
    }

    async fn read_to_end(mut stream: TcpStream) -> String {
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn read_ok(stream: &mut TcpStream) {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            assert_ne!(
                stream.read_buf(&mut answer).await.unwrap(),
                0,
                "closed before the answer"
            );
        }
    }

    fn closing(head: &str, body: &str) -> Vec<u8> {
        format!("{head} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{body}").into_bytes()
    }

    #[tokio::test]
    async fn bodies_are_bounded_however_they_are_sent() {
        let server = Server::start(PATIENT).await;
        let cases = [
            ("content-length: 10\r\n\r\n0123456789", "200"),
            ("content-length: 11\r\n\r\n0123456789a", "413"),
            (
                "transfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
                "200",
            ),
            (
                "transfer-encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n",
                "413",
            ),
        ];
        for (body, status) in cases {
            let answer = server.ask(&closing("POST /", body)).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{body}: {answer}"
            );
        }
    }

    #[tokio::test]
    async fn connection_whose_request_is_not_read_is_announced_to_close() {
        let server = Server::start(PATIENT).await;
        let answer = server
            .ask(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n0123456789a")
            .await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");

        let mut stream = server.connect().await;
        stream
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        stream.write_all(GET).await.unwrap();
        read_ok(&mut stream).await;
    }

    #[tokio::test]
    async fn who_is_refused_while_sending_can_read_why() {
        let server = Server::start(PATIENT).await;
        let mut stream = server.connect().await;
        stream
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1048576\r\n\r\n")
            .await
            .unwrap();
        for _ in 0..16 {
            stream.write_all(&[b'a'; 64 << 10]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let answer = read_to_end(stream).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }

    #[tokio::test]
    async fn long_header_is_refused() {
        let server = Server::start(PATIENT).await;
        let request = closing(&format!("GET /{}", "a".repeat(HEADER_BYTES_MAX)), "\r\n");
        let answer = server.ask(&request).await;
        assert!(!answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    #[tokio::test]
    async fn slow_header_is_cut_off() {
        let server = Server::start(Limits {
            header_timeout: SHORT,
            ..PATIENT
        })
        .await;
        for part in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nhost: a\r\n"] {
            let answer = server.ask(part).await;
            assert!(!answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    }

    #[tokio::test]
    async fn idle_connection_is_closed() {
        let server = Server::start(Limits {
            header_timeout: SHORT,
            ..PATIENT
        })
        .await;
        let answer = server.ask(GET).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    #[tokio::test]
    async fn slow_body_is_cut_off() {
        let server = Server::start(Limits {
            request_timeout: SHORT,
            ..PATIENT
        })
        .await;
        let answer = server
            .ask(&closing("POST /", "content-length: 10\r\n\r\n0"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }

    #[tokio::test]
    async fn slow_reader_is_cut_off() {
        let limits = Limits {
            connection_lifetime: SHORT,
            drain_timeout: SHORT,
            ..PATIENT
        };
        let server = Server::start(Limits {
            connections: 1,
            ..limits
        })
        .await;
        let mut slow = server.connect().await;
        slow.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        // It reads nothing. The next one is served only when its permit is free again.
        let mut next = server.connect().await;
        next.write_all(GET).await.unwrap();
        tokio::time::timeout(LONG, read_ok(&mut next))
            .await
            .unwrap();
        drop(slow);
    }

    #[tokio::test]
    async fn connections_are_bounded() {
        let server = Server::start(Limits {
            connections: 1,
            ..PATIENT
        })
        .await;
        let mut first = server.connect().await;
        first
            .write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        server.begun.notified().await;
        let mut second = server.connect().await;
        second.write_all(GET).await.unwrap();
        let early = tokio::time::timeout(SHORT, read_ok(&mut second)).await;
        assert!(early.is_err(), "served beyond the limit");
        server.release.notify_one();
        drop(first);
        tokio::time::timeout(LONG, read_ok(&mut second))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn shutdown_finishes_what_is_in_flight_and_closes_the_idle() {
        let server = Server::start(PATIENT).await;
        let mut idle = server.connect().await;
        idle.write_all(GET).await.unwrap();
        read_ok(&mut idle).await;
        let mut held = server.connect().await;
        held.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        server.begun.notified().await;

        server.shutdown.cancel();
        assert_eq!(read_to_end(idle).await, "");
        assert!(!server.task.is_finished());
        server.release.notify_one();
        let answer = read_to_end(held).await;
        assert!(answer.ends_with("released"), "{answer}");
        tokio::time::timeout(LONG, server.task)
            .await
            .unwrap()
            .unwrap();
        assert!(
            TcpStream::connect(server.address).await.is_err(),
            "still listening"
        );
    }

    #[tokio::test]
    async fn shutdown_does_not_wait_for_ever() {
        let server = Server::start(Limits {
            drain_timeout: SHORT,
            ..PATIENT
        })
        .await;
        let mut held = server.connect().await;
        held.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        server.begun.notified().await;
        server.shutdown.cancel();
        tokio::time::timeout(LONG, server.task)
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test]
    async fn panicking_handler_answers_an_error() {
        let server = Server::start(PATIENT).await;
        let answer = server.ask(&closing("GET /panic", "\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    }
}
