//! What a node tells of the mesh: services and nodes as people and predicates see them.

use crate::node::catalog::{Member, Route};
use rachis_core::{Descriptor, Method};
use serde::Serialize;
use serde_json::{Map, Value};

/// A service of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// The path by which it is called here.
    pub path: String,
    /// The partition key of its app.
    pub key: String,
    /// The app that serves it.
    pub app: String,
    /// The methods that can be called.
    pub methods: Vec<Method>,
    /// The events that are published.
    pub events: Vec<String>,
    /// The options given to it; of a remote service those that its node announces.
    pub options: Map<String, Value>,
    /// `true` if it runs on another node.
    pub remote: bool,
    /// `true` if a replica is up. While none is, calls wait for the next.
    pub healthy: bool,
    /// The ids of the nodes that serve it.
    pub replicas: Vec<String>,
    /// Since when its app offers it, in ms since 1970 by Redis's clock; 0 for a service of this process.
    pub since: u64,
}

impl ServiceInfo {
    pub(crate) fn local(descriptor: &Descriptor, key: &str, app: &str) -> Self {
        ServiceInfo {
            path: descriptor.path.clone(),
            key: key.to_owned(),
            app: app.to_owned(),
            methods: descriptor.methods.clone(),
            events: descriptor.events.clone(),
            options: descriptor.options.clone(),
            remote: false,
            healthy: true,
            replicas: Vec::new(),
            since: 0,
        }
    }

    pub(crate) fn remote(route: &Route, descriptor: &Descriptor) -> Self {
        let (key, app) = split_app(&route.app);
        ServiceInfo {
            remote: true,
            healthy: !route.replicas.is_empty(),
            replicas: route.replicas.iter().cloned().collect(),
            since: route.since,
            ..ServiceInfo::local(descriptor, key, app)
        }
    }
}

/// `KEY/APP` taken apart.
pub(crate) fn split_app(app: &str) -> (&str, &str) {
    app.split_once('/').unwrap_or(("", app))
}

/// A node of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its id, a ULID: unique for this run of the process.
    pub id: String,
    /// Its partition key.
    pub key: String,
    /// Its app: nodes of one app are replicas of each other.
    pub app: String,
    /// The application's own version.
    pub version: String,
    /// The machine it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// When it started, in ms since 1970 by its own clock.
    pub started: u64,
    /// `true` if it takes calls. One that is shutting down does not.
    pub up: bool,
    /// Over how many streams it lets the requests of its app be spread.
    pub partitions: usize,
    /// The paths it serves.
    pub services: Vec<String>,
}

impl From<&Member> for NodeInfo {
    fn from(member: &Member) -> Self {
        let (key, app) = split_app(&member.app);
        NodeInfo {
            id: member.id.clone(),
            key: key.to_owned(),
            app: app.to_owned(),
            version: member.info.version.clone(),
            host: member.info.host.clone(),
            pid: member.info.pid,
            started: member.info.started,
            up: member.up,
            partitions: member.partitions,
            services: member.services.keys().cloned().collect(),
        }
    }
}

/// Something in the mesh became different.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A remote service can be called from now on, or is offered differently than before.
    Service(ServiceInfo),
    /// A remote service can no longer be called.
    ServiceRemoved(ServiceInfo),
    /// The last replica of a remote service went, or the first came back.
    Health(ServiceInfo),
    /// A node joined.
    NodeUp(NodeInfo),
    /// A node left or died.
    NodeDown(NodeInfo),
}
