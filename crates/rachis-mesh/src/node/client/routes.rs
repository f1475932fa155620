//! The routes that calls look up, made from the catalog when one is looked up: all of them, or where it can be told,
//! those that changed.

use super::{
    partition_selector::PartitionSelector,
    remote::{Remote, Wrapping},
    rpc::Rpc,
};
use crate::node::{
    catalog::{CatalogChange, Route, SharedCatalog},
    shared::{
        context::NodeContext,
        filters::Filters,
        info::{self, ServiceInfo},
        live_config::LiveConfig,
    },
};
use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use rachis_core::{
    App, Descriptor,
    host::{Router, path},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Beyond so many stale routes all are made anew: a node that never looks shall not keep the name of every path there was.
const MOST_STALE: usize = 4096;

/// The routes, and which of them the catalog has moved on from.
pub(crate) struct Routes {
    made: ArcSwap<Router<Arc<Remote>>>,
    stale: Mutex<Option<Stale>>,
    /// Whether there are any, to be read without a lock.
    is_stale: AtomicBool,
    catalog: SharedCatalog,
    config: Arc<LiveConfig>,
    filters: Filters,
    /// Its hooks run around calls of remote services, too.
    app: App,
    wrapping: Wrapping,
    rpc: Arc<Rpc>,
    context: Arc<NodeContext>,
    /// The partition that the first call goes to.
    start: usize,
}

enum Stale {
    Some(BTreeSet<String>),
    /// Where one change may touch other routes, too: those of placeholders share a tree, and two paths may be given one
    /// name here.
    All,
}

impl Routes {
    pub(crate) fn new(
        context: Arc<NodeContext>,
        config: Arc<LiveConfig>,
        filters: Filters,
        app: App,
        wrapping: Wrapping,
        catalog: SharedCatalog,
        rpc: Arc<Rpc>,
    ) -> Self {
        Routes {
            made: ArcSwap::default(),
            stale: Mutex::default(),
            is_stale: AtomicBool::default(),
            catalog,
            config,
            filters,
            app,
            wrapping,
            rpc,
            start: usize::try_from(context.identity.started).unwrap_or(0),
            context,
        }
    }

    /// A remote service's face under the path it has here.
    pub(crate) fn known_as(&self, route: &Route) -> Descriptor {
        let mut descriptor = Descriptor::clone(&route.descriptor);
        let (key, app) = info::split_app(&route.app);
        descriptor.path = match &self.filters.remote_service_path {
            Some(rename) => rename(&ServiceInfo::remote(route, &descriptor)),
            None => self.config.at_start().remote_service_path.apply(&route.path, key, app),
        };
        descriptor.path = path::strip(&descriptor.path).to_owned();
        descriptor
    }

    /// The routes as of now. Made when one is looked up: a node that makes no calls needs none, and in a mesh of a
    /// thousand nodes they change many times before the first call.
    pub(crate) fn get(&self) -> Guard<Arc<Router<Arc<Remote>>>> {
        if self.is_stale.load(Ordering::Acquire) {
            let mut stale = self.stale.lock();
            match stale.take() {
                Some(Stale::All) => self.rebuild_routes(),
                Some(Stale::Some(paths)) => self.renew_some(paths),
                // Another call has just done it.
                None => {}
            }
            // Not before, or a caller that looks meanwhile would not find what it was told is there.
            self.is_stale.store(false, Ordering::Release);
        }
        self.made.load()
    }

    /// Notes that these routes are other ones now.
    pub(crate) fn outdate(&self, changes: &[CatalogChange]) {
        let mut stale = self.stale.lock();
        let renamed =
            self.filters.remote_service_path.is_some() || !self.config.at_start().remote_service_path.changes_nothing();
        let paths = match stale.take() {
            _ if renamed => None,
            Some(Stale::All) => None,
            Some(Stale::Some(paths)) => Some(paths),
            None => Some(BTreeSet::new()),
        };
        let paths = paths.and_then(|mut paths| {
            let touched = touched(changes);
            let alone = !touched.iter().any(|path| path::is_pattern(path));
            paths.extend(touched.into_iter().map(str::to_owned));
            (alone && paths.len() <= MOST_STALE).then_some(paths)
        });
        *stale = Some(paths.map_or(Stale::All, Stale::Some));
        self.is_stale.store(true, Ordering::Release);
    }

    /// In a mesh of a thousand services, to make all routes anew costs milliseconds, and each node that comes or goes
    /// changes few.
    fn renew_some(&self, paths: BTreeSet<String>) {
        let old = self.made.load();
        let mut router = Router::clone(&old);
        for path in paths {
            let route = self.catalog.lock().route(&path).cloned();
            match route {
                Some(route) if old.named(&path).is_some_and(|remote| remote.route == route) => {}
                Some(route) => {
                    let descriptor = self.known_as(&route);
                    router.set(&path, self.remote(route, descriptor));
                }
                None => {
                    router.remove(&path);
                }
            }
        }
        self.made.store(Arc::new(router));
    }

    /// Makes all routes. Services that did not change keep their chains.
    fn rebuild_routes(&self) {
        let routes: Vec<Arc<Route>> = self.catalog.lock().routes().cloned().collect();
        let old = self.made.load();
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
        self.made.store(Arc::new(router));
    }

    fn remote(&self, route: Arc<Route>, descriptor: Descriptor) -> Arc<Remote> {
        let selector = self.selector_of(&route);
        Arc::new(Remote::new(route, descriptor, self.app.hooks(), &self.wrapping, &self.rpc, selector))
    }

    /// The streams that calls of a route go to.
    fn selector_of(&self, route: &Route) -> PartitionSelector {
        let partitions = self.catalog.lock().partitions(route);
        PartitionSelector::new(&self.context.keys, &route.app, partitions, self.start)
    }
}

/// The paths whose routes may be other ones than before.
fn touched(changes: &[CatalogChange]) -> BTreeSet<&str> {
    let mut paths = BTreeSet::new();
    for change in changes {
        match change {
            CatalogChange::Service(route) | CatalogChange::ServiceRemoved(route) | CatalogChange::Health(route) => {
                paths.insert(route.path.as_str());
            }
            CatalogChange::Shadowed { path, .. } => {
                paths.insert(path.as_str());
            }
            CatalogChange::NodeUp(member) | CatalogChange::NodeDown(member) => {
                paths.extend(member.services.keys().map(String::as_str));
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;
    use crate::testing;
    use crate::testing::eventually;
    use rachis_config::Config;
    use rachis_core::{App, MemoryService};

    fn made(node: &Node) -> usize {
        node.parts.view.routes.made.load().values().count()
    }

    /// A node that serves a few, and one that knows all of them and has looked at none.
    async fn pair() -> [Node; 2] {
        let config = testing::config();
        let named = |app: &str| Config { app: app.into(), ..config.clone() };
        let services = ["one", "two", "three"];
        let app = services.iter().fold(App::new(), |app, path| app.register(path, MemoryService::new()));
        let there = testing::start(named("there"), app).await;
        let here = testing::start(named("here"), App::new()).await;
        eventually("all are known", async || here.parts.view.catalog.lock().routes().count() == services.len()).await;
        [there, here]
    }

    #[tokio::test]
    async fn routes_are_made_at_the_first_look_and_of_what_changed() {
        let [there, here] = pair().await;
        assert_eq!(made(&here), 0);
        assert!(here.resolve("one").is_some());
        assert_eq!(made(&here), 3);
        let two = here.parts.view.routes.get().named("two").unwrap();
        there.unregister("one").await.unwrap();
        eventually("it is gone", async || here.parts.view.catalog.lock().route("one").is_none()).await;
        assert!(here.resolve("one").is_none());
        assert!(Arc::ptr_eq(&two, &here.parts.view.routes.get().named("two").unwrap()), "another one stays as it was");
    }

    #[tokio::test]
    async fn a_node_that_never_looks_keeps_no_names_of_what_was() {
        let [_there, here] = pair().await;
        let route = here.parts.view.catalog.lock().route("one").cloned().unwrap();
        for number in 0..=MOST_STALE {
            let gone = Route { path: format!("gone/{number}"), ..Route::clone(&route) };
            here.parts.view.routes.outdate(&[CatalogChange::ServiceRemoved(Arc::new(gone))]);
        }
        assert!(matches!(*here.parts.view.routes.stale.lock(), Some(Stale::All)));
        assert!(here.resolve("one").is_some() && here.resolve("gone/1").is_none());
        assert_eq!(made(&here), 3);
    }
}
