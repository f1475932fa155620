//! The channels that this node listens to, and what comes in from them.

use crate::redis::connection::{Connector, topology::Shard};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, HashSet};
use tokio::sync::{oneshot, watch};

/// A message of a channel, or the news that some may have been missed.
#[derive(Debug)]
pub(crate) enum SubscriptionEvent {
    /// A message.
    Message { channel: String, payload: Vec<u8> },
    /// These channels were subscribed again: messages may have been missed.
    Reconnected { channels: Vec<String> },
}

/// The channels that this node listens to.
pub(super) struct Wanted {
    /// The channel that every server of a cluster passes on; all others are sharded.
    pub(super) everybodys: String,
    channels: Mutex<HashMap<String, Listeners>>,
    pub(super) changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Listeners {
    /// Set once it was subscribed: messages may be missed whenever it is subscribed again.
    heard_before: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Wanted {
    pub(super) fn new(everybodys: String) -> Self {
        Wanted { everybodys, channels: Mutex::default(), changes: watch::Sender::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Listeners>> {
        self.channels.lock()
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

    /// Returns the servers of all channels, as far as they are known.
    pub(super) fn shards(&self, connector: &Connector) -> Vec<Shard> {
        let mut shards: Vec<_> = self.lock().keys().filter_map(|channel| connector.servers().shard(channel)).collect();
        shards.sort();
        shards.dedup();
        shards
    }

    /// Returns the channels that lie on this server.
    pub(super) fn on(&self, connector: &Connector, shard: &Shard) -> Vec<String> {
        let here = |channel: &&String| connector.servers().shard(channel).as_ref() == Some(shard);
        self.lock().keys().filter(here).cloned().collect()
    }

    /// Confirms the channels that are already subscribed to those that wait for them.
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
            // Fails when the caller has given up waiting.
            let _ = waiting.send(());
        }
    }
}
