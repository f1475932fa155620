//! What the catalog is made of: nodes, what they offer, and where calls go by that.

use rachis_core::Descriptor;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A node as it is believed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// `KEY/APP`.
    pub(crate) app: String,
    pub(crate) key: String,
    pub(crate) info: Info,
    /// `true` if it takes calls. One that drains does not.
    pub(crate) up: bool,
    /// How long its paths stay callable without replicas, in ms; `None` for ever.
    pub(crate) linger: Option<u64>,
    /// Over how many streams it lets the requests of its app be spread.
    pub(crate) partitions: usize,
    pub(crate) services: BTreeMap<String, Offer>,
}

/// What a node says of itself for people to read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Info {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) started: u64,
}

/// A service of one node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    /// Since when its app offers it, in ms of Redis's clock.
    pub(crate) since: u64,
    pub(crate) descriptor: Arc<Descriptor>,
}

/// A path that has no replica and may still be called.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lingering {
    pub(crate) app: String,
    pub(crate) offer: Offer,
    /// When that ends, in ms; `None` for never.
    pub(crate) until: Option<u64>,
}

/// Where calls of a path go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    /// The path as its app registered it.
    pub(crate) path: String,
    /// `KEY/APP`.
    pub(crate) app: String,
    pub(crate) since: u64,
    /// What the replicas offer taken together.
    pub(crate) descriptor: Arc<Descriptor>,
    /// The replicas that are up; none while the path lingers.
    pub(crate) replicas: BTreeSet<String>,
}

/// A change of the catalog.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CatalogChange {
    /// A path can be called from now on, or goes to another app, or offers something else than before.
    Service(Arc<Route>),
    /// A path can no longer be called.
    ServiceRemoved(Arc<Route>),
    /// The last replica of a path went, or one came back: callable all along, healthy or not.
    Health(Arc<Route>),
    /// Another app offers the path of an older one, which keeps it.
    Shadowed {
        path: String,
        winner: String,
        loser: String,
    },
    NodeUp(Arc<Member>),
    NodeDown(Arc<Member>),
}

/// A new version of the registry, read.
#[derive(Clone, Debug)]
pub(crate) enum CatalogUpdate {
    Up(Member),
    /// Gone; these paths of its app linger since.
    Down(String, Vec<Lingering>),
}
