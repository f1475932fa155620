//! Operating a node: dead letters, metrics, and configurations that change.

use super::{Node, Parts};
use crate::node::{
    admin::{dead_letters::DeadLetters, peer::Peer, queues::QueueInfo},
    lifecycle::reload::Reloaded,
};
use prometheus_client::registry::Registry;
use rachis_config::{Config, Watch};
use rachis_core::{Error, Result};
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

impl Node {
    /// The dead letters of an app, of whatever node: `APP` of this node's partition key, or `KEY/APP`.
    ///
    /// ```no_run
    /// # async fn run(node: rachis::Node) -> rachis::Result<()> {
    /// let letters = node.dead_letters("shop");
    /// for letter in letters.list(10).await? {
    ///     println!("{} {}", letter.id, letter.reason);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn dead_letters(&self, app: &str) -> DeadLetters {
        let app = if app.contains('/') { app.to_owned() } else { format!("{}/{app}", self.parts.identity.key) };
        DeadLetters::new(self.parts.letters.clone(), app)
    }

    /// Returns the node of that id as operators address it: to see what it counts, to let it log more, to let it leave.
    ///
    /// ```no_run
    /// # async fn run(node: rachis::Node) -> rachis::Result<()> {
    /// for info in node.nodes() {
    ///     let stats = node.peer(&info.id).stats().await?;
    ///     println!("{} runs {} requests", info.id, stats.in_flight);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn peer(&self, id: &str) -> Peer {
        Peer::new(self.parts.questions.clone(), id, self.parts.config.load().timeout)
    }

    /// Returns the queues of every app that this node knows of: what waits, and which replicas have been given what.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer.
    pub async fn queues(&self) -> Result<Vec<QueueInfo>> {
        self.parts.queues.infos().await
    }

    /// Returns how long ago each node, by its id, last said that it is alive, as Redis has it. A node that has just died is in it
    /// for one [`ttl`](Config::ttl) more; that of this node's configuration is taken for that of all.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer.
    pub async fn beats(&self) -> Result<BTreeMap<String, Duration>> {
        self.parts.beats.ages().await
    }

    /// Everything that this node counts, as OpenMetrics text; `docs/metrics.md` has the list.
    ///
    /// Queues are those of all apps that this node knows of, its own included. While Redis does not answer they are
    /// missing, and `rachis_redis_up` is 0.
    ///
    /// ```no_run
    /// # async fn run(node: rachis::Node) {
    /// print!("{}", node.metrics().await);
    /// # }
    /// ```
    pub async fn metrics(&self) -> String {
        self.scrape(|_| {}).await
    }

    /// As [`metrics`](Self::metrics), with what `more` registers under `rachis_`.
    #[doc(hidden)]
    pub async fn scrape(&self, more: impl FnOnce(&mut Registry)) -> String {
        self.parts.scraper.scrape(more).await
    }

    /// Takes a new configuration while the node runs, and drops no call: what is published and believed, limits,
    /// timeouts, logins of Redis, secrets of the mesh, and certificates, for connections that are made from now on; also
    /// what [`NodeBuilder::on_reload`](crate::NodeBuilder::on_reload) takes. What can not be taken goes on as it was, is
    /// told in the outcome, and logged in one line for each key.
    ///
    /// A configuration that does not hold together changes nothing at all. Call it where Tokio runs, as all of a node.
    ///
    /// # Errors
    /// `BadRequest` for such a one, with what is wrong with it.
    pub fn reload(&self, config: Config) -> Result<Reloaded> {
        self.parts.reloader.reload(config)
    }

    /// Reloads whenever the files of the configuration change, or at SIGHUP; ends when the node closes. A configuration
    /// that is wrong is logged, and the one before stays.
    ///
    /// ```no_run
    /// use rachis::{App, Config, Node};
    ///
    /// # async fn run() -> rachis::Result<()> {
    /// let loader = Config::loader();
    /// let watch = loader.clone().watch();
    /// let node = Node::builder(loader.load()?).app(App::new()).start().await?;
    /// tokio::spawn(node.follow(watch));
    /// node.run_until_signal().await
    /// # }
    /// ```
    pub fn follow(&self, mut watch: Watch) -> impl Future<Output = ()> + Send + use<> {
        // Not the node: dropping the last handle ends it all the same.
        let parts: Weak<Parts> = Arc::downgrade(&self.parts);
        let closing = self.closing();
        async move {
            tokio::pin!(closing);
            loop {
                let read = tokio::select! {
                    read = watch.next() => read,
                    () = &mut closing => return,
                };
                let Some(parts) = parts.upgrade() else { return };
                let outcome = read.map_err(Error::from).and_then(|config| parts.reloader.reload(config));
                if let Err(error) = outcome {
                    tracing::error!(%error, "the new configuration is not taken, the one before stays");
                }
            }
        }
    }
}
