//! Calls to other nodes: a request into the app's stream, a reply out of this node's inbox.

use super::{
    partition_selector::PartitionSelector,
    pending::Safety,
    requests::Requests,
    ticket::{Ticket, gone},
    waiting::{Arrived, Waiting},
};
use crate::{
    node::shared::clock::Clock,
    redis::{Failure, queue::WriteOutcome},
    wire::{self, Request, Signer},
};
use rachis_core::{Answer, Call, Descriptor, Error, Outcome, Result};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
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

/// Makes the calls of a node to others.
pub(crate) struct Rpc {
    node: Arc<str>,
    requests: Arc<Requests>,
    clock: Arc<Clock>,
    signer: Signer,
}

impl Rpc {
    pub(crate) fn new(node: &str, requests: Requests, clock: Arc<Clock>, signer: Signer) -> Self {
        Rpc { node: node.into(), requests: Arc::new(requests), clock, signer }
    }

    fn waiting(&self) -> &Arc<Waiting> {
        self.requests.waiting()
    }

    /// Makes a call of a remote service.
    pub(crate) async fn call(&self, target: &CallTarget, call: Box<Call>) -> Result<Answer> {
        let timeout = call.timeout.unwrap_or(self.waiting().limits.load().timeout);
        let deadline = deadline(Instant::now(), timeout);
        let stream = self.choose(target, call.params.idempotency_key.as_deref())?;
        let (waiter, arrived) = oneshot::channel();
        let safety = match (target.descriptor.is_idempotent(&call.method), &call.params.idempotency_key) {
            (true, _) => Safety::Idempotent,
            (false, Some(_)) => Safety::Keyed,
            (false, None) => Safety::Unsafe,
        };
        let id = self.waiting().begin(waiter, stream.clone(), safety, deadline)?;
        let ticket = Ticket { requests: self.requests.clone(), id, stream, deadline, over: false, sent_again: false };
        let span = tracing::debug_span!("call", id = %wire::CallId(&self.node, id), path = %call.path,
            method = %call.method, app = %target.app);
        self.run(ticket, target, call, timeout, arrived).instrument(span).await
    }

    async fn run(
        &self,
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
        let max = self.waiting().limits.load().max_payload;
        if frame.len() > max {
            return Err(Error::payload_too_large(format!(
                "The call of {method} on '{}' takes {} bytes, more than max_payload ({max})",
                target.path,
                frame.len()
            )));
        }
        // Nothing is sent twice unless Redis said that it does not have it, so one copy of the frame is enough for
        // almost every call.
        ticket.send(frame)?;
        loop {
            match (&mut arrived).await {
                Ok(Arrived::Reply(outcome)) => {
                    ticket.over = true;
                    return outcome.map_err(|error| ticket.answered(error));
                }
                Ok(Arrived::Late) => {
                    return Err(Box::pin(ticket.time_out(&target.path, &target.app, &method, timeout)).await);
                }
                Ok(Arrived::TooMany { entry }) => {
                    if self.requests.cancel(&ticket.stream, entry).await {
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
                    ticket.send(encode(&ticket)?)?;
                }
                Ok(Arrived::Failed(WriteOutcome::Refused(error))) => {
                    return Err(ticket.told(refused(&target.path, &error)));
                }
                Ok(Arrived::Resend) => {
                    tracing::debug!("the request is sent again");
                    ticket.sent_again = true;
                    arrived = ticket.rearm()?;
                    ticket.send(encode(&ticket)?)?;
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

    /// The stream for a call.
    fn choose(&self, target: &CallTarget, key: Option<&str>) -> Result<Arc<str>> {
        let selected = target.selector.select(key, self.waiting().is_full());
        selected.cloned().ok_or_else(|| self.too_many_queued(target))
    }

    fn too_many_queued(&self, target: &CallTarget) -> Error {
        Error::too_many_requests(format!(
            "More than {} calls of app '{}' are waiting (max_queue): add replicas or call less",
            self.waiting().limits.load().max_queue,
            target.app
        ))
        .with_outcome(Outcome::NeverRan)
    }
}

/// When a call of that much time is over, or of as much as a request can tell.
fn deadline(now: Instant, timeout: Duration) -> Instant {
    now + timeout.min(wire::LONGEST)
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
