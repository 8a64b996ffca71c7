//! The gRPC listener of servers and witnesses, for peers who may be slow or hostile.
//!
//! It speaks HTTP/2 only, and waits for its first bytes no longer than [`PREFACE_TIME`]: what is
//! no HTTP/2 never reaches the machinery that would wait for more of it. Calls have limits in time
//! and size of their own, which are the services' business.

use std::time::Duration;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::http2::{self, Answers, Http2Limits, PREFACE, Prefaced};
use crate::listener::{Accepted, Connection, Listener};

/// How long a peer may take to say that it speaks HTTP/2.
pub const PREFACE_TIME: Duration = Duration::from_secs(10);

/// Has `service` answer whoever connects to `listener`, until `shutdown` is cancelled and the calls
/// in flight are answered. Requests carry the extension [`crate::listener::Peer`].
pub async fn serve(
    listener: Listener,
    service: impl Answers,
    limits: Http2Limits,
    shutdown: CancellationToken,
) {
    let serve = |accepted| serve_connection(accepted, service.clone(), limits, shutdown.clone());
    listener.serve_each(&shutdown, serve).await;
}

/// Ends every call that has not begun to answer after `time`, its request included.
pub fn within(router: Router, time: Duration) -> Router {
    router.layer(from_fn(move |request, next: Next| async move {
        let answer = tokio::time::timeout(time, next.run(request)).await;
        answer.unwrap_or_else(|_| late())
    }))
}

/// `DEADLINE_EXCEEDED`, as gRPC has it without a message in the answer.
pub fn late() -> Response {
    let headers = [
        (CONTENT_TYPE, "application/grpc"),
        (HeaderName::from_static("grpc-status"), "4"),
        (
            HeaderName::from_static("grpc-message"),
            "the call took too long",
        ),
    ];
    headers.into_response()
}

async fn serve_connection(
    accepted: Accepted,
    service: impl Answers,
    limits: Http2Limits,
    shutdown: CancellationToken,
) {
    let began = tokio::select! {
        began = tokio::time::timeout(PREFACE_TIME, begin(accepted)) => began,
        () = shutdown.cancelled() => return,
    };
    let Ok(Some(connection)) = began else { return };
    let Connection {
        stream,
        peer,
        place,
    } = connection;
    let stream = Prefaced::new(stream);
    // How a connection ends is the peer's affair: nothing to log.
    let _ended = http2::serve_connection(stream, service, Some(peer), limits, &shutdown).await;
    drop(place);
}

/// A connection whose peer has begun to speak HTTP/2.
async fn begin(accepted: Accepted) -> Option<Connection> {
    let mut connection = accepted.secure().await.ok()?;
    let mut preface = [0; PREFACE.len()];
    let stream = &mut connection.stream;
    stream.read_exact(&mut preface).await.ok()?;
    (preface == *PREFACE).then_some(connection)
}
