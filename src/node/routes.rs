//! The routes that calls look up, made from the catalog: all of them, or where it can be told, those that changed.

use super::{
    Inner,
    catalog::{Change, Route},
    info::{self, ServiceInfo},
    remote::Remote,
    spread::Spread,
};
use crate::service::{Descriptor, Router, path};
use std::{collections::BTreeSet, sync::Arc};

impl Inner {
    /// A remote service's face under the path it has here.
    pub(super) fn known_as(&self, route: &Route) -> Descriptor {
        let mut descriptor = Descriptor::clone(&route.descriptor);
        let (key, app) = info::split_app(&route.app);
        descriptor.path = match &self.filters.remote_service_path {
            Some(rename) => rename(&ServiceInfo::remote(route, &descriptor)),
            None => self.config.remote_service_path.apply(&route.path, key, app),
        };
        descriptor.path = path::strip(&descriptor.path).to_owned();
        descriptor
    }

    /// Makes the routes anew in which something changed.
    pub(super) fn renew_routes(&self, changes: &[Change]) {
        if self.renew_some(changes).is_none() {
            self.rebuild_routes();
        }
    }

    /// In a mesh of a thousand services, to make all routes anew costs milliseconds, and each node that comes or goes
    /// changes few. `None` where one change may touch other routes, too: those of placeholders share a tree, and two
    /// paths may be given one name here.
    fn renew_some(&self, changes: &[Change]) -> Option<()> {
        if self.filters.remote_service_path.is_some() || !self.config.remote_service_path.changes_nothing() {
            return None;
        }
        let old = self.routes.load();
        let mut router = Router::clone(&old);
        for path in touched(changes) {
            if path::is_pattern(path) {
                return None;
            }
            let route = self.catalog().route(path).cloned();
            match route {
                Some(route) if old.named(path).is_some_and(|remote| remote.route == route) => {}
                Some(route) => {
                    let descriptor = self.known_as(&route);
                    router.set(path, self.remote(route, descriptor));
                }
                None => drop(router.remove(path)),
            }
        }
        self.routes.store(Arc::new(router));
        Some(())
    }

    /// Makes all routes. Services that did not change keep their chains.
    fn rebuild_routes(&self) {
        let routes: Vec<Route> = self.catalog().routes().cloned().collect();
        let old = self.routes.load();
        let mut router = Router::default();
        for route in routes {
            let descriptor = self.known_as(&route);
            let path = descriptor.path.clone();
            let kept = old.named(&path).filter(|remote: &Arc<Remote>| remote.route == route);
            let remote = kept.unwrap_or_else(|| self.remote(route, descriptor));
            if !router.insert(&path, remote) {
                tracing::warn!(%path, "two remote services would have this path here: only one is kept");
            }
        }
        self.routes.store(Arc::new(router));
    }

    fn remote(&self, route: Route, descriptor: Descriptor) -> Arc<Remote> {
        let (hooks, spread) = (self.app.hooks(), self.spread_of(&route));
        Arc::new(Remote::new(route, descriptor, hooks, &self.wrapping, &self.rpc, spread))
    }

    /// The streams that calls of a route go to.
    fn spread_of(&self, route: &Route) -> Spread {
        let partitions = self.catalog().partitions(route);
        Spread::new(&self.keys, &route.app, partitions, usize::try_from(self.started).unwrap_or(0))
    }
}

/// The paths whose routes may be other ones than before.
fn touched(changes: &[Change]) -> BTreeSet<&str> {
    let mut paths = BTreeSet::new();
    for change in changes {
        match change {
            Change::Service(route) | Change::ServiceRemoved(route) | Change::Health(route) => {
                paths.insert(route.path.as_str());
            }
            Change::Shadowed { path, .. } => drop(paths.insert(path.as_str())),
            Change::NodeUp(member) | Change::NodeDown(member) => {
                paths.extend(member.services.keys().map(String::as_str));
            }
        }
    }
    paths
}
