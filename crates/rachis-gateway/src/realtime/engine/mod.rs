//! Engine.IO 4: sessions of clients that poll or have a websocket, as the package engine.io 6 keeps them.
//!
//! Own, since here a client is read from only as far as its calls find room, and what waits for it is bounded by bytes;
//! the crates there are read on and count messages.

mod frames;
mod outbox;
mod packet;
mod polling;
mod reply;
mod request;
mod session;
mod websocket;

pub(super) use packet::Packet;
pub(super) use session::{Bounds, Ending, Session, new_id};

use super::{Realtime, permits};
use axum::{body::Body, extract::Request, response::Response};
use http::{
    HeaderValue, Method, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE},
};
use rachis_core::host::lock;
use request::{Asked, Refusal, Transport, is_upgrade, websocket_key};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tungstenite::handshake::derive_accept_key;

/// All sessions by their ids.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Open>);

#[derive(Default)]
struct Open {
    sessions: HashMap<String, Arc<Session>>,
    closed: bool,
}

impl Sessions {
    fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().sessions.get(id).cloned()
    }

    fn add(&self, session: &Arc<Session>) -> bool {
        let mut open = self.lock();
        if !open.closed {
            open.sessions.insert(session.id.clone(), session.clone());
        }
        !open.closed
    }

    fn remove(&self, id: &str) {
        let removed = self.lock().sessions.remove(id);
        // It may be the last to hold the session, whose end takes a while.
        drop(removed);
    }

    /// Ends all sessions, and those that would follow.
    pub(super) fn close(&self) {
        let sessions = {
            let mut open = self.lock();
            open.closed = true;
            std::mem::take(&mut open.sessions)
        };
        sessions.into_values().for_each(|session| session.end(Ending::Server));
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        lock(&self.0)
    }
}

/// Answers a request of Engine.IO.
pub(super) async fn answer(realtime: &Arc<Realtime>, request: Request) -> Response {
    let upgrade = is_upgrade(request.headers());
    dispatch(realtime, request, upgrade).await.unwrap_or_else(|refusal| refusal.answer(upgrade))
}

async fn dispatch(realtime: &Arc<Realtime>, request: Request, upgrade: bool) -> Result<Response, Refusal> {
    let asked = Asked::read(request.uri());
    let transport = asked.transport()?;
    let Some(sid) = &asked.sid else {
        if request.method() != Method::GET {
            return Err(Refusal::BadMethod);
        }
        return match (transport, upgrade) {
            (Transport::Polling, false) => open_polling(realtime, &asked, &request),
            (Transport::Websocket, false) => Err(Refusal::BadRequest),
            (_, true) => Ok(open_websocket(realtime, &asked, transport, request)),
        };
    };
    let session = realtime.sessions.get(sid).ok_or(Refusal::UnknownSession)?;
    let current = session.way().transport;
    if (!upgrade && current != transport) || !asked.is_supported() {
        return Err(Refusal::BadRequest);
    }
    match (transport, upgrade) {
        (Transport::Polling, false) => Ok(polling::answer(session, request).await),
        (Transport::Websocket, false) => Err(Refusal::BadRequest),
        (_, true) => Ok(upgrade_to_websocket(realtime, session, transport, request)),
    }
}

fn open_polling(realtime: &Arc<Realtime>, asked: &Asked, request: &Request) -> Result<Response, Refusal> {
    if !asked.is_supported() {
        return Err(Refusal::UnsupportedVersion);
    }
    Ok(match open(realtime, Transport::Polling, request) {
        Ok(session) => reply::payload(session.open_packet(Transport::Polling)),
        Err(refused) => *refused,
    })
}

/// A new session.
///
/// # Errors
/// The answer where there is no room for one.
fn open(realtime: &Arc<Realtime>, transport: Transport, request: &Request) -> Result<Arc<Session>, Box<Response>> {
    let (permit, headers) = permits::take_permit(realtime, request.headers())?;
    let ip = realtime.proxies.client(request.extensions(), request.headers());
    let session = Session::new(realtime, transport, permit, headers, ip);
    if !realtime.sessions.add(&session) {
        return Err(permits::is_closing());
    }
    session.keep();
    Ok(session)
}

fn open_websocket(realtime: &Arc<Realtime>, asked: &Asked, transport: Transport, mut request: Request) -> Response {
    let answer = match switch(&request) {
        Ok(answer) => answer,
        Err(refused) => return *refused,
    };
    if transport == Transport::Polling {
        realtime.tasks.spawn(websocket::refuse(hyper::upgrade::on(&mut request)));
        return answer;
    }
    if !asked.is_supported() {
        return Refusal::UnsupportedVersion.answer(true);
    }
    match open(realtime, transport, &request) {
        Ok(session) => {
            session.outbox.control(&session.open_packet(transport));
            realtime.tasks.spawn(websocket::open(session, hyper::upgrade::on(&mut request)));
            answer
        }
        Err(refused) => *refused,
    }
}

fn upgrade_to_websocket(
    realtime: &Arc<Realtime>,
    session: Arc<Session>,
    transport: Transport,
    mut request: Request,
) -> Response {
    let answer = match switch(&request) {
        Ok(answer) => answer,
        Err(refused) => return *refused,
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let mut way = session.way();
    if transport == Transport::Polling || way.transport == Transport::Websocket || way.upgrading {
        realtime.tasks.spawn(websocket::refuse(upgrade));
    } else {
        way.upgrading = true;
        drop(way);
        session.turned.notify_one();
        realtime.tasks.spawn(websocket::take_over(session, upgrade));
    }
    answer
}

/// The answer that makes a connection a websocket.
fn switch(request: &Request) -> Result<Response, Box<Response>> {
    let key = websocket_key(request.method(), request.headers())?;
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    // A browser that asks for protocols fails without one of them.
    let protocols = request.headers().get(SEC_WEBSOCKET_PROTOCOL).and_then(|protocols| protocols.to_str().ok());
    let first = protocols.and_then(|protocols| protocols.split(',').next()).map(str::trim);
    if let Some(protocol) = first.and_then(|first| HeaderValue::from_str(first).ok()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(answer)
}
