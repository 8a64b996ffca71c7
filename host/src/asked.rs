//! Bodies of messages, and what asking them for more came to.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// What asking a body for more came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// There is nothing yet.
    Pending,
    /// It gave a part, or failed.
    Part,
    /// Nothing follows.
    End,
}

/// The same body, which says each time what asking it came to.
pub(crate) fn told(body: Body, tell: impl Fn(Asked) + Send + Unpin + 'static) -> Body {
    Body::new(Told { body, tell })
}

struct Told<F> {
    body: Body,
    tell: F,
}

impl<F: Fn(Asked) + Unpin> HttpBody for Told<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        (self.tell)(match &frame {
            Poll::Pending => Asked::Pending,
            Poll::Ready(Some(_)) if !self.body.is_end_stream() => Asked::Part,
            Poll::Ready(_) => Asked::End,
        });
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
