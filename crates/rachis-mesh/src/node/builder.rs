//! From a configuration and an app to a node that has joined the mesh.

mod hooks;

use super::{
    assembly::{Plan, assemble},
    client::remote::{CallService, Wrapping, erase},
    handle::Node,
    lifecycle::reload::{Commit, Takers},
};
use crate::node::shared::{filters::Filters, info::ServiceInfo};
use crate::redis::connection::credentials::{CredentialProvider, Provider};
use rachis_config::{Config, StartDelay};
use rachis_core::{Answer, App, Call, Caller, Error, Result};
use std::{sync::Arc, time::Duration};
use tower::{Layer, Service};

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
    plan: Plan,
    connect_within: Option<Duration>,
}

impl Node {
    /// Starts to build a node.
    pub fn builder(config: Config) -> NodeBuilder {
        NodeBuilder::new(config)
    }
}

impl NodeBuilder {
    fn new(config: Config) -> Self {
        let plan = Plan {
            config,
            app: App::new(),
            filters: Filters::default(),
            wrapping: Wrapping::default(),
            observer: false,
            takers: Takers::default(),
            credentials: None,
        };
        NodeBuilder { plan, connect_within: None }
    }

    /// The services of this process. Without, the node only calls: a gateway.
    pub fn app(mut self, app: App) -> Self {
        self.plan.app = app;
        self
    }

    /// Publishes only the services that the predicate wants, of those that the configured `services` allow.
    pub fn services(mut self, wanted: impl Fn(&ServiceInfo) -> bool + Send + Sync + 'static) -> Self {
        self.plan.filters.services = Some(Arc::new(wanted));
        self
    }

    /// Sees only the remote services that the predicate wants, of those that the configured `remote_services` allow.
    pub fn remote_services(mut self, wanted: impl Fn(&ServiceInfo) -> bool + Send + Sync + 'static) -> Self {
        self.plan.filters.remote_services = Some(Arc::new(wanted));
        self
    }

    /// Names remote services as they shall be known here, instead of by the configured `remote_service_path`.
    pub fn remote_service_path(mut self, name: impl Fn(&ServiceInfo) -> String + Send + Sync + 'static) -> Self {
        self.plan.filters.remote_service_path = Some(Arc::new(name));
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
        self.plan.wrapping.outer.push(erase(layer));
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
        self.plan.wrapping.inner.push(erase(layer));
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
        self.plan.observer = true;
        self
    }

    /// Takes the login for Redis from code, and not from the configuration: for passwords that expire, or live in a vault. They are
    /// renewed before they expire, also on the connections that are open. See [`CredentialProvider`].
    pub fn credentials(mut self, provider: impl CredentialProvider) -> Self {
        self.plan.credentials = Some(Provider::new(provider));
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
        self.plan.takers.add(keys, prepare);
        self
    }

    /// Joins the mesh: connects, announces the services, learns of all others. With a `start_delay` it waits that long
    /// first; with the delay `manual` the node calls its own services only, until [`Node::join`].
    ///
    /// # Errors
    /// `BadRequest` for a configuration that can not work, `Unavailable` when Redis was not reached in time, whatever a
    /// service's `setup` failed with.
    pub async fn start(self) -> Result<Node> {
        self.plan.config.validate()?;
        // An observer promises nothing to other nodes, but it trusts: only the hazard to that trust concerns it.
        let mut hazards = self.plan.config.hazards();
        if self.plan.observer {
            hazards.retain(|hazard| hazard.starts_with("redis.tls_insecure"));
        }
        for warning in self.plan.config.warnings.iter().chain(&hazards) {
            tracing::warn!("{warning}");
        }
        let delay = self.plan.config.start_delay;
        let connect_within = self.connect_within;
        let node = assemble(self.plan)?;
        let caller: Arc<dyn Caller> = node.parts.calls.caller.clone();
        node.app().setup_for(&caller).await?;
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
}
