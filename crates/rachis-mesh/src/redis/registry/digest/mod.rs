//! The digest: the whole registry in one value, kept for a moment, so that a thousand nodes that start do not read a
//! thousand hashes each.
//!
//! It is as old as its epoch. Together with the later `changes` it equals the hashes, or it is not used: the rule by
//! which a node takes in messages. A reader that finds it old replaces it from the hashes. It is a cache: nothing is
//! lost with it.

use super::{LingeringRecord, NodeChange, NodeRecord, Registry, RegistryChange, ServiceRecord, Snapshot};
use crate::redis::connection::is_fatal;
use redis::{RedisResult, aio::ConnectionLike};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// From how many nodes on it is worth a value of its own.
const MANY: usize = 48;
/// It is made anew when so many changes came since, or as many as an eighth of the nodes.
const OLD: usize = 64;
/// For how long one node makes it while others do not begin to. What `changes` holds lasts longer than this, unless far
/// more than a thousand nodes come or go within it.
const ALONE_MS: u64 = 500;
/// A node that finds none while another makes it looks so often again, and reads the hashes after that.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(30);
/// For how long it is kept: nodes that come one by one do well without.
const KEPT_MS: u64 = 60_000;
/// The form of it. What is written by a node of another version, and differs, is not read.
const FORM: u8 = 1;

/// A copy of the registry as it is written.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Digest {
    form: u8,
    epoch: u64,
    nodes: Vec<Node>,
    lingering: Vec<Lingering>,
}

/// Id, app, head, state, services.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Node(String, String, ByteBuf, String, Vec<Service>);

/// Path, since when, descriptor.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Service(String, u64, ByteBuf);

/// App, service, until when.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Lingering(String, Service, Option<u64>);

impl Registry {
    /// Everything, as [`Registry::snapshot`] says it, from the digest where there is one that is of use.
    pub(crate) async fn read(&self, on: &mut impl ConnectionLike) -> RedisResult<Snapshot> {
        let counted: redis::Value = redis::cmd("ZCARD").arg(self.keys.nodes()).query_async(on).await.or_else(spared)?;
        let nodes = redis::from_redis_value(counted).unwrap_or(0usize);
        if nodes < MANY {
            return self.snapshot(on).await;
        }
        for _ in 0..LOOKS {
            let found = self.by_digest(on).await?;
            let is_old = found.as_ref().is_none_or(|(_, behind)| *behind > OLD.max(nodes / 8));
            if is_old && self.begins(on).await? {
                break;
            }
            if let Some((snapshot, _)) = found {
                return Ok(snapshot);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        let snapshot = self.snapshot(on).await?;
        self.keep(on, &snapshot).await?;
        Ok(snapshot)
    }

    /// What the digest and the changes since say, and how many these are; `None` where they do not lead up to now.
    pub(in crate::redis) async fn by_digest(
        &self,
        on: &mut impl ConnectionLike,
    ) -> RedisResult<Option<(Snapshot, usize)>> {
        let now = self.now(on).await?;
        // Asked first: what is changed from here on is news.
        let epoch = self.epoch(on).await?;
        let kept: redis::Value = redis::cmd("GET").arg(self.keys.digest()).query_async(on).await.or_else(spared)?;
        let redis::Value::BulkString(kept) = kept else { return Ok(None) };
        let Some(digest) = Digest::decode(&kept).filter(|digest| digest.epoch <= epoch) else { return Ok(None) };
        let Some(changes) = self.changes_since(on, digest.epoch).await? else { return Ok(None) };
        if changes.last().map_or(digest.epoch, |change| change.epoch) < epoch {
            return Ok(None);
        }
        let behind = changes.len();
        let silent = self.silent(on, now).await?;
        Ok(Some((digest.into_snapshot(changes, now, silent), behind)))
    }

    /// Returns `true` if this node may make the digest now, for a moment.
    async fn begins(&self, on: &mut impl ConnectionLike) -> RedisResult<bool> {
        let mut set = redis::cmd("SET");
        set.arg(self.keys.digest_by()).arg(&self.node).arg("NX").arg("PX").arg(ALONE_MS);
        match set.query_async::<Option<String>>(on).await {
            Ok(done) => Ok(done.is_some()),
            Err(error) => spared(error).map(|_| false),
        }
    }

    pub(in crate::redis) async fn keep(&self, on: &mut impl ConnectionLike, snapshot: &Snapshot) -> RedisResult<()> {
        let Some(digest) = Digest::of(snapshot).encode() else { return Ok(()) };
        let mut set = redis::cmd("SET");
        set.arg(self.keys.digest()).arg(digest).arg("PX").arg(KEPT_MS);
        set.query_async(on).await.or_else(spared).map(drop)
    }
}

/// Where memory is full, rules forbid it, or the key is something else, it goes without.
fn spared(error: redis::RedisError) -> RedisResult<redis::Value> {
    if is_fatal(&error) {
        return Err(error);
    }
    tracing::debug!(%error, "the registry is not kept in one value");
    Ok(redis::Value::Nil)
}

impl Digest {
    fn of(snapshot: &Snapshot) -> Self {
        let service = |service: &ServiceRecord| {
            Service(service.path.clone(), service.since, ByteBuf::from(service.descriptor.clone()))
        };
        let node = |node: &NodeRecord| {
            let head = ByteBuf::from(node.head.clone());
            let services = node.services.iter().map(service).collect();
            Node(node.id.clone(), node.app.clone(), head, node.state.clone(), services)
        };
        let lingering = |path: &LingeringRecord| Lingering(path.app.clone(), service(&path.service), path.until);
        Digest {
            form: FORM,
            epoch: snapshot.epoch,
            nodes: snapshot.nodes.iter().map(node).collect(),
            lingering: snapshot.lingering.iter().map(lingering).collect(),
        }
    }

    fn encode(&self) -> Option<Vec<u8>> {
        rmp_serde::to_vec(self).ok()
    }

    /// `None` for anything else.
    fn decode(bytes: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(bytes).ok().filter(|digest: &Digest| digest.form == FORM)
    }

    /// What the hashes say after these changes.
    fn into_snapshot(self, changes: Vec<RegistryChange>, now: u64, silent: BTreeSet<String>) -> Snapshot {
        let mut epoch = self.epoch;
        let mut nodes: BTreeMap<String, NodeRecord> =
            self.nodes.into_iter().map(|node| (node.0.clone(), node.into())).collect();
        let known = |path: LingeringRecord| ((path.app.clone(), path.service.path.clone()), path);
        let mut lingering: BTreeMap<(String, String), LingeringRecord> =
            self.lingering.into_iter().map(|path| known(path.into())).collect();
        for change in changes {
            epoch = change.epoch;
            for item in change.items {
                match item {
                    NodeChange::Up(node) => {
                        for service in &node.services {
                            lingering.remove(&(node.app.clone(), service.path.clone()));
                        }
                        nodes.insert(node.id.clone(), node);
                    }
                    NodeChange::Down(id, left) => {
                        nodes.remove(&id);
                        lingering.extend(left.into_iter().map(known));
                    }
                }
            }
        }
        let lasts = |path: &LingeringRecord| path.until.is_none_or(|until| until > now);
        Snapshot {
            epoch,
            now,
            nodes: nodes.into_values().collect(),
            silent,
            lingering: lingering.into_values().filter(lasts).collect(),
        }
    }
}

impl From<Service> for ServiceRecord {
    fn from(Service(path, since, descriptor): Service) -> Self {
        ServiceRecord { path, since, descriptor: descriptor.into_vec() }
    }
}

impl From<Node> for NodeRecord {
    fn from(Node(id, app, head, state, services): Node) -> Self {
        let services = services.into_iter().map(ServiceRecord::from).collect();
        NodeRecord { id, app, head: head.into_vec(), state, services }
    }
}

impl From<Lingering> for LingeringRecord {
    fn from(Lingering(app, service, until): Lingering) -> Self {
        LingeringRecord { app, service: service.into(), until }
    }
}

#[cfg(test)]
mod tests;
