//! Stands between nodes and Redis, and spoils the way.

use rachis_testing::ThrowawayRedis;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What becomes of the bytes on their way.
#[derive(Clone, Copy)]
enum Way {
    Open,
    /// A connection that is to bring these bytes to Redis is cut before they arrive.
    CutAt(&'static [u8]),
    /// A connection that is to bring both of these to Redis is cut between them.
    /// So is one that is to bring the bytes behind them.
    CutBetween([&'static [u8]; 2], Option<&'static [u8]>),
    /// Nothing comes through in either direction, and no connection is closed.
    Hole,
}

/// How a connection ends at which nothing happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It is closed.
    Closed,
    /// It is reset.
    Reset,
    /// Nobody is told; whoever writes next is answered by a reset, as by a balancer that has forgotten a connection.
    ResetAtNextWrite,
    /// Nobody is told, and nobody answers.
    Silent,
}

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    cuts: Arc<AtomicUsize>,
    /// Which connections have ended, by their number, and how.
    ended: watch::Sender<Option<(usize, End)>>,
    made: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn before(redis: &ThrowawayRedis) -> Proxy {
        Proxy::before_port(redis.port()).await
    }

    pub(crate) async fn before_port(to: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = watch::Sender::new(Way::Open);
        let ways = way.subscribe();
        let cuts = Arc::<AtomicUsize>::default();
        let counted = cuts.clone();
        let ended = watch::Sender::new(None);
        let ends = ended.subscribe();
        let made = Arc::<AtomicUsize>::default();
        let count = made.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::spawn(connect(near, to, ways.clone(), counted.clone(), number, ends.clone()));
            }
        });
        Proxy { port, way, cuts, ended, made }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were made through it.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// Ends every connection that there is; those made from now on work.
    pub(crate) fn end(&self, how: End) {
        self.ended.send_replace(Some((self.made.load(Ordering::SeqCst), how)));
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn cut_at(&self, bytes: &'static [u8]) {
        self.way.send_replace(Way::CutAt(bytes));
    }

    /// Cuts connections after the first, and before the second, of two commands that are on their way together.
    pub(crate) fn cut_between(&self, commands: [&'static [u8]; 2]) {
        self.way.send_replace(Way::CutBetween(commands, None));
    }

    /// The same, and cuts connections that are made after that before `bytes` come through.
    #[allow(dead_code)]
    pub(crate) fn cut_between_and_at(&self, commands: [&'static [u8]; 2], bytes: &'static [u8]) {
        self.way.send_replace(Way::CutBetween(commands, Some(bytes)));
    }

    /// How many connections were cut so.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }

    /// What goes in now is swallowed for good, on connections that were there as well.
    pub(crate) fn swallow(&self) {
        self.way.send_replace(Way::Hole);
    }

    /// Connections made from now on work; those that lost bytes stay silent.
    pub(crate) fn open(&self) {
        self.way.send_replace(Way::Open);
    }
}

async fn connect(
    mut near: TcpStream,
    to: u16,
    way: watch::Receiver<Way>,
    cuts: Arc<AtomicUsize>,
    number: usize,
    mut ends: watch::Receiver<Option<(usize, End)>>,
) {
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let end = {
        let ((from_near, to_near), (from_far, to_far)) = (near.split(), far.split());
        tokio::select! {
            () = pass(from_far, to_near, way.clone(), cuts.clone()) => return,
            () = pass(from_near, to_far, way, cuts) => return,
            Ok(end) = ends.wait_for(|end| end.is_some_and(|(last, _)| number <= last)) => *end,
        }
    };
    drop(far);
    match end {
        Some((_, End::Reset)) => near.set_zero_linger().unwrap(),
        Some((_, End::ResetAtNextWrite)) => {
            let _ = near.read(&mut [0]).await;
            near.set_zero_linger().unwrap();
        }
        Some((_, End::Silent)) => std::future::pending().await,
        Some((_, End::Closed)) | None => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: watch::Receiver<Way>,
    cuts: Arc<AtomicUsize>,
) {
    let mut buffer = vec![0; 1 << 16];
    let mut lost = false;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let now = *way.borrow();
        match now {
            Way::CutAt(bytes) if buffer[..count].windows(bytes.len()).any(|part| part == bytes) => {
                cuts.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Way::CutBetween(_, Some(bytes)) if buffer[..count].windows(bytes.len()).any(|part| part == bytes) => {
                cuts.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Way::CutBetween(commands, _) => {
                let places = commands.map(|bytes| buffer[..count].windows(bytes.len()).position(|part| part == bytes));
                let [Some(one), Some(two)] = places else {
                    if to.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                    continue;
                };
                // A command begins with a line that says of how many parts it is.
                let later = one.max(two);
                let begin = buffer[..later].iter().rposition(|byte| *byte == b'*').unwrap_or(later);
                let _ = to.write_all(&buffer[..begin]).await;
                let _ = to.flush().await;
                cuts.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Way::Hole => lost = true,
            _ if lost => {}
            _ if to.write_all(&buffer[..count]).await.is_err() => return,
            _ => {}
        }
    }
}
