//! How events reach the client of a socket.

use super::{
    engine::{Packet, Session},
    message,
};
use crate::channels::Outbox;
use rachis_core::RESYNC;
use serde_json::Value;
use std::sync::{Arc, Weak};

pub(super) struct SocketOutbox(Weak<Session>);

impl SocketOutbox {
    pub(super) fn new(session: &Arc<Session>) -> Self {
        SocketOutbox(Arc::downgrade(session))
    }
}

impl Outbox for SocketOutbox {
    fn send(&self, path: &str, event: &str, data: &Value) {
        let Some(session) = self.0.upgrade() else { return };
        let packets = || message::event(&format!("{path} {event}"), data);
        let resync = || {
            tracing::debug!(socket = %session, path, "a client is too slow for the events of a path");
            let packet = message::event(&format!("{path} {RESYNC}"), &Value::Null).into_iter().next();
            packet.unwrap_or(Packet::Text(String::new()))
        };
        session.outbox.event(path, packets, resync);
    }

    /// Nothing more is sent from here on but what waits already and the word that it is over.
    fn close(&self) {
        let Some(session) = self.0.upgrade() else { return };
        session.member.go_away(&session.realtime.channels);
        session.outbox.control("41");
        session.outbox.disconnected();
    }
}
