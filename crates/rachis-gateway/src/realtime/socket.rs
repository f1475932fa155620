//! The life of one socket: its messages, its login and its end.

use super::{
    call,
    engine::{Ending, Session, new_id},
    message::{self, Head, Kind, NAMESPACE},
    outbox::SocketOutbox,
};
use crate::channels::{Channels, Connection};
use bytes::Bytes;
use futures_util::FutureExt;
use rachis_core::host::lock;
use rachis_core::{Error, Result};
use serde_json::json;
use std::{
    mem,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tungstenite::protocol::frame::coding::CloseCode;

/// Attachments of one message.
const ATTACHMENTS: usize = 1000;

const BROKEN: Ending = Ending::Protocol(CloseCode::Protocol);

/// What a session is to Socket.IO.
pub(super) struct Member {
    id: String,
    phase: Mutex<Phase>,
    /// Notified when the phase has changed.
    changed: Notify,
    unfinished: Mutex<Option<Unfinished>>,
}

enum Phase {
    /// No socket, since then.
    Away(Instant),
    Joining(Connection),
    Joined(Connection),
    Ended,
}

/// A message whose attachments have not all come.
struct Unfinished {
    text: String,
    missing: usize,
    attachments: Vec<Bytes>,
    size: usize,
    /// Whether it is too large, so that its call is refused.
    refused: bool,
}

impl Default for Member {
    fn default() -> Self {
        Member {
            id: new_id(),
            phase: Mutex::new(Phase::Away(Instant::now())),
            changed: Notify::new(),
            unfinished: Mutex::default(),
        }
    }
}

impl Member {
    /// The id of the socket, which is no secret as that of its session is.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Takes the connection out of everything, for ever.
    pub(super) fn leave(&self, channels: &Channels) {
        self.turn(Phase::Ended, channels);
    }

    /// Takes the connection out of everything; the client may connect again.
    pub(super) fn go_away(&self, channels: &Channels) {
        self.turn(Phase::Away(Instant::now()), channels);
    }

    fn turn(&self, next: Phase, channels: &Channels) {
        let before = {
            let mut phase = self.phase();
            if matches!(*phase, Phase::Ended) {
                return;
            }
            mem::replace(&mut *phase, next)
        };
        self.changed.notify_one();
        if let Phase::Joining(connection) | Phase::Joined(connection) = before {
            channels.disconnected(&connection);
        }
    }

    fn joined(&self) -> Option<Connection> {
        match &*self.phase() {
            Phase::Joined(connection) => Some(connection.clone()),
            _ => None,
        }
    }

    /// Returns when there was no socket for so long.
    pub(super) async fn stays_away(&self, time: Duration) {
        loop {
            let until = match *self.phase() {
                Phase::Away(since) => Some(since + time),
                _ => None,
            };
            let Some(until) = until else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                () = self.changed.notified() => {}
            }
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        lock(&self.phase)
    }

    fn unfinished(&self) -> MutexGuard<'_, Option<Unfinished>> {
        lock(&self.unfinished)
    }
}

/// Does what a message asks for.
///
/// # Errors
/// When the session has to end.
pub(super) async fn text(session: &Arc<Session>, text: String) -> Result<(), Ending> {
    if session.member.unfinished().is_some() {
        return Err(BROKEN);
    }
    let head = Head::read(&text).ok_or(BROKEN)?;
    if head.attachments > ATTACHMENTS {
        return Err(Ending::Protocol(CloseCode::Policy));
    }
    if head.attachments > 0 {
        let missing = head.attachments;
        let size = text.len();
        let unfinished = Unfinished { text, missing, attachments: Vec::new(), size, refused: false };
        *session.member.unfinished() = Some(unfinished);
        return Ok(());
    }
    match head.kind {
        Kind::Event => event(session, text, Vec::new()).await,
        Kind::Connect if head.namespace == NAMESPACE => connect(session),
        Kind::Connect => {
            session.outbox.control(&message::refusal(head.namespace, "Invalid namespace"));
            Ok(())
        }
        Kind::Disconnect => {
            if head.namespace == NAMESPACE {
                session.member.go_away(&session.realtime.channels);
                session.outbox.disconnected();
            }
            Ok(())
        }
        Kind::Ack => Ok(()),
    }
}

/// Adds an attachment to the message that waits for it.
///
/// # Errors
/// When the session has to end.
pub(super) async fn binary(session: &Arc<Session>, bytes: Bytes) -> Result<(), Ending> {
    let size = bytes.len();
    attach(session, Some(bytes), size).await
}

/// Refuses the call in a message that was too large to be kept; says whether that is possible.
pub(super) async fn too_large(session: &Arc<Session>, beginning: &[u8], is_text: bool) -> bool {
    if !is_text {
        return attach(session, None, usize::MAX).await.is_ok();
    }
    let valid = match std::str::from_utf8(beginning) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&beginning[..error.valid_up_to()]).unwrap_or_default(),
    };
    let Some(text) = valid.strip_prefix('4') else { return false };
    let Some(head) = Head::read(text).filter(|head| head.kind == Kind::Event && head.json.starts_with('[')) else {
        return false;
    };
    if head.ack.is_none() || head.attachments > ATTACHMENTS || session.member.unfinished().is_some() {
        return false;
    }
    if head.attachments > 0 {
        let text = text.to_owned();
        let missing = head.attachments;
        let unfinished = Unfinished { text, missing, attachments: Vec::new(), size: 0, refused: true };
        *session.member.unfinished() = Some(unfinished);
        return true;
    }
    refuse(session, text).await.is_ok()
}

/// `bytes` are `None` where they were too large to be kept.
async fn attach(session: &Arc<Session>, bytes: Option<Bytes>, size: usize) -> Result<(), Ending> {
    let whole = {
        let mut unfinished = session.member.unfinished();
        let mut message = unfinished.take().ok_or(BROKEN)?;
        message.missing -= 1;
        message.size = message.size.saturating_add(size);
        message.refused |= message.size > session.bounds.message;
        match bytes {
            Some(bytes) if !message.refused => message.attachments.push(bytes),
            _ => message.attachments.clear(),
        }
        if message.missing > 0 {
            *unfinished = Some(message);
            return Ok(());
        }
        message
    };
    if whole.refused {
        return refuse(session, &whole.text).await;
    }
    match Head::read(&whole.text) {
        Some(head) if head.kind == Kind::Event => event(session, whole.text, whole.attachments).await,
        _ => Ok(()),
    }
}

/// Answers that a message is too large.
///
/// # Errors
/// When the client waits for no answer, so that the session has to end.
async fn refuse(session: &Session, text: &str) -> Result<(), Ending> {
    let ack = Head::read(text).and_then(|head| head.ack).filter(|_| session.member.joined().is_some());
    let Some(ack) = ack else {
        let limit = session.bounds.message;
        tracing::warn!(socket = %session, limit, "a message with attachments above gateway.max_message closes its socket");
        return Err(Ending::Protocol(CloseCode::Size));
    };
    session.outbox.answer(message::ack(ack, &Err(session.too_large()))).await;
    Ok(())
}

/// Runs a call as soon as it may.
async fn event(session: &Arc<Session>, text: String, attachments: Vec<Bytes>) -> Result<(), Ending> {
    let head = Head::read(&text).filter(|head| head.namespace == NAMESPACE).ok_or(BROKEN)?;
    let ack = head.ack;
    let connection = session.member.joined().ok_or(BROKEN)?;
    let size = text.len() + attachments.iter().map(Bytes::len).sum::<usize>();
    let turn = session.turn(size).await;
    // Read only now: as JSON it is several times as large.
    let content = message::read(head.json, attachments);
    drop(text);
    let only_reads = matches!(&content, Ok((method, _)) if method == "find" || method == "get");
    let session = session.clone();
    tokio::spawn(async move {
        let answering = call::answer(&session.realtime, &connection, content);
        let result = tokio::select! {
            biased;
            result = answering => result,
            // The client is gone. Calls that change something go on to their end.
            () = session.ended(), if only_reads => return,
        };
        if let Some(ack) = ack {
            session.outbox.answer(message::ack(ack, &result)).await;
        }
        drop(turn);
    });
    Ok(())
}

/// Opens the socket. One that is open, or about to be, stays as it is.
fn connect(session: &Arc<Session>) -> Result<(), Ending> {
    let realtime = &session.realtime;
    let connection = {
        let mut phase = session.member.phase();
        if !matches!(*phase, Phase::Away(_)) {
            return Ok(());
        }
        let outbox = SocketOutbox::new(session);
        let id = session.member.id.clone();
        let connection = Connection::new(realtime.next_number(), id, session.headers.clone(), session.ip, outbox);
        *phase = Phase::Joining(connection.clone());
        realtime.channels.opened(&connection);
        connection
    };
    session.member.changed.notify_one();
    let session = session.clone();
    tokio::spawn(async move {
        let admitted = AssertUnwindSafe(admit(&session, &connection)).catch_unwind().await;
        // What panicked is in the log, by the panic hook.
        let admitted = admitted.unwrap_or_else(|_| Err(Error::general("The server failed at this request")));
        match admitted {
            Ok(()) => enter(&session),
            Err(error) => turn_away(&session, &error),
        }
    });
    Ok(())
}

/// All is done before the client is told that it is connected, so its first call finds everything in place.
async fn admit(session: &Session, connection: &Connection) -> Result<()> {
    session.realtime.log_in_by_header(connection).await?;
    session.realtime.channels.connected(connection);
    Ok(())
}

fn enter(session: &Session) {
    let mut phase = session.member.phase();
    if let Phase::Joining(connection) = &*phase {
        *phase = Phase::Joined(connection.clone());
        session.outbox.connected(&format!("40{}", json!({ "sid": session.member.id })));
    }
}

/// Refuses what will stay wrong. Official clients do not come back after that, so what may pass closes the transport
/// instead, after which they do.
fn turn_away(session: &Session, error: &Error) {
    if is_temporary(error) {
        tracing::debug!(socket = %session, %error, "a socket could not be opened for now");
        return session.end(Ending::Server);
    }
    session.member.go_away(&session.realtime.channels);
    session.outbox.control(&message::refusal(NAMESPACE, error.message()));
}

fn is_temporary(error: &Error) -> bool {
    matches!(error.code(), 408 | 429 | 500..)
}
