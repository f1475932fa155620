//! Calls to other nodes: a request into the app's stream, a reply out of this node's inbox.

mod inbox;
mod large_replies;
mod late;
mod sent;
mod ticket;

pub(crate) use inbox::{Received, read_inbox};
pub(crate) use late::wake_late;

use crate::node::{
    client::{
        partition_selector::PartitionSelector,
        pending::{Finding, Full, Pending, RecoveryCandidate, RecoveryDecision, RecoveryScope, Safety},
        recovery::RecoveryTriggers,
    },
    clock::Clock,
    rate_limited_log::RateLimitedLog,
};
use crate::{
    redis::{
        Failure,
        keys::Keys,
        queue::{EntryId, Write, WriteOutcome, Writer},
    },
    wire::{self, Request, Signer},
};
use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use rachis_core::{Answer, Call, Descriptor, Error, Outcome, Result};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use ticket::Ticket;
use tokio::sync::{Notify, oneshot, watch};
use tracing::Instrument;

/// How long a caller waits before it looks again whether an app's stream is there.
const NO_STREAM_PAUSE: Duration = Duration::from_millis(50);

/// Where a remote service's calls go.
#[derive(Clone, Debug)]
pub(crate) struct CallTarget {
    /// `KEY/APP`, for messages.
    pub(crate) app: String,
    pub(crate) selector: Arc<PartitionSelector>,
    /// The path as its app registered it.
    pub(crate) path: String,
    /// What is offered there, and what of it may run twice.
    pub(crate) descriptor: Arc<Descriptor>,
}

/// Bounds on calls; see the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallLimits {
    pub(crate) timeout: Duration,
    pub(crate) max_pending: usize,
    pub(crate) max_payload: usize,
    pub(crate) max_queue: u64,
    pub(crate) max_deliveries: u32,
    pub(crate) dead_letters: usize,
}

/// The calling half of a node.
pub(crate) struct Rpc {
    node: Arc<str>,
    limits: ArcSwap<CallLimits>,
    pending: Mutex<PendingCalls>,
    recovery: RecoveryTriggers,
    // Notified when a call with an earlier deadline than all pending ones arrives.
    hurry: Notify,
    // Up to which entry the inbox was read.
    inbox_read: watch::Sender<EntryId>,
    // When each stream that was found too long may be tried again.
    full: Mutex<HashMap<Arc<str>, Instant>>,
    clock: Arc<Clock>,
    signer: Signer,
    keys: Keys,
    /// Where replies to this node stand, and count.
    inbox: String,
    refused: RateLimitedLog,
    writer: OnceLock<Writer>,
}

type PendingCalls = Pending<oneshot::Sender<Arrived>, Result<Answer>>;

/// What wakes a caller.
enum Arrived {
    Reply(Result<Answer>),
    /// The request is not (or perhaps not) in the stream.
    Failed(WriteOutcome),
    /// It is, behind more others than allowed.
    TooMany {
        entry: EntryId,
    },
    /// Its time is over.
    Late,
    /// The request has to be sent again.
    Resend,
    /// It is lost and must not be sent again.
    Lost(RecoveryDecision),
}

impl Rpc {
    pub(crate) fn new(node: &str, limits: CallLimits, clock: Arc<Clock>, signer: Signer, keys: Keys) -> Self {
        Rpc {
            node: node.into(),
            limits: ArcSwap::from_pointee(limits),
            pending: Mutex::new(Pending::new(limits.max_pending)),
            recovery: RecoveryTriggers::default(),
            hurry: Notify::new(),
            inbox_read: watch::Sender::new(EntryId::FIRST),
            full: Mutex::default(),
            clock,
            signer,
            inbox: keys.inbox(node),
            keys,
            refused: RateLimitedLog::new(),
            writer: OnceLock::new(),
        }
    }

    /// Replaces the limits. Calls in progress keep theirs.
    pub(crate) fn limit(&self, limits: CallLimits) {
        self.limits.store(Arc::new(limits));
        self.lock().resize(limits.max_pending);
    }

    /// Gives it the node's writer, which in turn needs the `Rpc` to report to.
    pub(crate) fn attach(&self, writer: Writer) {
        let _ = self.writer.set(writer);
    }

    /// Waits until everything that is due has been written.
    pub(crate) async fn flush(&self) {
        if let Some(writer) = self.writer.get() {
            writer.flush().await;
        }
    }

    /// Calls that wait for a reply.
    pub(crate) fn pending(&self) -> usize {
        self.lock().len()
    }

    /// Makes a call of a remote service.
    pub(crate) async fn call(self: &Arc<Self>, target: &CallTarget, call: Box<Call>) -> Result<Answer> {
        let timeout = call.timeout.unwrap_or(self.limits.load().timeout);
        let deadline = late::deadline(Instant::now(), timeout);
        let stream = self.choose(target, call.params.idempotency_key.as_deref())?;
        let (waiter, arrived) = oneshot::channel();
        let safety = match (target.descriptor.is_idempotent(&call.method), &call.params.idempotency_key) {
            (true, _) => Safety::Idempotent,
            (false, Some(_)) => Safety::Keyed,
            (false, None) => Safety::Unsafe,
        };
        let id = {
            let mut pending = self.lock();
            let taken = pending.insert(waiter, stream.clone(), safety, deadline);
            let id = taken.map_err(|Full| self.too_many_pending())?;
            self.awaited(&mut pending, deadline);
            id
        };
        let ticket = Ticket { rpc: self.clone(), id, stream, deadline, over: false, sent_again: false };
        let span = tracing::debug_span!("call", id = %wire::CallId(&self.node, id), path = %call.path,
            method = %call.method, app = %target.app);
        self.run(ticket, target, call, timeout, arrived).instrument(span).await
    }

    async fn run(
        self: &Arc<Self>,
        mut ticket: Ticket,
        target: &CallTarget,
        mut call: Box<Call>,
        timeout: Duration,
        mut arrived: oneshot::Receiver<Arrived>,
    ) -> Result<Answer> {
        let method = call.method.clone();
        if call.path != target.path {
            call.path.clone_from(&target.path);
        }
        let request = Request::new(ticket.id, self.node.clone(), call);
        // However often it is sent again, no replica starts it once this caller has gone.
        let deadline = ticket.deadline;
        let until = self.clock.at(deadline);
        let encode = |ticket: &Ticket| request.encode(timeout, self.signer.at(&ticket.stream).until(until));
        let frame = encode(&ticket)?;
        let max = self.limits.load().max_payload;
        if frame.len() > max {
            return Err(Error::payload_too_large(format!(
                "The call of {method} on '{}' takes {} bytes, more than max_payload ({max})",
                target.path,
                frame.len()
            )));
        }
        // Nothing is sent twice unless Redis said that it does not have it, so one copy of the frame is enough for
        // almost every call.
        self.send(&ticket, frame, deadline)?;
        loop {
            match (&mut arrived).await {
                Ok(Arrived::Reply(outcome)) => {
                    ticket.over = true;
                    return outcome.map_err(|error| ticket.answered(error));
                }
                Ok(Arrived::Late) => return Err(Box::pin(ticket.time_out(target, &method, timeout)).await),
                Ok(Arrived::TooMany { entry }) => {
                    if self.cancel(&ticket.stream, entry).await {
                        return Err(ticket.told(self.too_many_queued(target)));
                    }
                    // A replica was faster: the call runs.
                    arrived = ticket.rearm()?;
                }
                Ok(Arrived::Failed(WriteOutcome::NoStream)) => {
                    // Its app will make the first one when a replica comes (again); another may be gone for good.
                    tokio::time::sleep(NO_STREAM_PAUSE.min(deadline.saturating_duration_since(Instant::now()))).await;
                    ticket.turn_to(target.selector.first());
                    arrived = ticket.rearm()?;
                    self.send(&ticket, encode(&ticket)?, deadline)?;
                }
                Ok(Arrived::Failed(WriteOutcome::Refused(error))) => {
                    return Err(ticket.told(refused(&target.path, &error)));
                }
                Ok(Arrived::Resend) => {
                    tracing::debug!("the request is sent again");
                    ticket.sent_again = true;
                    arrived = ticket.rearm()?;
                    self.send(&ticket, encode(&ticket)?, deadline)?;
                }
                Ok(Arrived::Lost(decision)) => {
                    ticket.give_up();
                    let message = format!("{method} on '{}' had no answer: {}", target.path, decision.reason());
                    return Err(Error::unavailable(message).with_outcome(Outcome::Unknown));
                }
                Ok(Arrived::Failed(WriteOutcome::Added { .. } | WriteOutcome::Unknown(_))) | Err(_) => {
                    return Err(gone());
                }
            }
        }
    }

    fn send(&self, ticket: &Ticket, frame: Vec<u8>, deadline: Instant) -> Result<()> {
        let (stream, token) = (ticket.stream.clone(), ticket.id);
        let write = Write::Request { stream, frame, deadline, stamp: wire::stamp, token };
        let sent = self.writer.get().is_some_and(|writer| writer.push(write));
        if sent { Ok(()) } else { Err(Error::unavailable("This node has shut down and makes no more calls")) }
    }

    /// Deletes a request that no replica has started. Returns whether that was so, `false` where it is not known.
    async fn cancel(&self, stream: &Arc<str>, entry: EntryId) -> bool {
        let (told, answer) = oneshot::channel();
        self.write_cancel(stream.clone(), entry, Some(told));
        answer.await.unwrap_or(false)
    }

    /// Does so, soon, for a request whose caller has gone, or tells the replica that has begun it.
    fn withdraw(&self, stream: Arc<str>, entry: EntryId) {
        self.write_cancel(stream, entry, None);
    }

    // With all else that is written: however many give up at once, it leaves in a few writes and takes nobody's connection.
    fn write_cancel(&self, stream: Arc<str>, entry: EntryId, told: Option<oneshot::Sender<bool>>) {
        if let Some(writer) = self.writer.get() {
            writer.push(Write::Cancel { stream, entry, response: told });
        }
    }

    /// Reasons to look after requests under way.
    pub(crate) fn recovery(&self) -> &RecoveryTriggers {
        &self.recovery
    }

    /// Those about which Redis must be asked.
    pub(crate) fn candidates(&self, scope: &RecoveryScope) -> Vec<RecoveryCandidate> {
        self.lock().candidates(scope, Instant::now())
    }

    /// Lets a caller know what was found out about its request, where it has to do something.
    pub(crate) fn decide(&self, candidate: &RecoveryCandidate, finding: Finding) {
        let Some((decision, waiter)) = self.lock().decide(candidate, finding) else { return };
        tracing::debug!(id = candidate.id, stream = %candidate.stream, ?decision, "a request is not where it should be");
        let _ = waiter.send(match decision {
            RecoveryDecision::Resend => Arrived::Resend,
            RecoveryDecision::Lost | RecoveryDecision::Orphaned => Arrived::Lost(decision),
        });
    }

    /// Waits until every reply up to this entry of the inbox has reached its caller.
    pub(crate) async fn inbox_read_to(&self, wanted: EntryId) {
        let _ = self.inbox_read.subscribe().wait_for(|read| *read >= wanted).await;
    }

    /// Wakes everyone who waits for a reply, since none will come any more.
    pub(crate) fn close(&self) {
        self.lock().close();
    }

    /// The stream for a call.
    fn choose(&self, target: &CallTarget, key: Option<&str>) -> Result<Arc<str>> {
        let mut full = self.full.lock();
        let is_full = |stream: &Arc<str>| match full.get(stream) {
            Some(until) if *until > Instant::now() => true,
            Some(_) => {
                full.remove(stream);
                false
            }
            None => false,
        };
        target.selector.select(key, is_full).cloned().ok_or_else(|| self.too_many_queued(target))
    }

    fn too_many_queued(&self, target: &CallTarget) -> Error {
        Error::too_many_requests(format!(
            "More than {} calls of app '{}' are waiting (max_queue): add replicas or call less",
            self.limits.load().max_queue,
            target.app
        ))
        .with_outcome(Outcome::NeverRan)
    }

    fn too_many_pending(&self) -> Error {
        Error::too_many_requests(format!(
            "{} calls of this node wait for replies already (max_pending)",
            self.limits.load().max_pending
        ))
        .with_outcome(Outcome::NeverRan)
    }

    fn lock(&self) -> MutexGuard<'_, PendingCalls> {
        self.pending.lock()
    }
}

fn refused(path: &str, error: &Failure) -> Error {
    let message = match error.code() {
        Some("OOM") => format!(
            "Redis is out of memory and took no call of '{path}': give it more (maxmemory), or let less wait in it"
        ),
        _ => format!("Redis refused the call of '{path}': {error}"),
    };
    Error::unavailable(message).with_outcome(Outcome::NeverRan)
}

fn gone() -> Error {
    Error::unavailable("This node has shut down while the call was under way").with_outcome(Outcome::Unknown)
}
