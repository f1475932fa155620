//! Serves a router until it is told to stop, and then stops in a known time.

use axum::{Router, serve::Listener};
use std::{
    future::{Future, IntoFuture, pending},
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Serves `router` until `shutdown` is ready: then accepts nothing new, lets requests in flight end within `grace`, and
/// closes what is still open.
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
    let listener = Closing { listener, closed: closed.clone() };
    let stop = {
        let stopping = stopping.clone();
        async move {
            shutdown.await;
            stopping.cancel();
        }
    };
    let mut server = pin!(axum::serve(listener, router).with_graceful_shutdown(stop).into_future());
    let grace = async {
        stopping.cancelled().await;
        tokio::time::sleep(grace).await;
        closed.cancel();
        pending::<()>().await
    };
    tokio::select! {
        ended = &mut server => ended,
        () = grace => Ok(()),
    }
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
        (Connection { io, closed: Box::pin(self.closed.clone().cancelled_owned()) }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

struct Connection<T> {
    io: T,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
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
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.open(task)?.poll_read(task, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.open(task)?.poll_write(task, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open(task)?.poll_write_vectored(task, slices)
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
