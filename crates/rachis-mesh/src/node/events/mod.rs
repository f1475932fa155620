//! Events between nodes: each is published once where it happened and heard once by each listener elsewhere.

mod aside;
mod numbers;
mod subscription;

pub(crate) use aside::Takeover;
pub(crate) use subscription::subscribe;

use super::{
    Inner,
    discovery::catalog::{CatalogChange, Route},
    rate_limited_log::RateLimitedLog,
    server::fired,
};
use crate::{
    redis::{
        Failure,
        connection::pool::Admin,
        event_log::{self, Intake, Logged, Outgoing, Since},
        keys::Keys,
        pubsub::Subscriptions,
        queue::EntryId,
    },
    wire::{self, EventFrame, Frame},
};
use aside::Aside;
use futures_util::{StreamExt, stream};
use numbers::Numbers;
use parking_lot::{Mutex, MutexGuard};
use rachis_core::{
    Error, Event, Result,
    host::{
        EventSink,
        listeners::{Listener, Listeners},
    },
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, OnceLock, Weak},
    time::Instant,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Events that may wait for Redis. One that finds the queue full is lost to other nodes, which is said in the log and to
/// them by a `resync`; at a thousand events a second this is half a minute of outage.
const OUTGOING: usize = 32_768;

/// Logs that are read at the same time.
const TOGETHER: usize = 4;

/// Publishes what happens here and hears what happens elsewhere.
pub(crate) struct Events {
    keys: Keys,
    /// Bytes that may wait for one listener.
    buffer: usize,
    admin: Admin,
    channels: OnceLock<Subscriptions>,
    outgoing: mpsc::Sender<Outgoing>,
    /// How Redis takes what goes out.
    intake: watch::Sender<Intake>,
    counter: Mutex<Counter>,
    heard: Mutex<HashMap<String, ChannelState>>,
    /// Notified when it becomes unsure whether everything was heard.
    doubt: Notify,
    refused: RateLimitedLog,
}

/// Numbers events in the order in which they go out: a node that hears a lower number after a higher one takes it for a
/// repeat.
#[derive(Default)]
struct Counter {
    next: u64,
    /// Paths of which events were lost, which listeners have not been told yet.
    lost: HashSet<String>,
}

/// An event for the listeners, with what was believed when it came.
#[derive(Clone)]
struct Told {
    frame: EventFrame,
    /// `true` if calls of its path go to the app it comes from.
    routed: bool,
    /// `true` if it was told before, when they did not.
    again: bool,
}

impl Told {
    fn new(frame: EventFrame, routed: bool) -> Arc<Self> {
        Arc::new(Told { frame, routed, again: false })
    }

    /// Returns `true` if a subscriber hears it: one that listens to `app`, or without one to whichever app is called. Another
    /// app under the same key may offer the path as well; it is not believed.
    fn is_for(&self, app: Option<&str>) -> bool {
        let is_believed = match app {
            Some(app) => self.frame.app == app && !self.again,
            None => self.routed,
        };
        self.frame.app.is_empty() || is_believed
    }

    /// About how much memory it takes.
    fn size(told: &Arc<Told>) -> usize {
        told.frame.size()
    }
}

/// The state of one channel that has a listener here.
struct ChannelState {
    key: String,
    path: String,
    /// The id of the last event of its log that was heard; empty where it is not known.
    cursor: String,
    /// Events may have been missed, or it is not known where the log ended: Redis is to be asked.
    unsure: bool,
    /// Events may have been missed before the cursor was known.
    blind: bool,
    numbers: Numbers,
    /// Events of apps that calls of the path did not go to when they came.
    aside: Aside,
    listeners: Listeners<Arc<Told>>,
    /// Listeners, which [`Listening`] counts down.
    users: usize,
}

impl ChannelState {
    /// Whose events these are, how far they were heard, and whether some may have been missed before that was known.
    fn place(&self) -> (String, String, String, bool) {
        (self.key.clone(), self.path.clone(), self.cursor.clone(), self.blind)
    }

    /// Tells listeners that they missed events.
    fn tell_of_gap(&self) {
        let frame = EventFrame::new("", "", 0, &Event::resync(&self.path));
        self.listeners.send(&Told::new(frame, true), Told::size);
    }
}

/// Keeps a channel subscribed while it lives.
struct Listening {
    events: Weak<Events>,
    channel: String,
}

impl Events {
    pub(crate) fn new(keys: Keys, buffer: usize, admin: Admin) -> (Arc<Self>, mpsc::Receiver<Outgoing>) {
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let events = Events {
            keys,
            buffer,
            admin,
            channels: OnceLock::new(),
            outgoing,
            intake: watch::Sender::default(),
            counter: Mutex::default(),
            heard: Mutex::default(),
            doubt: Notify::new(),
            refused: RateLimitedLog::new(),
        };
        (Arc::new(events), queue)
    }

    /// Gives it the node's subscriptions.
    pub(crate) fn attach(&self, channels: Subscriptions) {
        let _ = self.channels.set(channels);
    }

    /// How Redis takes events, which the publisher notes here.
    pub(crate) fn intake(&self) -> &watch::Sender<Intake> {
        &self.intake
    }

    /// Sends an event of this node to the listeners elsewhere.
    fn publish(&self, node: &Arc<Inner>, event: &Event) {
        let mut counter = self.counter();
        let Some(outgoing) = outgoing(node, counter.next, event) else { return };
        counter.next += 1;
        node.metrics.published.inc();
        if self.outgoing.try_send(outgoing).is_ok() || !counter.lost.insert(event.path.clone()) {
            return;
        }
        drop(counter);
        tracing::error!(path = %event.path, "Redis takes no events and the queue is full: they are lost");
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tell_of_loss(node.clone(), event.path.clone()));
        }
    }

    fn counter(&self) -> MutexGuard<'_, Counter> {
        self.counter.lock()
    }

    /// Waits until everything published so far has reached Redis.
    pub(crate) async fn flush(&self) {
        let (published, wait) = oneshot::channel();
        if self.outgoing.send(Outgoing::Mark { _published: published }).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// Subscribes to a service's channel and returns what comes in from `app`, or without one from whichever app is called.
    async fn listen(
        self: &Arc<Self>,
        key: &str,
        path: &str,
        app: Option<String>,
    ) -> Result<(Listener<Arc<Told>>, Listening)> {
        let channel = self.keys.events(key, path);
        let (receiver, first) = {
            let mut heard = self.lock();
            let entry = heard.entry(channel.clone()).or_insert_with(|| ChannelState {
                key: key.to_owned(),
                path: path.to_owned(),
                cursor: String::new(),
                unsure: false,
                blind: false,
                numbers: Numbers::default(),
                // What is passed on has to find room beside what waits already.
                aside: Aside::new(self.buffer / 2),
                listeners: Listeners::default(),
                users: 0,
            });
            entry.users += 1;
            (entry.listeners.listen(self.buffer, move |told: &Arc<Told>| told.is_for(app.as_deref())), entry.users == 1)
        };
        let listening = Listening { events: Arc::downgrade(self), channel: channel.clone() };
        let channels = self.channels.get().ok_or_else(|| Error::unavailable("This node has not joined the mesh"))?;
        if !channels.subscribe(channel.clone()).await {
            return Err(Error::unavailable("This node has shut down"));
        }
        if first {
            // From here on a gap shows, even one before the first event.
            let newest = self.newest(key, path).await;
            if let Some(heard) = self.lock().get_mut(&channel)
                && heard.cursor.is_empty()
            {
                match newest {
                    Ok(newest) if !heard.blind => heard.cursor = newest,
                    _ => heard.unsure = true,
                }
                if heard.unsure {
                    self.doubt.notify_one();
                }
            }
        }
        Ok((receiver, listening))
    }

    async fn newest(&self, key: &str, path: &str) -> Result<String, Failure> {
        let mut connection = self.admin.get(&self.keys.event_log(key, path)).await?;
        event_log::newest(&mut connection, &self.keys, key, path).await
    }

    /// What the log of a path holds of the time from `since` on, in ms of Redis's clock.
    async fn past(&self, node: &Inner, key: &str, path: &str, since: u64) -> Result<VecDeque<Arc<Told>>, Failure> {
        let channel = self.keys.events(key, path);
        let mut connection = self.admin.get(&self.keys.event_log(key, path)).await?;
        let logged = event_log::from(&mut connection, &self.keys, key, path, since).await?;
        let frames = logged.iter().filter_map(|logged| self.read(node, &channel, logged));
        let elsewhere = frames.filter(|frame| frame.origin != node.id);
        let told = |frame: EventFrame| {
            let routed = is_routed(route(node, path).as_ref(), &frame);
            Told::new(frame, routed)
        };
        Ok(elsewhere.map(told).collect())
    }

    /// Takes in a message of some channel.
    pub(crate) async fn message(&self, node: &Inner, channel: &str, payload: &[u8]) {
        let Some(logged) = Logged::decode(payload) else {
            return tracing::warn!(channel, "a message that is no event was passed over");
        };
        let missed = match self.lock().get(channel) {
            Some(heard) if heard.cursor.is_empty() => heard.blind,
            Some(heard) => heard.cursor != logged.prev && is_before(&heard.cursor, &logged.id),
            None => return,
        };
        if missed && !self.catch_up(node, channel).await {
            // Hearing this one moves the cursor on, past what could not be read.
            self.resync(channel, String::new());
        }
        self.hear(node, channel, logged);
    }

    /// Notes that events of these channels may have been missed, since they were subscribed anew.
    pub(crate) fn doubt(&self, channels: &[String]) {
        let mut heard = self.lock();
        for channel in channels {
            if let Some(heard) = heard.get_mut(channel) {
                heard.unsure = true;
                heard.blind |= heard.cursor.is_empty();
            }
        }
        drop(heard);
        self.doubt.notify_one();
    }

    /// Ends when it has become unsure whether everything was heard.
    pub(crate) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// Reads what was missed, wherever that is unsure; returns `false` if some of it could not be read and is to be tried
    /// again.
    pub(crate) async fn settle(&self, node: &Inner) -> bool {
        let unsure = |(channel, heard): (&String, &ChannelState)| heard.unsure.then(|| channel.clone());
        let channels: Vec<String> = self.lock().iter().filter_map(unsure).collect();
        let settled =
            stream::iter(channels).map(async |channel| self.catch_up(node, &channel).await).buffer_unordered(TOGETHER);
        settled.fold(true, async |all, one| all && one).await
    }

    /// Hears what came after the cursor; `false` when Redis could not be asked.
    async fn catch_up(&self, node: &Inner, channel: &str) -> bool {
        let Some((key, path, cursor, blind)) = self.lock().get(channel).map(ChannelState::place) else { return true };
        let missed = async {
            if cursor.is_empty() {
                let newest = self.newest(&key, &path).await?;
                return Ok(if blind { Since::Gap { newest } } else { Since::Nothing { newest } });
            }
            let mut connection = self.admin.get(&self.keys.event_log(&key, &path)).await?;
            event_log::since(&mut connection, &self.keys, &key, &path, &cursor).await
        };
        match missed.await {
            Ok(Since::Nothing { newest }) => {
                if let Some(heard) = self.lock().get_mut(channel).filter(|heard| heard.cursor.is_empty()) {
                    heard.cursor = newest;
                }
            }
            Ok(Since::All(events)) => {
                let (good, lost): (Vec<_>, Vec<_>) =
                    events.into_iter().partition(|logged| self.read(node, channel, logged).is_some());
                if let Some(last) = lost.last() {
                    self.resync(channel, last.id.clone());
                }
                good.into_iter().for_each(|logged| self.hear(node, channel, logged));
            }
            Ok(Since::Gap { newest }) => self.resync(channel, newest),
            // It will not say so later either.
            Err(error) if event_log::is_refusal(&error) => {
                tracing::warn!(channel, %error, "Redis does not let this node read which events it missed");
                if blind || !cursor.is_empty() {
                    self.resync(channel, String::new());
                }
            }
            Err(error) => {
                tracing::debug!(channel, %error, "missed events could not be read");
                return false;
            }
        }
        self.sure(channel);
        true
    }

    /// Notes that nothing is missed any more that was not told. A log that was read on after that would bring events before
    /// those that have come already and wait to be heard, which would then be taken for repeats.
    fn sure(&self, channel: &str) {
        if let Some(heard) = self.lock().get_mut(channel) {
            heard.unsure = false;
        }
    }

    /// Tells listeners that events up to `newest` are lost for good.
    fn resync(&self, channel: &str, newest: String) {
        let mut heard = self.lock();
        let Some(heard) = heard.get_mut(channel) else { return };
        tracing::warn!(path = %heard.path, "events were missed and can not be read any more");
        heard.cursor = newest;
        heard.blind = false;
        heard.unsure = false;
        heard.tell_of_gap();
    }

    /// Passes on events that came ahead of the word that their app has taken over their path, in `changes`.
    pub(crate) fn taken_over(&self, node: &Inner, changes: &[CatalogChange], takeover: Takeover) {
        let path = |change: &CatalogChange| match change {
            CatalogChange::Service(route) | CatalogChange::ServiceRemoved(route) => Some(route.path.clone()),
            _ => None,
        };
        let paths: HashSet<String> = changes.iter().filter_map(path).collect();
        if paths.is_empty() {
            return;
        }
        for heard in self.lock().values_mut().filter(|heard| paths.contains(&heard.path)) {
            let route = route(node, &heard.path);
            let overdue = heard.aside.take(route.as_ref().map(|route| route.app.as_str()), takeover);
            if overdue.missed {
                tracing::warn!(path = %heard.path, "events of the app that took over were missed");
                heard.tell_of_gap();
            }
            for told in overdue.events {
                let told = Told { routed: true, again: true, ..Arc::unwrap_or_clone(told) };
                heard.listeners.send(&Arc::new(told), Told::size);
            }
        }
    }

    fn hear(&self, node: &Inner, channel: &str, logged: Logged) {
        let Some(frame) = self.read(node, channel, &logged) else { return };
        let mut heard = self.lock();
        let Some(heard) = heard.get_mut(channel) else { return };
        let at = EntryId::read_or_first(&logged.id).ms;
        // One that joins on is the newest one, even where the clock of a new master is behind.
        if heard.cursor == logged.prev || is_before(&heard.cursor, &logged.id) {
            heard.cursor = logged.id;
        }
        if !heard.numbers.is_new(&frame.origin, frame.number) {
            return;
        }
        // What happened here was heard here already.
        if frame.origin != node.id {
            node.metrics.heard.inc();
            // Under the lock: a takeover that this does not know yet finds the event aside.
            let route = route(node, &heard.path);
            let routed = is_routed(route.as_ref(), &frame);
            let told = Told::new(frame, routed);
            if let Some(route) = route.filter(|_| !routed) {
                heard.aside.put(told.clone(), at, &route.app, Instant::now());
            }
            heard.listeners.send(&told, Told::size);
        }
    }

    /// Reads an event; `None`, with a warning now and then, for what is none or counts no more.
    fn read(&self, node: &Inner, channel: &str, logged: &Logged) -> Option<EventFrame> {
        let read = EventFrame::decode(&logged.frame, node.signer.at(channel)).and_then(|frame| {
            // No log should have it any more: it was published again.
            match wire::until(&logged.frame) < node.clock.now() {
                true => Err(Error::not_authenticated("It stands there after its time")),
                false => Ok(frame),
            }
        });
        read.map_err(|error| {
            if let Some(more) = self.refused.permit() {
                tracing::warn!(channel, %error, more, "an event was refused");
            }
        })
        .ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, ChannelState>> {
        self.heard.lock()
    }
}

/// An event as it leaves this node.
fn outgoing(node: &Inner, number: u64, event: &Event) -> Option<Outgoing> {
    let (path, frame) = (event.path.clone(), frame(node, number, event)?);
    Some(Outgoing::Event { path, number, frame, receipt: fired::receipt() })
}

/// The frame that says, in place of events of `path` up to `number`, that they were missed.
pub(super) fn notice(node: &Inner, path: &str, number: u64) -> Option<Vec<u8>> {
    frame(node, number, &Event::resync(path))
}

/// The frame of an event. For one that is too large it is that of the notice that something was missed.
fn frame(node: &Inner, number: u64, event: &Event) -> Option<Vec<u8>> {
    // A node that signs nothing needs no scope.
    let channel = if node.signer.signs() { node.keys.events(&node.config.key, &event.path) } else { String::new() };
    let scope = node.signer.at(&channel).until(node.clock.now() + event_log::LOG_TTL_MS);
    let encode = |event: &Event| EventFrame::new(&node.id, &node.app_key, number, event).encode(scope);
    let max = node.live.load().limits.max_payload.as_usize();
    let frame = encode(event).and_then(|frame| match frame.len() > max {
        true => {
            tracing::error!(path = %event.path, event = %event.name, bytes = frame.len(), max,
                "an event is larger than max_payload, others get a resync in its place");
            encode(&Event::resync(&event.path))
        }
        false => Ok(frame),
    });
    let told = |error: &Error| tracing::error!(path = %event.path, event = %event.name, %error, "no frame");
    frame.inspect_err(told).ok()
}

/// Tells others that events were lost, as soon as there is room for that.
async fn tell_of_loss(node: Arc<Inner>, path: String) {
    let events = &node.events;
    let Some(Ok(room)) = node.stop.run_until_cancelled(events.outgoing.reserve()).await else { return };
    let mut counter = events.counter();
    counter.lost.remove(&path);
    if let Some(notice) = outgoing(&node, counter.next, &Event::resync(&path)) {
        counter.next += 1;
        room.send(notice);
    }
}

/// Where calls of `path` go.
fn route(node: &Inner, path: &str) -> Option<Arc<Route>> {
    node.catalog().route(path).cloned()
}

/// Returns `true` if an event is from the app that is called, or none is, or if it is from no app.
fn is_routed(route: Option<&Arc<Route>>, frame: &EventFrame) -> bool {
    frame.app.is_empty() || route.is_none_or(|route| route.app == frame.app)
}

/// Compares entry ids as Redis does; an empty one is before all.
fn is_before(a: &str, b: &str) -> bool {
    EntryId::read_or_first(a) < EntryId::read_or_first(b)
}

impl Drop for Listening {
    fn drop(&mut self) {
        let Some(events) = self.events.upgrade() else { return };
        let mut heard = events.lock();
        let Some(entry) = heard.get_mut(&self.channel) else { return };
        entry.users -= 1;
        if entry.users == 0 {
            heard.remove(&self.channel);
            if let Some(channels) = events.channels.get() {
                channels.unsubscribe(&self.channel);
            }
        }
    }
}

/// Hears an app's events on behalf of its node.
pub(crate) struct Publisher {
    pub(crate) node: Weak<Inner>,
}

impl EventSink for Publisher {
    fn event(&self, event: &Arc<Event>) {
        let Some(node) = self.node.upgrade() else { return };
        let published = node.published(&event.path);
        if node.live.load().publish_events && published.is_some_and(|published| published.events.contains(&event.name))
        {
            node.events.publish(&node, event);
        }
    }
}
