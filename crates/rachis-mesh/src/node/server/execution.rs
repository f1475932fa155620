//! Execution: runs a call of another node, for as long as its caller waits.

use super::in_flight::InFlightRequest;
use crate::{
    node::{
        events::fired::{Fired, ReplyTo},
        idempotency::Idempotency,
        shared::{clock::Clock, metrics::Metrics, runner::Runner},
    },
    redis::event_log::Intake,
    wire::Request,
};
use futures_util::future::Aborted;
use rachis_core::{
    Answer, Call, Error, Method, Outcome, Result,
    host::{Found, Registered},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Runs the services of this node for others.
pub(crate) struct Execution {
    pub(crate) runner: Runner,
    pub(crate) idempotency: Arc<Idempotency>,
    /// How Redis takes the events of calls.
    pub(crate) intake: watch::Sender<Intake>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Arc<Metrics>,
    /// `false` if the user that a request names is believed.
    pub(crate) authentication: bool,
}

impl Execution {
    /// Returns the call that a request asks for.
    pub(super) fn call_of(&self, request: Request) -> Box<Call> {
        request.into_call(!self.authentication)
    }

    /// Returns the time until `expires`, in ms of Redis's clock.
    pub(super) fn time_left(&self, expires: u64) -> Duration {
        Duration::from_millis(expires.saturating_sub(self.clock.now()))
    }

    /// Waits until Redis has the events of a call, for as long as its caller can wait.
    pub(super) async fn take_events(&self, fired: Fired, expires: u64) {
        fired.taken(&self.intake, ReplyTo::Elsewhere(self.time_left(expires))).await;
    }

    /// Runs a call and counts it.
    pub(super) async fn serve(&self, found: Found<Arc<Registered>>, call: Box<Call>) -> Result<Answer> {
        let descriptor = found.value.descriptor.clone();
        let method = call.method.clone();
        let started = Instant::now();
        let outcome = self.runner.run(found, call).await;
        self.metrics.requests.note(&descriptor, &method, started.elapsed(), &outcome);
        outcome
    }

    /// Runs a call as long as its caller waits, if it only reads: what comes later would not be read, and may be long work.
    /// What changes something goes on to its end. Returns `None` when the caller has gone before its deadline.
    pub(super) async fn serve_while_wanted(
        &self,
        found: Found<Arc<Registered>>,
        call: Box<Call>,
        expires: u64,
        in_flight: &InFlightRequest,
    ) -> Option<Result<Answer>> {
        let reads = matches!(call.method, Method::Find | Method::Get);
        let serving = self.serve(found, call);
        if !reads {
            return Some(serving.await);
        }
        match tokio::time::timeout(self.time_left(expires), in_flight.run(serving)).await {
            Ok(Ok(outcome)) => Some(outcome),
            Ok(Err(Aborted)) => {
                tracing::debug!("its caller has gone");
                None
            }
            // It was begun, and perhaps a part of it is done.
            Err(_) => Some(Err(Error::timeout("The caller's deadline is over").with_outcome(Outcome::Unknown))),
        }
    }

    /// Runs a call that may have waited for long until it was its turn. Not after the deadline of its caller, which was told
    /// by then that it may have run, and may have seen to that.
    pub(super) async fn serve_in_time(
        &self,
        found: Found<Arc<Registered>>,
        call: Box<Call>,
        expires: u64,
        is_first: bool,
    ) -> Result<Answer> {
        if self.clock.now() >= expires {
            let outcome = if is_first { Outcome::NeverRan } else { Outcome::Unknown };
            return Err(
                Error::timeout("The caller's deadline was over before the call could begin").with_outcome(outcome)
            );
        }
        self.serve(found, call).await
    }

    /// Returns the error for a request that may not run here. A caller that the hooks of the service do not know is told
    /// that, and not what the service offers.
    pub(super) async fn refusal(&self, request: &Request, error: Error) -> Error {
        if error.code() != 405 {
            return error;
        }
        let Some(found) = self.runner.app.find_named(&request.call.path) else { return error };
        let asked = self.runner.ask(found, self.call_of(request.clone())).await;
        asked.err().unwrap_or(error)
    }
}
