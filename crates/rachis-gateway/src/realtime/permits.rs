//! How many sockets may be open.

use super::Realtime;
use crate::http::{params, reply};
use axum::response::Response;
use http::HeaderMap;
use rachis_core::Error;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The permit of one open socket, of `gateway.max_sockets`. It is given back when it is dropped.
pub(super) struct ConnectionPermit(Arc<AtomicUsize>);

impl ConnectionPermit {
    /// Takes a permit, if fewer than `most` are taken. Those that are held when the limit is lowered stay.
    fn one_of(permits: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let next = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = permits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.is_ok().then(|| ConnectionPermit(permits.clone()))
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes a permit for a session, and returns the headers of its handshake with it.
///
/// # Errors
/// The answer to a handshake that finds no room, or has more headers than can travel with a call.
pub(super) fn take_permit(
    realtime: &Realtime,
    headers: &HeaderMap,
) -> Result<(ConnectionPermit, BTreeMap<String, String>), Box<Response>> {
    if realtime.sessions.is_closed() {
        return Err(is_closing());
    }
    let headers = params::headers(headers).map_err(refused)?;
    let most = realtime.node.live().gateway.max_sockets;
    let full = || refused(Error::unavailable("Too many sockets are open: try again later"));
    Ok((ConnectionPermit::one_of(&realtime.permits, most).ok_or_else(full)?, headers))
}

/// The answer to a handshake that comes too late.
pub(super) fn is_closing() -> Box<Response> {
    refused(Error::unavailable("The server is shutting down"))
}

fn refused(error: Error) -> Box<Response> {
    Box::new(reply::error(&error))
}
