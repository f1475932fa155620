//! The handle of a node: what applications hold.

mod calling;
mod mesh;
mod operations;

use super::{
    admin::{beats::Beats, dead_letters::LetterAccess, questions::Questions, queues::Queues, scrape::Scraper},
    caller::Calls,
    client::waiting::Waiting,
    discovery::view::View,
    lifecycle::{membership::Membership, reload::Reloader, shutdown::signal},
    server::partitions::Partitions,
};
use crate::node::shared::{
    clock::Clock,
    commands::unreachable,
    identity::Identity,
    life::{Life, Readiness},
    live_config::LiveConfig,
};
use crate::redis::RedisPool;
use rachis_config::Config;
use rachis_core::{App, Caller, Error, Handle, Registration, Result};
use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

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
    pub(super) parts: Arc<Parts>,
}

/// A node that is not kept alive by this: for what a node itself holds, such as its services.
#[doc(hidden)] // for the gateway
#[derive(Clone, Default)]
pub struct WeakNode(Weak<Parts>);

impl WeakNode {
    /// Returns the node, unless its last handle is gone.
    pub fn upgrade(&self) -> Option<Node> {
        self.0.upgrade().map(|parts| Node { parts })
    }
}

/// What the methods of a node are made of: each uses the part that does its job. The tasks of a node hold parts, never this.
pub(crate) struct Parts {
    pub(crate) identity: Arc<Identity>,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) app: App,
    pub(crate) life: Arc<Life>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) view: Arc<View>,
    #[cfg(feature = "schema")]
    pub(crate) schemas: super::schemas::SchemaReader,
    pub(crate) clock: Arc<Clock>,
    pub(crate) letters: Arc<LetterAccess>,
    pub(crate) queues: Arc<Queues>,
    pub(crate) beats: Beats,
    pub(crate) scraper: Scraper,
    pub(crate) questions: Arc<Questions>,
    pub(crate) reloader: Arc<Reloader>,
    /// For the application's own commands.
    pub(crate) redis_pool: RedisPool,
    /// Takes the events of the app for as long as there is a handle.
    pub(crate) _events: Arc<dyn rachis_core::host::EventSink>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.life.stop.cancel();
    }
}

impl Node {
    pub(super) fn new(parts: Parts) -> Self {
        Node { parts: Arc::new(parts) }
    }

    /// Returns this node as one that is not kept alive.
    #[doc(hidden)]
    pub fn downgrade(&self) -> WeakNode {
        WeakNode(Arc::downgrade(&self.parts))
    }

    /// Its id on the mesh, a ULID.
    pub fn id(&self) -> &str {
        &self.parts.identity.id
    }

    /// The configuration it was built with; what [`Node::reload`] took since is not in it.
    pub fn config(&self) -> &Config {
        self.parts.config.at_start()
    }

    /// The configuration as it counts now.
    #[doc(hidden)]
    pub fn live(&self) -> Arc<Config> {
        self.parts.config.load_full()
    }

    /// The services of this process.
    pub fn app(&self) -> &App {
        &self.parts.app
    }

    /// A service by its path, here or on any other node: the caller can not tell.
    pub fn service(&self, path: &str) -> Handle {
        Handle::new(Some(self.parts.calls.caller.clone()), path)
    }

    /// Registers a service now; it is announced at once.
    ///
    /// # Errors
    /// `BadRequest` for an invalid path or method name, `Conflict` for a path of this process that is taken, or
    /// the error of the service's `setup`.
    pub async fn register(&self, path: &str, service: impl Into<Registration>) -> Result<()> {
        self.parts.app.try_register(path, service)?;
        let caller: Arc<dyn Caller> = self.parts.calls.caller.clone();
        self.parts.app.setup_one(path, &caller).await
    }

    /// Takes a service of this process away; says whether there was one. Where no other replica has it, the path is
    /// gone at once.
    ///
    /// # Errors
    /// The error of the service's `teardown`.
    pub async fn unregister(&self, path: &str) -> Result<bool> {
        self.parts.app.unregister(path).await
    }

    /// Returns whether this node can be given work.
    pub fn readiness(&self) -> Readiness {
        self.parts.life.readiness()
    }

    /// Calls of remote services that wait for a reply.
    pub fn pending(&self) -> usize {
        self.parts.waiting.len()
    }

    /// Calls from other nodes that are being worked on.
    pub fn in_flight(&self) -> usize {
        self.parts.partitions.in_flight()
    }

    /// How many requests to this node's app wait in Redis or are being worked on.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer.
    pub async fn queue_length(&self) -> Result<u64> {
        let asked = self.parts.partitions.queue_length().await;
        asked.map_err(unreachable)
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
        self.parts.partitions.pause();
    }

    /// Takes calls of other nodes again after [`Node::pause`].
    pub fn resume(&self) {
        self.parts.partitions.resume();
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
    /// Of `get`, as pools of deadpool-redis have them: after `redis.connect_timeout` (5 s) while all connections are in use or Redis does not answer.
    ///
    /// ```no_run
    /// use rachis::{Error, Node, Result, redis::AsyncCommands};
    ///
    /// async fn visits(node: &Node) -> Result<u64> {
    ///     let mut redis = node.redis().get().await.map_err(|error| Error::unavailable(error.to_string()))?;
    ///     redis.incr("shop:visits", 1).await.map_err(|error| Error::unavailable(error.to_string()))
    /// }
    /// ```
    pub fn redis(&self) -> RedisPool {
        self.parts.redis_pool.clone()
    }

    /// Joins the mesh now, for nodes started with `start_delay = "manual"`. Joining twice does nothing.
    ///
    /// # Errors
    /// `Unavailable` when the node was shut down meanwhile.
    pub async fn join(&self) -> Result<()> {
        self.parts.membership.join().await
    }

    /// Joins, or gives up after `time`.
    ///
    /// # Errors
    /// `Unavailable` when Redis was not reached in time, or did not let this node in; the node is then shut down.
    pub async fn join_within(&self, time: Duration) -> Result<()> {
        self.parts.membership.join_within(time).await
    }

    /// Ends when the node has shut down or begun to.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        let draining = self.parts.life.draining.clone();
        let stop = self.parts.life.stop.clone();
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
        self.parts.life.stop.clone().cancelled_owned()
    }

    /// Waits for Ctrl-C or SIGTERM and then shuts down; ends, too, when the node has left for another reason, such as
    /// `rachis drain`.
    ///
    /// # Errors
    /// Those of [`Node::shutdown`].
    pub async fn run_until_signal(&self) -> Result<()> {
        tokio::select! {
            () = signal() => self.shutdown().await,
            () = self.ended() => Ok(()),
        }
    }

    /// Says that this node drains ([`Node::readiness`], `/readyz` of a gateway) and waits for `shutdown.delay`; calls go on
    /// meanwhile. For gateways behind load balancers that ask: one that stops listening before they have heard of it
    /// refuses what they still send. Does nothing where `shutdown.delay` is 0.
    ///
    /// ```no_run
    /// use rachis::{gateway::{Gateway, serve}, signal};
    ///
    /// # async fn run(node: rachis::Node) -> rachis::Result<()> {
    /// let listener = tokio::net::TcpListener::bind(&node.config().gateway.listen).await?;
    /// let leaving = node.clone();
    /// let stop = async move {
    ///     signal().await;
    ///     leaving.retire().await;
    /// };
    /// serve(listener, Gateway::new(&node)).config(node.config()).with_graceful_shutdown(stop).await?;
    /// node.shutdown().await
    /// # }
    /// ```
    pub async fn retire(&self) {
        let delay = self.parts.config.load().shutdown.delay;
        if delay.is_zero() {
            return;
        }
        self.parts.life.retire();
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.parts.life.stop.cancelled() => {}
        }
    }

    /// Leaves the mesh in good order; takes no longer than the configured `shutdown.grace` and a few seconds for Redis.
    ///
    /// New calls go to other replicas at once; what was pulled and not started is handed back; what runs is finished.
    /// A second call waits for the first.
    ///
    /// # Errors
    /// `Timeout` when calls still ran at the end of the grace; they are left to other replicas as if this one had died.
    pub async fn shutdown(&self) -> Result<()> {
        // By itself, so that a caller that goes leaves no member behind that pulls nothing.
        let node = self.clone();
        let leaving = tokio::spawn(async move { node.parts.membership.leave().await });
        leaving
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("The runtime ended before this node had left the mesh")))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.parts.identity.id)
            .field("app", &self.parts.identity.app)
            .field("readiness", &self.readiness())
            .finish_non_exhaustive()
    }
}
