//! What other nodes may see of this node's services.

use arc_swap::ArcSwap;
use rachis_core::Descriptor;
use std::{collections::BTreeMap, sync::Arc};

/// The published services, by path.
#[derive(Default)]
pub(crate) struct Published(ArcSwap<BTreeMap<String, Arc<Descriptor>>>);

impl Published {
    /// Returns what is published of the service at `path`.
    pub(crate) fn get(&self, path: &str) -> Option<Arc<Descriptor>> {
        self.0.load().get(path).cloned()
    }

    /// Returns all of it.
    pub(crate) fn all(&self) -> Arc<BTreeMap<String, Arc<Descriptor>>> {
        self.0.load_full()
    }

    pub(crate) fn replace(&self, services: BTreeMap<String, Arc<Descriptor>>) {
        self.0.store(Arc::new(services));
    }
}
