//! Joins the mesh: first the inbox, requests and subscriptions, then the announcement. An observer goes without that.

use crate::node::{
    Inner, Node,
    client::{
        recovery,
        rpc::{read_inbox, wake_late},
    },
    discovery::{self, Discovery, Lifecycle, observer::Observer},
    events, idempotency,
    lifecycle::{heartbeat::Heartbeat, shutdown::Running},
    server::takeover::Takeover,
};
use crate::{
    redis::{
        connection::{Trouble, link::Links, server_info},
        event_log::Publisher,
        pubsub,
        queue::{Inbox, Reader, Writer},
        registry::Beat,
    },
    wire::UNKNOWING,
};
use rachis_core::{Error, Result};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::mpsc;

/// Lifecycle messages that wait while the registry is read; beyond that the subscription waits.
const LIFECYCLE_BUFFER: usize = 1024;

impl Node {
    /// Joins the mesh now, for nodes started with `start_delay = "manual"`. Joining twice does nothing.
    ///
    /// # Errors
    /// `Unavailable` when the node was shut down meanwhile.
    pub async fn join(&self) -> Result<()> {
        let Some((dead, outgoing)) = self.inner.take_assembled() else { return Ok(()) };
        let node = &self.inner;
        let stop = &node.stop;

        if let Some(provider) = &node.credentials {
            provider.start(node.connector.clone(), stop.clone()).await.ok_or_else(stopped)?;
        }
        // First the inbox and the subscriptions, then the announcement: whoever hears of this node can call it at once.
        let links = Links::new(node.connector.clone(), stop.clone());
        let (_, live) = links.reach(&node.keys.registry()).await.ok_or_else(stopped)?;
        server_info::warn_of(&mut live.connection.clone(), node.config.redis.url.expose()).await;
        let writer = Writer::start(links.clone(), node.rpc.clone(), stop.clone());
        node.rpc.attach(writer.clone());
        node.partitions.attach(writer);
        let _ = node.links.set(links.clone());
        let waking = wake_late(node.rpc.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(waking));
        tokio::spawn(recovery::watch(node.clone(), links.clone()));
        tokio::spawn(idempotency::watch(node.clone(), links.clone()));
        tokio::spawn(self.inner.publisher(links).run(outgoing));
        let (channels, heard) = pubsub::open(node.connector.clone(), node.keys.lifecycle(), stop.clone());
        node.events.attach(channels.clone());
        let (lifecycle, changes) = mpsc::channel(LIFECYCLE_BUFFER);
        let missed = lifecycle.clone();
        tokio::spawn(discovery::listen(node.clone(), heard, lifecycle));
        if !channels.subscribe(node.keys.lifecycle()).await {
            return Err(stopped());
        }

        let inbox = node.keys.inbox(&node.id);
        let reader = Reader::new(node.connector.clone(), "inbox", inbox.clone(), stop.clone());
        let inbox = Inbox::new(inbox, reader);
        let me = Arc::downgrade(node);
        tokio::spawn(read_inbox(inbox, node.rpc.clone(), move |received| {
            if let Some(node) = me.upgrade().filter(|node| !node.observer) {
                node.partitions.received(&node, received);
            }
        }));

        let (reports, beats) = mpsc::unbounded_channel();
        // From here on no change of the services is missed.
        let services = node.app.changed();
        let discovery = Discovery { node: node.clone(), lifecycle: changes, beats, services };
        match node.observer {
            true => {
                node.look_on(discovery, missed, reports).await.ok_or_else(stopped)?;
                node.refuse_to_be_foreign()
            }
            false => node.take_part(discovery, dead, reports).await,
        }
    }

    /// Joins, or gives up after `time`.
    ///
    /// # Errors
    /// `Unavailable` when Redis was not reached in time, or did not let this node in; the node is then shut down.
    pub async fn join_within(&self, time: Duration) -> Result<()> {
        match tokio::time::timeout(time, self.join()).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.inner.stop.cancel();
                let (address, namespace) = (self.inner.connector.address(), &self.inner.config.namespace);
                let told = match self.inner.connector.trouble() {
                    Some(trouble) => trouble.describe(&address, namespace, time),
                    None => Trouble::unknown(&address, time),
                };
                Err(Error::unavailable(told))
            }
        }
    }
}

impl Inner {
    fn publisher(&self, links: Links) -> Publisher<impl Fn(&str, u64) -> Option<Vec<u8>> + use<>> {
        let me = self.me.clone();
        Publisher {
            links,
            keys: self.keys.clone(),
            node: self.id.clone(),
            key: self.config.key.clone(),
            log: self.config.limits.event_log,
            intake: self.events.intake().clone(),
            notice: move |path: &str, number| events::notice(&*me.upgrade()?, path, number),
        }
    }

    /// Announces this node, begins to beat and to take requests.
    async fn take_part(
        self: &Arc<Self>,
        discovery: Discovery,
        dead: mpsc::UnboundedReceiver<String>,
        reports: mpsc::UnboundedSender<Beat>,
    ) -> Result<()> {
        let publish_now = self.config.publication_delay.is_zero();
        while !self.announce(publish_now).await {
            self.pause().await.ok_or_else(stopped)?;
        }
        if self.stop.is_cancelled() {
            // A shutdown that came meanwhile has not seen the announcement.
            self.leave_at_once().await;
            return Err(stopped());
        }
        let heartbeat = Heartbeat {
            connector: self.connector.clone(),
            registry: self.registry.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            interval: self.config.heartbeat_interval,
            ttl: self.config.ttl(),
            stop: self.beating.clone(),
        };
        heartbeat.start(reports)?;
        self.catch_up().await;
        if let Err(error) = self.refuse_to_be_foreign() {
            self.leave_at_once().await;
            return Err(error);
        }
        self.note_beat();
        let discovery = tokio::spawn(discovery.run());
        self.partitions.spawn_source(Takeover { node: self.clone(), dead }.run());
        self.partitions.start(self);
        self.joined(Running::Joined { discovery });
        tracing::info!(node = %self.id, app = %self.app_key, services = self.app.paths().len(), "joined the mesh");
        Ok(())
    }

    /// In a mesh that signs its frames, a node without the secret would take requests and could read none of them.
    fn refuse_to_be_foreign(&self) -> Result<()> {
        match self.foreign.load(Ordering::Relaxed) {
            true => {
                self.stop.cancel();
                Err(Error::bad_request(format!("This node can not join '{}': {UNKNOWING}", self.config.namespace)))
            }
            false => Ok(()),
        }
    }

    /// Takes back the announcement; without Redis, the TTL does.
    async fn leave_at_once(&self) {
        if let Ok(mut connection) = self.admin.get(&self.keys.registry()).await {
            let _ = self.registry.withdraw(&mut connection).await;
        }
    }

    /// Reads who is there, whole, and keeps up with it; `None` when it was stopped first.
    async fn look_on(
        self: &Arc<Self>,
        discovery: Discovery,
        lifecycle: mpsc::Sender<Lifecycle>,
        beats: mpsc::UnboundedSender<Beat>,
    ) -> Option<()> {
        let silent = loop {
            match self.first_look().await {
                Ok(look) => break look.silent,
                Err(error) => {
                    self.connector.note_trouble(Trouble::of(&error));
                    tracing::debug!(%error, "the registry could not be read, trying again");
                }
            }
            self.pause().await?;
        };
        self.note_beat();
        tokio::spawn(discovery.run());
        tokio::spawn(Observer { node: self.clone(), lifecycle, beats }.run(silent));
        self.joined(Running::LookingOn);
        tracing::debug!(node = %self.id, "looking on");
        Some(())
    }

    /// Waits before another attempt; `None` when the node was stopped.
    async fn pause(&self) -> Option<()> {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => Some(()),
            () = self.stop.cancelled() => None,
        }
    }
}

fn stopped() -> Error {
    Error::unavailable("This node was shut down before it could join")
}
