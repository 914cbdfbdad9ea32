//! Connections that cannot be held open for nothing.

use std::{
    io::{self, ErrorKind, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, sleep_until},
};

/// How long a client may take to send its request's head. A deadline and not an idle time, which
/// one byte now and then would reset.
const HEAD: Duration = Duration::from_secs(5);

/// What is done when a client is cut off.
pub(super) type CutOff = Arc<dyn Fn() + Send + Sync>;

/// A listener that accepts no more than so many connections at a time.
pub(super) struct Limited {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Duration,
    cut_off: CutOff,
}

/// A connection, its place among them, and its deadlines: for its request's head, and for the next
/// bytes of the answer to be taken.
pub(super) struct Connection {
    stream: TcpStream,
    /// Gone once the answer has begun: how long that takes is not the client's doing.
    deadline: Option<Pin<Box<Sleep>>>,
    /// There while the client takes nothing of what is to be written. A stream that has nothing to
    /// write may be idle for as long as it likes.
    stuck: Option<Pin<Box<Sleep>>>,
    patience: Duration,
    cut_off: CutOff,
    _place: Option<OwnedSemaphorePermit>,
}

// === impl Limited ===

impl Limited {
    /// A client that takes nothing of its answer for as long as `patience` is cut off.
    pub(super) fn new(
        listener: TcpListener,
        places: usize,
        patience: Duration,
        cut_off: CutOff,
    ) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(places)), patience, cut_off }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Before accepting: connections beyond the limit wait in the kernel's queue, where they
        // cost us nothing. The semaphore is never closed, so there is a place in the end.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let deadline = Some(Box::pin(sleep_until(Instant::now() + HEAD)));
        let (patience, cut_off) = (self.patience, Arc::clone(&self.cut_off));
        (Connection { stream, deadline, stuck: None, patience, cut_off, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

// === impl Connection ===

impl Connection {
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(context).map(|()| ErrorKind::TimedOut.into()),
            None => Poll::Pending,
        }
    }

    /// Ends a write that makes no progress for too long.
    fn poll_stuck<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stuck.as_mut().poll(context));
        self.stuck = None;
        (self.cut_off)();
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_deadline(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.deadline = None;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.poll_stuck(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.deadline = None;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.poll_stuck(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

    use super::*;

    /// Long enough for a loaded machine, and never waited for where all is well.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// More than the kernel keeps for a reader that does not read.
    const ANSWER: usize = 64 << 20;

    /// A listener with one place that cuts off after `patience`, its address, and how often it did.
    async fn limited(patience: Duration) -> (Limited, SocketAddr, Arc<AtomicU64>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let cut_off = Arc::new(move || _ = counted.fetch_add(1, Ordering::Relaxed));
        (Limited::new(listener, 1, patience, cut_off), address, count)
    }

    #[tokio::test]
    async fn a_client_that_never_reads_is_cut_off() {
        let (listener, address, count) = limited(Duration::from_millis(300)).await;
        let router = Router::new().route("/", get(|| async { vec![0_u8; ANSWER] }));
        let server = tokio::spawn(async { axum::serve(listener, router).await });
        let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let mut stuck = TcpStream::connect(address).await.unwrap();
        stuck.write_all(request.as_bytes()).await.unwrap();
        // There is one place, which it gives back only when it is cut off.
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, next.read_to_end(&mut answer)).await.expect("no answer").unwrap();
        assert!(answer.len() > ANSWER, "{} bytes", answer.len());
        assert_eq!(count.load(Ordering::Relaxed), 1);
        server.abort();
    }

    #[tokio::test]
    async fn a_stream_with_nothing_to_write_may_be_idle() {
        let patience = Duration::from_millis(50);
        let (mut listener, address, count) = limited(patience).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut server, _) = listener.accept().await;
        for byte in [1, 2] {
            server.write_all(&[byte]).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), byte);
            sleep(2 * patience).await;
        }
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
