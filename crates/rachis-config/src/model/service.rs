//! The tables `service."PATH"`: what is said of single services.

use crate::{
    ConfigError, NameFilter,
    load::validate::{LARGEST_LIMIT, check, positive},
    values::time::duration,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// More than any caller waits for.
const MOST_ATTEMPTS: usize = 20;
/// What a breaker looks back to, or waits: longer says nothing of now, and points in time can not go back for ever.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What is said of one service: what it lets out, where it differs from the rest, and how calls of it are made.
///
/// ```
/// # use rachis::{Config, config::{Retry, ServiceConfig}};
/// let mut config = Config::default();
/// let payments = ServiceConfig { rate_limit: Some(50), retry: Some(Retry::default()), ..ServiceConfig::default() };
/// config.service.insert("payments".into(), payments);
/// # config.validate()?;
/// # Ok::<_, rachis::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// Instead of `distributed_events`.
    pub events: Option<NameFilter>,
    /// Instead of `distributed_methods`.
    pub methods: Option<NameFilter>,
    /// Calls of it that this node makes in a second; more are refused with `TooManyRequests`. Default any number.
    pub rate_limit: Option<usize>,
    /// Calls of it that this node makes at once; more are refused with `TooManyRequests`. Default any number.
    pub concurrency: Option<usize>,
    /// Whether calls that failed are made again. Default no.
    pub retry: Option<Retry>,
    /// Whether no calls are made for a while after too many failed. Default no.
    pub breaker: Option<CircuitBreaker>,
}

/// How calls that failed are made again: those that did not run, and those that may run twice, which are calls of idempotent
/// methods and those with an idempotency key.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// How often after the first time. Default 2, at most 20.
    pub attempts: usize,
    /// The pause before the first of them. Each further one is twice as long, up to 1 s, and all differ by chance. Default 50 ms.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "crate::load::schema::Time"))]
    pub backoff: Duration,
    /// How many calls may be made again, as a share of those that went well in the last ten seconds, beside one a second.
    /// Default 0.2.
    pub budget: f64,
}

/// When no calls are made for a while: after too many failed with `Timeout`, or a code of 500 and above.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CircuitBreaker {
    /// The share of calls that fail at which it opens. Default 0.5.
    pub failure_rate: f64,
    /// The calls within `window` below which it never opens. Default 20.
    pub calls: usize,
    /// The time that is looked at. Default 10 s, at most 1 h.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "crate::load::schema::Time"))]
    pub window: Duration,
    /// How long calls are then refused with `Unavailable`. Default 5 s, at most 1 h.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "crate::load::schema::Time"))]
    pub pause: Duration,
    /// How many calls are let through after that: it closes when all of them went well, and opens when one failed. Default 1.
    pub probes: usize,
}

impl ServiceConfig {
    /// Returns `true` if calls of the service are made in another way than at once and once.
    #[doc(hidden)]
    pub fn is_protected(&self) -> bool {
        self.rate_limit.is_some() || self.concurrency.is_some() || self.retry.is_some() || self.breaker.is_some()
    }

    pub(crate) fn validate(&self, path: &str) -> Result<(), ConfigError> {
        let key = |name: &str| format!("service.{path}.{name}");
        let counts = [
            ("rate_limit", self.rate_limit, LARGEST_LIMIT),
            ("concurrency", self.concurrency, LARGEST_LIMIT),
            ("retry.attempts", self.retry.as_ref().map(|retry| retry.attempts), MOST_ATTEMPTS),
            ("breaker.calls", self.breaker.as_ref().map(|breaker| breaker.calls), LARGEST_LIMIT),
            ("breaker.probes", self.breaker.as_ref().map(|breaker| breaker.probes), LARGEST_LIMIT),
        ];
        for (name, count, most) in counts {
            let Some(count) = count else { continue };
            check((1..=most).contains(&count), &key(name), || {
                format!("is {count}: set it to 1 or more, at most {most}")
            })?;
        }
        if let Some(retry) = &self.retry {
            positive(&key("retry.backoff"), retry.backoff)?;
            check((0.0..=10.0).contains(&retry.budget), &key("retry.budget"), || {
                format!("is {}: set it to a share of calls, 0 to 10; 0.2 is a fifth", retry.budget)
            })?;
        }
        if let Some(breaker) = &self.breaker {
            for (name, time) in [("breaker.window", breaker.window), ("breaker.pause", breaker.pause)] {
                let key = key(name);
                positive(&key, time)?;
                check(time <= LONGEST, &key, || {
                    format!("is {}: set it to 1h or less", humantime::format_duration(time))
                })?;
            }
            let rate = breaker.failure_rate;
            check(rate > 0.0 && rate <= 1.0, &key("breaker.failure_rate"), || {
                format!("is {rate}: set it to a share of calls above 0, at most 1; 0.5 is a half")
            })?;
        }
        Ok(())
    }
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 2, backoff: Duration::from_millis(50), budget: 0.2 }
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        CircuitBreaker {
            failure_rate: 0.5,
            calls: 20,
            window: Duration::from_secs(10),
            pause: Duration::from_secs(5),
            probes: 1,
        }
    }
}
