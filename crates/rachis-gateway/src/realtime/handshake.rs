//! Which requests may open a socket, and when all sockets close.

use super::{Realtime, engine, relay};
use crate::{cors::Origins, params, reply};
use axum::{
    extract::{Request, State},
    response::Response,
};
use http::HeaderMap;
use rachis_core::Error;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Told by the server that is about to stop to everything that keeps connections open.
#[derive(Clone)]
pub(crate) struct Stopping {
    pub(crate) token: CancellationToken,
    /// The server waits until nobody holds this any more.
    pub(crate) busy: mpsc::WeakSender<()>,
}

/// What every request of Socket.IO passes. The sockets' handlers know nothing of it, so it goes with its router.
pub(super) struct Door {
    realtime: Arc<Realtime>,
    origins: Origins,
    started: AtomicBool,
    stopping: OnceLock<()>,
}

/// A place among the sockets that may be open. It is free again when it is dropped.
pub(super) struct Seat(Arc<AtomicUsize>);

impl Seat {
    /// A seat, if fewer than `most` are taken. The limit may have been lowered: whoever sits stays.
    fn one_of(seats: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let next = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = seats.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.is_ok().then(|| Seat(seats.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Door {
    pub(super) fn new(realtime: Arc<Realtime>) -> Self {
        let origins = Origins::new(&realtime.node.config().gateway.cors_origins);
        Door { realtime, origins, started: AtomicBool::new(false), stopping: OnceLock::new() }
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
}

/// A seat for a session, and the headers of its handshake.
///
/// # Errors
/// The answer to a handshake that finds no room, or has more headers than can travel with a call.
pub(super) fn take_seat(
    realtime: &Realtime,
    headers: &HeaderMap,
) -> Result<(Seat, BTreeMap<String, String>), Box<Response>> {
    if realtime.sessions.is_closed() {
        return Err(is_closing());
    }
    let headers = params::headers(headers).map_err(refused)?;
    let most = realtime.node.live().gateway.max_sockets;
    let full = || refused(Error::unavailable("Too many sockets are open: try again later"));
    Ok((Seat::one_of(&realtime.seats, most).ok_or_else(full)?, headers))
}

/// The answer to a handshake that comes too late.
pub(super) fn is_closing() -> Box<Response> {
    refused(Error::unavailable("The server is shutting down"))
}

fn refused(error: Error) -> Box<Response> {
    Box::new(reply::error(&error))
}

/// Closes every socket, and waits until what they still had is written.
async fn close(door: &Weak<Door>) {
    let Some(door) = door.upgrade() else { return };
    door.realtime.sessions.close();
    door.realtime.tasks.close();
    door.realtime.tasks.wait().await;
}

/// Answers a request of Socket.IO, if it is of a page that may send one.
pub(super) async fn admit(State(door): State<Arc<Door>>, request: Request) -> Response {
    door.start();
    if let Some(stopping) = request.extensions().get::<Stopping>() {
        door.close_with(&stopping.clone());
    }
    // Browsers let any page open a socket and read from it; they only say which one it is.
    if !door.origins.admits(request.headers()) {
        let why = "Pages of this origin may not open sockets: they can be allowed by gateway.cors_origins";
        return reply::error(&Error::forbidden(why));
    }
    engine::answer(&door.realtime, request).await
}
