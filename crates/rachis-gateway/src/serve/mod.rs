//! Serves a router until it is told to stop, and then stops in a known time.

pub(crate) mod listen;
pub(crate) mod monitor;
pub(crate) mod signal;

use crate::{
    http::{
        framing::{self, Ambiguity, Scanner},
        heads::Heads,
    },
    realtime::{self, Stopping},
    serve::signal::{Signal, Watch},
};
use axum::{
    body::{Body, HttpBody},
    extract::{ConnectInfo, Request},
    response::Response,
    serve::Listener,
};
use futures_util::{FutureExt, future::BoxFuture};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rachis_config::Config;
use std::{
    any::Any,
    convert::Infallible,
    future::{Future, IntoFuture, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    time::Sleep,
};
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

/// How long a client may take not a single byte of what is written to it. Without an end, one that stopped reading would
/// hold its connection, and what waits in it, as long as it likes.
const STALLED: Duration = Duration::from_secs(60);
/// How long a client may take to send the head of a request, from its first byte on, however long it may be idle before.
pub(super) const HEAD: Duration = Duration::from_secs(75);

/// Serves a [`Gateway`](crate::Gateway), an axum router or any other tower service over HTTP/1.1.
///
/// It runs until the future of [`with_graceful_shutdown`](Serve::with_graceful_shutdown) is ready, and without one for ever.
/// A connection that is idle for longer than [`keep_alive`](Serve::keep_alive) is closed, and so is one whose next head
/// takes more than 75 seconds, or that takes nothing of its answer for 60 seconds.
///
/// Routes find the address of the connection by axum's `ConnectInfo<SocketAddr>`, where the listener has such addresses.
///
/// A request without one header `Host`, with another `Transfer-Encoding` than `chunked`, or with that and a
/// `Content-Length`, is answered with 400, since a proxy in front might have read it otherwise.
///
/// ```no_run
/// use rachis::gateway::{Gateway, serve};
///
/// # async fn run(node: rachis::Node) -> rachis::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3030").await?;
/// serve(listener, Gateway::new(&node)).config(node.config()).with_graceful_shutdown(rachis::signal()).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// The future fails when the listener's address cannot be used.
pub fn serve<L, S>(listener: L, service: S) -> Serve<L, S>
where
    L: Listener,
    L::Addr: std::fmt::Debug + 'static,
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
{
    let defaults = Config::default();
    Serve {
        listener,
        service,
        shutdown: Box::pin(std::future::pending()),
        grace: defaults.shutdown.grace,
        keep_alive: defaults.gateway.keep_alive,
    }
}

/// A server that has not begun: configure it, then `.await` it. Made by [`serve()`].
#[must_use = "a server does nothing until it is awaited"]
pub struct Serve<L, S> {
    listener: L,
    service: S,
    shutdown: BoxFuture<'static, ()>,
    grace: Duration,
    keep_alive: Duration,
}

impl<L, S> Serve<L, S> {
    /// Stops when `signal` is ready: then nothing new is accepted, sockets are told to go, requests in flight end within
    /// the [`grace`](Serve::grace), and what is still open is closed.
    pub fn with_graceful_shutdown(self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        Serve { shutdown: Box::pin(signal), ..self }
    }

    /// How long requests in flight may take when the server stops; 30 s by default.
    pub fn grace(self, grace: Duration) -> Self {
        Serve { grace, ..self }
    }

    /// How long a connection may be idle; 75 s by default. With zero, each request has a connection of its own.
    pub fn keep_alive(self, keep_alive: Duration) -> Self {
        Serve { keep_alive, ..self }
    }

    /// Takes both times from a configuration: `shutdown.grace` and `gateway.keep_alive`.
    pub fn config(self, config: &Config) -> Self {
        self.grace(config.shutdown.grace).keep_alive(config.gateway.keep_alive)
    }
}

impl<L, S> IntoFuture for Serve<L, S>
where
    L: Listener,
    L::Addr: std::fmt::Debug + 'static,
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
{
    type Output = io::Result<()>;
    type IntoFuture = BoxFuture<'static, io::Result<()>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

async fn run<L, S>(server: Serve<L, S>) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug + 'static,
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
{
    let Serve { listener, service, shutdown, grace, keep_alive } = server;
    tracing::debug!(address = ?listener.local_addr()?, "listening");
    let stopping = Signal::new();
    let closed = Signal::new();
    // Also when the future of the server is dropped.
    let _stop = stopping.at_end();
    let (busy, mut idle) = mpsc::channel(1);
    let told = Stopping { token: stopping.token().clone(), busy: busy.downgrade() };
    let connections = TaskTracker::new();
    tokio::select! {
        () = accept(Closing { listener, closed: closed.clone() }, service, &told, &connections, &stopping, keep_alive) => {}
        () = shutdown => {}
    }
    stopping.raise();
    drop(busy);
    connections.close();
    let served = async {
        connections.wait().await;
        // Nothing is ever sent: this ends when all sockets are closed.
        let _: Option<()> = idle.recv().await;
    };
    // Connections that are open after the grace are closed.
    let _ = tokio::time::timeout(grace, served).await;
    closed.raise();
    Ok(())
}

/// Takes connections for as long as it is polled.
async fn accept<L, S>(
    mut listener: Closing<L>,
    service: S,
    told: &Stopping,
    connections: &TaskTracker,
    stopping: &Signal,
    keep_alive: Duration,
) where
    L: Listener,
    L::Addr: 'static,
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
{
    loop {
        let (io, address) = listener.accept().await;
        let peer = (&address as &dyn Any).downcast_ref::<SocketAddr>().copied();
        connections.spawn(answer(io, peer, service.clone(), told.clone(), stopping.watch(), keep_alive));
    }
}

/// Answers the requests of one connection.
///
/// Not left to axum, which gives hyper no timer: a client that sends its headers byte by byte, or none, would stay
/// forever.
async fn answer<T, S>(
    mut io: Connection<T>,
    peer: Option<SocketAddr>,
    service: S,
    told: Stopping,
    mut stopping: Watch,
    keep_alive: Duration,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request, Response = Response, Error = Infallible> + Clone,
{
    let heads = Heads::new();
    let mut alarm = heads.alarm();
    if keep_alive > HEAD {
        io.heads = Some(heads.clone());
    }
    let ambiguity = io.ambiguity.clone();
    let mut http = http1::Builder::new();
    let idle = if keep_alive.is_zero() { HEAD } else { keep_alive };
    http.timer(heads).header_read_timeout(idle).keep_alive(!keep_alive.is_zero());
    let service = service_fn(|request| match framing::refuse(&request, &ambiguity) {
        Some(refused) => std::future::ready(Ok(refused)).left_future(),
        None => service.clone().oneshot(opened(request, peer, &told)).right_future(),
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), service).with_upgrades());
    let mut leaving = false;
    let ended = poll_fn(|task| {
        if !leaving && stopping.poll(task).is_ready() {
            leaving = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(task) {
            // It has waited for a head for long enough, and sees that when it looks.
            Poll::Pending if alarm.poll(task).is_ready() => connection.as_mut().poll(task),
            outcome => outcome,
        }
    });
    if let Err(error) = ended.await {
        tracing::trace!(%error, "a connection broke off");
    }
}

/// A request as services take it, with the address of its connection. Only requests of sockets
/// get the signal that stops the server.
fn opened(request: hyper::Request<Incoming>, peer: Option<SocketAddr>, told: &Stopping) -> Request {
    let mut request = request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(body) });
    if let Some(peer) = peer {
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    if realtime::is_meant(request.uri()) {
        request.extensions_mut().insert(told.clone());
    }
    request
}

/// A listener whose connections break off when `closed` is cancelled. The server by itself waits for its connections as
/// long as they last, so a client that never finishes could hold a process that should stop.
struct Closing<L> {
    listener: L,
    closed: Signal,
}

impl<L: Listener> Listener for Closing<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, address) = self.listener.accept().await;
        (Connection::new(io, self.closed.watch()), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

struct Connection<T> {
    io: T,
    closed: Watch,
    /// Runs while a write makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What is told when something comes, where a connection may be idle for longer than a head may take.
    heads: Option<Heads>,
    /// What was seen in the bytes that came, and what looks at them.
    ambiguity: Ambiguity,
    scanner: Scanner,
}

impl<T> Connection<T> {
    fn new(io: T, closed: Watch) -> Self {
        let ambiguity = Ambiguity::default();
        Connection { io, closed, stalled: None, heads: None, scanner: Scanner::new(ambiguity.clone()), ambiguity }
    }
}

impl<T: Unpin> Connection<T> {
    /// The connection, unless it is to be closed; the task is woken when that happens.
    fn open(self: Pin<&mut Self>, task: &mut Context<'_>) -> io::Result<Pin<&mut T>> {
        let this = self.get_mut();
        match this.closed.poll(task) {
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
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = self.as_mut().open(task)?.poll_read(task, buffer);
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            self.scanner.read(read);
            if let Some(heads) = &self.heads {
                heads.begun(HEAD);
            }
        }
        outcome
    }
}

// Not vectored: the kernel takes head and body of a small answer faster as one piece than as two, and copying a large one is
// nothing beside making it.
impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = self.as_mut().open(task)?.poll_write(task, bytes);
        self.progress(task, outcome)
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(task)?.poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };

    fn connection(io: DuplexStream) -> Connection<DuplexStream> {
        Connection::new(io, Signal::new().watch())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_for_too_long_is_cut_off() {
        let (ours, _theirs) = duplex(4);
        let started = Instant::now();
        let error = connection(ours).write_all(b"too much").await.unwrap_err();
        assert_eq!((error.kind(), started.elapsed().as_secs()), (io::ErrorKind::TimedOut, STALLED.as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_little_by_little_is_not() {
        let (ours, mut theirs) = duplex(1);
        let slow = async {
            for _ in 0..8 {
                tokio::time::sleep(STALLED - Duration::from_secs(1)).await;
                theirs.read_u8().await.unwrap();
            }
        };
        let mut ours = connection(ours);
        let (written, ()) = tokio::join!(ours.write_all(b"too much"), slow);
        written.unwrap();
    }

    /// Connections that are in memory, so that time can be skipped.
    struct Pipes(mpsc::Receiver<DuplexStream>);

    impl Listener for Pipes {
        type Io = DuplexStream;
        type Addr = ();

        async fn accept(&mut self) -> (DuplexStream, ()) {
            match self.0.recv().await {
                Some(pipe) => (pipe, ()),
                None => std::future::pending().await,
            }
        }

        fn local_addr(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A connection to a server that answers `yes`.
    async fn connect() -> DuplexStream {
        connect_to(HEAD).await
    }

    async fn connect_to(keep_alive: Duration) -> DuplexStream {
        let (ours, theirs) = duplex(1024);
        let (accept, accepted) = mpsc::channel(1);
        let router = Router::new().fallback(|| async { "yes" });
        tokio::spawn(serve(Pipes(accepted), router).keep_alive(keep_alive).into_future());
        accept.send(theirs).await.unwrap();
        ours
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_byte_by_byte_has_an_end() {
        let mut client = connect().await;
        let started = Instant::now();
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        while client.write_all(b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(started.elapsed().as_secs().abs_diff(HEAD.as_secs()) / 2, 0, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_has_an_end() {
        let mut client = connect().await;
        let started = Instant::now();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(started.elapsed().as_secs(), HEAD.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_now_and_then_stays() {
        let mut client = connect().await;
        for _ in 0..4 {
            tokio::time::sleep(HEAD - Duration::from_secs(5)).await;
            client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"yes") {
                assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_be_idle_as_long_as_is_said_and_no_head_takes_longer_than_before() {
        let ten_minutes = Duration::from_secs(600);
        let started = Instant::now();
        assert_eq!(connect_to(ten_minutes).await.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(started.elapsed().as_secs(), ten_minutes.as_secs());

        let mut slow = connect_to(ten_minutes).await;
        tokio::time::sleep(ten_minutes - HEAD * 2).await;
        let started = Instant::now();
        while slow.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(started.elapsed().as_secs().abs_diff(HEAD.as_secs()) / 2, 0, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn without_keep_alive_each_request_has_a_connection_of_its_own() {
        let mut client = connect_to(Duration::ZERO).await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("connection: close") && answer.ends_with("yes"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_can_be_read_in_two_ways_is_refused_and_ends_its_connection() {
        for head in [
            "",
            "host: a\r\nhost: b\r\n",
            "host: a\r\ntransfer-encoding: gzip, chunked\r\n",
            "host: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "host: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n",
        ] {
            let mut client = connect().await;
            client.write_all(format!("POST / HTTP/1.1\r\n{head}\r\n0\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.matches("HTTP/").count() == 1, "{head}: {answer}");
        }
    }
}
