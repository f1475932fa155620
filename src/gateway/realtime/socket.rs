//! The life of one socket: who it is, what it calls, when it ends.

use super::{Realtime, call, handshake::Headers, message::Message, outbox::SocketOutbox};
use crate::gateway::channels::Connection;
use socketioxide::{
    SocketIo,
    adapter::LocalAdapter,
    handler::{ConnectHandler, FromConnectParts, FromDisconnectParts},
    socket::{DisconnectReason, Socket},
};
use socketioxide_core::Value as Packed;
use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Weak},
};
use tokio::sync::Semaphore;

/// Calls of one socket that may run at once. More are refused at once: a client that sends faster than it is answered
/// would otherwise take all there is.
const CALLS: usize = 256;

/// What a socket keeps as long as it lives.
#[derive(Clone)]
pub(super) struct Session(Arc<Kept>);

struct Kept {
    realtime: Arc<Realtime>,
    connection: Connection,
    calls: Arc<Semaphore>,
}

impl Session {
    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    pub(super) fn realtime(&self) -> &Realtime {
        &self.0.realtime
    }

    pub(super) fn calls(&self) -> Arc<Semaphore> {
        self.0.calls.clone()
    }

    /// Takes the connection out of everything; the second time nothing happens.
    pub(super) fn end(&self) {
        self.0.end();
    }
}

impl Kept {
    fn end(&self) {
        self.realtime.channels.disconnected(&self.connection);
    }
}

/// A socket that never came to be, since its client left during the handshake, has no other end than this.
impl Drop for Kept {
    fn drop(&mut self) {
        self.end();
    }
}

/// The socket itself, where socketioxide offers only a reference that keeps it alive.
#[derive(Clone)]
pub(super) struct Opened(pub(super) Arc<Socket<LocalAdapter>>);

impl FromConnectParts<LocalAdapter> for Opened {
    type Error = Infallible;
    fn from_connect_parts(socket: &Arc<Socket<LocalAdapter>>, _: &Option<Packed>) -> Result<Self, Infallible> {
        Ok(Opened(socket.clone()))
    }
}

impl FromDisconnectParts<LocalAdapter> for Opened {
    type Error = Infallible;
    fn from_disconnect_parts(socket: &Arc<Socket<LocalAdapter>>, _: DisconnectReason) -> Result<Self, Infallible> {
        Ok(Opened(socket.clone()))
    }
}

/// Why a client was not let in, as it reads it.
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes in the sockets of the one namespace.
///
/// All is done before the client is told that it is connected, so its first call finds everything in place.
pub(super) fn accept(io: &SocketIo, realtime: &Arc<Realtime>) {
    let realtime = realtime.clone();
    let open = move |socket: Opened| {
        let realtime = realtime.clone();
        async move { open(realtime, &socket.0).await }
    };
    io.ns("/", (async || {}).with(open));
}

async fn open(realtime: Arc<Realtime>, socket: &Arc<Socket<LocalAdapter>>) -> Result<(), Refusal> {
    let Some(Headers(headers)) = socket.req_parts().extensions.get::<Headers>().cloned() else {
        return Err(Refusal("This request did not pass the handshake".to_owned()));
    };
    let outbox = SocketOutbox::new(Arc::downgrade(socket));
    let connection = Connection::new(realtime.next_number(), socket.id.to_string(), headers, outbox);
    let calls = Arc::new(Semaphore::new(CALLS));
    let session = Session(Arc::new(Kept { realtime: realtime.clone(), connection: connection.clone(), calls }));
    socket.extensions.insert(session.clone());
    socket.on_fallback(async |message: Message| call::answer(message).await);
    socket.on_disconnect(async |socket: Opened| {
        if let Some(session) = session_of(&socket.0) {
            session.end();
        }
    });
    realtime.channels.opened(&connection);
    realtime.log_in_by_header(&connection).await.map_err(|error| Refusal(error.message().to_owned()))?;
    if realtime.is_closed() {
        return Err(Refusal("The server is shutting down".to_owned()));
    }
    realtime.channels.connected(&connection);
    Ok(())
}

pub(super) fn session_of(socket: &Socket<LocalAdapter>) -> Option<Session> {
    socket.extensions.get::<Session>()
}

/// A socket that may be gone.
pub(super) type Wire = Weak<Socket<LocalAdapter>>;
