//! Keeps the catalog true: hears of changes, reads what was missed, announces this node.

mod announce;
pub(super) mod catalog;
pub(super) mod observer;
pub(super) mod publish;
mod read;
pub(super) mod routes;
mod tell;
pub(super) mod view;

use super::{Inner, events::Takeover};
use crate::{
    redis::{
        Failure,
        connection::Backoff,
        pubsub::SubscriptionEvent,
        registry::{self, Beat, NodeRecord},
    },
    wire,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// How often lingering paths and missing nodes are looked at; nothing goes to Redis.
const TICK: Duration = Duration::from_millis(250);

/// How long a message may take to come behind a beat that shows what it tells; only then was it missed. Not to wait would
/// make a thousand nodes read the changes, each time one of them comes or goes.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// The pauses between attempts to read the events that were missed.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Drives one node's view of the mesh.
pub(crate) struct Discovery {
    pub(crate) node: Arc<Inner>,
    pub(crate) lifecycle: mpsc::Receiver<Lifecycle>,
    pub(crate) beats: mpsc::UnboundedReceiver<Beat>,
    /// Changes of the app's services since they were first announced.
    pub(crate) services: watch::Receiver<u64>,
}

/// What the lifecycle channel brings.
pub(crate) enum Lifecycle {
    /// Changes in their order: those that were told together.
    News(Vec<registry::RegistryChange>),
    /// Messages may have been missed.
    Gap,
    /// What is believed is out of date, though the registry still has the same version.
    Stale,
}

impl Discovery {
    pub(crate) async fn run(mut self) {
        let node = self.node.clone();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let publication = tokio::time::sleep(node.config.publication_delay);
        tokio::pin!(publication);
        let mut reloads = node.reloads.subscribe();
        // One may have come between the join and now.
        if *reloads.borrow() > 0 {
            reloads.mark_changed();
        }
        let (mut may_publish, mut announced) = (node.config.publication_delay.is_zero(), true);
        let mut gap = None;
        // What is believed does not come from the registry as it would be read now.
        let mut stale = false;
        loop {
            // At rest nothing wakes up for it.
            let waits = node.catalog().waits();
            tokio::select! {
                () = &mut publication, if !may_publish => {
                    may_publish = true;
                    announced = node.announce(true).await;
                }
                Some(message) = self.lifecycle.recv() => match message {
                    Lifecycle::News(news) => node.take_in(news).await,
                    Lifecycle::Gap => node.catch_up().await,
                    Lifecycle::Stale => stale = !node.reread().await,
                },
                Some(beat) = self.beats.recv() => {
                    node.note_beat();
                    if !beat.known || !announced {
                        if !beat.known {
                            tracing::warn!("Redis has forgotten this node, registering anew");
                        }
                        announced = node.announce(may_publish).await;
                    }
                    if stale {
                        stale = !node.reread().await;
                    }
                    // What is held back for a moment may be known here, what everyone was told must be.
                    let held = node.catalog().epoch();
                    if (held < beat.published || held > beat.epoch) && gap.is_none() {
                        gap = Some(EpochGap { held, told: beat.published, until: Instant::now() + ON_ITS_WAY });
                    }
                }
                waited = wait_for_late_message(gap), if gap.is_some() => {
                    gap = None;
                    let epoch = node.catalog().epoch();
                    // What waits to be taken in may be what was missed; a node that is behind shall not read it twice.
                    let comes = !self.lifecycle.is_empty();
                    if !comes && waited.is_some_and(|gap| epoch == gap.held || epoch < gap.told) {
                        node.catch_up().await;
                    }
                }
                outcome = self.services.changed(), if may_publish => {
                    if outcome.is_err() { return; }
                    announced = node.announce(true).await;
                }
                Ok(()) = reloads.changed() => {
                    // Whole, since what is announced may be signed otherwise, and others may be believed now.
                    announced = node.announce(may_publish).await;
                    stale = !node.reread().await;
                }
                _ = ticks.tick(), if waits => {
                    let changes = node.catalog().tick(node.clock.now());
                    node.broadcast(changes);
                }
                // A node that has left must not announce itself again.
                () = node.beating.cancelled() => return,
            }
        }
    }
}

/// Waits until `moment`; never ends without one.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// A beat has shown another version of the registry than the one held; the message that explains it may be on its way.
#[derive(Clone, Copy)]
struct EpochGap {
    /// The version that was held then.
    held: u64,
    /// The one that everyone had been told.
    told: u64,
    until: Instant,
}

/// Waits until the message that explains `gap` has had its time.
async fn wait_for_late_message(gap: Option<EpochGap>) -> Option<EpochGap> {
    tokio::time::sleep_until(gap?.until.into()).await;
    gap
}

/// Sorts what comes in over the subscriptions.
pub(crate) async fn listen(
    node: Arc<Inner>,
    mut heard: mpsc::Receiver<SubscriptionEvent>,
    lifecycle: mpsc::Sender<Lifecycle>,
) {
    let channel_of_changes = node.keys.lifecycle();
    let mut again = None;
    let mut backoff = BACKOFF;
    loop {
        let heard = tokio::select! {
            heard = heard.recv() => match heard {
                Some(heard) => heard,
                None => return,
            },
            () = node.events.doubted() => {
                again = Some(Instant::now());
                continue;
            }
            () = at(again), if again.is_some() => {
                if node.events.settle(&node).await {
                    again = None;
                    backoff.reset();
                } else {
                    again = Some(Instant::now() + backoff.pause());
                }
                continue;
            }
        };
        match heard {
            SubscriptionEvent::Message { channel, payload } if channel == channel_of_changes => {
                let message = match registry::RegistryChange::decode(&payload) {
                    Some(news) => Lifecycle::News(news),
                    // Whatever it was, the registry knows.
                    None => Lifecycle::Gap,
                };
                if lifecycle.send(message).await.is_err() {
                    return;
                }
            }
            SubscriptionEvent::Message { channel, payload } => node.events.message(&node, &channel, &payload).await,
            SubscriptionEvent::Reconnected { channels } => {
                let was_missed = channels.contains(&channel_of_changes);
                if was_missed && lifecycle.send(Lifecycle::Gap).await.is_err() {
                    return;
                }
                node.events.doubt(&channels);
                // Before any message that came over the new connection: what is read now goes before it.
                if !node.events.settle(&node).await {
                    again = Some(Instant::now() + backoff.next());
                }
            }
        }
    }
}

impl Inner {
    async fn take_in(&self, news: Vec<registry::RegistryChange>) {
        if !self.apply(news) {
            self.catch_up().await;
        }
    }

    /// Takes these changes into the catalog; `false` where one does not join on, and it and those behind it are left.
    fn apply(&self, news: Vec<registry::RegistryChange>) -> bool {
        let mut changes = Vec::new();
        let mut whole = true;
        for change in news {
            if change.epoch <= self.catalog().epoch() {
                continue;
            }
            let items = change.items.into_iter().filter_map(|item| self.item(item)).collect();
            let applied = self.catalog().apply(change.prev, change.epoch, items, self.clock.now());
            match applied {
                Some(applied) => {
                    self.events.taken_over(self, &applied, Takeover::at(change.epoch));
                    changes.extend(applied);
                }
                None => {
                    whole = false;
                    break;
                }
            }
        }
        self.broadcast(changes);
        whole
    }

    /// Reads what was missed: the changes where they join on, else everything.
    pub(crate) async fn catch_up(&self) {
        if let Err(error) = self.try_catch_up().await {
            tracing::debug!(%error, "the registry could not be read, trying again with the next beat");
        }
    }

    async fn try_catch_up(&self) -> Result<(), Failure> {
        let mut connection = self.admin.get(&self.keys.registry()).await?;
        let held = self.catalog().epoch();
        // Asked first: what is changed from here on is news, not a gap for which everything would have to be read.
        let epoch = self.registry.epoch(&mut connection).await?;
        if (1..=epoch).contains(&held)
            && let Some(missed) = self.registry.changes_since(&mut connection, held).await?
            && self.apply(missed)
            && self.catalog().epoch() >= epoch
        {
            return Ok(());
        }
        drop(connection);
        self.read_anew().await
    }

    /// Reads the whole registry; returns `false` if it could not.
    async fn reread(&self) -> bool {
        let told = |error: &Failure| tracing::debug!(%error, "the registry could not be read, trying again with the next beat");
        self.read_anew().await.inspect_err(told).is_ok()
    }

    /// Reads the whole registry.
    pub(crate) async fn read_anew(&self) -> Result<(), Failure> {
        let mut connection = self.admin.get(&self.keys.registry()).await?;
        let snapshot = self.registry.read(&mut connection).await?;
        let lives = |record: &NodeRecord| !snapshot.silent.contains(&record.id);
        let signs = |record: &NodeRecord| wire::is_signed(&record.head);
        let foreign = !self.signer.signs() && snapshot.nodes.iter().any(|record| lives(record) && signs(record));
        self.foreign.store(foreign, Ordering::Relaxed);
        // Nodes wait for whoever sweeps to say who is dead. An observer may be the only one left to see it.
        let believed = |record: &NodeRecord| lives(record) || !self.observer;
        let members = snapshot.nodes.into_iter().filter(believed).filter_map(|record| self.member(record)).collect();
        let lingering = snapshot.lingering.into_iter().filter_map(|record| self.lingering(record)).collect();
        let (held, changes) = {
            let mut catalog = self.catalog();
            (catalog.epoch(), catalog.replace(snapshot.epoch, members, lingering, snapshot.now))
        };
        self.events.taken_over(self, &changes, Takeover::between(held, snapshot.epoch));
        self.broadcast(changes);
        Ok(())
    }
}
