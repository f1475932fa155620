//! The way to a client, and what happens when it does not keep up.
//!
//! Some packets may wait for each client. When they are too many, events of a path are left out from then on, and as soon
//! as there is room the client is told, once, to read that path anew: `"<path> resync"`. Disconnecting it at once would
//! cost it everything else as well, and it would only come back to the same flood; waiting for it would hold up all others.
//! A client that still takes nothing at its next heartbeat is closed by it, and comes back by itself.

use super::{
    binary::Binary,
    socket::{Wire, session_of},
};
use crate::{RESYNC, gateway::channels::Outbox};
use serde_json::Value;
use socketioxide::{SendError, SocketError};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a client may take nothing at all until it counts as gone. Longer than a heartbeat, which mostly notices
/// first; but the end it brings waits for a write that the client's side may hold up for as long as it likes.
const PATIENCE: Duration = Duration::from_secs(60);
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct SocketOutbox {
    socket: Wire,
    missed: Arc<Mutex<Missed>>,
}

/// The paths of which a client missed events without knowing.
#[derive(Default)]
struct Missed {
    paths: BTreeSet<String>,
    /// Is somebody about to tell?
    telling: bool,
}

impl SocketOutbox {
    pub(super) fn new(socket: Wire) -> Self {
        SocketOutbox { socket, missed: Arc::default() }
    }
}

impl Outbox for SocketOutbox {
    fn send(&self, path: &str, event: &str, data: &Value) {
        let mut missed = lock(&self.missed);
        if missed.paths.contains(path) || !is_full(&self.socket, path, event, data) {
            return;
        }
        missed.paths.insert(path.to_owned());
        if !std::mem::replace(&mut missed.telling, true) {
            tokio::spawn(tell(self.socket.clone(), self.missed.clone()));
        }
    }

    fn close(&self) {
        let wire = self.socket.clone();
        tokio::spawn(async move {
            let mut patience = Patience::default();
            while let Some(Err(SocketError::InternalChannelFull)) = wire.upgrade().map(|socket| socket.disconnect()) {
                if !patience.wait().await {
                    return give_up(&wire);
                }
            }
        });
    }
}

/// Tells what was missed as soon as there is room.
async fn tell(wire: Wire, missed: Arc<Mutex<Missed>>) {
    let mut patience = Patience::default();
    while patience.wait().await {
        let mut missed = lock(&missed);
        while let Some(path) = missed.paths.first().cloned() {
            if is_full(&wire, &path, RESYNC, &Value::Null) {
                break;
            }
            missed.paths.remove(&path);
            patience = Patience::default();
        }
        if missed.paths.is_empty() {
            missed.telling = false;
            return;
        }
    }
    give_up(&wire);
}

/// Sends; says whether there was no room. What is sent to one that is gone counts as sent.
fn is_full(wire: &Wire, path: &str, event: &str, data: &Value) -> bool {
    let Some(socket) = wire.upgrade() else { return false };
    let sent = socket.emit(format!("{path} {event}"), &(Binary(data),));
    matches!(sent, Err(SendError::Socket(SocketError::InternalChannelFull)))
}

/// Nothing more is sent to a client that takes nothing, even if its connection can not be closed.
fn give_up(wire: &Wire) {
    if let Some(session) = wire.upgrade().and_then(|socket| session_of(&socket)) {
        tracing::debug!(id = session.connection().id(), "a client takes nothing any more");
        session.end();
    }
}

fn lock(missed: &Mutex<Missed>) -> MutexGuard<'_, Missed> {
    missed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for room, in growing pauses, and not for ever.
pub(super) struct Patience {
    started: Instant,
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { started: Instant::now(), pause: SHORTEST_PAUSE }
    }
}

impl Patience {
    /// Waits a little; says whether it is worth to try again.
    pub(super) async fn wait(&mut self) -> bool {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.started.elapsed() < PATIENCE
    }
}
