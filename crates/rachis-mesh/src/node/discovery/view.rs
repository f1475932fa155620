//! What a node sees of the mesh, and what becomes different in it.

use crate::node::{
    catalog::SharedCatalog,
    client::routes::Routes,
    shared::{
        identity::Identity,
        info::{self, Change, NodeInfo, ServiceInfo},
        live_config::LiveConfig,
    },
};
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use rachis_core::{App, Descriptor, Error, Result, host::Guarded};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// A service that a path leads to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resolved {
    /// What it offers.
    pub descriptor: Arc<Descriptor>,
    /// `true` if it runs on another node.
    pub remote: bool,
    /// The values of the path's placeholders.
    pub route: BTreeMap<String, String>,
    #[doc(hidden)] // for the gateway
    pub guarded: Arc<Guarded>,
}

/// The mesh as a node sees it.
pub(crate) struct View {
    pub(crate) identity: Arc<Identity>,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) app: App,
    pub(crate) catalog: SharedCatalog,
    pub(crate) routes: Arc<Routes>,
    pub(crate) watchers: broadcast::Sender<Arc<Change>>,
    pub(crate) stop: CancellationToken,
}

impl View {
    /// The service that `path` leads to: one of this process if there is one, else a remote one.
    pub(crate) fn resolve(&self, path: &str) -> Option<Resolved> {
        if let Some(found) = self.app.find(path) {
            return Some(Resolved {
                descriptor: found.value.descriptor.clone(),
                remote: false,
                route: found.route,
                guarded: found.value.guarded.clone(),
            });
        }
        let found = self.routes.get().find(rachis_core::host::path::strip(path))?;
        Some(Resolved {
            descriptor: found.value.descriptor.clone(),
            remote: true,
            route: found.route,
            guarded: found.value.guarded.clone(),
        })
    }

    /// Waits until `path` can be called.
    ///
    /// # Errors
    /// `Timeout` after the configured `timeout`.
    pub(crate) async fn wait_for(&self, path: &str) -> Result<Resolved> {
        let mut changes = self.watchers.subscribe();
        let mut local = self.app.changed();
        let timeout = self.config.load().timeout;
        let found = async {
            loop {
                if let Some(found) = self.resolve(path) {
                    return found;
                }
                tokio::select! {
                    _ = changes.recv() => {}
                    _ = local.changed() => {}
                }
            }
        };
        tokio::time::timeout(timeout, found).await.map_err(|_| {
            Error::timeout(format!("No node offered '{path}' within {}", humantime::format_duration(timeout)))
        })
    }

    /// Every service that can be called: those of this process and the remote ones, by path.
    pub(crate) fn services(&self) -> Vec<ServiceInfo> {
        let mut services: BTreeMap<String, ServiceInfo> = BTreeMap::new();
        {
            // Which replicas there are changes more often than the routes do, and only the catalog always knows.
            let routes = self.routes.get();
            let catalog = self.catalog.lock();
            for remote in routes.values() {
                let route = catalog.route(&remote.route.path).unwrap_or(&remote.route);
                services.insert(remote.descriptor.path.clone(), ServiceInfo::remote(route, &remote.descriptor));
            }
        }
        for registered in self.app.registered() {
            let info = ServiceInfo::local(&registered.descriptor, &self.identity.key, &self.identity.app_name);
            let info = ServiceInfo { replicas: vec![self.identity.id.clone()], ..info };
            services.insert(registered.descriptor.path.clone(), info);
        }
        services.into_values().collect()
    }

    /// Every node of the mesh, this one included, the oldest first.
    pub(crate) fn nodes(&self) -> Vec<NodeInfo> {
        self.catalog.lock().nodes().map(NodeInfo::from).collect()
    }

    /// Returns, for each remote service, whether a replica of it is up: of one partition key, or with `None` of this node's
    /// own. Returns `None` if no app is registered with that key.
    pub(crate) fn health(&self, key: Option<&str>) -> Option<BTreeMap<String, bool>> {
        let own = &self.identity.key;
        let wanted = key.filter(|key| key != own);
        let routes = self.routes.get();
        let health: BTreeMap<String, bool> = routes
            .values()
            .filter(|remote| wanted.is_none_or(|key| info::split_app(&remote.route.app).0 == key))
            .map(|remote| (remote.descriptor.path.clone(), !remote.route.replicas.is_empty()))
            .collect();
        let known =
            wanted.is_none_or(|key| !health.is_empty() || self.catalog.lock().nodes().any(|member| member.key == key));
        known.then_some(health)
    }

    /// What becomes different in the mesh, as it happens. A reader that falls behind misses the oldest changes.
    pub(crate) fn changes(&self) -> impl Stream<Item = Change> + Send + Unpin + use<> {
        let receiver = self.watchers.subscribe();
        let stop = self.stop.clone();
        let changes = stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(change) => return Some((Change::clone(&change), receiver)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        Box::pin(changes.take_until(async move { stop.cancelled().await }))
    }

    /// Remote services as they come (`"service"`) or go (`"service-removed"`), by the names feathers-distributed gave
    /// these events. Any other name never yields anything; [`changes`](Self::changes) has more.
    pub(crate) fn on(&self, event: &str) -> impl Stream<Item = ServiceInfo> + Send + Unpin + use<> {
        let event = event.to_owned();
        Box::pin(self.changes().filter_map(move |change| {
            let info = match (event.as_str(), change) {
                ("service", Change::Service(info)) | ("service-removed", Change::ServiceRemoved(info)) => Some(info),
                _ => None,
            };
            std::future::ready(info)
        }))
    }
}
