//! A cable between a node and Redis that can be pulled, pinched and stretched.

use crate::resp;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

/// What the cable does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cable {
    Whole,
    /// Everything takes this much longer, each way.
    Slow(Duration),
    /// Nothing passes, and nobody is told: packets are dropped somewhere.
    Silent,
    /// What the node sends arrives; what Redis says does not.
    Deaf,
    /// Connections are reset, and new ones at once.
    Cut,
}

/// How connections end at which nothing happens; new ones are not touched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Closed,
    Reset,
    /// Nobody is told; whoever writes next is answered by a reset.
    Forgotten,
    /// Nobody is told, and nobody answers.
    Silent,
}

/// A command at which a connection is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Boundary {
    pub(crate) command: &'static str,
    /// So many of its name pass before it.
    pub(crate) skip: u64,
    /// Does it arrive? Its reply never does.
    pub(crate) after: bool,
    /// How the node's end ends.
    pub(crate) end: End,
}

/// The next cut of a cable, if there is to be one.
#[derive(Clone, Default)]
struct Next(Arc<Mutex<Option<Boundary>>>);

impl Next {
    fn lock(&self) -> MutexGuard<'_, Option<Boundary>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where the connection is to be cut, if that is at this command.
    fn meets(&self, command: &[u8]) -> Option<Boundary> {
        let mut next = self.lock();
        let boundary = next.as_mut().filter(|next| command.eq_ignore_ascii_case(next.command.as_bytes()))?;
        match boundary.skip.checked_sub(1) {
            Some(skip) => {
                boundary.skip = skip;
                None
            }
            None => next.take(),
        }
    }
}

/// Chunks that may be on their way. A stretched cable holds what is sent within its delay.
const UNDER_WAY: usize = 1024;

pub(crate) struct Proxy {
    port: u16,
    cable: watch::Sender<Cable>,
    /// Each connection that is there ends when this changes.
    ends: watch::Sender<End>,
    next: Next,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Leads to a port of the loopback interface. One that knows `boundaries` can be cut between two commands, and does
    /// nothing else with them.
    pub(crate) async fn start(target: u16, boundaries: bool) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (cable, state) = watch::channel(Cable::Whole);
        let ends = watch::Sender::new(End::Closed);
        let ending = ends.clone();
        let next = Next::default();
        let known = next.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                match boundaries {
                    true => tokio::spawn(carry_commands(client, target, known.clone())),
                    false => tokio::spawn(carry(client, target, state.clone(), ending.subscribe())),
                };
            }
        });
        Ok(Proxy { port, cable, ends, next, task })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, cable: Cable) {
        self.cable.send_replace(cable);
    }

    /// Cuts the connection on which this command comes.
    pub(crate) fn cut_at(&self, boundary: Boundary) {
        *self.next.lock() = Some(boundary);
    }

    /// Returns `true` if it has been cut where it was to be cut.
    pub(crate) fn was_cut(&self) -> bool {
        self.next.lock().is_none()
    }

    /// Ends every connection that is there.
    pub(crate) fn end(&self, end: End) {
        self.ends.send_replace(end);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, target: u16, mut cable: watch::Receiver<Cable>, mut ends: watch::Receiver<End>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let (one, other) = (cable.clone(), cable.clone());
        let there = pump(from_client, to_server, one, |cable| cable == Cable::Silent);
        let back = pump(from_server, to_client, other, |cable| matches!(cable, Cable::Silent | Cable::Deaf));
        tokio::select! {
            () = there => None,
            () = back => None,
            _ = cable.wait_for(|cable| *cable == Cable::Cut) => None,
            Ok(()) = ends.changed() => Some(*ends.borrow()),
        }
    };
    drop(server);
    match ended {
        Some(End::Forgotten) => {
            let _ = client.read(&mut [0]).await;
            let _ = client.set_zero_linger();
        }
        Some(End::Silent) => std::future::pending().await,
        Some(End::Reset) => drop(client.set_zero_linger()),
        Some(End::Closed) | None => {}
    }
    if *cable.borrow() == Cable::Cut {
        let _ = client.set_zero_linger();
    }
}

/// Carries bytes one way until one end closes.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut cable: watch::Receiver<Cable>,
    is_held: impl Fn(Cable) -> bool,
) {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        loop {
            let mut chunk = Vec::with_capacity(16 * 1024);
            match from.read_buf(&mut chunk).await {
                Ok(1..) => {}
                _ => return,
            }
            if sender.send((Instant::now(), chunk)).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((sent, chunk)) = under_way.recv().await {
            if cable.wait_for(|cable| !is_held(*cable)).await.is_err() {
                return;
            }
            let delay = if let Cable::Slow(delay) = *cable.borrow() { delay } else { Duration::ZERO };
            tokio::time::sleep_until(sent + delay).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

/// Carries commands one way, replies the other, until a command is come to at which the connection is to be cut.
async fn carry_commands(mut client: TcpStream, target: u16, next: Next) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let cut = {
        let (from_client, to_client) = client.split();
        let (mut from_server, to_server) = server.split();
        let back = async {
            let mut to_client = to_client;
            let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        };
        tokio::select! {
            cut = pump_commands(from_client, to_server, &next) => cut,
            () = back => None,
        }
    };
    if cut.is_some_and(|cut| cut.end == End::Reset) {
        let _ = client.set_zero_linger();
    }
    drop(client);
    // What arrives is executed, and a server that is reset might not read it.
    let _ = server.shutdown().await;
    let _ = tokio::io::copy(&mut server, &mut tokio::io::sink()).await;
}

async fn pump_commands(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, next: &Next) -> Option<Boundary> {
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let (mut whole, mut cut) = (0, None);
        while let Some((words, length)) = resp::command(&buffer[whole..]) {
            cut = next.meets(&words[0]);
            whole += if cut.is_none_or(|cut| cut.after) { length } else { 0 };
            if cut.is_some() {
                break;
            }
        }
        if to.write_all(&buffer[..whole]).await.is_err() {
            return None;
        }
        if cut.is_some() {
            return cut;
        }
        buffer.drain(..whole);
        if !matches!(from.read_buf(&mut buffer).await, Ok(1..)) {
            return None;
        }
    }
}
