//! Calls from other nodes: pulled from the app's stream, run on its services, answered.

use super::{Inner, done::Done, rpc::CallLimits};
use crate::{
    Error, Result,
    redis::{
        Failure,
        keys::Keys,
        streams::{Calls, Delivered, Entry, Reader, Write, Writer, entry_ms},
    },
    service::{Answer, Call, Found, Method, Registered},
    wire::{self, Frame, Reply, Request},
};
use futures_util::FutureExt;
use serde_json::json;
use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// How long whatever brings requests in may take to end.
const SOURCES_TIME: Duration = Duration::from_secs(1);
/// Requests in one read. More do not make a read cheaper.
const PULL: usize = 256;

/// The answering half of a node.
pub(crate) struct Responder {
    keys: Keys,
    calls: Calls,
    stream: Arc<str>,
    writer: OnceLock<Writer>,
    limits: CallLimits,
    max_deliveries: u32,
    dead_letters: usize,
    slots: Arc<Semaphore>,
    // Entries that are being worked on, so that reading what is pending after a reconnect starts nothing twice.
    running: Mutex<HashSet<String>>,
    done: Mutex<Done>,
    tasks: TaskTracker,
    // Whatever brings requests in, so that a shutdown knows when none come any more.
    sources: TaskTracker,
}

/// Where a request came from, and so where it is settled.
enum Source {
    /// The app's stream, under this entry id.
    Stream(String),
    /// This node's inbox, by way of a replica that did not have the method. The stream has let go of it already.
    Inbox,
}

impl Responder {
    pub(crate) fn new(
        keys: Keys,
        calls: Calls,
        limits: CallLimits,
        max_in_flight: usize,
        max_deliveries: u32,
        dead_letters: usize,
    ) -> Self {
        Responder {
            keys,
            stream: calls.stream().into(),
            calls,
            writer: OnceLock::new(),
            limits,
            max_deliveries,
            dead_letters,
            slots: Arc::new(Semaphore::new(max_in_flight)),
            running: Mutex::default(),
            done: Mutex::default(),
            tasks: TaskTracker::new(),
            sources: TaskTracker::new(),
        }
    }

    /// Gives it the node's writer.
    pub(crate) fn attach(&self, writer: Writer) {
        let _ = self.writer.set(writer);
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

    /// Calls that are being worked on.
    pub(crate) fn in_flight(&self) -> usize {
        self.tasks.len()
    }

    /// Runs something that brings in requests and ends when `pulling` is cancelled.
    pub(crate) fn spawn_source(&self, source: impl Future<Output = ()> + Send + 'static) {
        self.sources.spawn(source);
    }

    /// Pulls requests until the reader is stopped, never more than there are slots for.
    pub(crate) async fn pull(self: Arc<Self>, node: Arc<Inner>, mut reader: Reader, stop: CancellationToken) {
        loop {
            // A slot is free before anything is pulled: what this replica can not start, another can.
            let first = tokio::select! {
                slot = self.slots.clone().acquire_owned() => slot,
                () = stop.cancelled() => return,
            };
            let Ok(first) = first else { return };
            let free = 1 + self.slots.available_permits().min(PULL - 1);
            let Some(requests) = self.calls.pull(&mut reader, free).await else { return };
            let mut first = Some(first);
            for Delivered { entry, deliveries } in requests {
                if self.lock().contains(&entry.id) || self.settled_again(&entry.id) {
                    continue;
                }
                let slot = match first.take() {
                    Some(slot) => slot,
                    // Only what was found pending after a reconnect can be more than there are slots for.
                    None => tokio::select! {
                        Ok(slot) = self.slots.clone().acquire_owned() => slot,
                        () = stop.cancelled() => return,
                    },
                };
                self.start(&node, entry, deliveries, slot);
            }
        }
    }

    /// Runs a request that was taken over from a dead replica, if it may run twice.
    pub(crate) async fn take_over(self: &Arc<Self>, node: &Arc<Inner>, claimed: Delivered) {
        let Delivered { entry, deliveries } = claimed;
        let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
        // It may have been found among what is pending after a reconnect.
        if !self.lock().contains(&entry.id) && !self.settled_again(&entry.id) {
            self.start(node, entry, deliveries, slot);
        }
    }

    /// Runs a request that another replica handed on.
    pub(crate) fn handed_on(self: &Arc<Self>, node: Arc<Inner>, entry: Entry) {
        let me = self.clone();
        self.tasks.spawn(async move {
            let Ok(_slot) = me.slots.clone().acquire_owned().await else { return };
            match Request::decode(&entry.frame) {
                Ok((request, left)) if expiry(&entry.id, left) <= node.clock.now() => {
                    tracing::debug!(call = %request.call_id(), "waited beyond its deadline and is not started");
                }
                Ok((request, left)) => me.work(&node, request, Source::Inbox, expiry(&entry.id, left)).await,
                Err(error) => tracing::warn!(%error, "a request that was handed on was refused"),
            }
        });
    }

    fn start(self: &Arc<Self>, node: &Arc<Inner>, entry: Entry, delivery: u32, slot: OwnedSemaphorePermit) {
        self.lock().insert(entry.id.clone());
        let (me, node) = (self.clone(), node.clone());
        self.tasks.spawn(async move {
            let id = entry.id.clone();
            me.receive(&node, entry, delivery).await;
            me.lock().remove(&id);
            drop(slot);
        });
    }

    async fn receive(self: &Arc<Self>, node: &Arc<Inner>, entry: Entry, delivery: u32) {
        let (request, left) = match Request::decode(&entry.frame) {
            Ok(decoded) => decoded,
            Err(error) => return self.bury(node, &entry.id, error.message(), delivery).await,
        };
        let expires = expiry(&entry.id, left);
        if expires <= node.clock.now() {
            tracing::debug!(call = %request.call_id(), "came after its deadline and is not started");
            return self.settle(Source::Stream(entry.id), None);
        }
        if delivery > 1 {
            if let Err(error) = self.may_run_again(node, &request, delivery) {
                if delivery > self.max_deliveries {
                    self.bury(node, &entry.id, error.message(), delivery).await;
                }
                return self.answer(Source::Stream(entry.id), &request, Err(error));
            }
            tracing::info!(call = %request.call_id(), delivery, "redelivered");
        }
        self.work(node, request, Source::Stream(entry.id), expires).await;
    }

    /// A replica had this request and died; may another run it?
    fn may_run_again(&self, node: &Inner, request: &Request, delivery: u32) -> Result<()> {
        if delivery > self.max_deliveries {
            return Err(Error::unavailable(format!(
                "{} on '{}' was given to {} replicas and none finished it",
                request.method,
                request.path,
                delivery - 1
            ))
            .with_data(json!({ "outcome": "unknown" })));
        }
        let registered = node.app.find_named(&request.path);
        let declared = registered.map(|found| found.value.descriptor.is_idempotent(&request.method));
        if declared.unwrap_or(request.method.is_idempotent()) {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "The replica that had {} on '{}' died: it may have run, and is not run again",
            request.method, request.path
        ))
        .with_data(json!({ "outcome": "unknown" })))
    }

    async fn work(self: &Arc<Self>, node: &Arc<Inner>, request: Request, source: Source, expires: u64) {
        let span =
            tracing::debug_span!("serve", id = %request.call_id(), path = %request.path, method = %request.method);
        async {
            match self.admit(node, &request) {
                Ok(found) => {
                    let (id, from) = (request.id, request.from.clone());
                    let call = request.into_call(!node.config.authentication);
                    let outcome = run(node, found, call).await;
                    self.reply(source, id, &from, outcome);
                }
                Err(error) => match self.elsewhere(node, &request) {
                    Some(replica) => self.hand_on(node, source, request, expires, &replica),
                    None => self.answer(source, &request, Err(error)),
                },
            }
        }
        .instrument(span)
        .await;
    }

    /// Only what was published may be called, whoever wrote the request.
    fn admit(&self, node: &Inner, request: &Request) -> Result<Found<Arc<Registered>>> {
        let found = node.app.find_named(&request.path).ok_or_else(|| crate::service::not_found(&request.path))?;
        let published = node.published(&request.path).ok_or_else(|| crate::service::not_found(&request.path))?;
        match published.methods.contains(&request.method) {
            true => Ok(found),
            false => Err(crate::service::not_offered(&request.method, &request.path)),
        }
    }

    /// In a rolling deploy another replica of the same app may have what this one lacks. Asked once, so that no call
    /// goes round in circles.
    fn elsewhere(&self, node: &Inner, request: &Request) -> Option<String> {
        if request.hops > 0 {
            return None;
        }
        let catalog = node.catalog();
        catalog.replica_with(&node.app_key, &request.path, &request.method).map(str::to_owned)
    }

    fn hand_on(&self, node: &Inner, source: Source, mut request: Request, expires: u64, replica: &str) {
        request.hops += 1;
        tracing::debug!(replica, "handed on");
        let left = Duration::from_millis(expires.saturating_sub(node.clock.now()));
        match request.encode(left) {
            Ok(frame) => {
                let inbox = self.keys.inbox(replica);
                match source {
                    // Should Redis give it out again, it is not handed on again: it may run there.
                    Source::Stream(entry) => {
                        self.note_done(&entry, None);
                        self.write(Write::Finished { stream: self.stream.clone(), entry, reply: Some((inbox, frame)) });
                    }
                    Source::Inbox => self.write(Write::Send { inbox, frame, then: None }),
                }
            }
            Err(error) => self.answer(source, &request, Err(error)),
        }
    }

    fn answer(&self, source: Source, request: &Request, outcome: Result<Answer>) {
        self.reply(source, request.id, &request.from, outcome);
    }

    fn reply(&self, source: Source, id: u64, to: &str, outcome: Result<Answer>) {
        let max = self.limits.max_payload;
        let frame = Reply::new(id, outcome).encode().and_then(|frame| match frame.len() > max {
            true => Err(Error::payload_too_large(format!(
                "The reply takes {} bytes, more than max_payload ({max}): ask for less, by $limit or $select",
                frame.len()
            ))),
            false => Ok(frame),
        });
        let frame = frame.or_else(|error| Reply::new(id, Err(error)).encode());
        match frame {
            Ok(frame) => self.settle(source, Some((to.to_owned(), frame))),
            Err(error) => {
                tracing::error!(%error, "no reply could be made; the caller will time out");
                self.settle(source, None);
            }
        }
    }

    /// Sends a reply to a node and lets go of the request, in one write.
    fn settle(&self, source: Source, reply: Option<(String, Vec<u8>)>) {
        let reply = reply.map(|(node, frame)| (self.keys.inbox(&node), frame));
        let write = match (source, reply) {
            (Source::Stream(entry), reply) => {
                self.note_done(&entry, reply.as_ref());
                Write::Finished { stream: self.stream.clone(), entry, reply }
            }
            (Source::Inbox, Some((inbox, frame))) => Write::Send { inbox, frame, then: None },
            (Source::Inbox, None) => return,
        };
        self.write(write);
    }

    fn note_done(&self, entry: &str, reply: Option<&(String, Vec<u8>)>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).add(entry, reply);
    }

    /// Settles a request that was finished here and is given out all the same: its reply has not left yet, or Redis lost
    /// what it was told. `false`: it was not finished here.
    fn settled_again(&self, entry: &str) -> bool {
        let Some(reply) = self.done.lock().unwrap_or_else(PoisonError::into_inner).reply(entry) else { return false };
        tracing::debug!(entry, "finished already, settled again");
        self.write(Write::Finished { stream: self.stream.clone(), entry: entry.to_owned(), reply });
        true
    }

    async fn bury(&self, node: &Inner, entry: &str, reason: &str, deliveries: u32) {
        tracing::warn!(entry, reason, "a request goes to the dead letters");
        let outcome: Result<bool, Failure> = async {
            let mut connection = node.admin.get(&self.stream).await?;
            self.calls.bury(&mut connection, entry, reason, deliveries, self.dead_letters).await
        }
        .await;
        if let Err(error) = outcome {
            tracing::warn!(entry, %error, "it could not be buried and stays pending");
        }
    }

    /// Hands back what was pulled and not started, waits for what was, at most for `grace`. Says how many were left.
    pub(crate) async fn drain(&self, node: &Inner, grace: Duration) -> usize {
        self.sources.close();
        if tokio::time::timeout(SOURCES_TIME, self.sources.wait()).await.is_err() {
            tracing::warn!("Redis took too long to stop giving out requests; others will claim the last");
        }
        if let Err(error) = self.hand_back(node).await {
            tracing::warn!(%error, "requests that were not started could not be handed back; others will claim them");
        }
        self.tasks.close();
        let _ = tokio::time::timeout(grace, self.tasks.wait()).await;
        self.tasks.len()
    }

    async fn hand_back(&self, node: &Inner) -> Result<(), Failure> {
        let mut connection = node.admin.get(&self.stream).await?;
        for Delivered { entry, deliveries } in self.calls.pending(&mut connection).await? {
            // What was taken over from the dead may have run there: it stays pending, for the next heir to judge.
            if deliveries > 1 || self.lock().contains(&entry.id) {
                continue;
            }
            let mut frame = entry.frame;
            if let Ok((_, left)) = Request::decode(&frame) {
                // The new entry has a new time, so what is left of the old one's must be written anew.
                let waited = node.clock.now().saturating_sub(entry_ms(&entry.id));
                wire::stamp(&mut frame, left.saturating_sub(Duration::from_millis(waited)));
            }
            self.calls.requeue(&mut connection, &entry.id, &frame).await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When nobody waits any more for the reply to an entry, in ms of Redis's clock.
fn expiry(entry: &str, left: Duration) -> u64 {
    entry_ms(entry).saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

/// Runs a call; a service that panics fails that call and nothing else.
async fn run(node: &Arc<Inner>, found: Found<Arc<Registered>>, call: Call) -> Result<Answer> {
    let (path, method): (String, Method) = (call.path.clone(), call.method.clone());
    let running = AssertUnwindSafe(node.app.run(found, call, node.caller()));
    running.catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(%path, %method, "a service panicked");
        Err(Error::general(format!("{method} on '{path}' panicked")))
    })
}
