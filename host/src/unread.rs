//! Giving up answers that their peer does not read.
//!
//! A peer may ask for much and then grant no room to send it (RFC 9113, section 6.9): the answer,
//! in our memory, would wait as long as the connection lives. HTTP/2 asks an answer for more only
//! when there is room, so an answer that gave a part and was not asked since is one that waits for
//! its peer. One that waits for us, as streams do most of the time, was asked.
//!
//! What this does not see: HTTP/2 takes a part over whole once there is room for one byte of it,
//! then asks on. An answer of one part is out of our hands, and waits in its buffers for as long as
//! the connection lives; how many do is bounded by the calls that one connection may have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use tokio::time::Instant;

use crate::asked::{Asked, told};

tokio::task_local! {
    /// The answer that the task makes.
    static ANSWER: Arc<Answer>;
}

/// Since when an answer waits for its peer.
#[derive(Default)]
struct Answer(Mutex<Option<Instant>>);

impl Answer {
    fn waits(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the answer has waited for its peer too long.
    async fn is_unread(&self, patience: Duration) {
        loop {
            tokio::time::sleep(patience).await;
            let waits = *self.waits();
            if waits.is_some_and(|since| since.elapsed() >= patience) {
                return;
            }
        }
    }
}

/// Does what a request asks for, its answer included, unless that is not read for `patience`:
/// dropping it tells the peer then.
pub(crate) async fn while_read(request: impl Future<Output: Send> + Send, patience: Duration) {
    let answer = Arc::<Answer>::default();
    let request = ANSWER.scope(Arc::clone(&answer), request);
    tokio::select! {
        // No timer is set for what ends without a pause.
        biased;
        _ = request => {}
        () = answer.is_unread(patience) => {}
    }
}

/// Takes down when the body of an answer is asked for more. Without [`while_read`] it does nothing.
pub(crate) fn watched(response: Response) -> Response {
    match ANSWER.try_with(Arc::clone) {
        Ok(answer) => response.map(|body| {
            told(body, move |asked| {
                *answer.waits() = (asked != Asked::Pending).then(Instant::now);
            })
        }),
        Err(_) => response,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::pin::Pin;

    use axum::Router;
    use axum::body::{Body, Bytes, HttpBody};
    use axum::http::Request;
    use axum::routing::get;
    use futures::stream;
    use hyper::body::Incoming;
    use hyper::client::conn::http2::{Builder, SendRequest};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::http2::{Http2Limits, serve_connection};

    /// How much a peer takes at a time.
    const WINDOW: usize = 64 << 10;

    const PARTS: usize = 16;

    /// Longer than this machine stands still.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// A peer of a server whose answers are `PARTS` windows long, or come late.
    async fn peer() -> SendRequest<Body> {
        let long = || {
            let part = Ok::<_, Infallible>(Bytes::from(vec![0; WINDOW]));
            async { Body::from_stream(stream::iter(vec![part; PARTS])) }
        };
        let late = || async {
            Body::from_stream(stream::once(async {
                tokio::time::sleep(3 * PATIENCE).await;
                Ok::<_, Infallible>(Bytes::from("late"))
            }))
        };
        let router = Router::new()
            .route("/long", get(long))
            .route("/late", get(late));
        let limits = Http2Limits {
            requests: 8,
            ping: Duration::from_secs(30),
            patience: PATIENCE,
            lifetime: None,
            drain: Duration::ZERO,
        };
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            let shutdown = CancellationToken::new();
            serve_connection(ours, router, None, limits, &shutdown).await
        });
        let window = u32::try_from(WINDOW).unwrap();
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (peer, connection) = builder.handshake(TokioIo::new(theirs)).await.unwrap();
        tokio::spawn(connection);
        peer
    }

    async fn ask(peer: &mut SendRequest<Body>, path: &str) -> Incoming {
        let request = Request::get(format!("http://log.example{path}"));
        let request = request.body(Body::empty()).unwrap();
        peer.send_request(request).await.unwrap().into_body()
    }

    /// How many bytes of an answer come if the peer pauses before each part, and whether all did.
    async fn read(mut answer: Incoming, pause: Duration) -> (usize, bool) {
        let mut bytes = 0;
        loop {
            tokio::time::sleep(pause).await;
            let frame = poll_fn(|context| Pin::new(&mut answer).poll_frame(context));
            match frame.await {
                Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) => return (bytes, false),
                None => return (bytes, true),
            }
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_given_up_and_no_other() {
        let mut peer = peer().await;
        let unread = ask(&mut peer, "/long").await;
        tokio::time::sleep(3 * PATIENCE).await;
        let (bytes, is_whole) = read(unread, Duration::ZERO).await;
        assert!(!is_whole && bytes <= 2 * WINDOW, "{bytes}");
        // The connection stands.
        let answer = ask(&mut peer, "/long").await;
        assert_eq!(read(answer, Duration::ZERO).await, (PARTS * WINDOW, true));
    }

    #[tokio::test]
    async fn who_reads_slowly_gets_all() {
        let mut peer = peer().await;
        let answer = ask(&mut peer, "/long").await;
        assert_eq!(read(answer, PATIENCE / 8).await, (PARTS * WINDOW, true));
    }

    #[tokio::test]
    async fn an_answer_that_waits_for_us_is_not_given_up() {
        let mut peer = peer().await;
        let answer = ask(&mut peer, "/late").await;
        assert_eq!(read(answer, Duration::ZERO).await, (4, true));
    }
}
