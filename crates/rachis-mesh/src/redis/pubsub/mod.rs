//! Subscriptions that outlive their connections.
//!
//! A shard subscriber holds one connection to each server with a wanted channel: in a cluster a message to a sharded channel
//! stays on the server that holds the channel's slot, everywhere else there is one server. The wanted channels are kept in one
//! place, and each shard subscriber keeps up with those that lie on its server.

mod channels;
mod shard_subscriber;

pub(crate) use channels::SubscriptionEvent;

use super::connection::{Connector, topology::Shard};
use channels::Wanted;
use shard_subscriber::ShardSubscriber;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Messages that are buffered for the reader; shard subscribers wait while the buffer is full.
const BUFFER: usize = 4096;
/// How often every channel is checked for a connection to its server, besides at every change.
const LOOK: Duration = Duration::from_secs(1);

/// Adds and removes channels. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Subscriptions {
    wanted: Arc<Wanted>,
    stop: CancellationToken,
}

impl Subscriptions {
    /// Subscribes, and waits until Redis has confirmed it, so that nothing published after that is missed. Returns
    /// `false` if the subscriptions were stopped first.
    pub(crate) async fn subscribe(&self, channel: String) -> bool {
        let (confirm, confirmed) = oneshot::channel();
        self.wanted.add(channel, confirm);
        tokio::select! {
            outcome = confirmed => outcome.is_ok(),
            () = self.stop.cancelled() => false,
        }
    }

    /// Unsubscribes without waiting for Redis.
    pub(crate) fn unsubscribe(&self, channel: &str) {
        self.wanted.remove(channel);
    }
}

/// Subscriptions whose connections are not kept up yet.
pub(crate) struct Idle {
    connector: Connector,
    wanted: Arc<Wanted>,
    stop: CancellationToken,
}

/// Creates subscriptions. `everybodys` is the channel that is not sharded.
pub(crate) fn new(connector: Connector, everybodys: String, stop: CancellationToken) -> (Subscriptions, Idle) {
    let wanted = Arc::new(Wanted::new(everybodys));
    let subscriptions = Subscriptions { wanted: wanted.clone(), stop: stop.clone() };
    (subscriptions, Idle { connector, wanted, stop })
}

impl Idle {
    /// Keeps them up until they are stopped; returns what comes in.
    pub(crate) fn start(self) -> mpsc::Receiver<SubscriptionEvent> {
        let (heard, messages) = mpsc::channel(BUFFER);
        let Idle { connector, wanted, stop } = self;
        tokio::spawn(async move {
            stop.run_until_cancelled(supervise(&connector, &wanted, &heard, &stop)).await;
        });
        messages
    }
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
