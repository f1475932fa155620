//! The protection of one service: its calls go through a rate limit, a limit of concurrency, a circuit breaker and retries, in
//! this order from the outside.

use super::{breaker::Breaker, rate_limit::RateLimit, retries::Retries};
use crate::node::{
    client::remote::CallService,
    shared::resilience_metrics::{ResilienceMetrics, ServiceResilience},
};
use rachis_config::ServiceConfig;
use rachis_core::{Answer, Call, Error, Outcome, Result};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tower::ServiceExt;

/// What stands around the calls of one service.
pub(crate) struct Protection {
    path: String,
    config: ServiceConfig,
    rate: Option<RateLimit>,
    places: Option<Semaphore>,
    breaker: Option<Breaker>,
    retries: Option<Retries>,
    metrics: Arc<ServiceResilience>,
}

/// What a protection has done so far.
pub(crate) struct ProtectionReading {
    pub(crate) path: String,
    /// `closed`, `open` or `half-open`.
    pub(crate) breaker: Option<&'static str>,
    /// Calls that were refused: by the rate limit, by the limit of concurrency, and by the breaker.
    pub(crate) refused: [u64; 3],
    pub(crate) retries: u64,
}

impl Protection {
    pub(super) fn new(path: &str, config: &ServiceConfig, metrics: &ResilienceMetrics) -> Self {
        let metrics = Arc::new(metrics.of(path, config.breaker.is_some()));
        Protection {
            path: path.to_owned(),
            config: config.clone(),
            rate: config.rate_limit.map(RateLimit::new),
            places: config.concurrency.map(Semaphore::new),
            breaker: config.breaker.as_ref().map(|breaker| Breaker::new(path, breaker, metrics.clone())),
            retries: config.retry.as_ref().map(|retry| Retries::new(retry, metrics.clone())),
            metrics,
        }
    }

    /// Returns `true` if it does what `config` says.
    pub(super) fn is_of(&self, config: &ServiceConfig) -> bool {
        self.config == *config
    }

    /// Makes a call by `inner`. It is `idempotent` if it may run twice; without a timeout of its own it is made again for
    /// `timeout` at most.
    ///
    /// # Errors
    /// `TooManyRequests` and `Unavailable`, with the outcome `NeverRan`, for what is not made; and the last error of the call.
    pub(crate) async fn call(
        &self,
        call: Call,
        idempotent: bool,
        timeout: Duration,
        inner: CallService,
    ) -> Result<Answer> {
        if let Some(wait) = self.rate.as_ref().and_then(RateLimit::check) {
            self.metrics.refused_by_rate.inc();
            let rate = self.config.rate_limit.unwrap_or_default();
            return Err(self.refused(Error::too_many_requests, "rate_limit", &format!("{rate} a second"), wait));
        }
        let _place = self.take_place()?;
        let deadline = Instant::now() + call.timeout.unwrap_or(timeout);
        let inner = match &self.retries {
            Some(retries) => retries.around(inner, idempotent, deadline),
            None => inner,
        };
        match &self.breaker {
            Some(breaker) => breaker.call(inner, call).await,
            None => inner.oneshot(call).await,
        }
    }

    fn take_place(&self) -> Result<Option<SemaphorePermit<'_>>> {
        let Some(places) = &self.places else { return Ok(None) };
        // It is never closed.
        places.try_acquire().map(Some).map_err(|_| {
            self.metrics.refused_by_concurrency.inc();
            let most = self.config.concurrency.unwrap_or_default();
            self.refused(Error::too_many_requests, "concurrency", &format!("{most} at once"), Duration::ZERO)
        })
    }

    fn refused(&self, error: fn(String) -> Error, key: &str, limit: &str, wait: Duration) -> Error {
        let path = &self.path;
        let later = match wait.is_zero() {
            true => "when some have ended".to_owned(),
            false => format!("in {}", humantime::format_duration(rounded(wait))),
        };
        error(format!(
            "This node makes no more calls of '{path}' than {limit} (service.{path}.{key}); try again {later}"
        ))
        .with_outcome(Outcome::NeverRan)
    }

    pub(super) fn read(&self) -> ProtectionReading {
        let metrics = &self.metrics;
        let refused = [&metrics.refused_by_rate, &metrics.refused_by_concurrency, &metrics.refused_by_breaker];
        ProtectionReading {
            path: self.path.clone(),
            breaker: self.breaker.as_ref().map(Breaker::state),
            refused: refused.map(|counter| counter.get()),
            retries: metrics.retries.get(),
        }
    }
}

/// A time as a person reads it: whole milliseconds, at least one.
pub(super) fn rounded(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1))
}
