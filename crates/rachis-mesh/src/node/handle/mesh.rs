//! What a node sees of the mesh, and what becomes different in it.

use super::Node;
use crate::node::{
    discovery::view::Resolved,
    shared::info::{Change, NodeInfo, ServiceInfo},
};
use futures_core::Stream;
use rachis_core::Result;
use std::collections::BTreeMap;

impl Node {
    /// The service that `path` leads to: one of this process if there is one, else a remote one.
    pub fn resolve(&self, path: &str) -> Option<Resolved> {
        self.parts.view.resolve(path)
    }

    /// Waits until `path` can be called.
    ///
    /// # Errors
    /// `Timeout` after the configured `timeout`.
    pub async fn wait_for(&self, path: &str) -> Result<Resolved> {
        self.parts.view.wait_for(path).await
    }

    /// Every service that can be called: those of this process and the remote ones, by path.
    pub fn services(&self) -> Vec<ServiceInfo> {
        self.parts.view.services()
    }

    /// Every node of the mesh, this one included, the oldest first.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        self.parts.view.nodes()
    }

    /// Returns, for each remote service, whether a replica of it is up: of one partition key, or with `None` of this node's
    /// own. Returns `None` if no app is registered with that key.
    pub fn health(&self, key: Option<&str>) -> Option<BTreeMap<String, bool>> {
        self.parts.view.health(key)
    }

    /// What becomes different in the mesh, as it happens. A reader that falls behind misses the oldest changes.
    pub fn changes(&self) -> impl Stream<Item = Change> + Send + Unpin + use<> {
        self.parts.view.changes()
    }

    /// Remote services as they come (`"service"`) or go (`"service-removed"`), by the names feathers-distributed gave
    /// these events. Any other name never yields anything; [`Node::changes`] has more.
    pub fn on(&self, event: &str) -> impl Stream<Item = ServiceInfo> + Send + Unpin + use<> {
        self.parts.view.on(event)
    }
}
