//! The registry: nodes and the services they offer, kept by scripts so that each step is atomic.
//!
//! Heads and descriptors are opaque bytes here.

mod digest;
mod records;
#[cfg(feature = "schema")]
pub(crate) mod schemas;

pub(crate) use records::{LingeringRecord, NodeChange, NodeRecord, RegistryChange, ServiceRecord};

use super::{keys::Keys, scripts};
use records::{Fields, lingering};
use redis::{FromRedisValue, RedisResult, Script, aio::ConnectionLike};
use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
    time::Duration,
};

static REGISTER: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::REGISTER));
static STATE: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::STATE));
static WITHDRAW: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::WITHDRAW));
static TELL: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::TELL));
static CLEAR_UP: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::CLEAR_UP));
/// The script of the heartbeat. Every node runs it all the time, so it is short.
static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::BEAT));

/// Node hashes in one pipeline of a snapshot.
const SNAPSHOT_BATCH: usize = 256;

/// The registry as one node uses it.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    keys: Keys,
    node: String,
    app: String,
    ttl: Duration,
    linger: Linger,
}

/// How long a path without replicas stays callable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Linger {
    For(Duration),
    Forever,
}

impl Linger {
    /// Returns milliseconds, -1 for ever, as scripts take it.
    fn ms(self) -> i64 {
        match self {
            Linger::For(time) => i64::try_from(time.as_millis()).unwrap_or(i64::MAX),
            Linger::Forever => -1,
        }
    }
}

/// The announcement of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Announced {
    pub(crate) head: Vec<u8>,
    pub(crate) state: String,
    /// Path and descriptor.
    pub(crate) services: Vec<(String, Vec<u8>)>,
    /// The id of the manifest of its schemas; empty if it has none.
    pub(crate) schemas: String,
}

/// The outcome of registering.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) epoch: u64,
    pub(crate) now: u64,
    /// Whether the node was registered before.
    pub(crate) known: bool,
    pub(crate) promise: Promise,
}

/// The time in ms after which this node has to [tell](Registry::tell) all nodes what has changed since the last
/// message; 0 if that was told at once, or another node has to. If that node fails, the next beat of any node does it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub(crate) struct Promise(u64);

impl Promise {
    /// Returns the time until then; `None` if nothing was promised.
    pub(crate) fn wait(self) -> Option<Duration> {
        // Redis's clock and this one's may differ in the last ms, and too early is in vain.
        (self.0 > 0).then(|| Duration::from_millis(self.0 + 1))
    }
}

/// The outcome of a beat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat {
    /// `false` if Redis has forgotten this node, which must register again.
    pub(crate) known: bool,
    pub(crate) epoch: u64,
    /// The version that all nodes were told; later changes are held back for a moment.
    pub(crate) published: u64,
    /// Redis's clock, in ms.
    pub(crate) now: u64,
    pub(crate) promise: Promise,
}

/// The outcome of a look, which writes nothing.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// The answer that a beat would have got.
    pub(crate) beat: Beat,
    /// Expired nodes that have not been swept yet.
    pub(crate) silent: BTreeSet<String>,
}

/// All of the registry.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) epoch: u64,
    pub(crate) now: u64,
    pub(crate) nodes: Vec<NodeRecord>,
    /// Those of the nodes that have expired and have not been swept yet.
    pub(crate) silent: BTreeSet<String>,
    pub(crate) lingering: Vec<LingeringRecord>,
}

impl Registry {
    pub(crate) fn new(keys: Keys, node: &str, app: &str, ttl: Duration, linger: Linger) -> Self {
        Registry { keys, node: node.to_owned(), app: app.to_owned(), ttl, linger }
    }

    /// Returns a key of the registry, all of which lie on one server.
    pub(crate) fn key(&self) -> String {
        self.keys.registry()
    }

    /// Writes the whole announcement and tells all nodes.
    pub(crate) async fn register(&self, on: &mut impl ConnectionLike, what: &Announced) -> RedisResult<Registered> {
        let mut call = self.invoke(&REGISTER);
        call.arg(self.ttl_ms())
            .arg(self.hygiene_ms())
            .arg(self.linger.ms())
            .arg(&what.head)
            .arg(&what.state)
            .arg(&what.schemas);
        for (path, descriptor) in &what.services {
            call.arg(path).arg(descriptor);
        }
        let (epoch, now, known, wait) = call.invoke_async(on).await?;
        Ok(Registered { epoch, now, known, promise: Promise(wait) })
    }

    /// Renews this node; with `sweep`, removes expired nodes. `sent` is the server's time now, as far as it is known: a
    /// beat that arrives much later removes no node.
    pub(crate) async fn beat(&self, on: &mut impl ConnectionLike, sweep: bool, sent: u64) -> RedisResult<Beat> {
        let keys = &self.keys;
        let mut call = BEAT.key(keys.node(&self.node));
        call.key(keys.nodes()).key(keys.epoch()).key(keys.told()).key(keys.app(&self.app));
        let app_expires = self.linger != Linger::Forever;
        call.arg(&self.node)
            .arg(self.ttl_ms())
            .arg(self.hygiene_ms())
            .arg(i32::from(app_expires))
            .arg(i32::from(sweep));
        let (known, epoch, now, published, clear_up): (bool, u64, u64, u64, bool) = call.invoke_async(on).await?;
        if !clear_up {
            return Ok(Beat { known, epoch, published, now, promise: Promise(0) });
        }
        let mut call = self.invoke(&CLEAR_UP);
        call.arg(self.ttl_ms()).arg(i32::from(sweep)).arg(sent);
        let (epoch, published, wait) = call.invoke_async(on).await?;
        Ok(Beat { known, epoch, published, now, promise: Promise(wait) })
    }

    /// Changes only the state. Returns `None` if Redis has forgotten this node.
    pub(crate) async fn set_state(&self, on: &mut impl ConnectionLike, state: &str) -> RedisResult<Option<Promise>> {
        let wait: Option<u64> = self.invoke(&STATE).arg(state).invoke_async(on).await?;
        Ok(wait.map(Promise))
    }

    /// Removes this node. Returns `None` if it was not registered.
    pub(crate) async fn withdraw(&self, on: &mut impl ConnectionLike) -> RedisResult<Option<Promise>> {
        let wait: Option<u64> = self.invoke(&WITHDRAW).invoke_async(on).await?;
        Ok(wait.map(Promise))
    }

    /// Tells all nodes what was held back, as [promised](Promise).
    pub(crate) async fn tell(&self, on: &mut impl ConnectionLike) -> RedisResult<()> {
        self.invoke(&TELL).invoke_async(on).await
    }

    /// Does the same after `wait`. A failure is harmless.
    pub(crate) async fn tell_after(self, wait: Duration, mut on: impl ConnectionLike) {
        tokio::time::sleep(wait).await;
        if let Err(error) = self.tell(&mut on).await {
            tracing::debug!(%error, "what was held back could not be told, the next beat of any node tells it");
        }
    }

    /// Returns only the version.
    pub(crate) async fn epoch(&self, on: &mut impl ConnectionLike) -> RedisResult<u64> {
        let epoch: Option<u64> = redis::cmd("GET").arg(self.keys.epoch()).query_async(on).await?;
        Ok(epoch.unwrap_or(0))
    }

    /// Returns what an observer, which sends no beats, needs to know.
    pub(crate) async fn look(&self, on: &mut impl ConnectionLike) -> RedisResult<Look> {
        let now = self.now(on).await?;
        let epoch = self.epoch(on).await?;
        // An observer may be ahead of what nodes were told: it reads by itself, and more often.
        let beat = Beat { known: true, epoch, published: epoch, now, promise: Promise(0) };
        Ok(Look { beat, silent: self.silent(on, now).await? })
    }

    async fn now(&self, on: &mut impl ConnectionLike) -> RedisResult<u64> {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(on).await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    async fn silent(&self, on: &mut impl ConnectionLike, now: u64) -> RedisResult<BTreeSet<String>> {
        redis::cmd("ZRANGEBYSCORE").arg(self.keys.nodes()).arg("-inf").arg(format!("({now}")).query_async(on).await
    }

    /// Returns all nodes with when they count as dead, in ms of Redis's clock.
    pub(crate) async fn expiries(&self, on: &mut impl ConnectionLike) -> RedisResult<Vec<(String, u64)>> {
        let scored: Vec<(String, f64)> =
            redis::cmd("ZRANGE").arg(self.keys.nodes()).arg(0).arg(-1).arg("WITHSCORES").query_async(on).await?;
        // Scores are whole numbers of ms, far below what a double holds.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(scored.into_iter().map(|(id, expiry)| (id, expiry.max(0.0) as u64)).collect())
    }

    /// Returns the changes after `epoch`, or `None` if the stream no longer reaches back to it.
    pub(crate) async fn changes_since(
        &self,
        on: &mut impl ConnectionLike,
        epoch: u64,
    ) -> RedisResult<Option<Vec<RegistryChange>>> {
        let range: Vec<(String, HashMap<String, Vec<u8>>)> =
            redis::cmd("XRANGE").arg(self.keys.changes()).arg(format!("({epoch}-0")).arg("+").query_async(on).await?;
        let mut changes = Vec::with_capacity(range.len());
        let mut expected = epoch;
        for (_, fields) in range {
            let Some(news) = fields.get("m").and_then(|message| RegistryChange::decode(message)) else {
                return Ok(None);
            };
            for change in news {
                if change.prev != expected {
                    return Ok(None);
                }
                expected = change.epoch;
                changes.push(change);
            }
        }
        Ok(Some(changes))
    }

    /// Reads the whole registry. The version is read first, so changes that happen meanwhile are seen again as changes,
    /// which is harmless: an announcement is always whole.
    pub(crate) async fn snapshot(&self, on: &mut impl ConnectionLike) -> RedisResult<Snapshot> {
        let now = self.now(on).await?;
        let epoch = self.epoch(on).await?;
        let silent = self.silent(on, now).await?;
        let ids: Vec<String> = redis::cmd("ZRANGE").arg(self.keys.nodes()).arg(0).arg(-1).query_async(on).await?;
        let hashes = self.hashes(on, ids.iter().map(|id| self.keys.node(id))).await?;
        let nodes = ids.iter().zip(hashes).filter_map(|(id, fields)| NodeRecord::from_fields(id, fields)).collect();
        let apps: Vec<String> =
            redis::cmd("ZRANGEBYSCORE").arg(self.keys.apps()).arg(now).arg("+inf").query_async(on).await?;
        let hashes = self.hashes(on, apps.iter().map(|app| self.keys.app(app))).await?;
        let lingering = apps.iter().zip(hashes).flat_map(|(app, fields)| lingering(app, &fields, now)).collect();
        Ok(Snapshot { epoch, now, nodes, silent, lingering })
    }

    /// Returns for each of these nodes whether the registry knows it.
    pub(crate) async fn known(&self, on: &mut impl ConnectionLike, nodes: &[String]) -> RedisResult<Vec<bool>> {
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let scores: Vec<Option<f64>> = redis::cmd("ZMSCORE").arg(self.keys.nodes()).arg(nodes).query_async(on).await?;
        Ok(scores.iter().map(Option::is_some).collect())
    }

    async fn hashes(
        &self,
        on: &mut impl ConnectionLike,
        keys: impl Iterator<Item = String>,
    ) -> RedisResult<Vec<Fields>> {
        let keys: Vec<String> = keys.collect();
        let mut all = Vec::with_capacity(keys.len());
        for batch in keys.chunks(SNAPSHOT_BATCH) {
            let mut pipe = redis::pipe();
            for key in batch {
                pipe.cmd("HGETALL").arg(key);
            }
            // Asked for one by one, since a key that is no hash must hide no other.
            let replies = on.req_packed_commands(&pipe, 0, batch.len()).await?;
            all.extend(replies.into_iter().map(|reply| Fields::from_redis_value(reply).unwrap_or_default()));
        }
        Ok(all)
    }

    fn invoke<'a>(&self, script: &'a Script) -> redis::ScriptInvocation<'a> {
        let mut call = script.key(self.keys.node(&self.node));
        call.key(self.keys.nodes())
            .key(self.keys.epoch())
            .key(self.keys.changes())
            .key(self.keys.app(&self.app))
            .key(self.keys.apps())
            .key(self.keys.told())
            .arg(&self.node)
            .arg(&self.app)
            .arg(self.keys.lifecycle())
            .arg(self.keys.node_prefix())
            .arg(self.keys.app_prefix());
        call
    }

    fn ttl_ms(&self) -> u64 {
        u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns the TTL of keys that are left when no node remains to remove them. The expiry that counts is the score
    /// in the index; the hashes must outlive it, since a sweep reads them.
    fn hygiene_ms(&self) -> u64 {
        let linger = match self.linger {
            Linger::For(time) => time,
            Linger::Forever => Duration::from_secs(24 * 3600),
        };
        u64::try_from((linger + self.ttl * 10).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod bundled_changes;
#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod scripts_like_model;

#[cfg(test)]
mod tests;
