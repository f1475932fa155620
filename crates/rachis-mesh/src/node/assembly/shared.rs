//! What most parts of a node work with, and the parts that are made of that alone.

#[cfg(feature = "resilience")]
use crate::node::resilience::Resilience;
#[cfg(feature = "schema")]
use crate::node::schemas::{OwnSchemas, SchemaReader};
use crate::{
    node::{
        admin::{
            beats::Beats,
            dead_letters::LetterAccess,
            history::{History, Sampler},
            questions::{OpenQuestions, Questions},
            queues::Queues,
            respondent::Respondent,
            scrape::Scraper,
        },
        catalog::{Catalog, SharedCatalog},
        client::{recovery::Recovery, routes::Routes, rpc::Rpc, waiting::Waiting},
        discovery::{announce::Announcer, change_feed::ChangeFeed, records::Records, sync::CatalogSync, view::View},
        events::{outbox::Outbox, receiver::EventReceiver},
        idempotency::{Idempotency, RecentOutcomes, TTLS_HELD},
        lifecycle::{
            heartbeat::Heartbeat,
            reload::{Files, Reloader, Takers},
            shutdown::Exit,
        },
        server::{
            admission::Admission, execution::Execution, partitions::Partitions, slots::Slots, takeover::Takeover,
            tasks::Tasks, work::Work,
        },
        shared::{
            clock::Clock, commands::Commands, context::NodeContext, filters::Filters, identity::Identity, info::Change,
            life::Life, live_config::LiveConfig, metrics::Metrics, published::Published, runner::Runner, settings,
        },
    },
    redis::{
        connection::{Connector, link::Links, pool::Admin},
        event_log::Intake,
        keys::Keys,
        queue::Writer,
        registry::Registry,
    },
    wire::Signer,
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rachis_config::{Config, Secret};
use rachis_core::{App, Error, Result};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{Duration, Instant},
};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::task::TaskTracker;

/// The parts that many others share. It ends when the node is built.
pub(super) struct Shared {
    pub(super) context: Arc<NodeContext>,
    pub(super) config: Arc<LiveConfig>,
    pub(super) life: Arc<Life>,
    pub(super) app: App,
    pub(super) catalog: SharedCatalog,
    pub(super) connector: Connector,
    pub(super) commands: Commands,
    pub(super) admin: Admin,
    pub(super) registry: Registry,
    ttl: Duration,
    heartbeat_interval: Duration,
}

impl Shared {
    /// # Errors
    /// `BadRequest` for a configuration that can not work.
    pub(super) fn new(config: Config, app: App, observer: bool) -> Result<Self> {
        let ttl = config.ttl();
        let identity = Arc::new(Identity::new(&config.key, config.app_name(), observer));
        let life = Arc::new(Life::new(ttl));
        let keys = Keys::new(&config.namespace).in_database(settings::database_of(&config)?);
        let name = format!("rachis:{}:{}", identity.app_name, identity.id);
        let connector = Connector::new(settings::options(&config)?, &name).map_err(|error| {
            Error::bad_request(format!("redis.url ({}) can not be used: {error}", config.redis.url))
        })?;
        let links = Links::new(connector.clone(), life.stop.clone());
        let secret = config.mesh.secret.as_ref().map(Secret::expose);
        let previous = config.mesh.previous_secret.as_ref().map(Secret::expose);
        let context = NodeContext {
            signer: Signer::new(secret, previous),
            clock: Arc::new(Clock::new()),
            metrics: Arc::new(Metrics::new(&identity.app)),
            identity: identity.clone(),
            keys: keys.clone(),
        };
        // How long nodes that a registry has lost are believed.
        let grace = u64::try_from((ttl * 2).as_millis()).unwrap_or(u64::MAX);
        Ok(Shared {
            registry: Registry::new(keys.clone(), &identity.id, &identity.app, ttl, settings::linger(&config)),
            admin: Admin::new(&connector),
            commands: Commands::new(links, life.clone(), config.redis.response_timeout),
            catalog: Arc::new(Mutex::new(Catalog::new(&identity.id, grace))),
            heartbeat_interval: config.heartbeat_interval,
            config: Arc::new(LiveConfig::new(config)),
            context: Arc::new(context),
            life,
            app,
            connector,
            ttl,
        })
    }

    pub(super) fn recovery(&self, waiting: Arc<Waiting>) -> Recovery {
        Recovery {
            node: self.context.identity.id.clone(),
            waiting,
            commands: self.commands.clone(),
            catalog: self.catalog.clone(),
            registry: self.registry.clone(),
            keys: self.context.keys.clone(),
            clock: self.context.clock.clone(),
            heartbeat_interval: self.heartbeat_interval,
            stop: self.life.stop.clone(),
        }
    }

    pub(super) fn idempotency(
        &self,
        waiting: Arc<Waiting>,
        runner: Runner,
        intake: watch::Sender<Intake>,
        own_calls: TaskTracker,
    ) -> Idempotency {
        Idempotency {
            context: self.context.clone(),
            config: self.config.clone(),
            life: self.life.clone(),
            recent: RecentOutcomes::new(self.ttl * TTLS_HELD),
            commands: self.commands.clone(),
            catalog: self.catalog.clone(),
            registry: self.registry.clone(),
            admin: self.admin.clone(),
            waiting,
            runner,
            intake,
            own_calls,
        }
    }

    pub(super) fn work(
        &self,
        admission: Admission,
        execution: Execution,
        tasks: Tasks,
        writer: Writer,
        dead_replicas: mpsc::UnboundedSender<String>,
    ) -> Work {
        let config = self.config.at_start();
        Work {
            keys: self.context.keys.clone(),
            signer: self.context.signer.clone(),
            limits: ArcSwap::from_pointee(settings::limits(config)),
            slots: Arc::new(Slots::new(config.limits.max_in_flight)),
            tasks,
            admission,
            execution,
            writer,
            commands: self.commands.clone(),
            admin: self.admin.clone(),
            clock: self.context.clock.clone(),
            metrics: self.context.metrics.clone(),
            catalog: self.catalog.clone(),
            life: self.life.clone(),
            ttl: self.ttl,
            dead_replicas,
            wanted: AtomicUsize::new(config.partitions),
        }
    }

    pub(super) fn takeover(&self, partitions: Arc<Partitions>, dead: mpsc::UnboundedReceiver<String>) -> Takeover {
        Takeover {
            identity: self.context.identity.clone(),
            life: self.life.clone(),
            partitions,
            catalog: self.catalog.clone(),
            registry: self.registry.clone(),
            keys: self.context.keys.clone(),
            commands: self.commands.clone(),
            admin: self.admin.clone(),
            heartbeat_interval: self.heartbeat_interval,
            ttl: self.ttl,
            dead,
        }
    }

    pub(super) fn change_feed(
        &self,
        routes: Arc<Routes>,
        waiting: Arc<Waiting>,
        partitions: Arc<Partitions>,
        dead_replicas: mpsc::UnboundedSender<String>,
        watchers: broadcast::Sender<Arc<Change>>,
    ) -> ChangeFeed {
        ChangeFeed {
            identity: self.context.identity.clone(),
            app: self.app.clone(),
            catalog: self.catalog.clone(),
            routes,
            waiting,
            partitions,
            keys: self.context.keys.clone(),
            dead_replicas,
            watchers,
        }
    }

    pub(super) fn sync(
        &self,
        filters: Filters,
        event_receiver: Arc<EventReceiver>,
        changes: ChangeFeed,
    ) -> CatalogSync {
        CatalogSync {
            observer: self.context.identity.observer,
            catalog: self.catalog.clone(),
            registry: self.registry.clone(),
            admin: self.admin.clone(),
            keys: self.context.keys.clone(),
            clock: self.context.clock.clone(),
            records: Records::new(self.context.keys.clone(), self.context.signer.clone(), self.config.clone(), filters),
            event_receiver,
            changes,
            foreign: AtomicBool::new(false),
        }
    }

    pub(super) fn announcer(
        &self,
        filters: Filters,
        published: Arc<Published>,
        partitions: Arc<Partitions>,
        waiting: Arc<Waiting>,
        #[cfg(feature = "schema")] schemas: Arc<OwnSchemas>,
    ) -> Announcer {
        Announcer {
            identity: self.context.identity.clone(),
            config: self.config.clone(),
            app: self.app.clone(),
            filters,
            published,
            partitions,
            waiting,
            connector: self.connector.clone(),
            admin: self.admin.clone(),
            registry: self.registry.clone(),
            keys: self.context.keys.clone(),
            signer: self.context.signer.clone(),
            clock: self.context.clock.clone(),
            life: self.life.clone(),
            #[cfg(feature = "schema")]
            schemas,
        }
    }

    pub(super) fn view(&self, routes: Arc<Routes>, watchers: broadcast::Sender<Arc<Change>>) -> View {
        View {
            identity: self.context.identity.clone(),
            config: self.config.clone(),
            app: self.app.clone(),
            catalog: self.catalog.clone(),
            routes,
            watchers,
            stop: self.life.stop.clone(),
        }
    }

    pub(super) fn heartbeat(&self, #[cfg(feature = "schema")] schemas: Arc<OwnSchemas>) -> Heartbeat {
        Heartbeat {
            connector: self.connector.clone(),
            registry: self.registry.clone(),
            clock: self.context.clock.clone(),
            metrics: self.context.metrics.clone(),
            interval: self.heartbeat_interval,
            ttl: self.ttl,
            stop: self.life.beating.clone(),
            #[cfg(feature = "schema")]
            schemas,
        }
    }

    #[cfg(feature = "schema")]
    pub(super) fn own_schemas(&self, published: Arc<Published>) -> OwnSchemas {
        OwnSchemas {
            context: self.context.clone(),
            app: self.app.clone(),
            published,
            registry: self.registry.clone(),
            admin: self.admin.clone(),
            state: Mutex::default(),
            told: AtomicBool::new(false),
        }
    }

    #[cfg(feature = "schema")]
    pub(super) fn schema_reader(&self, view: Arc<View>) -> SchemaReader {
        SchemaReader::new(view, self.registry.clone(), self.admin.clone(), self.context.clone())
    }

    pub(super) fn letters(&self, rpc: Arc<Rpc>) -> LetterAccess {
        LetterAccess {
            keys: self.context.keys.clone(),
            admin: self.admin.clone(),
            signer: self.context.signer.clone(),
            rpc,
            config: self.config.clone(),
            life: self.life.clone(),
        }
    }

    pub(super) fn queues(&self, view: Arc<View>) -> Queues {
        Queues { context: self.context.clone(), view, admin: self.admin.clone() }
    }

    pub(super) fn beats(&self) -> Beats {
        Beats {
            context: self.context.clone(),
            registry: self.registry.clone(),
            admin: self.admin.clone(),
            ttl: self.ttl,
        }
    }

    pub(super) fn scraper(
        &self,
        view: Arc<View>,
        waiting: Arc<Waiting>,
        partitions: Arc<Partitions>,
        queues: Arc<Queues>,
    ) -> Scraper {
        Scraper { context: self.context.clone(), life: self.life.clone(), view, waiting, partitions, queues }
    }

    pub(super) fn questions(&self, writer: Writer) -> Questions {
        Questions {
            context: self.context.clone(),
            life: self.life.clone(),
            catalog: self.catalog.clone(),
            writer,
            open: OpenQuestions::default(),
        }
    }

    pub(super) fn sampler(&self, waiting: Arc<Waiting>, partitions: Arc<Partitions>, history: Arc<History>) -> Sampler {
        Sampler {
            context: self.context.clone(),
            app: self.app.clone(),
            waiting,
            partitions,
            history,
            stop: self.life.stop.clone(),
        }
    }

    pub(super) fn respondent(
        &self,
        waiting: Arc<Waiting>,
        partitions: Arc<Partitions>,
        history: Arc<History>,
        reloader: Arc<Reloader>,
        writer: Writer,
        #[cfg(feature = "resilience")] resilience: Arc<Resilience>,
    ) -> Respondent {
        Respondent {
            #[cfg(feature = "resilience")]
            resilience,
            context: self.context.clone(),
            config: self.config.clone(),
            life: self.life.clone(),
            waiting,
            partitions,
            history,
            set_log_level: Box::new(move |level| reloader.set_log_level(level)),
            writer,
            born: Instant::now(),
        }
    }

    pub(super) fn reloader(
        &self,
        takers: Takers,
        files: Files,
        has_provider: bool,
        waiting: Arc<Waiting>,
        partitions: Arc<Partitions>,
        #[cfg(feature = "resilience")] resilience: Arc<Resilience>,
    ) -> Reloader {
        Reloader {
            #[cfg(feature = "resilience")]
            resilience,
            config: self.config.clone(),
            takers,
            files,
            has_provider,
            connector: self.connector.clone(),
            signer: self.context.signer.clone(),
            waiting,
            partitions,
            reloading: Mutex::new(()),
        }
    }

    pub(super) fn exit(&self, partitions: Arc<Partitions>, writer: Writer, outbox: Arc<Outbox>) -> Exit {
        Exit {
            identity: self.context.identity.clone(),
            config: self.config.clone(),
            life: self.life.clone(),
            app: self.app.clone(),
            partitions,
            writer,
            outbox,
            admin: self.admin.clone(),
            registry: self.registry.clone(),
            keys: self.context.keys.clone(),
        }
    }
}
