//! Calls from other nodes: pulled from a stream of the app, run on its services, answered.

mod admission;
mod completion;

use crate::node::{
    Inner,
    client::rpc::{CallLimits, Received},
    idempotency::{Delivery, EndedRun, IdempotentCall, NotBegun},
    rate_limited_log::RateLimitedLog,
    server::{
        completed_cache::CompletedCache,
        fired::{self, noting},
        in_flight::{InFlight, InFlightRequest, Print},
        partitions::{SlotWaiters, Work, share},
        replay_guard::ReplayGuard,
    },
};
use crate::{
    redis::{
        Failure,
        connection::link::Live,
        keys::{Keys, LOST},
        queue::{Calls, Delivered, Entry, EntryId, Pulled, Reader, Write, Writer},
    },
    wire::{self, Abandoned, Handoff, Request, Signer},
};
use arc_swap::ArcSwap;
use futures_util::{FutureExt, future::Aborted};
use parking_lot::{Mutex, MutexGuard};
use rachis_core::{
    Answer, Call, Error, Method, Outcome, Result,
    host::{Found, Registered},
};
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// Requests in one read. More hardly make a read cheaper, and while Redis fetches them, this replica works.
pub(in crate::node) const PULL: usize = 64;
/// The pause before Redis, which could not be asked about a request, is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// When a replica looks again for what was given to a connection that it has lost.
const LATER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// How long the replicas of an app may take to notice that their group is gone.
const REGROUP_PAUSE: Duration = Duration::from_secs(1);

/// The answering half of a node, for one partition of its app.
pub(crate) struct Responder {
    number: usize,
    keys: Keys,
    calls: Calls,
    stream: Arc<str>,
    writer: Arc<OnceLock<Writer>>,
    limits: Arc<ArcSwap<CallLimits>>,
    signer: Signer,
    // Calls that must not run twice, where frames are signed: a copy then comes from a writer without the secret.
    replay_guard: Mutex<ReplayGuard>,
    refused: RateLimitedLog,
    slots: Arc<Semaphore>,
    readers: Arc<AtomicUsize>,
    waiting: Arc<SlotWaiters>,
    in_flight: InFlight,
    completed: Mutex<CompletedCache>,
    tasks: TaskTracker,
    // Whatever brings requests in, so that a shutdown knows when none come any more.
    sources: TaskTracker,
}

impl Responder {
    pub(crate) fn new(number: usize, calls: Calls, work: &Work) -> Self {
        Responder {
            number,
            keys: work.keys.clone(),
            stream: calls.stream().into(),
            calls,
            writer: work.writer.clone(),
            limits: work.limits.clone(),
            signer: work.signer.clone(),
            replay_guard: Mutex::default(),
            refused: RateLimitedLog::new(),
            slots: work.slots.clone(),
            readers: work.readers.clone(),
            waiting: work.waiting.clone(),
            in_flight: InFlight::default(),
            completed: Mutex::default(),
            tasks: work.tasks.clone(),
            sources: work.sources.clone(),
        }
    }

    fn write(&self, write: Write) {
        // Nothing is received before there is a writer, and after a shutdown others answer.
        if let Some(writer) = self.writer.get() {
            writer.push(write);
        }
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Pulls requests until the reader is stopped, never more than there are slots for.
    pub(crate) async fn pull(self: Arc<Self>, node: Arc<Inner>, mut reader: Reader, stop: CancellationToken) {
        let mut troubled = false;
        loop {
            // A slot is free before anything is pulled: what this replica can not start, another can.
            let mut slot = std::pin::pin!(self.slots.clone().acquire_owned());
            let first = loop {
                tokio::select! {
                    biased;
                    slot = &mut slot => break slot,
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(REGROUP_PAUSE / 3) => self.keep_what_runs(&node).await,
                }
            };
            let Ok(first) = first else { return };
            let mut interrupt = std::pin::pin!(self.waiting.one_more());
            // Before it is asked whether any request waits, so that none comes unseen in between.
            interrupt.as_mut().enable();
            let readers = self.readers.load(Ordering::Relaxed);
            let (free, wait) = share(self.slots.available_permits(), readers, self.waiting.any());
            match self.calls.pull(&mut reader, free, wait, interrupt).await {
                None => return,
                Some(Pulled::New(requests)) => {
                    let mut slots = first;
                    let others = u32::try_from(requests.len().saturating_sub(1)).unwrap_or(u32::MAX);
                    if let Ok(others) = self.slots.clone().try_acquire_many_owned(others) {
                        slots.merge(others);
                    }
                    for entry in requests {
                        let Some(in_flight) = self.take(&entry) else { continue };
                        // No more were asked for than there are slots, but what was handed off takes some as well.
                        let slot = match slots.split(1) {
                            Some(slot) => slot,
                            None => tokio::select! {
                                Ok(slot) = self.slots.clone().acquire_owned() => slot,
                                () = stop.cancelled() => return,
                            },
                        };
                        self.start(&node, Delivered { entry, deliveries: 1, from: None }, Way::Queue, in_flight, slot);
                    }
                    drop(slots);
                    // What can be answered at once leaves before the next are asked for, who are more by then. One that is
                    // alone shall not make the next one wait.
                    if others > 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Some(Pulled::Refused(refused)) => {
                    tracing::debug!(error = %refused, "requests can not be read, making their group anew");
                    match self.regroup(&node).await {
                        Ok(()) if matches!(refused.code(), Some("NOGROUP" | "UNBLOCKED")) => troubled = false,
                        Ok(()) => tokio::time::sleep(ASK_AGAIN).await,
                        Err(error) => {
                            if !std::mem::replace(&mut troubled, true) {
                                tracing::warn!(stream = %self.stream, %error, "requests can not be read, trying on");
                            }
                            tokio::time::sleep(ASK_AGAIN).await;
                        }
                    }
                }
                Some(Pulled::Reconnected) => {
                    drop(first);
                    let (me, node, stop) = (self.clone(), node.clone(), stop.clone());
                    // Beside the pulling, since what is found may have to wait for slots.
                    self.sources.spawn(async move {
                        stop.run_until_cancelled(async {
                            me.look_again(&node).await;
                            // Until the server notices that the last connection is gone, it goes on to give it requests.
                            for pause in LATER {
                                tokio::time::sleep(pause).await;
                                me.look_again(&node).await;
                            }
                        })
                        .await;
                    });
                }
            }
        }
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
        self.write(Write::Finished { stream: self.stream.clone(), entry, reply, held: Arc::new(in_flight) });
        None
    }

    fn completed(&self) -> MutexGuard<'_, CompletedCache> {
        self.completed.lock()
    }

    /// Makes stream and group where they are missing. What stood in the stream then is inherited as from a dead replica,
    /// after a while, in which every replica takes back what it works on.
    pub(crate) async fn regroup(&self, node: &Inner) -> Result<(), Failure> {
        if self.number >= node.partitions.wanted() && !node.has_key(&self.stream).await? {
            // It was retired, and is closed here, too, before long.
            tokio::time::sleep(ASK_AGAIN).await;
            return Ok(());
        }
        let left = self.calls.regroup(&mut node.admin.get(&self.stream).await?, &self.in_flight.all()).await?;
        if left {
            tracing::warn!(stream = %self.stream, "the group of the replicas was gone: who had which request is not known");
            let heirs = node.dead_replicas.clone();
            tokio::spawn(async move {
                tokio::time::sleep(REGROUP_PAUSE).await;
                heirs.send(LOST.to_owned()).ok();
            });
        }
        Ok(())
    }

    /// Looks whether the group is gone, or was, while this replica has no slot free and so does not read: what it works on
    /// must not be inherited with what nobody knows about.
    async fn keep_what_runs(&self, node: &Inner) {
        let looked = async {
            let lost = |mut live: Live| async move { self.calls.is_group_lost(&mut live.connection).await };
            match node.redis(&self.stream, lost).await? {
                true => self.regroup(node).await,
                false => Ok(()),
            }
        };
        if let Err(error) = looked.await {
            tracing::debug!(stream = %self.stream, %error, "whether the group of the replicas is there could not be asked");
        }
    }

    /// Runs a request that was taken over from a dead replica, if it may run twice.
    pub(crate) async fn take_over(self: &Arc<Self>, node: &Arc<Inner>, claimed: Delivered) {
        let Some(slot) = self.waiting.slot(&self.slots).await else { return };
        // It may have been found among what this replica was given.
        if let Some(in_flight) = self.take(&claimed.entry) {
            self.start(node, claimed, Way::Queue, in_flight, slot);
        }
    }

    /// Looks after requests that another replica handed off.
    pub(crate) fn received(self: &Arc<Self>, node: Arc<Inner>, received: Received) {
        let me = self.clone();
        self.tasks.spawn(async move {
            let begun = async {
                match received {
                    Received::Handoff(note) => me.begin_note(&node, &note).await,
                    Received::Abandoned(note) => me.abandon(&note),
                    Received::NotesLost => me.look_again(&node).await,
                }
            };
            node.stop.run_until_cancelled(begun).await;
        });
    }

    /// Ends a request that only reads, since its caller has gone.
    pub(crate) fn abandon(&self, note: &Abandoned) {
        match note.entry.parse() {
            Ok(entry) => self.in_flight.abandon(entry),
            Err(()) => tracing::debug!(entry = note.entry, "a note of no request"),
        }
    }

    /// Starts what this replica was given and does not work on: lost with a connection, or handed off by a note that was.
    pub(crate) async fn look_again(self: &Arc<Self>, node: &Arc<Inner>) {
        loop {
            let given = |mut live: Live| async move { self.calls.given(&mut live.connection).await };
            match node.redis(&self.stream, given).await {
                Ok(given) => {
                    for entry in given {
                        self.begin_given(node, entry, Way::Queue).await;
                    }
                    return;
                }
                Err(error) => tracing::debug!(%error, "what this replica was given could not be asked for"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Deletes requests that were settled while Redis refused to delete them: those of this replica, or `all`.
    pub(crate) async fn delete_settled(&self, node: &Inner, all: bool) -> Result<(), Failure> {
        if !self.in_flight.take_leftovers() && !all {
            return Ok(());
        }
        let deleted = |mut live: Live| async move { self.calls.delete_settled(&mut live.connection).await };
        match node.redis(&self.stream, deleted).await {
            Ok(0) => Ok(()),
            Ok(requests) => {
                tracing::info!(stream = %self.stream, requests, "deleted requests that could not be deleted when they were settled");
                Ok(())
            }
            Err(error) => {
                self.in_flight.leave();
                Err(error)
            }
        }
    }

    /// How many requests this replica works on.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Starts what this replica was given a while ago and does not work on, beside whoever asks: it may have to wait for
    /// slots.
    pub(crate) async fn begin_overlooked(self: &Arc<Self>, node: &Arc<Inner>) -> Result<(), Failure> {
        // Younger ones may be on their way.
        let age = node.config.ttl() / 2;
        let given = |mut live: Live| async move { self.calls.given_before(&mut live.connection, age).await };
        let given = node.redis(&self.stream, given).await?;
        let overlooked: Vec<EntryId> = given.into_iter().filter(|entry| !self.in_flight.contains(*entry)).collect();
        if overlooked.is_empty() {
            return Ok(());
        }
        tracing::debug!(requests = overlooked.len(), "was given requests that it does not work on");
        let (me, node, stop) = (self.clone(), node.clone(), node.pulling.clone());
        self.sources.spawn(async move {
            stop.run_until_cancelled(async {
                for entry in overlooked {
                    me.begin_given(&node, entry, Way::Queue).await;
                }
            })
            .await;
        });
        Ok(())
    }

    async fn begin_note(self: &Arc<Self>, node: &Arc<Inner>, note: &Handoff) {
        match note.entry.parse() {
            Ok(entry) => self.begin_given(node, entry, Way::Handoff).await,
            Err(()) => tracing::debug!(entry = note.entry, "a note of no request"),
        }
    }

    /// Starts a request that is said to be pending for this replica. It is asked for only once it is in flight: until it
    /// no longer is nobody here can begin it, and once it was settled it is no longer pending.
    async fn begin_given(self: &Arc<Self>, node: &Arc<Inner>, entry: EntryId, way: Way) {
        if self.in_flight.contains(entry) {
            return;
        }
        let Some(slot) = self.waiting.slot(&self.slots).await else { return };
        let Some(in_flight) = self.in_flight.take(entry, Print::UNKNOWN) else { return };
        let given = loop {
            let asked = |mut live: Live| async move { self.calls.own(&mut live.connection, entry).await };
            match node.redis(&self.stream, asked).await {
                Ok(given) => break given,
                Err(error) => tracing::debug!(%entry, %error, "a request could not be asked for"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        };
        let Some(given) = given else { return tracing::debug!(%entry, "is settled, or another replica's") };
        let Some(in_flight) = self.unless_completed(in_flight.of(Print::of(&given.entry.frame))) else { return };
        match node.draining.is_cancelled() {
            // Who leaves begins nothing: another replica gets it as if it were new.
            true => self.requeue(node, given).await,
            false => self.start(node, given, way, in_flight, slot),
        }
    }

    fn start(
        self: &Arc<Self>,
        node: &Arc<Inner>,
        delivered: Delivered,
        way: Way,
        in_flight: InFlightRequest,
        slot: OwnedSemaphorePermit,
    ) {
        let (me, node) = (self.clone(), node.clone());
        // In a box: a task is moved several times before it runs.
        self.tasks.spawn(Box::pin(async move {
            me.receive(&node, delivered, way, in_flight).await;
            drop(slot);
        }));
    }

    // What is seldom needed is boxed, here and below: a task is as large as its largest branch, and is moved when it is
    // spawned, which for each request would cost more than all else that is done for it.
    async fn receive(self: &Arc<Self>, node: &Arc<Inner>, delivered: Delivered, way: Way, in_flight: InFlightRequest) {
        let Delivered { entry, deliveries, .. } = &delivered;
        let (mut request, left) = match Request::decode(&entry.frame, self.signer.at(&self.stream)) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.refuse(entry.id, &error);
                Box::pin(self.dead_letter(node, &delivered, None, error.message())).await;
                return;
            }
        };
        let expires = expiry(entry, left);
        let left = time_left(node, expires);
        let in_flight = in_flight.wanted_for(left);
        let is_poison = *deliveries > self.limits.load().max_deliveries;
        if left.is_zero() && !is_poison {
            tracing::debug!(call = %request.call_id(), "came after its deadline and is not started");
            return self.complete(in_flight, None);
        }
        if self.is_copy(node, &request, entry) {
            // The caller gets the reply to the original.
            return self.complete(in_flight, None);
        }
        if let Way::Handoff = way {
            request.hops = request.hops.saturating_add(1);
        }
        if *deliveries > 1 {
            if let Err(error) = self.may_run_again(node, &request, *deliveries) {
                if is_poison {
                    tracing::warn!(entry = %entry.id, %error, "a request goes to the dead letters");
                    if !Box::pin(self.dead_letter(node, &delivered, Some(&request), error.message())).await {
                        // Its caller need not wait for that.
                        return self.tell(&request, Err(error));
                    }
                }
                return self.answer(in_flight, &request, Err(error));
            }
            tracing::info!(call = %request.call_id(), deliveries, "redelivered");
            node.metrics.redeliveries.inc();
        }
        let caller = (request.from.clone(), request.id);
        if let Some(in_flight) = self.work(node, request, in_flight, expires, *deliveries).await {
            Box::pin(self.give_back(node, delivered, in_flight, &caller)).await;
        }
    }

    /// Runs a request and settles it; returns it if the service hands it back.
    async fn work(
        self: &Arc<Self>,
        node: &Arc<Inner>,
        request: Request,
        in_flight: InFlightRequest,
        expires: u64,
        deliveries: u32,
    ) -> Option<InFlightRequest> {
        let span = tracing::debug_span!("serve", id = %request.call_id(), path = %request.call.path, method = %request.call.method);
        async {
            match self.admit(node, &request) {
                Ok(found) => {
                    let (id, from) = (request.id, request.from.clone());
                    let call = request.into_call(!node.config.authentication);
                    let Some(idempotent) = IdempotentCall::of(&found.value.descriptor, &call, &found.route) else {
                        // In a box: else the task, which is moved three times in its life, holds all levels of what runs
                        // the call.
                        let serving = Box::pin(serve_while_wanted(node, found, call, expires, &in_flight));
                        let (outcome, fired) = noting(serving).await;
                        let Some(outcome) = outcome else {
                            self.complete(in_flight, None);
                            return None;
                        };
                        if is_handed_back(&outcome) {
                            return Some(in_flight);
                        }
                        fired.taken(node.events.intake(), waits(node, expires)).await;
                        self.reply(in_flight, id, &from, outcome);
                        return None;
                    };
                    let until = Instant::now() + time_left(node, expires);
                    let delivery = Delivery {
                        name: crate::redis::idempotency::run(&self.name_of(in_flight.entry()), deliveries),
                        first: deliveries == 1,
                        until,
                    };
                    let work = serve_in_time(node, found, call, expires, deliveries == 1);
                    let run = Box::pin(node.run_once(idempotent, delivery, work));
                    let (run, fired) = noting(run).await;
                    let EndedRun { outcome, completed } = match run {
                        Ok(ended) => ended,
                        Err(NotBegun(error)) => {
                            Box::pin(self.refuse_unbegun(node, in_flight, expires, id, &from, error)).await;
                            return None;
                        }
                    };
                    if is_handed_back(&outcome) {
                        return Some(in_flight);
                    }
                    fired.taken(node.events.intake(), waits(node, expires)).await;
                    let finished = self.finished(in_flight, id, &from, outcome.clone());
                    self.write(match completed {
                        Some(completed) => node.kept_before(completed, &outcome, finished),
                        None => finished,
                    });
                }
                Err(error) => match self.elsewhere(node, &request) {
                    Some(replica) => Box::pin(self.hand_off(node, in_flight, expires, &replica)).await,
                    None => {
                        let error = Box::pin(refusal(node, &request, error)).await;
                        let (id, to) = (request.id, &request.from);
                        Box::pin(self.refuse_unbegun(node, in_flight, expires, id, to, error)).await;
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

/// When the caller of an entry stops waiting for the reply, in ms of Redis's clock; a signed one says that itself, too.
fn expiry(entry: &Entry, left: Duration) -> u64 {
    let sent = entry.id.ms.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    sent.min(wire::until(&entry.frame))
}

fn time_left(node: &Inner, expires: u64) -> Duration {
    Duration::from_millis(expires.saturating_sub(node.clock.now()))
}

/// Who waits for the reply to a request.
fn waits(node: &Inner, expires: u64) -> fired::ReplyTo {
    fired::ReplyTo::Elsewhere(time_left(node, expires))
}

/// Runs a call of another node as long as its caller waits, if it only reads: what comes later would not be read, and
/// may be long work. What changes something goes on to its end. `None` when the caller has gone before its deadline.
async fn serve_while_wanted(
    node: &Arc<Inner>,
    found: Found<Arc<Registered>>,
    call: Box<Call>,
    expires: u64,
    in_flight: &InFlightRequest,
) -> Option<Result<Answer>> {
    let reads = matches!(call.method, Method::Find | Method::Get);
    let serving = serve(node, found, call);
    if !reads {
        return Some(serving.await);
    }
    match tokio::time::timeout(time_left(node, expires), in_flight.run(serving)).await {
        Ok(Ok(outcome)) => Some(outcome),
        Ok(Err(Aborted)) => {
            tracing::debug!("its caller has gone");
            None
        }
        // It was begun, and perhaps a part of it is done.
        Err(_) => Some(Err(Error::timeout("The caller's deadline is over").with_outcome(Outcome::Unknown))),
    }
}

/// Runs a call that may have waited for long until it was its turn. Not after the deadline of its caller, which was told by
/// then that it may have run, and may have seen to that.
async fn serve_in_time(
    node: &Arc<Inner>,
    found: Found<Arc<Registered>>,
    call: Box<Call>,
    expires: u64,
    is_first: bool,
) -> Result<Answer> {
    if node.clock.now() >= expires {
        let outcome = if is_first { Outcome::NeverRan } else { Outcome::Unknown };
        return Err(Error::timeout("The caller's deadline was over before the call could begin").with_outcome(outcome));
    }
    serve(node, found, call).await
}

/// The error for a request that may not run here. Whom the hooks of the service do not know is told that, and not what the
/// service offers.
async fn refusal(node: &Arc<Inner>, request: &Request, error: Error) -> Error {
    if error.code() != 405 {
        return error;
    }
    let Some(found) = node.app.find_named(&request.call.path) else { return error };
    let call = request.clone().into_call(!node.config.authentication);
    let asked = AssertUnwindSafe(node.app.ask(found, call, node.caller())).catch_unwind().await;
    let asked = asked.unwrap_or_else(|_| Err(Error::general(format!("A hook of '{}' panicked", request.call.path))));
    asked.err().unwrap_or(error)
}

/// Runs a call of another node, and counts it.
async fn serve(node: &Arc<Inner>, found: Found<Arc<Registered>>, call: Box<Call>) -> Result<Answer> {
    let (descriptor, method, started) = (found.value.descriptor.clone(), call.method.clone(), Instant::now());
    let outcome = run(node, found, call).await;
    node.metrics.requests.note(&descriptor, &method, started.elapsed(), &outcome);
    outcome
}

/// Runs a call; a service that panics fails that call and nothing else.
pub(in crate::node) async fn run(node: &Arc<Inner>, found: Found<Arc<Registered>>, call: Box<Call>) -> Result<Answer> {
    let (descriptor, method) = (found.value.descriptor.clone(), call.method.clone());
    let running = AssertUnwindSafe(node.app.run(found, call, node.caller()));
    running.catch_unwind().await.unwrap_or_else(|_| {
        let path = &descriptor.path;
        tracing::error!(%path, %method, "a service panicked");
        Err(Error::general(format!("{method} on '{path}' panicked")))
    })
}
