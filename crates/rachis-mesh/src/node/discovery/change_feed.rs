//! What follows from a change of the catalog: routes to make anew, requests to look after, watchers to tell.

use crate::{
    node::{
        catalog::{CatalogChange, Route, SharedCatalog},
        client::{routes::Routes, waiting::Waiting},
        server::partitions::Partitions,
        shared::{
            identity::Identity,
            info::{Change, ServiceInfo},
        },
    },
    redis::keys::Keys,
};
use rachis_core::App;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc};

/// Tells the parts of a node, and its watchers, what became different in the mesh.
pub(crate) struct ChangeFeed {
    pub(crate) identity: Arc<Identity>,
    pub(crate) app: App,
    pub(crate) catalog: SharedCatalog,
    pub(crate) routes: Arc<Routes>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) keys: Keys,
    /// Takes the ids of replicas that left or died.
    pub(crate) dead_replicas: mpsc::UnboundedSender<String>,
    // Pointers, since it has room for a thousand changes from the beginning on.
    pub(crate) watchers: broadcast::Sender<Arc<Change>>,
}

impl ChangeFeed {
    /// Takes in what became different.
    pub(super) fn broadcast(&self, changes: Vec<CatalogChange>) {
        if changes.is_empty() {
            return;
        }
        self.routes.outdate(&changes);
        for change in changes {
            self.react(&change);
            // For a thousand nodes that come, to format what is not read would be most of the work.
            if self.watchers.receiver_count() > 0 || tracing::enabled!(tracing::Level::WARN) {
                self.tell(change);
            }
        }
    }

    /// Does what a change asks this node to do.
    fn react(&self, change: &CatalogChange) {
        match change {
            CatalogChange::NodeUp(member) if member.app == self.identity.app => self.partitions.look(),
            CatalogChange::NodeDown(member) => {
                // A node that stood still may hear of its own death: it has nothing to inherit from itself.
                if member.app == self.identity.app && member.id != self.identity.id {
                    self.dead_replicas.send(member.id.clone()).ok();
                    self.partitions.look();
                }
                if self.waiting.len() > 0 && !self.catalog.lock().nodes().any(|other| other.app == member.app) {
                    self.waiting.recovery().orphaned(self.keys.calls(&member.app).into());
                }
            }
            _ => {}
        }
    }

    fn tell(&self, change: CatalogChange) {
        let told = match change {
            CatalogChange::Service(route) => {
                let info = self.info(&route);
                tracing::info!(path = %info.path, app = %route.app, replicas = route.replicas.len(), "service");
                // Not where it is another replica of this app.
                if route.app != self.identity.app && self.app.find_named(&info.path).is_some() {
                    tracing::warn!(path = %info.path, app = %route.app, "this node serves that path itself and goes on to");
                }
                Change::Service(info)
            }
            CatalogChange::ServiceRemoved(route) => {
                let info = self.info(&route);
                tracing::info!(path = %info.path, app = %route.app, "service-removed");
                Change::ServiceRemoved(info)
            }
            CatalogChange::Health(route) => {
                let info = self.info(&route);
                if info.healthy {
                    tracing::info!(path = %info.path, "a replica is up again");
                } else {
                    tracing::warn!(path = %info.path, "no replica is up, calls wait for one");
                }
                Change::Health(info)
            }
            CatalogChange::Shadowed { path, winner, loser } => {
                return tracing::warn!(%path, %winner, %loser, "two apps offer this path: the older one is called");
            }
            CatalogChange::NodeUp(member) => {
                tracing::info!(node = %member.id, app = %member.app, host = %member.info.host, "node-up");
                Change::NodeUp(member.as_ref().into())
            }
            CatalogChange::NodeDown(member) => {
                tracing::info!(node = %member.id, app = %member.app, host = %member.info.host, "node-down");
                Change::NodeDown(member.as_ref().into())
            }
        };
        // An error only says that nothing watches.
        let _ = self.watchers.send(Arc::new(told));
    }

    fn info(&self, route: &Route) -> ServiceInfo {
        ServiceInfo::remote(route, &self.routes.known_as(route))
    }
}
