//! Calls from other nodes: each request of a partition is decoded, admitted, run on its service, and answered.

mod admission;
mod completion;
mod given;
mod pull;

use super::{
    completed_cache::CompletedCache,
    in_flight::{InFlight, InFlightRequest, Print},
    replay_guard::ReplayGuard,
    slots::Slot,
    work::Work,
};
use crate::{
    node::{
        events::fired::noting,
        idempotency::{Delivery, EndedRun, IdempotentCall, NotBegun},
        shared::rate_limited_log::RateLimitedLog,
    },
    redis::queue::{Calls, Delivered, Entry, EntryId, Write},
    wire::{self, Request},
};
use parking_lot::{Mutex, MutexGuard};
use rachis_core::{Answer, Error, Result};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::Instrument;

/// The pause before Redis, which could not be asked about a request, is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// The answering half of a node, for one partition of its app.
pub(crate) struct Responder {
    number: usize,
    calls: Calls,
    stream: Arc<str>,
    // Calls that must not run twice, where frames are signed: a copy then comes from a writer without the secret.
    replay_guard: Mutex<ReplayGuard>,
    refused: RateLimitedLog,
    in_flight: InFlight,
    completed: Mutex<CompletedCache>,
    work: Arc<Work>,
}

/// How a request came to this replica.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Out of the queue, or the hands of the dead.
    Queue,
    /// From a replica that lacks the method; it is not handed off again.
    Handoff,
}

fn is_handed_back(outcome: &Result<Answer>) -> bool {
    outcome.as_ref().is_err_and(Error::is_handed_back)
}

impl Responder {
    pub(crate) fn new(number: usize, calls: Calls, work: Arc<Work>) -> Self {
        Responder {
            number,
            stream: calls.stream().into(),
            calls,
            replay_guard: Mutex::default(),
            refused: RateLimitedLog::new(),
            in_flight: InFlight::default(),
            completed: Mutex::default(),
            work,
        }
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// How many requests this replica works on.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Takes a request in flight that Redis has given out. Returns `None` if it is already, or was finished here.
    fn take(&self, entry: &Entry) -> Option<InFlightRequest> {
        self.unless_completed(self.in_flight.take(entry.id, Print::of(&entry.frame))?)
    }

    fn unless_completed(&self, in_flight: InFlightRequest) -> Option<InFlightRequest> {
        let entry = in_flight.entry();
        let Some(reply) = self.completed().reply(entry, in_flight.print()) else { return Some(in_flight) };
        // Redis gives it out all the same: it has lost what it was told.
        tracing::debug!(%entry, "finished already, settled again");
        self.work.write(Write::Finished { stream: self.stream.clone(), entry, reply, held: Arc::new(in_flight) });
        None
    }

    fn completed(&self) -> MutexGuard<'_, CompletedCache> {
        self.completed.lock()
    }

    fn start(self: &Arc<Self>, delivered: Delivered, way: Way, in_flight: InFlightRequest, slot: Slot) {
        let me = self.clone();
        // In a box: a task is moved several times before it runs.
        self.work.tasks.requests.spawn(Box::pin(async move {
            me.receive(delivered, way, in_flight).await;
            drop(slot);
        }));
    }

    // What is seldom needed is boxed, here and below: a task is as large as its largest branch, and is moved when it is
    // spawned, which for each request would cost more than all else that is done for it.
    async fn receive(self: &Arc<Self>, delivered: Delivered, way: Way, in_flight: InFlightRequest) {
        let Delivered { entry, deliveries, .. } = &delivered;
        let (mut request, left) = match Request::decode(&entry.frame, self.work.signer.at(&self.stream)) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.refuse(entry.id, &error);
                Box::pin(self.dead_letter(&delivered, None, error.message())).await;
                return;
            }
        };
        let expires = expiry(entry, left);
        let left = self.work.execution.time_left(expires);
        let in_flight = in_flight.wanted_for(left);
        let is_poison = *deliveries > self.work.limits.load().max_deliveries;
        if left.is_zero() && !is_poison {
            tracing::debug!(call = %request.call_id(), "came after its deadline and is not started");
            return self.complete(in_flight, None);
        }
        if self.is_copy(&request, entry) {
            // The caller gets the reply to the original.
            return self.complete(in_flight, None);
        }
        if let Way::Handoff = way {
            request.hops = request.hops.saturating_add(1);
        }
        if *deliveries > 1 {
            if let Err(error) = self.may_run_again(&request, *deliveries) {
                if is_poison {
                    tracing::warn!(entry = %entry.id, %error, "a request goes to the dead letters");
                    if !Box::pin(self.dead_letter(&delivered, Some(&request), error.message())).await {
                        // Its caller need not wait for that.
                        return self.tell(&request, Err(error));
                    }
                }
                return self.answer(in_flight, &request, Err(error));
            }
            tracing::info!(call = %request.call_id(), deliveries, "redelivered");
            self.work.metrics.redeliveries.inc();
        }
        let caller = (request.from.clone(), request.id);
        if let Some(in_flight) = self.settle(request, in_flight, expires, *deliveries).await {
            Box::pin(self.give_back(delivered, in_flight, &caller)).await;
        }
    }

    /// Runs a request and settles it; returns it if the service hands it back.
    async fn settle(
        self: &Arc<Self>,
        request: Request,
        in_flight: InFlightRequest,
        expires: u64,
        deliveries: u32,
    ) -> Option<InFlightRequest> {
        let span = tracing::debug_span!("serve", id = %request.call_id(), path = %request.call.path, method = %request.call.method);
        let execution = &self.work.execution;
        async {
            match self.work.admission.admit(&request) {
                Ok(found) => {
                    let id = request.id;
                    let from = request.from.clone();
                    let mut call = execution.call_of(request);
                    call.timeout = Some(execution.time_left(expires));
                    let Some(idempotent) = IdempotentCall::of(&found.value.descriptor, &call, &found.route) else {
                        // In a box: else the task, which is moved three times in its life, holds all levels of what runs
                        // the call.
                        let serving = Box::pin(execution.serve_while_wanted(found, call, expires, &in_flight));
                        let (outcome, fired) = noting(serving).await;
                        let Some(outcome) = outcome else {
                            self.complete(in_flight, None);
                            return None;
                        };
                        if is_handed_back(&outcome) {
                            return Some(in_flight);
                        }
                        execution.take_events(fired, expires).await;
                        self.reply(in_flight, id, &from, outcome);
                        return None;
                    };
                    let until = Instant::now() + execution.time_left(expires);
                    let delivery = Delivery {
                        name: crate::redis::idempotency::run(&self.name_of(in_flight.entry()), deliveries),
                        first: deliveries == 1,
                        until,
                    };
                    let work = execution.serve_in_time(found, call, expires, deliveries == 1);
                    let run = Box::pin(execution.idempotency.run_once(idempotent, delivery, work));
                    let (run, fired) = noting(run).await;
                    let EndedRun { outcome, completed } = match run {
                        Ok(ended) => ended,
                        Err(NotBegun(error)) => {
                            Box::pin(self.refuse_unbegun(in_flight, expires, id, &from, error)).await;
                            return None;
                        }
                    };
                    if is_handed_back(&outcome) {
                        return Some(in_flight);
                    }
                    execution.take_events(fired, expires).await;
                    let finished = self.finished(in_flight, id, &from, outcome.clone());
                    self.work.write(match completed {
                        Some(completed) => execution.idempotency.kept_before(completed, &outcome, finished),
                        None => finished,
                    });
                }
                Err(error) => match self.work.admission.elsewhere(&request) {
                    Some(replica) => Box::pin(self.hand_off(in_flight, expires, &replica)).await,
                    None => {
                        let error = Box::pin(execution.refusal(&request, error)).await;
                        Box::pin(self.refuse_unbegun(in_flight, expires, request.id, &request.from, error)).await;
                    }
                },
            }
            None
        }
        .instrument(span)
        .await
    }

    /// The name of a request: two partitions may have entries of one id.
    fn name_of(&self, entry: EntryId) -> String {
        if self.number == 0 { entry.to_string() } else { format!("{entry}/{}", self.number) }
    }
}

/// When the caller of an entry stops waiting for the reply, in ms of Redis's clock; a signed one says that itself, too.
fn expiry(entry: &Entry, left: Duration) -> u64 {
    let sent = entry.id.ms.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    sent.min(wire::until(&entry.frame))
}
