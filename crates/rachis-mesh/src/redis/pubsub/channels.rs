//! The channels that this node listens to, and what comes in from them.

use crate::redis::connection::{Connector, topology::Shard};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{oneshot, watch};

/// A message of a channel, or the news that some may have been missed.
#[derive(Debug)]
pub(crate) enum SubscriptionEvent {
    /// A message.
    Message { channel: String, payload: Vec<u8> },
    /// These channels were subscribed anew: messages may have been missed.
    Reconnected { channels: Vec<String> },
}

/// The channels that someone listens to.
pub(super) struct Wanted {
    /// The one that every server of a cluster passes on; all others are sharded.
    pub(super) everybodys: String,
    channels: Mutex<HashMap<String, Listeners>>,
    pub(super) changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Listeners {
    /// It was subscribed before, so messages may be missed whenever it is subscribed anew.
    heard_before: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Wanted {
    pub(super) fn new(everybodys: String) -> Self {
        Wanted { everybodys, channels: Mutex::default(), changes: watch::Sender::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Listeners>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, channel: String, confirm: oneshot::Sender<()>) {
        self.lock().entry(channel).or_default().waiting.push(confirm);
        self.changed();
    }

    pub(super) fn remove(&self, channel: &str) {
        self.lock().remove(channel);
        self.changed();
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|times| *times += 1);
    }

    /// The servers of all channels, as far as they are known. Where none is, whoever looks for one finds it.
    pub(super) fn shards(&self, connector: &Connector) -> Vec<Shard> {
        let mut shards: Vec<_> = self.lock().keys().filter_map(|channel| connector.servers().shard(channel)).collect();
        shards.sort();
        shards.dedup();
        shards
    }

    /// The channels that lie on this server.
    pub(super) fn on(&self, connector: &Connector, shard: &Shard) -> Vec<String> {
        let here = |channel: &&String| connector.servers().shard(channel).as_ref() == Some(shard);
        self.lock().keys().filter(here).cloned().collect()
    }

    /// Lets those go on who wait for channels that are subscribed already.
    pub(super) fn confirm_again(&self, subscribed: &HashSet<String>) {
        for (channel, listeners) in self.lock().iter_mut() {
            if !listeners.waiting.is_empty() && subscribed.contains(channel) {
                listeners.confirm();
            }
        }
    }

    /// Notes that a channel is subscribed; returns `true` if messages may have been missed before.
    pub(super) fn confirm(&self, channel: &str) -> bool {
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
