//! What there is to write, and what became of it.

use super::EntryId;
use crate::redis::connection::{link::Session, topology::Servers};
use bytes::Bytes;
use redis::RedisError;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Something that is held until Redis has what was written, and let go of by being dropped.
pub(crate) type Held = Arc<dyn std::any::Any + Send + Sync>;

/// What may be settled once something else is written.
type Then = Option<(Arc<str>, EntryId, Held)>;

/// Something to write.
pub(crate) enum Write {
    /// A request, as long as somebody wants its reply.
    Request {
        stream: Arc<str>,
        frame: Vec<u8>,
        deadline: Instant,
        /// Writes the time left into the frame, which may have waited here for Redis.
        stamp: fn(&mut [u8], Duration),
        /// Tells [`Senders`] which one.
        token: u64,
    },
    /// A request was worked on: its reply, and the entry to settle. Written again until Redis has it.
    Finished {
        stream: Arc<str>,
        entry: EntryId,
        reply: Option<(Arc<str>, Bytes)>,
        /// Let go of when Redis has it.
        held: Held,
    },
    /// An entry for another node's inbox; where it is, and not before, the request it answers is settled.
    Send { inbox: Arc<str>, frame: Bytes, then: Then },
    /// The same for an entry that Redis had no memory for.
    Forced { inbox: Arc<str>, frame: Bytes, then: Then },
    /// What a call ended in, for repeats of it; where it is, and not before, the call is answered by `then`.
    Keep {
        key: String,
        value: Bytes,
        ttl_ms: u64,
        /// What stands there while the call runs. Where something else stands, another run has the call, and `then` is not
        /// written: the caller hears of that run.
        mark: String,
        then: Option<Box<Write>>,
    },
    /// Deletes a request that no replica was given, and tells whether there was one to delete. Where nobody waits to be told,
    /// [`Senders`] learn of the replica that was given it.
    Cancel { stream: Arc<str>, entry: EntryId, response: Option<oneshot::Sender<bool>> },
    /// Nothing: is dropped when everything pushed before has been written.
    Mark { _written: Arc<oneshot::Sender<()>> },
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum WriteOutcome {
    /// It is in the stream under this id, and the stream was this long with it (0: not known).
    Added { entry: EntryId, length: u64 },
    /// There is no such stream: no replica of that app has ever been up, or Redis lost it.
    NoStream,
    /// Redis refused it: it is in no stream.
    Refused(RedisError),
    /// The connection broke before Redis answered: it may or may not be in the stream. Says which connection.
    Unknown(Option<Arc<Session>>),
}

/// The senders of requests, which learn what became of each.
pub(crate) trait Senders: Send + Sync + 'static {
    /// Returns `true` if the reply to this request, which leaves `now`, is still awaited.
    fn wanted(&self, token: u64, now: Instant) -> bool;
    /// Says that it was not written, and will be tried again.
    fn kept(&self, token: u64);
    /// Says what became of it, and in which stream.
    fn sent(&self, token: u64, stream: &Arc<str>, outcome: WriteOutcome);
    /// Says that a request could not be withdrawn for a caller that has gone, since `replica` has begun it.
    fn begun(&self, stream: &Arc<str>, entry: EntryId, replica: &[u8]);
}

impl Write {
    /// Lets Redis have it though its memory is full. `false` if that was tried already.
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

    /// The keys it touches.
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

    /// One of them.
    pub(super) fn key(&self) -> Option<&str> {
        self.keys().next()
    }

    /// Where the inbox of a reply lies on another server than the request, the request is settled only when the reply is
    /// there: a crash in between leads to another reply, never to none.
    pub(super) fn taken_apart(self, servers: &Servers) -> Self {
        if !servers.are_shared() {
            return self;
        }
        match self {
            Write::Finished { stream, entry, reply: Some((inbox, frame)), held }
                if servers.shard(&inbox).is_none() || servers.shard(&inbox) != servers.shard(&stream) =>
            {
                Write::Send { inbox, frame, then: Some((stream, entry, held)) }
            }
            whole => whole,
        }
    }

    /// Is it a command of its own? Replies go into bundles.
    pub(super) fn stands_alone(&self) -> bool {
        matches!(self, Write::Request { .. } | Write::Keep { .. } | Write::Forced { .. } | Write::Cancel { .. })
    }

    /// The frame it puts into an inbox.
    pub(super) fn reply(&self) -> Option<&Bytes> {
        match self {
            Write::Finished { reply, .. } => reply.as_ref().map(|(_, frame)| frame),
            Write::Send { frame, .. } | Write::Forced { frame, .. } => Some(frame),
            Write::Request { .. } | Write::Keep { .. } | Write::Cancel { .. } | Write::Mark { .. } => None,
        }
    }

    /// What is to be written now that Redis has this, or never will.
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
