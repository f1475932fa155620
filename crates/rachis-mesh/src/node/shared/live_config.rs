//! The configuration of a running node: as it was started, and as it is now.

use arc_swap::{ArcSwap, Guard};
use rachis_config::Config;
use std::sync::Arc;
use tokio::sync::watch;

/// A configuration of which a part may be replaced while the node runs.
pub(crate) struct LiveConfig {
    at_start: Config,
    now: ArcSwap<Config>,
    reloads: watch::Sender<u64>,
}

impl LiveConfig {
    pub(crate) fn new(config: Config) -> Self {
        LiveConfig { now: ArcSwap::from_pointee(config.clone()), at_start: config, reloads: watch::Sender::new(0) }
    }

    /// Returns the configuration that the node was built with, for all that can not change.
    pub(crate) fn at_start(&self) -> &Config {
        &self.at_start
    }

    /// Returns the present configuration.
    pub(crate) fn load(&self) -> Guard<Arc<Config>> {
        self.now.load()
    }

    /// Returns the present configuration, to be kept.
    pub(crate) fn load_full(&self) -> Arc<Config> {
        self.now.load_full()
    }

    /// Replaces the present configuration.
    pub(crate) fn replace(&self, config: Config) {
        self.now.store(Arc::new(config));
        self.reloads.send_modify(|times| *times += 1);
    }

    /// Returns a receiver of the number of times that it was replaced.
    pub(crate) fn reloads(&self) -> watch::Receiver<u64> {
        self.reloads.subscribe()
    }
}
