//! Joins the mesh: first the inbox, requests and subscriptions, then the announcement. An observer goes without that.

use super::heartbeat::Heartbeat;
use crate::{
    node::{
        admin::{history::Sampler, questions::Questions, respondent::Respondent},
        client::{
            inbox::{Received, read_inbox},
            late::wake_late,
            recovery::{self, Recovery},
            waiting::Waiting,
        },
        discovery::{
            announce::Announcer, lifecycle::Lifecycle, listen::listen, observer::Observer, sync::CatalogSync,
            task::Discovery,
        },
        events::{outbox::Outbox, receiver::EventReceiver},
        idempotency::{self, Idempotency},
        server::{partitions::Partitions, takeover::Takeover},
        shared::{commands::Commands, identity::Identity, life::Life, live_config::LiveConfig},
    },
    redis::{
        connection::{Connector, Trouble, credentials::Provider, link::Links, pool::Admin, server_info},
        event_log::{Intake, Outgoing, Publisher},
        keys::Keys,
        pubsub::{self, Subscriptions},
        queue::{Inbox, Reader},
        registry::{Beat, Registry},
    },
    wire::UNKNOWING,
};
use rachis_core::{App, Error, Result};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Lifecycle messages that wait while the registry is read; beyond that the subscription waits.
const LIFECYCLE_BUFFER: usize = 1024;
/// The pause before another attempt.
const PAUSE: Duration = Duration::from_millis(100);

/// A node whose parts are all there, and connected to nothing yet.
pub(crate) struct Assembled {
    pub(crate) identity: Arc<Identity>,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) life: Arc<Life>,
    pub(crate) app: App,
    pub(crate) keys: Keys,
    /// Has the login for Redis, instead of the configuration.
    pub(crate) credentials: Option<Provider>,
    pub(crate) connector: Connector,
    pub(crate) commands: Commands,
    pub(crate) admin: Admin,
    pub(crate) registry: Registry,
    pub(crate) channels: Subscriptions,
    pub(crate) subscriptions: pubsub::Idle,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) recovery: Recovery,
    pub(crate) idempotency: Arc<Idempotency>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) outgoing: mpsc::Receiver<Outgoing>,
    pub(crate) intake: watch::Sender<Intake>,
    pub(crate) event_receiver: Arc<EventReceiver>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) questions: Arc<Questions>,
    pub(crate) respondent: Respondent,
    pub(crate) sampler: Sampler,
    pub(crate) takeover: Takeover,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) sync: Arc<CatalogSync>,
}

/// How a node has joined.
pub(crate) enum Joined {
    /// It is a member, and hears of the mesh by this task, which is also the one that announces it.
    Member { discovery: JoinHandle<()> },
    /// It only looks on.
    Observer,
}

/// What drives the view of a node that joins.
struct Driving {
    lifecycle: mpsc::Sender<Lifecycle>,
    reports: mpsc::UnboundedSender<Beat>,
    discovery: Discovery,
}

impl Assembled {
    /// Joins; tries for as long as it takes.
    ///
    /// # Errors
    /// `Unavailable` when the node was shut down meanwhile.
    pub(crate) async fn join(self) -> Result<Joined> {
        let stop = self.life.stop.clone();
        if let Some(provider) = &self.credentials {
            provider.start(self.connector.clone(), stop.clone()).await.ok_or_else(stopped)?;
        }
        // First the inbox and the subscriptions, then the announcement: a node that hears of this one can call it at once.
        let links = self.commands.links().clone();
        let (_, live) = links.reach(&self.keys.registry()).await.ok_or_else(stopped)?;
        server_info::warn_of(&mut live.connection.clone(), self.config.at_start().redis.url.expose()).await;
        self.life.open();
        tokio::spawn(stop.clone().run_until_cancelled_owned(wake_late(self.waiting.clone())));
        tokio::spawn(recovery::watch(self.recovery));
        tokio::spawn(idempotency::watch(self.idempotency));
        let publisher = publisher(links, &self.identity, &self.config, &self.keys, self.intake, self.outbox);
        tokio::spawn(publisher.run(self.outgoing));

        let (lifecycle, changes) = mpsc::channel(LIFECYCLE_BUFFER);
        let heard = self.subscriptions.start();
        tokio::spawn(listen(self.event_receiver, self.keys.lifecycle(), heard, lifecycle.clone()));
        if !self.channels.subscribe(self.keys.lifecycle()).await {
            return Err(stopped());
        }
        let inbox = self.keys.inbox(&self.identity.id);
        let reader = Reader::new(self.connector.clone(), "inbox", inbox.clone(), stop.clone());
        let partitions = self.partitions.clone();
        let questions = self.questions;
        let respondent = self.respondent;
        let observer = self.identity.observer;
        tokio::spawn(read_inbox(Inbox::new(inbox, reader), self.waiting, move |received| match received {
            Received::Statement(statement) => questions.answered(statement),
            // No node knows of an observer, so nothing else is meant for it.
            _ if observer => {}
            Received::Question(question) => respondent.asked(&question),
            Received::Note(note) => partitions.received(note),
        }));

        let (reports, beats) = mpsc::unbounded_channel();
        let discovery = Discovery {
            announcer: self.announcer.clone(),
            sync: self.sync.clone(),
            config: self.config.clone(),
            life: self.life.clone(),
            lifecycle: changes,
            beats,
            // From here on no change of the services is missed.
            services: self.app.changed(),
        };
        let driving = Driving { lifecycle, reports, discovery };
        let membership = Joining {
            identity: self.identity,
            config: self.config,
            life: self.life,
            app: self.app,
            keys: self.keys,
            connector: self.connector,
            admin: self.admin,
            registry: self.registry,
            announcer: self.announcer,
            sync: self.sync,
        };
        if observer {
            membership.look_on(driving).await
        } else {
            let joined = membership.take_part(driving, self.heartbeat, self.partitions, self.takeover).await?;
            // From here on it knows Redis's clock, by which the samples of all nodes are taken.
            tokio::spawn(self.sampler.run());
            Ok(joined)
        }
    }
}

/// A node that is connected, and about to enter the registry or to read it.
struct Joining {
    identity: Arc<Identity>,
    config: Arc<LiveConfig>,
    life: Arc<Life>,
    app: App,
    keys: Keys,
    connector: Connector,
    admin: Admin,
    registry: Registry,
    announcer: Arc<Announcer>,
    sync: Arc<CatalogSync>,
}

impl Joining {
    /// Announces this node, begins to beat and to take requests.
    async fn take_part(
        self,
        driving: Driving,
        heartbeat: Heartbeat,
        partitions: Arc<Partitions>,
        takeover: Takeover,
    ) -> Result<Joined> {
        let publish_now = self.config.at_start().publication_delay.is_zero();
        while !self.announcer.announce(publish_now).await {
            self.pause().await.ok_or_else(stopped)?;
        }
        if self.life.stop.is_cancelled() {
            // A shutdown that came meanwhile has not seen the announcement.
            self.leave_at_once().await;
            return Err(stopped());
        }
        heartbeat.start(driving.reports)?;
        self.sync.catch_up().await;
        if let Err(error) = self.refuse_to_be_foreign() {
            self.leave_at_once().await;
            return Err(error);
        }
        self.life.note_beat();
        let discovery = tokio::spawn(driving.discovery.run());
        partitions.spawn_source(takeover.run());
        partitions.start();
        let services = self.app.paths().len();
        tracing::info!(node = %self.identity.id, app = %self.identity.app, services, "joined the mesh");
        Ok(Joined::Member { discovery })
    }

    /// Reads the registry, whole, and keeps up with it.
    async fn look_on(self, driving: Driving) -> Result<Joined> {
        let silent = loop {
            match self.sync.first_look().await {
                Ok(look) => break look.silent,
                Err(error) => {
                    self.connector.note_trouble(Trouble::of(&error));
                    tracing::debug!(%error, "the registry could not be read, trying again");
                }
            }
            self.pause().await.ok_or_else(stopped)?;
        };
        self.refuse_to_be_foreign()?;
        self.life.note_beat();
        tokio::spawn(driving.discovery.run());
        let observer = Observer {
            sync: self.sync,
            connector: self.connector,
            interval: self.config.at_start().heartbeat_interval,
            stop: self.life.stop.clone(),
            lifecycle: driving.lifecycle,
            beats: driving.reports,
        };
        tokio::spawn(observer.run(silent));
        tracing::debug!(node = %self.identity.id, "looking on");
        Ok(Joined::Observer)
    }

    /// In a mesh that signs its frames, a node without the secret would take requests and could read none of them.
    fn refuse_to_be_foreign(&self) -> Result<()> {
        if !self.sync.is_foreign() {
            return Ok(());
        }
        self.life.stop.cancel();
        let namespace = &self.config.at_start().namespace;
        Err(Error::bad_request(format!("This node can not join '{namespace}': {UNKNOWING}")))
    }

    /// Takes back the announcement; without Redis, the TTL does.
    async fn leave_at_once(&self) {
        if let Ok(mut connection) = self.admin.get(&self.keys.registry()).await {
            let _ = self.registry.withdraw(&mut connection).await;
        }
    }

    /// Waits before another attempt; `None` when the node was stopped.
    async fn pause(&self) -> Option<()> {
        self.life.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await
    }
}

fn publisher(
    links: Links,
    identity: &Identity,
    config: &LiveConfig,
    keys: &Keys,
    intake: watch::Sender<Intake>,
    outbox: Arc<Outbox>,
) -> Publisher<impl Fn(&str, u64) -> Option<Vec<u8>> + use<>> {
    Publisher {
        links,
        keys: keys.clone(),
        node: identity.id.clone(),
        key: identity.key.clone(),
        log: config.at_start().limits.event_log,
        intake,
        notice: move |path: &str, number| outbox.notice(path, number),
    }
}

/// The error for a node that was shut down before it had joined.
fn stopped() -> Error {
    Error::unavailable("This node was shut down before it could join")
}
