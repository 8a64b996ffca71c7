//! Closing HTTP/1.1 connections so that their peers can read the last answer (RFC 9112, 9.6).
//!
//! A peer may be refused while it still sends, and what it sends is not read then: its connection
//! ends. That is [`announced`] with the answer, or the peer would put its next request there, and
//! see it broken. And the end [lingers](Lingering), or what comes after it would be answered by the
//! kernel with a reset, and many a client tells its user of a broken connection instead of what it
//! was refused for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::Next;
use axum::response::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::asked::{Asked, told};

/// Says with an answer that the connection closes if the request was not read to its end.
pub(crate) async fn announced(request: Request, next: Next) -> Response {
    let is_read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let request = request.map(|body| {
        let is_read = Arc::clone(&is_read);
        told(body, move |asked| {
            if asked == Asked::End {
                is_read.store(true, Ordering::Relaxed);
            }
        })
    });
    let mut response = next.run(request).await;
    if !is_read.load(Ordering::Relaxed) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// How long a peer may take to notice that it was answered.
const LINGER: Duration = Duration::from_secs(2);

/// How much is thrown away at most, in bytes: more than a socket's buffers hold on both sides.
const LINGER_BYTES: usize = 16 << 20;

/// A stream that is read to its end, within limits, when its writing side is shut down.
pub(crate) struct Lingering<S> {
    stream: S,
    /// What may still be thrown away, and until when: once our side has ended.
    ended: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<S> Lingering<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self {
            stream,
            ended: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, ended } = &mut *self;
        let (left, deadline) = match ended {
            Some(ended) => ended,
            None => {
                ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
                ended.insert((LINGER_BYTES, Box::pin(tokio::time::sleep(LINGER))))
            }
        };
        let mut thrown_away = [0; 8 << 10];
        while *left > 0 && deadline.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut thrown_away);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                read => *left = left.saturating_sub(read),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection as its server and its client have it.
    async fn connection() -> (Lingering<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, client) = tokio::join!(listener.accept(), client);
        (Lingering::new(accepted.unwrap().0), client.unwrap())
    }

    /// Answers, without having read anything.
    async fn refuse(mut server: Lingering<TcpStream>) {
        server.write_all(b"refused").await.unwrap();
        server.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn who_still_sends_can_read_the_answer() {
        let (server, mut client) = connection().await;
        let refusing = tokio::spawn(refuse(server));
        for _ in 0..8 {
            client.write_all(&[0; 64 << 10]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "refused");
        drop(client);
        refusing.await.unwrap();
    }

    #[tokio::test]
    async fn who_sends_for_ever_is_cut_off() {
        let (server, mut client) = connection().await;
        let refusing = tokio::spawn(refuse(server));
        while client.write_all(&[0; 64 << 10]).await.is_ok() {}
        refusing.await.unwrap();
    }

    #[tokio::test]
    async fn who_neither_sends_nor_closes_is_cut_off() {
        let (server, _client) = connection().await;
        refuse(server).await;
    }
}
