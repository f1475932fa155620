//! Socket.IO ↔ calls and events, as the clients of Feathers speak it.
//!
//! A client calls by an event named after the method, `("get", path, id, query)`, and is answered by its
//! acknowledgement. It hears of events as `"<path> <event>"` with the data, and as `"<path> resync"`, without data, when
//! events of that path were missed: here, or because the client took them too slowly.
//!
//! Only protocol 5 over Engine.IO 4 is spoken, in the namespace `/`.

mod binary;
mod call;
mod engine;
mod handshake;
mod login;
mod message;
mod outbox;
mod permits;
mod relay;
mod socket;
mod users;

pub(super) use handshake::Stopping;

use crate::{
    Channels,
    http::{client::Proxies, layers::Answers},
};
use axum::{http::Uri, routing::any};
use engine::{Bounds, Sessions};
use handshake::HandshakeGate;
use rachis_mesh::Node;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use users::{Reading, Removed};

/// Whether a request is one of Engine.IO's, which all say so in their query, wherever sockets are.
pub(super) fn is_meant(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.contains("EIO="))
}

/// What all sockets share.
pub(super) struct Realtime {
    node: Node,
    pub(super) channels: Channels,
    proxies: Arc<Proxies>,
    /// Where sockets are opened, below whatever the router is nested in; without a slash at its end.
    path: String,
    /// The path of the authentication service; empty if there is none.
    authentication: String,
    /// The field of a login that holds the user.
    entity: String,
    /// The path of the service that has the users; empty if there is none.
    users: String,
    /// The field of a user that names it.
    user_id: String,
    /// Whether the users of all connections are being looked for.
    checking: AtomicBool,
    removed: Mutex<Removed>,
    reading: Mutex<Reading>,
    connections: AtomicU64,
    /// How many sockets are open, or about to be.
    permits: Arc<AtomicUsize>,
    sessions: Sessions,
    /// What serves websockets.
    tasks: TaskTracker,
    ended: CancellationToken,
    _end: DropGuard,
}

impl Realtime {
    pub(super) fn new(node: &Node, channels: Channels, proxies: Arc<Proxies>) -> Arc<Self> {
        let config = &node.config().gateway;
        let ended = CancellationToken::new();
        Arc::new(Realtime {
            node: node.clone(),
            channels,
            proxies,
            path: format!("/{}", config.socket_path.trim_matches('/')),
            authentication: config.authentication_path.trim_matches('/').to_owned(),
            entity: config.auth.entity.clone(),
            users: config.auth.service.trim_matches('/').to_owned(),
            user_id: config.auth.entity_id.clone(),
            checking: AtomicBool::new(false),
            removed: Mutex::default(),
            reading: Mutex::default(),
            connections: AtomicU64::new(0),
            permits: Arc::default(),
            sessions: Sessions::default(),
            tasks: TaskTracker::new(),
            _end: ended.clone().drop_guard(),
            ended,
        })
    }

    /// Sockets that are open.
    pub(super) fn sockets(&self) -> usize {
        self.permits.load(Ordering::Relaxed)
    }

    /// Returns `true` for the path at which sockets are opened.
    pub(super) fn is_at(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str()).is_some_and(|rest| matches!(rest, "" | "/"))
    }

    /// What answers at the path of sockets.
    pub(super) fn service(self: &Arc<Self>) -> impl Answers + use<> {
        let gate = Arc::new(HandshakeGate::new(self.clone()));
        gate.start();
        any(handshake::admit).with_state(gate)
    }

    /// What sockets that are opened from now on may take.
    fn bounds(&self) -> Bounds {
        let live = self.node.live();
        let gateway = &live.gateway;
        Bounds {
            message: gateway.max_message.as_usize(),
            calls: gateway.socket_calls,
            inbox: gateway.socket_inbox.as_usize(),
            outbox: gateway.socket_outbox.as_usize(),
            patience: gateway.socket_patience,
        }
    }

    fn next_number(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }
}
