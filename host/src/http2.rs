//! HTTP/2 on a connection that stands already, for a server that dialled it.
//!
//! Whoever asks at the other end is as little trusted as whoever connects to [`crate::http`], and
//! has the same [`Limits`]. The connection lives as long as its peer answers pings.

use std::pin::pin;

use axum::Router;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::{HEADER_BYTES_MAX, Limits, bounded};

/// Serves `router` on `stream` until the peer ends the connection or breaks it, or `shutdown` is
/// cancelled and the requests in flight are answered. When it returns, no request is in work.
///
/// Of `limits`, `connections` is how many requests may be in flight, `header_timeout` how often the
/// peer is asked for a sign of life and how long it may take to give one; `connection_lifetime`
/// says nothing here.
///
/// # Errors
///
/// The peer's or the network's fault: how the connection broke.
pub async fn serve_connection<S>(
    stream: S,
    router: Router,
    limits: Limits,
    shutdown: &CancellationToken,
) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = Requests(TaskTracker::new());
    let ended = {
        let connection = http2::Builder::new(requests.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.header_timeout)
            .keep_alive_timeout(limits.header_timeout)
            .max_concurrent_streams(u32::try_from(limits.connections).unwrap_or(u32::MAX))
            .max_header_list_size(HEADER_BYTES_MAX as u32)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .serve_connection(
                TokioIo::new(stream),
                TowerToHyperService::new(bounded(router, limits)),
            );
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let drained = tokio::time::timeout(limits.drain_timeout, connection);
                drained.await.unwrap_or(Ok(()))
            }
        }
    };
    requests.0.close();
    // Each ends within its own time, now that it has nobody to answer.
    requests.0.wait().await;
    ended
}

/// The requests of one connection, which work on tasks of their own.
#[derive(Clone)]
struct Requests(TaskTracker);

impl<F> Executor<F> for Requests
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, request: F) {
        self.0.spawn(request);
    }
}

/// Most bytes of an answer that wait for the peer to read them.
const SEND_BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt as _;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    /// How the connection of a peer ends that sends these bytes and then stays silent.
    async fn ended(bytes: &[u8]) -> Result<(), hyper::Error> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        theirs.write_all(bytes).await.unwrap();
        let limits = Limits {
            header_timeout: Duration::from_millis(20),
            ..Limits::default()
        };
        let shutdown = CancellationToken::new();
        let served = serve_connection(ours, Router::new(), limits, &shutdown);
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
