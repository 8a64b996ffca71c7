//! HTTP/2 on a connection that stands already: one that a gRPC listener accepted, or one that a
//! server dialled.
//!
//! Whoever asks at the other end is as little trusted as whoever connects to [`crate::http`]. The
//! connection lives as long as its peer answers pings, and no longer than its limits say.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::Map;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::http::HEADER_BYTES_MAX;
use crate::listener::Peer;
use crate::unread;

/// What one connection grants its peer.
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// Most requests in flight.
    pub requests: u32,
    /// How often the peer is asked for a sign of life, and how long it may take to give one.
    pub ping: Duration,
    /// How long the peer may leave an answer unread; it is given up then, or up to as much later.
    pub patience: Duration,
    /// How long the connection lives, if that is limited.
    pub lifetime: Option<Duration>,
    /// How long the requests in flight may take once the connection is to close.
    pub drain: Duration,
}

/// What every connection of HTTP/2 begins with (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream of which the [`PREFACE`] was read already, and is read again.
pub struct Prefaced<S> {
    left: &'static [u8],
    stream: S,
}

impl<S> Prefaced<S> {
    /// Puts the preface before what `stream` has left.
    pub const fn new(stream: S) -> Self {
        Self {
            left: PREFACE,
            stream,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefaced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let (now, later) = self.left.split_at(self.left.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefaced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What answers requests: a router, or more around one.
pub trait Answers:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Answers for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Has `service` answer on `stream` until the peer ends the connection or breaks it, its lifetime
/// is over, or `shutdown` is cancelled and the requests in flight are answered. Requests carry the
/// extension [`Peer`] if it is given. When it returns, no request is in work.
///
/// # Errors
///
/// The peer's or the network's fault: how the connection broke.
pub async fn serve_connection<S>(
    stream: S,
    service: impl Answers,
    peer: Option<Peer>,
    limits: Http2Limits,
    shutdown: &CancellationToken,
) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = Requests {
        tasks: TaskTracker::new(),
        patience: limits.patience,
    };
    let service = Answering {
        service: TowerToHyperService::new(service),
        peer,
    };
    let ended = {
        let connection = http2::Builder::new(requests.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.ping)
            .keep_alive_timeout(limits.ping)
            .max_concurrent_streams(limits.requests)
            .max_header_list_size(HEADER_BYTES_MAX as u32)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let is_over = async {
            match limits.lifetime {
                Some(lifetime) => tokio::time::sleep(lifetime).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = async { tokio::select! {
                () = shutdown.cancelled() => {}
                () = is_over => {}
            } } => {
                connection.as_mut().graceful_shutdown();
                let drained = tokio::time::timeout(limits.drain, connection);
                drained.await.unwrap_or(Ok(()))
            }
        }
    };
    requests.tasks.close();
    // Each ends within its own time, now that it has nobody to answer.
    requests.tasks.wait().await;
    ended
}

/// What answers the requests of one connection.
struct Answering<S> {
    service: TowerToHyperService<S>,
    peer: Option<Peer>,
}

type Answer = Result<Response, Infallible>;

impl<S: Answers> hyper::service::Service<Request<Incoming>> for Answering<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Map<TowerToHyperServiceFuture<S, Request>, fn(Answer) -> Answer>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        let answer = hyper::service::Service::call(&self.service, request);
        answer.map(|answer| answer.map(unread::watched))
    }
}

/// The requests of one connection, which work on tasks of their own.
#[derive(Clone)]
struct Requests {
    tasks: TaskTracker,
    patience: Duration,
}

impl<F> Executor<F> for Requests
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, request: F) {
        let request = unread::while_read(request, self.patience);
        self.tasks.spawn(request);
    }
}

/// How long a peer may leave an answer unread, where nothing speaks for another time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Most bytes of an answer that wait for the peer to read them.
const SEND_BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::Router;
    use tokio::io::AsyncWriteExt as _;

    const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    /// How the connection of a peer ends that sends these bytes and then stays silent.
    async fn ended(bytes: &[u8]) -> Result<(), hyper::Error> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        theirs.write_all(bytes).await.unwrap();
        let limits = Http2Limits {
            requests: 1,
            ping: Duration::from_millis(20),
            patience: PATIENCE,
            lifetime: None,
            drain: Duration::ZERO,
        };
        let shutdown = CancellationToken::new();
        let served = serve_connection(ours, Router::new(), None, limits, &shutdown);
        let long = Duration::from_secs(60);
        tokio::time::timeout(long, served).await.unwrap()
    }

    #[tokio::test]
    async fn silent_peer_is_given_up() {
        ended(&[PREFACE, EMPTY_SETTINGS].concat())
            .await
            .unwrap_err();
    }

    #[tokio::test]
    async fn garbage_ends_the_connection() {
        ended(b"GET / HTTP/1.1\r\nhost: example\r\n\r\n")
            .await
            .unwrap_err();
        ended(&[PREFACE, EMPTY_SETTINGS, &[0xff; 64]].concat())
            .await
            .unwrap_err();
    }
}
