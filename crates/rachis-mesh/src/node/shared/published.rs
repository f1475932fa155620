//! What other nodes may see of this node's services.

use arc_swap::ArcSwap;
use rachis_core::Descriptor;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// The published services, by path.
#[derive(Default)]
pub(crate) struct Published {
    services: ArcSwap<BTreeMap<String, Arc<Descriptor>>>,
    /// `true` from the first service on.
    begun: watch::Sender<bool>,
}

impl Published {
    /// Returns what is published of the service at `path`.
    pub(crate) fn get(&self, path: &str) -> Option<Arc<Descriptor>> {
        self.services.load().get(path).cloned()
    }

    /// Returns all of it.
    pub(crate) fn all(&self) -> Arc<BTreeMap<String, Arc<Descriptor>>> {
        self.services.load_full()
    }

    pub(crate) fn replace(&self, services: BTreeMap<String, Arc<Descriptor>>) {
        let offers_any = !services.is_empty();
        self.services.store(Arc::new(services));
        self.begun.send_if_modified(|begun| offers_any && !std::mem::replace(begun, true));
    }

    /// Completes when a service is published, or has been before.
    pub(crate) async fn begun(&self) {
        // Its sender is here, so there is an end to wait for.
        let _ = self.begun.subscribe().wait_for(|begun| *begun).await;
    }
}
