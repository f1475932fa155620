//! One writer per node: whatever is due when it wakes goes out in one write.
//!
//! This is where the speed is: at a thousand calls under way a write carries dozens of requests, replies and
//! acknowledgements. One write is under way at a time, and what comes meanwhile forms the next.

use super::bytes;
use crate::redis::{
    connection::{Link, Live, Session, is_fatal},
    keys::GROUP,
};
use redis::{Pipeline, RedisError, RedisResult, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Entries in one write. More would only delay the first.
const BATCH: usize = 512;
/// Bytes in one write, so that a large reply does not hold up many small ones.
const BATCH_BYTES: usize = 256 * 1024;
/// Replies kept for a node that does not read; a caller that is this far behind has timed out.
const INBOX_LENGTH: usize = 10_000;
/// How long an inbox outlives its last reply.
const INBOX_TTL_MS: usize = 120_000;

const REPLY: &str = include_str!("../scripts/reply.lua");

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
        entry: String,
        reply: Option<(String, Vec<u8>)>,
        /// Dropped when Redis has it.
        _held: Box<dyn Send>,
    },
    /// An entry for another node's inbox that settles nothing here.
    Send { inbox: String, frame: Vec<u8> },
    /// An entry for another node's inbox that Redis had no memory for. Its request is settled.
    Forced { inbox: String, frame: Vec<u8>, _held: Option<Box<dyn Send>> },
    /// Nothing: is dropped when everything pushed before has been written.
    Mark { _written: oneshot::Sender<()> },
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is in the stream under this id, and the stream was this long with it (0: not known).
    Added { entry: String, length: u64 },
    /// There is no such stream: no replica of that app has ever been up, or Redis lost it.
    NoStream,
    /// Redis refused it: it is in no stream.
    Refused(RedisError),
    /// The connection broke before Redis answered: it may or may not be in the stream. Says which connection.
    Unknown(Option<Arc<Session>>),
}

/// Whoever sent requests.
pub(crate) trait Senders: Send + Sync + 'static {
    /// Does anyone still wait for the reply to this request?
    fn wanted(&self, token: u64) -> bool;
    /// Says what became of it, and in which stream.
    fn sent(&self, token: u64, stream: &Arc<str>, outcome: Outcome);
}

/// Puts things in the queue of the one writer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Writer {
    // Without a bound of its own: requests are bounded by the calls pending, replies by those in flight.
    queue: mpsc::UnboundedSender<Write>,
}

impl Writer {
    /// Starts the writer. It ends with `stop`, since those it reports to hold it in turn.
    pub(crate) fn start(link: Link, senders: Arc<dyn Senders>, stop: CancellationToken) -> Self {
        let (queue, due) = mpsc::unbounded_channel();
        tokio::spawn(async move { stop.run_until_cancelled(run(link, senders, due)).await });
        Writer { queue }
    }

    /// Waits until everything pushed so far has been written, or the writer has ended.
    pub(crate) async fn flush(&self) {
        let (written, wait) = oneshot::channel();
        if self.push(Write::Mark { _written: written }) {
            let _ = wait.await;
        }
    }

    /// Hands something to the writer; `false` when it has ended.
    pub(crate) fn push(&self, write: Write) -> bool {
        self.queue.send(write).is_ok()
    }
}

async fn run(mut link: Link, senders: Arc<dyn Senders>, mut due: mpsc::UnboundedReceiver<Write>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        if batch.is_empty() {
            match due.recv().await {
                Some(write) => batch.push(write),
                None => return,
            }
        }
        let Some(live) = link.get().await else { return };
        fill(&mut batch, &mut due);
        batch.retain(|write| !matches!(write, Write::Request { token, .. } if !senders.wanted(*token)));
        if batch.is_empty() {
            continue;
        }
        match send(&live, &mut batch).await {
            Ok(replies) => settle(&mut batch, replies, &*senders, || link.report(&live)),
            Err(error) => {
                tracing::debug!(%error, entries = batch.len(), "a write failed");
                link.report(&live);
                batch.retain(|write| match write {
                    Write::Request { token, stream, .. } => {
                        senders.sent(*token, stream, Outcome::Unknown(live.session.clone()));
                        false
                    }
                    // Written twice they do no harm, so they wait for the next connection.
                    Write::Finished { .. } | Write::Send { .. } | Write::Forced { .. } | Write::Mark { .. } => true,
                });
            }
        }
    }
}

fn fill(batch: &mut Vec<Write>, due: &mut mpsc::UnboundedReceiver<Write>) {
    let mut size: usize = batch.iter().map(Write::size).sum();
    while batch.len() < BATCH && size < BATCH_BYTES {
        let Ok(write) = due.try_recv() else { return };
        size += write.size();
        batch.push(write);
    }
}

impl Write {
    /// Lets Redis have it though its memory is full. `false` if that was tried already.
    fn force(&mut self) -> bool {
        let forced = match std::mem::replace(self, Write::Mark { _written: oneshot::channel().0 }) {
            Write::Finished { reply: Some((inbox, frame)), _held, .. } => {
                Write::Forced { inbox, frame, _held: Some(_held) }
            }
            Write::Send { inbox, frame } => Write::Forced { inbox, frame, _held: None },
            _ => return false,
        };
        *self = forced;
        true
    }

    fn size(&self) -> usize {
        match self {
            Write::Request { frame, .. } | Write::Send { frame, .. } | Write::Forced { frame, .. } => frame.len(),
            Write::Finished { reply, .. } => reply.as_ref().map_or(0, |(_, frame)| frame.len()),
            Write::Mark { .. } => 0,
        }
    }
}

async fn send(live: &Live, batch: &mut [Write]) -> RedisResult<Vec<Value>> {
    let mut pipe = Pipeline::with_capacity(batch.len() + 8);
    let mut settled: BTreeMap<Arc<str>, Vec<String>> = BTreeMap::new();
    let mut inboxes: BTreeSet<String> = BTreeSet::new();
    let mut streams: BTreeSet<Arc<str>> = BTreeSet::new();
    for write in batch.iter_mut() {
        match write {
            Write::Request { stream, frame, deadline, stamp, .. } => {
                stamp(frame, deadline.saturating_duration_since(Instant::now()));
                pipe.cmd("XADD").arg(&**stream).arg("NOMKSTREAM").arg("*").arg("m").arg(&*frame);
                streams.insert(stream.clone());
            }
            Write::Finished { stream, entry, reply, .. } => {
                if let Some((inbox, frame)) = reply {
                    add_to_inbox(&mut pipe, inbox, frame);
                    inboxes.insert(inbox.clone());
                }
                settled.entry(stream.clone()).or_default().push(entry.clone());
            }
            Write::Send { inbox, frame } => {
                add_to_inbox(&mut pipe, inbox, frame);
                inboxes.insert(inbox.clone());
            }
            Write::Forced { inbox, frame, .. } => {
                pipe.cmd("EVAL").arg(REPLY).arg(1).arg(&*inbox).arg(INBOX_LENGTH).arg(&*frame).arg(INBOX_TTL_MS);
            }
            Write::Mark { .. } => {}
        }
    }
    // The length of each stream written to comes last, in the order in which `settle` looks for it.
    for (stream, entries) in &settled {
        pipe.cmd("XACK").arg(&**stream).arg(GROUP).arg(entries);
        pipe.cmd("XDEL").arg(&**stream).arg(entries);
    }
    for inbox in &inboxes {
        pipe.cmd("PEXPIRE").arg(inbox).arg(INBOX_TTL_MS);
    }
    for stream in &streams {
        pipe.cmd("XLEN").arg(&**stream);
    }
    let commands = pipe.len();
    if commands == 0 {
        return Ok(Vec::new());
    }
    live.connection.clone().send_packed_commands(&pipe, 0, commands).await
}

fn add_to_inbox(pipe: &mut Pipeline, inbox: &str, frame: &[u8]) {
    pipe.cmd("XADD").arg(inbox).arg("MAXLEN").arg("~").arg(INBOX_LENGTH).arg("*").arg("m").arg(frame);
}

/// Tells senders what became of their requests and keeps in `batch` what must be written again.
fn settle(batch: &mut Vec<Write>, replies: Vec<Value>, senders: &dyn Senders, broken: impl Fn()) {
    let mut lengths = lengths(batch, &replies);
    let mut replies = replies.into_iter();
    let mut fatal = false;
    batch.retain_mut(|write| match write {
        Write::Request { stream, token, .. } => {
            let length = lengths.get_mut(stream).map_or(0, Lengths::next);
            let outcome = match replies.next().map(Value::extract_error) {
                Some(Ok(Value::Nil)) => Outcome::NoStream,
                Some(Ok(value)) => match bytes(value).and_then(|id| String::from_utf8(id).ok()) {
                    Some(entry) => Outcome::Added { entry, length },
                    None => Outcome::Unknown(None),
                },
                // A server that is no master (any more): it has not taken the request, the next one may.
                Some(Err(error)) if is_fatal(&error) => {
                    fatal = true;
                    return true;
                }
                Some(Err(error)) => Outcome::Refused(error),
                None => Outcome::Unknown(None),
            };
            senders.sent(*token, stream, outcome);
            false
        }
        // Dropping a mark tells whoever waits.
        Write::Finished { reply: None, .. } | Write::Mark { .. } => false,
        _ => match replies.next().map(Value::extract_error) {
            Some(Err(error)) if is_fatal(&error) => {
                fatal = true;
                true
            }
            Some(Err(error)) if error.code() == Some("OOM") && write.force() => true,
            Some(Err(error)) => {
                tracing::error!(%error, "Redis refused a reply; its caller will time out");
                false
            }
            _ => false,
        },
    });
    if fatal {
        broken();
    }
}

/// How long a stream is after a write, and how many requests of that write are still to be counted off.
struct Lengths {
    whole: u64,
    behind: u64,
}

impl Lengths {
    /// How long the stream was with the next request of the write.
    fn next(&mut self) -> u64 {
        self.behind = self.behind.saturating_sub(1);
        self.whole.saturating_sub(self.behind)
    }
}

fn lengths(batch: &[Write], replies: &[Value]) -> BTreeMap<Arc<str>, Lengths> {
    let mut streams: BTreeMap<Arc<str>, Lengths> = BTreeMap::new();
    for write in batch {
        if let Write::Request { stream, .. } = write {
            streams.entry(stream.clone()).or_insert(Lengths { whole: 0, behind: 0 }).behind += 1;
        }
    }
    let last = replies.len().saturating_sub(streams.len());
    for (lengths, reply) in streams.values_mut().zip(replies.get(last..).unwrap_or_default()) {
        if let Value::Int(length) = reply {
            lengths.whole = u64::try_from(*length).unwrap_or(0);
        }
    }
    streams
}
