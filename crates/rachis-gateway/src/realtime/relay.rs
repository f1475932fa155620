//! Brings the events of all services to the channels: one subscription for each path, as services come and go.

use super::Realtime;
use futures_util::StreamExt;
use rachis_core::{Error, EventStream, Handle, Result};
use rachis_mesh::{Readiness, ServiceInfo};
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Changes come in bursts, say when an app of many services joins; one look at the catalog serves them all.
const BURST: Duration = Duration::from_millis(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Events that are delivered in one go. After an outage thousands come at once; without turns of their own the sockets
/// could not write what they have room for, and clients that keep up well would lose the rest.
const TURN: usize = 16;

/// The app that fires the events of a path.
#[derive(PartialEq)]
struct Source {
    key: String,
    app: String,
    remote: bool,
}

/// The subscription of one path. Dropping it ends it.
struct PathSubscription {
    source: Source,
    _stop: DropGuard,
}

/// Listens until `realtime` is dropped; without publishers there is nothing to listen for.
pub(super) fn start(realtime: &Arc<Realtime>) {
    if realtime.channels.are_silent() {
        return;
    }
    let mut changes = realtime.node.changes();
    let mut local = realtime.node.app().changed();
    let ended = realtime.ended.clone();
    let realtime = Arc::downgrade(realtime);
    tokio::spawn(async move {
        let mut heard = BTreeMap::new();
        let mut looked = None;
        loop {
            match realtime.upgrade() {
                Some(realtime) => {
                    // Before it has joined, the node does not know Redis's clock.
                    let joined = realtime.node.readiness() != Readiness::Starting;
                    let now = joined.then(|| realtime.node.redis_now());
                    let before = std::mem::replace(&mut looked, now).or(now);
                    listen(&realtime, &mut heard, before);
                }
                None => return,
            }
            tokio::select! {
                Some(_) = changes.next() => {}
                Ok(()) = local.changed() => {}
                () = ended.cancelled() => return,
                else => return,
            }
            tokio::time::sleep(BURST).await;
        }
    });
}

/// Makes what is listened to what there is. `looked` is when that was done last, or first, by Redis's clock: what happens from
/// then on is heard, whenever the subscription is made.
fn listen(realtime: &Arc<Realtime>, heard: &mut BTreeMap<String, PathSubscription>, looked: Option<u64>) {
    let services: BTreeMap<String, ServiceInfo> =
        realtime.node.services().into_iter().map(|service| (service.path.clone(), service)).collect();
    heard.retain(|path, _| services.contains_key(path));
    for (path, service) in
        services.into_iter().filter(|(path, _)| realtime.channels.concern(path) || *path == realtime.users)
    {
        let before = heard.get(&path);
        let source = Source { key: service.key, app: service.app, remote: service.remote };
        if before.is_some_and(|before| before.source == source) {
            continue;
        }
        for event in realtime.channels.unknown_events(&path, &service.events) {
            tracing::warn!(path, event, "there is a publisher for an event that this service does not have");
        }
        let stop = CancellationToken::new();
        let ears = Ears {
            service: realtime.node.service(&path),
            realtime: Arc::downgrade(realtime),
            // Between the last source and this one, events may have been missed.
            missed: before.is_some(),
            // A service that has just appeared may be called, and fire, before it is listened to.
            since: looked.map(|looked| looked.max(service.since)),
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(ears.hear()));
        heard.insert(path, PathSubscription { source, _stop: stop.drop_guard() });
    }
}

/// Hears one path.
struct Ears {
    service: Handle,
    realtime: Weak<Realtime>,
    missed: bool,
    since: Option<u64>,
}

impl Ears {
    /// A subscription that can not be made is tried again, until the path is gone.
    async fn hear(mut self) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.subscribe().await {
                Ok(mut events) => {
                    pause = SHORTEST_PAUSE;
                    if std::mem::replace(&mut self.missed, true) {
                        self.with(|realtime| {
                            realtime.channels.resync(self.service.path());
                            realtime.heed_gap(self.service.path());
                        });
                    }
                    let mut since_turn = 0;
                    while let Some(event) = events.next().await {
                        self.with(|realtime| {
                            realtime.channels.deliver(&event);
                            realtime.heed_user(&event);
                        });
                        since_turn += 1;
                        if since_turn == TURN {
                            since_turn = 0;
                            tokio::task::yield_now().await;
                        }
                    }
                }
                Err(error) => tracing::debug!(path = self.service.path(), %error, "events can not be heard yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn subscribe(&self) -> Result<EventStream> {
        let realtime = self.realtime.upgrade().ok_or_else(|| Error::unavailable("The gateway has ended"))?;
        let node = realtime.node.clone();
        drop(realtime);
        // After a subscription that ended, a resync tells of the gap.
        node.events_since(self.service.path(), self.since.filter(|_| !self.missed)).await
    }

    fn with(&self, act: impl FnOnce(&Arc<Realtime>)) {
        if let Some(realtime) = self.realtime.upgrade() {
            act(&realtime);
        }
    }
}
