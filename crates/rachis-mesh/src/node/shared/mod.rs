//! What several jobs of a node share: what it is, what it has been told, and small tools.

pub(super) mod clock;
pub(super) mod commands;
pub(super) mod context;
pub(super) mod filters;
pub(super) mod identity;
pub(super) mod info;
pub(super) mod latencies;
pub(super) mod life;
pub(super) mod limits;
pub(super) mod live_config;
pub(super) mod metrics;
pub(super) mod published;
pub(super) mod rate_limited_log;
#[cfg(feature = "resilience")]
pub(super) mod resilience_metrics;
pub(super) mod runner;
pub(super) mod settings;
pub(super) mod taps;
