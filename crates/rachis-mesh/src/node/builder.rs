//! From a configuration and an app to a node that has joined the mesh.

use super::{
    Guard, Inner, Node,
    admin::{info::ServiceInfo, metrics::Metrics},
    client::{
        remote::{CallService, Wrapping, erase},
        rpc::Rpc,
    },
    clock::Clock,
    discovery::{catalog::Catalog, publish::Filters, routes::Routes},
    events::{Events, Publisher},
    lifecycle::{
        reload::{Commit, Files, Takers},
        shutdown::Running,
    },
    rate_limited_log::RateLimitedLog,
    server::partitions::{Partitions, Work},
    settings,
};
use crate::{
    redis::{
        application,
        connection::{
            Connector,
            credentials::{CredentialProvider, Provider},
            pool::Admin,
        },
        keys::Keys,
        registry::Registry,
    },
    wire::Signer,
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rachis_config::{Config, Secret, StartDelay};
use rachis_core::{Answer, App, AroundHook, Call, Error, Hook, Result, Scope, host::EventSink};
use std::{
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

/// Changes of the mesh that a slow watcher may fall behind.
const CHANGE_BUFFER: usize = 1024;

/// A node that has not started.
///
/// ```no_run
/// use rachis::{App, Config, MemoryService, Node};
///
/// # async fn start() -> rachis::Result<()> {
/// let app = App::new().register("todos", MemoryService::new());
/// let node = Node::builder(Config::load()?).app(app).start().await?;
/// # Ok(()) }
/// ```
#[must_use = "a node does nothing until it is started"]
pub struct NodeBuilder {
    config: Config,
    app: App,
    filters: Filters,
    wrapping: Wrapping,
    connect_within: Option<Duration>,
    observer: bool,
    takers: Takers,
    credentials: Option<Provider>,
}

impl NodeBuilder {
    pub(super) fn new(config: Config) -> Self {
        NodeBuilder {
            config,
            app: App::new(),
            filters: Filters::default(),
            wrapping: Wrapping::default(),
            connect_within: None,
            observer: false,
            takers: Takers::default(),
            credentials: None,
        }
    }

    /// The services of this process. Without, the node only calls: a gateway.
    pub fn app(mut self, app: App) -> Self {
        self.app = app;
        self
    }

    /// Publishes only the services that the predicate wants, of those that the configured `services` allow.
    pub fn services(mut self, wanted: impl Fn(&ServiceInfo) -> bool + Send + Sync + 'static) -> Self {
        self.filters.services = Some(Arc::new(wanted));
        self
    }

    /// Sees only the remote services that the predicate wants, of those that the configured `remote_services` allow.
    pub fn remote_services(mut self, wanted: impl Fn(&ServiceInfo) -> bool + Send + Sync + 'static) -> Self {
        self.filters.remote_services = Some(Arc::new(wanted));
        self
    }

    /// Names remote services as they shall be known here, instead of by the configured `remote_service_path`.
    pub fn remote_service_path(mut self, name: impl Fn(&ServiceInfo) -> String + Send + Sync + 'static) -> Self {
        self.filters.remote_service_path = Some(Arc::new(name));
        self
    }

    /// Runs `hook` around the methods of `scope` of every remote service, inside the app's own hooks.
    pub fn remote_around(mut self, scope: impl Into<Scope>, hook: impl AroundHook) -> Self {
        self.wrapping.hooks.around(scope.into(), hook);
        self
    }

    /// Runs `hook` before a remote service is called.
    pub fn remote_before(mut self, scope: impl Into<Scope>, hook: impl Hook) -> Self {
        self.wrapping.hooks.before(scope.into(), hook);
        self
    }

    /// Runs `hook` after a remote service has answered.
    pub fn remote_after(mut self, scope: impl Into<Scope>, hook: impl Hook) -> Self {
        self.wrapping.hooks.after(scope.into(), hook);
        self
    }

    /// Runs `hook` when a remote service failed.
    pub fn remote_on_error(mut self, scope: impl Into<Scope>, hook: impl Hook) -> Self {
        self.wrapping.hooks.on_error(scope.into(), hook);
        self
    }

    /// Puts a tower layer around every remote service, outside its hooks: it sees a call as the caller made it. The first one
    /// added is outermost.
    ///
    /// Calls of services of the own process pass no layer. What a layer refuses is an [`Error`]; nothing is sent then.
    ///
    /// ```no_run
    /// use rachis::{Answer, Call, CallService, Config, Error, Node};
    /// use std::task::{Context, Poll};
    /// use tower::{Layer, Service};
    ///
    /// /// Refuses calls of services below `internal/` that clients make.
    /// #[derive(Clone)]
    /// struct NoClients;
    ///
    /// #[derive(Clone)]
    /// struct Refusing(CallService);
    ///
    /// impl Layer<CallService> for NoClients {
    ///     type Service = Refusing;
    ///
    ///     fn layer(&self, inner: CallService) -> Refusing {
    ///         Refusing(inner)
    ///     }
    /// }
    ///
    /// impl Service<Call> for Refusing {
    ///     type Response = Answer;
    ///     type Error = Error;
    ///     type Future = std::pin::Pin<Box<dyn Future<Output = rachis::Result<Answer>> + Send>>;
    ///
    ///     fn poll_ready(&mut self, ctx: &mut Context<'_>) -> Poll<rachis::Result<()>> {
    ///         self.0.poll_ready(ctx)
    ///     }
    ///
    ///     fn call(&mut self, call: Call) -> Self::Future {
    ///         if call.path.starts_with("internal/") && !call.params.is_internal() {
    ///             return Box::pin(async { Err(Error::forbidden("Not for clients")) });
    ///         }
    ///         Box::pin(self.0.call(call))
    ///     }
    /// }
    ///
    /// # async fn run() -> rachis::Result<()> {
    /// let node = Node::builder(Config::load()?).outer_layer(NoClients).start().await?;
    /// # drop(node);
    /// # Ok(()) }
    /// ```
    pub fn outer_layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<CallService> + Send + Sync + 'static,
        L::Service: Service<Call, Response = Answer, Error = Error> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Future: Send + 'static,
    {
        self.wrapping.outer.push(erase(layer));
        self
    }

    /// Puts a tower layer around every remote service, inside its hooks: it sees a call as it is sent. The first one added is
    /// outermost. See [`outer_layer`](NodeBuilder::outer_layer).
    pub fn inner_layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<CallService> + Send + Sync + 'static,
        L::Service: Service<Call, Response = Answer, Error = Error> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Future: Send + 'static,
    {
        self.wrapping.inner.push(erase(layer));
        self
    }

    /// Gives up starting when Redis can not be reached for this long; otherwise [`start`](NodeBuilder::start) tries for
    /// ever.
    pub fn connect_within(mut self, time: Duration) -> Self {
        self.connect_within = Some(time);
        self
    }

    /// Only looks on: the node sees, calls and hears the others as any node does, and none of them ever hears of it. Its
    /// own services, if it has any, can be called from this process only.
    pub fn observer(mut self) -> Self {
        self.observer = true;
        self
    }

    /// Asks code who to be to Redis, and not the configuration: for passwords that expire, or live in a vault. They are
    /// renewed before they expire, also on the connections that are open. See [`CredentialProvider`].
    pub fn credentials(mut self, provider: impl CredentialProvider) -> Self {
        self.credentials = Some(Provider::new(provider));
        self
    }

    /// Lets the program take these keys of a configuration that is [reloaded](Node::reload), say `log.level`. `prepare` looks
    /// at the new configuration, and an error of it refuses the whole; what it returns is run when nothing can fail any more.
    ///
    /// ```
    /// use rachis::{Config, Node};
    ///
    /// let builder = Node::builder(Config::default()).on_reload(["log.level"], |config| {
    ///     let level = config.log.level.clone();
    ///     Ok(Box::new(move || println!("from now on: {level}")))
    /// });
    /// # drop(builder);
    /// ```
    pub fn on_reload(
        mut self,
        keys: impl IntoIterator<Item = &'static str>,
        prepare: impl Fn(&Config) -> Result<Commit> + Send + Sync + 'static,
    ) -> Self {
        self.takers.add(keys, prepare);
        self
    }

    /// Joins the mesh: connects, announces the services, learns of all others. With a `start_delay` it waits that long
    /// first; with the delay `manual` the node calls its own services only, until [`Node::join`].
    ///
    /// # Errors
    /// `BadRequest` for a configuration that can not work, `Unavailable` when Redis was not reached in time, whatever a
    /// service's `setup` failed with.
    pub async fn start(self) -> Result<Node> {
        self.config.validate()?;
        // An observer promises nothing to other nodes, but it trusts: only the hazard to that trust concerns it.
        let mut hazards = self.config.hazards();
        if self.observer {
            hazards.retain(|hazard| hazard.starts_with("redis.tls_insecure"));
        }
        for warning in self.config.warnings.iter().chain(&hazards) {
            tracing::warn!("{warning}");
        }
        let delay = self.config.start_delay;
        let connect_within = self.connect_within;
        let node = self.assemble()?;
        let caller = node.inner.caller();
        node.inner.app.setup_for(&caller).await?;
        match delay {
            StartDelay::Manual => {}
            StartDelay::After(delay) => {
                tokio::time::sleep(delay).await;
                match connect_within {
                    Some(time) => node.join_within(time).await?,
                    None => node.join().await?,
                }
            }
        }
        Ok(node)
    }

    /// Builds every part, connected to nothing yet.
    fn assemble(self) -> Result<Node> {
        let NodeBuilder { config, app, filters, wrapping, observer, takers, credentials, .. } = self;
        let credentials = match credentials {
            None => settings::provider(&config)?,
            given => given,
        };
        let id = ulid::Ulid::generate().to_string();
        let app_name = config.app_name();
        let app_key = format!("{}/{app_name}", config.key);
        let keys = Keys::new(&config.namespace).in_database(settings::database_of(&config)?);
        let name = format!("rachis:{app_name}:{id}");
        let connector = Connector::new(settings::options(&config)?, &name).map_err(|error| {
            Error::bad_request(format!("redis.url ({}) can not be used: {error}", config.redis.url))
        })?;
        let admin = Admin::new(&connector);
        let redis_pool = application::pool(&connector).map_err(Error::other)?;
        let ttl = config.ttl();
        let registry = Registry::new(keys.clone(), &id, &app_key, ttl, settings::linger(&config));
        let limits = settings::limits(&config);
        let stop = CancellationToken::new();
        let clock = Arc::new(Clock::new());
        let [secret, previous] =
            [&config.mesh.secret, &config.mesh.previous_secret].map(|secret| secret.as_ref().map(Secret::expose));
        let signer = Signer::new(secret, previous);
        let rpc = Arc::new(Rpc::new(&id, limits, clock.clone(), signer.clone(), keys.clone()));
        let links = OnceLock::new();
        let (events, outgoing) = Events::new(keys.clone(), config.limits.event_buffer.as_usize(), admin.clone());
        let (dead_replicas, dead) = mpsc::unbounded_channel();
        let work = Work::new(keys.clone(), config.limits.max_in_flight, limits, signer.clone());
        let partitions = Partitions::new(work, &app_key, &id, config.partitions);
        let catalog = Catalog::new(&id, u64::try_from((ttl * 2).as_millis()).unwrap_or(u64::MAX));
        let metrics = Arc::new(Metrics::new(&app_key));
        let inner = Arc::new_cyclic(|me| Inner {
            me: me.clone(),
            id,
            app_name,
            app_key,
            host: super::admin::info::host(),
            started: super::admin::info::unix_ms(),
            app,
            keys,
            clock,
            signer,
            refused: RateLimitedLog::new(),
            foreign: AtomicBool::new(false),
            connector,
            admin,
            redis_pool,
            registry,
            catalog: Mutex::new(catalog),
            routes: Routes::default(),
            published: ArcSwap::default(),
            changes: broadcast::Sender::new(CHANGE_BUFFER),
            last_beat: watch::Sender::new(None),
            metrics,
            rpc,
            links,
            events,
            partitions,
            recent: super::idempotency::RecentOutcomes::new(ttl),
            dead_replicas,
            filters,
            wrapping,
            observer,
            stop: stop.clone(),
            pulling: stop.child_token(),
            beating: stop.child_token(),
            draining: CancellationToken::new(),
            retiring: AtomicBool::new(false),
            running: Mutex::new(Running::Assembled { dead, outgoing }),
            live: ArcSwap::from_pointee(config.clone()),
            reloads: watch::Sender::new(0),
            reloading: Mutex::new(()),
            takers,
            files: Files::of(&config),
            credentials,
            config,
        });
        let publisher: Arc<dyn EventSink> = Arc::new(Publisher { node: Arc::downgrade(&inner) });
        inner.app.add_sink(Arc::downgrade(&publisher));
        Ok(Node { _guard: Arc::new(Guard { stop, _publisher: publisher }), inner })
    }
}
