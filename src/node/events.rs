//! Events between nodes: each is published once where it happened and heard once wherever somebody listens.

use super::Inner;
use crate::{
    Error, Result,
    redis::{
        Failure,
        event_log::{self, Logged, Outgoing},
        keys::Keys,
        pool::Admin,
        pubsub::Channels,
    },
    service::{Event, EventSink, EventStream, RESYNC},
    wire::{EventFrame, Frame},
};
use futures_util::{StreamExt, stream};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{broadcast, mpsc, oneshot};

/// Events that may wait for Redis. One that finds the queue full is lost to other nodes, which is said in the log and to
/// them by a `resync`; at a thousand events a second this is half a minute of outage.
const OUTGOING: usize = 32_768;

/// Publishes what happens here and hears what happens elsewhere.
pub(crate) struct Events {
    keys: Keys,
    buffer: usize,
    admin: Admin,
    channels: OnceLock<Channels>,
    outgoing: mpsc::Sender<Outgoing>,
    number: AtomicU64,
    lost: AtomicU64,
    heard: Mutex<HashMap<String, Heard>>,
}

/// One channel that somebody here listens to.
struct Heard {
    key: String,
    path: String,
    /// The id of the last event of its log that was heard.
    cursor: String,
    /// The number of the last event of each node: a repeat is known by it.
    numbers: HashMap<String, u64>,
    listeners: broadcast::Sender<Arc<EventFrame>>,
    /// Listeners, which [`Listening`] counts down.
    users: usize,
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
            number: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            heard: Mutex::default(),
        };
        (Arc::new(events), queue)
    }

    /// Gives it the node's subscriptions.
    pub(crate) fn attach(&self, channels: Channels) {
        let _ = self.channels.set(channels);
    }

    /// Sends an event of this node to whoever listens elsewhere.
    fn publish(&self, node: &Inner, event: &Event) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let frame = match EventFrame::new(&node.id, &node.app_key, number, event).encode() {
            Ok(frame) => frame,
            Err(error) => return tracing::error!(path = %event.path, event = %event.name, %error, "no frame"),
        };
        let outgoing = Outgoing::Event { key: node.config.key.clone(), path: event.path.clone(), frame };
        if self.outgoing.try_send(outgoing).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                tracing::error!(lost, path = %event.path, "Redis takes no events and the queue is full: they are lost");
            }
        }
    }

    /// Waits until everything published so far has reached Redis.
    pub(crate) async fn flush(&self) {
        let (published, wait) = oneshot::channel();
        if self.outgoing.send(Outgoing::Mark { _published: published }).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// Subscribes to a service's channel and returns what comes in.
    async fn listen(
        self: &Arc<Self>,
        key: &str,
        path: &str,
    ) -> Result<(broadcast::Receiver<Arc<EventFrame>>, impl Send + use<>)> {
        let channel = self.keys.events(key, path);
        let (receiver, first) = {
            let mut heard = self.lock();
            let entry = heard.entry(channel.clone()).or_insert_with(|| Heard {
                key: key.to_owned(),
                path: path.to_owned(),
                cursor: String::new(),
                numbers: HashMap::new(),
                listeners: broadcast::Sender::new(self.buffer.max(1)),
                users: 0,
            });
            entry.users += 1;
            (entry.listeners.subscribe(), entry.users == 1)
        };
        let listening = Listening { events: Arc::downgrade(self), channel: channel.clone() };
        let channels = self.channels.get().ok_or_else(|| Error::unavailable("This node has not joined the mesh"))?;
        if !channels.subscribe(channel.clone()).await {
            return Err(Error::unavailable("This node has shut down"));
        }
        if first {
            // From here on a gap shows, even one before the first event.
            if let Ok(newest) = self.newest(key, path).await
                && let Some(heard) = self.lock().get_mut(&channel)
                && heard.cursor.is_empty()
            {
                heard.cursor = newest;
            }
        }
        Ok((receiver, listening))
    }

    async fn newest(&self, key: &str, path: &str) -> Result<String, Failure> {
        let mut connection = self.admin.get().await?;
        event_log::newest(&mut connection, &self.keys, key, path).await
    }

    /// Takes in a message of some channel.
    pub(crate) async fn message(&self, node: &Inner, channel: &str, payload: &[u8]) {
        let Some(logged) = Logged::decode(payload) else {
            return tracing::warn!(channel, "a message that is no event was passed over");
        };
        let missed = match self.lock().get(channel) {
            Some(heard) => {
                !heard.cursor.is_empty() && heard.cursor != logged.prev && is_before(&heard.cursor, &logged.id)
            }
            None => return,
        };
        if missed {
            self.catch_up(node, channel).await;
        }
        self.hear(node, channel, logged);
    }

    /// Reads what every channel missed while the connection was away.
    pub(crate) async fn resume(&self, node: &Inner) {
        let channels: Vec<String> = self.lock().keys().cloned().collect();
        for channel in channels {
            self.catch_up(node, &channel).await;
        }
    }

    async fn catch_up(&self, node: &Inner, channel: &str) {
        let Some((key, path, cursor)) =
            self.lock().get(channel).map(|heard| (heard.key.clone(), heard.path.clone(), heard.cursor.clone()))
        else {
            return;
        };
        if cursor.is_empty() {
            return;
        }
        let missed = async {
            let mut connection = self.admin.get().await?;
            event_log::since(&mut connection, &self.keys, &key, &path, &cursor).await
        };
        match missed.await {
            Ok(Some(events)) => events.into_iter().for_each(|logged| self.hear(node, channel, logged)),
            Ok(None) => self.resync(channel, &path),
            Err(error) => {
                tracing::debug!(channel, %error, "missed events could not be read");
                self.resync(channel, &path);
            }
        }
    }

    /// Tells listeners that events are lost for good.
    fn resync(&self, channel: &str, path: &str) {
        tracing::warn!(path, "events were missed and are no longer in the log");
        let mut heard = self.lock();
        let Some(heard) = heard.get_mut(channel) else { return };
        heard.cursor = String::new();
        let notice = EventFrame::new("", "", 0, &Event::custom(path, RESYNC, serde_json::Value::Null));
        let _ = heard.listeners.send(Arc::new(notice));
    }

    fn hear(&self, node: &Inner, channel: &str, logged: Logged) {
        let frame = match EventFrame::decode(&logged.frame) {
            Ok(frame) => frame,
            Err(error) => return tracing::warn!(channel, %error, "an event was refused"),
        };
        let mut heard = self.lock();
        let Some(heard) = heard.get_mut(channel) else { return };
        if is_before(&heard.cursor, &logged.id) {
            heard.cursor = logged.id;
        }
        let last = heard.numbers.get(&frame.origin);
        if last.is_some_and(|last| frame.number <= *last) {
            return;
        }
        heard.numbers.insert(frame.origin.clone(), frame.number);
        // What happened here was heard here already.
        if frame.origin != node.id {
            let _ = heard.listeners.send(Arc::new(frame));
        }
    }

    /// Forgets how far a node that is gone had counted.
    pub(crate) fn forget(&self, node: &str) {
        for heard in self.lock().values_mut() {
            heard.numbers.remove(node);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares entry ids as Redis does; an empty one is before all.
fn is_before(a: &str, b: &str) -> bool {
    let parts = |id: &str| {
        let (ms, count) = id.split_once('-').unwrap_or((id, "0"));
        (ms.parse::<u64>().unwrap_or(0), count.parse::<u64>().unwrap_or(0))
    };
    parts(a) < parts(b)
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
                channels.unsubscribe(self.channel.clone());
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
        if node.config.publish_events && published.is_some_and(|published| published.events.contains(&event.name)) {
            node.events.publish(&node, event);
        }
    }
}

/// The events of one path, wherever they happen: those of this process and those of every replica of the app it
/// belongs to.
pub(crate) async fn subscribe(node: &Arc<Inner>, path: &str, name: &str) -> Result<EventStream> {
    let path = crate::service::path::strip(path).to_owned();
    let (key, remote_path, app) = if node.app.find_named(&path).is_some() {
        (node.config.key.clone(), path.clone(), node.app_key.clone())
    } else {
        let remote = node.routes.load().named(&path).ok_or_else(|| crate::service::not_found(&path))?;
        let key = remote.route.app.split('/').next().unwrap_or_default().to_owned();
        (key, remote.route.path.clone(), remote.route.app.clone())
    };
    let (receiver, listening) = node.events.listen(&key, &remote_path).await?;
    let (wanted, known_as) = (name.to_owned(), path.clone());
    let remote = stream::unfold((receiver, listening), move |(mut receiver, listening)| {
        let (wanted, path, app) = (wanted.clone(), known_as.clone(), app.clone());
        async move {
            loop {
                let event = match receiver.recv().await {
                    // Another app under the same key may offer the path as well; it is not believed.
                    Ok(frame) if frame.app == app || frame.app.is_empty() => {
                        EventFrame::clone(&frame).into_event(&path)
                    }
                    Ok(_) => continue,
                    Err(broadcast::error::RecvError::Lagged(_)) => Event::resync(&path),
                    Err(broadcast::error::RecvError::Closed) => return None,
                };
                if wanted == "*" || event.name == wanted || event.name == RESYNC {
                    return Some((event, (receiver, listening)));
                }
            }
        }
    });
    let local = node.app.subscribe(&path, name);
    let stop = node.stop.clone();
    let both = stream::select(local, remote).take_until(async move { stop.cancelled().await });
    Ok(EventStream::new(both))
}
