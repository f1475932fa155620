//! The names of all keys and channels.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `NS:{mesh}:node:ID` | hash, TTL | what a node announces, and its beat |
//! | `NS:{mesh}:nodes` | sorted set | node id → expiry, in ms of Redis's clock |
//! | `NS:{mesh}:epoch` | string | version of the registry |
//! | `NS:{mesh}:changes` | stream, capped | the last changes of the registry |
//! | `NS:{mesh}:told` | string | of which version all nodes were told, while changes are told in bundles |
//! | `NS:{mesh}:digest` | string, TTL | a big registry in one value, for nodes that have to read all of it |
//! | `NS:{mesh}:digest-by` | string, TTL | the node that makes it anew just now |
//! | `NS:{mesh}:app:KEY/APP` | hash, TTL | what an app offers, kept while none of its replicas is up |
//! | `NS:{mesh}:apps` | sorted set | apps with lingering paths → when the last of them ends, in ms |
//! | `NS:{mesh}:schemas:KEY/APP` | hash, TTL | which schemas replicas of an app have |
//! | `NS:{mesh}:schema:SHA256` | string, TTL | the schemas of a service, by their content |
//! | `NS:lifecycle` | channel | the changes as they happen |
//! | `NS:{app:KEY/APP}:calls` | stream, group `replicas` | requests to one app |
//! | `NS:{app:KEY/APP}:dead` | stream, capped | requests that failed delivery too often |
//! | `NS:{app:KEY/APP}:once:DIGEST` | string, TTL | one call with an idempotency key: the node that runs it, or its reply |
//! | `NS:{app:KEY/APP/N}:calls`, `…:dead` | streams | the same of an app's further [partitions](partition), from 1 on |
//! | `NS:{node:ID}:inbox` | stream, TTL | replies to one node, and requests meant for it alone |
//! | `NS:{events:KEY/PATH}` | channel | events of one service |
//! | `NS:{events:KEY/PATH}:log` | stream, capped, TTL | their recent past |
//! | `NS:{events:KEY/PATH}:last` | hash, TTL | the id of the last one, and the number of the last one of each node |
//!
//! Channels know no databases, so in any but 0 their names end with a slash and its number (`NS:lifecycle/1`): two meshes of
//! one namespace on two databases of one server hear nothing of each other.
//!
//! Braces are Redis Cluster's hash tags: all keys with one tag lie in one slot, and no script touches two.

/// The consumer group in which the replicas of an app share its requests.
pub(crate) const GROUP: &str = "replicas";

/// The consumer that gets the entries of a stream whose group was destroyed. No node has this id.
pub(crate) const LOST: &str = "lost";

pub(crate) use rachis_config::host::MAX_PARTITIONS;

/// The name by which a partition of `app` (`KEY/APP`) has keys of its own, in a slot of its own: that of the app for the
/// first one, 0.
pub(crate) fn partition(app: &str, number: usize) -> String {
    // Neither key nor app can contain a slash, so this is the name of no other app.
    if number == 0 { app.to_owned() } else { format!("{app}/{number}") }
}

/// Returns `true` if `stream` is a request stream of the app whose first one is `first`.
pub(crate) fn same_app(first: &str, stream: &str) -> bool {
    let Some(front) = first.strip_suffix(CALLS) else { return first == stream };
    let number = stream.strip_prefix(front).and_then(|rest| rest.strip_suffix(CALLS));
    number.is_some_and(|number| {
        let further = number.strip_prefix('/').and_then(|number| number.parse::<usize>().ok());
        number.is_empty() || further.is_some_and(|number| (1..MAX_PARTITIONS).contains(&number))
    })
}

/// The end of the name of a request stream.
const CALLS: &str = "}:calls";

/// Builds the names of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    namespace: String,
    /// The end of the names of channels.
    channels: String,
}

impl Keys {
    pub(crate) fn new(namespace: &str) -> Self {
        Keys { namespace: namespace.to_owned(), channels: String::new() }
    }

    /// Returns the names in this database.
    pub(crate) fn in_database(self, number: i64) -> Self {
        let channels = if number == 0 { String::new() } else { format!("/{number}") };
        Keys { channels, ..self }
    }

    /// Returns the prefix of the keys of nodes; scripts append ids that they find in the index.
    pub(crate) fn node_prefix(&self) -> String {
        format!("{}:{{mesh}}:node:", self.namespace)
    }

    /// Returns the prefix of the keys of apps.
    pub(crate) fn app_prefix(&self) -> String {
        format!("{}:{{mesh}}:app:", self.namespace)
    }

    pub(crate) fn node(&self, id: &str) -> String {
        format!("{}{id}", self.node_prefix())
    }

    pub(crate) fn app(&self, app: &str) -> String {
        format!("{}{app}", self.app_prefix())
    }

    #[cfg(feature = "schema")]
    pub(crate) fn schemas(&self, app: &str) -> String {
        format!("{}:{{mesh}}:schemas:{app}", self.namespace)
    }

    /// Returns the key of schemas; `hash` is the SHA-256 of their text.
    #[cfg(feature = "schema")]
    pub(crate) fn schema(&self, hash: &str) -> String {
        format!("{}:{{mesh}}:schema:{hash}", self.namespace)
    }

    pub(crate) fn nodes(&self) -> String {
        format!("{}:{{mesh}}:nodes", self.namespace)
    }

    /// Returns a key of the registry, all of which lie in one slot.
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

    pub(crate) fn digest(&self) -> String {
        format!("{}:{{mesh}}:digest", self.namespace)
    }

    pub(crate) fn digest_by(&self) -> String {
        format!("{}:{{mesh}}:digest-by", self.namespace)
    }

    pub(crate) fn lifecycle(&self) -> String {
        format!("{}:lifecycle{}", self.namespace, self.channels)
    }

    /// `app` may be the name of a [`partition`], here and in `dead_letters`.
    pub(crate) fn calls(&self, app: &str) -> String {
        format!("{}:{{app:{app}{CALLS}", self.namespace)
    }

    pub(crate) fn dead_letters(&self, app: &str) -> String {
        format!("{}:{{app:{app}}}:dead", self.namespace)
    }

    /// Returns the key of a call with an idempotency key. It is the same for all partitions, however many there are.
    pub(crate) fn idempotency(&self, app: &str, digest: &str) -> String {
        format!("{}:{{app:{app}}}:once:{digest}", self.namespace)
    }

    pub(crate) fn inbox(&self, node: &str) -> String {
        // Asked for with every reply.
        [&self.namespace, ":{node:", node, "}:inbox"].concat()
    }

    pub(crate) fn events(&self, key: &str, path: &str) -> String {
        format!("{}{}", self.event_keys(key, path), self.channels)
    }

    fn event_keys(&self, key: &str, path: &str) -> String {
        format!("{}:{{events:{key}/{path}}}", self.namespace)
    }

    pub(crate) fn event_log(&self, key: &str, path: &str) -> String {
        format!("{}:log", self.event_keys(key, path))
    }

    pub(crate) fn last_event(&self, key: &str, path: &str) -> String {
        format!("{}:last", self.event_keys(key, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_partition_has_the_keys_of_an_app_and_the_others_have_slots_of_their_own() {
        let keys = Keys::new("ns");
        assert_eq!(keys.calls(&partition("default/shop", 0)), "ns:{app:default/shop}:calls");
        assert_eq!(keys.calls(&partition("default/shop", 3)), "ns:{app:default/shop/3}:calls");
        assert_eq!(keys.dead_letters(&partition("default/shop", 63)), "ns:{app:default/shop/63}:dead");
    }

    #[test]
    fn channels_are_told_apart_by_database_and_keys_are_not() {
        let [first, other] = [0, 7].map(|number| Keys::new("ns").in_database(number));
        assert_eq!((first.lifecycle(), other.lifecycle()), ("ns:lifecycle".into(), "ns:lifecycle/7".into()));
        assert_eq!(first.events("default", "a/b"), "ns:{events:default/a/b}");
        assert_eq!(other.events("default", "a/b"), "ns:{events:default/a/b}/7");
        assert_eq!(first.event_log("default", "a"), other.event_log("default", "a"));
        assert_eq!(first.last_event("default", "a"), other.last_event("default", "a"));
    }

    #[test]
    fn streams_of_one_app_know_each_other_and_no_others() {
        let keys = Keys::new("ns");
        let first = keys.calls("default/shop");
        for number in 0..MAX_PARTITIONS {
            assert!(same_app(&first, &keys.calls(&partition("default/shop", number))), "{number}");
        }
        for other in ["default/shop2", "default/shop/0", "default/shop/64", "default/shop/x", "other/shop", "default"] {
            assert!(!same_app(&first, &keys.calls(other)), "{other}");
        }
        assert!(!same_app(&first, &keys.dead_letters("default/shop")));
    }
}
