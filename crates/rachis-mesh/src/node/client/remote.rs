//! Services that run on other nodes, with the hooks and layers that this node puts around them.

use super::{
    partition_selector::PartitionSelector,
    rpc::{CallTarget, Rpc},
};
use crate::node::catalog::Route;
use futures_core::future::BoxFuture;
use rachis_core::{
    Answer, Call, Caller, Descriptor, Error, Method, Result,
    host::{Chain, Dispatch, Guarded, Hooks, chain, guarded},
};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

/// A tower service in the erased form that layers around remote services get and return.
pub type CallService = BoxCloneSyncService<Call, Answer, Error>;

/// A layer whose type is forgotten.
pub(crate) type Wrap = Arc<dyn Fn(CallService) -> CallService + Send + Sync>;

/// Forgets the type of a layer.
pub(crate) fn erase<L>(layer: L) -> Wrap
where
    L: Layer<CallService> + Send + Sync + 'static,
    L::Service: Service<Call, Response = Answer, Error = Error> + Clone + Send + Sync + 'static,
    <L::Service as Service<Call>>::Future: Send + 'static,
{
    Arc::new(move |inner| CallService::new(layer.layer(inner)))
}

/// What this node puts around every remote service.
#[derive(Clone, Default)]
pub(crate) struct Wrapping {
    pub(crate) hooks: Hooks,
    /// Outside the hooks, the first one outermost.
    pub(crate) outer: Vec<Wrap>,
    /// Between the hooks and the wire.
    pub(crate) inner: Vec<Wrap>,
}

/// A remote service, ready to be called.
pub(crate) struct Remote {
    pub(crate) route: Arc<Route>,
    /// As it is known here: under its local path.
    pub(crate) descriptor: Arc<Descriptor>,
    pub(crate) guarded: Arc<Guarded>,
    service: Arc<dyn Dispatch>,
    levels: [Hooks; 2],
    chains: FxHashMap<Method, Chain>,
    outer: Option<CallService>,
}

impl Remote {
    pub(crate) fn new(
        route: Arc<Route>,
        descriptor: Descriptor,
        app: Hooks,
        wrapping: &Wrapping,
        rpc: &Arc<Rpc>,
        selector: PartitionSelector,
    ) -> Self {
        let target = CallTarget {
            app: route.app.clone(),
            selector: Arc::new(selector),
            path: route.path.clone(),
            descriptor: route.descriptor.clone(),
        };
        let wire: Arc<dyn Dispatch> = Arc::new(OnWire { rpc: rpc.clone(), target });
        let service: Arc<dyn Dispatch> =
            if wrapping.inner.is_empty() { wire } else { Arc::new(Layered { service: wrap(wire, &wrapping.inner) }) };
        let levels = [app, wrapping.hooks.clone()];
        let chain_of = |method: &Method| chain(&[&levels[0], &levels[1]], method, service.clone());
        let chains: FxHashMap<Method, Chain> =
            descriptor.methods.iter().map(|method| (method.clone(), chain_of(method))).collect();
        let outer = (!wrapping.outer.is_empty())
            .then(|| wrap(Arc::new(Chained { chains: chains.clone(), service: service.clone() }), &wrapping.outer));
        let guarded = Arc::new(Guarded::of_remote(&[&levels[0], &levels[1]], &descriptor));
        Remote { route, descriptor: Arc::new(descriptor), guarded, service, levels, chains, outer }
    }

    /// Asks the hooks here and, if it guards what is meant, the service's node whether they know the caller in `call`, whose
    /// method is [`guarded::QUESTION`] for what is not offered. Layers are not run.
    ///
    /// # Errors
    /// Those of the hooks, and those of a call of the other node.
    pub(crate) async fn ask(&self, mut call: Box<Call>, caller: Arc<dyn Caller>) -> Result<()> {
        call.params.caller = Some(caller);
        let meant = Some(&call.method).filter(|method| **method != guarded::QUESTION);
        let Some(hooks_of) = meant.or(self.descriptor.methods.first()).cloned() else { return Ok(()) };
        let there = Guarded::announced(&self.descriptor).covers(meant, &self.descriptor);
        let further = there.then(|| self.service.clone());
        match guarded::ask(&[&self.levels[0], &self.levels[1]], &hooks_of, call, further).await {
            // The answer of a service that knows the caller.
            Err(error) if error.code() == 405 => Ok(()),
            outcome => outcome,
        }
    }

    /// Runs a call of it: layers, hooks, layers, wire.
    pub(crate) async fn call(&self, mut call: Box<Call>, caller: Arc<dyn Caller>) -> Result<Answer> {
        call.params.caller = Some(caller);
        if let Some(outer) = &self.outer {
            return outer.clone().oneshot(*call).await;
        }
        match self.chains.get(&call.method) {
            Some(chain) => chain.run(call).await.map(|finished| finished.into_answer()),
            None => {
                let chain = chain(&[&self.levels[0], &self.levels[1]], &call.method, self.service.clone());
                chain.run(call).await.map(|finished| finished.into_answer())
            }
        }
    }
}

/// Sends the call to the app that serves it.
struct OnWire {
    rpc: Arc<Rpc>,
    target: CallTarget,
}

impl Dispatch for OnWire {
    fn dispatch(&self, call: Box<Call>) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(self.rpc.call(&self.target, call))
    }

    fn fires_events(&self) -> bool {
        false
    }
}

/// The hooks as the inside of layers.
struct Chained {
    chains: FxHashMap<Method, Chain>,
    service: Arc<dyn Dispatch>,
}

impl Dispatch for Chained {
    fn dispatch(&self, call: Box<Call>) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(async move {
            match self.chains.get(&call.method) {
                Some(chain) => chain.run(call).await.map(|finished| finished.into_answer()),
                None => self.service.dispatch(call).await,
            }
        })
    }

    fn fires_events(&self) -> bool {
        false
    }
}

/// Layers as the inside of hooks.
struct Layered {
    service: CallService,
}

impl Dispatch for Layered {
    fn dispatch(&self, call: Box<Call>) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(self.service.clone().oneshot(*call))
    }

    fn fires_events(&self) -> bool {
        false
    }
}

fn wrap(inner: Arc<dyn Dispatch>, layers: &[Wrap]) -> CallService {
    let service = tower::service_fn(move |call: Call| {
        let inner = inner.clone();
        async move { inner.dispatch(Box::new(call)).await }
    });
    layers.iter().rev().fold(CallService::new(service), |service, layer| layer(service))
}
