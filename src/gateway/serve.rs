//! Serves a router until it is told to stop, and then stops in a known time.

use super::realtime::Stopping;
use axum::{Extension, Router, serve::Listener};
use std::{
    future::{Future, IntoFuture},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    time::Sleep,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a client may take not a single byte of what is written to it. Without an end, one that stopped reading would
/// hold its connection, and what waits in it, as long as it likes.
const STALLED: Duration = Duration::from_secs(60);

/// Serves `router` until `shutdown` is ready: then accepts nothing new, tells sockets to go, lets requests in flight end
/// within `grace`, and closes what is still open.
///
/// # Errors
/// When the listener's address cannot be used.
pub async fn serve<L: Listener>(
    listener: L,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()>
where
    L::Addr: std::fmt::Debug,
{
    let (stopping, closed) = (CancellationToken::new(), CancellationToken::new());
    let (busy, mut idle) = mpsc::channel(1);
    let router = router.layer(Extension(Stopping { token: stopping.clone(), busy: busy.downgrade() }));
    let listener = Closing { listener, closed: closed.clone() };
    let stop = {
        let stopping = stopping.clone();
        async move {
            shutdown.await;
            stopping.cancel();
        }
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(stop).into_future();
    let served = async {
        let ended = server.await;
        stopping.cancel();
        drop(busy);
        // Nothing is ever sent: this ends when all sockets are closed.
        let _: Option<()> = idle.recv().await;
        ended
    };
    let late = async {
        stopping.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    let ended = tokio::select! {
        ended = served => ended,
        () = late => Ok(()),
    };
    closed.cancel();
    ended
}

/// A listener whose connections break off when `closed` is cancelled. The server by itself waits for its connections as
/// long as they last, so a client that never finishes could hold a process that should stop.
struct Closing<L> {
    listener: L,
    closed: CancellationToken,
}

impl<L: Listener> Listener for Closing<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, address) = self.listener.accept().await;
        (Connection { io, closed: Box::pin(self.closed.clone().cancelled_owned()), stalled: None }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

struct Connection<T> {
    io: T,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs while a write makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T: Unpin> Connection<T> {
    /// The connection, unless it is to be closed; the task is woken when that happens.
    fn open(self: Pin<&mut Self>, task: &mut Context<'_>) -> io::Result<Pin<&mut T>> {
        let this = self.get_mut();
        match this.closed.as_mut().poll(task) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server is shutting down")),
            Poll::Pending => Ok(Pin::new(&mut this.io)),
        }
    }

    /// The outcome of a write, which is an error when it has waited for too long.
    fn progress<R>(&mut self, task: &mut Context<'_>, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALLED)));
        stalled.as_mut().poll(task).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.open(task)?.poll_read(task, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = self.as_mut().open(task)?.poll_write(task, bytes);
        self.progress(task, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.as_mut().open(task)?.poll_write_vectored(task, slices);
        self.progress(task, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(task)?.poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(task)
    }
}
