//! A cable between a node and Redis that can be pulled, pinched and stretched.

use std::{io, time::Duration};
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

/// Chunks that may be on their way. A stretched cable holds what is sent within its delay.
const UNDER_WAY: usize = 1024;

pub(crate) struct Proxy {
    port: u16,
    cable: watch::Sender<Cable>,
    /// Each connection that is there ends when this changes.
    ends: watch::Sender<End>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Leads to a port of the loopback interface.
    pub(crate) async fn start(target: u16) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (cable, state) = watch::channel(Cable::Whole);
        let ends = watch::Sender::new(End::Closed);
        let ending = ends.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, state.clone(), ending.subscribe()));
            }
        });
        Ok(Proxy { port, cable, ends, task })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, cable: Cable) {
        self.cable.send_replace(cable);
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
