//! Events of this node on their way to Redis.

use super::fired;
use crate::{
    node::shared::{context::NodeContext, live_config::LiveConfig, published::Published},
    redis::event_log::{self, Outgoing},
    wire::{EventFrame, Frame},
};
use parking_lot::Mutex;
use rachis_core::{Error, Event, host::EventSink};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Events that may wait for Redis. One that finds the queue full is lost to other nodes, which is said in the log and to
/// them by a `resync`; at a thousand events a second this is half a minute of outage.
const OUTGOING: usize = 32_768;

/// Numbers the events of a node and hands them to the publisher.
pub(crate) struct Outbox {
    context: Arc<NodeContext>,
    config: Arc<LiveConfig>,
    outgoing: mpsc::Sender<Outgoing>,
    counter: Mutex<Counter>,
    stop: CancellationToken,
}

/// Numbers events in the order in which they go out: a node that hears a lower number after a higher one takes it for a
/// repeat.
#[derive(Default)]
struct Counter {
    next: u64,
    /// Paths of which events were lost, which listeners have not been told yet.
    lost: HashSet<String>,
}

impl Outbox {
    /// Creates it, with what is to be published.
    pub(crate) fn new(
        context: Arc<NodeContext>,
        config: Arc<LiveConfig>,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<Outgoing>) {
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let counter = Mutex::default();
        (Outbox { context, config, outgoing, counter, stop }, queue)
    }

    /// Sends an event to the listeners elsewhere.
    fn publish(self: &Arc<Self>, event: &Event) {
        let mut counter = self.counter.lock();
        let Some(outgoing) = self.outgoing(counter.next, event) else { return };
        counter.next += 1;
        self.context.metrics.published.inc();
        if self.outgoing.try_send(outgoing).is_ok() || !counter.lost.insert(event.path.clone()) {
            return;
        }
        drop(counter);
        tracing::error!(path = %event.path, "Redis takes no events and the queue is full: they are lost");
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.clone().tell_of_loss(event.path.clone()));
        }
    }

    /// Waits until everything published so far has reached Redis.
    pub(crate) async fn flush(&self) {
        let (published, wait) = oneshot::channel();
        if self.outgoing.send(Outgoing::Mark { _published: published }).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// Tells others that events were lost, as soon as there is room for that.
    async fn tell_of_loss(self: Arc<Self>, path: String) {
        let Some(Ok(room)) = self.stop.run_until_cancelled(self.outgoing.reserve()).await else { return };
        let mut counter = self.counter.lock();
        counter.lost.remove(&path);
        if let Some(notice) = self.outgoing(counter.next, &Event::resync(&path)) {
            counter.next += 1;
            room.send(notice);
        }
    }

    /// Returns an event as it leaves this node.
    fn outgoing(&self, number: u64, event: &Event) -> Option<Outgoing> {
        let frame = self.frame(number, event)?;
        Some(Outgoing::Event { path: event.path.clone(), number, frame, receipt: fired::receipt() })
    }

    /// Returns the frame that says, in place of events of `path` up to `number`, that they were missed.
    pub(crate) fn notice(&self, path: &str, number: u64) -> Option<Vec<u8>> {
        self.frame(number, &Event::resync(path))
    }

    /// The frame of an event. For one that is too large or too deep it is that of the notice that something was missed.
    fn frame(&self, number: u64, event: &Event) -> Option<Vec<u8>> {
        let NodeContext { identity, keys, signer, clock, .. } = &*self.context;
        // A node that signs nothing needs no scope.
        let channel = if signer.signs() { keys.events(&identity.key, &event.path) } else { String::new() };
        let scope = signer.at(&channel).until(clock.now() + event_log::LOG_TTL_MS);
        let encode = |event: &Event| EventFrame::new(&identity.id, &identity.app, number, event).encode(scope);
        let max = self.config.load().limits.max_payload.as_usize();
        let frame = encode(event).and_then(|frame| {
            if frame.len() <= max {
                return Ok(frame);
            }
            Err(Error::payload_too_large(format!("It takes {} bytes, more than max_payload ({max})", frame.len())))
        });
        let frame = frame.or_else(|error| {
            tracing::error!(path = %event.path, event = %event.name, %error,
                "an event can not be published, others get a resync in its place");
            encode(&Event::resync(&event.path))
        });
        let told = |error: &Error| tracing::error!(path = %event.path, event = %event.name, %error, "no frame");
        frame.inspect_err(told).ok()
    }
}

/// Takes the events of an app on behalf of its node.
pub(crate) struct EventSource {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) published: Arc<Published>,
}

impl EventSink for EventSource {
    fn event(&self, event: &Arc<Event>) {
        let published = self.published.get(&event.path);
        let is_published = published.is_some_and(|published| published.events.contains(&event.name));
        if is_published && self.config.load().publish_events {
            self.outbox.publish(event);
        }
    }
}
