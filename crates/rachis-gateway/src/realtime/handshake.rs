//! Which requests may open a socket, and when all sockets close.

use super::{Realtime, engine, relay};
use crate::http::{cors::Origins, reply};
use axum::{
    extract::{Request, State},
    response::Response,
};
use rachis_core::Error;
use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The signal of a server that is about to stop, for what keeps connections open.
#[derive(Clone)]
pub(crate) struct Stopping {
    pub(crate) token: CancellationToken,
    /// The server waits until all of these are dropped.
    pub(crate) busy: mpsc::WeakSender<()>,
}

/// Checks every request of Socket.IO before its handler runs: origin, shutdown, start of the relay.
pub(super) struct HandshakeGate {
    realtime: Arc<Realtime>,
    origins: Origins,
    started: AtomicBool,
    stopping: OnceLock<()>,
}

impl HandshakeGate {
    pub(super) fn new(realtime: Arc<Realtime>) -> Self {
        let origins = Origins::new(&realtime.node.config().gateway.cors_origins);
        HandshakeGate { realtime, origins, started: AtomicBool::new(false), stopping: OnceLock::new() }
    }

    /// Starts what runs beside the sockets. Outside of a runtime that is done by the first handshake.
    pub(super) fn start(self: &Arc<Self>) {
        if tokio::runtime::Handle::try_current().is_err() || self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        relay::start(&self.realtime);
        let closing = self.realtime.node.closing();
        let ended = self.realtime.ended.clone();
        let gate = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::select! {
                () = closing => close(&gate).await,
                () = ended.cancelled() => {}
            }
        });
    }

    fn close_with(self: &Arc<Self>, stopping: &Stopping) {
        if self.stopping.set(()).is_err() {
            return;
        }
        let gate = Arc::downgrade(self);
        let ended = self.realtime.ended.clone();
        let token = stopping.token.clone();
        let busy = stopping.busy.upgrade();
        tokio::spawn(async move {
            tokio::select! {
                () = token.cancelled() => close(&gate).await,
                () = ended.cancelled() => {}
            }
            drop(busy);
        });
    }
}

/// Closes every socket, and waits until what they still had is written.
async fn close(gate: &Weak<HandshakeGate>) {
    let Some(gate) = gate.upgrade() else { return };
    gate.realtime.sessions.close();
    gate.realtime.tasks.close();
    gate.realtime.tasks.wait().await;
}

/// Answers a request of Socket.IO, if it is of a page that may send one.
pub(super) async fn admit(State(gate): State<Arc<HandshakeGate>>, request: Request) -> Response {
    gate.start();
    if let Some(stopping) = request.extensions().get::<Stopping>() {
        gate.close_with(&stopping.clone());
    }
    // Browsers let any page open a socket and read from it; they only say which one it is.
    if !gate.origins.admits(request.headers()) {
        let why = "Pages of this origin may not open sockets: they can be allowed by gateway.cors_origins";
        return reply::error(&Error::forbidden(why));
    }
    engine::answer(&gate.realtime, request).await
}
