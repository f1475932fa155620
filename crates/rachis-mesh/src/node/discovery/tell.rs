//! What follows from a change of the catalog, and who is told of it.

use crate::node::{
    Inner,
    admin::info::{self, ServiceInfo},
    discovery::catalog,
};
use std::sync::Arc;

impl Inner {
    /// Lets everyone here know what became different.
    pub(super) fn broadcast(&self, changes: Vec<catalog::CatalogChange>) {
        if changes.is_empty() {
            return;
        }
        self.outdate_routes(&changes);
        for change in changes {
            self.react(&change);
            // For a thousand nodes that come, to format what is not read would be most of the work.
            if self.changes.receiver_count() > 0 || tracing::enabled!(tracing::Level::WARN) {
                self.tell(change);
            }
        }
    }

    /// Does what a change asks this node to do.
    fn react(&self, change: &catalog::CatalogChange) {
        match change {
            catalog::CatalogChange::NodeUp(member) if member.app == self.app_key => self.partitions.look(),
            catalog::CatalogChange::NodeDown(member) => {
                // A node that stood still may hear of its own death: it has nothing to inherit from itself.
                if member.app == self.app_key && member.id != self.id {
                    self.dead_replicas.send(member.id.clone()).ok();
                    self.partitions.look();
                }
                if self.rpc.pending() > 0 && !self.catalog().nodes().any(|other| other.app == member.app) {
                    self.rpc.recovery().orphaned(self.keys.calls(&member.app).into());
                }
            }
            _ => {}
        }
    }

    fn tell(&self, change: catalog::CatalogChange) {
        use catalog::CatalogChange;
        let told = match change {
            CatalogChange::Service(route) => {
                let info = self.info(&route);
                tracing::info!(path = %info.path, app = %route.app, replicas = route.replicas.len(), "service");
                if self.app.find_named(&info.path).is_some() {
                    tracing::warn!(path = %info.path, app = %route.app, "this node serves that path itself and goes on to");
                }
                info::Change::Service(info)
            }
            CatalogChange::ServiceRemoved(route) => {
                let info = self.info(&route);
                tracing::info!(path = %info.path, app = %route.app, "service-removed");
                info::Change::ServiceRemoved(info)
            }
            CatalogChange::Health(route) => {
                let info = self.info(&route);
                match info.healthy {
                    true => tracing::info!(path = %info.path, "a replica is up again"),
                    false => tracing::warn!(path = %info.path, "no replica is up, calls wait for one"),
                }
                info::Change::Health(info)
            }
            CatalogChange::Shadowed { path, winner, loser } => {
                return tracing::warn!(%path, %winner, %loser, "two apps offer this path: the older one is called");
            }
            CatalogChange::NodeUp(member) => {
                tracing::info!(node = %member.id, app = %member.app, host = %member.info.host, "node-up");
                info::Change::NodeUp(member.as_ref().into())
            }
            CatalogChange::NodeDown(member) => {
                tracing::info!(node = %member.id, app = %member.app, host = %member.info.host, "node-down");
                info::Change::NodeDown(member.as_ref().into())
            }
        };
        // An error only says that nothing watches.
        let _ = self.changes.send(Arc::new(told));
    }

    fn info(&self, route: &catalog::Route) -> ServiceInfo {
        ServiceInfo::remote(route, &self.known_as(route))
    }
}
