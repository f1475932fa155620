//! What a node puts around the calls that it makes of single services: limits, retries and circuit breakers.

mod breaker;
mod protection;
mod rate_limit;
mod retries;

use super::shared::context::NodeContext;
use arc_swap::ArcSwap;
pub(crate) use protection::{Protection, ProtectionReading};
use rachis_config::Config;
use std::{collections::BTreeMap, sync::Arc};

/// The protections of services, by the path under which this node calls them.
pub(crate) struct Resilience {
    of: ArcSwap<BTreeMap<String, Arc<Protection>>>,
    context: Arc<NodeContext>,
}

impl Resilience {
    pub(crate) fn new(config: &Config, context: Arc<NodeContext>) -> Self {
        let resilience = Resilience { of: ArcSwap::default(), context };
        resilience.configure(config);
        resilience
    }

    /// Takes another configuration. What it says of a service as before goes on where it was.
    pub(crate) fn configure(&self, config: &Config) {
        let metrics = &self.context.metrics.resilience;
        let before = self.of.load_full();
        let protected = config.service.iter().filter(|(_, service)| service.is_protected());
        let of = protected.map(|(path, service)| {
            let known = before.get(path).filter(|known| known.is_of(service)).cloned();
            (path.clone(), known.unwrap_or_else(|| Arc::new(Protection::new(path, service, metrics))))
        });
        let of: BTreeMap<_, _> = of.collect();
        before.keys().filter(|path| !of.contains_key(*path)).for_each(|path| metrics.forget(path));
        self.of.store(Arc::new(of));
    }

    /// Returns `true` if there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.of.load().is_empty()
    }

    /// Returns that of a service, if it has one.
    pub(crate) fn of(&self, path: &str) -> Option<Arc<Protection>> {
        self.of.load().get(path).cloned()
    }

    /// Returns what was counted, by path.
    pub(crate) fn read(&self) -> Vec<ProtectionReading> {
        self.of.load().values().map(|protection| protection.read()).collect()
    }
}
