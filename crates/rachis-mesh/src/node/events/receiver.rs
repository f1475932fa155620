//! Hears the events of other nodes: each once, in order, with what was missed read from the log.

use super::{aside::Takeover, channel::ChannelState, incoming_event::IncomingEvent};
use crate::{
    node::{
        catalog::{CatalogChange, Route, SharedCatalog},
        shared::{context::NodeContext, life::Life, rate_limited_log::RateLimitedLog},
    },
    redis::{
        Failure,
        connection::pool::Admin,
        event_log::{self, Logged, Since},
        pubsub::Subscriptions,
        queue::EntryId,
    },
    wire::{self, EventFrame, Frame},
};
use futures_util::{StreamExt, stream};
use parking_lot::{Mutex, MutexGuard};
use rachis_core::{Error, Result, host::listeners::Listener};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Weak},
    time::Instant,
};
use tokio::sync::Notify;

/// Logs that are read at the same time.
const TOGETHER: usize = 4;

/// The channels of services elsewhere that are listened to.
pub(crate) struct EventReceiver {
    context: Arc<NodeContext>,
    life: Arc<Life>,
    catalog: SharedCatalog,
    /// Bytes that may wait for one listener.
    buffer: usize,
    admin: Admin,
    channels: Subscriptions,
    heard: Mutex<HashMap<String, ChannelState>>,
    /// Notified when it becomes unsure whether everything was heard.
    doubt: Notify,
    refused: RateLimitedLog,
}

/// Keeps a channel subscribed while it lives.
pub(super) struct Listening {
    event_receiver: Weak<EventReceiver>,
    channel: String,
}

impl EventReceiver {
    pub(crate) fn new(
        context: Arc<NodeContext>,
        life: Arc<Life>,
        catalog: SharedCatalog,
        buffer: usize,
        admin: Admin,
        channels: Subscriptions,
    ) -> Self {
        EventReceiver {
            context,
            life,
            catalog,
            buffer,
            admin,
            channels,
            heard: Mutex::default(),
            doubt: Notify::new(),
            refused: RateLimitedLog::new(),
        }
    }

    /// Subscribes to a service's channel and returns what comes in from `app`, or without one from whichever app is called.
    pub(super) async fn listen(
        self: &Arc<Self>,
        key: &str,
        path: &str,
        app: Option<String>,
    ) -> Result<(Listener<Arc<IncomingEvent>>, Listening)> {
        let channel = self.context.keys.events(key, path);
        let (receiver, first) = {
            let mut heard = self.lock();
            let state = || ChannelState::new(key, path, self.buffer);
            let entry = heard.entry(channel.clone()).or_insert_with(state);
            entry.users += 1;
            (
                entry.listeners.listen(self.buffer, move |told: &Arc<IncomingEvent>| told.is_for(app.as_deref())),
                entry.users == 1,
            )
        };
        let listening = Listening { event_receiver: Arc::downgrade(self), channel: channel.clone() };
        if !self.life.is_open() {
            return Err(Error::unavailable("This node has not joined the mesh"));
        }
        if !self.channels.subscribe(channel.clone()).await {
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
        let mut connection = self.admin.get(&self.context.keys.event_log(key, path)).await?;
        event_log::newest(&mut connection, &self.context.keys, key, path).await
    }

    /// What the log of a path holds of the time from `since` on, in ms of Redis's clock.
    pub(super) async fn past(
        &self,
        key: &str,
        path: &str,
        since: u64,
    ) -> Result<VecDeque<Arc<IncomingEvent>>, Failure> {
        let channel = self.context.keys.events(key, path);
        let mut connection = self.admin.get(&self.context.keys.event_log(key, path)).await?;
        let logged = event_log::from(&mut connection, &self.context.keys, key, path, since).await?;
        let frames = logged.iter().filter_map(|logged| self.read(&channel, logged));
        let elsewhere = frames.filter(|frame| frame.origin != self.context.identity.id);
        let told = |frame: EventFrame| {
            let routed = is_routed(self.route(path).as_ref(), &frame);
            IncomingEvent::new(frame, routed)
        };
        Ok(elsewhere.map(told).collect())
    }

    /// Takes in a message of some channel.
    pub(crate) async fn message(&self, channel: &str, payload: &[u8]) {
        let Some(logged) = Logged::decode(payload) else {
            return tracing::warn!(channel, "a message that is no event was passed over");
        };
        let missed = match self.lock().get(channel) {
            Some(heard) if heard.cursor.is_empty() => heard.blind,
            Some(heard) => heard.cursor != logged.prev && is_before(&heard.cursor, &logged.id),
            None => return,
        };
        if missed && !self.catch_up(channel).await {
            // EventReceiver this one moves the cursor on, past what could not be read.
            self.resync(channel, String::new());
        }
        self.hear(channel, logged);
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
    pub(crate) async fn settle(&self) -> bool {
        let unsure = |(channel, heard): (&String, &ChannelState)| heard.unsure.then(|| channel.clone());
        let channels: Vec<String> = self.lock().iter().filter_map(unsure).collect();
        let settled =
            stream::iter(channels).map(async |channel| self.catch_up(&channel).await).buffer_unordered(TOGETHER);
        settled.fold(true, async |all, one| all && one).await
    }

    /// Hears what came after the cursor; `false` when Redis could not be asked.
    async fn catch_up(&self, channel: &str) -> bool {
        let Some((key, path, cursor, blind)) = self.lock().get(channel).map(ChannelState::place) else { return true };
        let missed = async {
            if cursor.is_empty() {
                let newest = self.newest(&key, &path).await?;
                return Ok(if blind { Since::Gap { newest } } else { Since::Nothing { newest } });
            }
            let mut connection = self.admin.get(&self.context.keys.event_log(&key, &path)).await?;
            event_log::since(&mut connection, &self.context.keys, &key, &path, &cursor).await
        };
        match missed.await {
            Ok(Since::Nothing { newest }) => {
                if let Some(heard) = self.lock().get_mut(channel).filter(|heard| heard.cursor.is_empty()) {
                    heard.cursor = newest;
                }
            }
            Ok(Since::All(events)) => {
                let (good, lost): (Vec<_>, Vec<_>) =
                    events.into_iter().partition(|logged| self.read(channel, logged).is_some());
                if let Some(last) = lost.last() {
                    self.resync(channel, last.id.clone());
                }
                good.into_iter().for_each(|logged| self.hear(channel, logged));
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
    pub(crate) fn taken_over(&self, changes: &[CatalogChange], takeover: Takeover) {
        let path = |change: &CatalogChange| match change {
            CatalogChange::Service(route) | CatalogChange::ServiceRemoved(route) => Some(route.path.clone()),
            _ => None,
        };
        let paths: HashSet<String> = changes.iter().filter_map(path).collect();
        if paths.is_empty() {
            return;
        }
        for heard in self.lock().values_mut().filter(|heard| paths.contains(&heard.path)) {
            let route = self.route(&heard.path);
            let overdue = heard.aside.take(route.as_ref().map(|route| route.app.as_str()), takeover);
            if overdue.missed {
                tracing::warn!(path = %heard.path, "events of the app that took over were missed");
                heard.tell_of_gap();
            }
            for told in overdue.events {
                let told = IncomingEvent { routed: true, again: true, ..Arc::unwrap_or_clone(told) };
                heard.listeners.send(&Arc::new(told), IncomingEvent::size);
            }
        }
    }

    fn hear(&self, channel: &str, logged: Logged) {
        let Some(frame) = self.read(channel, &logged) else { return };
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
        if frame.origin != self.context.identity.id {
            self.context.metrics.heard.inc();
            // Under the lock: a takeover that this does not know yet finds the event aside.
            let route = self.route(&heard.path);
            let routed = is_routed(route.as_ref(), &frame);
            let told = IncomingEvent::new(frame, routed);
            if let Some(route) = route.filter(|_| !routed) {
                heard.aside.put(told.clone(), at, &route.app, Instant::now());
            }
            heard.listeners.send(&told, IncomingEvent::size);
        }
    }

    /// Reads an event; `None`, with a warning now and then, for what is none or counts no more.
    fn read(&self, channel: &str, logged: &Logged) -> Option<EventFrame> {
        let read = EventFrame::decode(&logged.frame, self.context.signer.at(channel)).and_then(|frame| {
            // No log should have it any more: it was published again.
            if wire::until(&logged.frame) < self.context.clock.now() {
                return Err(Error::not_authenticated("It stands there after its time"));
            }
            Ok(frame)
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

    /// Where calls of `path` go.
    fn route(&self, path: &str) -> Option<Arc<Route>> {
        self.catalog.lock().route(path).cloned()
    }
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
        let Some(event_receiver) = self.event_receiver.upgrade() else { return };
        let mut heard = event_receiver.lock();
        let Some(entry) = heard.get_mut(&self.channel) else { return };
        entry.users -= 1;
        if entry.users == 0 {
            heard.remove(&self.channel);
            event_receiver.channels.unsubscribe(&self.channel);
        }
    }
}
