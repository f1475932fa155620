//! Calls to other nodes: a request into the app's stream, a reply out of this node's inbox.

use super::pending::{Full, Pending, Stage};
use crate::{
    Error, Result,
    redis::{
        Failure,
        pool::Admin,
        streams::{Entry, Inbox, Outcome, Senders, Write, Writer, cancel},
    },
    service::{Answer, Call, Descriptor, Method},
    wire::{self, Frame, Reply, Request},
};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tracing::Instrument;

/// How long a caller waits before it looks again whether an app's stream is there.
const NO_STREAM_PAUSE: Duration = Duration::from_millis(50);
/// How long a timed-out caller may take to find out whether its call was started.
const CANCEL_TIME: Duration = Duration::from_millis(500);
/// How long a queue that was found full counts as full without asking Redis.
const FULL_FOR: Duration = Duration::from_millis(100);

/// Where a remote service's calls go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    /// `KEY/APP`, for messages.
    pub(crate) app: String,
    pub(crate) stream: Arc<str>,
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
}

/// The calling half of a node.
pub(crate) struct Rpc {
    node: String,
    limits: CallLimits,
    pending: Mutex<Pending<oneshot::Sender<Arrived>>>,
    // When each stream that was found too long may be tried again.
    full: Mutex<HashMap<Arc<str>, Instant>>,
    admin: Admin,
    writer: OnceLock<Writer>,
}

/// What wakes a caller.
enum Arrived {
    Reply(Result<Answer>),
    /// The request is not (or perhaps not) in the stream.
    Failed(Outcome),
    /// It is, behind more others than allowed.
    TooMany {
        entry: String,
    },
}

impl Rpc {
    pub(crate) fn new(node: &str, limits: CallLimits, admin: Admin) -> Self {
        Rpc {
            node: node.to_owned(),
            limits,
            pending: Mutex::new(Pending::new(limits.max_pending)),
            full: Mutex::default(),
            admin,
            writer: OnceLock::new(),
        }
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
    pub(crate) async fn call(self: &Arc<Self>, target: &Target, call: Call) -> Result<Answer> {
        let timeout = call.timeout.unwrap_or(self.limits.timeout);
        let deadline = Instant::now() + timeout;
        self.refuse_if_full(target)?;
        let (waiter, arrived) = oneshot::channel();
        let id = self.lock().insert(waiter).map_err(|Full| self.too_many_pending())?;
        let ticket = Ticket { rpc: self.clone(), id, stream: target.stream.clone(), over: false };
        let span = tracing::debug_span!("call", id = %wire::call_id(&self.node, id), path = %call.path,
            method = %call.method, app = %target.app);
        self.run(ticket, target, call, deadline, timeout, arrived).instrument(span).await
    }

    async fn run(
        self: &Arc<Self>,
        mut ticket: Ticket,
        target: &Target,
        call: Call,
        deadline: Instant,
        timeout: Duration,
        mut arrived: oneshot::Receiver<Arrived>,
    ) -> Result<Answer> {
        let method = call.method.clone();
        let request = Request::new(ticket.id, &self.node, &target.path, call);
        let frame = request.encode(timeout)?;
        if frame.len() > self.limits.max_payload {
            return Err(Error::payload_too_large(format!(
                "The call of {method} on '{}' takes {} bytes, more than max_payload ({})",
                target.path,
                frame.len(),
                self.limits.max_payload
            )));
        }
        // Nothing is sent twice unless Redis said that it does not have it, so one copy of the frame is enough for
        // almost every call.
        self.send(target, frame, ticket.id, deadline)?;
        loop {
            let outcome = tokio::select! {
                outcome = &mut arrived => outcome,
                () = tokio::time::sleep_until(deadline.into()) => return Err(ticket.time_out(target, &method, timeout).await),
            };
            match outcome {
                Ok(Arrived::Reply(outcome)) => {
                    ticket.over = true;
                    return outcome;
                }
                Ok(Arrived::TooMany { entry }) => {
                    if self.cancel(&target.stream, &entry).await.unwrap_or(false) {
                        return Err(self.too_many_queued(target));
                    }
                    // A replica was faster: the call runs.
                    arrived = ticket.rearm().ok_or_else(gone)?;
                }
                Ok(Arrived::Failed(Outcome::NoStream)) => {
                    // Its app will make it when the first replica comes (again).
                    tokio::time::sleep(NO_STREAM_PAUSE.min(deadline.saturating_duration_since(Instant::now()))).await;
                    arrived = ticket.rearm().ok_or_else(gone)?;
                    self.send(target, request.encode(timeout)?, ticket.id, deadline)?;
                }
                Ok(Arrived::Failed(Outcome::Refused(error))) => {
                    return Err(Error::unavailable(format!("Redis refused the call of '{}': {error}", target.path)));
                }
                Ok(Arrived::Failed(Outcome::Unknown)) => {
                    arrived = ticket.rearm().ok_or_else(gone)?;
                    // A second copy of what may run twice does no harm; of anything else, the reply or the deadline
                    // must tell.
                    if target.descriptor.is_idempotent(&method) {
                        self.send(target, request.encode(timeout)?, ticket.id, deadline)?;
                    }
                }
                Ok(Arrived::Failed(Outcome::Added { .. })) | Err(_) => return Err(gone()),
            }
        }
    }

    fn send(&self, target: &Target, frame: Vec<u8>, token: u64, deadline: Instant) -> Result<()> {
        let write = Write::Request { stream: target.stream.clone(), frame, deadline, stamp: wire::stamp, token };
        let sent = self.writer.get().is_some_and(|writer| writer.push(write));
        if sent { Ok(()) } else { Err(Error::unavailable("This node has shut down and makes no more calls")) }
    }

    /// Takes in what came into the inbox as a reply.
    pub(crate) fn reply(&self, frame: &[u8]) {
        match Reply::decode(frame) {
            Ok(reply) => {
                let waiter = self.lock().complete(reply.id);
                match waiter {
                    Some(waiter) => drop(waiter.send(Arrived::Reply(reply.into_outcome()))),
                    None => tracing::debug!(id = reply.id, "a reply that nobody waits for"),
                }
            }
            Err(error) => tracing::warn!(%error, "a reply was refused; its caller will time out"),
        }
    }

    /// Deletes a request that nobody has started; says whether that was so.
    async fn cancel(&self, stream: &str, entry: &str) -> Result<bool, Failure> {
        let mut connection = self.admin.get(stream).await?;
        cancel(&mut connection, stream, entry).await
    }

    /// Does so, soon, for a request whose caller has gone.
    fn withdraw(&self, stream: Arc<str>, entry: String) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let admin = self.admin.clone();
        runtime.spawn(async move {
            let withdrawn = async {
                let mut connection = admin.get(&stream).await?;
                cancel(&mut connection, &stream, &entry).await
            };
            if let Err(error) = withdrawn.await {
                tracing::debug!(%error, "a request that nobody waits for could not be withdrawn");
            }
        });
    }

    /// Wakes everyone who waits for a reply, since none will come any more.
    pub(crate) fn close(&self) {
        self.lock().close();
    }

    fn refuse_if_full(&self, target: &Target) -> Result<()> {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        match full.get(&target.stream) {
            Some(until) if *until > Instant::now() => Err(self.too_many_queued(target)),
            Some(_) => {
                full.remove(&target.stream);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn too_many_queued(&self, target: &Target) -> Error {
        Error::too_many_requests(format!(
            "More than {} calls of app '{}' are waiting (max_queue): add replicas or call less",
            self.limits.max_queue, target.app
        ))
        .with_data(json!({ "outcome": "never ran" }))
    }

    fn too_many_pending(&self) -> Error {
        Error::too_many_requests(format!(
            "{} calls of this node wait for replies already (max_pending)",
            self.limits.max_pending
        ))
        .with_data(json!({ "outcome": "never ran" }))
    }

    fn lock(&self) -> MutexGuard<'_, Pending<oneshot::Sender<Arrived>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone() -> Error {
    Error::unavailable("This node has shut down while the call was under way")
}

/// What the writer asks and tells.
impl Senders for Rpc {
    fn wanted(&self, token: u64) -> bool {
        self.lock().leaves(token)
    }

    fn kept(&self, token: u64) {
        self.lock().returned(token);
    }

    fn sent(&self, token: u64, stream: &Arc<str>, outcome: Outcome) {
        let mut pending = self.lock();
        let failed = match outcome {
            Outcome::Added { entry, .. } if !pending.sent(token, entry.clone()) => {
                drop(pending);
                return self.withdraw(stream.clone(), entry);
            }
            Outcome::Added { entry, length } if length > self.limits.max_queue => {
                self.full
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(stream.clone(), Instant::now() + FULL_FOR);
                Arrived::TooMany { entry }
            }
            Outcome::Added { .. } => return,
            other => {
                if !matches!(other, Outcome::Unknown) {
                    pending.returned(token);
                }
                Arrived::Failed(other)
            }
        };
        if let Some(waiter) = pending.wake(token) {
            let _ = waiter.send(failed);
        }
    }
}

/// A call under way. Dropped before it is over, it withdraws its request if nobody has started it.
struct Ticket {
    rpc: Arc<Rpc>,
    id: u64,
    stream: Arc<str>,
    over: bool,
}

impl Ticket {
    fn rearm(&self) -> Option<oneshot::Receiver<Arrived>> {
        let (waiter, arrived) = oneshot::channel();
        self.rpc.lock().rearm(self.id, waiter).then_some(arrived)
    }

    /// Ends the call at its deadline and finds out whether it ever ran.
    async fn time_out(&mut self, target: &Target, method: &Method, timeout: Duration) -> Error {
        self.over = true;
        let stage = self.rpc.lock().abandon(self.id);
        let never_ran = match stage {
            Some(Stage::Sent(entry)) => {
                let cancelled = tokio::time::timeout(CANCEL_TIME, self.rpc.cancel(&self.stream, &entry)).await;
                matches!(cancelled, Ok(Ok(true)))
            }
            // The writer asks before it sends and will find nobody waiting.
            Some(Stage::Queued) => true,
            Some(Stage::Sending) | None => false,
        };
        let (outcome, meaning) = match never_ran {
            true => ("never ran", "no replica took it"),
            false => ("unknown", "it may have run"),
        };
        let message = format!(
            "{method} on '{}' had no answer from app '{}' within {}: {meaning}",
            target.path,
            target.app,
            humantime::format_duration(timeout)
        );
        Error::timeout(message).with_data(json!({ "outcome": outcome }))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // One that is leaving right now is withdrawn when the writer says where it stands.
        let Some(Stage::Sent(entry)) = self.rpc.lock().abandon(self.id) else { return };
        self.rpc.withdraw(self.stream.clone(), entry);
    }
}

/// Reads the inbox until it is stopped: replies go to their callers, requests to `handed_on`.
pub(crate) async fn read_inbox(mut inbox: Inbox, rpc: Arc<Rpc>, handed_on: impl Fn(Entry)) {
    while let Some(entries) = inbox.next().await {
        for entry in entries {
            if wire::is_request(&entry.frame) {
                handed_on(entry);
            } else {
                rpc.reply(&entry.frame);
            }
        }
    }
    rpc.close();
}
