//! The queues of the mesh: what waits in them, and which replicas have it.

use crate::{
    node::{
        discovery::view::View,
        shared::{commands::unreachable, context::NodeContext, info::split_app},
    },
    redis::{Failure, connection::pool::Admin, keys::partition, queue::QueueDepth},
};
use futures_util::future::try_join_all;
use rachis_core::Result;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The queue of one app, all its partitions together: see [`Node::queues`](crate::Node::queues).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct QueueInfo {
    /// The partition key of the app.
    pub key: String,
    /// The app.
    pub app: String,
    /// How many requests wait or run.
    pub depth: u64,
    /// How long the oldest of them is there, in ms; 0 where there is none.
    pub age: u64,
    /// How many of them each replica has been given, by node id. `lost` has those of a consumer group that was destroyed.
    pub pending: BTreeMap<String, u64>,
    /// Dead letters that were neither replayed nor dropped.
    pub dead_letters: u64,
}

/// Reads queues.
pub(crate) struct Queues {
    pub(crate) context: Arc<NodeContext>,
    pub(crate) view: Arc<View>,
    pub(crate) admin: Admin,
}

impl Queues {
    /// Returns the apps that this node knows of, its own included, as `KEY/APP`.
    pub(crate) fn apps(&self) -> BTreeSet<String> {
        let services = self.view.services().into_iter().filter(|info| info.remote);
        let mut apps: BTreeSet<String> = services.map(|info| format!("{}/{}", info.key, info.app)).collect();
        if !self.context.identity.observer {
            apps.insert(self.context.identity.app.clone());
        }
        apps
    }

    /// Returns how long the queue of `app` is, and how old.
    pub(crate) async fn depth(&self, app: &str) -> Result<QueueDepth, Failure> {
        let asked = (0..self.partitions(app)).map(async |number| {
            let name = partition(app, number);
            QueueDepth::look(&mut self.admin.get(&self.context.keys.calls(&name)).await?, &self.context.keys, &name)
                .await
        });
        let all = try_join_all(asked).await?;
        Ok(all.into_iter().fold(QueueDepth::default(), QueueDepth::and))
    }

    /// Returns the queues of all apps that this node knows of.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer.
    pub(crate) async fn infos(&self) -> Result<Vec<QueueInfo>> {
        let known = self.view.nodes().into_iter().filter(|node| !node.services.is_empty());
        let apps: BTreeSet<String> =
            self.apps().into_iter().chain(known.map(|node| format!("{}/{}", node.key, node.app))).collect();
        let mut infos = Vec::new();
        for app in apps {
            infos.push(self.info(&app).await.map_err(unreachable)?);
        }
        Ok(infos)
    }

    async fn info(&self, app: &str) -> Result<QueueInfo, Failure> {
        let depth = self.depth(app).await?;
        let mut pending = BTreeMap::new();
        for number in 0..self.partitions(app) {
            let name = partition(app, number);
            let mut redis = self.admin.get(&self.context.keys.calls(&name)).await?;
            for (replica, count) in QueueDepth::pending(&mut redis, &self.context.keys, &name).await? {
                *pending.entry(replica).or_default() += count;
            }
        }
        let (key, app) = split_app(app);
        Ok(QueueInfo {
            key: key.to_owned(),
            app: app.to_owned(),
            depth: depth.length,
            age: depth.oldest.map_or(0, |oldest| self.context.clock.now().saturating_sub(oldest)),
            pending,
            dead_letters: depth.dead_letters,
        })
    }

    fn partitions(&self, app: &str) -> usize {
        let announced = self.view.nodes().into_iter().filter(|known| format!("{}/{}", known.key, known.app) == app);
        announced.map(|known| known.partitions).max().unwrap_or(1)
    }
}
