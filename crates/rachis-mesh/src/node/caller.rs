//! Calling through a node, as services, hooks and layers do: services of this process at once, others over the mesh.

use super::{
    client::routes::Routes,
    events::{
        fired::{self, noting},
        subscription::Subscriber,
    },
    idempotency::{Idempotency, IdempotentCall},
};
use crate::node::shared::{live_config::LiveConfig, metrics::Metrics};
use crate::redis::event_log::Intake;
use futures_core::future::BoxFuture;
use rachis_core::{
    Answer, App, Call, Caller, Descriptor, Error, EventContext, EventStream, Method, Params, Result,
    host::{fill_route, guarded, not_found},
    query,
};
use serde_json::Value;
use std::{
    pin::pin,
    sync::{Arc, Weak},
    time::Instant,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
#[cfg(feature = "resilience")]
use {super::client::remote::CallService, crate::node::resilience::Resilience};

/// Makes the calls of a node.
pub(crate) struct Calls {
    pub(crate) app: App,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) subscriber: Subscriber,
    pub(crate) idempotency: Arc<Idempotency>,
    pub(crate) metrics: Arc<Metrics>,
    /// How Redis takes the events of calls.
    pub(crate) intake: watch::Sender<Intake>,
    pub(crate) stop: CancellationToken,
    #[cfg(feature = "resilience")]
    pub(crate) resilience: Arc<Resilience>,
    /// This, as services and hooks call through it.
    pub(crate) caller: Arc<WeakCaller>,
}

impl Calls {
    fn caller(&self) -> Arc<dyn Caller> {
        self.caller.clone()
    }

    /// Makes a call; of one that came in from outside of the mesh, Redis has the events before it is answered.
    pub(crate) async fn call(self: Arc<Self>, call: Box<Call>) -> Result<Answer> {
        if call.params.is_internal() {
            return self.protected(call).await;
        }
        let (outcome, fired) = noting(pin!(self.clone().protected(call))).await;
        fired.taken(&self.intake, fired::ReplyTo::Here).await;
        outcome
    }

    /// Makes a call through what the configuration puts around those of its service.
    #[cfg(feature = "resilience")]
    async fn protected(self: Arc<Self>, call: Box<Call>) -> Result<Answer> {
        // Looked up by the path of the service, which may have placeholders.
        let named = (!self.resilience.is_empty()).then(|| self.descriptor_of(&call.path)).flatten();
        let Some((descriptor, protection)) =
            named.and_then(|descriptor| self.resilience.of(&descriptor.path).map(|found| (descriptor, found)))
        else {
            return self.make(call).await;
        };
        let is_safe = descriptor.is_idempotent(&call.method) || call.params.idempotency_key.is_some();
        let timeout = self.config.load().timeout;
        let inner = tower::service_fn(move |call| {
            let calls = self.clone();
            async move { calls.make(Box::new(call)).await }
        });
        // Boxed, so that it takes no room in all the calls that have no protection.
        Box::pin(async move { protection.call(*call, is_safe, timeout, CallService::new(inner)).await }).await
    }

    #[cfg(not(feature = "resilience"))]
    async fn protected(self: Arc<Self>, call: Box<Call>) -> Result<Answer> {
        self.make(call).await
    }

    #[cfg(feature = "resilience")]
    fn descriptor_of(&self, path: &str) -> Option<Arc<Descriptor>> {
        let own = self.app.find(path).map(|found| found.value.descriptor.clone());
        own.or_else(|| self.routes.get().find(path).map(|found| found.value.descriptor.clone()))
    }

    async fn make(&self, mut call: Box<Call>) -> Result<Answer> {
        let started = Instant::now();
        let method = call.method.clone();
        let provider = self.metrics.taps.is_on().then(|| call.params.provider.clone()).flatten();
        let note = |service: &Descriptor, outcome: &Result<Answer>| {
            let took = started.elapsed();
            self.metrics.calls.note(service, &method, took, outcome);
            self.metrics.taps.note(service, &method, provider.as_deref(), took, outcome);
        };
        if let Some(found) = self.app.find(&call.path) {
            let descriptor = found.value.descriptor.clone();
            let outcome = match IdempotentCall::of(&descriptor, &call, &found.route) {
                None => self.app.run(found, call, self.caller()).await,
                // Boxed, so that it takes no room in all the calls that need none of it.
                Some(idempotent) => Box::pin(self.idempotency.clone().run_once_here(idempotent, found, call)).await,
            };
            note(&descriptor, &outcome);
            return outcome;
        }
        if self.stop.is_cancelled() {
            return Err(Error::unavailable("This node has shut down and makes no more calls"));
        }
        let Some(found) = self.routes.get().find(&call.path) else {
            let error = not_found(&call.path);
            self.metrics.calls.note_unknown(&error);
            return Err(error);
        };
        fill_route(&mut call.params, found.route);
        let outcome = found.value.call(call, self.caller()).await;
        note(&found.value.descriptor, &outcome);
        outcome
    }

    /// Asks the hooks of the service at `path` whether they know the caller in `params`: for a call of `method`, or, with
    /// `None`, of what the service does not offer.
    ///
    /// # Errors
    /// What the hooks refuse it with; those of a call, where another node has to be asked.
    pub(crate) async fn ask(&self, path: &str, method: Option<&Method>, params: Params) -> Result<()> {
        let method = method.cloned().unwrap_or(guarded::QUESTION);
        let mut call = Box::new(Call { params, ..Call::new(path, method) });
        if let Some(found) = self.app.find(&call.path) {
            return self.app.ask(found, call, self.caller()).await;
        }
        let Some(found) = self.routes.get().find(&call.path) else { return Err(not_found(&call.path)) };
        fill_route(&mut call.params, found.route);
        found.value.ask(call, self.caller()).await
    }
}

/// Calls through a node without keeping it alive: services hold it, and the node holds services.
pub(crate) struct WeakCaller(pub(crate) Weak<Calls>);

impl WeakCaller {
    fn calls(&self) -> Result<Arc<Calls>> {
        self.0.upgrade().ok_or_else(|| Error::unavailable("This node has shut down"))
    }
}

impl Caller for WeakCaller {
    fn call(&self, call: Box<Call>) -> BoxFuture<'static, Result<Answer>> {
        match self.calls() {
            Ok(calls) => Box::pin(calls.call(call)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn emit(&self, path: &str, event: &str, data: Value, context: Option<EventContext>) -> Result<()> {
        Caller::emit(&self.calls()?.app, path, event, data, context)
    }

    fn query_limits(&self) -> query::Limits {
        self.calls().map(|calls| calls.config.load().limits.query()).unwrap_or_default()
    }

    fn on(&self, path: &str, event: &str) -> BoxFuture<'static, Result<EventStream>> {
        let calls = self.calls();
        let path = path.to_owned();
        let event = event.to_owned();
        Box::pin(async move { calls?.subscriber.subscribe(&path, &event, None).await })
    }
}
