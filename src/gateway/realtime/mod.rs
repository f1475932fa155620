//! Socket.IO ↔ calls and events, as the clients of Feathers speak it.
//!
//! A client calls by an event named after the method, `("get", path, id, query)`, and is answered by its
//! acknowledgement. It hears of events as `"<path> <event>"` with the data, and as `"<path> resync"`, without data, when
//! events of that path were missed: here, or because the client took them too slowly.
//!
//! Only protocol 5 over Engine.IO 4 is spoken, in the namespace `/`.

mod binary;
mod call;
mod handshake;
mod login;
mod message;
mod outbox;
mod relay;
mod socket;

pub(super) use handshake::Stopping;

use super::{Channels, Node};
use axum::{Router, middleware, routing::any_service};
use handshake::Door;
use socketioxide::{ParserConfig, SocketIo};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where sockets are opened, below whatever the router is nested in.
pub(super) const PATH: &str = "/socket.io";
/// The largest message a client may send, attachments included. Clients are told so.
const MAX_PAYLOAD: usize = 1_000_000;
/// Packets that wait for a client that reads slowly; see [`outbox`] for what happens when they are too many.
const BUFFER: usize = 128;
/// Attachments of one message.
const ATTACHMENTS: usize = 1000;
/// What a socket reads ahead. Most messages are smaller, and an idle socket costs this much.
const READ_BUFFER: usize = 2048;
const PING_INTERVAL: Duration = Duration::from_secs(25);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a socket may take to join its namespace, for which clients ask right after the handshake. One that goes
/// before it has joined is kept until then, seat and all, so the usual 45 seconds would let a few clients take all seats.
const JOINING: Duration = Duration::from_secs(10);

/// Is this where sockets are opened?
pub(super) fn is_at(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| matches!(rest, "" | "/"))
}

/// What all sockets share.
pub(super) struct Realtime {
    node: Node,
    pub(super) channels: Channels,
    /// The path of the authentication service; empty if there is none.
    authentication: String,
    /// The field of a login that holds whoever logged in.
    entity: String,
    connections: AtomicU64,
    /// How many sockets are open, or about to be.
    seats: Arc<AtomicUsize>,
    /// Is no socket let in any more?
    closed: AtomicBool,
    ended: CancellationToken,
    _end: DropGuard,
}

impl Realtime {
    pub(super) fn new(node: &Node, channels: Channels) -> Arc<Self> {
        let config = &node.config().gateway;
        let ended = CancellationToken::new();
        Arc::new(Realtime {
            node: node.clone(),
            channels,
            authentication: config.authentication_path.trim_matches('/').to_owned(),
            entity: config.auth.entity.clone(),
            connections: AtomicU64::new(0),
            seats: Arc::default(),
            closed: AtomicBool::new(false),
            _end: ended.clone().drop_guard(),
            ended,
        })
    }

    /// Sockets that are open.
    pub(super) fn sockets(&self) -> usize {
        self.seats.load(Ordering::Relaxed)
    }

    /// The routes of Socket.IO.
    pub(super) fn router(self: &Arc<Self>) -> Router {
        let parser =
            ParserConfig::common().max_incoming_binary_buf_size(MAX_PAYLOAD).max_incoming_binaries(ATTACHMENTS);
        let (service, io) = SocketIo::builder()
            .req_path(PATH)
            .max_payload(MAX_PAYLOAD as u64)
            .ws_max_message_size(MAX_PAYLOAD)
            .ws_max_frame_size(MAX_PAYLOAD)
            .ws_read_buffer_size(READ_BUFFER)
            .ping_interval(PING_INTERVAL)
            .ping_timeout(PING_TIMEOUT)
            .connect_timeout(JOINING)
            .max_buffer_size(BUFFER)
            .with_parser(parser)
            .build_svc();
        socket::accept(&io, self);
        let door = Arc::new(Door::new(self.clone(), io));
        door.start();
        let service = any_service(service).layer(middleware::from_fn_with_state(door, handshake::admit));
        Router::new().route(PATH, service.clone()).route(&format!("{PATH}/"), service)
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn next_number(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }
}
