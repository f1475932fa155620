//! What a node sees of the mesh, and what becomes different in it.

use super::Node;
#[cfg(feature = "schema")]
use crate::node::schemas::ServiceSchemas;
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

    /// Returns the schemas of the service that `path` leads to, here or on another node; `None` if it has none, or there is
    /// no such service. Those of other nodes are read from Redis, and kept.
    ///
    /// While a new version is rolled out, replicas differ: each checks calls by its own schemas, the newest are returned, and
    /// [`ServiceSchemas::others`] tells of the rest.
    ///
    /// # Errors
    /// `Unavailable` if Redis does not answer, or does not have them; `GeneralError` for something else in their place.
    ///
    /// ```no_run
    /// # async fn run(node: rachis::Node) -> rachis::Result<()> {
    /// if let Some(found) = node.schemas("todos").await? {
    ///     println!("{} of version {}", found.hash, found.version);
    ///     for other in found.others {
    ///         println!("{:?} of version {} on {} nodes", other.hash, other.version, other.replicas.len());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "schema")]
    pub async fn schemas(&self, path: &str) -> Result<Option<ServiceSchemas>> {
        self.parts.schemas.schemas(path).await
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
