//! The body of a stream that is followed: one JSON value on each line, until either side ends it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::{mpsc, watch};

/// Ends cleanly, with the last chunk of chunked encoding, when the agent stops. Dropping it, which
/// the server does when the client is gone, drops the receiver and thereby ends the filter.
pub(super) struct Lines {
    lines: mpsc::Receiver<Bytes>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

// === impl Lines ===

impl Lines {
    pub(super) fn new(lines: mpsc::Receiver<Bytes>, stopped: watch::Receiver<bool>) -> Self {
        Self { lines, stopped: Box::pin(super::until(stopped)) }
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Records first: what is already here is still delivered when the agent stops.
        if let Poll::Ready(line) = self.lines.poll_recv(context) {
            return Poll::Ready(line.map(|line| Ok(Frame::data(line))));
        }
        self.stopped.as_mut().poll(context).map(|()| None)
    }
}
