//! An app on the mesh: found by others, calling others, heard by others.

mod ask;
mod beat;
mod builder;
mod caller;
mod catalog;
mod clock;
mod dead;
mod discovery;
mod done;
mod events;
mod in_hand;
mod info;
mod join;
mod lost;
mod metrics;
mod observe;
pub(crate) mod once;
mod partitions;
mod pending;
mod publish;
mod reload;
mod remote;
mod responder;
mod rhythm;
mod routes;
mod rpc;
mod seen;
mod seldom;
mod shutdown;
mod spread;
mod takeover;

pub use builder::NodeBuilder;
pub use dead::{DeadCall, DeadLetter, DeadLetters, Replay};
pub use info::{Change, NodeInfo, ServiceInfo};
#[cfg(feature = "gateway")]
pub(crate) use metrics::METRICS_TYPE;
pub use reload::Reloaded;
pub use remote::CallService;
pub use shutdown::signal;

use crate::{
    Error, Result,
    config::Config,
    redis::{connection::Connector, credentials::Provider, keys::Keys, link::Links, pool::Admin, registry::Registry},
    service::{App, Descriptor, EventSink, Handle, Registration},
    wire::Seal,
};
use arc_swap::ArcSwap;
use catalog::Catalog;
use clock::Clock;
use events::Events;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use metrics::Metrics;
use partitions::Partitions;
use publish::Filters;
use remote::Wrapping;
use routes::Routes;
use rpc::Rpc;
use seldom::Seldom;
use shutdown::Running;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// An app that has joined the mesh. Cheap to clone: clones are the same node.
///
/// Dropping the last clone without [`Node::shutdown`] stops it at once; others then see it die when its TTL is over.
///
/// ```no_run
/// use rachis::{App, Config, Node};
/// use serde_json::json;
///
/// # async fn run() -> rachis::Result<()> {
/// let node = Node::builder(Config::load()?).app(App::new()).start().await?;
/// node.wait_for("todos").await?;
/// let page = node.service("todos").find().query(json!({ "$limit": 10 })).await?;
/// println!("{page}");
/// node.shutdown().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
    _guard: Arc<Guard>,
}

/// Stops everything when the last handle goes: the tasks hold the inside of a node, never a handle.
struct Guard {
    stop: CancellationToken,
    _publisher: Arc<dyn EventSink>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) struct Inner {
    me: Weak<Inner>,
    id: String,
    app_name: String,
    /// `KEY/APP`.
    app_key: String,
    host: String,
    started: u64,
    /// As it was started.
    config: Config,
    /// As it is now, in what a running node can take.
    live: ArcSwap<Config>,
    /// Counts the times that `live` changed.
    reloads: watch::Sender<u64>,
    reloading: Mutex<()>,
    takers: reload::Takers,
    files: reload::Files,
    /// Says who to be to Redis, instead of the configuration.
    credentials: Option<Provider>,
    app: App,
    keys: Keys,
    clock: Arc<Clock>,
    seal: Seal,
    /// Warnings of announcements that are not believed.
    refused: Seldom,
    /// Does a living node sign its frames, while this one has no secret?
    foreign: AtomicBool,
    connector: Connector,
    admin: Admin,
    registry: Registry,
    catalog: Mutex<Catalog>,
    routes: Routes,
    published: ArcSwap<BTreeMap<String, Arc<Descriptor>>>,
    // Pointers, since it has room for a thousand changes from the beginning on.
    changes: broadcast::Sender<Arc<Change>>,
    last_beat: watch::Sender<Option<Instant>>,
    metrics: Arc<Metrics>,
    rpc: Arc<Rpc>,
    /// The connections that requests and replies share, once it has joined.
    links: OnceLock<Links>,
    events: Arc<Events>,
    partitions: Partitions,
    dead_replicas: mpsc::UnboundedSender<String>,
    filters: Filters,
    wrapping: Wrapping,
    /// Not a part of the mesh: it looks, calls and listens.
    observer: bool,
    /// Ends every task.
    stop: CancellationToken,
    /// Ends the pulling of requests.
    pulling: CancellationToken,
    /// Ends the heartbeat.
    beating: CancellationToken,
    /// Cancelled when a shutdown begins.
    draining: CancellationToken,
    /// Has it been told to stop, and goes on until load balancers know?
    retiring: AtomicBool,
    running: Mutex<Running>,
}

/// A service that a path leads to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resolved {
    /// What it offers.
    pub descriptor: Arc<Descriptor>,
    /// Does it run on another node?
    pub remote: bool,
    /// The values of the path's placeholders.
    pub route: BTreeMap<String, String>,
}

/// Can this node be given work?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It has not joined the mesh yet.
    Starting,
    /// It has, and Redis answers.
    Ready,
    /// Redis has not answered for longer than the TTL; local services work, and the last catalog is served from.
    Degraded,
    /// It is leaving.
    Draining,
}

impl Node {
    /// Starts to build a node.
    pub fn builder(config: Config) -> NodeBuilder {
        NodeBuilder::new(config)
    }

    /// Its id on the mesh, a ULID.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The configuration it was built with; what [`Node::reload`] took since is not in it.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The configuration as it counts now.
    #[cfg(feature = "gateway")]
    pub(crate) fn live(&self) -> Arc<Config> {
        self.inner.live.load_full()
    }

    /// The services of this process.
    pub fn app(&self) -> &App {
        &self.inner.app
    }

    /// A service by its path, here or on any other node: the caller can not tell.
    pub fn service(&self, path: &str) -> Handle {
        Handle::new(Some(self.inner.caller()), path)
    }

    /// Registers a service now; it is announced at once.
    ///
    /// # Errors
    /// `BadRequest` for an invalid path or method name, `Conflict` for a path of this process that is taken, whatever
    /// the service's `setup` failed with.
    pub async fn register(&self, path: &str, service: impl Into<Registration>) -> Result<()> {
        self.inner.app.try_register(path, service)?;
        self.inner.app.setup_one(path, &self.inner.caller()).await
    }

    /// Takes a service of this process away; says whether there was one. Where no other replica has it, the path is
    /// gone at once.
    ///
    /// # Errors
    /// Whatever the service's `teardown` failed with.
    pub async fn unregister(&self, path: &str) -> Result<bool> {
        self.inner.app.unregister(path).await
    }

    /// The service that `path` leads to: one of this process if there is one, else a remote one.
    pub fn resolve(&self, path: &str) -> Option<Resolved> {
        if let Some(found) = self.inner.app.find(path) {
            let descriptor = found.value.descriptor.clone();
            return Some(Resolved { descriptor, remote: false, route: found.route });
        }
        let found = self.inner.routes().find(crate::service::path::strip(path))?;
        Some(Resolved { descriptor: found.value.descriptor.clone(), remote: true, route: found.route })
    }

    /// Waits until `path` can be called.
    ///
    /// # Errors
    /// `Timeout` after the configured `timeout`.
    pub async fn wait_for(&self, path: &str) -> Result<Resolved> {
        let mut changes = self.inner.changes.subscribe();
        let mut local = self.inner.app.changed();
        let timeout = self.inner.live.load().timeout;
        let found = async {
            loop {
                if let Some(found) = self.resolve(path) {
                    return found;
                }
                tokio::select! {
                    _ = changes.recv() => {}
                    _ = local.changed() => {}
                }
            }
        };
        tokio::time::timeout(timeout, found).await.map_err(|_| {
            Error::timeout(format!("Nobody offered '{path}' within {}", humantime::format_duration(timeout)))
        })
    }

    /// Every service that can be called: those of this process and the remote ones, by path.
    pub fn services(&self) -> Vec<ServiceInfo> {
        let node = &self.inner;
        let mut services: BTreeMap<String, ServiceInfo> = BTreeMap::new();
        {
            // Which replicas there are changes more often than the routes do, and only the catalog always knows.
            let routes = node.routes();
            let catalog = node.catalog();
            for remote in routes.values() {
                let route = catalog.route(&remote.route.path).unwrap_or(&remote.route);
                services.insert(remote.descriptor.path.clone(), ServiceInfo::remote(route, &remote.descriptor));
            }
        }
        for registered in node.app.registered() {
            let info = ServiceInfo::local(&registered.descriptor, &node.config.key, &node.app_name);
            let info = ServiceInfo { replicas: vec![node.id.clone()], ..info };
            services.insert(registered.descriptor.path.clone(), info);
        }
        services.into_values().collect()
    }

    /// Every node of the mesh, this one included, the oldest first.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        self.inner.catalog().nodes().map(NodeInfo::from).collect()
    }

    /// Is a replica of each remote service up? For one partition key, or for all of them with `None`, which stands for
    /// this node's own. `None` when no app is registered with that key.
    pub fn health(&self, key: Option<&str>) -> Option<BTreeMap<String, bool>> {
        let own = &self.inner.config.key;
        let wanted = key.filter(|key| key != own);
        let routes = self.inner.routes();
        let health: BTreeMap<String, bool> = routes
            .values()
            .filter(|remote| wanted.is_none_or(|key| info::split_app(&remote.route.app).0 == key))
            .map(|remote| (remote.descriptor.path.clone(), !remote.route.replicas.is_empty()))
            .collect();
        let known =
            wanted.is_none_or(|key| !health.is_empty() || self.inner.catalog().nodes().any(|member| member.key == key));
        known.then_some(health)
    }

    /// Can this node be given work?
    pub fn readiness(&self) -> Readiness {
        let node = &self.inner;
        if node.draining.is_cancelled() || node.stop.is_cancelled() || node.retiring.load(Ordering::Relaxed) {
            return Readiness::Draining;
        }
        match *node.last_beat.borrow() {
            None => Readiness::Starting,
            Some(last) if last.elapsed() > node.config.ttl() => Readiness::Degraded,
            Some(_) => Readiness::Ready,
        }
    }

    /// What becomes different in the mesh, as it happens. A reader that falls behind misses the oldest changes.
    pub fn changes(&self) -> impl Stream<Item = Change> + Send + Unpin + use<> {
        let receiver = self.inner.changes.subscribe();
        let stop = self.inner.stop.clone();
        let changes = stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(change) => return Some((Change::clone(&change), receiver)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        Box::pin(changes.take_until(async move { stop.cancelled().await }))
    }

    /// Remote services as they come (`"service"`) or go (`"service-removed"`), by the names feathers-distributed gave
    /// these events. Any other name never yields anything; [`Node::changes`] has more.
    pub fn on(&self, event: &str) -> impl Stream<Item = ServiceInfo> + Send + Unpin + use<> {
        let event = event.to_owned();
        Box::pin(self.changes().filter_map(move |change| {
            let info = match (event.as_str(), change) {
                ("service", Change::Service(info)) | ("service-removed", Change::ServiceRemoved(info)) => Some(info),
                _ => None,
            };
            std::future::ready(info)
        }))
    }

    /// Calls of remote services that wait for a reply.
    pub fn pending(&self) -> usize {
        self.inner.rpc.pending()
    }

    /// Calls from other nodes that are being worked on.
    pub fn in_flight(&self) -> usize {
        self.inner.partitions.in_flight()
    }

    /// How many requests to this node's app wait in Redis or are being worked on.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer.
    pub async fn queue_length(&self) -> Result<u64> {
        let asked = self.inner.partitions.queue_length(&self.inner).await;
        asked.map_err(ask::unreachable)
    }

    /// Ends when the node has shut down or begun to.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        let draining = self.inner.draining.clone();
        let stop = self.inner.stop.clone();
        async move {
            tokio::select! {
                () = draining.cancelled() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Ends when the node has shut down.
    #[cfg(feature = "gateway")]
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner.stop.clone().cancelled_owned()
    }

    /// Waits for Ctrl-C or SIGTERM and then shuts down.
    ///
    /// # Errors
    /// Those of [`Node::shutdown`].
    pub async fn run_until_signal(&self) -> Result<()> {
        signal().await;
        self.shutdown().await
    }
}

impl Inner {
    fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What others may see of a service of this process.
    fn published(&self, path: &str) -> Option<Arc<Descriptor>> {
        self.published.load().get(path).cloned()
    }

    fn note_beat(&self) {
        self.last_beat.send_replace(Some(Instant::now()));
    }

    fn linger_ms(&self) -> Option<u64> {
        match self.config.linger {
            crate::config::Linger::For(time) => Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            crate::config::Linger::Forever => None,
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.inner.id)
            .field("app", &self.inner.app_key)
            .field("readiness", &self.readiness())
            .finish_non_exhaustive()
    }
}
