//! Sessions whose client polls: one request brings packets, another one waits for some.

use super::{
    packet::{self, Received},
    reply,
    request::{Refusal, Transport},
    session::{Ending, Session},
};
use axum::{
    body::{Body, HttpBody},
    extract::Request,
    response::Response,
};
use futures_util::StreamExt;
use http::{Method, StatusCode, header::CONTENT_TYPE};
use std::{sync::Arc, time::Duration};
use tungstenite::protocol::frame::coding::CloseCode;

/// How long a body may take to arrive.
const ARRIVING: Duration = Duration::from_secs(30);
/// How long a request waits for packets while the client opens a websocket, which it does not go on with before.
const UPGRADING: Duration = Duration::from_millis(100);

/// Answers a request of a session.
pub(super) async fn answer(session: Arc<Session>, request: Request) -> Response {
    match *request.method() {
        Method::GET => poll(session).await,
        Method::POST => post(session, request).await,
        _ => reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// A request that is under way. A client that breaks it off is gone: what it should have had is lost.
struct Underway {
    session: Arc<Session>,
    method: Method,
    done: bool,
}

impl Underway {
    /// # Errors
    /// The answer to a second request of the same kind, which ends the session.
    fn start(session: &Arc<Session>, method: Method) -> Result<Self, Box<Response>> {
        let mut way = session.way();
        if way.transport != Transport::Polling {
            return Err(Box::new(Refusal::BadRequest.answer(false)));
        }
        let slot = if method == Method::GET { &mut way.polling } else { &mut way.posting };
        if std::mem::replace(slot, true) {
            drop(way);
            session.end(Ending::Protocol(CloseCode::Policy));
            return Err(Box::new(reply::empty(StatusCode::BAD_REQUEST)));
        }
        drop(way);
        Ok(Underway { session: session.clone(), method, done: false })
    }

    /// Ends the session along with the request.
    fn fail(self, ending: Ending, status: StatusCode) -> Response {
        self.session.end(ending);
        reply::last(status)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if !self.done {
            self.session.end(Ending::Client);
        }
        let mut way = self.session.way();
        if self.method == Method::GET {
            way.polling = false;
        } else {
            way.posting = false;
        }
    }
}

/// Waits for packets.
async fn poll(session: Arc<Session>) -> Response {
    let mut request = match Underway::start(&session, Method::GET) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let most = session.bounds.message;
    let packets = loop {
        let (transport, upgrading) = {
            let way = session.way();
            (way.transport, way.upgrading)
        };
        tokio::select! {
            biased;
            packets = session.outbox.take(most), if transport == Transport::Polling => break packet::payload(packets),
            () = session.ended() => break last(&session),
            () = session.turned.notified() => {}
            () = tokio::time::sleep(UPGRADING), if upgrading => break "6".to_owned(),
        }
        if session.way().transport == Transport::Websocket {
            break "6".to_owned();
        }
    };
    session.outbox.delivered();
    request.done = true;
    reply::payload(packets)
}

/// What a session that has ended still has for its client.
fn last(session: &Session) -> String {
    let mut packets = session.outbox.take_now(usize::MAX);
    let end = if session.ending() == Some(Ending::Client) { "6" } else { "1" };
    packets.push(packet::Packet::text(end));
    packet::payload(packets)
}

/// Takes packets. The answer waits until those of the request before are worked off, so that a client which sends faster
/// than it is answered sends no more.
async fn post(session: Arc<Session>, request: Request) -> Response {
    let mut underway = match Underway::start(&session, Method::POST) {
        Ok(underway) => underway,
        Err(refusal) => return *refusal,
    };
    let (head, body) = request.into_parts();
    if head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/octet-stream") {
        return underway.fail(Ending::Protocol(CloseCode::Unsupported), StatusCode::BAD_REQUEST);
    }
    let limit = session.bounds.message;
    let arrived = tokio::select! {
        arrived = tokio::time::timeout(ARRIVING, read(body, limit)) => arrived,
        () = session.ended() => return underway.fail(Ending::Client, StatusCode::BAD_REQUEST),
    };
    let payload = match arrived {
        Ok(Ok(payload)) => payload,
        Ok(Err(Unread::TooLarge)) => {
            tracing::warn!(socket = %session, limit, "a payload above gateway.max_message closes its socket");
            return underway.fail(Ending::Protocol(CloseCode::Size), StatusCode::PAYLOAD_TOO_LARGE);
        }
        Ok(Err(Unread::Broken)) => return underway.fail(Ending::Client, StatusCode::BAD_REQUEST),
        Err(_) => return underway.fail(Ending::Silent, StatusCode::REQUEST_TIMEOUT),
    };
    let (packets, broken) = match packet::read_payload(&payload) {
        Ok(packets) => (packets, false),
        Err(packets) => (packets, true),
    };
    drop(payload);
    let turn = session.held_up(session.inbound.clone().lock_owned()).await;
    if broken {
        work_off(&session, packets).await;
        return underway.fail(Ending::Protocol(CloseCode::Protocol), StatusCode::BAD_REQUEST);
    }
    let working = session.clone();
    tokio::spawn(async move {
        work_off(&working, packets).await;
        drop(turn);
    });
    underway.done = true;
    reply::taken()
}

async fn work_off(session: &Arc<Session>, packets: Vec<Received>) {
    for packet in packets {
        let received = tokio::select! {
            received = session.receive(packet) => received,
            () = session.ended() => return,
        };
        if let Err(ending) = received {
            return session.end(ending);
        }
    }
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    Broken,
}

async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Unread> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLarge);
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        if chunk.len() > limit - bytes.len() {
            return Err(Unread::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
