//! A circuit breaker: after too many calls have failed, none is made for a while.

use super::protection::rounded;
use crate::node::{client::remote::CallService, shared::resilience_metrics::ServiceResilience};
use parking_lot::Mutex;
use rachis_config::CircuitBreaker;
use rachis_core::{Answer, Call, Error, Outcome, Result};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tower::{Layer, ServiceExt};
use tower_resilience_circuitbreaker::{
    CircuitBreakerError, CircuitBreakerHandle, CircuitBreakerLayer, CircuitState, FailureClassifier, SlidingWindowType,
};

/// The breaker of one service.
pub(super) struct Breaker {
    path: String,
    layer: CircuitBreakerLayer<Failures>,
    handle: CircuitBreakerHandle<Failures>,
    pause: Duration,
    opened: Arc<Mutex<Option<Instant>>>,
    metrics: Arc<ServiceResilience>,
}

/// Calls whose service is overloaded, broken or gone; what callers do wrong is none.
#[derive(Clone)]
struct Failures;

impl FailureClassifier<Answer, Error> for Failures {
    fn classify(&self, outcome: &Result<Answer>) -> bool {
        matches!(outcome, Err(error) if error.code() == 408 || error.code() >= 500)
    }
}

impl Breaker {
    pub(super) fn new(path: &str, config: &CircuitBreaker, metrics: Arc<ServiceResilience>) -> Self {
        let opened = Arc::new(Mutex::new(None));
        let state = (path.to_owned(), opened.clone(), metrics.clone());
        let builder = CircuitBreakerLayer::builder()
            .name(path)
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(config.window)
            .failure_rate_threshold(config.failure_rate)
            .minimum_number_of_calls(config.calls)
            .wait_duration_in_open(config.pause)
            .permitted_calls_in_half_open(config.probes)
            .on_state_transition(move |_, to| {
                let (path, opened, metrics) = &state;
                *opened.lock() = (to == CircuitState::Open).then(Instant::now);
                metrics.note_breaker(to as i64);
                let state = name(to);
                match to {
                    CircuitState::Open => tracing::warn!(path, "too many calls failed: the circuit breaker is open"),
                    _ => tracing::info!(path, state, "the circuit breaker"),
                }
            })
            .failure_classifier_type(Failures);
        #[expect(clippy::expect_used, reason = "the configuration is validated")]
        let (layer, handle) = builder.build_with_handle().expect("a valid circuit breaker");
        Breaker { path: path.to_owned(), layer, handle, pause: config.pause, opened, metrics }
    }

    pub(super) async fn call(&self, inner: CallService, call: Call) -> Result<Answer> {
        match self.layer.layer(inner).oneshot(call).await {
            Ok(answer) => Ok(answer),
            Err(CircuitBreakerError::Inner(error)) => Err(error),
            Err(CircuitBreakerError::OpenCircuit) => {
                self.metrics.refused_by_breaker.inc();
                let path = &self.path;
                let since = self.opened.lock().map(|opened| opened.elapsed());
                let again = match since.and_then(|since| self.pause.checked_sub(since)) {
                    Some(left) => format!("the next is made in {}", humantime::format_duration(rounded(left))),
                    None => "one is under way that shows whether it has recovered".to_owned(),
                };
                Err(Error::unavailable(format!(
                    "Too many calls of '{path}' failed, so this node makes none for a while (service.{path}.breaker): {again}"
                ))
                .with_outcome(Outcome::NeverRan))
            }
        }
    }

    pub(super) fn state(&self) -> &'static str {
        name(self.handle.state())
    }
}

fn name(state: CircuitState) -> &'static str {
    match state {
        CircuitState::Closed => "closed",
        CircuitState::Open => "open",
        CircuitState::HalfOpen => "half-open",
    }
}
