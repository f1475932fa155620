//! Every key and channel, in one table.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `NS:{mesh}:node:ID` | hash, TTL | what a node announces, and its beat |
//! | `NS:{mesh}:nodes` | sorted set | node id → expiry, in ms of Redis's clock |
//! | `NS:{mesh}:epoch` | string | version of the registry |
//! | `NS:{mesh}:changes` | stream, capped | the last changes of the registry |
//! | `NS:{mesh}:told` | string | of which version everyone was told, while changes are told in bundles |
//! | `NS:{mesh}:app:KEY/APP` | hash, TTL | what an app offers, kept while none of its replicas is up |
//! | `NS:{mesh}:apps` | sorted set | apps with lingering paths → when the last of them ends, in ms |
//! | `NS:lifecycle` | channel | the changes as they happen |
//! | `NS:{app:KEY/APP}:calls` | stream, group `replicas` | requests to one app |
//! | `NS:{app:KEY/APP}:dead` | stream, capped | requests that failed delivery too often |
//! | `NS:{app:KEY/APP}:once:DIGEST` | string, TTL | one call with an idempotency key: who runs it, or its reply |
//! | `NS:{node:ID}:inbox` | stream, TTL | replies to one node, and requests meant for it alone |
//! | `NS:{events:KEY/PATH}` | channel | events of one service |
//! | `NS:{events:KEY/PATH}:log` | stream, capped | their recent past |
//!
//! Braces are Redis Cluster's hash tags: all keys with one tag lie in one slot, and no script touches two.

/// The consumer group in which the replicas of an app share its requests.
pub(crate) const GROUP: &str = "replicas";

/// The consumer that is given what stood in a stream whose group was destroyed. No node has this id.
pub(crate) const LOST: &str = "lost";

/// Builds the names of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    namespace: String,
}

impl Keys {
    pub(crate) fn new(namespace: &str) -> Self {
        Keys { namespace: namespace.to_owned() }
    }

    /// What the keys of all nodes start with; scripts append ids they find in the index.
    pub(crate) fn node_prefix(&self) -> String {
        format!("{}:{{mesh}}:node:", self.namespace)
    }

    /// What the keys of all apps start with.
    pub(crate) fn app_prefix(&self) -> String {
        format!("{}:{{mesh}}:app:", self.namespace)
    }

    pub(crate) fn node(&self, id: &str) -> String {
        format!("{}{id}", self.node_prefix())
    }

    pub(crate) fn app(&self, app: &str) -> String {
        format!("{}{app}", self.app_prefix())
    }

    pub(crate) fn nodes(&self) -> String {
        format!("{}:{{mesh}}:nodes", self.namespace)
    }

    /// A key of the registry, all of which lie in one slot.
    pub(crate) fn registry(&self) -> String {
        self.nodes()
    }

    pub(crate) fn apps(&self) -> String {
        format!("{}:{{mesh}}:apps", self.namespace)
    }

    pub(crate) fn epoch(&self) -> String {
        format!("{}:{{mesh}}:epoch", self.namespace)
    }

    pub(crate) fn changes(&self) -> String {
        format!("{}:{{mesh}}:changes", self.namespace)
    }

    pub(crate) fn told(&self) -> String {
        format!("{}:{{mesh}}:told", self.namespace)
    }

    pub(crate) fn lifecycle(&self) -> String {
        format!("{}:lifecycle", self.namespace)
    }

    pub(crate) fn calls(&self, app: &str) -> String {
        format!("{}:{{app:{app}}}:calls", self.namespace)
    }

    pub(crate) fn dead(&self, app: &str) -> String {
        format!("{}:{{app:{app}}}:dead", self.namespace)
    }

    pub(crate) fn once(&self, app: &str, digest: &str) -> String {
        format!("{}:{{app:{app}}}:once:{digest}", self.namespace)
    }

    pub(crate) fn inbox(&self, node: &str) -> String {
        format!("{}:{{node:{node}}}:inbox", self.namespace)
    }

    pub(crate) fn events(&self, key: &str, path: &str) -> String {
        format!("{}:{{events:{key}/{path}}}", self.namespace)
    }

    pub(crate) fn event_log(&self, key: &str, path: &str) -> String {
        format!("{}:log", self.events(key, path))
    }
}
