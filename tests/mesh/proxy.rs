//! Stands between nodes and Redis, and spoils the way.

use rachis::testing::ThrowawayRedis;
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
    /// Nothing comes through in either direction, and no connection is closed.
    Hole,
}

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn before(redis: &ThrowawayRedis) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), redis.port());
        let way = watch::Sender::new(Way::Open);
        let ways = way.subscribe();
        let cuts = Arc::<AtomicUsize>::default();
        let counted = cuts.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connect(near, to, ways.clone(), counted.clone()));
            }
        });
        Proxy { port, way, cuts }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn cut_at(&self, bytes: &'static [u8]) {
        self.way.send_replace(Way::CutAt(bytes));
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

async fn connect(near: TcpStream, to: u16, way: watch::Receiver<Way>, cuts: Arc<AtomicUsize>) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    let back = tokio::spawn(pass(from_far, to_near, way.clone(), cuts.clone()));
    pass(from_near, to_far, way, cuts).await;
    back.abort();
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
            Way::Hole => lost = true,
            _ if lost => {}
            _ if to.write_all(&buffer[..count]).await.is_err() => return,
            _ => {}
        }
    }
}
