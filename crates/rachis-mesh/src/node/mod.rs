//! An app on the mesh: found by others, calling others, heard by others.
//!
//! The folders are the jobs of a node. Beside them stand what several share: the builder, the settings derived from the
//! configuration, Redis's clock, commands that belong to calls, and the limit on warnings.

mod admin;
mod ask;
mod builder;
mod client;
mod clock;
mod discovery;
mod events;
mod idempotency;
mod lifecycle;
mod rate_limited_log;
mod server;
mod settings;

pub use admin::dead_letters::{DeadCall, DeadLetter, DeadLetters, Replay};
pub use admin::info::{Change, NodeInfo, ServiceInfo};
pub use admin::metrics::METRICS_TYPE;
pub use builder::NodeBuilder;
pub use client::remote::CallService;
pub use discovery::view::Resolved;
pub use lifecycle::heartbeat::with_the_rest as beat_with_the_rest;
pub use lifecycle::reload::Reloaded;
pub use lifecycle::shutdown::signal;

use crate::{
    redis::{
        RedisPool,
        connection::{Connector, credentials::Provider, link::Links, pool::Admin},
        keys::Keys,
        registry::Registry,
    },
    wire::Signer,
};
use admin::metrics::Metrics;
use arc_swap::ArcSwap;
use client::{remote::Wrapping, rpc::Rpc};
use clock::Clock;
use discovery::{catalog::Catalog, publish::Filters, routes::Routes};
use events::Events;
use lifecycle::{reload, shutdown::Running};
use parking_lot::{Mutex, MutexGuard};
use rachis_config::Config;
use rachis_core::{App, Descriptor, Handle, Registration, Result, host::EventSink};
use rate_limited_log::RateLimitedLog;
use server::partitions::Partitions;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
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
    signer: Signer,
    /// Warnings of announcements that are not believed.
    refused: RateLimitedLog,
    /// `true` if a living node signs its frames, while this one has no secret.
    foreign: AtomicBool,
    connector: Connector,
    admin: Admin,
    /// For the application's own commands.
    redis_pool: RedisPool,
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
    recent: idempotency::RecentOutcomes,
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
    /// `true` once it has been told to stop and goes on until load balancers know.
    retiring: AtomicBool,
    running: Mutex<Running>,
}

/// Whether a node can be given work.
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
    #[doc(hidden)]
    pub fn live(&self) -> Arc<Config> {
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

    /// Returns whether this node can be given work.
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

    /// Takes no more calls of other nodes until [`Node::resume`]: they wait in Redis, for other replicas of the app or for
    /// this one. What is being worked on goes on, and the node stays a member and calls others as before. For programs
    /// that know that they are too busy; a second call does nothing.
    ///
    /// ```no_run
    /// # async fn run(node: rachis::Node) {
    /// node.pause();
    /// // ... what needs the whole machine ...
    /// node.resume();
    /// # }
    /// ```
    pub fn pause(&self) {
        self.inner.partitions.pause(&self.inner);
    }

    /// Takes calls of other nodes again after [`Node::pause`].
    pub fn resume(&self) {
        self.inner.partitions.resume(&self.inner);
    }

    /// Returns the pool of connections for the application's own commands, to the same Redis as the mesh and with its
    /// settings: TLS, logins that change, Sentinel, Cluster. Clones are one pool, and the mesh uses none of its connections.
    ///
    /// It holds at most `redis.pool_size` (4) connections, opened when they are first asked for and closed when they were
    /// idle for a minute or two. Each was checked, by a `PING`, when it is handed out. In a cluster a command goes to the
    /// server that holds its first key, and all keys of a command or a pipeline have to lie in one slot. What is sent runs at
    /// most once: a command that breaks off with its connection is not repeated.
    ///
    /// A command fails after `redis.response_timeout` (2 s), so commands that block have to block for less.
    ///
    /// # Errors
    /// Of `get`: after `redis.connect_timeout` (5 s) while all connections are in use or Redis does not answer.
    ///
    /// ```no_run
    /// use rachis::{Error, Node, Result, redis::AsyncCommands};
    ///
    /// async fn visits(node: &Node) -> Result<u64> {
    ///     let mut redis = node.redis().get().await.map_err(Error::other)?;
    ///     redis.incr("shop:visits", 1).await.map_err(Error::other)
    /// }
    /// ```
    pub fn redis(&self) -> RedisPool {
        self.inner.redis_pool.clone()
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
    #[doc(hidden)]
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
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
        self.catalog.lock()
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
            rachis_config::Linger::For(time) => Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            rachis_config::Linger::Forever => None,
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
