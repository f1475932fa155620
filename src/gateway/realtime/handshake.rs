//! Which requests may open a socket, and when all sockets close.

use super::{Realtime, relay};
use crate::{
    Error,
    gateway::{params, reply},
};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::Uri;
use socketioxide::SocketIo;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

/// Told by the server that is about to stop to everything that keeps connections open.
#[derive(Clone)]
pub(in crate::gateway) struct Stopping {
    pub(in crate::gateway) token: CancellationToken,
    /// The server waits until nobody holds this any more.
    pub(in crate::gateway) busy: mpsc::WeakSender<()>,
}

/// What every request of Socket.IO passes. The sockets' handlers know nothing of it, so it goes with its router.
pub(super) struct Door {
    realtime: Arc<Realtime>,
    io: SocketIo,
    started: AtomicBool,
    stopping: OnceLock<()>,
    closed: Mutex<bool>,
}

/// A place among the sockets that may be open. It lies with the request that opened one and is free when that is gone.
#[derive(Clone)]
struct Seat {
    _taken: Arc<Taken>,
}

/// One of the seats that are counted.
struct Taken(Arc<AtomicUsize>);

impl Taken {
    /// A seat, if fewer than `most` are taken. The limit may have been lowered: whoever sits stays.
    fn one_of(seats: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let next = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = seats.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.is_ok().then(|| Taken(seats.clone()))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The headers of a handshake, read once.
#[derive(Clone)]
pub(super) struct Headers(pub(super) Arc<BTreeMap<String, String>>);

impl Door {
    pub(super) fn new(realtime: Arc<Realtime>, io: SocketIo) -> Self {
        Door { realtime, io, started: AtomicBool::new(false), stopping: OnceLock::new(), closed: Mutex::new(false) }
    }

    /// Starts what runs beside the sockets. Outside of a runtime that is done by the first handshake.
    pub(super) fn start(self: &Arc<Self>) {
        if tokio::runtime::Handle::try_current().is_err() || self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        relay::start(&self.realtime);
        let (closing, ended) = (self.realtime.node.closing(), self.realtime.ended.clone());
        let door = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::select! {
                () = closing => close(&door).await,
                () = ended.cancelled() => {}
            }
        });
    }

    fn close_with(self: &Arc<Self>, stopping: &Stopping) {
        if self.stopping.set(()).is_err() {
            return;
        }
        let (door, ended) = (Arc::downgrade(self), self.realtime.ended.clone());
        let (token, busy) = (stopping.token.clone(), stopping.busy.upgrade());
        tokio::spawn(async move {
            tokio::select! {
                () = token.cancelled() => close(&door).await,
                () = ended.cancelled() => {}
            }
            drop(busy);
        });
    }

    fn handshake(&self, request: &mut Request) -> Result<(), Error> {
        if self.realtime.is_closed() {
            return Err(Error::unavailable("The server is shutting down"));
        }
        let headers = params::headers(request.headers())?;
        let most = self.realtime.node.live().gateway.max_sockets;
        let taken = Taken::one_of(&self.realtime.seats, most)
            .ok_or_else(|| Error::unavailable("Too many sockets are open: try again later"))?;
        request.extensions_mut().insert(Seat { _taken: Arc::new(taken) });
        request.extensions_mut().insert(Headers(Arc::new(headers)));
        Ok(())
    }
}

/// Closes every socket. Whoever comes second waits for the first.
async fn close(door: &Weak<Door>) {
    let Some(door) = door.upgrade() else { return };
    let mut closed = door.closed.lock().await;
    if !std::mem::replace(&mut *closed, true) {
        door.realtime.close();
        let sockets = door.io.sockets();
        door.io.close().await;
        // Their transports are gone, which socketioxide does not tell them once its namespaces are closed.
        sockets.into_iter().for_each(|socket| drop(socket.disconnect()));
    }
}

/// Lets requests of open sockets pass, and handshakes as long as there is room.
pub(super) async fn admit(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    door.start();
    if let Some(stopping) = request.extensions().get::<Stopping>() {
        door.close_with(&stopping.clone());
    }
    if !has_session(request.uri())
        && let Err(error) = door.handshake(&mut request)
    {
        return reply::error(&error);
    }
    next.run(request).await
}

fn has_session(uri: &Uri) -> bool {
    uri.query().unwrap_or_default().split('&').any(|part| part.starts_with("sid="))
}
