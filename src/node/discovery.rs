//! Keeps the catalog true: hears of changes, reads what was missed, announces this node.

use super::{
    Inner,
    catalog::{self, Lingering, Member, Offer},
    info::{self, ServiceInfo},
    remote::Remote,
    spread::Spread,
};
use crate::{
    Error, Result,
    redis::{
        Failure,
        keys::MAX_PARTITIONS,
        pubsub::Heard,
        registry::{self, Announced, Beat, LingeringRecord, NodeRecord},
    },
    service::{Descriptor, Router},
    wire::{self, Announcement, Frame},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// How often lingering paths and missing nodes are looked at; nothing goes to Redis.
const TICK: Duration = Duration::from_millis(250);

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
    Change(registry::Change),
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
        let (mut may_publish, mut announced) = (node.config.publication_delay.is_zero(), true);
        loop {
            tokio::select! {
                () = &mut publication, if !may_publish => {
                    may_publish = true;
                    announced = node.announce(true).await;
                }
                Some(message) = self.lifecycle.recv() => match message {
                    Lifecycle::Change(change) => node.take_in(change).await,
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
                    if beat.epoch != node.catalog().epoch() {
                        node.catch_up().await;
                    }
                }
                outcome = self.services.changed(), if may_publish => {
                    if outcome.is_err() { return; }
                    announced = node.announce(true).await;
                }
                _ = ticks.tick() => {
                    let changes = node.catalog().tick(node.clock.now());
                    node.spread(changes).await;
                }
                () = node.stop.cancelled() => return,
            }
        }
    }
}

/// Sorts what comes in over the subscriptions.
pub(crate) async fn listen(node: Arc<Inner>, mut heard: mpsc::Receiver<Heard>, lifecycle: mpsc::Sender<Lifecycle>) {
    let channel_of_changes = node.keys.lifecycle();
    while let Some(heard) = heard.recv().await {
        match heard {
            Heard::Message { channel, payload } if channel == channel_of_changes => {
                let message = match registry::Change::decode(&payload) {
                    Some(change) => Lifecycle::Change(change),
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
            true => super::publish::published(&self.app.registered(), &self.config, &self.filters, &self.app_name),
            false => BTreeMap::new(),
        };
        // Callable before it is known, so that no early call is refused.
        self.published.store(Arc::new(published));
        match self.register().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "this node could not be announced, trying again with the next beat");
                false
            }
        }
    }

    async fn register(&self) -> Result<()> {
        let announced = self.announcement()?;
        self.partitions.regroup(self).await.map_err(unreachable)?;
        let mut connection = self.admin.get(&self.keys.registry()).await.map_err(unreachable)?;
        let asked = std::time::Instant::now();
        let registered = self.registry.register(&mut connection, &announced).await.map_err(unreachable)?;
        self.clock.set(registered.now, asked.elapsed());
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

    async fn take_in(&self, change: registry::Change) {
        let items = change.items.into_iter().filter_map(|item| self.item(item)).collect();
        let changes = self.catalog().apply(change.prev, change.epoch, items, self.clock.now());
        match changes {
            Some(changes) => self.spread(changes).await,
            None => self.catch_up().await,
        }
    }

    /// Reads what was missed: the changes where they join on, else everything.
    pub(crate) async fn catch_up(&self) {
        if let Err(error) = self.try_catch_up().await {
            tracing::debug!(%error, "the registry could not be read, trying again with the next beat");
        }
    }

    async fn try_catch_up(&self) -> Result<(), Failure> {
        let mut connection = self.admin.get(&self.keys.registry()).await?;
        let epoch = self.catalog().epoch();
        if epoch > 0
            && let Some(missed) = self.registry.changes_since(&mut connection, epoch).await?
        {
            for change in missed {
                let items = change.items.into_iter().filter_map(|item| self.item(item)).collect();
                let changes = self.catalog().apply(change.prev, change.epoch, items, self.clock.now());
                self.spread(changes.unwrap_or_default()).await;
            }
            if self.registry.epoch(&mut connection).await? == self.catalog().epoch() {
                return Ok(());
            }
        }
        drop(connection);
        self.read_anew().await
    }

    /// Reads the whole registry.
    pub(crate) async fn read_anew(&self) -> Result<(), Failure> {
        let mut connection = self.admin.get(&self.keys.registry()).await?;
        let snapshot = self.registry.snapshot(&mut connection).await?;
        let lives = |record: &NodeRecord| !snapshot.silent.contains(&record.id);
        let signs = |record: &NodeRecord| wire::is_signed(&record.head);
        let foreign = !self.seal.signs() && snapshot.nodes.iter().any(|record| lives(record) && signs(record));
        self.foreign.store(foreign, Ordering::Relaxed);
        // Nodes wait for whoever sweeps to say who is dead. An observer may be the only one left to see it.
        let believed = |record: &NodeRecord| lives(record) || !self.observer;
        let members = snapshot.nodes.into_iter().filter(believed).filter_map(|record| self.member(record)).collect();
        let lingering = snapshot.lingering.into_iter().filter_map(|record| self.lingering(record)).collect();
        let changes = self.catalog().replace(snapshot.epoch, members, lingering, snapshot.now);
        self.spread(changes).await;
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
        let (key, name) = info::split_app(app);
        if !self.config.remote_services.allows(&descriptor.path) {
            return None;
        }
        let seen = ServiceInfo { remote: true, ..ServiceInfo::local(&descriptor, key, name) };
        if self.filters.remote_services.as_ref().is_some_and(|allows| !allows(&seen)) {
            return None;
        }
        Some(Offer { since: service.since, descriptor: Arc::new(descriptor) })
    }

    /// Lets everyone here know what became different.
    async fn spread(&self, changes: Vec<catalog::Change>) {
        if changes.is_empty() {
            return;
        }
        self.rebuild_routes();
        for change in changes {
            self.tell(change).await;
        }
    }

    async fn tell(&self, change: catalog::Change) {
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
                if member.app == self.app_key {
                    self.partitions.look();
                }
                tracing::info!(node = %member.id, app = %member.app, host = %member.info.host, "node-up");
                info::Change::NodeUp((&member).into())
            }
            Change::NodeDown(member) => {
                tracing::info!(node = %member.id, app = %member.app, host = %member.info.host, "node-down");
                self.events.forget(&member.id);
                // A node that stood still may hear of its own death: it has nothing to inherit from itself.
                if member.app == self.app_key && member.id != self.id {
                    self.dead_replicas.send(member.id.clone()).ok();
                    self.partitions.look();
                }
                if !self.catalog().nodes().any(|other| other.app == member.app) {
                    self.rpc.doubts().orphaned(self.keys.calls(&member.app).into());
                }
                info::Change::NodeDown((&member).into())
            }
        };
        // An error only says that nobody watches.
        let _ = self.changes.send(told);
    }

    fn info(&self, route: &catalog::Route) -> ServiceInfo {
        ServiceInfo::remote(route, &self.known_as(route))
    }

    /// A remote service's face under the path it has here.
    fn known_as(&self, route: &catalog::Route) -> Descriptor {
        let mut descriptor = Descriptor::clone(&route.descriptor);
        let (key, app) = info::split_app(&route.app);
        descriptor.path = match &self.filters.remote_service_path {
            Some(rename) => rename(&ServiceInfo::remote(route, &descriptor)),
            None => self.config.remote_service_path.apply(&route.path, key, app),
        };
        descriptor.path = crate::service::path::strip(&descriptor.path).to_owned();
        descriptor
    }

    /// The streams that calls of a route go to.
    fn spread_of(&self, route: &catalog::Route) -> Spread {
        let partitions = self.catalog().partitions(route);
        Spread::new(&self.keys, &route.app, partitions, usize::try_from(self.started).unwrap_or(0))
    }

    /// Makes the routes that calls look up. Services that did not change keep their chains.
    fn rebuild_routes(&self) {
        let routes: Vec<catalog::Route> = self.catalog().routes().cloned().collect();
        let old = self.routes.load();
        let hooks = self.app.hooks();
        let mut router = Router::default();
        for route in routes {
            let descriptor = self.known_as(&route);
            let path = descriptor.path.clone();
            let kept = old.named(&path).filter(|remote: &Arc<Remote>| remote.route == route);
            let remote = kept.unwrap_or_else(|| {
                let spread = self.spread_of(&route);
                Arc::new(Remote::new(route, descriptor, hooks.clone(), &self.wrapping, &self.rpc, spread))
            });
            if !router.insert(&path, remote) {
                tracing::warn!(%path, "two remote services would have this path here: only one is kept");
            }
        }
        self.routes.store(Arc::new(router));
    }
}

fn unreachable(error: Failure) -> Error {
    Error::unavailable(format!("Redis: {error}"))
}
