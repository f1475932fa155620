//! Subscriptions that outlive their connections.
//!
//! A shard subscriber holds one connection to each server with a wanted channel: in a cluster a message to a sharded channel
//! stays on the server that holds the channel's slot, everywhere else there is one server. The wanted channels are kept in one
//! place, and each shard subscriber keeps up with those that lie on its server.

mod shard_subscriber;

use super::connection::{Connector, topology::Shard};
use shard_subscriber::ShardSubscriber;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// A message of a channel, or the news that some may have been missed.
#[derive(Debug)]
pub(crate) enum SubscriptionEvent {
    /// A message.
    Message { channel: String, payload: Vec<u8> },
    /// These channels were subscribed anew: messages may have been missed.
    Reconnected { channels: Vec<String> },
}

/// Messages between what takes them in and whoever reads; what is more waits in front of it.
const BUFFER: usize = 4096;
/// Bytes that a connection may have brought and nobody has taken in: as many as Redis keeps for a subscriber by default. Of a
/// reader that falls this far behind the connection is made anew, and what it missed is read otherwise.
const UNREAD: usize = 32 << 20;
/// What a message costs beside its bytes.
const MESSAGE: usize = 128;

/// How often it is looked whether every channel has a connection to its server; otherwise only when something changes.
const LOOK: Duration = Duration::from_secs(1);

/// Adds and removes channels. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Subscriptions {
    wanted: Arc<Wanted>,
    stop: CancellationToken,
}

impl Subscriptions {
    /// Subscribes; returns when Redis has confirmed it, so nothing published after that is missed. `false`: the
    /// subscriptions were stopped first.
    pub(crate) async fn subscribe(&self, channel: String) -> bool {
        let (confirm, confirmed) = oneshot::channel();
        self.wanted.add(channel, confirm);
        tokio::select! {
            outcome = confirmed => outcome.is_ok(),
            () = self.stop.cancelled() => false,
        }
    }

    /// Unsubscribes, soon.
    pub(crate) fn unsubscribe(&self, channel: &str) {
        self.wanted.remove(channel);
    }
}

/// The channels that someone listens to.
struct Wanted {
    /// The one that every server of a cluster passes on; all others are sharded.
    everybodys: String,
    channels: Mutex<HashMap<String, Listeners>>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Listeners {
    /// It was subscribed before, so messages may be missed whenever it is subscribed anew.
    heard_before: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Wanted {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Listeners>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, channel: String, confirm: oneshot::Sender<()>) {
        self.lock().entry(channel).or_default().waiting.push(confirm);
        self.changed();
    }

    fn remove(&self, channel: &str) {
        self.lock().remove(channel);
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|times| *times += 1);
    }

    /// The servers of all channels, as far as they are known. Where none is, whoever looks for one finds it.
    fn shards(&self, connector: &Connector) -> Vec<Shard> {
        let mut shards: Vec<_> = self.lock().keys().filter_map(|channel| connector.servers().shard(channel)).collect();
        shards.sort();
        shards.dedup();
        shards
    }

    /// The channels that lie on this server.
    fn on(&self, connector: &Connector, shard: &Shard) -> Vec<String> {
        let here = |channel: &&String| connector.servers().shard(channel).as_ref() == Some(shard);
        self.lock().keys().filter(here).cloned().collect()
    }

    /// Lets those go on who wait for channels that are subscribed already.
    fn confirm_again(&self, subscribed: &HashSet<String>) {
        for (channel, listeners) in self.lock().iter_mut() {
            if !listeners.waiting.is_empty() && subscribed.contains(channel) {
                listeners.confirm();
            }
        }
    }

    /// Notes that a channel is subscribed; returns `true` if messages may have been missed before.
    fn confirm(&self, channel: &str) -> bool {
        let mut channels = self.lock();
        let Some(listeners) = channels.get_mut(channel) else { return false };
        listeners.confirm();
        std::mem::replace(&mut listeners.heard_before, true)
    }
}

impl Listeners {
    fn confirm(&mut self) {
        for waiting in self.waiting.drain(..) {
            // Whoever has given up waiting does not listen.
            let _ = waiting.send(());
        }
    }
}

/// Keeps subscriptions up until `stop` is cancelled. `everybodys` is the channel that lies on no server of a cluster alone.
pub(crate) fn open(
    connector: Connector,
    everybodys: String,
    stop: CancellationToken,
) -> (Subscriptions, mpsc::Receiver<SubscriptionEvent>) {
    let (heard, messages) = mpsc::channel(BUFFER);
    let wanted = Arc::new(Wanted { everybodys, channels: Mutex::default(), changes: watch::Sender::default() });
    let subscriptions = Subscriptions { wanted: wanted.clone(), stop: stop.clone() };
    tokio::spawn(async move {
        stop.run_until_cancelled(supervise(&connector, &wanted, &heard, &stop)).await;
    });
    (subscriptions, messages)
}

/// Starts a shard subscriber for each server that holds a wanted channel and has none.
async fn supervise(
    connector: &Connector,
    wanted: &Arc<Wanted>,
    heard: &mpsc::Sender<SubscriptionEvent>,
    stop: &CancellationToken,
) {
    let mut subscribers: HashMap<Shard, JoinHandle<()>> = HashMap::new();
    let mut changes = wanted.changes.subscribe();
    changes.mark_changed();
    let mut moves = connector.servers().moves();
    let mut looks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = changes.changed() => {}
            () = moves.next() => wanted.changed(),
            // A server that is the only one is the only one for good.
            _ = looks.tick(), if connector.servers().are_shared() => {}
        }
        subscribers.retain(|_, subscriber| !subscriber.is_finished());
        for shard in wanted.shards(connector) {
            subscribers.entry(shard.clone()).or_insert_with(|| {
                let subscriber = ShardSubscriber {
                    connector: connector.clone(),
                    shard,
                    wanted: wanted.clone(),
                    heard: heard.clone(),
                };
                let stop = stop.clone();
                tokio::spawn(async move {
                    stop.run_until_cancelled(subscriber.run(&stop)).await;
                })
            });
        }
    }
}

#[cfg(test)]
mod tests;
