//! Keeps the catalog true: hears of changes, reads what was missed, announces this node.

use super::{
    Inner,
    catalog::{self, Lingering, Member, Offer},
    info::{self, ServiceInfo},
};
use crate::{
    Error, Result,
    redis::{
        Failure,
        connection::Trouble,
        keys::MAX_PARTITIONS,
        pubsub::Heard,
        registry::{self, Announced, Beat, LingeringRecord, NodeRecord},
    },
    service::Descriptor,
    wire::{self, Announcement, Frame},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// How often lingering paths and missing nodes are looked at; nothing goes to Redis.
const TICK: Duration = Duration::from_millis(250);

/// How long a message may take to come behind a beat that shows what it tells; only then was it missed. Not to wait would
/// make a thousand nodes read the changes, each time one of them comes or goes.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

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
    News(Vec<registry::Change>),
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
        let mut doubt = None;
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
                    Lifecycle::Stale => {
                        if let Err(error) = node.read_anew().await {
                            tracing::debug!(%error, "the registry could not be read");
                        }
                    }
                },
                Some(beat) = self.beats.recv() => {
                    node.note_beat();
                    if !beat.known || !announced {
                        if !beat.known {
                            tracing::warn!("Redis has forgotten this node, registering anew");
                        }
                        announced = node.announce(may_publish).await;
                    }
                    // What is held back for a moment may be known here, what everyone was told must be.
                    let held = node.catalog().epoch();
                    if (held < beat.told || held > beat.epoch) && doubt.is_none() {
                        doubt = Some(Doubt { held, told: beat.told, until: Instant::now() + ON_ITS_WAY });
                    }
                }
                doubted = benefit(doubt), if doubt.is_some() => {
                    doubt = None;
                    let epoch = node.catalog().epoch();
                    // What waits to be taken in may be what was missed; a node that is behind shall not read it twice.
                    let comes = !self.lifecycle.is_empty();
                    if !comes && doubted.is_some_and(|doubted| epoch == doubted.held || epoch < doubted.told) {
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
                    if let Err(error) = node.read_anew().await {
                        tracing::debug!(%error, "the registry could not be read");
                    }
                }
                _ = ticks.tick(), if waits => {
                    let changes = node.catalog().tick(node.clock.now());
                    node.spread(changes);
                }
                () = node.stop.cancelled() => return,
            }
        }
    }
}

/// A beat has shown another version of the registry than the one held; the message that explains it may be on its way.
#[derive(Clone, Copy)]
struct Doubt {
    /// The version that was held then.
    held: u64,
    /// The one that everyone had been told.
    told: u64,
    until: Instant,
}

/// Gives the message its time.
async fn benefit(doubt: Option<Doubt>) -> Option<Doubt> {
    tokio::time::sleep_until(doubt?.until.into()).await;
    doubt
}

/// Sorts what comes in over the subscriptions.
pub(crate) async fn listen(node: Arc<Inner>, mut heard: mpsc::Receiver<Heard>, lifecycle: mpsc::Sender<Lifecycle>) {
    let channel_of_changes = node.keys.lifecycle();
    while let Some(heard) = heard.recv().await {
        match heard {
            Heard::Message { channel, payload } if channel == channel_of_changes => {
                let message = match registry::Change::decode(&payload) {
                    Some(news) => Lifecycle::News(news),
                    // Whatever it was, the registry knows.
                    None => Lifecycle::Gap,
                };
                if lifecycle.send(message).await.is_err() {
                    return;
                }
            }
            Heard::Message { channel, payload } => node.events.message(&node, &channel, &payload).await,
            Heard::Reconnected => {
                if lifecycle.send(Lifecycle::Gap).await.is_err() {
                    return;
                }
                node.events.resume(&node).await;
            }
        }
    }
}

impl Inner {
    /// Writes what this node offers, unless it is an observer; says whether Redis has all it should.
    pub(crate) async fn announce(&self, with_services: bool) -> bool {
        if self.observer {
            return true;
        }
        let published = match with_services {
            true => super::publish::published(&self.app.registered(), &self.live.load(), &self.filters, &self.app_name),
            false => BTreeMap::new(),
        };
        // Callable before it is known, so that no early call is refused.
        self.published.store(Arc::new(published));
        let before = self.connector.trouble();
        match self.register().await {
            Ok(()) => {
                self.connector.forget_trouble();
                true
            }
            // A node that starts tries on every 100 ms.
            Err(error) if before.is_some() && before == self.connector.trouble() => {
                tracing::debug!(%error, "this node still can not be announced");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "this node could not be announced, trying again with the next beat");
                false
            }
        }
    }

    async fn register(&self) -> Result<()> {
        let announced = self.announcement()?;
        let unreachable = |error: Failure| {
            self.connector.note_trouble(Trouble::of(&error));
            unreachable(error)
        };
        self.partitions.regroup(self).await.map_err(unreachable)?;
        let mut connection = self.admin.get(&self.keys.registry()).await.map_err(unreachable)?;
        let asked = Instant::now();
        let registered = self.registry.register(&mut connection, &announced).await.map_err(unreachable)?;
        self.clock.set(registered.now, asked.elapsed());
        if let Some(wait) = registered.promise.wait() {
            let (registry, admin) = (self.registry.clone(), self.admin.clone());
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                // Where that fails, the next beat of any node tells.
                if let Ok(connection) = admin.get(&registry.key()).await {
                    registry.tell_after(Duration::ZERO, connection).await;
                }
            });
        }
        if !registered.known {
            self.rpc.doubts().forgotten();
        }
        tracing::debug!(epoch = registered.epoch, services = announced.services.len(), "announced");
        Ok(())
    }

    fn announcement(&self) -> Result<Announced> {
        let head = Announcement {
            key: self.config.key.clone(),
            app: self.app_name.clone(),
            version: self.config.version.clone(),
            host: self.host.clone(),
            pid: std::process::id(),
            started: self.started,
            linger: self.linger_ms(),
            partitions: self.config.partitions,
        };
        let published = self.published.load();
        let services = published.iter().map(|(path, descriptor)| {
            let place = self.place_of_offer(&self.app_key, path);
            Ok((path.clone(), descriptor.encode(self.seal.at(&place))?))
        });
        let head = head.encode(self.seal.at(&self.keys.node(&self.id)))?;
        // Redis may have forgotten a node while it was leaving.
        let state = if self.draining.is_cancelled() { "draining" } else { "up" };
        Ok(Announced { head, state: state.into(), services: services.collect::<Result<_>>()? })
    }

    /// What a descriptor is signed for. Its app and not its node, since it stays when the node is gone.
    fn place_of_offer(&self, app: &str, path: &str) -> String {
        format!("{}/{path}", self.keys.app(app))
    }

    async fn take_in(&self, news: Vec<registry::Change>) {
        if !self.apply(news) {
            self.catch_up().await;
        }
    }

    /// Takes these changes into the catalog; `false` where one does not join on, and it and those behind it are left.
    fn apply(&self, news: Vec<registry::Change>) -> bool {
        let mut changes = Vec::new();
        let mut whole = true;
        for change in news {
            if change.epoch <= self.catalog().epoch() {
                continue;
            }
            let items = change.items.into_iter().filter_map(|item| self.item(item)).collect();
            let applied = self.catalog().apply(change.prev, change.epoch, items, self.clock.now());
            match applied {
                Some(applied) => changes.extend(applied),
                None => {
                    whole = false;
                    break;
                }
            }
        }
        self.spread(changes);
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

    /// Reads the whole registry.
    pub(crate) async fn read_anew(&self) -> Result<(), Failure> {
        let mut connection = self.admin.get(&self.keys.registry()).await?;
        let snapshot = self.registry.read(&mut connection).await?;
        let lives = |record: &NodeRecord| !snapshot.silent.contains(&record.id);
        let signs = |record: &NodeRecord| wire::is_signed(&record.head);
        let foreign = !self.seal.signs() && snapshot.nodes.iter().any(|record| lives(record) && signs(record));
        self.foreign.store(foreign, Ordering::Relaxed);
        // Nodes wait for whoever sweeps to say who is dead. An observer may be the only one left to see it.
        let believed = |record: &NodeRecord| lives(record) || !self.observer;
        let members = snapshot.nodes.into_iter().filter(believed).filter_map(|record| self.member(record)).collect();
        let lingering = snapshot.lingering.into_iter().filter_map(|record| self.lingering(record)).collect();
        let changes = self.catalog().replace(snapshot.epoch, members, lingering, snapshot.now);
        self.spread(changes);
        Ok(())
    }

    fn item(&self, item: registry::Item) -> Option<catalog::Item> {
        match item {
            registry::Item::Up(record) => self.member(record).map(catalog::Item::Up),
            registry::Item::Down(id, lingering) => {
                let lingering = lingering.into_iter().filter_map(|record| self.lingering(record)).collect();
                Some(catalog::Item::Down(id, lingering))
            }
        }
    }

    /// Reads an announcement; `None`, with a warning, for one that this node can not read.
    fn member(&self, record: NodeRecord) -> Option<Member> {
        let head = match self.head(&record) {
            Ok(head) => head,
            Err(error) => {
                if let Some(more) = self.refused.say() {
                    tracing::warn!(node = %record.id, app = %record.app, %error, more, "a node is ignored");
                }
                return None;
            }
        };
        let offer = |service: registry::ServiceRecord| {
            let offer = self.offer(&record.app, &service)?;
            Some((service.path, offer))
        };
        Some(Member {
            services: record.services.into_iter().filter_map(offer).collect(),
            id: record.id,
            app: record.app.clone(),
            key: head.key,
            up: record.state == "up",
            linger: head.linger,
            // Whoever wrote it.
            partitions: head.partitions.clamp(1, MAX_PARTITIONS),
            info: catalog::Info {
                name: head.app,
                version: head.version,
                host: head.host,
                pid: head.pid,
                started: head.started,
            },
        })
    }

    /// What a node says of itself.
    fn head(&self, record: &NodeRecord) -> Result<Announcement> {
        let head = Announcement::decode(&record.head, self.seal.at(&self.keys.node(&record.id)))?;
        // The field beside it is not signed.
        match record.app == format!("{}/{}", head.key, head.app) {
            true => Ok(head),
            false => Err(Error::bad_request(format!("It says that it belongs to '{}/{}'", head.key, head.app))),
        }
    }

    fn lingering(&self, record: LingeringRecord) -> Option<Lingering> {
        let offer = self.offer(&record.app, &record.service)?;
        Some(Lingering { app: record.app, offer, until: record.until })
    }

    /// Reads a descriptor and asks the filters whether it may be seen here.
    fn offer(&self, app: &str, service: &registry::ServiceRecord) -> Option<Offer> {
        let place = self.place_of_offer(app, &service.path);
        let descriptor = match Descriptor::decode(&service.descriptor, self.seal.at(&place)) {
            Ok(descriptor) => descriptor,
            Err(error) => {
                if let Some(more) = self.refused.say() {
                    tracing::warn!(app, path = %service.path, %error, more, "a service is ignored");
                }
                return None;
            }
        };
        if !self.live.load().remote_services.allows(&descriptor.path) {
            return None;
        }
        if let Some(allows) = &self.filters.remote_services {
            let (key, name) = info::split_app(app);
            let seen = ServiceInfo { remote: true, ..ServiceInfo::local(&descriptor, key, name) };
            if !allows(&seen) {
                return None;
            }
        }
        Some(Offer { since: service.since, descriptor: Arc::new(descriptor) })
    }

    /// Lets everyone here know what became different.
    fn spread(&self, changes: Vec<catalog::Change>) {
        if changes.is_empty() {
            return;
        }
        self.outdate_routes(&changes);
        for change in changes {
            self.react(&change);
            // For a thousand nodes that come, to put into words what nobody reads would be most of the work.
            if self.changes.receiver_count() > 0 || tracing::enabled!(tracing::Level::WARN) {
                self.tell(change);
            }
        }
    }

    /// Does what a change asks this node to do.
    fn react(&self, change: &catalog::Change) {
        match change {
            catalog::Change::NodeUp(member) if member.app == self.app_key => self.partitions.look(),
            catalog::Change::NodeDown(member) => {
                self.events.forget(&member.id);
                // A node that stood still may hear of its own death: it has nothing to inherit from itself.
                if member.app == self.app_key && member.id != self.id {
                    self.dead_replicas.send(member.id.clone()).ok();
                    self.partitions.look();
                }
                if self.rpc.pending() > 0 && !self.catalog().nodes().any(|other| other.app == member.app) {
                    self.rpc.doubts().orphaned(self.keys.calls(&member.app).into());
                }
            }
            _ => {}
        }
    }

    fn tell(&self, change: catalog::Change) {
        use catalog::Change;
        let told = match change {
            Change::Service(route) => {
                let info = self.info(&route);
                tracing::info!(path = %info.path, app = %route.app, replicas = route.replicas.len(), "service");
                if self.app.find_named(&info.path).is_some() {
                    tracing::warn!(path = %info.path, app = %route.app, "this node serves that path itself and goes on to");
                }
                info::Change::Service(info)
            }
            Change::ServiceRemoved(route) => {
                let info = self.info(&route);
                tracing::info!(path = %info.path, app = %route.app, "service-removed");
                info::Change::ServiceRemoved(info)
            }
            Change::Health(route) => {
                let info = self.info(&route);
                match info.healthy {
                    true => tracing::info!(path = %info.path, "a replica is up again"),
                    false => tracing::warn!(path = %info.path, "no replica is up, calls wait for one"),
                }
                info::Change::Health(info)
            }
            Change::Shadowed { path, winner, loser } => {
                return tracing::warn!(%path, %winner, %loser, "two apps offer this path: the older one is called");
            }
            Change::NodeUp(member) => {
                tracing::info!(node = %member.id, app = %member.app, host = %member.info.host, "node-up");
                info::Change::NodeUp(member.as_ref().into())
            }
            Change::NodeDown(member) => {
                tracing::info!(node = %member.id, app = %member.app, host = %member.info.host, "node-down");
                info::Change::NodeDown(member.as_ref().into())
            }
        };
        // An error only says that nobody watches.
        let _ = self.changes.send(Arc::new(told));
    }

    fn info(&self, route: &catalog::Route) -> ServiceInfo {
        ServiceInfo::remote(route, &self.known_as(route))
    }
}

fn unreachable(error: Failure) -> Error {
    Error::unavailable(format!("Redis: {error}"))
}
