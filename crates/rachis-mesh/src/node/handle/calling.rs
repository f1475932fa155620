//! Calling through the handle of a node, also as tower does.

use super::Node;
use futures_core::future::BoxFuture;
use rachis_core::{Answer, Call, Caller, Error, EventContext, EventStream, Method, Params, Result, query};
use serde_json::Value;
use std::task::{Context, Poll};

impl Node {
    /// Asks the hooks of the service at `path` whether they know the caller in `params`: for a call of `method`, or, with
    /// `None`, of what the service does not offer.
    ///
    /// # Errors
    /// What the hooks refuse it with; those of a call, where another node has to be asked.
    #[doc(hidden)] // for the gateway
    pub async fn ask(&self, path: &str, method: Option<&Method>, params: Params) -> Result<()> {
        self.parts.calls.ask(path, method, params).await
    }

    /// All events of `path`, with what happened elsewhere since `since`, as [`redis_now`](Self::redis_now) told it.
    #[doc(hidden)] // for the gateway
    pub async fn events_since(&self, path: &str, since: Option<u64>) -> Result<EventStream> {
        self.parts.calls.subscriber.subscribe(path, "*", since).await
    }

    /// Redis's time as this node knows it, in ms since 1970.
    #[doc(hidden)] // for the gateway
    pub fn redis_now(&self) -> u64 {
        self.parts.clock.now()
    }
}

impl Caller for Node {
    fn call(&self, call: Box<Call>) -> BoxFuture<'static, Result<Answer>> {
        Box::pin(self.parts.calls.clone().call(call))
    }

    fn emit(&self, path: &str, event: &str, data: Value, context: Option<EventContext>) -> Result<()> {
        self.parts.calls.caller.emit(path, event, data, context)
    }

    fn query_limits(&self) -> query::Limits {
        self.parts.config.load().limits.query()
    }

    fn on(&self, path: &str, event: &str) -> BoxFuture<'static, Result<EventStream>> {
        self.parts.calls.caller.on(path, event)
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
