//! Calling through a node: as services and hooks do, and as tower does.

use crate::node::{
    Inner, Node, events,
    idempotency::IdempotentCall,
    server::fired::{self, noting},
};
use futures_core::future::BoxFuture;
use rachis_core::{
    Answer, Call, Caller, Error, EventContext, EventStream, Method, Params, Result,
    host::{fill_route, guarded, not_found},
    query,
};
use serde_json::Value;
use std::{
    pin::pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Instant,
};

impl Inner {
    /// This node as services and hooks call through it.
    pub(in crate::node) fn caller(&self) -> Arc<dyn Caller> {
        Arc::new(Mesh { node: self.me.clone() })
    }

    /// Makes a call; of one that came in from outside of the mesh, Redis has the events before it is answered.
    async fn call(self: Arc<Self>, call: Box<Call>) -> Result<Answer> {
        if call.params.is_internal() {
            return self.make(call).await;
        }
        let node = self.clone();
        let (outcome, fired) = noting(pin!(self.make(call))).await;
        fired.taken(node.events.intake(), fired::ReplyTo::Here).await;
        outcome
    }

    async fn make(self: Arc<Self>, mut call: Box<Call>) -> Result<Answer> {
        let (started, method) = (Instant::now(), call.method.clone());
        if let Some(found) = self.app.find(&call.path) {
            let descriptor = found.value.descriptor.clone();
            let outcome = match IdempotentCall::of(&descriptor, &call, &found.route) {
                None => self.app.run(found, call, self.caller()).await,
                // Boxed, so that it takes no room in all the calls that need none of it.
                Some(idempotent) => Box::pin(self.clone().run_once_here(idempotent, found, call)).await,
            };
            self.metrics.calls.note(&descriptor, &method, started.elapsed(), &outcome);
            return outcome;
        }
        if self.stop.is_cancelled() {
            return Err(Error::unavailable("This node has shut down and makes no more calls"));
        }
        let Some(found) = self.routes().find(&call.path) else {
            let error = not_found(&call.path);
            self.metrics.calls.note_unknown(&error);
            return Err(error);
        };
        fill_route(&mut call.params, found.route);
        let outcome = found.value.call(call, self.caller()).await;
        self.metrics.calls.note(&found.value.descriptor, &method, started.elapsed(), &outcome);
        outcome
    }
}

impl Node {
    /// Asks the hooks of the service at `path` whether they know the caller in `params`: for a call of `method`, or, with
    /// `None`, of what the service does not offer.
    ///
    /// # Errors
    /// What the hooks refuse it with; those of a call, where another node has to be asked.
    #[doc(hidden)] // for the gateway
    pub async fn ask(&self, path: &str, method: Option<&Method>, params: Params) -> Result<()> {
        let node = &self.inner;
        let method = method.cloned().unwrap_or(guarded::QUESTION);
        let mut call = Box::new(Call { params, ..Call::new(path, method) });
        if let Some(found) = node.app.find(&call.path) {
            return node.app.ask(found, call, node.caller()).await;
        }
        let Some(found) = node.routes().find(&call.path) else { return Err(not_found(&call.path)) };
        fill_route(&mut call.params, found.route);
        found.value.ask(call, node.caller()).await
    }
}

/// A node without keeping it alive: services hold it, and the node holds services.
struct Mesh {
    node: Weak<Inner>,
}

impl Mesh {
    fn node(&self) -> Result<Arc<Inner>> {
        self.node.upgrade().ok_or_else(|| Error::unavailable("This node has shut down"))
    }
}

impl Caller for Mesh {
    fn call(&self, call: Box<Call>) -> BoxFuture<'static, Result<Answer>> {
        match self.node() {
            Ok(node) => Box::pin(node.call(call)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn emit(&self, path: &str, event: &str, data: Value, context: Option<EventContext>) -> Result<()> {
        Caller::emit(&self.node()?.app, path, event, data, context)
    }

    fn query_limits(&self) -> query::Limits {
        self.node().map(|node| node.live.load().limits.query()).unwrap_or_default()
    }

    fn on(&self, path: &str, event: &str) -> BoxFuture<'static, Result<EventStream>> {
        let (node, path, event) = (self.node(), path.to_owned(), event.to_owned());
        Box::pin(async move { events::subscribe(&node?, &path, &event, None).await })
    }
}

impl Caller for Node {
    fn call(&self, call: Box<Call>) -> BoxFuture<'static, Result<Answer>> {
        Box::pin(self.inner.clone().call(call))
    }

    fn emit(&self, path: &str, event: &str, data: Value, context: Option<EventContext>) -> Result<()> {
        self.inner.caller().emit(path, event, data, context)
    }

    fn query_limits(&self) -> query::Limits {
        self.inner.live.load().limits.query()
    }

    fn on(&self, path: &str, event: &str) -> BoxFuture<'static, Result<EventStream>> {
        self.inner.caller().on(path, event)
    }
}

/// So tower's layers (limits, timeouts, tracing) go around a whole node.
impl tower::Service<Call> for Node {
    type Response = Answer;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Answer>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Caller::call(self, Box::new(call))
    }
}
