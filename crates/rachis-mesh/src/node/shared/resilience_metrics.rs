//! What is counted of the calls that limits, retries and circuit breakers stand around.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The counters of all services that have such.
pub(crate) struct ResilienceMetrics {
    refused: Family<RefusedLabels, Counter>,
    retries: Family<PathLabels, Counter>,
    breakers: Family<PathLabels, Gauge>,
}

/// The counters of one service.
pub(crate) struct ServiceResilience {
    pub(crate) refused_by_rate: Counter,
    pub(crate) refused_by_concurrency: Counter,
    pub(crate) refused_by_breaker: Counter,
    pub(crate) retries: Counter,
    /// 0 closed, 1 open, 2 half-open.
    breaker: Option<Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    path: String,
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabels {
    path: String,
}

/// What refuses calls, as the label says it.
const BY: [&str; 3] = ["rate_limit", "concurrency", "breaker"];

impl ResilienceMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let refused = Family::default();
        let help = "Calls that this node did not make, by the key of the service's section that said so";
        registry.register("refused_calls", help, refused.clone());
        let retries = Family::default();
        registry.register("retries", "Calls that this node made again after they had failed", retries.clone());
        let breakers = Family::default();
        let help = "State of the circuit breaker of a service: 0 closed, 1 open, 2 half-open";
        registry.register("circuit_breaker", help, breakers.clone());
        ResilienceMetrics { refused, retries, breakers }
    }

    /// Returns the counters of a service.
    pub(crate) fn of(&self, path: &str, has_breaker: bool) -> ServiceResilience {
        let [refused_by_rate, refused_by_concurrency, refused_by_breaker] =
            BY.map(|by| self.refused.get_or_create_owned(&RefusedLabels { path: path.to_owned(), by }));
        let of = PathLabels { path: path.to_owned() };
        if !has_breaker {
            self.breakers.remove(&of);
        }
        let breaker = has_breaker.then(|| self.breakers.get_or_create_owned(&of));
        if let Some(breaker) = &breaker {
            breaker.set(0);
        }
        ServiceResilience {
            refused_by_rate,
            refused_by_concurrency,
            refused_by_breaker,
            retries: self.retries.get_or_create_owned(&of),
            breaker,
        }
    }

    /// Leaves out a service from now on.
    pub(crate) fn forget(&self, path: &str) {
        for by in BY {
            self.refused.remove(&RefusedLabels { path: path.to_owned(), by });
        }
        let of = PathLabels { path: path.to_owned() };
        self.retries.remove(&of);
        self.breakers.remove(&of);
    }
}

impl ServiceResilience {
    /// Takes in the state of the breaker.
    pub(crate) fn note_breaker(&self, state: i64) {
        if let Some(gauge) = &self.breaker {
            gauge.set(state);
        }
    }
}
