//! Writes, and their outcomes.

use super::EntryId;
use crate::redis::connection::{link::Session, topology::Servers};
use bytes::Bytes;
use redis::RedisError;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// A guard that is dropped when Redis has the write.
pub(crate) type Held = Arc<dyn Settles>;

/// Learns what became of a request that is settled.
pub(crate) trait Settles: Send + Sync {
    /// Reports that Redis refuses to delete the request: it stays in the stream, settled.
    fn stays(&self);
}

/// The request to settle after another write.
type Then = Option<(Arc<str>, EntryId, Held)>;

/// A write.
pub(crate) enum Write {
    /// A request. It is skipped when its reply is no longer awaited.
    Request {
        stream: Arc<str>,
        frame: Vec<u8>,
        deadline: Instant,
        /// Writes the remaining time into the frame, which may have waited for a connection.
        stamp: fn(&mut [u8], Duration),
        /// Identifies the request to [`Senders`].
        token: u64,
    },
    /// A finished request: its reply, and the entry to settle. Repeated until Redis has it.
    Finished {
        stream: Arc<str>,
        entry: EntryId,
        reply: Option<(Arc<str>, Bytes)>,
        /// Dropped when Redis has it.
        held: Held,
    },
    /// An entry for another node's inbox. The request that it answers is settled after it.
    Send { inbox: Arc<str>, frame: Bytes, then: Then },
    /// The same, stored although the memory of Redis is full.
    Forced { inbox: Arc<str>, frame: Bytes, then: Then },
    /// The kept outcome of a call with an idempotency key. The call is answered after it, by `then`.
    Keep {
        key: String,
        value: Bytes,
        ttl_ms: u64,
        /// What stands there while the call runs. Where something else stands, another run has the call, and `then` is not
        /// written: the caller hears of that run.
        mark: String,
        then: Option<Box<Write>>,
    },
    /// Deletes a request that was delivered to no replica, and sends whether there was one to delete. Without a
    /// `response`, [`Senders`] learn of the replica that it was delivered to.
    Cancel { stream: Arc<str>, entry: EntryId, response: Option<oneshot::Sender<bool>> },
    /// A marker that is dropped when everything pushed before has been written.
    Mark { _written: Arc<oneshot::Sender<()>> },
}

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum WriteOutcome {
    /// It is in the stream under this id, and the stream has this length with it (0 if unknown).
    Added { entry: EntryId, length: u64 },
    /// The stream does not exist: no replica of that app has ever been up, or Redis lost it.
    NoStream,
    /// Redis refused it: it is in no stream.
    Refused(RedisError),
    /// The connection broke before Redis answered: it may or may not be in the stream. Holds the session of that
    /// connection.
    Unknown(Option<Arc<Session>>),
}

/// The senders of requests, which learn what became of each.
pub(crate) trait Senders: Send + Sync + 'static {
    /// Returns `true` if the reply to this request, which leaves `now`, is still awaited.
    fn wanted(&self, token: u64, now: Instant) -> bool;
    /// Reports that a request was not written, and will be tried again.
    fn kept(&self, token: u64);
    /// Reports the outcome of a request, and its stream. Returns the write that has to follow.
    fn sent(&self, token: u64, stream: &Arc<str>, outcome: WriteOutcome) -> Option<Write>;
    /// Reports that a request of a caller that has gone could not be withdrawn, since `replica` has begun it. Returns the
    /// write that has to follow.
    fn begun(&self, stream: &Arc<str>, entry: EntryId, replica: &[u8]) -> Option<Write>;
}

impl Write {
    /// Turns this into a write that Redis stores although its memory is full. Returns `false` if it is one already.
    pub(super) fn force(&mut self) -> bool {
        let forced = match std::mem::replace(self, Write::Mark { _written: Arc::new(oneshot::channel().0) }) {
            // Settled it is again, which does no harm.
            Write::Finished { reply: Some((inbox, frame)), stream, entry, held } => {
                Write::Forced { inbox, frame, then: Some((stream, entry, held)) }
            }
            Write::Send { inbox, frame, then } => Write::Forced { inbox, frame, then },
            other => {
                *self = other;
                return false;
            }
        };
        *self = forced;
        true
    }

    /// Returns the keys that it touches.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let (stream, inbox): (Option<&str>, Option<&str>) = match self {
            Write::Request { stream, .. } | Write::Cancel { stream, .. } => (Some(stream), None),
            Write::Finished { stream, reply, .. } => (Some(stream), reply.as_ref().map(|(inbox, _)| &**inbox)),
            Write::Send { inbox, .. } | Write::Forced { inbox, .. } => (None, Some(inbox)),
            Write::Keep { key, .. } => (Some(key), None),
            Write::Mark { .. } => (None, None),
        };
        inbox.into_iter().chain(stream)
    }

    /// Returns one of its keys.
    pub(super) fn key(&self) -> Option<&str> {
        self.keys().next()
    }

    /// Splits a finished request whose reply belongs to another server: it is settled only when the reply is written. A
    /// crash in between leads to a second reply, never to none.
    pub(super) fn taken_apart(self, servers: &Servers) -> Self {
        if !servers.are_shared() {
            return self;
        }
        match self {
            Write::Finished { stream, entry, reply: Some((inbox, frame)), held }
                if servers.shard(&*inbox).is_none() || servers.shard(&*inbox) != servers.shard(&*stream) =>
            {
                Write::Send { inbox, frame, then: Some((stream, entry, held)) }
            }
            whole => whole,
        }
    }

    /// Returns `true` if it is a command of its own; replies go into bundles.
    pub(super) fn stands_alone(&self) -> bool {
        matches!(self, Write::Request { .. } | Write::Keep { .. } | Write::Forced { .. } | Write::Cancel { .. })
    }

    /// Returns the frame that it puts into an inbox.
    pub(super) fn reply(&self) -> Option<&Bytes> {
        match self {
            Write::Finished { reply, .. } => reply.as_ref().map(|(_, frame)| frame),
            Write::Send { frame, .. } | Write::Forced { frame, .. } => Some(frame),
            Write::Request { .. } | Write::Keep { .. } | Write::Cancel { .. } | Write::Mark { .. } => None,
        }
    }

    /// Returns the write that follows, once Redis has this one or has refused it for good.
    pub(super) fn followed_by(&mut self) -> Option<Write> {
        match self {
            Write::Send { then, .. } | Write::Forced { then, .. } => {
                let (stream, entry, held) = then.take()?;
                Some(Write::Finished { stream, entry, reply: None, held })
            }
            Write::Keep { then, .. } => then.take().map(|then| *then),
            _ => None,
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Write::Request { frame, .. } => frame.len(),
            Write::Send { frame, .. } | Write::Forced { frame, .. } => frame.len(),
            Write::Finished { reply, .. } => reply.as_ref().map_or(0, |(_, frame)| frame.len()),
            Write::Keep { value, .. } => value.len(),
            Write::Cancel { .. } | Write::Mark { .. } => 0,
        }
    }
}
