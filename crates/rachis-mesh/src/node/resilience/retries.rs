//! Calls that are made again after they failed, where that is safe.

use crate::node::{client::remote::CallService, shared::resilience_metrics::ServiceResilience};
use futures_core::future::BoxFuture;
use rachis_config::Retry;
use rachis_core::{Answer, Call, Error, Outcome, Result};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tower::{
    Layer,
    retry::{
        Policy, RetryLayer,
        budget::{Budget, TpsBudget},
    },
};

/// The time whose calls fill the budget.
const BUDGET_TIME: Duration = Duration::from_secs(10);
/// Retries that a service without many calls has all the same, in a second.
const LEAST: u32 = 1;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The retries of one service.
pub(super) struct Retries {
    config: Retry,
    budget: Arc<TpsBudget>,
    metrics: Arc<ServiceResilience>,
}

impl Retries {
    pub(super) fn new(config: &Retry, metrics: Arc<ServiceResilience>) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a share needs no more digits")]
        let budget = TpsBudget::new(BUDGET_TIME, LEAST, config.budget as f32);
        Retries { config: config.clone(), budget: Arc::new(budget), metrics }
    }

    /// Puts retries around one call of `inner`, which end before `deadline`. What is `idempotent` may run twice.
    pub(super) fn around(&self, inner: CallService, idempotent: bool, deadline: Instant) -> CallService {
        let again = Again {
            left: self.config.attempts,
            idempotent,
            pause: self.config.backoff.min(LONGEST_PAUSE),
            deadline,
            budget: self.budget.clone(),
            metrics: self.metrics.clone(),
        };
        CallService::new(RetryLayer::new(again).layer(inner))
    }
}

/// Whether and when one call is made again.
#[derive(Clone)]
struct Again {
    left: usize,
    idempotent: bool,
    pause: Duration,
    deadline: Instant,
    budget: Arc<TpsBudget>,
    metrics: Arc<ServiceResilience>,
}

impl Policy<Call, Answer, Error> for Again {
    type Future = BoxFuture<'static, ()>;

    fn retry(&mut self, call: &mut Call, outcome: &mut Result<Answer>) -> Option<Self::Future> {
        let Err(error) = outcome else {
            self.budget.deposit();
            return None;
        };
        if self.left == 0 || !may_pass(error) || !self.is_safe(error) {
            return None;
        }
        // Half of the pause is by chance, so that callers that failed together do not come back together.
        let pause = self.pause.mul_f64(0.5 + fastrand::f64());
        let time_left = self.deadline.saturating_duration_since(Instant::now()).checked_sub(pause)?;
        if time_left.is_zero() || !self.budget.withdraw() {
            return None;
        }
        self.left -= 1;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        call.timeout = Some(time_left);
        self.metrics.retries.inc();
        tracing::debug!(path = call.path, method = call.method.name(), %error, ?pause, "a call is made again");
        Some(Box::pin(tokio::time::sleep(pause)))
    }

    fn clone_request(&mut self, call: &Call) -> Option<Call> {
        Some(call.clone())
    }
}

/// Returns `true` if another try may end better.
fn may_pass(error: &Error) -> bool {
    matches!(error.code(), 408 | 429 | 502 | 503 | 504)
}

impl Again {
    /// Returns `true` if another run does no harm.
    fn is_safe(&self, error: &Error) -> bool {
        self.idempotent || error.outcome() == Some(Outcome::NeverRan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::shared::metrics::Metrics;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tower::ServiceExt;

    /// Makes a call that always fails with `error`; returns how often it was made.
    async fn tries(config: &Retry, idempotent: bool, error: &Error, deadline: Duration) -> usize {
        let metrics = Arc::new(Metrics::new("test").resilience.of("todos", false));
        let made = Arc::new(AtomicUsize::new(0));
        let (counted, error) = (made.clone(), error.clone());
        let inner = CallService::new(tower::service_fn(move |_: Call| {
            counted.fetch_add(1, Ordering::Relaxed);
            let error = error.clone();
            async move { Err(error) }
        }));
        let retries = Retries::new(config, metrics.clone());
        let service = retries.around(inner, idempotent, Instant::now() + deadline);
        assert_eq!(service.oneshot(Call::new("todos", "archive")).await.unwrap_err().code(), 503);
        let made = made.load(Ordering::Relaxed);
        assert_eq!(metrics.retries.get(), made as u64 - 1);
        made
    }

    fn plenty() -> Retry {
        Retry { attempts: 3, backoff: Duration::from_millis(1), budget: 10.0 }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_call_is_made_again_only_where_another_run_does_no_harm() {
        let of = |outcome| Error::unavailable("gone").with_outcome(outcome);
        for (idempotent, error, made) in [
            (false, of(Outcome::NeverRan), 4),
            (false, of(Outcome::Unknown), 1),
            (false, of(Outcome::Ran), 1),
            (false, Error::unavailable("says the service"), 1),
            (true, of(Outcome::Unknown), 4),
            (true, Error::unavailable("says the service"), 4),
        ] {
            assert_eq!(tries(&plenty(), idempotent, &error, MINUTE).await, made, "{error:?}");
        }
    }

    #[tokio::test]
    async fn no_call_is_made_again_after_its_deadline() {
        let slow = Retry { backoff: Duration::from_secs(1), ..plenty() };
        let error = Error::unavailable("gone").with_outcome(Outcome::NeverRan);
        assert_eq!(tries(&slow, true, &error, Duration::from_millis(400)).await, 1);
    }

    #[test]
    fn retries_are_no_more_than_their_share_of_the_calls() {
        let metrics = Arc::new(Metrics::new("test").resilience.of("todos", false));
        let retries = Retries::new(&Retry { attempts: 3, budget: 0.5, ..plenty() }, metrics);
        for _ in 0..100 {
            retries.budget.deposit();
        }
        let granted = (0..1000).filter(|_| retries.budget.withdraw()).count();
        assert!((50..=61).contains(&granted), "{granted}");
    }
}
