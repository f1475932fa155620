//! One connection of a node: what comes in is executed in order, each command when its time has come, and what goes out
//! takes its time as well.

use crate::{
    backend::Backend,
    hub::{Came, Hub},
    link::{Cut, Link},
    random::Random,
    resp, rights,
};
use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

type Due = (Instant, Vec<u8>);

pub(crate) struct Connection {
    pub(crate) node: usize,
    number: u64,
    /// What Redis calls it.
    pub(crate) id: i64,
    backend: Mutex<Backend>,
    /// Whether messages are pushes of RESP 3.
    pub(crate) pushes: AtomicBool,
    outgoing: UnboundedSender<Due>,
    random: Mutex<(Random, Instant)>,
    hub: Arc<Hub>,
    /// The node's end is closed.
    closed: CancellationToken,
    how: OnceLock<Cut>,
}

impl Connection {
    /// Runs a command on Redis's own connection.
    pub(crate) fn run(&self, words: &[Vec<u8>]) -> Vec<u8> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner).run(words)
    }

    /// Sends something to the node, behind everything that was sent before.
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let (random, last) = &mut *random;
        *last = (*last).max(Instant::now() + self.hub.weather.delay(random));
        let _ = self.outgoing.send((*last, bytes));
    }

    pub(crate) fn is_pushed(&self) -> bool {
        self.pushes.load(Ordering::Relaxed)
    }

    pub(crate) fn cut(&self, how: Cut) {
        let _ = self.how.set(how);
        self.closed.cancel();
    }

    fn was_cut(&self) -> Option<Cut> {
        self.how.get().copied()
    }

    fn delay(&self) -> Duration {
        self.hub.weather.delay(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} ({})", self.node, self.number)
    }
}

/// Serves a connection until it is closed.
pub(crate) async fn serve(
    hub: Arc<Hub>,
    node: usize,
    number: u64,
    stream: UnixStream,
    mut backend: Backend,
    random: Random,
) {
    let id = backend.run(&["CLIENT", "ID"]);
    let id = String::from_utf8_lossy(&id[1..]).trim().parse().expect("a number");
    backend.run(&rights::login(node));
    let (outgoing, due) = mpsc::unbounded_channel();
    let connection = Arc::new(Connection {
        node,
        number,
        id,
        backend: Mutex::new(backend),
        pushes: AtomicBool::new(false),
        outgoing,
        random: Mutex::new((random, Instant::now())),
        hub: hub.clone(),
        closed: CancellationToken::new(),
        how: OnceLock::new(),
    });
    hub.admit(&connection);
    let (read, write) = stream.into_split();
    let (arrives, arrived) = mpsc::unbounded_channel();
    tokio::spawn(take_in(connection.clone(), read, arrives));
    tokio::spawn(give_out(connection.clone(), write, due));
    execute(&connection, arrived).await;
    hub.forget(id);
    if connection.was_cut().is_none() {
        connection.closed.cancel();
    }
}

async fn take_in(connection: Arc<Connection>, mut read: OwnedReadHalf, arrives: UnboundedSender<Vec<u8>>) {
    let taken = async {
        loop {
            let mut bytes = Vec::with_capacity(16 * 1024);
            let count = read.read_buf(&mut bytes).await;
            if !count.is_ok_and(|count| count > 0) || arrives.send(bytes).is_err() {
                return;
            }
        }
    };
    connection.closed.run_until_cancelled(taken).await;
}

async fn give_out(connection: Arc<Connection>, mut write: OwnedWriteHalf, mut due: UnboundedReceiver<Due>) {
    let given = async {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            connection.hub.passable(connection.node).await;
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    connection.closed.run_until_cancelled(given).await;
}

async fn execute(connection: &Arc<Connection>, mut arrived: UnboundedReceiver<Vec<u8>>) {
    let hub = &connection.hub;
    let mut buffer = Vec::new();
    loop {
        while let Some((words, length)) = resp::command(&buffer) {
            buffer.drain(..length);
            sleep(connection.delay()).await;
            if !passes(connection).await {
                return;
            }
            hub.runs().await;
            if connection.was_cut() == Some(Cut::Lost) || !hub.knows(connection.id) {
                return;
            }
            let boundary = hub.boundary(connection.node, &words);
            if let Some(boundary) = boundary.as_ref().filter(|boundary| !boundary.after) {
                hub.trace.note(format_args!("{connection} is cut ({:?}) before {}", boundary.how, boundary.command));
                connection.cut(Cut::Lost);
                return;
            }
            let came = hub.execute(connection, &words);
            if let Some(boundary) = boundary {
                hub.trace.note(format_args!("{connection} is cut ({:?}) after {}", boundary.how, boundary.command));
                connection.cut(boundary.how);
                if boundary.how == Cut::Lost {
                    return;
                }
            }
            match came {
                Came::Reply(reply) => connection.send(reply),
                Came::Waits(mut answered, time) => {
                    let time = time.map_or(Duration::MAX, Duration::from_millis);
                    let ended = timeout(time, wait(connection, &mut answered, &mut arrived, &mut buffer)).await;
                    match ended {
                        Ok(Some(reply)) => connection.send(reply),
                        Ok(None) => return,
                        Err(_) => connection.send(b"*-1\r\n".to_vec()),
                    }
                }
            }
        }
        match arrived.recv().await {
            Some(bytes) => buffer.extend(bytes),
            None => {
                stays(connection).await;
                return;
            }
        }
    }
}

/// Waits until what was sent may arrive; `false` where it never will.
async fn passes(connection: &Arc<Connection>) -> bool {
    match connection.was_cut() {
        Some(Cut::Lost) => false,
        Some(Cut::Arrives | Cut::HalfOpen) => true,
        None => {
            let lost = async {
                connection.closed.cancelled().await;
                connection.was_cut() == Some(Cut::Lost)
            };
            tokio::select! {
                biased;
                () = connection.hub.passable(connection.node) => true,
                true = lost => false,
            }
        }
    }
}

/// Returns when Redis knows that the node has closed the connection.
async fn stays(connection: &Arc<Connection>) {
    match connection.was_cut() {
        Some(Cut::HalfOpen) => std::future::pending().await,
        Some(_) => {}
        // That a connection was closed is told over the way itself.
        None if matches!(connection.hub.link(connection.node), Link::Silent | Link::Gone) => {
            connection.hub.passable(connection.node).await;
        }
        None => {}
    }
}

/// Waits for the end of a read; `None` where the connection is closed first.
async fn wait(
    connection: &Arc<Connection>,
    answered: &mut tokio::sync::oneshot::Receiver<Vec<u8>>,
    arrived: &mut UnboundedReceiver<Vec<u8>>,
    buffer: &mut Vec<u8>,
) -> Option<Vec<u8>> {
    let closed = async {
        while let Some(bytes) = arrived.recv().await {
            buffer.extend(bytes);
        }
        stays(connection).await;
    };
    tokio::select! {
        biased;
        answer = answered => answer.ok(),
        () = closed => None,
    }
}
