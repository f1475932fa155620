//! Bounds on calls, of which callers and replicas keep a part each.

use std::time::Duration;

/// Bounds on calls; see the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallLimits {
    pub(crate) timeout: Duration,
    pub(crate) max_pending: usize,
    pub(crate) max_payload: usize,
    pub(crate) max_queue: u64,
    pub(crate) max_deliveries: u32,
    pub(crate) dead_letters: usize,
}
